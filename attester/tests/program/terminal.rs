//! What a terminal gets that a pipe does not.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Write},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use nix::{
    pty::{Winsize, openpty},
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    place::{Place, ran},
    stored::{peer, probe},
};

/// Runs a command with its output and errors on a terminal of its own; what it wrote.
fn on_a_terminal(command: &mut Command) -> String {
    watched(command, None).1
}

/// The same until it has written something; then does what ends it. Its status too.
fn until_it_says(command: &mut Command, word: &str, then: impl FnOnce(&Child)) -> (i32, String) {
    watched(command, Some((word, Box::new(then))))
}

type Then<'t> = Box<dyn FnOnce(&Child) + 't>;

fn watched(command: &mut Command, until: Option<(&str, Then<'_>)>) -> (i32, String) {
    let size = Winsize {
        ws_row: 24,
        ws_col: 100,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let pty = openpty(Some(&size), None).unwrap();
    let slave = File::from(pty.slave);
    command.stdout(Stdio::from(slave.try_clone().unwrap()));
    command.stderr(Stdio::from(slave));
    let mut child = command.spawn().unwrap();
    // The command's own copies of the terminal would keep it from ending.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let (parts, read) = mpsc::channel();
    let mut master = File::from(pty.master);
    let reader = thread::spawn(move || {
        let mut buffer = [0; 4096];
        // On Linux a terminal that nobody has any more ends with an error.
        while let Ok(length @ 1..) = master.read(&mut buffer) {
            let _ = parts.send(String::from_utf8_lossy(&buffer[..length]).into_owned());
        }
    });
    let mut text = String::new();
    if let Some((word, then)) = until {
        while !text.contains(word) {
            text += &read
                .recv_timeout(Duration::from_secs(30))
                .unwrap_or_else(|_| panic!("no {word:?} in {text:?}"));
        }
        then(&child);
    }
    let code = child.wait().unwrap().code().unwrap();
    reader.join().unwrap();
    text.extend(read.try_iter());
    (code, text)
}

fn stop(child: &Child) {
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
}

fn is_coloured(text: &str) -> bool {
    text.contains("\u{1b}[")
}

#[test]
fn help_is_coloured_on_terminals_only() {
    let place = Place::new();
    assert!(is_coloured(&on_a_terminal(&mut place.command(&["--help"]))));
    assert!(!is_coloured(&on_a_terminal(
        place.command(&["--help"]).env("NO_COLOR", "1"),
    )));
    // Also where clap's own rule would colour it.
    for ci in [None, Some("true")] {
        let mut dumb = place.command(&["--help"]);
        dumb.env("TERM", "dumb").envs(ci.map(|value| ("CI", value)));
        assert!(!is_coloured(&on_a_terminal(&mut dumb)), "{ci:?}");
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
    assert!(is_coloured(&on_a_terminal(&mut mistaken())));
    assert!(!is_coloured(&on_a_terminal(mistaken().env("NO_COLOR", "1"))));
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
    assert!(is_coloured(&on_a_terminal(&mut command())));
    for (name, value) in [("NO_COLOR", "1"), ("TERM", "dumb"), ("CLICOLOR", "0")] {
        assert!(
            !is_coloured(&on_a_terminal(command().env(name, value))),
            "{name}={value}"
        );
    }
    assert!(!is_coloured(&place.run(&["peers"]).out));
    assert!(is_coloured(&ran(command().env("CLICOLOR_FORCE", "1")).out));
    let both = ran(command().env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1"));
    assert!(!is_coloured(&both.out));
    // Objects are for programs, wherever they go.
    let objects = on_a_terminal(place.command(&["peers", "--json"]).env("CLICOLOR_FORCE", "1"));
    assert!(!is_coloured(&objects), "{objects}");
}

#[test]
fn logs_follow_the_same_rule() {
    let place = Place::initialised();
    let (_, log) = until_it_says(&mut place.command(&["serve"]), "ready: ", stop);
    assert!(is_coloured(&log) && log.contains("state restored"), "{log}");
    let (_, plain) = until_it_says(place.command(&["serve"]).env("NO_COLOR", "1"), "ready: ", stop);
    assert!(!is_coloured(&plain) && plain.contains("state restored"), "{plain}");
}

/// A file that whoever reads it waits for.
fn make_pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// Lets whoever reads a pipe, or will, have this and its end.
fn write_into(pipe: &Path, bytes: &[u8]) {
    let mut writer = OpenOptions::new().write(true).open(pipe).unwrap();
    writer.write_all(bytes).unwrap();
}

/// Every command that reads the state file, of which one opens it by itself. The file is a pipe into which nobody writes yet.
#[test]
fn a_state_file_that_does_not_answer_is_waited_for_in_sight() {
    let place = Place::initialised();
    let state = place.path("state/attester.db");
    make_pipe(&state);
    let root = place.read("state/keys/root.pub");
    let commands = [
        (&["peers"][..], "reading"),
        (&["explain", "127.77.1.1"], "reading"),
        (&["rejections"], "reading"),
        (&["evidence", "export", "127.77.1.1", "--all"], "reading"),
        (&["check-config", "--machine"], "looking through"),
        (
            &[
                "evidence",
                "verify",
                "-",
                "--root",
                root.trim(),
                "--state",
                "state/attester.db",
            ],
            "opening",
        ),
    ];
    // One after the other: two would wait at the same pipe.
    for (arguments, doing) in commands {
        let told = format!("{doing} the state file");
        let answer = |_: &Child| write_into(&state, b"");
        let (code, text) = until_it_says(&mut place.command(arguments), &told, answer);
        // A pipe is no state file.
        assert_eq!(code, 3, "{arguments:?}: {text}");
    }
}

/// Keys that somebody else changes, until the lock is let go.
fn with_keys_in_use() -> (Place, File) {
    let place = Place::initialised();
    let lock = File::options()
        .write(true)
        .open(place.path("state/keys/keys.lock"))
        .unwrap();
    lock.lock().unwrap();
    (place, lock)
}

#[test]
fn keys_that_somebody_else_changes_are_waited_for_in_sight() {
    let (place, lock) = with_keys_in_use();
    let mut command = place.command(&["keys", "sign"]);
    let let_go = |_: &Child| lock.unlock().unwrap();
    let (code, text) = until_it_says(&mut command, "waiting for the key files", let_go);
    assert!(code == 0 && text.contains("signed the keyset"), "{text}");

    // Somebody else is just about to make them.
    let place = Place::new();
    fs::create_dir_all(place.path("state/keys")).unwrap();
    let lock = File::create_new(place.path("state/keys/keys.lock")).unwrap();
    lock.lock().unwrap();
    let let_go = |_: &Child| lock.unlock().unwrap();
    let mut command = place.command(&["init", "--local"]);
    let (code, text) = until_it_says(&mut command, "waiting for the key files", let_go);
    assert!(code == 0 && text.contains("wrote attester.toml"), "{text}");
}

/// The keyset is a pipe into which nobody writes yet.
#[test]
fn a_start_that_takes_long_is_waited_for_in_sight() {
    let place = Place::initialised();
    let file = place.path("state/keys/keyset.cose");
    let keyset = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    make_pipe(&file);
    let go_on_and_stop = |child: &Child| {
        let mut reading = OpenOptions::new().write(true).open(&file).unwrap();
        // It is looked at again now and then.
        fs::remove_file(&file).unwrap();
        fs::write(&file, &keyset).unwrap();
        reading.write_all(&keyset).unwrap();
        drop(reading);
        stop(child);
    };
    let mut command = place.command(&["serve"]);
    let (code, text) = until_it_says(&mut command, "opening the state file", go_on_and_stop);
    assert_eq!(code, 0, "{text}");
}

/// Returns when a command that was started now has been told to take long: one that began before takes long as well.
fn until_it_takes_long() {
    let (place, lock) = with_keys_in_use();
    let mut clock = place.command(&["keys", "sign"]);
    until_it_says(&mut clock, "waiting for the key files", |_| lock.unlock().unwrap());
}

/// Runs a command that reads files one after the other. The first and the last are pipes: into one is written when it takes
/// long, into the other when it has said so.
fn counting(command: &mut Command, doing: &str, first: &Path, last: &Path, bytes: &[u8]) -> (i32, String) {
    make_pipe(first);
    make_pipe(last);
    thread::scope(|scope| {
        scope.spawn(|| {
            // Somebody reads it: so the work has begun.
            let mut writer = OpenOptions::new().write(true).open(first).unwrap();
            until_it_takes_long();
            writer.write_all(bytes).unwrap();
        });
        until_it_says(command, doing, |_| write_into(last, bytes))
    })
}

#[test]
fn many_files_are_checked_and_written_in_sight() {
    let place = Place::initialised();
    let (peer, newest) = (peer(1, "verified"), 5);
    place.fill(async |store| {
        for number in 1..=newest {
            store.record_verdict(&peer, &probe(&peer, number)).await.unwrap();
        }
    });
    let root = place.read("state/keys/root.pub");
    place.write("file", "no evidence");
    let files = ["first", "file", "file", "file", "last"];
    let arguments = [&["evidence", "verify", "--root", root.trim()], &files[..]].concat();
    let [first, last] = ["first", "last"].map(|name| place.path(name));
    let (code, text) = counting(
        &mut place.command(&arguments),
        "checking",
        &first,
        &last,
        b"none either",
    );
    assert_eq!(code, 5, "{text}");

    // The newest first. Those are there already.
    let file = |number| {
        let probe = probe(&peer, number);
        (
            place.path(&format!("{}-{}.evidence", peer.id, probe.probe)),
            probe.evidence,
        )
    };
    let ((first, bytes), (last, _)) = (file(newest), file(1));
    let mut command = place.command(&["evidence", "export", peer.id.as_str(), "--all"]);
    let (code, text) = counting(&mut command, "writing", &first, &last, &bytes);
    assert!(code == 0 && text.contains("2 were there already"), "{text}");
}

/// As with `attester peers | less`: what comes out stays clean, and the terminal shows that something is going on.
#[test]
fn progress_is_shown_where_mistakes_are() {
    let (place, lock) = with_keys_in_use();
    let sign = place.command(&["keys", "sign"]);
    let mut command = Command::new("sh");
    command
        .args(["-c", r#"exec "$0" "$@" > out"#])
        .current_dir(place.folder());
    command.arg(sign.get_program()).args(sign.get_args());
    for (name, value) in sign.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let let_go = |_: &Child| lock.unlock().unwrap();
    let (code, text) = until_it_says(&mut command, "waiting for the key files", let_go);
    assert!(code == 0 && !text.contains("signed the keyset"), "{text}");
    let out = place.read("out");
    assert!(
        out.starts_with("signed the keyset") && !out.contains("waiting"),
        "{out}"
    );
}

#[test]
fn a_pipe_is_told_of_no_progress() {
    let (place, lock) = with_keys_in_use();
    let mut command = place.command(&["keys", "sign"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A terminal that is told at the same time says when it would have been.
    let mut beside = place.command(&["keys", "sign"]);
    until_it_says(&mut beside, "waiting for the key files", |_| lock.unlock().unwrap());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
