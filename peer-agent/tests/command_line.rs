//! The stand-alone program's command line: help, manual, completions, exit status, colour, and the look at its configuration.
#![cfg(all(feature = "give", unix))]
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::{
    fs::{self, File},
    io::{Read, Write},
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
};

use nix::pty::openpty;
use serde_json::{Value, json};
use tempfile::TempDir;

struct Ran {
    code: i32,
    out: String,
    err: String,
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_peer-agent"));
    command.args(arguments).current_dir(folder).stdin(Stdio::null());
    for name in ["CI", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "RUST_LOG", "COLUMNS"] {
        command.env_remove(name);
    }
    command.env("TERM", "xterm");
    command
}

fn ran(command: &mut Command) -> Ran {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran {
        code: output.status.code().unwrap(),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}

fn run(folder: &TempDir, arguments: &[&str]) -> Ran {
    ran(&mut command(folder.path(), arguments))
}

/// A folder with a configuration for a trial on one machine.
fn initialised() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = proto::key::SigningKey::from_seed(&[7; 32]).public().to_string();
    let arguments = [
        "init",
        "--attester",
        "127.0.0.1:7443",
        "--address",
        "127.0.0.1:8443",
        "--root",
        &root,
    ];
    assert_eq!(run(&folder, &arguments).code, 0);
    folder
}

fn change(folder: &TempDir, from: &str, to: &str) {
    let file = folder.path().join("peer-agent.toml");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains(from), "{from} in {text}");
    fs::write(file, text.replace(from, to)).unwrap();
}

/// Compares with a committed file; writes it when UPDATE_GENERATED is set.
fn compare(file: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        fs::write(&path, text).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        committed, text,
        "{file} is not what the program says: set UPDATE_GENERATED=1 once"
    );
}

/// The names under `Commands:`.
fn subcommands(help: &str) -> Vec<String> {
    let after = help.split("\nCommands:\n").nth(1).unwrap_or_default();
    let names = after.lines().take_while(|line| !line.is_empty());
    let names = names.filter_map(|line| line.strip_prefix("  ").filter(|rest| !rest.starts_with(' ')));
    let names = names.filter_map(|rest| rest.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

fn pages(path: &[String]) -> Vec<(Vec<String>, String)> {
    let arguments: Vec<&str> = path.iter().map(String::as_str).chain(["--help"]).collect();
    let ran = ran(command(Path::new("."), &arguments).env("COLUMNS", "100"));
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{path:?}");
    let mut all = vec![(path.to_vec(), ran.out.clone())];
    for name in subcommands(&ran.out) {
        let inner: Vec<String> = path.iter().cloned().chain([name]).collect();
        all.extend(pages(&inner));
    }
    all
}

#[test]
fn every_help_page_is_as_it_was() {
    let mut text = String::new();
    for (path, page) in pages(&[]) {
        assert!(
            page.lines().all(|line| line.chars().count() <= 100),
            "{path:?} is too wide"
        );
        let words: Vec<&str> = ["peer-agent"]
            .into_iter()
            .chain(path.iter().map(String::as_str))
            .collect();
        text += &format!("$ {} --help\n\n{page}\n", words.join(" "));
    }
    assert!(!text.contains('\u{1b}'), "colour in a pipe");
    compare("tests/golden/help.txt", &text);
}

#[test]
fn completions_and_manual_know_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let names = subcommands(&run(&folder, &["--help"]).out);
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(&folder, &["completions", shell]);
        assert_eq!(script.code, 0, "{}", script.err);
        assert!(names.iter().all(|name| script.out.contains(name.as_str())), "{shell}");
    }
    assert_eq!(run(&folder, &["man", "--out", "man1"]).code, 0);
    for (path, _) in pages(&[]) {
        let words: Vec<&str> = ["peer-agent"]
            .into_iter()
            .chain(path.iter().map(String::as_str))
            .collect();
        let page = fs::read_to_string(folder.path().join(format!("man1/{}.1", words.join("-")))).unwrap();
        assert!(
            page.starts_with(".TH ") && page.contains("\n.SH \"EXIT STATUS\"\n"),
            "{path:?}"
        );
    }
    let main = run(&folder, &["man"]).out;
    for name in names {
        assert!(
            main.contains(&format!("peer\\-agent\\-{}(1)", name.replace('-', "\\-"))),
            "{name}"
        );
    }
}

/// Has a shell read, and not run, the script for it.
fn takes_its_completions(shell: &str) {
    let script = run(&tempfile::tempdir().unwrap(), &["completions", shell]).out;
    let mut checking = Command::new(shell)
        .arg("-n")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{shell}: {error}"));
    checking.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let checked = checking.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success() && said.is_empty(), "{shell}: {said}");
}

#[test]
fn bash_takes_its_completions() {
    takes_its_completions("bash");
}

#[test]
#[ignore = "needs zsh, which tests/setup.sh installs"]
fn zsh_takes_its_completions() {
    takes_its_completions("zsh");
}

#[test]
#[ignore = "needs fish, which tests/setup.sh installs"]
fn fish_takes_its_completions() {
    takes_its_completions("fish");
}

/// The rows of the table in `--help`: status, who must act, why.
fn table() -> Vec<(i32, String, String)> {
    let help = ran(command(Path::new("."), &["--help"]).env("COLUMNS", "100")).out;
    let rows = help.split("Exit status, who must act, and why:\n").nth(1).unwrap();
    let row = |line: &str| {
        let (code, rest) = line.trim_start().split_once("  ").unwrap();
        let (who, why) = rest.split_at(10);
        (code.parse().unwrap(), who.trim().to_owned(), why.trim().to_owned())
    };
    rows.lines().take_while(|line| !line.is_empty()).map(row).collect()
}

#[test]
fn the_readme_has_the_table_of_exit_statuses() {
    let readme = include_str!("../README.md");
    let parts: Vec<&str> = readme.split("<!-- exit status -->").collect();
    assert_eq!(parts.len(), 3, "the markers are there");
    let mut text = String::from("\n| status | who must act | what happened |\n| --- | --- | --- |\n");
    for (code, who, why) in table() {
        text += &format!("| {code} | {who} | {why} |\n");
    }
    compare("README.md", &[parts[0], &text, parts[2]].join("<!-- exit status -->"));
}

#[test]
fn each_exit_status_is_produced() {
    let listed: Vec<i32> = table().into_iter().map(|(code, ..)| code).collect();
    assert_eq!(listed, [0, 1, 2, 3, 4]);
    let folder = initialised();
    assert_eq!(run(&folder, &["check-config"]).code, 0);
    // A folder that cannot be made is on no list.
    fs::write(folder.path().join("file"), "").unwrap();
    assert_eq!(run(&folder, &["init", "--state", "file/below"]).code, 1);
    assert_eq!(run(&folder, &["run", "--nonsense"]).code, 2);
    assert_eq!(run(&folder, &["run", "--config", "nowhere.toml"]).code, 2);
    // Nothing is overwritten.
    assert_eq!(run(&folder, &["init"]).code, 3);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    change(
        &folder,
        "listen = \"127.0.0.1:8443\"",
        &format!("listen = \"{}\"", taken.local_addr().unwrap()),
    );
    let told = run(&folder, &["run"]);
    assert_eq!(told.code, 4, "{}", told.err);
    // Whoever is being started in another thread may hold a copy of the socket for a moment: so not the same port.
    change(&folder, &taken.local_addr().unwrap().to_string(), "127.0.0.1:0");
    fs::write(folder.path().join("peer.key"), "no key").unwrap();
    let told = run(&folder, &["run"]);
    assert_eq!(told.code, 3, "{}", told.err);
}

#[test]
fn a_configuration_is_looked_through() {
    let folder = initialised();
    let objects = |arguments: &[&str]| -> (i32, Vec<Value>) {
        let ran = run(&folder, &[&["check-config", "--json"], arguments].concat());
        (
            ran.code,
            ran.out
                .lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect(),
        )
    };
    let ran = run(&folder, &["check-config"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert!(
        ran.out
            .contains("peer-agent.toml is in order: serves on 127.0.0.1:8443"),
        "{}",
        ran.out
    );

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    change(
        &folder,
        "listen = \"127.0.0.1:8443\"",
        &format!("listen = \"{}\"", taken.local_addr().unwrap()),
    );
    assert_eq!(objects(&[]).0, 0, "another machine's ports are no mistake");
    let (code, all) = objects(&["--machine"]);
    assert_eq!(code, 4);
    let found: Vec<(&str, &str)> = all
        .iter()
        .filter(|object| object["kind"] == "machine")
        .map(|object| (object["check"].as_str().unwrap(), object["found"].as_str().unwrap()))
        .collect();
    assert_eq!(
        found,
        [
            ("identity", "fine"),
            ("give.listen", "in-the-way"),
            ("give.bind", "fine")
        ]
    );

    change(&folder, "# rate = 131072", "rate = 1000");
    let ran = run(&folder, &["check-config"]);
    assert_eq!(ran.code, 0);
    assert!(
        ran.err.contains("key give.rate: ") && ran.out.contains("can be used"),
        "{}{}",
        ran.out,
        ran.err
    );
    assert_eq!(run(&folder, &["check-config", "--strict"]).code, 2);

    change(&folder, "rate = 1000", "rat = 1000");
    change(&folder, "address = \"127.0.0.1:8443\"", "address = \"nowhere\"");
    let ran = run(&folder, &["check-config"]);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""));
    for told in [
        "key give.rat: there is no such key; did you mean rate?",
        "key agent.address: not a public ip:port",
    ] {
        assert!(ran.err.contains(told), "{told} in {}", ran.err);
    }
    let (code, all) = objects(&[]);
    assert_eq!(code, 2);
    let kinds: Vec<&Value> = all.iter().map(|object| &object["kind"]).collect();
    assert_eq!(kinds, [&json!("mistake"), &json!("mistake"), &json!("result")]);
    let same = run(&folder, &["run"]);
    assert_eq!((same.code, same.err), (2, ran.err), "running says the same");
}

/// What a command writes to a terminal of its own.
fn on_a_terminal(command: &mut Command) -> String {
    let pty = openpty(None, None).unwrap();
    let slave = File::from(pty.slave);
    command
        .stdout(Stdio::from(slave.try_clone().unwrap()))
        .stderr(Stdio::from(slave));
    let mut child = command.spawn().unwrap();
    // The command's own copies of the terminal would keep it from ending.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let (mut master, mut text, mut buffer) = (File::from(pty.master), String::new(), [0; 4096]);
    while let Ok(length @ 1..) = master.read(&mut buffer) {
        text += &String::from_utf8_lossy(&buffer[..length]);
    }
    child.wait().unwrap();
    text
}

#[test]
fn colour_is_for_terminals() {
    let is_coloured = |text: &str| text.contains("\u{1b}[");
    let folder = initialised();
    let help = || command(folder.path(), &["--help"]);
    assert!(is_coloured(&on_a_terminal(&mut help())));
    assert!(!is_coloured(&on_a_terminal(help().env("NO_COLOR", "1"))));
    // Also where clap's own rule would colour it.
    assert!(!is_coloured(&on_a_terminal(
        help().env("TERM", "dumb").env("CI", "true")
    )));
    assert!(!is_coloured(&ran(&mut help()).out));
    let mistaken = ran(&mut command(folder.path(), &["no-such-command"]));
    assert_eq!((mistaken.code, mistaken.out.as_str()), (2, ""));
    assert!(!is_coloured(&mistaken.err) && mistaken.err.contains("no-such-command"));
    let pasted = ran(&mut command(folder.path(), &["no-such-\u{202e}command\u{200b}"]));
    assert!(pasted.err.contains("'no-such-command'"), "{}", pasted.err);
    assert!(is_coloured(&ran(help().env("CLICOLOR_FORCE", "1")).out));
    // A run that ends at once, after it has logged something.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    change(
        &folder,
        "listen = \"127.0.0.1:8443\"",
        &format!("listen = \"{}\"", taken.local_addr().unwrap()),
    );
    let logging = || {
        let mut command = command(folder.path(), &["run"]);
        command.env("RUST_LOG", "trace");
        command
    };
    let piped = ran(&mut logging());
    assert_eq!(piped.code, 4);
    assert!(!is_coloured(&piped.err) && !is_coloured(&piped.out), "{}", piped.err);
    assert!(!is_coloured(&on_a_terminal(logging().env("NO_COLOR", "1"))));
}
