//! Every command of the README, typed as it is written and in its order.

use std::{
    fs,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, ensure};
use harness::{DEADLINE, programs::Program};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::time::{Instant, interval};

/// A command and what the README shows of its output.
struct Step {
    command: String,
    shown: Vec<String>,
}

#[tokio::test]
#[ignore = "needs dig, which tests/setup.sh installs, and the default ports"]
async fn every_command_works_as_it_is_written() -> anyhow::Result<()> {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md"))?;
    let steps = steps(&readme);
    for command in [
        "attester init",
        "attester serve",
        "attester probe",
        "peer-agent run",
        "attester keys revoke",
        "peer-agent keys rotate",
        "attester evidence verify",
    ] {
        let is_there = steps.iter().any(|step| step.command.starts_with(command));
        ensure!(is_there, "the README has no {command}");
    }
    let mut terminals = Terminals::new()?;
    for step in &steps {
        terminals.type_in(step).await?;
    }
    Ok(())
}

/// The terminals of whoever follows the page: one folder, and what goes on in some of them.
struct Terminals {
    folder: tempfile::TempDir,
    path: String,
    attester: Option<Server>,
    peer: Option<Server>,
    logs: usize,
}

impl Terminals {
    fn new() -> anyhow::Result<Self> {
        let programs = Program::Attester.path()?;
        let programs = programs.parent().context("a folder")?;
        Ok(Self {
            folder: tempfile::tempdir()?,
            path: format!("{}:{}", programs.display(), std::env::var("PATH")?),
            attester: None,
            peer: None,
            logs: 0,
        })
    }

    async fn type_in(&mut self, step: &Step) -> anyhow::Result<()> {
        let Step { command, shown } = step;
        println!("$ {command}");
        if command.starts_with("attester serve") {
            self.attester = Some(self.start(command, "ready").await?);
            return Ok(());
        }
        if command.starts_with("peer-agent run") {
            self.peer = Some(self.start(command, "verified: ").await?);
            return Ok(());
        }
        if command.starts_with("peer-agent keys rotate") {
            // "Stop the peer, move its identity, start the peer".
            self.peer.take().context("a peer runs")?.stop()?;
        }
        let run = || -> anyhow::Result<(bool, String)> {
            let output = shell(command, self.folder.path(), &self.path).output()?;
            let said = String::from_utf8_lossy(&output.stdout);
            let as_shown = !command.starts_with("dig") || said.lines().eq(shown.iter().map(String::as_str));
            let told = String::from_utf8_lossy(&output.stderr);
            Ok((output.status.success() && as_shown, format!("{said}{told}")))
        };
        if command.starts_with("dig") {
            return until(|| Ok(run()?.0), &format!("{command} answers {shown:?}")).await;
        }
        let (is_well, said) = run()?;
        ensure!(is_well, "{command} failed: {said}");
        Ok(())
    }

    /// Starts what goes on, and waits for a word of it.
    async fn start(&mut self, command: &str, word: &str) -> anyhow::Result<Server> {
        self.logs += 1;
        let log = self.folder.path().join(format!("output{}", self.logs));
        let server = Server::start(command, self.folder.path(), &self.path, &log)?;
        let has_said = || Ok(fs::read_to_string(&log)?.contains(word));
        until(has_said, &format!("{command} says {word}")).await?;
        Ok(server)
    }
}

fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        if line.starts_with("```") {
            inside = line == "```console";
        } else if let Some(command) = line.strip_prefix("$ ").filter(|_| inside) {
            steps.push(Step {
                command: command.to_owned(),
                shown: Vec::new(),
            });
        } else if let Some(step) = steps.last_mut().filter(|_| inside) {
            step.shown.push(line.to_owned());
        }
    }
    // Building is what the harness does, and the demo and the tests are steps of their own where this is one.
    steps.retain(|step| !step.command.starts_with("cargo ") && !step.command.starts_with("export "));
    steps
}

fn shell(command: &str, folder: &Path, path: &str) -> Command {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &format!("exec {command}")])
        .current_dir(folder)
        .env("PATH", path)
        .stdin(Stdio::null());
    shell
}

async fn until(holds: impl Fn() -> anyhow::Result<bool>, what: &str) -> anyhow::Result<()> {
    let deadline = Instant::now() + DEADLINE;
    let mut looks = interval(Duration::from_millis(100));
    loop {
        looks.tick().await;
        if holds()? {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{DEADLINE:?} have passed before {what}");
    }
}

/// A command that goes on; killed when dropped.
struct Server(Child);

impl Server {
    fn start(command: &str, folder: &Path, path: &str, log: &Path) -> anyhow::Result<Self> {
        let file = fs::File::create(log)?;
        let child = shell(command, folder, path)
            .stdout(file.try_clone()?)
            .stderr(file)
            .process_group(0)
            .spawn()?;
        Ok(Self(child))
    }

    /// As Ctrl-C does, and as it should: it says goodbye and ends well.
    fn stop(mut self) -> anyhow::Result<()> {
        kill(Pid::from_raw(self.0.id().try_into()?), Signal::SIGINT)?;
        let ended = self.0.wait()?;
        ensure!(ended.success(), "it ended with {ended}");
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
