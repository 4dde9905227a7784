//! The commands of README.md, typed as they are written and in their order.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

#[test]
#[ignore = "needs pkg-config and openssl, see tests/setup.sh"]
fn the_commands_of_the_readme_do_what_it_shows() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let (mut script, mut shown) = (String::from("set -eu\n"), Vec::new());
    for block in readme.split("```console\n").skip(1) {
        for line in block.split("```").next().unwrap().lines() {
            match line.strip_prefix("$ ") {
                Some(command) => script += &format!("{command}\n"),
                None => shown.push(line),
            }
        }
    }
    assert!(script.contains("install.sh") && shown.len() >= 3, "{script}{shown:?}");
    let home = tempfile::tempdir().unwrap();
    // The commands are typed in the repository's folder; what they write belongs elsewhere.
    std::os::unix::fs::symlink(root.parent().unwrap(), home.path().join("peer-agent")).unwrap();
    // The toolchain is found by the true home.
    let real = std::env::home_dir().unwrap();
    let mut shell = Command::new("sh")
        .current_dir(home.path())
        .env("HOME", home.path())
        .env(
            "CARGO_HOME",
            std::env::var_os("CARGO_HOME").unwrap_or_else(|| real.join(".cargo").into()),
        )
        .env(
            "RUSTUP_HOME",
            std::env::var_os("RUSTUP_HOME").unwrap_or_else(|| real.join(".rustup").into()),
        )
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    shell.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let output = shell.wait_with_output().unwrap();
    let (said, errors) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{said}{errors}");
    let mut lines = said.lines();
    for expected in shown {
        let (start, end) = expected.split_once('…').unwrap_or((expected, ""));
        let fits = |line: &str| match expected.contains('…') {
            true => line.starts_with(start) && line.ends_with(end),
            false => line == expected,
        };
        assert!(lines.any(fits), "no line {expected:?} in\n{said}");
    }
    let library = home.path().join(".local/lib/libpeer_agent_c.so.1");
    let name = b"libpeer_agent_c.so.1\0";
    let bytes = fs::read(&library).unwrap();
    assert!(
        bytes.windows(name.len()).any(|window| window == name),
        "it has no soname"
    );
    assert!(library.is_file() && home.path().join(".local/include/peer_agent.h").is_file());
}
