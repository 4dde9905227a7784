//! The stand-alone program from the outside.
#![cfg(feature = "give")]
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    fs,
    io::{BufRead, BufReader},
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

#[test]
fn an_identity_is_shown_and_moved() {
    let folder = tempfile::tempdir().unwrap();
    assert!(init(folder.path()).status.success());
    let config = ["--config", "peer/peer-agent.toml"];
    let keys = |command: &str, more: &[&str]| {
        let output = run(&[&["keys", command][..], &config, more].concat(), folder.path());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        String::from_utf8(output.stdout).unwrap()
    };
    let object = |command: &str| -> serde_json::Value { serde_json::from_str(&keys(command, &["--json"])).unwrap() };
    let first = object("show");
    assert_eq!(first["moves"], serde_json::json!([]));
    assert!(keys("show", &[]).contains("this is the identity's first key"));

    let moved = object("rotate");
    assert_eq!(moved["old_peer_id"], first["peer_id"]);
    let shown = object("show");
    assert_eq!(
        (&shown["peer_id"], &shown["public_key"]),
        (&moved["peer_id"], &moved["public_key"])
    );
    assert_eq!(shown["moves"][0]["old_peer_id"], first["peer_id"]);
    assert_eq!(
        (&shown["moves"][0]["presented"], &shown["unfinished"]),
        (&true.into(), &false.into())
    );
    let kept = moved["kept"].as_str().unwrap();
    assert_eq!(fs::metadata(kept).unwrap().permissions().mode() & 0o777, 0o600);

    let told = keys("rotate", &[]);
    for word in [moved["peer_id"].as_str().unwrap(), "Start the peer now", "new own name"] {
        assert!(told.contains(word), "{told}");
    }
    let text = keys("show", &[]);
    assert_eq!(text.matches(" → ").count(), 2, "{text}");
    let told = "less than a day ago; the attester is told for ";
    assert!(
        text.matches(told).count() == 2 && text.matches(" days more").count() == 2,
        "{text}"
    );

    // Without a configuration file; and what is not there cannot be moved.
    let key = folder.path().join("peer/peer.key");
    let output = run(&["keys", "show", "--identity", key.to_str().unwrap()], folder.path());
    assert_eq!(String::from_utf8(output.stdout).unwrap(), text);
    let output = run(&["keys", "rotate", "--identity", "none.key"], folder.path());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.code() == Some(3) && said.contains("no identity"),
        "{said}"
    );
}

#[test]
fn an_identity_that_a_peer_uses_is_not_moved() {
    let folder = tempfile::tempdir().unwrap();
    assert!(init(folder.path()).status.success());
    let config = folder.path().join("peer/peer-agent.toml");
    let text = fs::read_to_string(&config).unwrap();
    // Nobody else listens there, and the attester is nowhere.
    fs::write(
        &config,
        text.replace("127.77.1.1:8443", "127.77.1.1:1")
            .replace("listen = \"127.77.1.1:1\"", "listen = \"127.0.0.1:0\""),
    )
    .unwrap();
    let mut peer = Command::new(env!("CARGO_BIN_EXE_peer-agent"))
        .args(["run", "--config", "peer/peer-agent.toml", "--json"])
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(peer.stdout.take().unwrap()).lines();
    let started = lines.next().unwrap().unwrap();
    assert!(started.contains("started"), "{started}");
    let arguments = ["keys", "rotate", "--config", "peer/peer-agent.toml"];
    let output = run(&arguments, folder.path());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.code() == Some(3) && said.contains("in use: stop the peer first"),
        "{said}"
    );
    peer.kill().unwrap();
    peer.wait().unwrap();
    assert!(run(&arguments, folder.path()).status.success());
}

/// Killed at any moment, it leaves an identity to start with, and the next try finishes.
#[test]
fn a_move_that_is_killed_is_finished_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    assert!(init(folder.path()).status.success());
    let show = || -> serde_json::Value {
        let output = run(
            &["keys", "show", "--identity", "peer/peer.key", "--json"],
            folder.path(),
        );
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    };
    // Waits for it, and kills it when that took so many looks; gives how many it took.
    let rotate = |looks: u64| {
        let mut rotation = Command::new(env!("CARGO_BIN_EXE_peer-agent"))
            .args(["keys", "rotate", "--identity", "peer/peer.key"])
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut looked = 0;
        while looked < looks && rotation.try_wait().unwrap().is_none() {
            looked += 1;
        }
        // It may have ended.
        let _ = rotation.kill();
        rotation.wait().unwrap();
        looked
    };
    let whole = rotate(u64::MAX);
    let mut ids = vec![show()["peer_id"].clone()];
    let mut unfinished = 0;
    let mut rounds = 0..MOST_ROUNDS;
    // As long as all were killed before they began, or after their end, nothing was shown.
    while unfinished == 0 || ids.len() == 1 || rounds.start < ROUNDS {
        let round = rounds.next().unwrap();
        rotate(whole * (round % ROUNDS) / ROUNDS);
        let shown = show();
        unfinished += usize::from(shown["unfinished"] == true);
        let moves = shown["moves"].as_array().unwrap();
        if let Some(last) = moves.last() {
            assert_eq!(last["peer_id"], shown["peer_id"], "round {round}");
        }
        if ids.last() != Some(&shown["peer_id"]) {
            if let Some(last) = moves.last() {
                assert_eq!(Some(&last["old_peer_id"]), ids.last(), "round {round}");
            }
            ids.push(shown["peer_id"].clone());
        }
    }
    assert!(
        run(&["keys", "rotate", "--identity", "peer/peer.key"], folder.path())
            .status
            .success()
    );
    let shown = show();
    assert_eq!(shown["unfinished"], false);
    assert_eq!(
        shown["moves"].as_array().unwrap().last().unwrap()["old_peer_id"],
        *ids.last().unwrap()
    );
}

const ROUNDS: u64 = 60;
const MOST_ROUNDS: u64 = 3000;
