//! An attester and its peers, each in processes of their own.

use std::{
    fmt::Write,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    time::Duration,
};

use anyhow::{Context, ensure};
use rand::RngExt;
use tempfile::TempDir;

use crate::{
    child::Child,
    roles::{
        Role,
        attester::{self, Seen},
        peers::{self, Standings},
    },
    tally::Tally,
};

/// How an attester is configured. What is not here is as in the defaults.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    pub(crate) spacing: Duration,
    pub(crate) interval: Duration,
    pub(crate) lease: Duration,
    /// Where peers reach the origin, and where it listens, when these differ.
    pub(crate) origin: Option<(SocketAddr, SocketAddr)>,
    /// The core of the attester.
    pub(crate) core: Option<usize>,
}

impl Figures {
    /// Liveness probes only, at this interval, after an admission as short as can be.
    pub(crate) fn liveness_every(interval: Duration) -> Self {
        Self {
            spacing: Duration::from_millis(200),
            interval,
            lease: Duration::from_secs(24 * 3600),
            origin: None,
            core: None,
        }
    }

    fn toml(&self, state: &Path, port: u16) -> anyhow::Result<String> {
        let time = |duration: Duration| match duration.subsec_millis() {
            0 => format!("\"{}s\"", duration.as_secs()),
            _ => format!("\"{}ms\"", duration.as_millis()),
        };
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut text = String::new();
        writeln!(
            text,
            "[attester]\nlisten = \"{any}\"\nstate = {:?}",
            state.display().to_string()
        )?;
        writeln!(text, "[admission]\nallow_private = true\nmax_peers = 100000")?;
        writeln!(text, "spacing = {}", time(self.spacing))?;
        writeln!(text, "interval = {}\nlease = {}", time(self.interval), time(self.lease))?;
        writeln!(text, "liveness_body = {LIVENESS}\ngoodput_body = {LIVENESS}")?;
        // So small a body measures nothing, least of all where everything is at its limit.
        writeln!(text, "goodput_floor = 128")?;
        let listen = self.origin.map_or(any, |(_, listen)| listen);
        writeln!(text, "[origin]\nlisten = \"{listen}\"")?;
        if let Some((destination, _)) = self.origin {
            writeln!(text, "destination = \"{destination}\"")?;
        }
        writeln!(
            text,
            "[dns]\nlisten = \"{any}\"\nzone = \"bench.test\"\nrotation_port = {port}"
        )?;
        writeln!(text, "[admin]\nlisten = \"{any}\"")?;
        Ok(text)
    }
}

/// A running attester with its peers. Dropped, all of them are killed.
pub(crate) struct Rig {
    attester: Child,
    started: attester::Started,
    peers: Vec<Child>,
    /// The port of all peers.
    port: u16,
    folder: TempDir,
}

impl Rig {
    /// Starts the attester.
    pub(crate) fn start(figures: &Figures) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("bench-").tempdir()?;
        let port = rand::rng().random_range(PORTS);
        let settings = attester::Settings {
            config: figures.toml(&folder.path().join("state"), port)?,
            core: figures.core,
        };
        let (attester, started) = Child::start(Role::Attester, &settings)?;
        Ok(Self {
            attester,
            started,
            peers: Vec::new(),
            port,
            folder,
        })
    }

    /// Settings of peers that are reached directly.
    pub(crate) fn peers(&self, first: u32, count: u32) -> peers::Settings {
        peers::Settings {
            first,
            count,
            port: self.port,
            listen: self.port,
            attester: self.started.session,
            root: self.started.root.clone(),
            // One for each process: it is made by whoever comes first.
            folder: self.folder.path().join(format!("peers-{first}")),
            protocol: None,
            at_once: 16,
            core: None,
        }
    }

    /// Starts a process of peers.
    pub(crate) fn add(&mut self, settings: &peers::Settings) -> anyhow::Result<()> {
        let (child, ()) = Child::start(Role::Peers, settings)?;
        self.peers.push(child);
        Ok(())
    }

    /// Kills all peers: their sockets are closed without a goodbye.
    pub(crate) fn kill_peers(&mut self) {
        self.peers.clear();
    }

    /// Waits until the attester has so many sessions.
    pub(crate) fn wait_sessions(&mut self, count: usize, within: Duration) -> anyhow::Result<Seen> {
        self.wait("sessions", within, |seen| seen.sessions == count)
    }

    /// Waits until so many peers are verified.
    pub(crate) fn wait_verified(&mut self, count: usize, within: Duration) -> anyhow::Result<Seen> {
        self.wait("verified peers", within, |seen| seen.verified >= count)
    }

    /// The attester now.
    pub(crate) fn look(&mut self) -> anyhow::Result<Seen> {
        self.attester.ask(&attester::Look)
    }

    /// All peers now.
    pub(crate) fn standings(&mut self) -> anyhow::Result<Standings> {
        let mut all = Standings {
            by_state: Default::default(),
            trouble: Vec::new(),
            cpu_micros: 0,
        };
        for child in &mut self.peers {
            let some: Standings = child.ask(&peers::Look)?;
            for (state, count) in some.by_state {
                *all.by_state.entry(state).or_default() += count;
            }
            all.trouble.extend(some.trouble);
            all.cpu_micros += some.cpu_micros;
        }
        ensure!(all.trouble.is_empty(), "peers cannot start: {}", all.trouble.join("; "));
        Ok(all)
    }

    /// What the attester writes down.
    pub(crate) fn tally(&self) -> anyhow::Result<Tally> {
        Tally::open(&self.started.state_file)
    }

    /// Where it is.
    pub(crate) const fn started(&self) -> &attester::Started {
        &self.started
    }

    fn wait(&mut self, what: &str, within: Duration, good: impl Fn(&Seen) -> bool) -> anyhow::Result<Seen> {
        // Their troubles are told before the time is up.
        let standings = self.standings()?;
        let waited = self.attester.wait(&attester::Look, within, good);
        waited.with_context(|| {
            let now = self.standings().map(|standings| standings.by_state);
            format!(
                "not all {what} came: peers were {:?}, are {now:?}; the attester shows {:?}",
                standings.by_state,
                self.look()
            )
        })
    }
}

/// Body bytes of a liveness probe: the default.
pub(crate) const LIVENESS: u64 = 1024;
/// Below what the kernel gives to outgoing connections.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
