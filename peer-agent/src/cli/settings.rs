//! `peer-agent.toml`: a section for the agent and one for the give mode server.

use std::path::{Path, PathBuf};

use peer_agent::{AgentConfig, AgentError, AgentSection, give};
use proto::ids::Pin;
use serde::Deserialize;

use super::problem::{FileError, Problem};

mod review;
mod risk;

/// A configuration file's contents.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    agent: AgentSection,
    #[serde(default)]
    pub(super) give: give::Config,
    /// The file's folder, which relative paths start from.
    #[serde(skip)]
    folder: PathBuf,
}

impl Settings {
    /// Reads a file that has no mistakes.
    pub(super) fn load(path: &Path) -> Result<Self, FileError> {
        let review = Self::look_at(path)?;
        let problems = review.mistakes;
        review.settings.ok_or_else(|| FileError::Mistakes {
            path: path.to_owned(),
            problems,
        })
    }

    /// Reads a file, and tells everything that is wrong or risky in it.
    pub(super) fn look_at(path: &Path) -> Result<Review, FileError> {
        let folder = path.parent().unwrap_or(Path::new(""));
        let text = std::fs::read_to_string(path).map_err(|source| FileError::Read {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self::review(&text, folder))
    }

    pub(super) fn review(text: &str, folder: &Path) -> Review {
        match Self::parse(text, folder) {
            Ok(settings) => Review {
                risks: risk::risks(text, &settings),
                settings: Some(settings),
                mistakes: Vec::new(),
            },
            Err(mistakes) => Review {
                settings: None,
                mistakes,
                risks: Vec::new(),
            },
        }
    }

    pub(super) fn parse(text: &str, folder: &Path) -> Result<Self, Vec<Problem>> {
        let mistakes = review::mistakes(text);
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        // What each key has not, all of them together have not either.
        let whole = |error: toml::de::Error| vec![Problem::syntax(text, &error)];
        let mut settings: Self = toml::from_str(text).map_err(whole)?;
        settings.folder = folder.to_owned();
        settings.give.state = folder.join(&settings.give.state);
        settings.give.page = settings.give.page.map(|page| folder.join(page));
        settings.give.public = Some(settings.agent.address.ip());
        // A server on one address of several serves, dials and registers from that one, or the attester would see another.
        let listen = settings.give.listen.ip();
        let only = Some(listen).filter(|ip| !ip.is_unspecified());
        settings.give.bind = settings.give.bind.or(only);
        settings.agent.bind = settings.agent.bind.or(settings.give.bind);
        settings.check(text).map_err(|problem| vec![problem])?;
        Ok(settings)
    }

    /// Where clients reach this peer.
    pub(super) const fn address(&self) -> std::net::SocketAddr {
        self.agent.address
    }

    /// The agent's settings, with what only the server knows.
    pub(super) fn agent(&self, pin: Pin) -> AgentConfig {
        let connect_token = self.give.token.clone();
        AgentConfig {
            connect_token,
            // Port 0 means any, which only tests ask for.
            listening: Some(self.give.listen.port()).filter(|port| *port != 0),
            ..self.agent.config(&self.folder, pin)
        }
    }

    /// The identity's key file.
    pub(super) fn identity(&self) -> PathBuf {
        self.folder.join(&self.agent.identity)
    }

    fn check(&self, text: &str) -> Result<(), Problem> {
        check_give(text, &self.give)?;
        // The pin is not known before the server has its key, and nothing here depends on it.
        self.agent(Pin::from_bytes([0; 32])).check().map_err(|error| {
            let key = match &error {
                AgentError::NoAttester => "agent.attesters",
                AgentError::Address(_) => "agent.address",
                AgentError::Bind { .. } => "agent.bind",
                AgentError::Token => "give.token",
                _ => "agent",
            };
            Problem::at_key(text, key, error.to_string())
        })
    }
}

/// What was found in a configuration file.
pub(super) struct Review {
    /// The settings; `None` when they cannot be used.
    pub(super) settings: Option<Settings>,
    /// What keeps them from being used, by line.
    pub(super) mistakes: Vec<Problem>,
    /// What is allowed, but should be meant, by line.
    pub(super) risks: Vec<Problem>,
}

/// Looks for server settings that cannot work.
fn check_give(text: &str, give: &give::Config) -> Result<(), Problem> {
    give.check().map_err(|error| {
        let key = match &error {
            give::ConfigError::Zero(limit) => format!("give.limits.{limit}"),
            give::ConfigError::ProxyHost(_) => "give.proxy_host".to_owned(),
            give::ConfigError::Token => "give.token".to_owned(),
        };
        Problem::at_key(text, &key, error.to_string())
    })
}
