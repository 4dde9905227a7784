//! The head of an answer, of exactly [`ORIGIN_HEAD`] bytes, so that the attester can announce how many bytes will come
//! down before the origin has signed anything.

use data_encoding::BASE64URL_NOPAD;
use http::{
    HeaderValue,
    header::{CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName},
};
use proto::probe::{ORIGIN_HEAD, PAD_HEADER, STATEMENT_HEADER};

/// A statement that does not fit into the head.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a statement of {statement} bytes makes the answer's head longer than {ORIGIN_HEAD} bytes")]
pub(super) struct HeadTooLong {
    statement: usize,
}

/// The headers of a 200 that carries `statement` and `length` body bytes, in their order. hyper adds the status line.
pub(super) fn headers(statement: &[u8], length: u64) -> Result<HeaderMap, HeadTooLong> {
    let too_long = || HeadTooLong {
        statement: statement.len(),
    };
    let encoded = BASE64URL_NOPAD.encode(statement);
    let mut headers = HeaderMap::with_capacity(6);
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    // A cache or a proxy that improves the body would make an honest peer look like a liar.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store, no-transform"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(STATEMENT, HeaderValue::try_from(encoded).map_err(|_| too_long())?);
    let used: usize = FIXED
        + headers
            .iter()
            .map(|(name, value)| line(name, value.len()))
            .sum::<usize>();
    let pad = ORIGIN_HEAD.checked_sub(used + line(&PAD, 0)).ok_or_else(too_long)?;
    headers.insert(PAD, HeaderValue::try_from("-".repeat(pad)).map_err(|_| too_long())?);
    Ok(headers)
}

/// Bytes of a header's line.
fn line(name: &HeaderName, value: usize) -> usize {
    name.as_str().len() + ": ".len() + value + "\r\n".len()
}

const STATEMENT: HeaderName = HeaderName::from_static(STATEMENT_HEADER);
const PAD: HeaderName = HeaderName::from_static(PAD_HEADER);
/// What hyper writes by itself: the status line and the blank line. It is told to write no date: the head must be the one
/// that `proto::probe::answer_head` says.
const FIXED: usize = "HTTP/1.1 200 OK\r\n".len() + "\r\n".len();

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn the_pad_fills_up_to_the_last_byte_and_no_further() {
        let longest = (0..ORIGIN_HEAD)
            .rev()
            .find(|length| headers(&vec![0; *length], 0).is_ok())
            .unwrap();
        // base64 grows by one or two characters a byte, so the last one that fits may leave one byte of pad.
        assert!(headers(&vec![0; longest], 0).unwrap()[PAD].len() <= 1);
        assert_eq!(
            headers(&vec![0; longest + 1], 0),
            Err(HeadTooLong { statement: longest + 1 })
        );
        // A longer content-length takes its place from the pad.
        assert!(headers(&vec![0; longest], 4 << 20).is_err());
        assert!(headers(&vec![0; longest - 5], 4 << 20).is_ok());
    }
}
