//! `attester.toml`: read strictly, every mistake told with its line, its key and what would be right.

use std::{
    collections::BTreeSet,
    fmt, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use proto::ids::Destination;

use crate::{
    flashlight::{Edge, EdgeError, Sni},
    records::Name,
    store::Retention,
};

mod check;
mod document;
mod read;
mod risk;
mod template;
mod value;

pub use document::Problem;
pub use template::{Initial, initial};
pub(crate) use value::parse_duration;

/// Everything that an operator can set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Sessions and state.
    pub attester: Attester,
    /// What admits a peer and keeps it in.
    pub admission: Admission,
    /// How peers are probed.
    pub probe: Probe,
    /// The edge in front of the peers, if they are probed through one.
    pub fronted: Option<Fronted>,
    /// The payload server on the far side of the peers.
    pub origin: Origin,
    /// The embedded name server.
    pub dns: Dns,
    /// How much of past probes is kept.
    pub evidence: Retention,
    /// The operator's own server.
    pub admin: Admin,
    /// What is logged and how.
    pub log: Log,
}

/// `[attester]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attester {
    /// Where agents connect.
    pub listen: SocketAddr,
    /// The folder of keys and state; [`Config::load`] makes it relative to the file's folder.
    pub state: PathBuf,
}

/// `[admission]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admission {
    /// Consecutive proofs that admit (k).
    pub proofs: usize,
    /// Time between them.
    pub spacing: Duration,
    /// Time between probes of a verified peer.
    pub interval: Duration,
    /// How long a proof keeps a peer in.
    pub lease: Duration,
    /// Body bytes of a liveness probe.
    pub liveness_body: u64,
    /// Body bytes of a goodput probe.
    pub goodput_body: u64,
    /// Least throughput, bytes a second.
    pub goodput_floor: u64,
    /// Whether peers may serve at reserved addresses.
    pub allow_private: bool,
    /// Most peers at a time.
    pub max_peers: usize,
    /// How long a peer without a session keeps its own name.
    pub keep_name: Duration,
}

/// `[probe]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Time for the TCP connection.
    pub connect: Duration,
    /// Time for the TLS handshake.
    pub tls: Duration,
    /// Time for everything up to the last byte.
    pub total: Duration,
    /// Time for the receipt after that.
    pub receipt_within: Duration,
    /// Most probes at a time.
    pub concurrency: usize,
    /// The address to dial from; the system's choice when absent.
    pub source: Option<IpAddr>,
    /// Whether TLS sessions with members are resumed.
    pub resume: bool,
}

/// `[fronted]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fronted {
    /// Where clients connect to the edge.
    pub edge: Destination,
    /// The name that its certificate is good for; the edge's host when absent.
    pub name: Option<String>,
    /// Whether the ClientHello carries that name.
    pub sni: Sni,
    /// A file of the CA's certificates (PEM), the only ones that count; [`Config::load`] makes it relative to the file's folder.
    pub ca: Option<PathBuf>,
    /// Whether a peer on the rotation's port must be proven through the edge to be admitted.
    pub required: bool,
}

impl Fronted {
    /// The edge as the prober knows it; reads the CA's file.
    ///
    /// # Errors
    /// The file cannot be read, or what it or the name says cannot be used.
    pub fn edge(&self) -> Result<Edge, FrontedError> {
        let authorities = self.ca.as_ref().map(|path| {
            std::fs::read(path).map_err(|source| FrontedError::Read {
                path: path.clone(),
                source,
            })
        });
        let name = self.name.as_deref().unwrap_or_else(|| self.edge.host());
        Edge::new(name, self.sni, authorities.transpose()?.as_deref()).map_err(FrontedError::Edge)
    }
}

/// An edge that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FrontedError {
    /// There is no reading its CA.
    #[error("cannot read {} (fronted.ca)", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Its name or its CA are none.
    #[error("the section [fronted] does not name an edge")]
    Edge(#[source] EdgeError),
}

/// `[origin]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where peers reach it. `None`: at the listening address, which is then a specific IPv4 address (and whose port,
    /// when it is 0, is known once the origin is bound).
    pub destination: Option<Destination>,
    /// Where control probes go. `None`: where the destination resolves to, the way that peers' traffic goes.
    pub control: Option<SocketAddr>,
}

/// `[dns]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dns {
    /// Where the zone is answered, over UDP and TCP.
    pub listen: SocketAddr,
    /// The zone.
    pub zone: Name,
    /// The rotation's whole name, within the zone.
    pub rotation: Name,
    /// The one port of the rotation.
    pub rotation_port: u16,
    /// Most addresses of a family in one answer.
    pub sample: usize,
    /// The name server's own name; `ns.<zone>` when absent.
    pub nameserver: Option<Name>,
    /// The addresses under which the world reaches it; the listening address, if specific, when empty.
    pub nameserver_addresses: BTreeSet<IpAddr>,
    /// Where the attester itself asks for peers' names. `None`: at the listener.
    pub asked_at: Option<SocketAddr>,
}

/// `[admin]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Where `/healthz` is answered.
    pub listen: SocketAddr,
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// A level, or a filter of tracing-subscriber's form.
    pub filter: String,
    /// Plain or JSON.
    pub format: LogFormat,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Config {
    /// Reads a configuration file. A relative state folder is taken from the file's folder.
    ///
    /// # Errors
    /// When the file cannot be read, or with all mistakes in it.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::look_at(path)?.usable(path)
    }

    /// Reads a configuration file, and tells everything that is wrong or risky in it. As [`Config::load`], else.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn look_at(path: &Path) -> Result<Review, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::read(path, source))?;
        let mut review = read::read(&text);
        if let (Some(config), Some(folder)) = (&mut review.config, path.parent()) {
            config.attester.state = folder.join(&config.attester.state);
            if let Some(ca) = config.fronted.as_mut().and_then(|fronted| fronted.ca.as_mut()) {
                *ca = folder.join(&ca);
            }
        }
        Ok(review)
    }

    /// Reads the text of a configuration; the state folder stays as it is written.
    ///
    /// # Errors
    /// All mistakes in it.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        Self::review(text).usable(Path::new("attester.toml"))
    }

    /// Reads the text of a configuration, and tells everything that is wrong or risky in it.
    pub fn review(text: &str) -> Review {
        read::read(text)
    }

    /// The state file, which [`crate::store::Store`] opens.
    pub fn state_file(&self) -> PathBuf {
        self.attester.state.join("attester.db")
    }

    /// The folder of the key files, for [`crate::keys::Keys`].
    pub fn keys_folder(&self) -> PathBuf {
        self.attester.state.join("keys")
    }
}

/// What was found in a configuration.
#[derive(Clone, Debug)]
pub struct Review {
    /// The configuration; `None` when it cannot be used.
    pub config: Option<Config>,
    /// What keeps it from being used, by line.
    pub mistakes: Vec<Problem>,
    /// What is allowed, but should be meant, by line.
    pub risks: Vec<Problem>,
}

impl Review {
    /// The configuration of the file `path`.
    ///
    /// # Errors
    /// All mistakes in it.
    pub fn usable(self, path: &Path) -> Result<Config, ConfigError> {
        let problems = self.mistakes;
        self.config.ok_or_else(|| ConfigError::Mistakes {
            path: path.to_owned(),
            problems,
        })
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            filter: "info".to_owned(),
            format: LogFormat::Text,
        }
    }
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// There is no such file.
    #[error("there is no configuration at {}: run `attester init`, or name the file with --config", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The file cannot be read.
    #[error("cannot read the configuration {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It says something wrong.
    #[error("{}", mistakes(path, problems))]
    Mistakes {
        /// The file.
        path: PathBuf,
        /// All that is wrong, by line.
        problems: Vec<Problem>,
    },
}

impl ConfigError {
    fn read(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::NotFound => Self::Missing { path },
            _ => Self::Read { path, source },
        }
    }
}

fn mistakes(path: &Path, problems: &[Problem]) -> String {
    use fmt::Write;

    let mut text = format!("{} cannot be used:", path.display());
    for problem in problems {
        // Writing to a string does not fail.
        let _ = write!(text, "\n  {problem}");
    }
    text
}

/// Listening on every address of the machine.
const ANY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests;
