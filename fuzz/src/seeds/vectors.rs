//! The golden vectors as inputs.

use std::{fs, path::Path};

use data_encoding::HEXLOWER;
use serde_json::Value;

use super::{Seed, Seeds};

/// What of the golden vectors (`proto/vectors`) is some target's input.
///
/// # Panics
/// When they are missing, or not what they were when this was written.
pub fn vectors(workspace: &Path) -> Vec<Seed> {
    let mut seeds = Seeds(Vec::new());
    let folder = workspace.join("proto/vectors");
    for (file, list, field, form, targets) in VECTORS {
        let path = folder.join(file).with_extension("json");
        let text = fs::read(&path).unwrap_or_default();
        let vectors: Value = serde_json::from_slice(&text).unwrap_or_default();
        let cases = vectors[list].as_array().map(Vec::as_slice).unwrap_or_default();
        assert!(!cases.is_empty(), "{} has no {list}", path.display());
        for (number, case) in cases.iter().enumerate() {
            let value = case[field].as_str().unwrap_or_default();
            let bytes = match form {
                Form::Hex => HEXLOWER.decode(value.as_bytes()).unwrap_or_default(),
                Form::Text => value.as_bytes().to_vec(),
            };
            assert!(
                value.is_empty() == bytes.is_empty(),
                "{file}, {list} {number}, {field}: {value}"
            );
            let name = case["name"].as_str().unwrap_or_default();
            let name: String = name
                .chars()
                .filter(|byte| byte.is_ascii_alphanumeric() || *byte == '-')
                .collect();
            for target in *targets {
                seeds.add(target, format!("{file}-{list}-{name}"), bytes.clone());
            }
        }
    }
    seeds.0
}

/// How a vector writes bytes.
#[derive(Clone, Copy)]
enum Form {
    Hex,
    Text,
}

/// File, list, field, its form, and whose input it is.
#[rustfmt::skip]
const VECTORS: &[(&str, &str, &str, Form, &[&str])] = &[
    ("claims", "claims", "message", Form::Hex, &["claims", "cose"]),
    ("claims", "claims", "payload", Form::Hex, &["cbor"]),
    ("refused-claims", "cases", "message", Form::Hex, &["claims", "cose"]),
    ("refused-encodings", "cases", "message", Form::Hex, &["claims", "cose", "cbor"]),
    ("refused-envelopes", "cases", "message", Form::Hex, &["claims", "cose"]),
    ("refused-signatures", "cases", "message", Form::Hex, &["claims", "cose"]),
    ("refused-texts", "cases", "message", Form::Hex, &["claims", "cose"]),
    ("refused-types", "cases", "message", Form::Hex, &["claims", "cose"]),
    ("windows", "cases", "message", Form::Hex, &["claims", "cose"]),
    ("roles", "cases", "message", Form::Hex, &["claims", "cose"]),
    ("evidence", "cases", "file", Form::Hex, &["evidence"]),
    ("evidence", "refused", "file", Form::Hex, &["evidence", "cbor"]),
    ("probe", "requests", "request", Form::Text, &["origin"]),
    ("probe", "no_probes", "opening", Form::Text, &["origin"]),
    ("probe", "heads", "head", Form::Text, &["answers"]),
    ("tunnel", "requests", "bytes", Form::Text, &["requests", "give"]),
    ("tunnel", "responses", "bytes", Form::Text, &["responses"]),
    ("tunnel", "replies", "bytes", Form::Text, &["responses"]),
];
