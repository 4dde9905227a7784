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
    /// Digest of the head, or of whatever stands in its place.
    pub head_digest: Digest,
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
        Self {
            statement: statement(head),
            head_digest: Digest::of(head),
            body_length: body.len() as u64,
            body_digest: Digest::of(body),
        }
    }
}

fn statement(head: &[u8]) -> Result<Vec<u8>, NoStatement> {
    // The parser would skip empty lines before the head, as no client does.
    if head.starts_with(b"\r") || head.starts_with(b"\n") {
        return Err(NoStatement::Head);
    }
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
            return Err(NoStatement::Status {
                minor: minor.unwrap_or_default(),
                status: status.unwrap_or_default(),
            });
        }
    }
    let mut values = response
        .headers
        .iter()
        .filter(|field| field.name.eq_ignore_ascii_case(STATEMENT_HEADER));
    match (values.next(), values.next()) {
        (Some(field), None) => BASE64URL_NOPAD.decode(field.value).map_err(|_| NoStatement::Encoding),
        _ => Err(NoStatement::Count),
    }
}

/// Most header fields in an origin's head.
const MAX_FIELDS: usize = 32;

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A head of exactly `length` bytes with `lines` in it.
    fn head(status: &str, lines: &str, length: usize) -> Vec<u8> {
        let start = format!("{status}\r\n{lines}X-Pad: ");
        format!("{start}{}\r\n\r\n", "p".repeat(length - start.len() - 4)).into_bytes()
    }

    const OK: &str = "HTTP/1.1 200 OK";

    #[test]
    fn an_answer_is_taken_apart() {
        let mut received = head(OK, "X-Statement: AQID\r\n", ORIGIN_HEAD);
        received.extend_from_slice(b"body");
        let answer = Answer::of(&received);
        assert_eq!(answer.statement, Ok(vec![1, 2, 3]));
        assert_eq!((answer.body_length, answer.body_digest), (4, Digest::of(b"body")));
        // A name's case is the proxy's to choose, no body is a body.
        let answer = Answer::of(&head(OK, "x-STATEMENT: AQID\r\n", ORIGIN_HEAD));
        assert_eq!((answer.statement.unwrap().len(), answer.body_length), (3, 0));
    }

    #[test]
    fn what_is_no_origins_answer_says_why() {
        let statement = "X-Statement: AQID\r\n";
        for (received, expected) in [
            (Vec::new(), NoStatement::Short),
            (
                head(OK, statement, ORIGIN_HEAD)[..ORIGIN_HEAD - 1].to_vec(),
                NoStatement::Short,
            ),
            (head(OK, statement, ORIGIN_HEAD + 1), NoStatement::Head),
            (head(OK, statement, ORIGIN_HEAD - 1), NoStatement::Head),
            (head("\r\nHTTP/1.1 200 OK", statement, ORIGIN_HEAD), NoStatement::Head),
            (head("\nHTTP/1.1 200 OK", statement, ORIGIN_HEAD), NoStatement::Head),
            (b"<html>".to_vec(), NoStatement::Head),
            (vec![b'A'; 5000], NoStatement::Head),
            (head(OK, &"A: b\r\n".repeat(60), ORIGIN_HEAD), NoStatement::Head),
            (
                head("HTTP/1.1 502 Bad Gateway", statement, ORIGIN_HEAD),
                NoStatement::Status { minor: 1, status: 502 },
            ),
            (
                head("HTTP/1.0 200 OK", statement, ORIGIN_HEAD),
                NoStatement::Status { minor: 0, status: 200 },
            ),
            (head(OK, "", ORIGIN_HEAD), NoStatement::Count),
            (head(OK, &statement.repeat(2), ORIGIN_HEAD), NoStatement::Count),
            (head(OK, "X-Statement: AQI=\r\n", ORIGIN_HEAD), NoStatement::Encoding),
            (head(OK, "X-Statement: A+/D\r\n", ORIGIN_HEAD), NoStatement::Encoding),
        ] {
            let text = String::from_utf8_lossy(&received).into_owned();
            assert_eq!(Answer::of(&received).statement, Err(expected), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_will_do(head in prop::collection::vec(any::<u8>(), 0..64), pad in 0..2000_usize) {
            let mut received = b"HTTP/1.1 200 OK\r\n".to_vec();
            received.extend(&head);
            received.resize(received.len() + pad, b'\n');
            let answer = Answer::of(&received);
            prop_assert_eq!(answer.body_length, received.len().saturating_sub(ORIGIN_HEAD) as u64);
        }
    }
}
