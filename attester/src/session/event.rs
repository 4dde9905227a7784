//! What the session server tells the core.

use std::{fmt, net::SocketAddr};

use proto::{
    claims::{Link, Registration},
    ids::PeerId,
};

use crate::{metrics::SessionEnd, model::Finding};

use super::{Answer, SessionHandle};

/// What the core hears of sessions.
///
/// After a `Register` comes exactly one of `Goodbye` and `Ended` for the same session, unless the core itself refused
/// the registration or the whole server stops. Between them come any number of `Retest`.
#[derive(Debug)]
pub enum SessionEvent {
    /// An agent asks to be registered.
    Register(Box<Register>),
    /// A registered agent's host asks to be probed soon. Best effort: left out when the core is busy.
    Retest {
        /// Whose.
        peer: PeerId,
        /// Which session.
        session: SessionId,
    },
    /// A registered agent leaves on purpose.
    Goodbye {
        /// Whose.
        peer: PeerId,
        /// Which session.
        session: SessionId,
        /// Paused rather than stopped.
        paused: bool,
    },
    /// A registered agent is gone.
    Ended {
        /// Whose.
        peer: PeerId,
        /// Which session.
        session: SessionId,
        /// How it ended.
        how: How,
    },
    /// A registration was refused before the core saw it. Best effort: left out when the core is busy.
    Rejected {
        /// Where it came from.
        source: SocketAddr,
        /// Who signed it, when its signature holds.
        peer: Option<PeerId>,
        /// Why.
        finding: Finding,
    },
}

/// An agent's wish to be registered, in so far as it keeps the rules of [`admission`](super::admission).
#[derive(Debug)]
pub struct Register {
    /// The claim.
    pub registration: Registration,
    /// The claim as it was signed: evidence.
    pub raw: Vec<u8>,
    /// The token that CONNECT clients must present to the peer, if one is needed.
    pub connect_token: Option<String>,
    /// How the identity came to the key, oldest first; the signatures and windows hold.
    pub chain: Vec<Link>,
    /// Microseconds to add to the peer's clock to get the attester's.
    pub clock_offset_micros: i64,
    /// Where the session comes from.
    pub source: SocketAddr,
    /// The session.
    pub handle: SessionHandle,
    /// Where to decide.
    pub answer: Answer,
}

/// What a registered agent is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// Its id.
    pub peer_id: PeerId,
    /// Its own DNS name.
    pub own_name: String,
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The agent's end closed the stream or the connection.
    Closed,
    /// The agent's end reset the stream or the connection.
    Reset,
    /// Nothing came any more, not even answers to pings.
    Silent,
    /// The attester ended it: the core closed it, a newer one replaced it, or the agent broke the protocol.
    Dismissed,
}

impl From<How> for SessionEnd {
    fn from(how: How) -> Self {
        match how {
            How::Closed => Self::Closed,
            How::Reset => Self::Reset,
            How::Silent => Self::Silent,
            How::Dismissed => Self::Dismissed,
        }
    }
}

/// A session's number, unique in the process. Newer ones are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(u64);

impl SessionId {
    pub(super) const fn new(number: u64) -> Self {
        Self(number)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
