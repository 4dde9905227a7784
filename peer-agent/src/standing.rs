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

    /// The standing in words: what is so, and why when it is not good. For a person to read.
    pub fn sentence(&self) -> String {
        let attester = self.attester.as_deref().unwrap_or("the attester");
        let state = match self.state {
            State::Connecting if self.remedy.is_some() => format!("{}: no session, trying again", self.state),
            State::Connecting => format!("{} to {attester}", self.state),
            State::Registering => format!("{}: {attester} checks that this peer can be reached", self.state),
            State::Registered => match &self.own_name {
                Some(name) => format!("{} as {name}: probes will follow", self.state),
                None => format!("{}: probes will follow", self.state),
            },
            State::Named => format!("{}: its own name is published, probes will follow", self.state),
            State::Probing => format!("{}: not verified yet", self.state),
            State::Verified => format!("{}: clients are sent to this peer", self.state),
            State::Suspended => format!("{}: probes fail, no clients are sent to this peer", self.state),
            State::Refused => format!("{}: probes failed", self.state),
            State::Retired => format!("{}: the attester does not follow this peer any more", self.state),
            State::Rejected => format!("{}: {attester} does not register this peer", self.state),
            State::Paused | State::Stopped => self.state.to_string(),
        };
        match &self.remedy {
            Some(remedy) => format!("{state}; {remedy}"),
            None => state,
        }
    }
}

/// What to do about `code`, for an owner whose router maps the public port to another, `listening`: which port must lead where.
/// The attester, which knows the public port alone, cannot say it.
pub(crate) fn with_ports(code: &str, remedy: String, public: u16, listening: Option<u16>) -> String {
    match listening {
        Some(listening) if listening != public && MISLED.contains(&code) => format!(
            "{remedy} (the router must forward TCP port {public} to port {listening} of this machine, where the proxy listens)"
        ),
        _ => remedy,
    }
}

/// The attester's codes for a public port that does not lead to the proxy.
const MISLED: &[&str] = &[
    "port-refused",
    "port-silent",
    "port-no-tls",
    "port-other-key",
    "connect-refused",
    "connect-timeout",
];

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

    fn standing(state: State, remedy: Option<&str>) -> Standing {
        Standing {
            state,
            peer_id: proto::key::SigningKey::from_seed(&[1; 32]).public().peer_id(),
            own_name: Some("peer-x.example".to_owned()),
            attester: Some("attester.example:7443".to_owned()),
            reason: remedy.map(|_| "code".to_owned()),
            remedy: remedy.map(str::to_owned),
            last_verdict: Some(Timestamp::from_secs(7)),
            valid_until: None,
        }
    }

    #[test]
    fn a_volunteer_reads_what_is_so_and_what_to_do() {
        for (state, remedy, line) in [
            (State::Connecting, None, "connecting to attester.example:7443"),
            (
                State::Connecting,
                Some("no route"),
                "connecting: no session, trying again; no route",
            ),
            (
                State::Registered,
                None,
                "registered as peer-x.example: probes will follow",
            ),
            (State::Verified, None, "verified: clients are sent to this peer"),
            (
                State::Rejected,
                Some("forward port 443"),
                "rejected: attester.example:7443 does not register this peer; forward port 443",
            ),
            (State::Stopped, None, "stopped"),
        ] {
            assert_eq!(standing(state, remedy).sentence(), line);
        }
    }

    #[test]
    fn a_mapped_port_is_explained_where_it_matters() {
        let remedy = |code, listening| with_ports(code, "forward it".to_owned(), 443, listening);
        for code in MISLED {
            assert_eq!(
                remedy(code, Some(8443)),
                "forward it (the router must forward TCP port 443 to port 8443 of this machine, where the proxy listens)"
            );
            assert_eq!(remedy(code, Some(443)), "forward it");
            assert_eq!(remedy(code, None), "forward it");
        }
        assert_eq!(remedy("egress", Some(8443)), "forward it");
    }

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
