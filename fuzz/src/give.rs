//! What a client sends on a connection to the give mode server: the real server over a scripted connection, and
//! destinations that note what they are sent.

use std::{
    io,
    net::IpAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use peer_agent::{
    fuzzing,
    give::{BoxStream, Config, Dial, DialFuture},
};
use proto::tunnel::{self, MAX_DESTINATION, connect, enproxy};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{
    honest::parsed,
    stream::{Scripted, pieces},
    target::{Input, Property, Report, Target},
};

/// See the module.
pub const TARGET: Target = Target {
    name: "give",
    says: "what comes in on a connection to the give mode server",
    input: Input::Bytes,
    properties: &[
        ENDS,
        ASKED_FOR,
        ONLY_BODIES,
        WELL_FORMED,
        HOWEVER_CUT,
        ADDRESSED,
        GUARDED,
    ],
    run,
};

const ENDS: Property = Property {
    name: "ends",
    says: "a connection whose client has gone ends, and sends no more than the destinations gave it and a head for each request",
};
const ASKED_FOR: Property = Property {
    name: "asked-for",
    says: "only destinations that stand in the bytes are dialled, each a readable one",
};
const ONLY_BODIES: Property = Property {
    name: "only-bodies",
    says: "a destination is sent no more than the client sent",
};
const WELL_FORMED: Property = Property {
    name: "well-formed",
    says: "what the client gets begins with an HTTP/1 head that both of our clients can read, or is nothing",
};
const HOWEVER_CUT: Property = Property {
    name: "however-cut",
    says: "the same destinations are sent the same bytes however the client's are cut",
};

const ADDRESSED: Property = Property {
    name: "addressed",
    says: "a first request that does not name one host, as HTTP/1.1 demands, dials nothing and is refused",
};
const GUARDED: Property = Property {
    name: "guarded",
    says: "a peer with a token dials nothing for a CONNECT without it, and answers as nginx does",
};

fn run(input: &[u8], report: &mut Report) {
    let whole = served(pieces(input, &[]), None);
    let cuts = &input[input.len() - input.len().min(5)..];
    let cut = served(pieces(input, cuts), None);
    let guarded = served(pieces(input, &[]), Some(TOKEN));
    let (Some((dialled, answer)), Some((dialled_cut, _)), Some(guarded)) = (whole, cut, guarded) else {
        return report.broken(ENDS, "the connection does not end");
    };
    report.note(|| format!("{dialled:?}"));
    report.note(|| String::from_utf8_lossy(&answer[..answer.len().min(200)]).into_owned());
    report.check(HOWEVER_CUT, dialled == dialled_cut, || {
        format!("whole: {dialled:?}, cut: {dialled_cut:?}")
    });
    for (destination, sent) in &dialled {
        let readable = destination.len() <= MAX_DESTINATION && destination.bytes().all(|byte| byte.is_ascii_graphic());
        let plain = percent_decoded(input);
        let asked = contains(input, destination.as_bytes()) || contains(&plain, destination.as_bytes());
        report.check(ASKED_FOR, readable && asked, || format!("{destination:?} was dialled"));
        report.check(ONLY_BODIES, sent.len() <= input.len(), || {
            format!("{} bytes to {destination}, {} came", sent.len(), input.len())
        });
    }
    answered(input, &answer, report);
    answered(input, &guarded.1, report);
    if let Ok(Some((tunnel::Request::Enproxy(request), _))) = tunnel::decode_request(input)
        && !request.is_addressed()
    {
        let refused = [&answer, &guarded.1]
            .iter()
            .all(|answer| answer.starts_with(b"HTTP/1.1 400 Bad Request\r\n"));
        report.check(ADDRESSED, dialled.is_empty() && guarded.0.is_empty() && refused, || {
            format!("{dialled:?} {}", String::from_utf8_lossy(&answer))
        });
    }
    // What comes after a first request that is none of CONNECT may be one.
    let connects = matches!(
        tunnel::decode_request(input),
        Ok(Some((tunnel::Request::Connect(_), _)))
    );
    if connects && !contains(input, TOKEN.as_bytes()) {
        let is_page = guarded
            .1
            .starts_with(b"HTTP/1.1 400 Bad Request\r\nServer: nginx\r\nDate: ");
        report.check(GUARDED, guarded.0.is_empty() && is_page, || {
            format!("{:?} {}", guarded.0, String::from_utf8_lossy(&guarded.1))
        });
    }
}

fn answered(input: &[u8], answer: &[u8], report: &mut Report) {
    // The shortest request has some 16 bytes; an answer to it a head of 400 at most, or an error text.
    let most = (1 + input.len() / 14) * (1500 + ANSWER.len());
    report.check(ENDS, answer.len() <= most, || {
        format!("{} bytes for {}", answer.len(), input.len())
    });
    if !answer.is_empty() {
        let readable = matches!(enproxy::decode_response(answer), Ok(Some(_)))
            && matches!(connect::decode_reply(answer), Ok(Some(_)))
            || answer == enproxy::CONTINUE;
        report.check(WELL_FORMED, readable, || String::from_utf8_lossy(answer).into_owned());
    }
}

type Dialled = Vec<(String, Vec<u8>)>;

/// What was dialled and sent there, and what the client got; `None` when the connection did not end.
fn served(pieces: Vec<Vec<u8>>, token: Option<&str>) -> Option<(Dialled, Vec<u8>)> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .ok()?;
    let notes = Notes::default();
    let stream = Scripted::of(pieces);
    let config = Config {
        allow_private: true,
        token: token.map(str::to_owned),
        ..Config::default()
    };
    let dialer = Arc::new(Dialer(notes.clone()));
    let source: IpAddr = parsed("192.0.2.9");
    let served = fuzzing::serve(config, dialer, stream.clone(), source);
    let patience = std::time::Duration::from_secs(24 * 3600);
    runtime
        .block_on(async { tokio::time::timeout(patience, served).await })
        .ok()?;
    drop(runtime);
    let dialled = std::mem::take(&mut *notes.0.lock().unwrap_or_else(PoisonError::into_inner));
    Some((dialled, stream.written()))
}

/// What each dialled destination was sent.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Dialled>>);

struct Dialer(Notes);

impl Dial for Dialer {
    fn dial<'a>(&'a self, destination: &'a str) -> DialFuture<'a> {
        let mut dialled = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        dialled.push((destination.to_owned(), Vec::new()));
        let end = Destination {
            notes: self.0.clone(),
            number: dialled.len() - 1,
            answer: ANSWER,
        };
        Box::pin(async move { Ok(Box::new(end) as BoxStream) })
    }
}

/// A destination that answers once and closes, whatever it is sent.
struct Destination {
    notes: Notes,
    number: usize,
    answer: &'static [u8],
}

impl AsyncRead for Destination {
    fn poll_read(mut self: Pin<&mut Self>, _cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let (head, rest) = self.answer.split_at(self.answer.len().min(buf.remaining()));
        buf.put_slice(head);
        self.answer = rest;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Destination {
    fn poll_write(self: Pin<&mut Self>, _cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut notes = self.notes.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, sent)) = notes.get_mut(self.number) {
            sent.extend_from_slice(bytes);
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn contains(input: &[u8], part: &[u8]) -> bool {
    input.windows(part.len().max(1)).any(|window| window == part)
}

/// The bytes with %XX read as a byte, wherever it stands.
fn percent_decoded(input: &[u8]) -> Vec<u8> {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let (mut decoded, mut at) = (Vec::with_capacity(input.len()), 0);
    while at < input.len() {
        match (input[at], digit(input.get(at + 1)), digit(input.get(at + 2))) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high * 16 + low) as u8);
                at += 3;
            }
            (byte, ..) => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    decoded
}

/// Nobody knows it.
const TOKEN: &str = "an-unlikely-token";
const ANSWER: &[u8] = b"HTTP/1.0 200 OK\r\n\r\nhello";
