//! The real programs as processes of their own, built by cargo as the tests were.

use std::{
    env,
    ffi::OsStr,
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::OnceLock,
    time::Duration,
};

use anyhow::{Context, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::time::{Instant, interval};

use crate::DEADLINE;

/// A program of the workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// `attester`.
    Attester,
    /// `peer-agent`.
    PeerAgent,
}

impl Program {
    const fn name(self) -> &'static str {
        match self {
            Self::Attester => "attester",
            Self::PeerAgent => "peer-agent",
        }
    }

    /// The program's file, built if it is not current.
    ///
    /// # Errors
    /// When cargo cannot build it.
    pub fn path(self) -> anyhow::Result<PathBuf> {
        static FOLDER: OnceLock<Result<PathBuf, String>> = OnceLock::new();
        let folder = FOLDER.get_or_init(|| build().map_err(|error| format!("{error:#}")));
        match folder {
            Ok(folder) => {
                let path = folder.join(format!("{}{}", self.name(), env::consts::EXE_SUFFIX));
                ensure!(
                    path.exists(),
                    "cargo did not build {}: its package needs an integration test",
                    path.display()
                );
                Ok(path)
            }
            Err(error) => Err(anyhow::anyhow!("the programs cannot be built: {error}")),
        }
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// When it cannot be started, or does not succeed; then with what it said.
    pub fn output<S: AsRef<OsStr>>(self, arguments: &[S]) -> anyhow::Result<String> {
        let output = Command::new(self.path()?)
            .args(arguments)
            .stdin(Stdio::null())
            .output()?;
        let (stdout, stderr) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        ensure!(
            output.status.success(),
            "{} ended with {}: {stdout}{stderr}",
            self.name(),
            output.status
        );
        Ok(stdout.into_owned())
    }

    /// Starts it; what it says goes to `log`, after what is there.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start<S: AsRef<OsStr>>(self, arguments: &[S], log: &Path) -> anyhow::Result<Running> {
        let log_file = File::options().create(true).append(true).open(log)?;
        let child = Command::new(self.path()?)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log_file.try_clone()?)
            .stderr(log_file)
            .spawn()
            .with_context(|| format!("cannot start {}", self.name()))?;
        Ok(Running {
            child,
            log: log.to_owned(),
        })
    }
}

/// A process. Killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Sends SIGTERM and waits for the end.
    ///
    /// # Errors
    /// When it has not ended after [`DEADLINE`]; with its log.
    pub async fn terminate(&mut self) -> anyhow::Result<ExitStatus> {
        self.signal(Signal::SIGTERM)?;
        let end = self.ended_within(DEADLINE).await?;
        end.with_context(|| format!("still running {DEADLINE:?} after SIGTERM: {}", self.said()))
    }

    /// Kills it (SIGKILL) and waits for the end.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Whether and how it ends within `duration`.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub async fn ended_within(&mut self, duration: Duration) -> anyhow::Result<Option<ExitStatus>> {
        let deadline = Instant::now() + duration;
        let mut looks = interval(Duration::from_millis(5));
        loop {
            looks.tick().await;
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
        }
    }

    /// What it said so far, and what its earlier runs with the same log said.
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        Ok(kill(Pid::from_raw(i32::try_from(self.child.id())?), signal)?)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Builds everything that tests build, in this very profile and target directory, and returns the folder of the programs.
/// The selection is that of `cargo test --workspace`, so that nothing is built twice with other features.
fn build() -> anyhow::Result<PathBuf> {
    let test = env::current_exe()?;
    let folder = test
        .parent()
        .and_then(Path::parent)
        .context("a test runs from <target>/<profile>/deps")?;
    let target = folder
        .parent()
        .context("a profile's folder is in the target directory")?;
    let release = folder.file_name().is_some_and(|profile| profile == "release");
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("the package is in the workspace")?;
    let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["test", "--workspace", "--no-run", "--quiet", "--target-dir"])
        .arg(target)
        .args(release.then_some("--release"))
        .current_dir(workspace)
        .stdin(Stdio::null())
        .output()?;
    ensure!(
        output.status.success(),
        "cargo said: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(folder.to_owned())
}
