//! What a peer answers to the prober: the real prober over a scripted connection. Whatever comes, it ends in time, keeps no
//! more than was announced, blames only whom it may, and does not depend on how the bytes were cut.

use std::{net::SocketAddr, time::Duration};

use attester::{
    flashlight::{Exchange, Job, Limits, Prober, Target as Peer, answer::Answer},
    fuzzing::flashlight,
    model::Blame,
};
use data_encoding::BASE64URL_NOPAD;
use proto::{
    claims::{Phase, Protocol},
    ids::{Digest, Pin},
    probe::{ORIGIN_HEAD, STATEMENT_HEADER},
    tunnel::{
        BodyReader, Framing, Version,
        enproxy::{self, Response},
    },
};

use crate::{
    choices::Choices,
    honest::{ADDRESS, destination, parsed},
    stream::{Scripted, pieces},
    target::{Input, Property, Report, Target},
};

/// See the module.
pub const TARGET: Target = Target {
    name: "prober",
    says: "what a peer answers to a probe: enproxy in both forms, CONNECT, or none",
    input: Input::Choices,
    properties: &[
        HONEST_IS_WHOLE,
        KEEPS_WHAT_WAS_ANNOUNCED,
        WHOLE_OR_WHY,
        BLAME,
        IN_TIME,
        HOWEVER_CUT,
    ],
    run,
};

/// What came through a tunnel, taken apart.
pub const ANSWERS: Target = Target {
    name: "answers",
    says: "what came back through a tunnel: the origin's head with its statement, and the body",
    input: Input::Bytes,
    properties: &[PARTS, ONE_STATEMENT],
    run: answers,
};

const HONEST_IS_WHOLE: Property = Property {
    name: "honest-is-whole",
    says: "what an honest server carries arrives whole, and nothing is wrong",
};
const KEEPS_WHAT_WAS_ANNOUNCED: Property = Property {
    name: "keeps-what-was-announced",
    says: "one byte more than was announced is kept at most, and none that did not come",
};
const WHOLE_OR_WHY: Property = Property {
    name: "whole-or-why",
    says: "exactly the announced bytes came, or there is a reason why not",
};
const BLAME: Property = Property {
    name: "blame",
    says: "what the peer's bytes bring about is never called the attester's fault",
};
const IN_TIME: Property = Property {
    name: "in-time",
    says: "a probe ends within its time and the grace for closing, its phases in their order",
};
const HOWEVER_CUT: Property = Property {
    name: "however-cut",
    says: "the same bytes after the same requests, and none before them, have the same outcome however they are cut",
};
const PARTS: Property = Property {
    name: "parts",
    says: "head and body are the first 1,024 bytes and the rest, whatever they are",
};
const ONE_STATEMENT: Property = Property {
    name: "one-statement",
    says: "a statement comes only out of a whole HTTP/1.1 200 head of exactly that length, which holds it once",
};

fn run(input: &[u8], report: &mut Report) {
    let mut choices = Choices::new(input);
    let protocol = choices.of(&[
        Some(Protocol::Enproxy),
        Some(Protocol::EnproxyPath),
        Some(Protocol::Connect),
        None,
    ]);
    let expected = usize::from(choices.byte());
    let down: Vec<u8> = (0..expected).map(|at| at as u8).collect();
    let honest = !choices.twist();
    let groups = if honest {
        honest_groups(*protocol, &down)
    } else {
        hostile_groups(*protocol, &down, &mut choices)
    };
    let unasked = if honest { 0 } else { choices.below(3) };
    let closes = honest || !choices.twist();
    let cuts = choices.bytes(12).to_vec();
    let job = Job {
        protocol: protocol.unwrap_or(Protocol::Connect),
        destination: destination(),
        request: b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        expected_down: expected as u64,
    };
    let whole = exchange(*protocol, &job, &groups, &[], unasked, closes);
    let cut = exchange(*protocol, &job, &groups, &cuts, unasked, closes);
    let (Some((whole, took)), Some((cut, _))) = (whole, cut) else {
        return;
    };
    let told = |exchange: &Exchange| {
        (
            exchange.failure.clone(),
            exchange.received.clone(),
            exchange.sent,
            exchange.proxy_host.clone(),
        )
    };
    if speaks_when_asked(*protocol, &groups, unasked) {
        report.equal(HOWEVER_CUT, &told(&cut), &told(&whole));
    }
    report.note(|| format!("{protocol:?}, {expected} bytes announced: {:?}", whole.failure));
    judge(&whole, took, expected, &groups, report);
    if honest {
        report.check(
            HONEST_IS_WHOLE,
            whole.failure.is_none() && whole.received == down,
            || format!("{whole:?}"),
        );
    }
}

fn judge(exchange: &Exchange, took: Duration, expected: usize, groups: &[Vec<u8>], report: &mut Report) {
    let came: usize = groups.iter().map(Vec::len).sum();
    let length = exchange.received.len();
    report.check(
        KEEPS_WHAT_WAS_ANNOUNCED,
        length <= expected + 1 && length <= came,
        || format!("{length} bytes kept of {came}, {expected} announced"),
    );
    report.equal(
        KEEPS_WHAT_WAS_ANNOUNCED,
        &exchange.received_digest,
        &Digest::of(&exchange.received),
    );
    report.check(WHOLE_OR_WHY, exchange.failure.is_some() || length == expected, || {
        format!("{exchange:?}")
    });
    if let Some(finding) = &exchange.failure {
        report.check(BLAME, finding.reason.blame() == Blame::Peer, || finding.to_string());
    }
    let mut last = Duration::ZERO;
    let ordered = exchange.watch.times().0.values().all(|time| {
        let after = *time >= last;
        last = *time;
        after
    });
    let limit = Limits::default().total + Duration::from_secs(2);
    report.check(IN_TIME, ordered && took <= limit, || {
        format!("{took:?}, phases {}", exchange.watch.times())
    });
    let complete = exchange.watch.times().0.contains_key(&Phase::Complete);
    report.check(WHOLE_OR_WHY, !complete || length >= expected, || {
        "complete without all bytes".to_owned()
    });
}

/// Whether every group is an answer to its request and no more: what an enproxy server says unasked is noticed at once or
/// taken for the next answer, as the bytes come. The other tunnels are streams.
fn speaks_when_asked(protocol: Option<Protocol>, groups: &[Vec<u8>], unasked: usize) -> bool {
    let one_answer = |group: &Vec<u8>| {
        let Ok(Some((response, length))) = enproxy::decode_response(group) else {
            return true;
        };
        let (mut body, mut rest) = (BodyReader::new(response.body), &group[length..]);
        while !body.is_done() && !rest.is_empty() {
            match body.read(rest) {
                Ok(piece) => rest = &rest[piece.consumed..],
                Err(_) => return true,
            }
        }
        rest.is_empty()
    };
    let is_stream = matches!(protocol, Some(Protocol::Connect) | None);
    is_stream || (unasked == 0 && groups.iter().all(one_answer))
}

/// What comes after each request, when the server is honest.
fn honest_groups(protocol: Option<Protocol>, down: &[u8]) -> Vec<Vec<u8>> {
    match protocol {
        None => vec![down.to_vec()],
        Some(Protocol::Connect) => vec![b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), down.to_vec()],
        Some(Protocol::Enproxy | Protocol::EnproxyPath) => {
            let (first, rest) = down.split_at(down.len() / 2);
            vec![response(false, first), response(false, rest), response(true, b"")]
        }
    }
}

fn response(eof: bool, body: &[u8]) -> Vec<u8> {
    let head = Response {
        status: 200,
        eof,
        id: Some(ID.to_owned()),
        proxy_host: None,
        body: Framing::Length(body.len() as u64),
        version: Version::Http11,
        keep_alive: true,
    };
    let mut out = Vec::new();
    head.encode(&mut out);
    out.extend_from_slice(body);
    out
}

/// Anything after each request; heads that are almost right among it.
fn hostile_groups(protocol: Option<Protocol>, down: &[u8], choices: &mut Choices<'_>) -> Vec<Vec<u8>> {
    let mut groups = if choices.any() {
        honest_groups(protocol, down)
    } else {
        Vec::new()
    };
    for _ in 0..choices.below(5) {
        let mut group = match choices.below(6) {
            0 => response(choices.any(), choices.bytes(100)),
            1 => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nCONNECT OK\r\n".to_vec(),
            2 => b"HTTP/1.1 500 Oh\r\nContent-Length: 4\r\n\r\nwhy?".to_vec(),
            3 => b"HTTP/1.1 100 Continue\r\n\r\n".to_vec(),
            4 => b"HTTP/1.1 200 OK\r\nX-Enproxy-Proxy-Host: a b\r\nContent-Length: 99999999999\r\n\r\n".to_vec(),
            _ => Vec::new(),
        };
        group.extend_from_slice(choices.bytes(60));
        let at = choices.below(groups.len() + 1);
        groups.insert(at, group);
    }
    groups
}

fn exchange(
    protocol: Option<Protocol>,
    job: &Job,
    groups: &[Vec<u8>],
    cuts: &[u8],
    unasked: usize,
    closes: bool,
) -> Option<(Exchange, Duration)> {
    let script = groups.iter().map(|group| pieces(group, cuts)).collect();
    let stream = Scripted::new(script, unasked, closes);
    let peer = Peer {
        connect_token: Some("sesame".to_owned()),
        host: Some("peer-x.example".to_owned()),
        ..Peer::pinned(parsed::<SocketAddr>(ADDRESS), Pin::from_bytes([4; 32]))
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .ok()?;
    PROBER.with(|prober| {
        runtime.block_on(async {
            let began = tokio::time::Instant::now();
            let exchange = match protocol {
                Some(_) => flashlight::exchange(prober, &peer, job, ID, stream).await,
                None => flashlight::direct(prober, &peer, job, stream).await,
            };
            Some((exchange, began.elapsed()))
        })
    })
}

fn answers(input: &[u8], report: &mut Report) {
    let answer = Answer::of(input);
    let (head, body) = input.split_at(input.len().min(ORIGIN_HEAD));
    let right = answer.head_digest == Digest::of(head)
        && answer.body_length == body.len() as u64
        && answer.body_digest == Digest::of(body);
    report.check(PARTS, right, || format!("{answer:?}"));
    report.note(|| format!("{:?}, a body of {} bytes", answer.statement, answer.body_length));
    if let Ok(statement) = &answer.statement {
        let encoded = BASE64URL_NOPAD.encode(statement);
        let text = String::from_utf8_lossy(head);
        let name = format!("{STATEMENT_HEADER}:");
        let lines: Vec<&str> = text
            .split('\n')
            .filter(|line| {
                line.get(..name.len())
                    .is_some_and(|start| start.eq_ignore_ascii_case(&name))
            })
            .collect();
        let once = matches!(lines.as_slice(), [line] if line.contains(&encoded));
        let fine = head.len() == ORIGIN_HEAD && head.starts_with(b"HTTP/1.1 200") && head.ends_with(b"\n") && once;
        report.check(ONE_STATEMENT, fine, || format!("{statement:02x?} out of {text:?}"));
    }
}

/// The tunnel's.
const ID: &str = "9f1c-1";

thread_local! {
    static PROBER: Prober = Prober::new(None, Limits::default());
}
