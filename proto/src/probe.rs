//! What a probe's request and answer look like inside the tunnel: an ordinary HTTP/1.1 GET whose path carries the
//! challenge, and an answer whose head has a fixed length, so that an announcement can tell both lengths beforehand.

use data_encoding::BASE64URL_NOPAD;

use crate::{cbor, ids::Destination};

/// The request that carries `challenge` to `destination`. Its length is the announcement's `up`.
///
/// `Connection: close`, so that the origin's end of the connection ends the flow: a real enproxy server would otherwise
/// hold the answer's last bytes back for 35 ms.
pub fn request(challenge: &[u8], destination: &Destination) -> Vec<u8> {
    let encoded = BASE64URL_NOPAD.encode(challenge);
    format!("GET {PREFIX}{encoded} HTTP/1.1\r\nHost: {destination}\r\nConnection: close\r\n\r\n").into_bytes()
}

/// The challenge in a request's path; `None` when it is no probe's path, or longer than any challenge is.
pub fn challenge_of(path: &str) -> Option<Vec<u8>> {
    let encoded = path.strip_prefix(PREFIX)?;
    if encoded.is_empty() || encoded.len() > MAX_ENCODED {
        return None;
    }
    BASE64URL_NOPAD.decode(encoded.as_bytes()).ok()
}

/// The challenge in the first bytes of a connection; `None` while the request line is incomplete, and for any other
/// traffic. [`MAX_REQUEST_LINE`] bytes are enough to tell the two apart.
pub fn challenge_in(opening: &[u8]) -> Option<Vec<u8>> {
    let window = &opening[..opening.len().min(MAX_REQUEST_LINE)];
    let end = window.windows(2).position(|pair| pair == b"\r\n")?;
    let line = std::str::from_utf8(&window[..end]).ok()?;
    challenge_of(line.strip_prefix("GET ")?.strip_suffix(" HTTP/1.1")?)
}

/// The one head that the origin's answer has: everything that comes down is fixed by the signed statement, so that nothing
/// can be added to an answer or changed in it unseen. `None` when the statement is too long for it.
pub fn answer_head(statement: &[u8], body_length: u64) -> Option<Vec<u8>> {
    let encoded = BASE64URL_NOPAD.encode(statement);
    let start = format!(
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/octet-stream\r\n\
         cache-control: no-store, no-transform\r\ncontent-length: {body_length}\r\n\
         {STATEMENT_HEADER}: {encoded}\r\n{PAD_HEADER}: "
    );
    let pad = ORIGIN_HEAD.checked_sub(start.len() + 4)?;
    Some(format!("{start}{:->pad$}\r\n\r\n", "").into_bytes())
}

/// Length in bytes of the origin's response head, which it pads to be exact: the announcement's `down` is this plus the
/// body's length.
pub const ORIGIN_HEAD: usize = 1024;
/// The response header with the origin's signed statement, in base64url without padding.
pub const STATEMENT_HEADER: &str = "x-statement";
/// The response header that fills the head up to its length, with hyphens.
pub const PAD_HEADER: &str = "x-pad";
/// Longest request line of a probe, in bytes, line end included.
pub const MAX_REQUEST_LINE: usize = "GET ".len() + PREFIX.len() + MAX_ENCODED + " HTTP/1.1\r\n".len();

const PREFIX: &str = "/c/";
const MAX_ENCODED: usize = (cbor::MAX_BYTES * 4).div_ceil(3);

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_request_carries_its_challenge_through_both_readers() {
        let destination: Destination = "origin.example:80".parse().unwrap();
        for length in [1, 2, 3, 300, cbor::MAX_BYTES] {
            let challenge: Vec<u8> = (0..length).map(|index| (index % 251) as u8).collect();
            let request = request(&challenge, &destination);
            let text = std::str::from_utf8(&request).unwrap();
            assert!(
                text.ends_with(" HTTP/1.1\r\nHost: origin.example:80\r\nConnection: close\r\n\r\n"),
                "{text}"
            );
            assert_eq!(
                challenge_of(text.split(' ').nth(1).unwrap()).as_deref(),
                Some(challenge.as_slice())
            );
            let line = text.find("\r\n").unwrap() + 2;
            assert!(line <= MAX_REQUEST_LINE);
            for split in 0..line {
                assert_eq!(challenge_in(&request[..split]), None, "{split}");
            }
            assert_eq!(challenge_in(&request[..line]).as_deref(), Some(challenge.as_slice()));
            assert_eq!(challenge_in(&request), Some(challenge));
        }
    }

    #[test]
    fn an_answers_head_has_one_length_and_one_form() {
        for (statement, body) in [(0, 0), (1, 9), (2, 10), (500, 262_144), (560, 4 << 20)] {
            let head = answer_head(&vec![7; statement], body).unwrap();
            assert_eq!(head.len(), ORIGIN_HEAD);
            assert!(head.ends_with(b"-\r\n\r\n"));
        }
        assert_eq!(answer_head(&[7; 700], 0), None);
    }

    #[test]
    fn other_paths_carry_none() {
        let too_long = format!("{PREFIX}{}", "A".repeat(MAX_ENCODED + 1));
        // Padding, the other alphabet, bits after the last byte, a query: each has one spelling only.
        for path in [
            "", "/", "/c/", "/d/AAAA", "c/AAAA", "/c/AA==", "/c/A+/A", "/c/AB", "/c/AAAA?", "/c/ AAA", &too_long,
        ] {
            assert_eq!(challenge_of(path), None, "{path}");
        }
        for opening in [
            &b"POST /c/AAAA HTTP/1.1\r\n"[..],
            b"GET /c/AAAA HTTP/1.0\r\n",
            b"\x16\x03\x01\r\n",
            b"\xff\r\n",
            b"\r\n",
        ] {
            assert_eq!(challenge_in(opening), None);
        }
    }
}
