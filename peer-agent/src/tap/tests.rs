#![expect(clippy::unwrap_used, reason = "tests")]

use proto::claims::Announcement;

use super::*;
use crate::{
    samples::{self, DESTINATION, NOW, attester, probe, signed},
    trust::Trust,
};

struct Bench {
    tap: Tap,
    queue: mpsc::Receiver<Finished>,
    metrics: Arc<Metrics>,
}

impl Bench {
    fn new() -> Self {
        let metrics = Arc::<Metrics>::default();
        let (tap, queue) = Tap::connected(Clock::manual(NOW), Arc::clone(&metrics));
        Self { tap, queue, metrics }
    }

    /// Announces probe `number` and gives its request; four bytes are to come down.
    fn announce(&self, number: u8) -> Vec<u8> {
        self.try_announce(number, |announcement| announcement).unwrap()
    }

    fn try_announce(&self, number: u8, change: impl Fn(Announcement) -> Announcement) -> Result<Vec<u8>, ArmError> {
        let challenge = signed(&samples::challenge(number), &attester());
        let request = samples::request(&challenge);
        let announcement = change(samples::announcement(number, &challenge, request.len() as u64, 4));
        let keyset = signed(&samples::keyset(), &samples::root());
        let trust = Arc::new(Trust::open(&keyset, &samples::root().public(), NOW).unwrap());
        self.tap.arm(Expectation {
            announcement,
            trust,
            clock_offset: 0,
        })?;
        Ok(request)
    }

    fn next(&mut self) -> Option<Finished> {
        self.queue.try_recv().ok()
    }

    fn waiting(&self) -> usize {
        self.tap.shared.waiting.load(Ordering::Acquire)
    }
}

fn probe_of(finished: &Finished) -> ProbeId {
    finished.flow.expectation.announcement.probe
}

#[test]
fn only_flows_to_exactly_the_armed_destination_are_looked_at() {
    let bench = Bench::new();
    assert!(Tap::disconnected().flow(DESTINATION).is_none());
    assert!(bench.tap.flow(DESTINATION).is_none());
    bench.announce(1);
    for other in [
        "origin.example:443",
        "Origin.example:80",
        "origin.example.:80",
        "origin.example",
        "",
    ] {
        assert!(bench.tap.flow(other).is_none() && !bench.tap.is_armed(other), "{other}");
    }
    assert!(bench.tap.is_armed(DESTINATION) && bench.tap.flow(DESTINATION).is_some());
}

#[test]
fn a_flow_says_when_nothing_more_is_wanted_of_it() {
    let bench = Bench::new();
    let request = bench.announce(1);
    let mut stranger = bench.tap.flow(DESTINATION).unwrap();
    assert!(stranger.is_watched());
    stranger.up(b"GET / HTTP/1.1\r\n");
    assert!(!stranger.is_watched());
    let mut flow = bench.tap.flow(DESTINATION).unwrap();
    flow.up(&request);
    assert!(flow.is_watched());
    flow.down(b"body");
    assert!(!flow.is_watched());
}

#[tokio::test]
async fn a_wrapped_connection_reports_what_goes_through_it() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let mut bench = Bench::new();
    let (near, _far) = tokio::io::duplex(64);
    assert!(!bench.tap.wrap(DESTINATION, near).is_watched());
    let request = bench.announce(1);
    let (near, mut far) = tokio::io::duplex(request.len() + 64);
    let mut wrapped = bench.tap.wrap(DESTINATION, near);
    // Of several buffers a watched connection takes one, as it may.
    let (head, tail) = request.split_at(7);
    let buffers = [
        std::io::IoSlice::new(&[]),
        std::io::IoSlice::new(head),
        std::io::IoSlice::new(tail),
    ];
    assert_eq!(wrapped.write_vectored(&buffers).await.unwrap(), 7);
    wrapped.write_all(tail).await.unwrap();
    far.write_all(b"bo").await.unwrap();
    drop(far);
    let mut body = Vec::new();
    wrapped.read_to_end(&mut body).await.unwrap();
    assert_eq!(body, b"bo");
    let finished = bench.next().unwrap();
    assert_eq!(finished.end, claims::FlowEnd::DestinationEof);
    assert_eq!((finished.up, finished.down), (request.len() as u64, 2));
}

#[test]
fn a_whole_flow_is_told_once_and_disarms() {
    let mut bench = Bench::new();
    let request = bench.announce(1);
    let mut flow = bench.tap.flow(DESTINATION).unwrap();
    flow.up(&request);
    assert!(bench.tap.flow(DESTINATION).is_none(), "the announcement has its flow");
    flow.down(b"body");
    let finished = bench.next().unwrap();
    assert_eq!(
        (probe_of(&finished), finished.end),
        (probe(1), claims::FlowEnd::Lengths)
    );
    flow.down(b"more");
    flow.end(FlowEnd::DestinationEof);
    assert!(bench.next().is_none());
    assert_eq!(bench.metrics.receipts_dropped.value(), 0);
}

#[test]
fn the_hosts_ends_are_told_and_a_dropped_flow_is_a_closed_one() {
    for (end, expected) in [
        (Some(FlowEnd::DestinationEof), claims::FlowEnd::DestinationEof),
        (Some(FlowEnd::DestinationError), claims::FlowEnd::DestinationError),
        (Some(FlowEnd::Closed), claims::FlowEnd::Closed),
        (None, claims::FlowEnd::Closed),
    ] {
        let mut bench = Bench::new();
        let request = bench.announce(1);
        let mut flow = bench.tap.flow(DESTINATION).unwrap();
        flow.up(&request);
        match end {
            Some(end) => flow.end(end),
            None => drop(flow),
        }
        assert_eq!(bench.next().unwrap().end, expected);
        assert!(bench.next().is_none());
    }
}

#[test]
fn another_client_of_the_destination_leaves_the_announcement_armed() {
    let mut bench = Bench::new();
    let request = bench.announce(1);
    let mut stranger = bench.tap.flow(DESTINATION).unwrap();
    let mut silent = bench.tap.flow(DESTINATION).unwrap();
    stranger.up(b"GET / HTTP/1.1\r\n");
    silent.down(b"SSH-2.0\r\n");
    drop((stranger, silent));
    assert!(bench.next().is_none());
    let mut flow = bench.tap.flow(DESTINATION).unwrap();
    flow.up(&request);
    drop(flow);
    assert_eq!(probe_of(&bench.next().unwrap()), probe(1));
}

#[test]
fn a_second_flow_with_the_same_challenge_yields_no_receipt() {
    let mut bench = Bench::new();
    let request = bench.announce(1);
    let (mut first, mut second) = (
        bench.tap.flow(DESTINATION).unwrap(),
        bench.tap.flow(DESTINATION).unwrap(),
    );
    first.up(&request);
    second.up(&request);
    second.down(b"body");
    assert!(bench.next().is_none());
    first.down(b"body");
    assert_eq!(bench.next().unwrap().end, claims::FlowEnd::Lengths);
    assert!(bench.next().is_none());
}

#[test]
fn two_probes_at_one_destination_find_their_own_flows() {
    let mut bench = Bench::new();
    let requests = [bench.announce(1), bench.announce(2)];
    let (mut a, mut b) = (
        bench.tap.flow(DESTINATION).unwrap(),
        bench.tap.flow(DESTINATION).unwrap(),
    );
    a.up(&requests[1]);
    b.up(&requests[0]);
    b.down(b"body");
    a.down(b"body");
    assert_eq!(probe_of(&bench.next().unwrap()), probe(1));
    assert_eq!(probe_of(&bench.next().unwrap()), probe(2));
    assert_eq!(bench.waiting(), 0);
}

#[test]
fn the_windows_end_ends_a_flow_or_the_expectation() {
    let mut bench = Bench::new();
    let request = bench.announce(1);
    bench.announce(2);
    let mut flow = bench.tap.flow(DESTINATION).unwrap();
    flow.up(&request);
    bench.tap.window_ended(probe(1));
    assert_eq!(bench.next().unwrap().end, claims::FlowEnd::Window);
    flow.down(b"body");
    bench.tap.window_ended(probe(2));
    bench.tap.window_ended(probe(3));
    assert!(bench.next().is_none());
    assert_eq!(bench.waiting(), 0);
}

#[test]
fn eight_at_once_and_none_twice() {
    let bench = Bench::new();
    let announce = |number| bench.try_announce(number, |announcement| announcement).map(drop);
    for number in 1..=8 {
        announce(number).unwrap();
    }
    assert_eq!(announce(9), Err(ArmError::Full));
    assert_eq!(announce(1), Err(ArmError::Repeated));
    bench.tap.window_ended(probe(1));
    assert_eq!(announce(1), Err(ArmError::Repeated));
    announce(9).unwrap();
    for number in 2..100 {
        bench.tap.window_ended(probe(number));
        let _ = announce(number + 8);
    }
    assert!(bench.tap.shared.armed().seen.len() <= MAX_SEEN);
}

#[test]
fn a_session_that_ends_disarms_and_its_flows_yield_nothing() {
    let mut bench = Bench::new();
    let request = bench.announce(1);
    bench.announce(2);
    let mut flow = bench.tap.flow(DESTINATION).unwrap();
    flow.up(&request);
    bench.tap.disarm();
    assert!(bench.tap.flow(DESTINATION).is_none());
    flow.down(b"body");
    drop(flow);
    assert!(bench.next().is_none());
    assert_eq!(bench.metrics.receipts_dropped.value(), 1);
}

#[test]
fn a_full_queue_drops_and_counts_instead_of_waiting() {
    let mut bench = Bench::new();
    let flows = QUEUE + 3;
    for number in 1..=flows {
        let request = bench.announce(u8::try_from(number).unwrap());
        let mut flow = bench.tap.flow(DESTINATION).unwrap();
        flow.up(&request);
    }
    assert_eq!(bench.metrics.receipts_dropped.value(), 3);
    assert_eq!(std::iter::from_fn(|| bench.next()).count(), QUEUE);
}

/// Both find the announcement waiting and check the signature at the same time; one gets it.
#[test]
fn flows_of_two_threads_do_not_share_an_announcement() {
    for _ in 0..200 {
        let mut bench = Bench::new();
        let request = &bench.announce(1);
        let flows = [
            bench.tap.flow(DESTINATION).unwrap(),
            bench.tap.flow(DESTINATION).unwrap(),
        ];
        let start = &std::sync::Barrier::new(2);
        std::thread::scope(|scope| {
            for mut flow in flows {
                scope.spawn(move || {
                    start.wait();
                    flow.up(request);
                });
            }
        });
        assert!(bench.next().is_some() && bench.next().is_none());
        assert_eq!(bench.metrics.flows_recognised.value(), 1);
    }
}
