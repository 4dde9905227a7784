//! Evidence files: one that proves, and one for each reason for which a file does not.
//!
//! V0 to V7 are the attester's to run, so here the files are only taken apart; `tests/e2e/vectors.rs` judges them.

use proto::{
    ClaimError,
    checked::Signed,
    claims::{EvidenceKind, Outcome, Verdict},
    evidence::{Blob, Evidence},
};
use serde::{Deserialize, Serialize};

use super::{
    cast::public,
    envelope::{header, tstr},
    fields::kind,
    format::{Hex, Item, committed, head, written},
    scene::Scene,
};

mod bent;
mod files;
mod honest;

/// `evidence.json`.
#[derive(Debug, Serialize, Deserialize)]
struct EvidenceFile {
    about: String,
    /// The root's public key.
    root: Hex,
    /// What is no evidence file at all.
    refused: Vec<RefusedFile>,
    cases: Vec<EvidenceCase>,
}

#[derive(Debug, Serialize, Deserialize)]
struct RefusedFile {
    name: String,
    rule: String,
    file: Hex,
    error: String,
}

/// A file, and what comes of checking it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct EvidenceCase {
    name: String,
    rule: String,
    file: Hex,
    /// The newest keyset at hand, if it is another than the file's: it may revoke keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    newer: Option<Hex>,
    /// Whether it holds: section 7, "Checking evidence again".
    holds: bool,
    /// What the verdict in it says; empty when none holds.
    outcome: String,
    stated: String,
    /// The check that fails first when all are run, whatever the verdict says: `file`, `own`, `V0` to `V7`, `subject`; empty
    /// when none does.
    check: String,
    /// Its reason.
    found: String,
}

pub(crate) fn file() -> String {
    let mut cases = honest::cases();
    cases.extend(bent::cases());
    cases.extend(files::cases());
    written(&EvidenceFile {
        about: "Evidence files. All claims in them are signed by the parties of keys.json.".to_owned(),
        root: Hex(public("root").to_vec()),
        refused: refused(),
        cases,
    })
}

/// A file whose verdict says what it says, and the check that fails first.
fn case(name: &str, rule: &str, evidence: &Evidence, (check, found): (&str, &str)) -> EvidenceCase {
    let verdict = evidence
        .verdict
        .as_ref()
        .and_then(|blob| Signed::<Verdict>::parse(&blob.0).ok());
    // A verdict that does not hold says nothing.
    let verdict = verdict
        .as_ref()
        .map(Signed::dangerously_unverified)
        .filter(|_| check != "file");
    let proved = verdict.is_some_and(|verdict| verdict.outcome == Outcome::Proved);
    EvidenceCase {
        name: name.to_owned(),
        rule: rule.to_owned(),
        file: Hex(evidence.encode().unwrap()),
        newer: None,
        holds: check != "file" && (!proved || found.is_empty()),
        outcome: verdict.map(|verdict| verdict.outcome.to_string()).unwrap_or_default(),
        stated: verdict.map(|verdict| verdict.reason.clone()).unwrap_or_default(),
        check: check.to_owned(),
        found: found.to_owned(),
    }
}

/// Bytes that are no evidence file.
fn refused() -> Vec<RefusedFile> {
    let ascending =
        "map keys that are not in strictly ascending order of their encoded bytes, which excludes duplicates";
    let good = Scene::honest().with_verdict(Outcome::Proved, "").encode().unwrap();
    let entry = |key: i64, value: Item| (key, value);
    let blob = || Item::Bstr(Hex(vec![0]));
    let twice = [head(5, 2), vec![1, 0x41, 0, 1, 0x41, 0]].concat();
    let swapped = [head(5, 2), vec![2, 0x41, 0, 1, 0x41, 0]].concat();
    let long = header(vec![(8, Item::Bstr(Hex(vec![0; 32_816])))]);
    let rows = [
        ("empty", "bytes after the item", vec![], "cbor"),
        ("byte-after", "bytes after the item", [&good[..], &[0]].concat(), "cbor"),
        (
            "cut",
            "a string or a container longer than the rest of the input",
            good[..good.len() - 1].to_vec(),
            "cbor",
        ),
        ("claim-twice", ascending, twice, "cbor"),
        ("claims-swapped", ascending, swapped, "cbor"),
        (
            "null-for-a-claim",
            "an optional key with null",
            vec![0xa1, 0x02, 0xf6],
            "cbor",
        ),
        (
            "without-a-length",
            "an indefinite length",
            vec![0xbf, 0x01, 0x41, 0x00, 0xff],
            "cbor",
        ),
        (
            "tagged",
            "any tag, float, null, undefined or simple value other than true and false",
            [&[0xd9, 0xd9, 0xf7], &good[..]].concat(),
            "cbor",
        ),
        (
            "key-0",
            "a key that its map does not define",
            header(vec![entry(0, blob())]),
            "shape",
        ),
        (
            "key-9",
            "a key that its map does not define",
            header(vec![entry(9, blob())]),
            "shape",
        ),
        (
            "claim-in-a-text",
            "? 1 => bstr .cbor signed-keyset",
            header(vec![entry(1, tstr("x"))]),
            "not-canonical",
        ),
        ("array", "evidence = {", vec![0x80], "shape"),
        ("of-32823-bytes", "an evidence file | 32,816 bytes", long, "too-long"),
    ];
    rows.into_iter()
        .map(|(name, rule, file, error)| RefusedFile {
            name: name.to_owned(),
            rule: rule.to_owned(),
            file: Hex(file),
            error: error.to_owned(),
        })
        .collect()
}

/// A blob with one byte changed.
fn spoilt(blob: &Option<Blob>, from_the_end: usize) -> Option<Blob> {
    let mut bytes = blob.clone().unwrap().0;
    let at = bytes.len() - from_the_end;
    bytes[at] ^= 1;
    Some(Blob(bytes))
}

#[test]
fn files_are_taken_apart_and_put_together_to_the_byte() {
    let file: EvidenceFile = committed("evidence.json");
    assert_eq!(file.root.0, public("root"));
    for case in &file.cases {
        let evidence = Evidence::decode(&case.file.0).unwrap_or_else(|error| panic!("{}: {error}", case.name));
        assert_eq!(evidence.encode().unwrap(), case.file.0, "{}", case.name);
        let listed = evidence.digests();
        for kind in EvidenceKind::ALL {
            assert_eq!(
                listed.contains_key(&kind.number()),
                evidence.claim(*kind).is_some(),
                "{}",
                case.name
            );
        }
    }
    for refused in &file.refused {
        let error: ClaimError = Evidence::decode(&refused.file.0).expect_err(&refused.name);
        assert_eq!(kind(&error), refused.error, "{}: {}", refused.name, refused.rule);
    }
}

#[test]
fn every_reason_of_the_table_has_a_file() {
    let file: EvidenceFile = committed("evidence.json");
    for check in ["file", "own", "V0", "V1", "V2", "V3", "V4", "V5", "V7", "subject"] {
        assert!(file.cases.iter().any(|case| case.check == check), "{check}");
    }
    let readme = std::fs::read_to_string(super::format::folder().join("../README.md")).unwrap();
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let readme = words(&readme);
    let rules = file
        .cases
        .iter()
        .map(|case| &case.rule)
        .chain(file.refused.iter().map(|file| &file.rule));
    let strange: Vec<_> = rules.filter(|rule| !readme.contains(&words(rule))).collect();
    assert!(strange.is_empty(), "not in README.md: {strange:#?}");
}
