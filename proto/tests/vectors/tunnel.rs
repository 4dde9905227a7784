//! The heads of the two tunnels, both sides, and bodies: bytes and what they mean.

use proto::tunnel::{
    BodyError, BodyReader, Framing, HeadError, Request, Version, connect,
    connect::Reply,
    decode_request,
    enproxy::{self, Call, Form, Op, Purpose},
};
use serde::{Deserialize, Serialize};

use super::format::{Hex, committed, written};

mod bodies;
mod requests;
mod responses;

/// `tunnel.json`.
#[derive(Debug, Serialize, Deserialize)]
struct TunnelFile {
    about: String,
    requests: Vec<RequestVector>,
    responses: Vec<ResponseVector>,
    replies: Vec<ReplyVector>,
    bodies: Vec<BodyVector>,
}

/// A request as a server reads it. Whatever is after its head is the body.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct RequestVector {
    name: String,
    /// The head and what follows it. ASCII, so as text.
    bytes: String,
    /// Length of the head; 0 when it is refused.
    head: usize,
    /// What it means; absent when the head is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    means: Option<Means>,
    /// Why the head is refused, and with it the connection; empty when it is not.
    error: String,
    /// The form and the Host header with which our client writes exactly these bytes, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    written: Option<Writing>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Writing {
    form: String,
    host: Option<String>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Means {
    Connect {
        destination: String,
        tokens: Vec<String>,
        device_id: Option<String>,
    },
    Call {
        id: String,
        destination: String,
        op: String,
        body: Ends,
        keep_alive: bool,
        expect_continue: bool,
    },
    Health {
        keep_alive: bool,
    },
    /// A head that is read, and asks for nothing that can be served.
    Unserved {
        status: u16,
        text: String,
        body: Ends,
    },
}

/// Where a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Ends {
    Length(u64),
    Chunked,
    UntilClose,
}

impl From<Framing> for Ends {
    fn from(framing: Framing) -> Self {
        match framing {
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked,
            Framing::UntilClose => Self::UntilClose,
        }
    }
}

impl From<Ends> for Framing {
    fn from(ends: Ends) -> Self {
        match ends {
            Ends::Length(length) => Self::Length(length),
            Ends::Chunked => Self::Chunked,
            Ends::UntilClose => Self::UntilClose,
        }
    }
}

/// An enproxy response as a client reads it, interim ones before it included.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct ResponseVector {
    name: String,
    bytes: String,
    head: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    means: Option<Response>,
    error: String,
    /// Whether our server writes exactly these bytes.
    written: bool,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Response {
    status: u16,
    eof: bool,
    id: Option<String>,
    proxy_host: Option<String>,
    body: Ends,
    keep_alive: bool,
}

/// The answer to CONNECT, and what comes after it.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct ReplyVector {
    name: String,
    bytes: String,
    head: usize,
    /// Status of a refusal; 0 when the tunnel is open.
    refused: u16,
    /// The text of a refusal, or what has come through the open tunnel.
    text: String,
    error: String,
}

/// A body in a stream that goes on.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct BodyVector {
    name: String,
    ends: Ends,
    stream: Hex,
    body: Hex,
    /// What of the stream is not the body's any more.
    rest: Hex,
    error: String,
}

pub(crate) fn file() -> String {
    written(&TunnelFile {
        about: "Heads of enproxy and CONNECT, as servers and clients write and read them, and bodies.".to_owned(),
        requests: requests::vectors(),
        responses: responses::vectors(),
        replies: responses::replies(),
        bodies: bodies::vectors(),
    })
}

/// What the library reads in a request; every part of its head is incomplete.
fn read_request(bytes: &[u8]) -> Result<(Means, usize), &'static str> {
    let (request, length) = decode_request(bytes)
        .map_err(|error| head_error(&error))?
        .expect("a whole head");
    for short in 0..length {
        assert_eq!(decode_request(&bytes[..short]), Ok(None));
    }
    let means = match request {
        Request::Connect(request) => Means::Connect {
            destination: request.destination,
            tokens: request.tokens,
            device_id: request.device_id,
        },
        Request::Enproxy(request) => match request.purpose {
            Purpose::Health => Means::Health {
                keep_alive: request.keep_alive,
            },
            Purpose::Call(call) => Means::Call {
                id: call.id,
                destination: call.destination,
                op: call.op.as_str().to_owned(),
                body: request.body.into(),
                keep_alive: request.keep_alive,
                expect_continue: request.expect_continue,
            },
            Purpose::Refused(refusal) => Means::Unserved {
                status: refusal.status(),
                text: refusal.to_string(),
                body: request.body.into(),
            },
        },
    };
    Ok((means, length))
}

fn read_response(bytes: &[u8]) -> Result<(Response, usize), &'static str> {
    let (response, length) = enproxy::decode_response(bytes)
        .map_err(|error| head_error(&error))?
        .expect("a whole head");
    for short in 0..length {
        assert_eq!(enproxy::decode_response(&bytes[..short]), Ok(None));
    }
    let means = Response {
        status: response.status,
        eof: response.eof,
        id: response.id,
        proxy_host: response.proxy_host,
        body: response.body.into(),
        keep_alive: response.keep_alive,
    };
    Ok((means, length))
}

/// The name of an error in the vectors.
fn head_error(error: &HeadError) -> &'static str {
    match error {
        HeadError::TooLong => "too-long",
        HeadError::TooManyHeaders => "too-many-headers",
        HeadError::Syntax(_) => "syntax",
        HeadError::ContentLength => "content-length",
        HeadError::ConflictingLengths => "conflicting-lengths",
        HeadError::LengthAndChunked => "length-and-chunked",
        HeadError::TransferEncoding => "transfer-encoding",
        HeadError::ChunkedInHttp10 => "chunked-in-http10",
        HeadError::SwitchingProtocols => "switching-protocols",
        HeadError::Unreadable(_) => "unreadable",
        HeadError::Target => "target",
    }
}

fn body_error(error: BodyError) -> &'static str {
    match error {
        BodyError::ChunkSize => "chunk-size",
        BodyError::ChunkTooLarge => "chunk-too-large",
        BodyError::ChunkLineTooLong => "chunk-line-too-long",
        BodyError::ChunkEnd => "chunk-end",
        BodyError::TrailersTooLong => "trailers-too-long",
        BodyError::Truncated => "truncated",
    }
}

#[test]
fn requests_mean_what_their_file_says() {
    let file: TunnelFile = committed("tunnel.json");
    for vector in &file.requests {
        match read_request(vector.bytes.as_bytes()) {
            Ok((means, head)) => {
                assert_eq!(
                    (Some(&means), head, ""),
                    (vector.means.as_ref(), vector.head, &*vector.error),
                    "{}",
                    vector.name
                );
            }
            Err(error) => assert_eq!((error, 0), (&*vector.error, vector.head), "{}", vector.name),
        }
        if let Some(writing) = &vector.written {
            assert_eq!(
                wrote(vector.means.as_ref().unwrap(), writing, &vector.bytes[vector.head..]),
                vector.bytes
            );
        }
    }
    for form in ["headers", "path"] {
        for op in ["write", "read"] {
            let same = |vector: &&RequestVector| {
                let call = matches!(&vector.means, Some(Means::Call { op: found, .. }) if found == op);
                call && vector.written.as_ref().is_some_and(|writing| writing.form == form)
            };
            assert!(file.requests.iter().any(|vector| same(&vector)), "{form} {op}");
        }
    }
}

/// What our client writes to say this.
fn wrote(means: &Means, writing: &Writing, body: &str) -> String {
    let mut out = Vec::new();
    match means {
        Means::Connect {
            destination,
            tokens,
            device_id,
        } => {
            let request = connect::Request {
                destination: destination.clone(),
                tokens: tokens.clone(),
                device_id: device_id.clone(),
                dial_timeout: None,
            };
            request.encode(&mut out).unwrap();
        }
        Means::Call {
            id, destination, op, ..
        } => {
            let op = if op == "write" { Op::Write } else { Op::Read };
            let call = Call {
                id: id.clone(),
                destination: destination.clone(),
                op,
            };
            let form = if writing.form == "path" {
                Form::Path
            } else {
                Form::Headers
            };
            call.encode(form, writing.host.as_deref(), body.as_bytes(), &mut out)
                .unwrap();
        }
        other => panic!("nobody writes {other:?}"),
    }
    String::from_utf8(out).unwrap()
}

#[test]
fn responses_mean_what_their_file_says() {
    let file: TunnelFile = committed("tunnel.json");
    for vector in &file.responses {
        match read_response(vector.bytes.as_bytes()) {
            Ok((means, head)) => {
                assert_eq!(
                    (Some(&means), head, ""),
                    (vector.means.as_ref(), vector.head, &*vector.error),
                    "{}",
                    vector.name
                );
            }
            Err(error) => assert_eq!((error, 0), (&*vector.error, vector.head), "{}", vector.name),
        }
        if vector.written {
            let means = vector.means.as_ref().unwrap();
            let response = enproxy::Response {
                status: means.status,
                eof: means.eof,
                id: means.id.clone(),
                proxy_host: means.proxy_host.clone(),
                body: means.body.into(),
                version: Version::Http11,
                keep_alive: means.keep_alive,
            };
            let mut out = Vec::new();
            response.encode(&mut out);
            assert_eq!(
                String::from_utf8(out).unwrap(),
                vector.bytes[..vector.head],
                "{}",
                vector.name
            );
        }
    }
}

#[test]
fn replies_open_a_tunnel_or_say_why_not() {
    let file: TunnelFile = committed("tunnel.json");
    for vector in &file.replies {
        let bytes = vector.bytes.as_bytes();
        let decoded = connect::decode_reply(bytes).map_err(|error| head_error(&error));
        let (refused, text, head) = match decoded {
            Err(error) => {
                assert_eq!(error, vector.error, "{}", vector.name);
                continue;
            }
            Ok(None) => panic!("{}: not a whole head", vector.name),
            Ok(Some((Reply::Refused { status, mut body }, head))) => {
                body.push(&bytes[head..]);
                (status, body.text(), head)
            }
            Ok(Some((Reply::Open(preamble), head))) => (0, through(preamble, &bytes[head..]), head),
        };
        assert_eq!(
            (refused, &text, head),
            (vector.refused, &vector.text, vector.head),
            "{}",
            vector.name
        );
        assert_eq!(vector.error, "", "{}", vector.name);
    }
}

/// What comes through an open tunnel, however the stream is cut.
fn through(preamble: connect::Preamble, stream: &[u8]) -> String {
    let cut_at = |at: usize| {
        let mut strip = preamble;
        let mut got = strip.strip(&stream[..at]).concat();
        got.extend(strip.strip(&stream[at..]).concat());
        got.extend_from_slice(strip.finish());
        String::from_utf8(got).unwrap()
    };
    let whole = cut_at(stream.len());
    assert!((0..stream.len()).all(|at| cut_at(at) == whole));
    whole
}

#[test]
fn bodies_end_where_their_file_says() {
    let file: TunnelFile = committed("tunnel.json");
    for vector in &file.bodies {
        for size in [1, 2, 3, 7, vector.stream.0.len().max(1)] {
            let found = feed(vector.ends.into(), vector.stream.0.chunks(size));
            match found {
                Ok(found) => assert_eq!(
                    (found, ""),
                    ((vector.body.0.clone(), vector.rest.0.clone()), vector.error.as_str()),
                    "{}",
                    vector.name
                ),
                Err(error) => assert_eq!(body_error(error), vector.error, "{}", vector.name),
            }
        }
    }
}

/// Feeds a body in pieces, and then the end of the connection.
fn feed<'a>(framing: Framing, pieces: impl Iterator<Item = &'a [u8]>) -> Result<(Vec<u8>, Vec<u8>), BodyError> {
    let mut reader = BodyReader::new(framing);
    let (mut body, mut rest) = (Vec::new(), Vec::new());
    for mut input in pieces {
        while !reader.is_done() && !input.is_empty() {
            let piece = reader.read(input)?;
            body.extend_from_slice(piece.data);
            input = &input[piece.consumed..];
        }
        rest.extend_from_slice(input);
    }
    reader.close()?;
    Ok((body, rest))
}
