//! Answers that no origin gave.

use std::{net::SocketAddr, ops::Range};

use data_encoding::BASE64URL_NOPAD;
use proto::{
    checked::{Signed, sign},
    claims::{Challenge, Statement},
    ids::{Address, Digest},
    key::SigningKey,
    probe::{ORIGIN_HEAD, STATEMENT_HEADER, challenge_in},
    time::{Clock, Seconds},
};

/// An answer to `request` of exactly the length that its challenge asks for; with a statement, if somebody signs it and says where the
/// request came from. Empty when the request has no challenge.
pub(super) fn answer(request: &[u8], signer: Option<(&SigningKey, SocketAddr)>) -> Vec<u8> {
    let Some(bytes) = challenge_in(request) else {
        return Vec::new();
    };
    let Ok(challenge) = Signed::<Challenge>::parse(&bytes) else {
        return Vec::new();
    };
    let digest = challenge.digest();
    let challenge = challenge.dangerously_unverified();
    let body = vec![b'x'; usize::try_from(challenge.body_length).unwrap_or_default()];
    let statement = signer.map(|(key, source)| {
        let now = Clock::system().now();
        let statement = Statement {
            issuer: challenge.audience.clone(),
            subject: challenge.subject,
            audience: challenge.issuer,
            expires: Seconds::new(now.seconds().as_u64() + 60),
            issued_at: now.seconds(),
            probe: challenge.probe,
            nonce: challenge.nonce,
            challenge: digest,
            source: Address(source),
            arrived: now,
            body_length: challenge.body_length,
            body_digest: Digest::of(&body),
        };
        sign(&statement, key).unwrap_or_default()
    });
    let mut answer = head(&body, statement.as_deref());
    answer.extend_from_slice(&body);
    answer
}

/// Where the value of the statement's header is in an answer.
pub(super) fn statement_in(answer: &[u8]) -> Option<Range<usize>> {
    let name = format!("\r\n{STATEMENT_HEADER}: ");
    let matches = |window: &[u8]| window.eq_ignore_ascii_case(name.as_bytes());
    let start = answer.windows(name.len()).position(matches)? + name.len();
    let length = answer[start..].iter().position(|byte| *byte == b'\r')?;
    Some(start..start + length)
}

/// A response head of the agreed length.
fn head(body: &[u8], statement: Option<&[u8]>) -> Vec<u8> {
    let mut head = format!(
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n",
        body.len()
    );
    if let Some(statement) = statement {
        head.push_str(&format!(
            "{STATEMENT_HEADER}: {}\r\n",
            BASE64URL_NOPAD.encode(statement)
        ));
    }
    head.push_str("x-pad: ");
    let pad = ORIGIN_HEAD.saturating_sub(head.len() + "\r\n\r\n".len());
    head.push_str(&"-".repeat(pad));
    head.push_str("\r\n\r\n");
    head.into_bytes()
}
