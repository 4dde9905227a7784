//! The demo as a program: what it says about a good end, and that it does not say so about any other.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, BufRead, BufReader, Read, Seek},
    net::IpAddr,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, sync_channel},
    thread,
};

use anyhow::{Context, bail, ensure};
use harness::{Behaviour, DEADLINE, programs::Program};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use tempfile::TempDir;

/// The whole story, told by the attester's records and its DNS; then it holds, is asked by the attester's own command line,
/// and leaves nothing behind when it is told to stop.
#[test]
fn it_ends_well_and_holds_until_it_is_told_to_stop() -> anyhow::Result<()> {
    let demo = Demo::start(&["--json", "--hold"])?;
    let events = demo.events_until("summary")?;
    let summary = events.last().context("there is a summary")?;
    assert_eq!(summary["ok"], true, "{summary}");
    let keys: Vec<&String> = summary.as_object().context("an object")?.keys().collect();
    assert_eq!(keys, ["event", "ok", "refused", "rotation", "verified"]);

    let behaviours = behaviours(&events);
    let honest: BTreeSet<IpAddr> = behaviours
        .iter()
        .filter(|(_, has)| has.is_honest())
        .map(|(peer, _)| *peer)
        .collect();
    assert!(
        (4..=8).contains(&honest.len()) && behaviours.len() - honest.len() >= 10,
        "{behaviours:?}"
    );
    assert_eq!(addresses(&summary["verified"]), honest);
    assert_eq!(addresses(&summary["rotation"]), honest);
    let refused = summary["refused"].as_array().context("an array")?;
    assert_eq!(refused.len(), behaviours.len() - honest.len());
    for one in refused {
        let peer: IpAddr = serde_json::from_value(one["peer"].clone())?;
        let behaviour = behaviours.get(&peer).context("it was announced")?;
        assert_eq!(one["behaviour"], behaviour.name());
        assert_eq!(
            one["reason"],
            behaviour.fate().reason().context("a reason")?.code(),
            "{one}"
        );
    }
    // One honest peer was in, was out, and was in again; the others stayed.
    let stays: Vec<usize> = honest.iter().map(|peer| changes(&events, peer)).collect();
    assert_eq!(stays.iter().filter(|changes| **changes == 3).count(), 1, "{stays:?}");
    assert_eq!(
        stays.iter().filter(|changes| **changes == 1).count(),
        honest.len() - 1,
        "{stays:?}"
    );

    // What it says to look around with works while it holds.
    let hold = events
        .iter()
        .find(|event| event["event"] == "hold")
        .context("it says how to look around")?;
    let commands: Vec<&str> = hold["commands"]
        .as_array()
        .context("an array")?
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let peers = commands
        .iter()
        .find(|command| command.contains(" peers "))
        .context("one lists the peers")?;
    let (_, arguments) = peers.split_once(" peers ").context("its arguments")?;
    let arguments: Vec<&str> = ["peers", "--json"].into_iter().chain(arguments.split(' ')).collect();
    let listed = Program::Attester.output(&arguments)?;
    let verified = listed
        .lines()
        .filter(|line| line.contains(r#""standing":"verified""#))
        .count();
    assert_eq!(verified, honest.len(), "{listed}");

    let (status, said) = demo.stop()?;
    ensure!(status == Some(0), "ended with {status:?}: {said}");
    assert_eq!(said, "");
    Ok(())
}

/// A peer that is refused for something else than it is announced to do.
#[test]
fn another_reason_than_the_deserved_one_is_not_ok() -> anyhow::Result<()> {
    let demo = Demo::start(&["--json", "--swap", "truncates=flips-byte"])?;
    let events = demo.events_until("summary")?;
    let summary = events.last().context("there is a summary")?;
    assert_eq!(summary["ok"], false, "{summary}");
    let swapped = summary["refused"]
        .as_array()
        .and_then(|all| all.iter().find(|one| one["behaviour"] == "truncates"));
    assert_eq!(swapped.context("it is refused")?["reason"], "body-altered", "{summary}");
    let (status, said) = demo.end()?;
    ensure!(status == Some(1), "ended with {status:?}: {said}");
    ensure!(
        said.contains("should be refused for truncated"),
        "it should say what was wrong: {said}"
    );
    Ok(())
}

/// A peer in the rotation that should not be there, though it does no harm: the demo believes DNS, not its cast.
#[test]
fn one_too_many_in_the_rotation_is_not_ok() -> anyhow::Result<()> {
    let demo = Demo::start(&["--json", "--swap", "no-receipt=enproxy"])?;
    let events = demo.events_until("summary")?;
    let summary = events.last().context("there is a summary")?;
    assert_eq!(summary["ok"], false, "{summary}");
    let behaviours = behaviours(&events);
    let swapped = behaviours
        .iter()
        .find(|(_, has)| **has == Behaviour::NoReceipt)
        .context("it was announced")?
        .0;
    assert!(addresses(&summary["rotation"]).contains(swapped), "{summary}");
    assert!(addresses(&summary["verified"]).contains(swapped), "{summary}");
    let (status, said) = demo.end()?;
    ensure!(status == Some(1), "ended with {status:?}: {said}");
    Ok(())
}

/// Stopped in the middle, it says so, still ends its output as programs expect, and leaves nothing behind.
#[test]
fn stopped_in_the_middle_it_leaves_nothing_behind() -> anyhow::Result<()> {
    let demo = Demo::start(&["--json"])?;
    // Its folders and peers are there by now.
    demo.events_until("peer")?;
    let (status, said) = demo.stop()?;
    ensure!(status == Some(1), "ended with {status:?}: {said}");
    ensure!(said.contains("stopped before its end"), "{said}");
    Ok(())
}

/// A running demo with a folder for temporary files of its own. Killed when dropped.
struct Demo {
    child: Child,
    /// Its output, read by a thread, so that a demo that hangs is noticed. When the channel is full, the demo waits.
    lines: Receiver<String>,
    /// What it says on standard error.
    said: File,
    folder: TempDir,
}

impl Demo {
    fn start(arguments: &[&str]) -> anyhow::Result<Self> {
        let (folder, said) = (tempfile::tempdir()?, tempfile::tempfile()?);
        let mut child = Command::new(env!("CARGO_BIN_EXE_demo"))
            .args(arguments)
            .env("TMPDIR", folder.path())
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(said.try_clone()?)
            .spawn()?;
        let output = BufReader::new(child.stdout.take().context("it was piped")?);
        let (sender, lines) = sync_channel(64);
        // It ends with the demo's output, or when nobody listens any more.
        thread::spawn(move || {
            output
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| sender.send(line))
        });
        Ok(Self {
            child,
            lines,
            said,
            folder,
        })
    }

    /// Reads up to the next event of this kind.
    fn events_until(&self, kind: &str) -> anyhow::Result<Vec<Value>> {
        let mut events = Vec::new();
        loop {
            // Each step of the demo has a deadline, and there is always a line at its end.
            let line = self
                .lines
                .recv_timeout(2 * DEADLINE)
                .with_context(|| format!("no {kind:?}, only {events:?}"))?;
            let event: Value = serde_json::from_str(&line).with_context(|| line.clone())?;
            let found = event["event"] == kind;
            events.push(event);
            if found {
                return Ok(events);
            }
        }
    }

    /// Tells it to stop, as a service manager does, and follows it to its end.
    fn stop(self) -> anyhow::Result<(Option<i32>, String)> {
        kill(Pid::from_raw(i32::try_from(self.child.id())?), Signal::SIGTERM)?;
        self.end()
    }

    /// Follows it to its end: its exit status and what it said on standard error. Its last line is the summary, and it has
    /// removed what it made.
    fn end(mut self) -> anyhow::Result<(Option<i32>, String)> {
        let mut last = None;
        loop {
            match self.lines.recv_timeout(2 * DEADLINE) {
                Ok(line) => last = Some(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => bail!("it does not end"),
            }
        }
        if let Some(last) = last {
            ensure!(last.starts_with(r#"{"event":"summary","#), "its last line is {last}");
        }
        let status = self.child.wait()?;
        let mut said = String::new();
        self.said.rewind()?;
        self.said.read_to_string(&mut said)?;
        let left = fs::read_dir(self.folder.path())?.map(|entry| Ok(entry?.file_name()));
        let left: Vec<_> = left.collect::<io::Result<_>>()?;
        ensure!(left.is_empty(), "left behind: {left:?}");
        Ok((status.code(), said))
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Who is announced to do what.
fn behaviours(events: &[Value]) -> BTreeMap<IpAddr, Behaviour> {
    let announced = events
        .iter()
        .filter(|event| event["event"] == "start")
        .filter_map(|event| event["peers"].as_array());
    let entry = |one: &Value| {
        let behaviour = Behaviour::ALL
            .iter()
            .find(|behaviour| one["behaviour"] == behaviour.name())?;
        Some((one["peer"].as_str()?.parse().ok()?, *behaviour))
    };
    announced.flatten().filter_map(entry).collect()
}

/// How often a peer has entered or left the rotation.
fn changes(events: &[Value], peer: &IpAddr) -> usize {
    let of_it = events
        .iter()
        .filter(|event| event["event"] == "peer" && event["peer"] == peer.to_string());
    let places: Vec<bool> = of_it.filter_map(|event| event["in_rotation"].as_bool()).collect();
    std::iter::once(&false)
        .chain(&places)
        .zip(&places)
        .filter(|(before, after)| before != after)
        .count()
}

fn addresses(list: &Value) -> BTreeSet<IpAddr> {
    let list = list.as_array().into_iter().flatten().filter_map(Value::as_str);
    list.filter_map(|text| text.parse().ok()).collect()
}
