//! The commands of README.md and of the Go package's, typed as they are written and in their order; and what is installed.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    env, fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

#[test]
#[ignore = "needs pkg-config and openssl, see tests/setup.sh"]
fn the_commands_of_the_readme_do_what_it_shows() {
    let home = type_commands("README.md", 3);
    let library = home.path().join(".local/lib/libpeer_agent_c.so.1");
    let name = b"libpeer_agent_c.so.1\0";
    let bytes = fs::read(&library).unwrap();
    assert!(
        bytes.windows(name.len()).any(|window| window == name),
        "it has no soname"
    );
    assert!(library.is_file() && home.path().join(".local/include/peer_agent.h").is_file());
}

#[test]
#[ignore = "needs Go and pkg-config, see tests/setup.sh"]
fn the_commands_of_the_go_readme_do_what_it_shows() {
    type_commands("go/README.md", 4);
}

/// As a package is made: everything below DESTDIR, which no file of it names.
#[test]
#[ignore = "builds the library for a release"]
fn what_is_installed_for_a_package_does_not_name_where_it_was_packed() {
    let stage = tempfile::tempdir().unwrap();
    let output = Command::new(root().join("install.sh"))
        .args(["--prefix", "/opt/peer-agent"])
        .env("DESTDIR", stage.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let prefix = stage.path().join("opt/peer-agent");
    for file in [
        "include/peer_agent.h",
        "lib/libpeer_agent_c.a",
        "lib/libpeer_agent_c.so.1",
    ] {
        assert!(prefix.join(file).is_file(), "there is no {file}");
    }
    let link = fs::read_link(prefix.join("lib/libpeer_agent_c.so")).unwrap();
    assert_eq!(link, Path::new("libpeer_agent_c.so.1"));
    let package = fs::read_to_string(prefix.join("lib/pkgconfig/peer_agent.pc")).unwrap();
    assert!(package.contains("prefix=/opt/peer-agent\n"), "{package}");
    assert!(!package.contains(stage.path().to_str().unwrap()), "{package}");
    assert_eq!(
        fs::read_dir(stage.path()).unwrap().count(),
        1,
        "something went elsewhere"
    );
}

/// Types the commands of a page in a home of its own, and looks for what the page shows, at least so many lines.
fn type_commands(page: &str, least: usize) -> TempDir {
    let page = fs::read_to_string(root().join(page)).unwrap();
    let (mut script, mut shown) = (String::from("set -eu\n"), Vec::new());
    for block in page.split("```console\n").skip(1) {
        for line in block.split("```").next().unwrap().lines() {
            match line.strip_prefix("$ ") {
                Some(command) => script += &format!("{command}\n"),
                None => shown.push(line),
            }
        }
    }
    assert!(
        script.contains("install.sh") && shown.len() >= least,
        "{script}{shown:?}"
    );
    let home = tempfile::tempdir().unwrap();
    // The commands are typed in the repository's folder; what they write belongs elsewhere.
    std::os::unix::fs::symlink(root().parent().unwrap(), home.path().join("peer-agent")).unwrap();
    let mut shell = Command::new("sh")
        .current_dir(home.path())
        .env("HOME", home.path())
        // Toolchains and what they keep are found by the true home.
        .envs(["CARGO_HOME", "RUSTUP_HOME", "GOCACHE", "GOMODCACHE"].map(|name| (name, kept(name))))
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
    home
}

/// Where a toolchain keeps what it has, as this process' environment says it or by its own rule.
fn kept(name: &str) -> PathBuf {
    let home = env::home_dir().unwrap();
    let usual = match name {
        "CARGO_HOME" => ".cargo",
        "RUSTUP_HOME" => ".rustup",
        "GOCACHE" => ".cache/go-build",
        _ => "go/pkg/mod",
    };
    env::var_os(name).map_or_else(|| home.join(usual), PathBuf::from)
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
