//! Head and body codecs of the two tunnels that a Flashlight client opens through a peer: enproxy (both forms) and HTTP
//! CONNECT ("chained").
//!
//! Both sides use them: the client in the attester, the server in the agent's `give` feature. No sockets and no runtime here:
//! the caller owns a buffer, hands over what has arrived, and learns how many bytes were used. Nothing is allocated for a head
//! before it is known to be complete, at most [`MAX_HEAD`] bytes long and at most [`MAX_HEADERS`] fields wide, so a stranger
//! costs one buffer of that size.
//!
//! The wire format is the one the real Go programs speak, which is not everywhere what an RFC says. Where they differ, the
//! comment at that place says so.

pub mod body;
pub mod connect;
pub mod enproxy;
pub mod http;
#[cfg(test)]
mod tests;

pub use body::{BodyError, BodyReader, ErrorBody, Piece, encode_chunk, encode_last_chunk};
pub use http::{EncodeError, Field, Framing, HeadError, Host, Version};

/// What a request on a peer's TLS port asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// `CONNECT host:port`
    Connect(connect::Request),
    /// Any other method: enproxy, or the `HEAD` health check of its CDN.
    Enproxy(enproxy::Request),
}

/// Decodes the request head at the start of `buf`.
///
/// `Ok(None)` means that more bytes are needed. Otherwise the request and the length of its head; the body follows there.
///
/// # Errors
/// The head is not HTTP/1, breaks a limit, or leaves open where its body ends. The connection cannot be used any further.
pub fn decode_request(buf: &[u8]) -> Result<Option<(Request, usize)>, HeadError> {
    http::parse_request(buf, |line, fields| {
        if line.method == "CONNECT" {
            connect::Request::from_head(line, fields).map(Request::Connect)
        } else {
            enproxy::Request::from_head(line, fields).map(Request::Enproxy)
        }
    })
}

/// What a client calls itself. Flashlight's are Go programs that set nothing, so this is the default of Go's `net/http` since Go 1.5,
/// whichever generation of Flashlight it is built of (`tests/captures`). What the compilers of 2014 said, `Go 1.1 package http`, is
/// what a client of today would stand out by.
pub const USER_AGENT: &str = "Go-http-client/1.1";
/// Longest head accepted, in bytes, interim (1xx) responses before it included.
pub const MAX_HEAD: usize = 16 * 1024;
/// Most header fields accepted in one head.
pub const MAX_HEADERS: usize = 64;
/// Longest enproxy id accepted, in bytes. Clients use a UUID of 36; path prefixes may lengthen it.
pub const MAX_ID: usize = 256;
/// Longest destination accepted, in bytes: a DNS name of 253, brackets, a colon and five digits.
pub const MAX_DESTINATION: usize = 262;
/// Most bytes kept of an error response's body.
pub const MAX_ERROR_TEXT: usize = 1024;
