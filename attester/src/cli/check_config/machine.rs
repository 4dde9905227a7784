//! Whether this machine has what the configuration names. Nothing is made or changed.

use std::{
    fmt,
    fs::{File, TryLockError},
    io,
    net::{SocketAddr, TcpListener, UdpSocket},
    path::Path,
    time::Duration,
};

use proto::{claims::Role, time::Clock};
use serde_json::{Value, json};

use super::super::{Failure, progress, runtime, show};
use crate::{
    config::{Config, Fronted},
    keys::{KeyFolder, KeyState},
    store::{Store, StoreError},
};

/// One look at the machine.
pub(super) struct Check {
    what: String,
    found: Found,
}

enum Found {
    Fine(String),
    /// An attester can start, and will not do well.
    Doubtful(String),
    /// An attester cannot start.
    InTheWay(String),
}

impl Check {
    pub(super) const fn is_in_the_way(&self) -> bool {
        matches!(self.found, Found::InTheWay(_))
    }

    pub(super) fn object(&self) -> Value {
        let (found, detail) = self.words();
        json!({ "kind": "machine", "check": self.what, "found": found, "detail": detail })
    }

    fn words(&self) -> (&'static str, &str) {
        match &self.found {
            Found::Fine(detail) => ("fine", detail),
            Found::Doubtful(detail) => ("doubtful", detail),
            Found::InTheWay(detail) => ("in-the-way", detail),
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (found, detail) = self.words();
        let tone = match self.found {
            Found::Fine(_) => "proved",
            Found::Doubtful(_) => "inconclusive",
            Found::InTheWay(_) => "failed",
        };
        // Padded before it is coloured: escape sequences have a length too.
        let found = show::painted(&format!("{found:<10}"), tone);
        write!(f, "  {:<20}{found}  {detail}", self.what)
    }
}

/// Looks at everything that the configuration names.
pub(super) fn look(config: &Config) -> Result<Vec<Check>, Failure> {
    let runtime = runtime()?;
    let running = is_running(&config.state_file());
    let mut checks = vec![
        check("keys", keys(config)),
        check("state file", runtime.block_on(state(config, running))),
    ];
    let listeners = [
        ("attester.listen", config.attester.listen, false),
        ("origin.listen", config.origin.listen, false),
        ("dns.listen", config.dns.listen, true),
        ("admin.listen", config.admin.listen, false),
    ];
    for (key, address, datagrams) in listeners {
        checks.push(check(key, port(address, datagrams, running)));
    }
    if let Some(source) = config.probe.source {
        checks.push(check("probe.source", own_address((source, 0).into())));
    }
    if let Some(fronted) = &config.fronted {
        checks.push(check("fronted", edge(fronted)));
        checks.push(check(
            "fronted.edge",
            runtime.block_on(resolves(fronted.edge.as_str(), "probes through the edge say nothing")),
        ));
    }
    if let Some(destination) = &config.origin.destination {
        checks.push(check(
            "origin.destination",
            runtime.block_on(resolves(destination.as_str(), "control probes will fail")),
        ));
    }
    checks.extend(files_allowed().map(|allowed| check("open files", enough_files(allowed, config))));
    Ok(checks)
}

fn check(what: impl Into<String>, found: Found) -> Check {
    Check {
        what: what.into(),
        found,
    }
}

fn keys(config: &Config) -> Found {
    let folder = config.keys_folder();
    let listing = match KeyFolder::new(&folder).list(Clock::system().now()) {
        Ok(listing) => listing,
        Err(error) => return Found::InTheWay(format!("{:#}", anyhow::Error::new(error))),
    };
    let signs = |role: &Role| {
        let mut keys = listing.keys.iter();
        keys.any(|key| key.role == Some(*role) && key.state == KeyState::Signing)
    };
    match Role::ALL.iter().find(|role| !signs(role)) {
        Some(role) => Found::InTheWay(format!("no {role} key in {} can sign", folder.display())),
        None if !listing.holds && !listing.root_at_hand => {
            Found::InTheWay("the keyset has ended, and the root key that would sign another is not here".to_owned())
        }
        None => Found::Fine(format!("agents pin {}", listing.root)),
    }
}

fn edge(fronted: &Fronted) -> Found {
    match fronted.edge() {
        Ok(_) if fronted.ca.is_some() => Found::Fine("its CA can be used, and no other counts".to_owned()),
        Ok(_) => Found::Fine("the roots that browsers trust count".to_owned()),
        Err(error) => Found::InTheWay(format!("{:#}", anyhow::Error::new(error))),
    }
}

async fn state(config: &Config, running: bool) -> Found {
    let file = config.state_file();
    let look = async {
        let store = Store::open_read_only(&file).await?;
        let checked = store.check().await;
        store.close().await;
        checked
    };
    let beside = if running { ", and an attester uses it" } else { "" };
    match progress::patiently("looking through the state file", look).await {
        Ok(()) => Found::Fine(format!("{} is whole{beside}", file.display())),
        Err(StoreError::Missing { .. }) => Found::Fine("there is none yet: the first start makes it".to_owned()),
        Err(StoreError::Older { .. }) => {
            Found::Fine("it is of an older version: the next start brings it up to date".to_owned())
        }
        Err(error) => Found::InTheWay(format!("{:#}", anyhow::Error::new(error))),
    }
}

fn port(address: SocketAddr, datagrams: bool, running: bool) -> Found {
    let tcp = TcpListener::bind(address).map(drop);
    let udp = || {
        if datagrams {
            UdpSocket::bind(address).map(drop)
        } else {
            Ok(())
        }
    };
    match tcp.and_then(|()| udp()) {
        Ok(()) => Found::Fine(format!("{address} is free")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && running => {
            Found::Fine(format!("{address} is taken, as it should be while an attester runs"))
        }
        Err(error) => Found::InTheWay(format!("{address}: {error}")),
    }
}

fn own_address(address: SocketAddr) -> Found {
    match UdpSocket::bind(address) {
        Ok(_) => Found::Fine(format!("{} is an address of this machine", address.ip())),
        Err(error) => Found::InTheWay(format!("{} is no address of this machine: {error}", address.ip())),
    }
}

/// Control probes resolve it here; peers, elsewhere, may see another answer.
async fn resolves(destination: &str, otherwise: &str) -> Found {
    let found = tokio::time::timeout(RESOLVE, tokio::net::lookup_host(destination.to_owned()));
    match progress::patiently("resolving a name", found).await {
        Ok(Ok(mut addresses)) => match addresses.next() {
            Some(address) => Found::Fine(format!("{destination} is {} here", address.ip())),
            None => Found::Doubtful(format!("{destination} has no address: {otherwise}")),
        },
        Ok(Err(error)) => Found::Doubtful(format!("{destination}: {error}: {otherwise}")),
        Err(_) => Found::Doubtful(format!("{destination}: the resolver does not answer: {otherwise}")),
    }
}

fn enough_files(allowed: u64, config: &Config) -> Found {
    let needed = (config.admission.max_peers + 2 * config.probe.concurrency) as u64 + OTHER_FILES;
    if allowed >= needed {
        Found::Fine(format!("{allowed} may be open"))
    } else {
        Found::Doubtful(format!(
            "{allowed} may be open, and {needed} would be with admission.max_peers sessions: raise the limit (ulimit -n, \
            LimitNOFILE=)"
        ))
    }
}

/// The limit of this process, where the system tells it as Linux does.
fn files_allowed() -> Option<u64> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find(|line| line.starts_with("Max open files"))?;
    line.split_whitespace().nth(3)?.parse().ok()
}

/// Whether an attester has the state file open.
fn is_running(state: &Path) -> bool {
    let mut lock = state.as_os_str().to_owned();
    lock.push(".lock");
    File::open(lock).is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

const RESOLVE: Duration = Duration::from_secs(5);
/// Sockets that wait, connections of the origin and of resolvers, the state file.
const OTHER_FILES: u64 = 1000;
