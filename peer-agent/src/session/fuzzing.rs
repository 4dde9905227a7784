//! For the `fuzz` crate only, and no part of the interface: one session without a connection. It is what the crate
//! keeps to itself, `Machine` and `Tap`, wired as in `live`: an announcement arms the tap, a finished flow becomes a
//! receipt, and after an error nothing is left of the session.

use std::sync::Arc;

use proto::{
    attest::{goodbye, to_agent, to_attester},
    claims::{Announcement, FlowEnd, Protocols},
    ids::{Address, ChannelBinding, Digest, Nonce, Pin, ProbeId},
    key::{PublicKey, SigningKey},
    time::{Clock, Timestamp},
};
use tokio::sync::mpsc;

use super::{
    Profile, Token,
    error::SessionError,
    machine::{Conclusion, Effect, Input, Machine},
};
use crate::{
    metrics::Metrics,
    standing::State,
    tap::{
        Tap,
        ledger::{Expectation, Finished},
    },
    trust::Trust,
};

/// Whose session it is and over which connection.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The peer's key.
    pub key: SigningKey,
    /// The pinned root.
    pub root: PublicKey,
    /// Where it serves.
    pub address: Address,
    /// What it speaks.
    pub protocols: Protocols,
    /// The pin of its TLS key.
    pub pin: Pin,
    /// The channel binding as the agent sees it.
    pub binding: ChannelBinding,
    /// The CONNECT token; never empty.
    pub connect_token: Option<String>,
    /// The agent's own clock.
    pub clock: Clock,
}

/// A session and its tap.
pub struct Session {
    machine: Option<Machine>,
    tap: Tap,
    finished: mpsc::Receiver<Finished>,
    clock: Clock,
}

/// What a session did.
#[derive(Debug)]
pub enum Deed {
    /// It sent this.
    Sent(to_attester::Message),
    /// It armed the tap.
    Armed(Box<Announcement>),
    /// It believed the welcome.
    Welcomed,
    /// It took itself for registered, under this name.
    Registered(String),
    /// It took note of a verdict.
    Concluded {
        /// The state that the verdict names, if it is known.
        state: Option<State>,
        /// The reason's code.
        reason: Option<String>,
        /// The remedy.
        remedy: Option<String>,
    },
}

/// Why a session ended.
#[derive(Debug)]
pub struct Ended {
    /// The code for programs.
    pub code: String,
    /// The sentence for people.
    pub remedy: String,
}

impl Session {
    /// A session over a connection that has just been made.
    pub fn new(setting: Setting) -> Self {
        let profile = Profile {
            key: setting.key,
            root: setting.root,
            address: setting.address,
            protocols: setting.protocols,
            pin: setting.pin,
            connect_token: setting.connect_token.map(Token),
            software: "fuzz".to_owned(),
            successions: Vec::new(),
        };
        let (tap, finished) = Tap::connected(setting.clock.clone(), Arc::<Metrics>::default());
        Self {
            machine: Some(Machine::new(Arc::new(profile), setting.binding)),
            tap,
            finished,
            clock: setting.clock,
        }
    }

    /// Where the host reports its flows.
    pub fn tap(&self) -> Tap {
        self.tap.clone()
    }

    /// The attester sent this; `None` is a message without content.
    ///
    /// # Errors
    /// Why the session ended. It does nothing from then on.
    pub fn hear(&mut self, message: Option<to_agent::Message>) -> Result<Vec<Deed>, Ended> {
        self.step(Input::Message(message))
    }

    /// The host pauses or stops.
    ///
    /// # Errors
    /// As [`Session::hear`].
    pub fn goodbye(&mut self, reason: goodbye::Reason) -> Result<Vec<Deed>, Ended> {
        self.step(Input::Goodbye(reason))
    }

    /// The host asks for a probe.
    ///
    /// # Errors
    /// As [`Session::hear`].
    pub fn retest(&mut self) -> Result<Vec<Deed>, Ended> {
        self.step(Input::Retest)
    }

    /// Makes receipts of the flows that have ended.
    ///
    /// # Errors
    /// As [`Session::hear`].
    pub fn settle(&mut self) -> Result<Vec<Deed>, Ended> {
        let mut deeds = Vec::new();
        while let Ok(finished) = self.finished.try_recv() {
            deeds.extend(self.step(Input::Flow(Box::new(finished)))?);
        }
        Ok(deeds)
    }

    /// The window of a probe has ended.
    pub fn window_ended(&self, probe: ProbeId) {
        self.tap.window_ended(probe);
    }

    /// Whether the attester has registered the peer in it.
    pub fn is_registered(&self) -> bool {
        self.machine.as_ref().is_some_and(Machine::is_registered)
    }

    fn step(&mut self, input: Input) -> Result<Vec<Deed>, Ended> {
        let Some(mut machine) = self.machine.take() else {
            return Ok(Vec::new());
        };
        let (mut inputs, mut deeds) = (vec![input], Vec::new());
        while let Some(input) = inputs.pop() {
            let stepped = machine.step(input, self.clock.now());
            let (next, effects) = stepped.map_err(|error| self.ended(&error))?;
            machine = next;
            for effect in effects {
                let deed = self.carry_out(effect, &mut inputs);
                deeds.extend(deed.map_err(|error| self.ended(&error))?);
            }
        }
        self.machine = Some(machine);
        Ok(deeds)
    }

    fn ended(&mut self, error: &SessionError) -> Ended {
        self.tap.disarm();
        while self.finished.try_recv().is_ok() {}
        Ended {
            code: error.code().to_owned(),
            remedy: error.remedy(),
        }
    }

    fn carry_out(&self, effect: Effect, inputs: &mut Vec<Input>) -> Result<Option<Deed>, SessionError> {
        Ok(match effect {
            Effect::Send(message) => Some(Deed::Sent(message)),
            // What is remembered across sessions is not this one's.
            Effect::Believed(_) => None,
            Effect::Revoked => return Err(SessionError::Revoked),
            Effect::Welcomed => Some(Deed::Welcomed),
            Effect::Registered { own_name } => Some(Deed::Registered(own_name)),
            Effect::Verdict(conclusion) => {
                let Conclusion {
                    state, reason, remedy, ..
                } = *conclusion;
                Some(Deed::Concluded { state, reason, remedy })
            }
            Effect::Arm { expectation, .. } => {
                let announcement = expectation.announcement.clone();
                let outcome = self.tap.arm(*expectation).map_err(|error| error.to_string());
                let armed = outcome.is_ok();
                inputs.push(Input::Armed(announcement.probe, outcome));
                armed.then(|| Deed::Armed(Box::new(announcement)))
            }
        })
    }
}

/// A tap without a session, armed by hand.
pub struct Observer {
    tap: Tap,
    finished: mpsc::Receiver<Finished>,
}

/// What the tap says of a flow that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// For which probe.
    pub probe: ProbeId,
    /// The nonce found in its challenge.
    pub nonce: Nonce,
    /// Bytes up.
    pub up: u64,
    /// Their digest.
    pub up_digest: Digest,
    /// Bytes down.
    pub down: u64,
    /// Their digest.
    pub down_digest: Digest,
    /// What ended it.
    pub end: FlowEnd,
    /// When the flow was opened.
    pub opened: Timestamp,
    /// When it ended.
    pub closed: Timestamp,
}

impl Observer {
    /// A tap that waits for nothing.
    pub fn new(clock: Clock) -> Self {
        let (tap, finished) = Tap::connected(clock, Arc::<Metrics>::default());
        Self { tap, finished }
    }

    /// Where the host reports its flows.
    pub fn tap(&self) -> Tap {
        self.tap.clone()
    }

    /// Waits for the flow of this announcement, whose challenge a key of the keyset must have signed. False when it
    /// will not: the keyset does not hold, or the tap is full or has been asked before.
    pub fn arm(&self, announcement: Announcement, keyset: &[u8], root: &PublicKey, now: Timestamp) -> bool {
        let Ok(trust) = Trust::open(keyset, root, now) else {
            return false;
        };
        let expectation = Expectation {
            announcement,
            trust: Arc::new(trust),
            clock_offset: 0,
        };
        self.tap.arm(expectation).is_ok()
    }

    /// The window of a probe has ended.
    pub fn window_ended(&self, probe: ProbeId) {
        self.tap.window_ended(probe);
    }

    /// The next flow that has ended.
    pub fn account(&mut self) -> Option<Account> {
        let finished = self.finished.try_recv().ok()?;
        Some(Account {
            probe: finished.flow.expectation.announcement.probe,
            nonce: finished.flow.nonce,
            up: finished.up,
            up_digest: finished.up_digest,
            down: finished.down,
            down_digest: finished.down_digest,
            end: finished.end,
            opened: finished.opened,
            closed: finished.closed,
        })
    }
}
