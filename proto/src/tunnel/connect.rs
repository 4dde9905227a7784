//! HTTP CONNECT as Flashlight's "chained" servers speak it: a token in place of a password, and two generations of servers
//! that each bend the RFC in their own way.

use std::time::Duration;

use super::http::{self, Fields, RequestLine, decimal, is_word, sendable};
use super::{EncodeError, ErrorBody, Field, Framing, HeadError, MAX_DESTINATION, USER_AGENT};

/// A request to open a tunnel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// `host:port`, byte for byte. Always the request target: a `Host` header that says otherwise is ignored, as both real
    /// servers ignore it.
    pub destination: String,
    /// All tokens offered; one match is enough. A client with several servers sends the tokens of all of them.
    pub tokens: Vec<String>,
    /// The client's device id.
    pub device_id: Option<String>,
    /// How long the client is ready to wait for the dial, in whole milliseconds. As in the real server it can only shorten the
    /// server's own limit, zero fails at once, and what is no number counts as absent.
    pub dial_timeout: Option<Duration>,
}

impl Request {
    /// Appends the request. Nothing may follow it before the reply: a server of 2014 drops bytes that arrive in the same segment.
    ///
    /// # Errors
    /// A value would break the message, or the destination is not `host:port`; nothing is appended then.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if !is_target(&self.destination) {
            return Err(EncodeError(Field::Destination));
        }
        if self.tokens.len() > MAX_TOKENS || self.tokens.iter().any(|token| !is_value(token)) {
            return Err(EncodeError(Field::Token));
        }
        if self.device_id.as_deref().is_some_and(|id| !is_value(id)) {
            return Err(EncodeError(Field::DeviceId));
        }
        let mut head = format!(
            "CONNECT {0} HTTP/1.1\r\nHost: {0}\r\nUser-Agent: {USER_AGENT}\r\n",
            self.destination
        );
        for (name, value) in self
            .tokens
            .iter()
            .map(|token| (TOKEN, token))
            .chain(self.device_id.iter().map(|id| (DEVICE_ID, id)))
        {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(limit) = self.dial_timeout {
            head.push_str(&format!("{DIAL_TIMEOUT}: {}\r\n", limit.as_millis()));
        }
        head.push_str("\r\n");
        out.extend_from_slice(head.as_bytes());
        Ok(())
    }

    pub(super) fn from_head(line: &RequestLine<'_>, fields: &Fields<'_>) -> Result<Self, HeadError> {
        if !is_target(line.target) {
            return Err(HeadError::Target);
        }
        let tokens: Option<Vec<String>> = fields
            .all(TOKEN)
            .take(MAX_TOKENS)
            .map(|value| sendable(value, MAX_VALUE))
            .collect();
        Ok(Self {
            destination: line.target.to_owned(),
            tokens: tokens.ok_or(HeadError::Unreadable(TOKEN))?,
            device_id: fields.text(DEVICE_ID, MAX_VALUE)?,
            dial_timeout: fields.first(DIAL_TIMEOUT).and_then(decimal).map(Duration::from_millis),
        })
    }
}

/// The server's answer.
#[derive(Clone, Debug)]
pub enum Reply {
    /// The tunnel is open; the client may send at once. Everything that follows, from the first byte after the head, goes
    /// through the [`Preamble`] first.
    Open(Preamble),
    /// It is not. 400 means a bad token, 403 a destination or port that the peer does not serve, 502 a failed dial.
    Refused {
        /// The status code.
        status: u16,
        /// Collects the reason from the bytes after the head.
        body: ErrorBody,
    },
}

/// Decodes the reply at the start of `buf`. `Ok(None)`: more bytes are needed. Otherwise the reply and the length of its head.
///
/// # Errors
/// The head is not HTTP/1, breaks a limit, or contradicts itself.
pub fn decode_reply(buf: &[u8]) -> Result<Option<(Reply, usize)>, HeadError> {
    http::parse_response(buf, |line, fields| {
        let framing = fields.response_framing(line)?;
        Ok(match line.status {
            200..=299 => Reply::Open(Preamble {
                matched: (framing == Framing::Chunked).then_some(0),
            }),
            status => Reply::Refused {
                status,
                body: ErrorBody::new(framing),
            },
        })
    })
}

/// Strips what the chained server of 2014 writes into an open tunnel: after a reply that claims to be chunked, exactly one
/// chunk that says `CONNECT OK`, without the chunk that would end the body. It may arrive later than the head, in pieces, or
/// never. `Content-Length` on the reply (the newer server sends 0) means nothing (RFC 9110 section 9.3.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preamble {
    /// How much of the chunk was seen; `None` when there is nothing (more) to strip.
    matched: Option<usize>,
}

impl Preamble {
    /// The tunnel's bytes in `input`, in two parts to be taken in order. The first is usually empty: it gives back what looked
    /// like the chunk and was not.
    pub fn strip<'a>(&mut self, input: &'a [u8]) -> [&'a [u8]; 2] {
        let Some(matched) = self.matched else {
            return [&[], input];
        };
        let same = input
            .iter()
            .zip(&CONNECT_OK[matched..])
            .take_while(|(a, b)| a == b)
            .count();
        if matched + same == CONNECT_OK.len() {
            self.matched = None;
            return [&[], &input[same..]];
        }
        if same == input.len() {
            self.matched = Some(matched + same);
            return [&[], &[]];
        }
        self.matched = None;
        [&CONNECT_OK[..matched], input]
    }

    /// What was held back when the tunnel ends.
    pub fn finish(self) -> &'static [u8] {
        &CONNECT_OK[..self.matched.unwrap_or(0)]
    }
}

/// The server's answer to a request that it serves. Without a length: RFC 9110 section 9.3.6 forbids one.
pub const OPEN: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";

/// Appends the server's answer to a request that it does not serve; the connection is to be closed after it.
pub fn encode_refusal(status: u16, text: &str, out: &mut Vec<u8>) {
    let head = format!(
        "HTTP/1.1 {status} {}\r\nConnection: close\r\nContent-Length: {}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n",
        http::reason(status),
        text.len()
    );
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// Most tokens read from one request.
pub const MAX_TOKENS: usize = 16;
/// Longest token or device id, in bytes.
pub const MAX_VALUE: usize = 512;

/// `host:port` with a port from 1 to 65535; an IPv6 address stands in brackets.
fn is_target(target: &str) -> bool {
    let Some((host, port)) = target.rsplit_once(':') else {
        return false;
    };
    let bracketed = host.starts_with('[') && host.ends_with(']') && host.len() > 2;
    is_word(target, MAX_DESTINATION)
        && !host.is_empty()
        && (bracketed || !host.contains([':', '/', '[', ']']))
        && port.bytes().all(|byte| byte.is_ascii_digit())
        && port.parse::<u16>().is_ok_and(|port| port != 0)
}

fn is_value(value: &str) -> bool {
    sendable(value.as_bytes(), MAX_VALUE).is_some()
}

const TOKEN: &str = "X-Lantern-Auth-Token";
const DEVICE_ID: &str = "X-Lantern-Device-Id";
const DIAL_TIMEOUT: &str = "X-Lantern-Dial-Timeout";
const CONNECT_OK: &[u8] = b"a\r\nCONNECT OK\r\n";
