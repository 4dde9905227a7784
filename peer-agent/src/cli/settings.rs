//! `peer-agent.toml`: a section for the agent and one for the give mode server.

use std::path::{Path, PathBuf};

use peer_agent::{AgentConfig, AgentError, AgentSection, give};
use proto::ids::Pin;
use serde::Deserialize;

use super::problem::{FileError, Problem};

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
    /// Reads a file and looks for mistakes.
    pub(super) fn load(path: &Path) -> Result<Self, FileError> {
        let (file, folder) = (path.to_owned(), path.parent().unwrap_or(Path::new("")));
        let text = std::fs::read_to_string(path).map_err(|source| FileError::Read {
            path: file.clone(),
            source,
        })?;
        Self::parse(&text, folder).map_err(|problem| FileError::Mistake { path: file, problem })
    }

    pub(super) fn parse(text: &str, folder: &Path) -> Result<Self, Problem> {
        let mut settings: Self = toml::from_str(text).map_err(|error| Problem::found(text, &error))?;
        settings.folder = folder.to_owned();
        settings.give.state = folder.join(&settings.give.state);
        // A server on one address of several serves, dials and registers from that one, or the attester would see another.
        let listen = settings.give.listen.ip();
        let only = Some(listen).filter(|ip| !ip.is_unspecified());
        settings.give.bind = settings.give.bind.or(only);
        settings.agent.bind = settings.agent.bind.or(settings.give.bind);
        settings.check(text)?;
        Ok(settings)
    }

    /// The agent's settings, with what only the server knows.
    pub(super) fn agent(&self, pin: Pin) -> AgentConfig {
        let connect_token = self.give.token.clone();
        AgentConfig {
            connect_token,
            ..self.agent.config(&self.folder, pin)
        }
    }

    fn check(&self, text: &str) -> Result<(), Problem> {
        self.give.check().map_err(|error| {
            let key = match &error {
                give::ConfigError::Zero(limit) => format!("give.limits.{limit}"),
                give::ConfigError::ProxyHost(_) => "give.proxy_host".to_owned(),
                give::ConfigError::Token => "give.token".to_owned(),
            };
            Problem::at_key(text, &key, error.to_string())
        })?;
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const GOOD: &str = r#"# A comment.
[agent]
attesters = ["attester.example:7443"]
root = "ed25519:rkeohxlubhyzl7ks3mwtzos5olfgocn7dwkbeg7toseadnapn5oa"
address = "203.0.113.7:443"

[give]
listen = "0.0.0.0:443"
token = "sesame"

[give.limits]
gap = 0.035
"#;

    fn parse(text: &str) -> Result<Settings, Problem> {
        Settings::parse(text, Path::new("/etc/peer"))
    }

    #[test]
    fn paths_start_from_the_files_folder_and_the_token_goes_to_both() {
        let settings = parse(GOOD).unwrap();
        assert_eq!(settings.give.state, Path::new("/etc/peer/."));
        let agent = settings.agent(Pin::from_bytes([1; 32]));
        assert_eq!(agent.connect_token.as_deref(), Some("sesame"));
        assert!(matches!(&agent.identity, peer_agent::Identity::File(path) if path == Path::new("/etc/peer/peer.key")));
        assert_eq!((agent.bind, settings.give.bind), (None, None));
    }

    #[test]
    fn a_server_on_one_address_does_everything_from_it() {
        let settings = parse(&GOOD.replace("0.0.0.0", "127.77.1.1")).unwrap();
        let bind = Some("127.77.1.1".parse().unwrap());
        assert_eq!(
            (settings.give.bind, settings.agent(Pin::from_bytes([1; 32])).bind),
            (bind, bind)
        );
    }

    /// A mistake is a change of the good text; told must be its line, its key and a word of the cure.
    #[test]
    fn every_mistake_is_told_with_its_line_its_key_and_what_would_be_right() {
        let cases: &[(&str, &str, usize, &str, &str)] = &[
            ("[agent]", "[agent", 2, "", ""),
            ("[agent]", "[agents]", 2, "agents", "agent"),
            ("attesters =", "attester =", 3, "agent.attester", "attesters"),
            (
                "attesters = [\"attester.example:7443\"]",
                "",
                2,
                "agent.attesters",
                "attester.example:7443",
            ),
            ("[\"attester.example:7443\"]", "[]", 3, "agent.attesters", "host:port"),
            (
                "[\"attester.example:7443\"]",
                "\"attester.example:7443\"",
                3,
                "agent.attesters",
                "attesters = [",
            ),
            (
                "attester.example:7443",
                "attester.example",
                3,
                "agent.attesters",
                "host:port",
            ),
            ("ed25519:rk", "ed25519:", 4, "agent.root", "ed25519:"),
            ("root = ", "#root = ", 2, "agent.root", "root = \"ed25519:"),
            ("\"ed25519:rk", "7 #", 4, "agent.root", "string"),
            ("203.0.113.7:443", "203.0.113.7", 5, "agent.address", "203.0.113.7:443"),
            ("203.0.113.7:443", "0.0.0.0:443", 5, "agent.address", "public"),
            ("address = ", "bind = \"::1\"\naddress = ", 5, "agent.bind", "IPv6"),
            (
                "listen = \"0.0.0.0:443\"",
                "listen = 443",
                8,
                "give.listen",
                "0.0.0.0:443",
            ),
            ("sesame", "open sesame", 9, "give.token", "visible"),
            ("gap = 0.035", "gap = 0", 12, "give.limits.gap", "zero"),
            ("gap = 0.035", "gab = 1", 12, "give.limits.gab", "gap"),
            ("gap = 0.035", "gap = 1\ngap = 1", 13, "gap", "duplicate"),
        ];
        for (good, bad, line, key, word) in cases {
            let text = GOOD.replacen(good, bad, 1);
            assert_ne!(text, GOOD, "{good}");
            let problem = parse(&text).unwrap_err();
            assert_eq!((problem.line, problem.key.as_str()), (*line, *key), "{bad}: {problem}");
            assert!(problem.what.contains(word), "{bad}: {problem}");
            assert!(!problem.to_string().contains("sesame"), "{problem}");
        }
        let empty = parse("").unwrap_err().to_string();
        assert!(
            empty.starts_with("line 1, key agent: it is missing") && empty.contains("init"),
            "{empty}"
        );
    }
}
