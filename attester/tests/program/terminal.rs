//! What a terminal gets that a pipe does not.

use std::{
    fs::File,
    io::Read,
    process::{Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use nix::{
    pty::openpty,
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::place::{Place, ran};

/// Runs a command with its output and errors on a terminal of its own; what it wrote.
fn on_a_terminal(command: &mut Command, until: Option<&str>) -> String {
    let pty = openpty(None, None).unwrap();
    let slave = File::from(pty.slave);
    command.stdout(Stdio::from(slave.try_clone().unwrap()));
    command.stderr(Stdio::from(slave));
    let mut child = command.spawn().unwrap();
    // The command's own copies of the terminal would keep it from ending.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let (parts, read) = mpsc::channel();
    let mut master = File::from(pty.master);
    let reader = std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        // On Linux a terminal that nobody has any more ends with an error.
        while let Ok(length @ 1..) = master.read(&mut buffer) {
            let _ = parts.send(String::from_utf8_lossy(&buffer[..length]).into_owned());
        }
    });
    let mut text = String::new();
    if let Some(until) = until {
        while !text.contains(until) {
            text += &read
                .recv_timeout(Duration::from_secs(30))
                .unwrap_or_else(|_| panic!("no {until:?} in {text:?}"));
        }
        kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    }
    assert!(child.wait().unwrap().code().is_some());
    reader.join().unwrap();
    text.extend(read.try_iter());
    text
}

fn is_coloured(text: &str) -> bool {
    text.contains("\u{1b}[")
}

#[test]
fn help_is_coloured_on_terminals_only() {
    let place = Place::new();
    assert!(is_coloured(&on_a_terminal(&mut place.command(&["--help"]), None)));
    assert!(!is_coloured(&on_a_terminal(
        place.command(&["--help"]).env("NO_COLOR", "1"),
        None
    )));
    // Also where clap's own rule would colour it.
    for ci in [None, Some("true")] {
        let mut dumb = place.command(&["--help"]);
        dumb.env("TERM", "dumb").envs(ci.map(|value| ("CI", value)));
        assert!(!is_coloured(&on_a_terminal(&mut dumb, None)), "{ci:?}");
    }
    assert!(!is_coloured(&place.run(&["--help"]).out));
    assert!(is_coloured(
        &ran(place.command(&["--help"]).env("CLICOLOR_FORCE", "1")).out
    ));
}

#[test]
fn mistakes_in_a_command_line_follow_the_same_rule() {
    let place = Place::new();
    let mistaken = || place.command(&["no-such-command"]);
    assert!(is_coloured(&on_a_terminal(&mut mistaken(), None)));
    assert!(!is_coloured(&on_a_terminal(mistaken().env("NO_COLOR", "1"), None)));
    let piped = ran(&mut mistaken());
    assert_eq!((piped.code, piped.out.as_str()), (2, ""));
    assert!(
        !is_coloured(&piped.err) && piped.err.contains("no-such-command"),
        "{}",
        piped.err
    );
}

#[test]
fn tables_follow_the_same_rule() {
    let place = Place::initialised();
    place.fill(async |_| {});
    let command = || place.command(&["peers"]);
    assert!(is_coloured(&on_a_terminal(&mut command(), None)));
    for (name, value) in [("NO_COLOR", "1"), ("TERM", "dumb"), ("CLICOLOR", "0")] {
        assert!(
            !is_coloured(&on_a_terminal(command().env(name, value), None)),
            "{name}={value}"
        );
    }
    assert!(!is_coloured(&place.run(&["peers"]).out));
    assert!(is_coloured(&ran(command().env("CLICOLOR_FORCE", "1")).out));
    let both = ran(command().env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1"));
    assert!(!is_coloured(&both.out));
    // Objects are for programs, wherever they go.
    let objects = on_a_terminal(place.command(&["peers", "--json"]).env("CLICOLOR_FORCE", "1"), None);
    assert!(!is_coloured(&objects), "{objects}");
}

#[test]
fn logs_follow_the_same_rule() {
    let place = Place::initialised();
    let log = on_a_terminal(&mut place.command(&["serve"]), Some("ready: "));
    assert!(is_coloured(&log) && log.contains("state restored"), "{log}");
    let plain = on_a_terminal(place.command(&["serve"]).env("NO_COLOR", "1"), Some("ready: "));
    assert!(!is_coloured(&plain) && plain.contains("state restored"), "{plain}");
}
