//! Takes apart what came back through a tunnel: the origin's response head, the signed statement in it, and the body.

use data_encoding::BASE64URL_NOPAD;
use proto::{
    ids::Digest,
    probe::{ORIGIN_HEAD, STATEMENT_HEADER},
};

/// An origin's answer, as far as there is one. The body is whatever follows the first [`ORIGIN_HEAD`] bytes, whether or
/// not they are a head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The signed statement, unchecked; or why there is none.
    pub statement: Result<Vec<u8>, NoStatement>,
    /// Length of the body in bytes.
    pub body_length: u64,
    /// Its digest.
    pub body_digest: Digest,
}

/// Why an answer has no statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoStatement {
    /// The bytes end inside the head.
    #[error("the answer ends inside its head")]
    Short,
    /// The first bytes are no HTTP head of exactly the fixed length.
    #[error("the answer does not begin with a response head of {ORIGIN_HEAD} bytes")]
    Head,
    /// Another version or status than the origin's: somebody else answered.
    #[error("the answer is HTTP/1.{minor} {status}, the destination's is HTTP/1.1 200")]
    Status {
        /// 0 or 1.
        minor: u8,
        /// The status code.
        status: u16,
    },
    /// The header is missing or repeated.
    #[error("the answer has not exactly one statement")]
    Count,
    /// The header is not base64url without padding.
    #[error("the answer's statement is not base64url")]
    Encoding,
}

impl Answer {
    /// Takes `received` apart. Any bytes will do; work and memory are bounded by their length.
    pub fn of(received: &[u8]) -> Self {
        let (head, body) = received.split_at(received.len().min(ORIGIN_HEAD));
        Self { statement: statement(head), body_length: body.len() as u64, body_digest: Digest::of(body) }
    }
}

fn statement(head: &[u8]) -> Result<Vec<u8>, NoStatement> {
    let mut slots = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut response = httparse::Response::new(&mut slots);
    match response.parse(head) {
        Ok(httparse::Status::Complete(ORIGIN_HEAD)) => {}
        Ok(httparse::Status::Partial) if head.len() < ORIGIN_HEAD => return Err(NoStatement::Short),
        _ => return Err(NoStatement::Head),
    }
    match (response.version, response.code) {
        (Some(1), Some(200)) => {}
        (minor, status) => {
            return Err(NoStatement::Status { minor: minor.unwrap_or_default(), status: status.unwrap_or_default() });
        }
    }
    let mut values = response.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(STATEMENT_HEADER));
    match (values.next(), values.next()) {
        (Some(field), None) => BASE64URL_NOPAD.decode(field.value).map_err(|_| NoStatement::Encoding),
        _ => Err(NoStatement::Count),
    }
}

/// Most header fields in an origin's head.
const MAX_FIELDS: usize = 32;

