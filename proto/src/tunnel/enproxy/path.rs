//! The path form: what Go's `net/url` and the server's regular expression make of a request target.

use std::borrow::Cow;

use super::MAX_ECHO;

/// The path of a request target, percent-decoded, without query; of an absolute-form target as well (RFC 9112 section 3.2.2).
///
/// # Errors
/// The start of the path, undecoded, when its escapes are broken or hide what may not be echoed into a response.
pub(super) fn decode(target: &str) -> Result<Cow<'_, str>, String> {
    let path = match target.split_once("://") {
        Some((scheme, rest)) if !scheme.contains('/') => rest.find('/').map_or("", |slash| &rest[slash..]),
        _ => target,
    };
    let path = path.split('?').next().unwrap_or_default();
    let refused = || path.chars().take(MAX_ECHO).collect();
    if !path.contains('%') {
        return Ok(Cow::Borrowed(path));
    }
    let mut decoded = Vec::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(if byte == b'%' {
            hex_pair(bytes.next(), bytes.next()).ok_or_else(refused)?
        } else {
            byte
        });
    }
    // A decoded line break would otherwise be echoed into a response.
    let text = String::from_utf8(decoded)
        .ok()
        .filter(|text| !text.chars().any(char::is_control));
    text.map(Cow::Owned).ok_or_else(refused)
}

/// Splits as the Go server's greedy, unanchored expression `/(.*)/(.*)/(.*)/` does: op and destination are the last two
/// segments before the last slash, the id is everything before them, and what follows the last slash is ignored.
pub(super) fn split(path: &str) -> Option<(Cow<'_, str>, Cow<'_, str>, Cow<'_, str>)> {
    let start = path.find('/')?;
    let (rest, _) = path[start + 1..].rsplit_once('/')?;
    let (rest, op) = rest.rsplit_once('/')?;
    let (id, destination) = rest.rsplit_once('/')?;
    Some((id.into(), destination.into(), op.into()))
}

/// Percent-encodes what may not stand in a path segment. `:`, `[` and `]` stay: Go's client sends them raw, and a CDN's cache
/// or log should not see two spellings. A slash in an id stays as well and decodes to the same id.
pub(super) fn escape(segment: &str) -> Cow<'_, str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:[]@!$&'()*+,;=/".contains(&byte);
    if segment.bytes().all(plain) {
        return Cow::Borrowed(segment);
    }
    let encode = |byte: u8| {
        if plain(byte) {
            (byte as char).to_string()
        } else {
            format!("%{byte:02X}")
        }
    };
    Cow::Owned(segment.bytes().map(encode).collect())
}

pub(super) fn hex_pair(high: Option<u8>, low: Option<u8>) -> Option<u8> {
    let digit = |byte: Option<u8>| (byte? as char).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}
