//! The attester judges the golden evidence files as the vectors say; Python does so from the documentation alone
//! (`tests/interop/python.rs`).

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{fs, path::Path};

use attester::verify::{
    Demands, Trust,
    account::{Account, Check},
    audit, recheck,
};
use proto::key::PublicKey;
use serde::Deserialize;

#[derive(Deserialize)]
struct Vectors {
    root: String,
    refused: Vec<Refused>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Refused {
    name: String,
    file: String,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    rule: String,
    file: String,
    newer: Option<String>,
    #[serde(flatten)]
    judgement: Judgement,
}

/// What comes of checking a file.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
struct Judgement {
    holds: bool,
    outcome: String,
    stated: String,
    check: String,
    found: String,
}

#[test]
fn the_golden_evidence_is_judged_as_its_file_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto/vectors/evidence.json");
    let vectors: Vectors = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let root = PublicKey::from_bytes(&bytes(&vectors.root).try_into().unwrap()).unwrap();
    let trust = Trust::of_root(root);
    for case in &vectors.cases {
        let file = bytes(&case.file);
        let trust = match &case.newer {
            Some(keyset) => Trust::with_keyset(root, &bytes(keyset)).unwrap(),
            None => trust.clone(),
        };
        assert_eq!(judge(&file, &trust), case.judgement, "{}: {}", case.name, case.rule);
        // What a restart does is what an auditor is told.
        let again = recheck(&file, &trust, Demands::default());
        assert_eq!(again.is_ok(), case.judgement.holds, "{}", case.name);
        let proved = again.is_ok_and(|again| again.proof.is_some());
        assert_eq!(
            proved,
            case.judgement.holds && case.judgement.outcome == "proved",
            "{}",
            case.name
        );
    }
    for refused in &vectors.refused {
        let judgement = judge(&bytes(&refused.file), &trust);
        assert_eq!(
            (judgement.holds, judgement.check.as_str()),
            (false, "file"),
            "{}",
            refused.name
        );
    }
}

fn judge(file: &[u8], trust: &Trust) -> Judgement {
    let mut account = Account::full();
    let audit = match audit(file, trust, Demands::default(), None, &mut account) {
        Ok(audit) => audit,
        Err(finding) => {
            return Judgement {
                check: "file".to_owned(),
                found: finding.reason.code().to_owned(),
                ..Judgement::default()
            };
        }
    };
    let (check, found) = match &audit.found {
        Ok(_) => ("", ""),
        Err(finding) => (
            account.failed().map_or("own", |(check, _)| vectors_name(check)),
            finding.reason.code(),
        ),
    };
    let outcome = audit.verdict.outcome.as_str();
    Judgement {
        holds: outcome != "proved" || found.is_empty(),
        outcome: outcome.to_owned(),
        stated: audit.verdict.reason,
        check: check.to_owned(),
        found: found.to_owned(),
    }
}

/// A check's name in the vectors, once the verdict in the file was found good.
fn vectors_name(check: Check) -> &'static str {
    match check {
        Check::V0 => "V0",
        Check::V1 => "V1",
        Check::V2 => "V2",
        Check::V3 => "V3",
        Check::V4 => "V4",
        Check::V5 => "V5",
        Check::V6 => "V6",
        Check::V7 => "V7",
        Check::Subject => "subject",
        _ => "own",
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap()
}
