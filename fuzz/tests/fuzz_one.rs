//! `fuzz-one` from the outside: what it says, and its exit code.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::process::{Command, Output};

fn fuzz_one(arguments: &[&str]) -> (Output, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_fuzz-one"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(arguments)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout.clone()).unwrap();
    (output, said)
}

#[test]
fn it_lists_every_target_with_a_line() {
    let (output, said) = fuzz_one(&["--list"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(said.lines().count(), fuzz::TARGETS.len());
    for (line, target) in said.lines().zip(fuzz::TARGETS) {
        assert!(line.starts_with(target.name) && line.ends_with(target.says), "{line}");
    }
    let (_, names) = fuzz_one(&["--names"]);
    assert!(
        names.lines().eq(fuzz::TARGETS.iter().map(|target| target.name)),
        "{names}"
    );
}

#[test]
fn it_says_what_each_property_found() {
    let file = "corpus/claims/seed-registration";
    let (output, said) = fuzz_one(&["claims", file]);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(
        said.contains("a registration by ") && said.contains("own-key-only                 held"),
        "{said}"
    );
    let (output, said) = fuzz_one(&["claims", "corpus/cbor/seed-map", file]);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("own-key-only                 did not apply"), "{said}");
    let (_, said) = fuzz_one(&["--properties", "claims"]);
    assert!(said.contains("no-panic") && said.contains("opens-for-nobody"), "{said}");
}

#[test]
fn its_help_says_what_its_exit_codes_mean() {
    let (output, said) = fuzz_one(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(
        said.starts_with("usage: fuzz-one") && said.contains("exit code: 0"),
        "{said}"
    );
}

#[test]
fn what_it_cannot_do_is_told_with_2() {
    for arguments in [
        &[][..],
        &["claims"],
        &["nothing", "corpus/cbor/seed-map"],
        &["claims", "no-such-file"],
        &["--properties", "nothing"],
        &["--no-such-option"],
    ] {
        let (output, _) = fuzz_one(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
}
