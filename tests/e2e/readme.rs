//! The README's "By hand" section, typed as it is written.

use std::{
    fs,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, ensure};
use harness::{DEADLINE, programs::Program};
use tokio::time::{Instant, interval};

/// A command and what the README shows of its output.
struct Step {
    command: String,
    shown: Vec<String>,
}

#[tokio::test]
#[ignore = "needs dig, which tests/setup.sh installs, and the default ports"]
async fn by_hand_works_as_it_is_written() -> anyhow::Result<()> {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md"))?;
    let section = |title: &str| {
        let rest = readme.split(&format!("\n## {title}\n")).nth(1);
        let rest = rest.with_context(|| format!("the README has a section {title}"))?;
        anyhow::Ok(rest.split("\n## ").next().unwrap_or_default().to_owned())
    };
    let steps = steps(&(section("By hand")? + &section("The attester's keys")?));
    ensure!(steps.len() >= 8, "only {} commands were found", steps.len());
    let folder = tempfile::tempdir()?;
    let programs = Program::Attester.path()?;
    let path = format!(
        "{}:{}",
        programs.parent().context("a folder")?.display(),
        std::env::var("PATH")?
    );
    let mut servers = Vec::new();
    for step in steps {
        let log = folder.path().join(format!("output{}", servers.len()));
        if step.command.starts_with("attester serve") || step.command.starts_with("peer-agent run") {
            servers.push(Server::start(&step.command, folder.path(), &path, &log)?);
            let word = if step.command.starts_with("attester") {
                "ready"
            } else {
                "verified"
            };
            until(
                || Ok(fs::read_to_string(&log)?.contains(word)),
                &format!("{} says {word}", step.command),
            )
            .await?;
            continue;
        }
        let run = || -> anyhow::Result<bool> {
            let output = shell(&step.command, folder.path(), &path).output()?;
            let said = String::from_utf8_lossy(&output.stdout);
            let as_shown = !step.command.starts_with("dig") || said.lines().eq(step.shown.iter().map(String::as_str));
            Ok(output.status.success() && as_shown)
        };
        if step.command.starts_with("dig") {
            until(run, &format!("{} answers {:?}", step.command, step.shown)).await?;
        } else {
            ensure!(run()?, "{} failed", step.command);
        }
    }
    Ok(())
}

fn steps(section: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    for line in section.lines() {
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
    // Building is what the harness does.
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
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
