//! The attester's session machine as the protocol's text has it (`proto/README.md`, section 8), and nothing of the code: in which
//! state it must be after each step, and with which words it must have ended.

use std::time::Duration;

use proto::attest::to_agent;
use tokio::time::Instant;
use tonic::Code;

use super::{Told, World, message_of};
use crate::target::{Property, Report};

pub(super) const AS_MODELLED: Property = Property {
    name: "as-modelled",
    says: "after each step the session is in the state that the protocol's table gives",
};
pub(super) const LAST_WORDS: Property = Property {
    name: "offence-and-status",
    says: "a session ends with the status, the rejection or the silence that the protocol's table gives for what ended it",
};
pub(super) const REACHES_THE_CORE: Property = Property {
    name: "honest-registration",
    says: "an honest registration in its turn is put before the core as it was signed; any other is rejected",
};

/// Where a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Greeted,
    Deciding,
    Registered,
    Over,
}

/// The last that an agent hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LastWord {
    /// The stream ends, with OK.
    Nothing,
    Rejected,
    Status(Code),
}

/// What an agent says, as far as it matters to the machine.
#[derive(Clone, Debug)]
pub(super) enum Said {
    /// A registration, and whether it keeps every rule that needs no look at the world.
    Register {
        raw: Vec<u8>,
        keeps_rules: bool,
    },
    /// An acknowledgement, and whether it names a probe.
    Ack {
        named: bool,
    },
    Receipt,
    Retest,
    Goodbye,
    /// What cannot be read, or is of no kind.
    Unreadable,
}

#[derive(Debug)]
pub(super) struct Model {
    state: State,
    last: LastWord,
    /// When whoever is waited for must have answered.
    deadline: Instant,
    /// What may still be said at once, in the time that it takes at the steady pace.
    room: Duration,
    /// As of when.
    counted: Instant,
    /// What the core must have been told of.
    registration: Option<Vec<u8>>,
    /// Bytes went out that are no frames: nobody can tell what the attester reads from there on.
    is_lost: bool,
}

impl Model {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            state: State::Greeted,
            last: LastWord::Nothing,
            deadline: now + REGISTER,
            room: INTERVAL * BURST,
            counted: now,
            registration: None,
            is_lost: false,
        }
    }

    /// The agent says something, while its stream is there.
    pub(super) fn hears(&mut self, said: Said) {
        if self.state == State::Over {
            return;
        }
        if !self.keeps_pace() {
            return self.end(LastWord::Status(Code::ResourceExhausted));
        }
        match (self.state, said) {
            (_, Said::Unreadable) => self.end(LastWord::Status(Code::InvalidArgument)),
            (_, Said::Goodbye) => self.end(LastWord::Nothing),
            (State::Greeted, Said::Register { raw, keeps_rules: true }) => {
                self.registration = Some(raw);
                (self.state, self.deadline) = (State::Deciding, Instant::now() + DECIDE);
            }
            (State::Greeted, Said::Register { .. }) => self.end(LastWord::Rejected),
            (State::Registered, Said::Ack { named: false }) => self.end(LastWord::Status(Code::InvalidArgument)),
            (State::Registered, Said::Ack { .. } | Said::Receipt | Said::Retest) => {}
            _ => self.end(LastWord::Status(Code::FailedPrecondition)),
        }
    }

    fn keeps_pace(&mut self) -> bool {
        let now = Instant::now();
        self.room = (self.room + (now - self.counted)).min(INTERVAL * BURST);
        self.counted = now;
        let left = self.room.checked_sub(INTERVAL);
        self.room = left.unwrap_or(self.room);
        left.is_some()
    }

    /// Bytes go out that are no frames.
    pub(super) const fn loses_the_thread(&mut self) {
        self.is_lost = true;
    }

    /// The end of the agent's side.
    pub(super) fn agent_leaves(&mut self) {
        self.end(LastWord::Nothing);
    }

    /// Time has passed.
    pub(super) fn waits(&mut self) {
        let is_late = Instant::now() > self.deadline;
        match self.state {
            State::Greeted if is_late => self.end(LastWord::Status(Code::DeadlineExceeded)),
            State::Deciding if is_late => self.end(LastWord::Status(Code::Unavailable)),
            _ => {}
        }
    }

    /// The core answers the registration; `None`: that it cannot.
    pub(super) fn core_answers(&mut self, accepts: Option<bool>) {
        if self.state == State::Deciding {
            match accepts {
                Some(true) => self.state = State::Registered,
                Some(false) => self.end(LastWord::Rejected),
                None => self.end(LastWord::Status(Code::Unavailable)),
            }
        }
    }

    /// The core dismisses the peer.
    pub(super) fn core_dismisses(&mut self) {
        self.end(LastWord::Rejected);
    }

    /// The whole server stops.
    pub(super) fn server_stops(&mut self) {
        self.end(LastWord::Status(Code::Unavailable));
    }

    /// Only the first end counts.
    fn end(&mut self, last: LastWord) {
        if self.state != State::Over {
            (self.state, self.last) = (State::Over, last);
        }
    }
}

/// Holds the session against the model.
pub(super) fn compare(world: &World, report: &mut Report) {
    let model = &world.model;
    if model.is_lost {
        return;
    }
    let state = found(world);
    report.check(AS_MODELLED, state == model.state, || {
        format!("{state:?}, not {:?}: {:?}", model.state, world.heard.last())
    });
    if state == State::Over && model.state == State::Over {
        let last = last_word(world);
        report.check(LAST_WORDS, last == model.last, || {
            format!("{last:?}, not {:?}", model.last)
        });
    }
    if !world.registrations.is_empty() {
        let told = world.events.iter().find_map(|event| match event {
            Told::Register(raw) => Some(raw),
            _ => None,
        });
        report.check(REACHES_THE_CORE, told == model.registration.as_ref(), || {
            format!("the core was told of {told:?}, not {:?}", model.registration)
        });
    }
}

/// The state as the agent and the core can tell it.
fn found(world: &World) -> State {
    let is_registered = |heard| matches!(message_of(heard), Some(to_agent::Message::Registered(_)));
    if world.is_closed {
        State::Over
    } else if world.heard.iter().any(is_registered) {
        State::Registered
    } else if world.events.iter().any(|event| matches!(event, Told::Register(_))) {
        State::Deciding
    } else {
        State::Greeted
    }
}

fn last_word(world: &World) -> LastWord {
    match world.heard.last() {
        Some(Err(status)) => LastWord::Status(status.code()),
        Some(heard) if matches!(message_of(heard), Some(to_agent::Message::Rejected(_))) => LastWord::Rejected,
        _ => LastWord::Nothing,
    }
}

// Of section 5.
const REGISTER: Duration = Duration::from_secs(10);
const DECIDE: Duration = Duration::from_secs(30);
const INTERVAL: Duration = Duration::from_millis(100);
const BURST: u32 = 40;
