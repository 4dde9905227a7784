#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use proptest::prelude::*;
use proto::key::SigningKey;

use super::*;
use crate::samples::{self, NOW, after, attester, signed, stranger};

/// One announced probe: what the attester announced, and the bytes of an honest flow.
struct Probe {
    expectation: Arc<Expectation>,
    request: Vec<u8>,
    response: Vec<u8>,
}

fn probe_of(challenge: &Challenge, key: &SigningKey) -> Probe {
    let challenge = signed(challenge, key);
    let request = samples::request(&challenge);
    let response: Vec<u8> = (0..2048_u32)
        .flat_map(|word| word.to_be_bytes())
        .take(1024 + 1024)
        .collect();
    let announcement = samples::announcement(1, &challenge, request.len() as u64, response.len() as u64);
    let keyset = signed(&samples::keyset(), &samples::root());
    let trust = Arc::new(Trust::open(&keyset, &samples::root().public(), NOW).unwrap());
    Probe {
        expectation: Arc::new(Expectation {
            announcement,
            trust,
            clock_offset: 0,
        }),
        request,
        response,
    }
}

fn honest() -> Probe {
    probe_of(&samples::challenge(1), &attester())
}

impl Probe {
    fn find(&self) -> impl FnOnce(&[u8]) -> Option<Recognised> + '_ {
        |challenge| {
            let nonce = self.expectation.recognise(challenge, NOW)?;
            Some(Recognised {
                expectation: Arc::clone(&self.expectation),
                nonce,
            })
        }
    }

    fn up(&self, ledger: &mut Ledger, bytes: &[u8]) -> Progress {
        ledger.up(bytes, NOW, self.find())
    }

    /// A ledger that has recognised the flow and counted its request, up to the last byte.
    fn asked(&self) -> Ledger {
        let mut ledger = Ledger::new(NOW);
        let progress = self.up(&mut ledger, &self.request);
        assert!(matches!(progress, Progress::Watching), "{progress:?}");
        ledger
    }
}

fn finished(progress: Progress) -> Finished {
    match progress {
        Progress::Finished(finished) => *finished,
        other => panic!("not finished: {other:?}"),
    }
}

/// Cuts bytes into chunks of the given sizes, over and over.
fn chunks<'a>(mut bytes: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
    let mut chunks = Vec::new();
    for size in sizes.iter().cycle() {
        if bytes.is_empty() {
            break;
        }
        let (chunk, rest) = bytes.split_at((*size).clamp(1, bytes.len()));
        chunks.push(chunk);
        bytes = rest;
    }
    chunks
}

proptest! {
    /// Whatever the chunks and however the two directions interleave, the account is that of the whole flow, once.
    #[test]
    fn the_account_does_not_depend_on_the_chunks(
        up_sizes in prop::collection::vec(1..700_usize, 1..6),
        down_sizes in prop::collection::vec(1..700_usize, 1..6),
        order in prop::collection::vec(any::<bool>(), 1..40),
        extra in 0..50_usize,
    ) {
        let probe = honest();
        // What follows after both lengths is not of this flow any more.
        let mut answer = probe.response.clone();
        answer.resize(probe.response.len() + extra, 7);
        let (mut up, mut down) = (chunks(&probe.request, &up_sizes), chunks(&answer, &down_sizes));
        up.reverse();
        down.reverse();
        let mut ledger = Ledger::new(NOW);
        let mut ends = Vec::new();
        let mut order = order.into_iter().cycle();
        while !(up.is_empty() && down.is_empty()) {
            // A longer answer goes last: before the request was whole it would be an overrun.
            let up_next = !up.is_empty() && (down.is_empty() || extra > 0 || order.next().unwrap());
            let progress = if up_next {
                probe.up(&mut ledger, up.pop().unwrap())
            } else {
                ledger.down(down.pop().unwrap(), NOW)
            };
            if let Progress::Finished(finished) = progress {
                ends.push(finished);
            }
        }
        prop_assert_eq!(ends.len(), 1);
        let account = &ends[0];
        prop_assert_eq!(account.end, FlowEnd::Lengths);
        prop_assert_eq!((account.up, account.up_digest), (probe.request.len() as u64, Digest::of(&probe.request)));
        prop_assert_eq!((account.down, account.down_digest), (probe.response.len() as u64, Digest::of(&probe.response)));
        prop_assert_eq!(account.flow.nonce, Nonce::from_bytes([1; 32]));
    }

    /// One byte too many before the end voids the flow, and is the last that is counted.
    #[test]
    fn an_overrun_does_not_depend_on_the_chunks(sizes in prop::collection::vec(1..900_usize, 1..6), extra in 1..400_usize) {
        let probe = honest();
        let mut request = probe.request.clone();
        request.resize(probe.request.len() + extra, b'x');
        let mut ledger = Ledger::new(NOW);
        let end = chunks(&request, &sizes).into_iter().map(|chunk| probe.up(&mut ledger, chunk)).find(|progress| {
            matches!(progress, Progress::Finished(_))
        });
        let account = finished(end.unwrap());
        let counted = &request[..probe.request.len() + 1];
        prop_assert_eq!(account.end, FlowEnd::Overrun);
        prop_assert_eq!((account.up, account.up_digest), (counted.len() as u64, Digest::of(counted)));
    }

    #[test]
    fn any_bytes_are_borne(parts in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..64)), 0..30)) {
        let probe = honest();
        let mut ledger = Ledger::new(NOW);
        for (up, bytes) in parts {
            let progress = if up { probe.up(&mut ledger, &bytes) } else { ledger.down(&bytes, NOW) };
            prop_assert!(!matches!(progress, Progress::Finished(_)));
        }
    }
}

#[test]
fn every_end_is_told_once() {
    let later = NOW.plus(std::time::Duration::from_secs(3));
    for end in [
        FlowEnd::DestinationEof,
        FlowEnd::DestinationError,
        FlowEnd::Closed,
        FlowEnd::Window,
    ] {
        let probe = honest();
        let mut ledger = probe.asked();
        assert!(matches!(ledger.down(&probe.response[..100], NOW), Progress::Watching));
        let account = finished(ledger.end(end, later));
        assert_eq!(
            (account.end, account.up, account.down),
            (end, probe.request.len() as u64, 100)
        );
        assert_eq!(account.down_digest, Digest::of(&probe.response[..100]));
        assert_eq!((account.opened, account.closed), (NOW, later));
        assert!(matches!(ledger.end(end, later), Progress::Over));
        assert!(matches!(ledger.down(b"more", later), Progress::Over));
        assert!(matches!(probe.up(&mut ledger, &probe.request), Progress::Over));
    }
}

#[test]
fn more_from_the_destination_than_announced_is_an_overrun_while_the_request_is_unfinished() {
    let probe = honest();
    let mut ledger = Ledger::new(NOW);
    let (start, rest) = probe.request.split_at(probe.request.len() - 1);
    assert!(matches!(probe.up(&mut ledger, start), Progress::Watching));
    assert!(matches!(ledger.down(&probe.response, NOW), Progress::Watching));
    let account = finished(ledger.down(b"!", NOW));
    assert_eq!(
        (account.end, account.down),
        (FlowEnd::Overrun, probe.response.len() as u64 + 1)
    );
    assert!(matches!(probe.up(&mut ledger, rest), Progress::Over));
}

#[test]
fn an_answer_reported_before_its_request_counts() {
    let probe = honest();
    let mut ledger = Ledger::new(NOW);
    assert!(matches!(ledger.down(&probe.response, NOW), Progress::Watching));
    let account = finished(probe.up(&mut ledger, &probe.request));
    assert_eq!(
        (account.end, account.down_digest),
        (FlowEnd::Lengths, Digest::of(&probe.response))
    );

    let mut ledger = Ledger::new(NOW);
    let _ = ledger.down(&probe.response, NOW);
    let _ = ledger.down(b"!", NOW);
    assert_eq!(finished(probe.up(&mut ledger, &probe.request)).end, FlowEnd::Overrun);
}

#[test]
fn flows_that_do_not_open_with_the_challenge_are_left_alone() {
    let probe = honest();
    let text = String::from_utf8(probe.request.clone()).unwrap();
    let other = samples::request(&signed(&samples::challenge(2), &attester()));
    let long = format!("GET /c/{}", "A".repeat(MAX_LINE));
    for request in [
        "POST / HTTP/1.1\r\n",
        "\u{16}\u{3}\u{1}",
        &text.replace("GET /c/", "GET /d/"),
        &text.replace("HTTP/1.1", "HTTP/1.0"),
        &text.replace(" HTTP/1.1\r\n", "= HTTP/1.1\r\n"),
        &text.replacen("\r\n", "\n", 1),
        &text.replacen("/c/", "/c//", 1),
        &text.replacen(" HTTP", "  HTTP", 1),
        &long,
        std::str::from_utf8(&other).unwrap(),
    ] {
        let mut ledger = Ledger::new(NOW);
        assert!(
            matches!(probe.up(&mut ledger, request.as_bytes()), Progress::Over),
            "{request:.40}"
        );
        assert!(matches!(ledger.end(FlowEnd::DestinationEof, NOW), Progress::Over));
    }
}

#[test]
fn an_unfinished_request_line_is_bounded_and_yields_nothing() {
    let probe = honest();
    let mut ledger = Ledger::new(NOW);
    assert!(matches!(probe.up(&mut ledger, b"GET /c/"), Progress::Watching));
    for _ in 0..MAX_LINE - 7 {
        assert!(matches!(probe.up(&mut ledger, b"A"), Progress::Watching));
    }
    assert!(matches!(probe.up(&mut ledger, b"A"), Progress::Over));

    let mut ledger = Ledger::new(NOW);
    assert!(matches!(
        probe.up(&mut ledger, &probe.request[..40]),
        Progress::Watching
    ));
    assert!(matches!(ledger.end(FlowEnd::Closed, NOW), Progress::Over));
}

/// The digest is the announced one each time: what else is wrong with the challenge decides.
#[test]
fn a_challenge_that_is_not_for_this_probe_is_not_recognised() {
    let good = samples::challenge(1);
    let cases = [
        ("signed by a key that is no attester's", probe_of(&good, &stranger())),
        (
            "for another probe",
            probe_of(
                &Challenge {
                    probe: samples::probe(2),
                    ..good.clone()
                },
                &attester(),
            ),
        ),
        (
            "for another peer",
            probe_of(
                &Challenge {
                    subject: stranger().public().thumbprint(),
                    ..good.clone()
                },
                &attester(),
            ),
        ),
        (
            "expired",
            probe_of(
                &Challenge {
                    not_before: after(-60),
                    expires: after(-11),
                    ..good.clone()
                },
                &attester(),
            ),
        ),
        (
            "of the future",
            probe_of(
                &Challenge {
                    not_before: after(11),
                    ..good.clone()
                },
                &attester(),
            ),
        ),
    ];
    for (case, probe) in cases {
        let progress = probe.up(&mut Ledger::new(NOW), &probe.request);
        assert!(matches!(progress, Progress::Over), "{case}: {progress:?}");
    }
}

#[test]
fn a_challenge_of_a_few_seconds_ago_or_to_come_is_recognised() {
    let good = samples::challenge(1);
    for timely in [
        Challenge {
            not_before: after(-60),
            expires: after(-9),
            ..good.clone()
        },
        Challenge {
            not_before: after(9),
            ..good
        },
    ] {
        probe_of(&timely, &attester()).asked();
    }
}

#[test]
fn times_are_corrected_before_a_challenge_is_judged() {
    let expectation = |clock_offset| {
        let probe = honest();
        let Expectation {
            announcement, trust, ..
        } = Arc::into_inner(probe.expectation).unwrap();
        Expectation {
            announcement,
            trust,
            clock_offset,
        }
    };
    let challenge = signed(&samples::challenge(1), &attester());
    let slow = NOW.minus(std::time::Duration::from_secs(600));
    assert!(expectation(0).recognise(&challenge, slow).is_none());
    assert!(expectation(600_000_000).recognise(&challenge, slow).is_some());
}
