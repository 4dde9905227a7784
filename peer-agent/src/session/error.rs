//! Why a session ended or never began: a code for programs, a sentence for people.

use std::{error::Error, io};

use proto::{ClaimError, time::Seconds, version};

use crate::{config::Endpoint, standing::plain};

/// The operation that failed. Every one ends the session; the agent tries again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionError {
    #[error("cannot find the address of {endpoint}")]
    Resolve { endpoint: Endpoint, source: io::Error },
    #[error("{endpoint} has no address of the kind of {bind}, the local address that sessions leave from")]
    NoAddress { endpoint: Endpoint, bind: String },
    #[error("cannot connect to {endpoint}")]
    Connect { endpoint: Endpoint, source: io::Error },
    #[error("cannot speak TLS 1.3 with {endpoint}")]
    Tls { endpoint: Endpoint, source: io::Error },
    #[error("{endpoint} did not answer within {seconds} s while {doing}")]
    TimedOut {
        endpoint: Endpoint,
        doing: &'static str,
        seconds: u64,
    },
    #[error("{endpoint} opened no session: {detail}")]
    Open { endpoint: Endpoint, detail: String },
    #[error("the attester's keyset is not to be believed")]
    Keyset(#[source] ClaimError),
    #[error(
        "the attester sent a keyset of second {issued_at}, older than the one of second {newest} that it sent before"
    )]
    OldKeyset { issued_at: Seconds, newest: Seconds },
    #[error("the attester has revoked the key that this session began with: the session starts again")]
    Revoked,
    #[error("the attester's welcome is not to be believed")]
    Welcome(#[source] ClaimError),
    #[error("something relays the connection between this peer and the attester: their channel bindings differ")]
    Relay,
    #[error(
        "the attester speaks the protocol versions {}, this program {}",
        version::listed(offered),
        version::listed(version::SPOKEN)
    )]
    Version { offered: Vec<u64> },
    #[error("the registration cannot be signed")]
    Registration(#[source] ClaimError),
    #[error("the attester registered another peer than this one")]
    OtherPeer,
    #[error("the attester does not accept the registration ({code})")]
    Rejected { code: String, remedy: String, retry: bool },
    #[error("an announcement is not to be believed")]
    Announcement(#[source] ClaimError),
    #[error("a receipt cannot be signed")]
    Receipt(#[source] ClaimError),
    #[error("a verdict is not to be believed")]
    Verdict(#[source] ClaimError),
    #[error("{claim} is meant for another peer")]
    Misaddressed { claim: &'static str },
    #[error("the attester sent {message} while the agent was {state}")]
    Unexpected { message: &'static str, state: &'static str },
    #[error("the attester ended the session")]
    Ended,
    #[error("the session broke: {0}")]
    Broken(String),
    #[error("a newer session of this peer's key took this one's place: another agent uses the same identity file")]
    Replaced,
    #[error("the attester does not read what the agent sends")]
    Stalled,
    #[error("this machine's clock was set, or the machine slept: the session starts again")]
    ClockJump,
}

impl SessionError {
    /// A code that programs may compare.
    pub(crate) fn code(&self) -> &str {
        match self {
            Self::Resolve { .. } => "resolve",
            Self::NoAddress { .. } => "bind",
            Self::Connect { .. } => "connect",
            Self::Tls { .. } => "tls",
            Self::TimedOut { .. } => "timeout",
            Self::Open { .. } => "open",
            Self::Keyset(ClaimError::Version { .. }) | Self::Version { .. } => "version",
            Self::Keyset(_) => "keyset",
            Self::OldKeyset { .. } => "keyset-old",
            Self::Revoked => "key-revoked",
            Self::Welcome(_) => "welcome",
            Self::Relay => "relay",
            Self::Registration(_) => "registration",
            Self::OtherPeer => "other-peer",
            Self::Rejected { code, .. } => code,
            Self::Announcement(_) => "announcement",
            Self::Receipt(_) => "receipt",
            Self::Verdict(_) => "verdict",
            Self::Misaddressed { .. } => "misaddressed",
            Self::Unexpected { .. } => "unexpected",
            Self::Ended => "ended",
            Self::Broken(_) => "broken",
            Self::Replaced => "replaced",
            Self::Stalled => "stalled",
            Self::ClockJump => "clock-jump",
        }
    }

    /// What the peer's owner should read: what happened, why, and what to do about it.
    pub(crate) fn remedy(&self) -> String {
        if let Self::Rejected { remedy, .. } = self {
            return remedy.clone();
        }
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            // It may quote what the attester sent.
            text = format!("{text}: {}", plain(&error.to_string(), 512));
            cause = error.source();
        }
        match self.advice() {
            Some(advice) => format!("{text}; {advice}"),
            None => text,
        }
    }

    const fn advice(&self) -> Option<&'static str> {
        match self {
            Self::Resolve { .. } => Some("check the internet connection and the attester's name"),
            Self::NoAddress { .. } => Some("bind an address of the other kind, or none"),
            Self::Connect { .. } | Self::TimedOut { .. } => {
                Some("check the internet connection; the attester may be down as well")
            }
            Self::Tls { .. } => Some("something in between may intercept connections"),
            Self::Keyset(ClaimError::Version { .. }) => None,
            Self::Keyset(_) => Some("check this machine's clock, and the attester's root key in the settings"),
            Self::OldKeyset { .. } => Some(
                "somebody replays it, or the attester lost its newer one: its operator signs another with `attester keys sign`",
            ),
            Self::Relay => Some("check which endpoint is set, and what intercepts connections"),
            Self::Version { .. } => Some("update this program"),
            Self::Replaced => {
                Some("run one agent only, or give the other an identity of its own (`peer-agent init` makes one)")
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remedy_says_what_why_and_what_to_do() {
        let endpoint: Endpoint = "attester.example:7443".parse().expect("an endpoint");
        let source = io::Error::other("refused");
        let remedy = SessionError::Connect { endpoint, source }.remedy();
        assert!(
            remedy.starts_with("cannot connect to attester.example:7443: refused; check"),
            "{remedy}"
        );
        assert_eq!(SessionError::Ended.remedy(), "the attester ended the session");
    }

    #[test]
    fn a_remedy_quotes_the_attester_plainly_and_not_at_any_length() {
        let detail = format!("unknown variant `use \u{202e}344\u{1b}[2J`{}", "x".repeat(4000));
        let refused = SessionError::Verdict(ClaimError::Shape {
            claim: "verdict",
            detail,
        });
        let remedy = refused.remedy();
        assert!(remedy.contains("unknown variant `use 344[2J`"), "{remedy}");
        assert!(
            remedy.len() < 1000 && remedy.chars().all(proto::text::is_plain),
            "{remedy}"
        );
    }

    #[test]
    fn the_protocols_text_explains_every_code() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../proto/README.md");
        let text = std::fs::read_to_string(path).expect("the protocol's text");
        let table = text.split("<!-- agent codes -->").nth(1).expect("its table of codes");
        let explained = |code: &str| {
            let quoted = format!("`{code}`");
            let mut first_cells = table.lines().filter_map(|line| line.split('|').nth(1));
            first_cells.any(|cell| cell.split(',').any(|name| name.trim() == quoted))
        };
        for error in each() {
            assert!(explained(error.code()), "{} is not in the table", error.code());
        }
    }

    /// One of each kind that has a code of its own.
    fn each() -> Vec<SessionError> {
        use SessionError as Error;

        let endpoint: Endpoint = "attester.example:7443".parse().expect("an endpoint");
        let source = || io::Error::other("refused");
        let with = |make: fn(Endpoint, io::Error) -> Error| make(endpoint.clone(), source());
        let all = vec![
            with(|endpoint, source| Error::Resolve { endpoint, source }),
            with(|endpoint, source| Error::Connect { endpoint, source }),
            with(|endpoint, source| Error::Tls { endpoint, source }),
            with(|endpoint, _| Error::NoAddress {
                endpoint,
                bind: String::new(),
            }),
            with(|endpoint, _| Error::TimedOut {
                endpoint,
                doing: "",
                seconds: 1,
            }),
            with(|endpoint, _| Error::Open {
                endpoint,
                detail: String::new(),
            }),
            Error::Keyset(ClaimError::WrongKey),
            Error::Keyset(ClaimError::Version {
                claim: "keyset",
                found: 2,
            }),
            Error::OldKeyset {
                issued_at: Seconds::new(1),
                newest: Seconds::new(2),
            },
            Error::Revoked,
            Error::Welcome(ClaimError::WrongKey),
            Error::Relay,
            Error::Version { offered: vec![2] },
            Error::Registration(ClaimError::WrongKey),
            Error::OtherPeer,
            Error::Announcement(ClaimError::WrongKey),
            Error::Receipt(ClaimError::WrongKey),
            Error::Verdict(ClaimError::WrongKey),
            Error::Misaddressed { claim: "" },
            Error::Unexpected { message: "", state: "" },
            Error::Ended,
            Error::Broken(String::new()),
            Error::Replaced,
            Error::Stalled,
            Error::ClockJump,
        ];
        for error in &all {
            // A new kind must be added above: this fails to compile without it.
            match error {
                Error::Resolve { .. } | Error::Connect { .. } | Error::Tls { .. } | Error::NoAddress { .. } => {}
                Error::TimedOut { .. } | Error::Open { .. } | Error::Keyset(_) | Error::Welcome(_) | Error::Relay => {}
                Error::Version { .. } | Error::Registration(_) | Error::OtherPeer | Error::Announcement(_) => {}
                Error::Receipt(_) | Error::Verdict(_) | Error::Misaddressed { .. } | Error::Unexpected { .. } => {}
                Error::Ended | Error::Broken(_) | Error::Replaced | Error::Stalled | Error::ClockJump => {}
                Error::Rejected { .. } | Error::OldKeyset { .. } | Error::Revoked => {}
            }
        }
        all
    }
}
