//! When a peer's misbehaviour begins: all of them behave until they are registered, some until they are in the rotation.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use peer_agent::{Standing, State};
use tokio::sync::watch;

use crate::edge::Passed;

/// How far a peer has come, as its own agent was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// No session, or not registered in it.
    Away,
    /// Registered. An agent learns this before the first announcement, so before the first probe arrives.
    Registered,
    /// A verdict has said that it is verified.
    Verified,
}

/// The moment from which on a peer misbehaves.
#[derive(Clone, Debug)]
pub(crate) struct Cue {
    agent: Told,
    since: Stage,
    /// What else must have happened.
    also: Option<Behind>,
    /// Who has turned stays so. Who misbehaves from its registration on behaves again when it registers again.
    turned: Arc<AtomicBool>,
}

/// An edge, and the name by which it finds the peer: for those who misbehave once it has passed something on to them.
#[derive(Clone, Debug)]
pub(crate) struct Behind {
    pub(crate) passed: Passed,
    pub(crate) host: String,
}

/// Who knows how far a peer has come.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    Agent(watch::Receiver<Standing>),
    Rogue(watch::Receiver<Stage>),
}

impl Cue {
    pub(crate) fn new(agent: Told, since: Stage, also: Option<Behind>) -> Self {
        Self {
            agent,
            since,
            also,
            turned: Arc::default(),
        }
    }

    /// Whether the moment has come.
    pub(crate) fn has_come(&self) -> bool {
        if self.turned.load(Ordering::Relaxed) {
            return true;
        }
        let also = self.also.as_ref().is_none_or(|also| also.passed.includes(&also.host));
        let come = also && self.agent.stage() >= self.since;
        if come && self.since == Stage::Verified {
            self.turned.store(true, Ordering::Relaxed);
        }
        come
    }

    /// Waits for it; for ever when the agent has ended before.
    pub(crate) async fn comes(&mut self) {
        while !self.has_come() {
            let changed = match &mut self.agent {
                Told::Agent(told) => told.changed().await,
                Told::Rogue(told) => told.changed().await,
            };
            if changed.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

impl Told {
    fn stage(&self) -> Stage {
        match self {
            Self::Rogue(told) => *told.borrow(),
            Self::Agent(told) => match told.borrow().state {
                State::Verified => Stage::Verified,
                State::Registered | State::Named | State::Probing | State::Suspended | State::Refused => {
                    Stage::Registered
                }
                _ => Stage::Away,
            },
        }
    }
}
