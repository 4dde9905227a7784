//! An agent's settings: a struct for hosts, and the section of a configuration file that fills most of it.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use proto::{
    claims::{Protocol, Protocols, SuccessionPair},
    ids::Pin,
    key::PublicKey,
    time::Clock,
};
use rand::{Rng, RngExt};
use serde::{Deserialize, Deserializer, de};

use crate::{
    error::{AgentError, MAX_SOFTWARE, MAX_TOKEN},
    identity::Identity,
};

/// What an agent needs to know. [`AgentConfig::new`] fills what has a default.
#[derive(Clone)]
pub struct AgentConfig {
    /// The attester's endpoints, tried in turn.
    pub attesters: Vec<Endpoint>,
    /// The attester's root key, as its operator published it. Everything else is believed because of it.
    pub root: PublicKey,
    /// The peer's own key.
    pub identity: Identity,
    /// How the identity came to its key, oldest first, for a host that keeps its key itself ([`Identity::Key`]); of a file
    /// it is known from the file beside it, unless something is given here.
    pub successions: Vec<SuccessionPair>,
    /// Where the newest keyset of the attester is kept, so that no older one is believed after a restart: somebody who stole
    /// an attester key could otherwise show one from before the theft. Beside the file of an [`Identity::File`] by default
    /// ([`Identity::keyset_file`]). `None`, the default for a host that keeps its key itself: it is remembered while the agent
    /// runs, and such a host should name a file.
    pub keyset: Option<PathBuf>,
    /// The public address and port that the peer serves at.
    pub address: SocketAddr,
    /// The port that the proxy listens on, where a router maps the public one to another: so that whoever must mend the mapping
    /// is told both ports. `None` when it is the same or not known.
    pub listening: Option<u16>,
    /// What the peer speaks there; all three protocols by default.
    pub protocols: Protocols,
    /// The pin of its TLS key.
    pub pin: Pin,
    /// What CONNECT clients must present; `None` when anyone is served. A secret: it is sent to the attester only.
    pub connect_token: Option<String>,
    /// The local address that sessions leave from; the system chooses by default. The attester dials the address that
    /// it sees a session come from, so on a machine with several it must be the one served at.
    pub bind: Option<IpAddr>,
    /// Name and version of the host's software, at most 64 printable bytes.
    pub software: String,
    /// The time of day.
    pub clock: Clock,
    /// How long to wait between attempts.
    pub backoff: Backoff,
}

impl AgentConfig {
    /// Settings with every protocol, the same port inside as outside, no CONNECT token, no fixed local address, the newest keyset kept beside the identity's
    /// file, and the system's clock.
    pub fn new(attesters: Vec<Endpoint>, root: PublicKey, identity: Identity, address: SocketAddr, pin: Pin) -> Self {
        Self {
            attesters,
            root,
            keyset: identity.keyset_file(),
            identity,
            successions: Vec::new(),
            address,
            listening: None,
            protocols: Protocols::new(Protocol::ALL.iter().copied()).expect("there are protocols"),
            pin,
            connect_token: None,
            bind: None,
            software: concat!("peer-agent ", env!("CARGO_PKG_VERSION")).to_owned(),
            clock: Clock::system(),
            backoff: Backoff::default(),
        }
    }

    /// Looks for settings that cannot work.
    ///
    /// # Errors
    /// Names the first of them.
    pub fn check(&self) -> Result<(), AgentError> {
        if self.attesters.is_empty() {
            return Err(AgentError::NoAttester);
        }
        if self.address.port() == 0 || self.address.ip().is_unspecified() {
            return Err(AgentError::Address(self.address));
        }
        if let Some(bind) = self.bind.filter(|bind| bind.is_ipv4() != self.address.is_ipv4()) {
            return Err(AgentError::Bind {
                bind,
                address: self.address,
            });
        }
        let fits =
            |token: &str| (1..=MAX_TOKEN).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic());
        if self.connect_token.as_deref().is_some_and(|token| !fits(token)) {
            return Err(AgentError::Token);
        }
        if self.software.len() > MAX_SOFTWARE || self.software.chars().any(char::is_control) {
            return Err(AgentError::Software);
        }
        Ok(())
    }
}

/// Without the CONNECT token.
impl fmt::Debug for AgentConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentConfig")
            .field("attesters", &self.attesters)
            .field("root", &self.root)
            .field("address", &self.address)
            .field("bind", &self.bind)
            .finish_non_exhaustive()
    }
}

/// An attester's `host:port`; the host is a name, an IPv4 address, or an IPv6 address in brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    host: String,
    port: u16,
}

impl Endpoint {
    /// The name or address, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (host, port) = (&self.host, self.port);
        if host.contains(':') {
            write!(f, "[{host}]:{port}")
        } else {
            write!(f, "{host}:{port}")
        }
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        Self {
            host: address.ip().to_string(),
            port: address.port(),
        }
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let (host, port) = text.rsplit_once(':').ok_or(EndpointError)?;
        let port = port.parse().ok().filter(|port| *port != 0).ok_or(EndpointError)?;
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = match bracketed {
            Some(address) => address
                .parse::<std::net::Ipv6Addr>()
                .map_err(|_| EndpointError)?
                .to_string(),
            None if is_name(host) => host.to_owned(),
            None => return Err(EndpointError),
        };
        Ok(Self { host, port })
    }
}

impl<'de> Deserialize<'de> for Endpoint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text(deserializer)
    }
}

/// Text that is no [`Endpoint`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not host:port, like attester.example:7443")]
pub struct EndpointError;

/// Waits between attempts: before the n-th attempt in a row that fails, a random time up to the smaller of `base * 2^n` and
/// `cap` ("full jitter"), so that peers that lost an attester together do not come back together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Bound of the first wait.
    pub base: Duration,
    /// Bound of every wait; also the whole wait after a rejection that trying again will not change.
    pub cap: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            base: Duration::from_secs(1),
            cap: Duration::from_secs(60),
        }
    }
}

impl Backoff {
    /// The wait after `failures` earlier attempts in a row.
    pub(crate) fn wait(&self, failures: u32, rng: &mut impl Rng) -> Duration {
        let bound = self.base.saturating_mul(2_u32.saturating_pow(failures)).min(self.cap);
        Duration::from_micros(rng.random_range(0..=u64::try_from(bound.as_micros()).unwrap_or(u64::MAX)))
    }
}

/// The `[agent]` section of a configuration file. The host adds what it knows itself: its TLS pin and CONNECT token.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentSection {
    /// The attester's endpoints.
    pub attesters: Vec<Endpoint>,
    /// The attester's root key.
    #[serde(deserialize_with = "text")]
    pub root: PublicKey,
    /// The public address and port that the peer serves at.
    #[serde(deserialize_with = "address")]
    pub address: SocketAddr,
    /// The identity's key file, relative to the configuration file.
    #[serde(default = "default_identity")]
    pub identity: PathBuf,
    /// The local address that sessions leave from.
    #[serde(default)]
    pub bind: Option<IpAddr>,
}

impl AgentSection {
    /// The agent's settings; a relative key file is looked for in `folder`, and the newest keyset is kept beside it.
    pub fn config(&self, folder: &Path, pin: Pin) -> AgentConfig {
        let identity = Identity::File(folder.join(&self.identity));
        let config = AgentConfig::new(self.attesters.clone(), self.root, identity, self.address, pin);
        AgentConfig {
            bind: self.bind,
            ..config
        }
    }
}

fn default_identity() -> PathBuf {
    PathBuf::from("peer.key")
}

fn text<'de, D: Deserializer<'de>, T: FromStr<Err: fmt::Display>>(deserializer: D) -> Result<T, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let wrong = || de::Error::custom("not a public ip:port, like 203.0.113.7:443");
    let address: SocketAddr = String::deserialize(deserializer)?.parse().map_err(|_| wrong())?;
    if address.port() == 0 || address.ip().is_unspecified() {
        Err(wrong())
    } else {
        Ok(address)
    }
}

fn is_name(host: &str) -> bool {
    (1..=253).contains(&host.len())
        && host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proto::key::SigningKey;

    use super::*;

    fn config() -> AgentConfig {
        let key = SigningKey::from_seed(&[1; 32]);
        let attesters = vec!["attester.example:7443".parse().unwrap()];
        let address = "203.0.113.7:443".parse().unwrap();
        AgentConfig::new(
            attesters,
            key.public(),
            Identity::Key(key),
            address,
            Pin::from_bytes([0; 32]),
        )
    }

    #[test]
    fn endpoints_are_read_and_written() {
        for text in ["attester.example:7443", "127.0.0.1:1", "[2001:db8::7]:65535"] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
        assert_eq!("[2001:db8::7]:1".parse::<Endpoint>().unwrap().host(), "2001:db8::7");
        for wrong in [
            "",
            "attester.example",
            "attester.example:0",
            "a b:1",
            "2001:db8::7:1",
            ":1",
            "[x]:1",
            "a:65536",
        ] {
            assert_eq!(wrong.parse::<Endpoint>(), Err(EndpointError), "{wrong:?}");
        }
    }

    #[test]
    fn settings_that_cannot_work_are_named() {
        let message = |config: AgentConfig| config.check().unwrap_err().to_string();
        config().check().unwrap();
        assert!(
            message(AgentConfig {
                attesters: vec![],
                ..config()
            })
            .contains("attesters")
        );
        assert!(
            message(AgentConfig {
                address: "0.0.0.0:443".parse().unwrap(),
                ..config()
            })
            .contains("public")
        );
        assert!(
            message(AgentConfig {
                address: "192.0.2.1:0".parse().unwrap(),
                ..config()
            })
            .contains("public")
        );
        assert!(
            message(AgentConfig {
                bind: Some("::1".parse().unwrap()),
                ..config()
            })
            .contains("IPv6")
        );
        assert!(
            message(AgentConfig {
                connect_token: Some(String::new()),
                ..config()
            })
            .contains("token")
        );
        assert!(
            message(AgentConfig {
                connect_token: Some("a b".to_owned()),
                ..config()
            })
            .contains("token")
        );
        assert!(
            message(AgentConfig {
                software: "x".repeat(65),
                ..config()
            })
            .contains("software")
        );
    }

    #[test]
    fn the_newest_keyset_is_kept_unless_the_host_keeps_its_key_itself() {
        let of = |identity| {
            let AgentConfig { root, address, pin, .. } = config();
            AgentConfig::new(config().attesters, root, identity, address, pin).keyset
        };
        assert_eq!(
            of(Identity::File("state/peer.key".into())),
            Some("state/peer.keyset".into())
        );
        assert_eq!(of(config().identity), None);
    }

    #[test]
    fn waits_are_random_and_their_bound_doubles_up_to_the_cap() {
        use rand::{SeedableRng, rngs::StdRng};

        let mut rng = StdRng::seed_from_u64(1);
        let backoff = Backoff::default();
        for (failures, bound) in [(0, 1), (1, 2), (5, 32), (6, 60), (u32::MAX, 60)] {
            let waits: Vec<_> = (0..200).map(|_| backoff.wait(failures, &mut rng)).collect();
            let bound = Duration::from_secs(bound);
            assert!(waits.iter().all(|wait| *wait <= bound));
            assert!(waits.iter().any(|wait| *wait > bound / 2) && waits.iter().any(|wait| *wait < bound / 2));
        }
    }

    #[test]
    fn the_token_is_never_printed() {
        let config = AgentConfig {
            connect_token: Some("sesame".to_owned()),
            ..config()
        };
        assert!(!format!("{config:?}").contains("sesame"));
    }
}
