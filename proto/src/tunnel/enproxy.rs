//! enproxy: one TCP connection tunnelled through HTTP requests that name it by an id of the client's choice.
//!
//! Two request forms carry the same three values. Clients of 2014 and 2015 put them in `X-Enproxy-*` headers of a `POST /`,
//! later ones in the path `/<id>/<destination>/<op>/`. Servers of 2014 know the headers only; later ones look at the headers
//! only when the path has at most five bytes. The header form is therefore the one to send by default.

use std::borrow::Cow;

use super::http::{self, Fields, RequestLine, is_word, sendable};
use super::{EncodeError, Field, Framing, HeadError, Host, MAX_DESTINATION, MAX_ID, USER_AGENT, Version};

mod path;
mod visit;

pub use visit::Visit;

/// What a request does with its tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// The request's body goes to the destination. The first write's response also carries the first bytes back.
    Write,
    /// The response's body is what the destination sent.
    Read,
}

impl Op {
    /// As it stands on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Op::Write => "write",
            Op::Read => "read",
        }
    }
}

/// Where a request carries its three values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// `X-Enproxy-*` headers: every server understands it.
    #[default]
    Headers,
    /// The path: servers since 2015 only.
    Path,
}

/// How a request's body is sent. Every server takes both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sending {
    /// Its length goes ahead of it.
    #[default]
    Buffered,
    /// In chunks, as a client sends what is written to it meanwhile; here in one chunk that is finished at once.
    Streamed,
}

/// The three values that make a request part of a tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The tunnel's id, chosen by the client. A fresh one for every attempt: a server may remember a failed one for ever.
    pub id: String,
    /// `host:port`, byte for byte as the client sent it (percent-decoded in the path form).
    pub destination: String,
    /// What to do.
    pub op: Op,
}

impl Call {
    /// Appends a whole request, head and body, so that one write sends it, with the fields of a Go client in their order: nothing tells a
    /// probe from other clients. `host` is the `Host` header: the peer's own name, or the sticky host of an earlier response; left
    /// out when `None`, which servers of 2014 took, and those of today do not.
    ///
    /// # Errors
    /// A value is empty, too long, or would break the message; nothing is appended then.
    pub fn encode(&self, form: Form, host: Option<&str>, body: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.encode_as(form, Sending::Buffered, host, body, out)
    }

    /// [`Call::encode`], with the body sent in this way.
    ///
    /// # Errors
    /// The same.
    pub fn encode_as(
        &self,
        form: Form,
        sending: Sending,
        host: Option<&str>,
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        if !is_word(&self.id, MAX_ID) {
            return Err(EncodeError(Field::Id));
        }
        if !is_word(&self.destination, MAX_DESTINATION) || (form == Form::Path && self.destination.contains('/')) {
            return Err(EncodeError(Field::Destination));
        }
        if host.is_some_and(|host| !is_word(host, MAX_DESTINATION)) {
            return Err(EncodeError(Field::Host));
        }
        let (id, destination, op) = (&self.id, &self.destination, self.op.as_str());
        out.reserve(body.len() + 3 * (id.len() + destination.len()) + 300);
        match form {
            Form::Headers => push(out, &["POST / HTTP/1.1\r\n"]),
            Form::Path => push(
                out,
                &[
                    "POST /",
                    &path::escape(id),
                    "/",
                    &path::escape(destination),
                    "/",
                    op,
                    "/ HTTP/1.1\r\n",
                ],
            ),
        }
        if let Some(host) = host {
            push(out, &["Host: ", host, "\r\n"]);
        }
        push(out, &["User-Agent: ", USER_AGENT, "\r\n"]);
        match sending {
            Sending::Buffered => push(out, &["Content-Length: ", &body.len().to_string(), "\r\n"]),
            Sending::Streamed => push(out, &["Transfer-Encoding: chunked\r\n"]),
        }
        push(out, &["Content-Type: application/octet-stream\r\n"]);
        if form == Form::Headers {
            push(
                out,
                &[
                    DESTINATION,
                    ": ",
                    destination,
                    "\r\n",
                    ID,
                    ": ",
                    id,
                    "\r\n",
                    OP,
                    ": ",
                    op,
                    "\r\n",
                ],
            );
        }
        out.extend_from_slice(b"\r\n");
        match sending {
            Sending::Buffered => out.extend_from_slice(body),
            Sending::Streamed => {
                // An empty chunk would be the last one.
                if !body.is_empty() {
                    push(out, &[&format!("{:x}\r\n", body.len())]);
                    out.extend_from_slice(body);
                    out.extend_from_slice(b"\r\n");
                }
                out.extend_from_slice(b"0\r\n\r\n");
            }
        }
        Ok(())
    }
}

/// A decoded request, as the server needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What it asks for.
    pub purpose: Purpose,
    /// Where its body ends. A body is there even when the purpose was refused, and has to be read past.
    pub body: Framing,
    /// HTTP/1.0 clients cannot read chunked responses.
    pub version: Version,
    /// May the connection carry another request?
    pub keep_alive: bool,
    /// The client waits for `100 Continue` before it sends the body.
    pub expect_continue: bool,
    /// The host that it is for.
    pub host: Host,
    /// What a server that knows nothing of enproxy would see in it.
    pub visit: Visit,
}

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// `HEAD` with any path: the health check of the CDN before the peer.
    Health,
    /// Part of a tunnel.
    Call(Call),
    /// Nothing that can be served. The connection stays usable.
    Refused(Refusal),
}

/// Why a request is not part of any tunnel. The texts are those of the Go server where it has one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No id.
    #[error("No id found in header X-Enproxy-Id")]
    NoId,
    /// No destination.
    #[error("No address found in header X-Enproxy-Dest-Addr")]
    NoDestination,
    /// An id or a destination that is too long or not visible ASCII.
    #[error("Unreadable {0}")]
    Unreadable(Field),
    /// A path longer than five bytes that is not `/<id>/<destination>/<op>/`.
    #[error("Unexpected request path: {0}")]
    Path(String),
    /// Neither `write` nor `read`.
    #[error("Operation not supported: {0}")]
    Op(String),
}

impl Refusal {
    /// The status code it deserves.
    pub fn status(&self) -> u16 {
        if matches!(self, Refusal::Op(_)) { 500 } else { 400 }
    }
}

impl Request {
    pub(super) fn from_head(line: &RequestLine<'_>, fields: &Fields<'_>) -> Result<Self, HeadError> {
        let path = path::decode(line.target);
        let purpose = if line.method == "HEAD" {
            Purpose::Health
        } else {
            call(path, fields).map_or_else(Purpose::Refused, Purpose::Call)
        };
        Ok(Self {
            purpose,
            body: fields.request_framing(line.version)?,
            version: line.version,
            keep_alive: fields.keep_alive(line.version),
            expect_continue: line.version == Version::Http11 && fields.has_token("expect", "100-continue"),
            host: fields.host(),
            visit: Visit::of(line.method, line.target),
        })
    }

    /// Does it name its host as its version of HTTP demands (RFC 9112 section 3.2)? Servers refuse it otherwise, those of Go as well.
    pub fn is_addressed(&self) -> bool {
        match self.host {
            Host::Named(_) => true,
            Host::Absent => self.version == Version::Http10,
            Host::Unusable => false,
        }
    }
}

/// The head of a response, for both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// 2xx is success; anything else ends the tunnel, and the body says why (see [`super::ErrorBody`]).
    pub status: u16,
    /// The destination closed, and everything it sent was delivered with this response's body.
    pub eof: bool,
    /// The tunnel's id; set on responses that read the destination. On any write but the first it means that the server had
    /// forgotten the tunnel and has opened a new one.
    pub id: Option<String>,
    /// The peer's own name, on responses to writes.
    pub proxy_host: Option<String>,
    /// Where the body ends.
    pub body: Framing,
    /// HTTP version.
    pub version: Version,
    /// May the connection carry another request?
    pub keep_alive: bool,
}

impl Response {
    /// Appends the head. Values that cannot be sent are left out, as the server has no better answer to give.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let version = if self.version == Version::Http10 {
            "HTTP/1.0"
        } else {
            "HTTP/1.1"
        };
        push(
            out,
            &[
                version,
                " ",
                &self.status.to_string(),
                " ",
                http::reason(self.status),
                "\r\n",
            ],
        );
        if self.eof {
            push(out, &[EOF, ": true\r\n"]);
        }
        for (name, value) in [(ID, &self.id), (PROXY_HOST, &self.proxy_host)] {
            if let Some(value) = value
                .as_deref()
                .filter(|value| is_word(value, MAX_ID.max(MAX_DESTINATION)))
            {
                push(out, &[name, ": ", value, "\r\n"]);
            }
        }
        match self.body {
            Framing::Length(length) => push(out, &["Content-Length: ", &length.to_string(), "\r\n"]),
            Framing::Chunked => push(out, &["Transfer-Encoding: chunked\r\n"]),
            Framing::UntilClose => {}
        }
        // Content that a CDN might sniff, recompress or transform must not look like text.
        match self.body {
            Framing::Length(0) => {}
            _ if self.status / 100 == 2 => push(out, &["Content-Type: application/octet-stream\r\n"]),
            _ => push(out, &["Content-Type: text/plain; charset=utf-8\r\n"]),
        }
        if !self.keep_alive {
            push(out, &["Connection: close\r\n"]);
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// Decodes the response at the start of `buf`, interim responses (1xx) before it included. `Ok(None)`: more bytes are needed.
/// Otherwise the response and where its body starts.
///
/// # Errors
/// The head is not HTTP/1, breaks a limit, or contradicts itself.
pub fn decode_response(buf: &[u8]) -> Result<Option<(Response, usize)>, HeadError> {
    http::parse_response(buf, |line, fields| {
        let body = fields.response_framing(line)?;
        Ok(Response {
            status: line.status,
            // Go writes the constant `X-Enproxy-EOF` as `X-Enproxy-Eof`; the value is compared exactly, as its client does.
            eof: fields.first(EOF) == Some(b"true"),
            id: fields.text(ID, MAX_ID)?,
            proxy_host: fields.text(PROXY_HOST, MAX_DESTINATION)?,
            body,
            version: line.version,
            keep_alive: fields.keep_alive(line.version) && body != Framing::UntilClose,
        })
    })
}

/// The interim response that a client with `Expect: 100-continue` waits for.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
/// The answer to a health check: a response to `HEAD` has no length of its own to tell.
pub const HEALTHY: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";

fn call(path: Result<Cow<'_, str>, String>, fields: &Fields<'_>) -> Result<Call, Refusal> {
    let path = path.map_err(Refusal::Path)?;
    let (id, destination, op) = if path.len() > LONGEST_ROOT {
        path::split(&path).ok_or_else(|| Refusal::Path(path.chars().take(MAX_ECHO).collect()))?
    } else {
        let text = |name| String::from_utf8_lossy(fields.first(name).unwrap_or_default());
        (text(ID), text(DESTINATION), text(OP))
    };
    if id.is_empty() {
        return Err(Refusal::NoId);
    }
    if !is_word(&id, MAX_ID) {
        return Err(Refusal::Unreadable(Field::Id));
    }
    if destination.is_empty() {
        return Err(Refusal::NoDestination);
    }
    if !is_word(&destination, MAX_DESTINATION) {
        return Err(Refusal::Unreadable(Field::Destination));
    }
    let op = match &*op {
        "write" => Op::Write,
        "read" => Op::Read,
        other => return Err(Refusal::Op(sendable(other.as_bytes(), MAX_ECHO).unwrap_or_default())),
    };
    Ok(Call {
        id: id.into_owned(),
        destination: destination.into_owned(),
        op,
    })
}

fn push(out: &mut Vec<u8>, parts: &[&str]) {
    for part in parts {
        out.extend_from_slice(part.as_bytes());
    }
}

const ID: &str = "X-Enproxy-Id";
const DESTINATION: &str = "X-Enproxy-Dest-Addr";
const OP: &str = "X-Enproxy-Op";
const EOF: &str = "X-Enproxy-Eof";
/// The peer's own name, on responses to writes: the host that later requests of the tunnel name.
pub const PROXY_HOST: &str = "X-Enproxy-Proxy-Host";
/// Up to this length a path cannot hold the path form, and servers look at the headers.
const LONGEST_ROOT: usize = 5;
/// Most characters of a stranger's value repeated in a refusal.
const MAX_ECHO: usize = 128;
