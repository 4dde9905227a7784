//! The bench program does its work: each part of it that needs no foreign program runs with as little as can be, and tells
//! figures that can be. How large they are is not looked at.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    collections::BTreeMap,
    process::{Command, Stdio},
};

use serde_json::Value;

#[test]
fn claims_tap_and_capi() {
    let rows = rows(&["claims", "tap", "capi"]);
    // Ten kinds of claims are signed and verified, then evidence is; the tap is tried twice, by time and by processor time.
    let expected = [("claims".to_owned(), 21), ("tap".to_owned(), 8), ("capi".to_owned(), 9)];
    assert_eq!(rows, BTreeMap::from(expected));
}

#[test]
fn verifications() {
    let rows = rows(&["verification", "throughput"]);
    let expected = [("verification".to_owned(), 7), ("throughput".to_owned(), 2)];
    assert_eq!(rows, BTreeMap::from(expected));
}

#[test]
fn sessions_and_admission() {
    let rows = rows(&["sessions", "admission"]);
    let expected = [("sessions".to_owned(), 3), ("admission".to_owned(), 1)];
    assert_eq!(rows, BTreeMap::from(expected));
}

/// Both latency and processor time fresh and resumed, then of a saturated server its rate and its processor time.
#[test]
#[ignore = "needs the Go programs that tests/setup.sh foreign builds"]
fn foreign() {
    assert_eq!(rows(&["foreign"]), BTreeMap::from([("foreign".to_owned(), 6)]));
}

/// A Go peer's throughput and processor time, with the agent and without.
#[test]
#[ignore = "needs the Go programs that tests/setup.sh foreign builds"]
fn bundled() {
    assert_eq!(rows(&["bundled"]), BTreeMap::from([("bundled".to_owned(), 2)]));
}

/// How many figures each bench told, all of them sane.
fn rows(names: &[&str]) -> BTreeMap<String, usize> {
    let output = Command::new(env!("CARGO_BIN_EXE_bench"))
        .args(["--quick", "--json"])
        .args(names)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let mut counts = BTreeMap::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        assert!(row["rounds"].as_u64().unwrap() > 0, "{line}");
        for spread in [
            &row["measured"],
            &row["reference"]["measured"],
            &row["reference"]["ratio"],
        ] {
            assert!(spread.is_null() || is_sane(spread, &row["unit"]), "{line}");
        }
        assert!(!row["measured"].is_null(), "{line}");
        *counts.entry(row["bench"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    counts
}

/// Whether a spread is of positive numbers in order. Being idle may take no time that can be told.
fn is_sane(spread: &Value, unit: &Value) -> bool {
    let [least, median, most] = ["least", "median", "most"].map(|name| spread[name].as_f64().unwrap_or(f64::NAN));
    let positive = least > 0.0 || (least == 0.0 && unit == "percent-of-core");
    positive && least <= median && median <= most && most.is_finite()
}
