//! The words that the pure core and the edges share: who a peer is, how it is reached, what a probe showed and why.

use std::{collections::BTreeMap, fmt, net::SocketAddr, time::Duration};

use proto::{
    claims::{Path, Phase, Protocol, Protocols, Registration},
    ids::{PeerId, Pin},
    key::{KeyError, PublicKey},
    text::is_deceptive,
};

pub(crate) mod place;
mod reason;

pub use reason::{Blame, Reason};

/// Who a peer is and where: what a registration claimed and the attester saw. Changing any of it starts again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its key.
    pub key: PublicKey,
    /// Where it serves.
    pub address: SocketAddr,
    /// The pin of its TLS key.
    pub pin: Pin,
    /// What it lists.
    pub protocols: Protocols,
}

impl Identity {
    /// The identity that a checked registration claims.
    ///
    /// # Errors
    /// When its key is weak, which a parsed registration's never is.
    pub fn of(registration: &Registration) -> Result<Self, KeyError> {
        Ok(Self {
            key: PublicKey::from_bytes(&registration.key.0)?,
            address: registration.address.0,
            pin: registration.pin,
            protocols: registration.protocols.clone(),
        })
    }

    /// Its short id.
    pub fn id(&self) -> PeerId {
        self.key.peer_id()
    }
}

/// One way a client reaches a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Route {
    /// Direct or fronted.
    pub path: Path,
    /// The protocol inside.
    pub protocol: Protocol,
}

impl Route {
    /// The direct route with `protocol`.
    pub const fn direct(protocol: Protocol) -> Self {
        Self {
            path: Path::Direct,
            protocol,
        }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/{}", self.path, self.protocol))
    }
}

/// How long after a probe's start each phase ended, for the phases that were reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PhaseTimes(pub BTreeMap<Phase, Duration>);

impl PhaseTimes {
    /// Notes that `phase` ended `elapsed` after the start.
    pub fn note(&mut self, phase: Phase, elapsed: Duration) {
        self.0.insert(phase, elapsed);
    }

    /// As an observation carries them: microseconds by phase number.
    pub fn numbered(&self) -> BTreeMap<u64, u64> {
        let micros = |elapsed: &Duration| u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        self.0
            .iter()
            .map(|(phase, elapsed)| (phase.number(), micros(elapsed)))
            .collect()
    }
}

/// `resolve 0.3 connect 0.4 …`, in milliseconds, each phase by itself.
impl fmt::Display for PhaseTimes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before = Duration::ZERO;
        for (index, (phase, elapsed)) in self.0.iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            write!(
                f,
                "{space}{phase} {:.1}",
                elapsed.saturating_sub(before).as_secs_f64() * 1000.0
            )?;
            before = *elapsed;
        }
        Ok(())
    }
}

/// A reason and what was seen, in words for people. Made from strangers' bytes too, so it is bounded and printable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The reason.
    pub reason: Reason,
    /// What was seen; may be empty.
    detail: String,
}

impl Finding {
    /// A finding; `detail` is cut at 160 characters and stripped of control characters and
    /// of deceptive ones ([`is_deceptive`]).
    pub fn new(reason: Reason, detail: impl AsRef<str>) -> Self {
        let plain = |character: char| if character.is_control() { ' ' } else { character };
        Self {
            reason,
            detail: detail
                .as_ref()
                .chars()
                .filter(|character| !is_deceptive(*character))
                .map(plain)
                .take(MAX_DETAIL)
                .collect::<String>()
                .trim()
                .to_owned(),
        }
    }

    /// What was seen; may be empty.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// A sentence for the peer's owner: what was seen and what to do.
    pub fn remedy(&self) -> String {
        if self.detail.is_empty() {
            self.reason.remedy().to_owned()
        } else {
            format!("{} ({})", self.reason.remedy(), self.detail)
        }
    }
}

impl From<Reason> for Finding {
    fn from(reason: Reason) -> Self {
        Self {
            reason,
            detail: String::new(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.remedy())
    }
}

const MAX_DETAIL: usize = 160;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strangers_words_are_bounded_and_plain() {
        let finding = Finding::new(Reason::AckRefused, "\u{202e}344 trop\u{1b}[2J\r\nno\u{200b}t\u{feff}");
        assert_eq!(finding.detail(), "344 trop [2J  not");
        for told in [finding.remedy(), finding.to_string()] {
            assert!(told.chars().all(proto::text::is_plain), "{told:?}");
        }
        let long = Finding::new(Reason::AckRefused, "é".repeat(1000));
        assert_eq!(long.detail().chars().count(), MAX_DETAIL);
    }
}
