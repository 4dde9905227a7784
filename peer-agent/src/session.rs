//! The agent's long-lived task: it keeps a session with an attester for as long as the host wants one.
//!
//! `machine` decides, `live` carries out, `channel` connects; here is the life around them: whose turn it is among the
//! endpoints, how long to wait, pause and stop.

use std::{fs::File, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt;
use proto::{
    claims::{Protocols, SuccessionPair},
    ids::{Address, Pin},
    key::{PublicKey, SigningKey},
};
use rand::rngs::StdRng;
use tokio::sync::{mpsc, watch};

use self::error::SessionError;
pub(crate) use self::retests::Retests;
use crate::{
    config::AgentConfig,
    metrics::Metrics,
    remembered::Remembered,
    standing::{Standing, State, with_ports},
    tap::{Tap, ledger::Finished},
};

mod channel;
mod error;
pub(crate) mod fuzzing;
mod heard;
mod live;
mod machine;
mod retests;

/// What stays the same in all sessions of an agent.
#[derive(Debug)]
pub(crate) struct Profile {
    pub(crate) key: SigningKey,
    pub(crate) root: PublicKey,
    pub(crate) address: Address,
    pub(crate) protocols: Protocols,
    pub(crate) pin: Pin,
    pub(crate) connect_token: Option<Token>,
    pub(crate) software: String,
    /// How the identity came to its key, oldest first; they end at `key`.
    pub(crate) successions: Vec<SuccessionPair>,
}

/// A CONNECT token; never printed.
pub(crate) struct Token(pub(crate) String);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token")
    }
}

/// What the host wants of the task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Keep a session.
    Run,
    /// Say goodbye and wait.
    Pause,
    /// Say goodbye and end.
    Stop,
}

/// The task's state.
pub(crate) struct Driver {
    pub(crate) profile: Arc<Profile>,
    pub(crate) config: AgentConfig,
    pub(crate) tap: Tap,
    pub(crate) finished: mpsc::Receiver<Finished>,
    pub(crate) standing: watch::Sender<Standing>,
    pub(crate) wishes: watch::Receiver<Wish>,
    pub(crate) retests: Retests,
    pub(crate) rng: StdRng,
    pub(crate) metrics: Arc<Metrics>,
    /// Attempts since the last registration.
    pub(crate) failures: u32,
    /// Whether the last attempt was rejected: what is wrong stays told until the peer is registered.
    pub(crate) rejected: bool,
    /// Counts the attempts: whose turn it is.
    pub(crate) turn: usize,
    /// The newest keyset that was ever believed.
    pub(crate) remembered: Remembered,
    /// The identity's file, which is not moved to another key as long as this runs.
    pub(crate) _held: Option<File>,
}

impl Driver {
    /// Runs until the host wants it to stop. A defect inside ends it as well, and is told: a standing that nobody keeps up to date
    /// would deceive the host.
    pub(crate) async fn supervised(self) {
        let (standing, tap) = (self.standing.clone(), self.tap.clone());
        if AssertUnwindSafe(self.run()).catch_unwind().await.is_err() {
            tracing::error!(
                "the agent has a defect, and has ended: start it again, and report what was said before this"
            );
            tap.disarm();
            standing.send_modify(|standing| {
                standing.rest(State::Stopped);
                standing.reason = Some("defect".to_owned());
                standing.remedy = Some(DEFECT.to_owned());
            });
        }
    }

    async fn run(mut self) {
        loop {
            let wish = *self.wishes.borrow_and_update();
            let wait = match wish {
                Wish::Stop => break,
                Wish::Pause => {
                    self.report(|standing| standing.rest(State::Paused));
                    None
                }
                Wish::Run => match Box::pin(self.attempt()).await {
                    Ok(()) => continue,
                    Err(error) => Some(self.failed(&error)),
                },
            };
            let wished = self.wishes.changed();
            let changed = match wait {
                Some(wait) => tokio::select! {
                    changed = wished => changed,
                    () = tokio::time::sleep(wait) => Ok(()),
                    () = self.retests.asked(TRIED_AGAIN) => Ok(()),
                },
                None => wished.await,
            };
            if changed.is_err() {
                break;
            }
        }
        self.report(|standing| standing.rest(State::Stopped));
    }

    /// One session from connecting to its end. `Ok`: the host wants something else now.
    async fn attempt(&mut self) -> Result<(), SessionError> {
        let endpoint = &self.config.attesters[self.turn % self.config.attesters.len()];
        self.turn = self.turn.wrapping_add(1);
        self.metrics.attempts.add_one();
        let attester = endpoint.to_string();
        self.report(|standing| {
            standing.state = State::Connecting;
            standing.attester = Some(attester);
        });
        let channel = tokio::select! {
            opened = channel::open(endpoint, self.config.bind) => opened?,
            _ = self.wishes.changed() => return Ok(()),
        };
        let endpoint = endpoint.clone();
        let result = live::run(self, channel, endpoint).await;
        self.tap.disarm();
        while self.finished.try_recv().is_ok() {
            self.metrics.receipts_dropped.add_one();
        }
        result
    }

    /// Tells the host why, and says how long to wait.
    fn failed(&mut self, error: &SessionError) -> Duration {
        tracing::debug!(code = error.code(), "no session: {}", error.remedy());
        let rejected = matches!(error, SessionError::Rejected { .. });
        self.rejected = rejected;
        self.report(|standing| {
            standing.state = if rejected { State::Rejected } else { State::Connecting };
            standing.reason = Some(error.code().to_owned());
            standing.remedy = Some(self.with_ports(error.code(), error.remedy()));
        });
        if rejected {
            self.metrics.rejections.add_one();
        }
        let wait = match error {
            // Trying again changes nothing until somebody acts. Of two agents with one identity each would replace the other
            // for ever, as fast as they can connect.
            SessionError::Rejected { retry: false, .. } | SessionError::Replaced => self.config.backoff.cap,
            _ => self.config.backoff.wait(self.failures, &mut self.rng),
        };
        self.failures = self.failures.saturating_add(1);
        wait
    }

    fn with_ports(&self, code: &str, remedy: String) -> String {
        with_ports(code, remedy, self.config.address.port(), self.config.listening)
    }

    fn report(&self, change: impl FnOnce(&mut Standing)) {
        self.standing.send_if_modified(|standing| {
            let before = standing.clone();
            change(standing);
            *standing != before
        });
    }
}

const DEFECT: &str = "the agent has a defect, or the system refused it a thread, and has ended: restart the program; if it happens again, report it";
/// Between two attempts that the host asked for.
const TRIED_AGAIN: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
