//! What the attester thinks of this peer, as far as the agent was told: for the host's user interface.

use std::fmt;

use proto::{ids::PeerId, text::is_plain, time::Timestamp};

use crate::config::Endpoint;

/// A snapshot of where the peer stands. Texts are bounded, printable, and meant for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// In one word.
    pub state: State,
    /// The peer's id.
    pub peer_id: PeerId,
    /// Its own DNS name, since an attester gave it one.
    pub own_name: Option<String>,
    /// The attester of the session, or of the last attempt.
    pub attester: Option<String>,
    /// Code of what is wrong; `None` when nothing is known to be.
    pub reason: Option<String>,
    /// The same as a sentence that the peer's owner can act on.
    pub remedy: Option<String>,
    /// When the last verdict was signed, on the attester's clock.
    pub last_verdict: Option<Timestamp>,
    /// Until when the last verdict stands: the end of the lease of a verified peer.
    pub valid_until: Option<Timestamp>,
}

/// Where the peer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No session: looking for an attester.
    Connecting,
    /// An attester was reached and is asked to register the peer.
    Registering,
    /// Registered; probes are to come.
    Registered,
    /// Its own name is published; probes are to come.
    Named,
    /// Probes are under way; not yet verified.
    Probing,
    /// Verified, and in the rotation.
    Verified,
    /// Was verified; probes fail now.
    Suspended,
    /// Probes failed, and it never was verified.
    Refused,
    /// Not followed by the attester any more.
    Retired,
    /// The attester did not accept the registration.
    Rejected,
    /// The host paused.
    Paused,
    /// The agent has stopped.
    Stopped,
}

impl State {
    /// The state in one lower-case word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Registering => "registering",
            Self::Registered => "registered",
            Self::Named => "named",
            Self::Probing => "probing",
            Self::Verified => "verified",
            Self::Suspended => "suspended",
            Self::Refused => "refused",
            Self::Retired => "retired",
            Self::Rejected => "rejected",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }

    /// The state that a verdict names; `None` for a word of a later version.
    pub(crate) fn of_verdict(word: &str) -> Option<Self> {
        let states = [
            Self::Registered,
            Self::Named,
            Self::Probing,
            Self::Verified,
            Self::Suspended,
            Self::Refused,
            Self::Retired,
        ];
        states.into_iter().find(|state| state.as_str() == word)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Standing {
    pub(crate) fn new(peer_id: PeerId, attester: Option<&Endpoint>) -> Self {
        Self {
            state: State::Connecting,
            peer_id,
            own_name: None,
            attester: attester.map(ToString::to_string),
            reason: None,
            remedy: None,
            last_verdict: None,
            valid_until: None,
        }
    }

    /// The host wants no session: nothing is wrong, and no earlier verdict stands.
    pub(crate) fn rest(&mut self, state: State) {
        self.state = state;
        (self.reason, self.remedy, self.valid_until) = (None, None, None);
    }
}

/// Text of a stranger as it may be shown: of plain characters alone, cut at `most` bytes.
pub(crate) fn plain(text: &str, most: usize) -> String {
    let mut plain = String::new();
    for character in text.chars().filter(|character| is_plain(*character)) {
        if plain.len() + character.len_utf8() > most {
            break;
        }
        plain.push(character);
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strangers_text_is_bounded_and_printable() {
        assert_eq!(plain("a\u{1b}[2Jb\r\n", 64), "a[2Jb");
        assert_eq!(plain("ééé", 5), "éé");
        assert_eq!(
            plain("use \u{202e}344\u{2069} \u{200b}trop\u{feff}", 64),
            "use 344 trop"
        );
    }
}
