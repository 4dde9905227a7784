//! This program again, in another role: a process that is asked in lines of JSON, and ends when its input does.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    process::{Child as Process, ChildStdin, Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use anyhow::{Context, bail};
use clap::ValueEnum;
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::Instant;

use crate::roles::Role;

/// A running child. Dropped, it is killed.
pub(crate) struct Child {
    role: Role,
    process: Process,
    input: ChildStdin,
    lines: mpsc::Receiver<String>,
}

impl Child {
    /// Starts a role with its settings; its first answer says that it is there.
    pub(crate) fn start<A: DeserializeOwned>(role: Role, settings: &impl Serialize) -> anyhow::Result<(Self, A)> {
        let value = role.to_possible_value().context("every role has a name")?;
        let mut process = Command::new(env::current_exe()?)
            .args(["--role", value.get_name()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {role:?}"))?;
        let input = process.stdin.take().context("its input is a pipe")?;
        let output = BufReader::new(process.stdout.take().context("its output is a pipe")?);
        let (told, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if told.send(line).is_err() {
                    return;
                }
            }
        });
        let mut child = Self {
            role,
            process,
            input,
            lines,
        };
        let answer = child.ask(settings)?;
        Ok((child, answer))
    }

    /// Asks and waits for the answer.
    pub(crate) fn ask<A: DeserializeOwned>(&mut self, question: &impl Serialize) -> anyhow::Result<A> {
        let role = self.role;
        let line = serde_json::to_string(question)?;
        writeln!(self.input, "{line}").with_context(|| format!("{role:?} has ended"))?;
        let answer = self
            .lines
            .recv_timeout(PATIENCE)
            .with_context(|| format!("{role:?} does not answer"))?;
        match serde_json::from_str::<Result<A, String>>(&answer).with_context(|| format!("{role:?} said {answer:?}"))? {
            Ok(answer) => Ok(answer),
            Err(trouble) => bail!("{role:?}: {trouble}"),
        }
    }

    /// Asks again and again until the answer is good.
    pub(crate) fn wait<A: DeserializeOwned>(
        &mut self,
        question: &impl Serialize,
        within: Duration,
        mut good: impl FnMut(&A) -> bool,
    ) -> anyhow::Result<A> {
        let until = Instant::now() + within;
        loop {
            let answer = self.ask(question)?;
            if good(&answer) {
                return Ok(answer);
            }
            if Instant::now() > until {
                bail!("{:?} did not come that far within {within:?}", self.role);
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(180);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
