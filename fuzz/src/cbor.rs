//! Our strict CBOR against ciborium, an implementation that we did not write.
//!
//! The two may differ in one direction only, and only for the reasons that `excuse` lists: ciborium reads all of CBOR,
//! and we read what RFC 8949, section 4.2.1 and the protocol leave of it.

use ciborium::Value;

use crate::target::{Input, Property, Report, Target};

/// See the module.
pub const TARGET: Target = Target {
    name: "cbor",
    says: "one CBOR item, strictly: against ciborium",
    input: Input::Bytes,
    properties: &[ACCEPTED_IS_CBOR, SAME_BYTES, SAME_VALUE, REFUSED_FOR_A_REASON, OFFSET],
    run,
};

const ACCEPTED_IS_CBOR: Property = Property {
    name: "accepted-is-cbor",
    says: "what our validator accepts, ciborium decodes, to the last byte",
};
const SAME_BYTES: Property = Property {
    name: "same-bytes",
    says: "what our validator accepts is what ciborium writes for the same value with its maps sorted",
};
const SAME_VALUE: Property = Property {
    name: "same-value",
    says: "our decoder gives the value that ciborium gives, and gives one for everything that the validator accepts",
};
const REFUSED_FOR_A_REASON: Property = Property {
    name: "refused-for-a-reason",
    says: "what ciborium decodes and we refuse has a tag, a float, a null, too deep a nesting, bytes after it or another spelling",
};
const OFFSET: Property = Property {
    name: "offset",
    says: "the place that a refusal names is in the input or just after it",
};

fn run(input: &[u8], report: &mut Report) {
    let ours = proto::cbor::validate(input, proto::cbor::MAX_BYTES);
    let mut rest = input;
    let theirs = ciborium::de::from_reader::<Value, _>(&mut rest);
    match (&ours, &theirs) {
        (Ok(()), Ok(value)) => {
            report.check(ACCEPTED_IS_CBOR, rest.is_empty(), || {
                format!("ciborium stops {} bytes before the end", rest.len())
            });
            report.equal(SAME_BYTES, &canonical(value).as_deref(), &Some(input));
        }
        (Ok(()), Err(error)) => report.broken(ACCEPTED_IS_CBOR, error.to_string()),
        (Err(refusal), Ok(value)) => {
            report.check(REFUSED_FOR_A_REASON, excuse(input, rest, value).is_some(), || {
                format!("refused as {refusal}, though {value:?} is spelt as it should be")
            });
        }
        (Err(_), Err(_)) => {}
    }
    let decoded = proto::cbor::decode::<Value>(input, "item");
    match (&ours, decoded) {
        (Ok(()), Ok(value)) => {
            let expected = theirs.ok();
            report.check(SAME_VALUE, Some(&value) == expected.as_ref(), || {
                format!("ours {value:?}, ciborium's {expected:?}")
            });
        }
        (Ok(()), Err(error)) => report.broken(SAME_VALUE, format!("valid, but not decoded: {error}")),
        (Err(_), Ok(value)) => report.broken(SAME_VALUE, format!("not valid, but decoded to {value:?}")),
        (Err(_), Err(_)) => {}
    }
    if let Err(proto::ClaimError::Cbor { offset, .. }) = ours {
        report.check(OFFSET, offset <= input.len(), || {
            format!("byte {offset} of {}", input.len())
        });
    }
}

/// Why we may refuse what ciborium decodes.
fn excuse(input: &[u8], rest: &[u8], value: &Value) -> Option<&'static str> {
    if !rest.is_empty() {
        Some("bytes after the item")
    } else if input.len() > proto::cbor::MAX_BYTES {
        Some("too long")
    } else if !is_ours(value) {
        Some("a tag, float or null")
    } else if depth(value) > proto::cbor::MAX_DEPTH {
        Some("nested too deep")
    } else if canonical(value).as_deref() != Some(input) {
        Some("another spelling of the value")
    } else {
        None
    }
}

fn is_ours(value: &Value) -> bool {
    match value {
        Value::Tag(..) | Value::Float(_) | Value::Null => false,
        Value::Array(items) => items.iter().all(is_ours),
        Value::Map(entries) => entries.iter().all(|(key, value)| is_ours(key) && is_ours(value)),
        _ => true,
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Map(entries) => {
            let inside = entries.iter().flat_map(|(key, value)| [depth(key), depth(value)]);
            1 + inside.max().unwrap_or(0)
        }
        _ => 0,
    }
}

/// The deterministic encoding of a value; `None` when a map has a key twice.
pub(crate) fn canonical(value: &Value) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    ciborium::into_writer(&sorted(value)?, &mut bytes).ok()?;
    Some(bytes)
}

fn sorted(value: &Value) -> Option<Value> {
    Some(match value {
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect::<Option<_>>()?),
        Value::Map(entries) => {
            let mut keyed = Vec::with_capacity(entries.len());
            for (key, value) in entries {
                keyed.push((canonical(key)?, sorted(key)?, sorted(value)?));
            }
            keyed.sort_by(|left, right| left.0.cmp(&right.0));
            if keyed.windows(2).any(|pair| pair[0].0 == pair[1].0) {
                return None;
            }
            Value::Map(keyed.into_iter().map(|(_, key, value)| (key, value)).collect())
        }
        other => other.clone(),
    })
}
