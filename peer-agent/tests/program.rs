//! The stand-alone program from the outside.
#![cfg(feature = "give")]
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output, Stdio},
};

fn run(arguments: &[&str], folder: &Path) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_peer-agent"));
    program
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn init(folder: &Path) -> Output {
    let key = proto::key::SigningKey::from_seed(&[7; 32]).public().to_string();
    let arguments = [
        "init",
        "--state",
        "peer",
        "--attester",
        "127.0.0.1:7443",
        "--root",
        &key,
        "--address",
        "127.77.1.1:8443",
    ];
    run(&arguments, folder)
}

#[test]
fn init_writes_a_private_key_and_never_overwrites() {
    let folder = tempfile::tempdir().unwrap();
    let output = init(folder.path());
    assert!(output.status.success(), "{output:?}");
    let key = folder.path().join("peer/peer.key");
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    let (config, before) = (folder.path().join("peer/peer-agent.toml"), fs::read(&key).unwrap());
    fs::write(&config, "# mine\n").unwrap();
    // It says what is there already; nothing of it changes.
    init(folder.path());
    assert_eq!(fs::read(&key).unwrap(), before);
    assert_eq!(fs::read_to_string(&config).unwrap(), "# mine\n");
}

#[test]
fn a_mistake_is_told_with_its_line_and_key() {
    let folder = tempfile::tempdir().unwrap();
    assert!(init(folder.path()).status.success());
    let config = folder.path().join("peer/peer-agent.toml");
    let text = fs::read_to_string(&config).unwrap();
    let wrong = text.replace("address = \"127.77.1.1:8443\"", "address = \"127.77.1.1\"");
    assert_ne!(text, wrong);
    let line = wrong.lines().position(|line| line.starts_with("address = ")).unwrap() + 1;
    fs::write(&config, wrong).unwrap();
    let output = run(&["run", "--config", "peer/peer-agent.toml"], folder.path());
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains(&format!("line {line}")) && said.contains("address"),
        "{said}"
    );
}

#[test]
fn a_missing_configuration_says_how_to_make_one() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(&["run", "--config", "none.toml"], folder.path());
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("none.toml") && said.contains("init"), "{said}");
}
