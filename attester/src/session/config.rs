//! What an operator may choose about sessions, and what not.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use serde::Deserialize;

use super::SessionError;

/// The operator's part of the configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where agents connect.
    pub listen: SocketAddr,
    /// How many may be connected at a time.
    pub sessions: usize,
    /// How many of them may come from one address (one /64 of IPv6).
    pub sessions_per_source: usize,
    /// Whether peers may be at loopback, private and other reserved addresses.
    pub allow_private: bool,
    /// Time limits and the like.
    #[serde(skip)]
    pub limits: Limits,
}

/// How long things may take, and how many may go on; not the operator's business.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For a TLS handshake.
    pub handshake: Duration,
    /// For a stream to be opened, and then for the registration.
    pub register: Duration,
    /// For the core to decide about a registration.
    pub decide: Duration,
    /// Between HTTP/2 pings on a silent connection: they find an agent that hangs. A dead path is the kernel's to find.
    pub keepalive: Duration,
    /// For a ping's answer.
    pub keepalive_timeout: Duration,
    /// For the agent to hang up after the last word.
    pub linger: Duration,
    /// For all of them to do so when the server stops.
    pub drain: Duration,
    /// Between an agent's messages, in the long run.
    pub pace: Duration,
    /// TLS handshakes at a time.
    pub handshakes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 7443)),
            sessions: 20_000,
            sessions_per_source: 16,
            allow_private: false,
            limits: Limits::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(5),
            register: Duration::from_secs(10),
            decide: Duration::from_secs(30),
            keepalive: Duration::from_secs(60),
            keepalive_timeout: Duration::from_secs(10),
            linger: Duration::from_secs(2),
            drain: Duration::from_secs(2),
            pace: Duration::from_millis(100),
            handshakes: 256,
        }
    }
}

impl Config {
    pub(super) fn check(&self) -> Result<(), SessionError> {
        for (key, count) in [
            ("sessions", self.sessions),
            ("sessions_per_source", self.sessions_per_source),
        ] {
            if !(1..=MOST).contains(&count) {
                return Err(SessionError::Config(format!(
                    "{key} is {count}, and must be from 1 to {MOST}"
                )));
            }
        }
        Ok(())
    }
}

/// For counts in the configuration: more is a slip of the keyboard.
const MOST: usize = 1_000_000;
