//! What servers answered, to the prober: it asks as it always does, and each answer comes after what it answers.

use std::{
    collections::{BTreeSet, VecDeque},
    io,
    pin::Pin,
    task::{Context, Poll},
};

use attester::{
    flashlight::{Exchange, Job, Limits, Prober, Target},
    fuzzing::flashlight,
    model::{Finding, Reason},
};
use proto::{claims::Protocol, ids};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    expected::{self, Capture, Connection, Form, Request, Response, Sum, Tunnel, WHOLE, captures, cuts},
    server::virtual_time,
};

/// Cases in which a server said nothing that could be said to a prober. Their bytes go through the codec all the same.
pub(super) const NOT_PLAYED: &[&str] = &[
    // Answers to HEAD, which a prober never sends.
    "head-health",
    // 200 to a GET that asks for no tunnel: a prober would take it for an opened one.
    "chained-get-notoken",
    "chained-http-get",
    // Only what the client said was kept.
    "tls-clienthello-flashlight-0.0.2-client",
    "tls-clienthello-flashlight-0.0.3-client-masq",
    "tls-clienthello-peerscanner-probe",
];

/// A tunnel as a client that writes once meets it.
struct Play {
    name: String,
    protocol: Protocol,
    /// The id that its answers are of.
    id: String,
    /// What comes after each request.
    answers: Vec<Answer>,
    /// Does the connection close after the last one?
    closes: bool,
    outcome: Outcome,
}

struct Answer {
    at: u64,
    bytes: Vec<u8>,
    /// Where it is cut.
    cuts: Vec<usize>,
}

enum Outcome {
    /// These bytes come, and then perhaps the end; and the server names itself so.
    Carried {
        down: Sum,
        ends: bool,
        proxy_host: Option<String>,
    },
    /// The tunnel is not opened, for this reason.
    Refused(Reason, String),
}

#[test]
fn the_prober_understands_every_answer() {
    let runtime = virtual_time();
    let (mut answers, mut runs, mut later, mut unplayed) = (0, 0, 0, 0);
    for capture in captures() {
        if NOT_PLAYED.contains(&capture.name.as_str()) {
            unplayed += responses(&capture).count();
            continue;
        }
        later += responses(&capture)
            .filter(|(request, response)| is_later_write(request, response))
            .count();
        let plays = plays(&capture);
        assert!(!plays.is_empty(), "{}", capture.name);
        for play in &plays {
            answers += play.answers.len();
            runs += runtime.block_on(play.run());
        }
    }
    // A client that writes once gets no answer to a later write, which carries nothing. Every other answer was played; those
    // of seven opened CONNECTs in two parts and in one.
    let all: usize = captures().iter().map(|capture| responses(capture).count()).sum();
    assert_eq!((all, unplayed, later), (96, 4, 12));
    assert_eq!(answers, all - unplayed - later + 7 * 2);
    assert!(runs > 10_000, "{runs}");
}

fn responses(capture: &Capture) -> impl Iterator<Item = (&Request, &Response)> {
    let exchanges = capture.connections.iter().flat_map(|conn| &conn.exchanges);
    exchanges.filter_map(|exchange| Some((&exchange.request, exchange.response.as_ref()?)))
}

/// An answer to a read without an id is not one, and must be played as any other.
fn is_later_write(request: &Request, response: &Response) -> bool {
    request.op == "write" && response.status == 200 && response.id.is_none()
}

fn plays(capture: &Capture) -> Vec<Play> {
    let mut plays: Vec<Play> = capture
        .tunnels
        .iter()
        .filter_map(|tunnel| enproxy(capture, tunnel))
        .collect();
    for conn in &capture.connections {
        for (exchange, (_, answer)) in conn.exchanges.iter().zip(conn.messages()) {
            match &exchange.response {
                Some(response) if response.status != 200 => plays.push(refused(capture, conn, exchange, answer)),
                Some(response) if exchange.request.form == Form::Connect => {
                    let opened = response.head + if exchange.preamble { PREAMBLE } else { 0 };
                    let (head, down) = answer.split_at(opened);
                    // The tunnel's bytes after our request, and all at once.
                    plays.push(connect(capture, conn, down, &[head, down]));
                    plays.push(connect(capture, conn, down, &[answer]));
                }
                None if conn.server_closed => plays.push(Play {
                    name: format!("{}/{}, hung up on", capture.name, conn.name),
                    protocol: protocol(exchange.request.form),
                    id: NOBODYS.to_owned(),
                    answers: vec![],
                    closes: true,
                    outcome: Outcome::Refused(Reason::TunnelClosed, "the connection closed".to_owned()),
                }),
                _ => {}
            }
        }
    }
    plays
}

/// All that was read from one tunnel, whatever was written to it in between; `None` when it was never opened.
fn enproxy(capture: &Capture, tunnel: &Tunnel) -> Option<Play> {
    let (mut answers, mut closes, mut first) = (Vec::new(), false, None);
    for conn in &capture.connections {
        for (exchange, (_, answer)) in conn.exchanges.iter().zip(conn.messages()) {
            if let Some(response) = exchange
                .response
                .as_ref()
                .filter(|response| response.id.as_ref() == Some(&tunnel.id))
            {
                answers.push(Answer {
                    at: response.at[0],
                    bytes: answer.to_vec(),
                    cuts: cuts(answer.len(), response.head, &response.chunks, answer.len() > WHOLE),
                });
                closes |= conn.server_closed;
                first.get_or_insert((protocol(exchange.request.form), response.proxy_host.clone()));
            }
        }
    }
    answers.sort_by_key(|answer| answer.at);
    let (protocol, proxy_host) = first?;
    Some(Play {
        name: format!("{}: {}", capture.name, tunnel.id),
        protocol,
        id: tunnel.id.clone(),
        answers,
        closes,
        outcome: Outcome::Carried {
            down: tunnel.down.clone(),
            ends: tunnel.eof || closes,
            proxy_host,
        },
    })
}

fn connect(capture: &Capture, conn: &Connection, down: &[u8], answers: &[&[u8]]) -> Play {
    Play {
        name: format!("{}/{} in {} parts", capture.name, conn.name, answers.len()),
        protocol: Protocol::Connect,
        id: NOBODYS.to_owned(),
        answers: answers
            .iter()
            .map(|bytes| Answer {
                at: 0,
                bytes: bytes.to_vec(),
                cuts: (0..=bytes.len()).collect(),
            })
            .collect(),
        closes: conn.server_closed,
        outcome: Outcome::Carried {
            down: Sum::of(down),
            ends: conn.server_closed,
            proxy_host: None,
        },
    }
}

fn refused(capture: &Capture, conn: &Connection, exchange: &expected::Exchange, answer: &[u8]) -> Play {
    let response = exchange.response.as_ref().unwrap();
    let said = String::from_utf8_lossy(&answer[response.head..]);
    let (reason, text) = match (response.status, exchange.request.form) {
        (400, Form::Connect) => (
            Reason::TunnelToken,
            "it answered 400 to a CONNECT with a token".to_owned(),
        ),
        (status, _) => (Reason::TunnelRefused, format!("it answered {status}: {said}")),
    };
    Play {
        name: format!("{}/{}, refused", capture.name, conn.name),
        // A GET that a CONNECT server refused is as good as a CONNECT.
        protocol: if capture.name.starts_with("chained") {
            Protocol::Connect
        } else {
            protocol(exchange.request.form)
        },
        id: NOBODYS.to_owned(),
        answers: vec![Answer {
            at: 0,
            bytes: answer.to_vec(),
            cuts: (0..=answer.len()).collect(),
        }],
        closes: conn.server_closed,
        outcome: Outcome::Refused(reason, text),
    }
}

fn protocol(form: Form) -> Protocol {
    match form {
        Form::Connect => Protocol::Connect,
        Form::Path => Protocol::EnproxyPath,
        Form::Header | Form::Other => Protocol::Enproxy,
    }
}

impl Play {
    /// Plays it in all ways; how many those were.
    async fn run(&self) -> usize {
        let places: BTreeSet<usize> = self
            .answers
            .iter()
            .flat_map(|answer| answer.cuts.iter().copied())
            .collect();
        for at in &places {
            let cut = |bytes: &[u8]| {
                let (first, rest) = bytes.split_at(bytes.len().min(*at));
                vec![first.to_vec(), rest.to_vec()]
            };
            self.check(cut, 0, &format!("{} cut at {at}", self.name)).await;
        }
        let long = self.answers.iter().any(|answer| answer.bytes.len() > WHOLE);
        for (step, what) in [(usize::MAX, "whole"), (if long { 1021 } else { 1 }, "in pieces")] {
            // As many bytes as were announced, one more, one less.
            for difference in [0, 1, -1] {
                let cut = |bytes: &[u8]| bytes.chunks(step).map(<[u8]>::to_vec).collect();
                self.check(cut, difference, &format!("{} {what}, {difference}", self.name))
                    .await;
            }
        }
        places.len() + 6
    }

    /// Probes through the tunnel, of which `difference` bytes more were announced than it carries.
    async fn check(&self, cut: impl Fn(&[u8]) -> Vec<Vec<u8>>, difference: i64, name: &str) {
        let script = Script {
            groups: self.answers.iter().map(|answer| cut(&answer.bytes).into()).collect(),
            asked: 0,
            closes: self.closes,
        };
        let expected = match &self.outcome {
            Outcome::Carried { down, .. } => (down.length as u64).saturating_add_signed(difference),
            Outcome::Refused(..) => 1,
        };
        // Of what nothing came through, one byte is announced at least.
        let exchange = self.probe(script, expected.max(1)).await;
        let told = exchange.failure.as_ref().map(|finding| finding.reason);
        match &self.outcome {
            Outcome::Refused(reason, text) => {
                let detail = exchange.failure.as_ref().map_or("", Finding::detail);
                let shown = text.replace(char::is_control, " ");
                assert_eq!((told, exchange.received.len()), (Some(*reason), 0), "{name}");
                assert!(
                    !detail.is_empty() && shown.starts_with(detail.trim_end_matches('…')),
                    "{name}: {detail}"
                );
            }
            Outcome::Carried { down, ends, proxy_host } => {
                let reason = match (down.length, difference, ends) {
                    (0, _, true) => Some(Reason::FirstByteClosed),
                    (0, _, false) => Some(Reason::FirstByteTimeout),
                    (_, 0, _) => None,
                    (_, ..0, _) => Some(Reason::Overlong),
                    (_, _, true) => Some(Reason::Truncated),
                    (_, _, false) => Some(Reason::CompleteTimeout),
                };
                assert_eq!(
                    (told, &Sum::of(&exchange.received)),
                    (reason, down),
                    "{name}: {:?}",
                    exchange.failure
                );
                assert_eq!(&exchange.proxy_host, proxy_host, "{name}");
            }
        }
    }

    async fn probe(&self, script: Script, expected_down: u64) -> Exchange {
        let target = Target {
            connect_token: Some("sekrit".to_owned()),
            host: Some("peer.example".to_owned()),
            ..Target::pinned("192.0.2.1:443".parse().unwrap(), ids::Pin::from_bytes([4; 32]))
        };
        let job = Job {
            protocol: self.protocol,
            destination: "127.0.0.1:19080".parse().unwrap(),
            request: b"GET / HTTP/1.1\r\n\r\n".to_vec(),
            expected_down,
        };
        flashlight::exchange(&Prober::new(None, Limits::default()), &target, &job, &self.id, script).await
    }
}

/// A connection on which each group of pieces comes after one more flush.
struct Script {
    groups: VecDeque<VecDeque<Vec<u8>>>,
    asked: usize,
    closes: bool,
}

impl AsyncRead for Script {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // Nobody wakes whoever reads on before it asks: it has a deadline.
        while self.asked > 0 {
            let Some(group) = self.groups.front_mut() else { break };
            let Some(piece) = group.front_mut() else {
                self.groups.pop_front();
                self.asked -= 1;
                continue;
            };
            let length = piece.len().min(buffer.remaining());
            buffer.put_slice(&piece[..length]);
            piece.drain(..length);
            if piece.is_empty() {
                group.pop_front();
            }
            // An empty piece is no end of the connection.
            if length > 0 {
                return Poll::Ready(Ok(()));
            }
        }
        if self.groups.is_empty() && self.closes {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    }
}

impl AsyncWrite for Script {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.asked += 1;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The id of tunnels whose server says none: CONNECTs and refusals.
const NOBODYS: &str = "00000000-0000-4000-8000-000000000000";
/// The length of the chunk that the CONNECT server of 2014 begins a tunnel with.
const PREAMBLE: usize = "a\r\nCONNECT OK\r\n".len();
