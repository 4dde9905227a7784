//! The help of `fuzz-one` is as it was: a change of it is seen in a change of the file.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{fs, path::Path, process::Command};

#[test]
fn the_help_is_as_it_was() {
    let ran = Command::new(env!("CARGO_BIN_EXE_fuzz-one"))
        .arg("--help")
        .output()
        .unwrap();
    assert!(ran.status.success());
    let help = String::from_utf8(ran.stdout).unwrap();
    assert!(!help.contains('\u{1b}'), "it is not coloured");
    let text = format!("$ fuzz-one --help\n\n{help}");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/help.txt");
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(committed, text, "tests/golden/help.txt: set UPDATE_GENERATED=1 once");
}
