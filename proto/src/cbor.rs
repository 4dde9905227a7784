//! Strict, deterministically encoded CBOR (RFC 8949, section 4.2.1).
//!
//! serde_cbor decodes, but alone it is too lenient for signed data: it accepts duplicate and unordered keys, indefinite
//! lengths, integers longer than needed, tags and floats. So [`decode`] caps the size, walks the bytes with a validator
//! that allocates nothing, lets serde_cbor decode, encodes the value again and compares.

use serde::{Serialize, de::DeserializeOwned};

use crate::error::ClaimError;

/// The most bytes that any claim, envelope included, may have.
pub const MAX_BYTES: usize = 4096;

/// The deepest nesting of maps and arrays.
pub const MAX_DEPTH: usize = 4;

/// Decodes one value that must fill `bytes` and be in canonical form. `claim` names it in errors.
///
/// # Errors
/// When a size or encoding rule is broken, or the value is not a `T`.
pub fn decode<T: Serialize + DeserializeOwned>(bytes: &[u8], claim: &'static str) -> Result<T, ClaimError> {
    decode_within(bytes, claim, MAX_BYTES)
}

/// Encodes a value whose maps are written in key order.
///
/// # Errors
/// When the value is larger than [`MAX_BYTES`] or of a kind that CBOR here does not carry.
pub fn encode<T: Serialize>(value: &T, claim: &'static str) -> Result<Vec<u8>, ClaimError> {
    encode_within(value, claim, MAX_BYTES)
}

/// [`decode`] with a limit of its own.
pub(crate) fn decode_within<T: Serialize + DeserializeOwned>(
    bytes: &[u8],
    claim: &'static str,
    limit: usize,
) -> Result<T, ClaimError> {
    validate(bytes, limit)?;
    let value: T = serde_cbor::from_slice(bytes).map_err(|error| ClaimError::Shape {
        claim,
        detail: error.to_string(),
    })?;
    if encode_within(&value, claim, limit)? == bytes {
        Ok(value)
    } else {
        Err(ClaimError::NotCanonical { claim })
    }
}

/// [`encode`] with a limit of its own.
pub(crate) fn encode_within<T: Serialize>(value: &T, claim: &'static str, limit: usize) -> Result<Vec<u8>, ClaimError> {
    let bytes = serde_cbor::to_vec(value).map_err(|error| ClaimError::Shape {
        claim,
        detail: error.to_string(),
    })?;
    validate(&bytes, limit)?;
    Ok(bytes)
}

/// Checks that `bytes` are exactly one deterministically encoded item within the limits: shortest integers, definite
/// lengths, strictly ascending map keys, valid text, no tags, floats or simple values other than true and false.
///
/// # Errors
/// The first broken rule and its offset.
pub fn validate(bytes: &[u8], limit: usize) -> Result<(), ClaimError> {
    if bytes.len() > limit {
        return Err(ClaimError::TooLong {
            length: bytes.len(),
            limit,
        });
    }
    let end = item(bytes, 0, 0)?;
    if end == bytes.len() {
        Ok(())
    } else {
        Err(broken("trailing bytes", end))
    }
}

/// Validates the item at `start` and returns the offset after it. Recursion is bounded by [`MAX_DEPTH`].
fn item(bytes: &[u8], start: usize, depth: usize) -> Result<usize, ClaimError> {
    let Head { major, value, end } = head(bytes, start)?;
    match major {
        UNSIGNED | NEGATIVE => Ok(end),
        BYTES | TEXT => {
            let length = usize::try_from(value).map_err(|_| broken("length beyond the input", start))?;
            let content = end.checked_add(length).and_then(|stop| bytes.get(end..stop));
            let content = content.ok_or_else(|| broken("length beyond the input", start))?;
            if major == TEXT && std::str::from_utf8(content).is_err() {
                return Err(broken("text that is not UTF-8", end));
            }
            Ok(end + length)
        }
        ARRAY | MAP => {
            if depth == MAX_DEPTH {
                return Err(broken("nesting deeper than 4", start));
            }
            let per_entry = if major == MAP { 2 } else { 1 };
            let remaining = (bytes.len() - end) as u64;
            if value.saturating_mul(per_entry) > remaining {
                return Err(broken("more items than bytes", start));
            }
            entries(bytes, end, value, major == MAP, depth + 1)
        }
        TAG => Err(broken("a tag", start)),
        _ => Ok(end),
    }
}

fn entries(bytes: &[u8], start: usize, count: u64, keyed: bool, depth: usize) -> Result<usize, ClaimError> {
    let mut at = start;
    let mut previous: Option<&[u8]> = None;
    for _ in 0..count {
        if keyed {
            let end = item(bytes, at, depth)?;
            let key = &bytes[at..end];
            match previous {
                Some(before) if before == key => return Err(broken("a duplicate key", at)),
                Some(before) if before > key => return Err(broken("keys out of order", at)),
                _ => previous = Some(key),
            }
            at = end;
        }
        at = item(bytes, at, depth)?;
    }
    Ok(at)
}

struct Head {
    major: u8,
    value: u64,
    end: usize,
}

fn head(bytes: &[u8], start: usize) -> Result<Head, ClaimError> {
    let first = *bytes.get(start).ok_or_else(|| broken("the input ends", start))?;
    let (major, info) = (first >> 5, first & 0x1f);
    if major == SIMPLE && !matches!(info, FALSE | TRUE) {
        return Err(broken("a float, null, undefined or unassigned simple value", start));
    }
    let extra = match info {
        0..=23 => {
            return Ok(Head {
                major,
                value: u64::from(info),
                end: start + 1,
            });
        }
        24..=27 => 1_usize << (info - 24),
        31 => return Err(broken("an indefinite length", start)),
        _ => return Err(broken("a reserved length", start)),
    };
    let argument = bytes
        .get(start + 1..start + 1 + extra)
        .ok_or_else(|| broken("the input ends", start))?;
    let value = argument.iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
    let smallest = match extra {
        1 => 24,
        2 => 1 << 8,
        4 => 1 << 16,
        _ => 1 << 32,
    };
    if value < smallest {
        return Err(broken("an integer longer than needed", start));
    }
    Ok(Head {
        major,
        value,
        end: start + 1 + extra,
    })
}

const fn broken(rule: &'static str, offset: usize) -> ClaimError {
    ClaimError::Cbor { rule, offset }
}

const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;
const SIMPLE: u8 = 7;
const FALSE: u8 = 20;
const TRUE: u8 = 21;

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(bytes: &[u8]) -> &'static str {
        match validate(bytes, MAX_BYTES) {
            Err(ClaimError::Cbor { rule, .. }) => rule,
            Err(ClaimError::TooLong { .. }) => "too long",
            _ => "none",
        }
    }

    #[test]
    fn every_rule_has_an_example() {
        for (bytes, expected) in [
            (&[0xa1, 0x01, 0x02][..], "none"),
            (&[0xf5], "none"),
            (&[0x01, 0x01], "trailing bytes"),
            (&[], "the input ends"),
            (&[0x18], "the input ends"),
            (&[0x18, 0x17], "an integer longer than needed"),
            (&[0x19, 0x00, 0xff], "an integer longer than needed"),
            (&[0x1a, 0, 0, 0xff, 0xff], "an integer longer than needed"),
            (
                &[0x1b, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff],
                "an integer longer than needed",
            ),
            (&[0x5f, 0x41, 0x00, 0xff], "an indefinite length"),
            (&[0x1c], "a reserved length"),
            (&[0x42, 0x00], "length beyond the input"),
            (
                &[0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
                "length beyond the input",
            ),
            (
                &[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
                "more items than bytes",
            ),
            (&[0xbb, 0x80, 0, 0, 0, 0, 0, 0, 0, 0], "more items than bytes"),
            (&[0x61, 0xff], "text that is not UTF-8"),
            (&[0xa2, 0x01, 0x00, 0x01, 0x00], "a duplicate key"),
            (&[0xa2, 0x02, 0x00, 0x01, 0x00], "keys out of order"),
            (&[0xc1, 0x00], "a tag"),
            (
                &[0xf9, 0x3c, 0x00],
                "a float, null, undefined or unassigned simple value",
            ),
            (
                &[0xfb, 0, 0, 0, 0, 0, 0, 0, 0],
                "a float, null, undefined or unassigned simple value",
            ),
            (&[0xf6], "a float, null, undefined or unassigned simple value"),
            (&[0xf8, 0x20], "a float, null, undefined or unassigned simple value"),
            (&[0x81, 0x81, 0x81, 0x81, 0x00], "none"),
            (&[0x81, 0x81, 0x81, 0x81, 0x80], "nesting deeper than 4"),
            (&[0; MAX_BYTES + 1], "too long"),
        ] {
            assert_eq!(rule(bytes), expected, "{bytes:02x?}");
        }
    }
}
