//! A running attester.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use anyhow::Context;
use attester::{
    app::{Addresses, App},
    config::Config,
    decide::VERIFIED,
    keys::Keys,
    records::Name,
    store::{ProbeRow, Store},
};
use proto::{key::PublicKey, time::Clock};
use rand::{SeedableRng, rngs::StdRng};
use tempfile::TempDir;
use tokio::{sync::OnceCell, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    gate::Gate,
    island::Island,
    options::Options,
    peer::Peer,
    ports::Ports,
    records::{self, Record},
    rotation::{Rotation, Watcher},
};

mod waits;

/// An attester on threads of its own, with its state in a temporary folder. Dropped, it is killed, and its folder removed.
#[derive(Debug)]
pub struct Cluster {
    options: Options,
    ports: Ports,
    addresses: Addresses,
    root: PublicKey,
    config: Config,
    origin: Option<Gate>,
    running: Option<Running>,
    rotation: Rotation,
    reader: OnceCell<Store>,
    /// Honest peers through which others can leave.
    exits: Mutex<Vec<SocketAddr>>,
    folder: TempDir,
}

#[derive(Debug)]
struct Running {
    island: Island,
    token: CancellationToken,
    app: JoinHandle<()>,
}

impl Cluster {
    /// Makes keys and a configuration, and starts an attester.
    ///
    /// # Errors
    /// Whatever keeps it from starting.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("cluster-").tempdir()?;
        let ports = Ports::take().context("a port for the peers")?;
        let state = folder.path().join("state");
        let reserved = match options.origin_gate {
            true => Some(Gate::reserve((ports.home(), 0).into()).await?),
            false => None,
        };
        let destination = match &reserved {
            Some((_, address)) => Some(address.to_string()),
            // Without a destination the origin's own address is one; where private ones are not served, it is not allowed.
            None => (!options.allow_private).then(|| "origin.example:80".to_owned()),
        };
        let text = options.toml(&state, ports.home(), ports.common(), None, destination.as_deref());
        let config = options.config(&text)?;
        let keys = Keys::create(&config.keys_folder(), &mut rand::rng(), Clock::system().now())?;
        let (running, addresses) = run(&config).await?;
        let text = options.toml(
            &state,
            ports.home(),
            ports.common(),
            Some(&addresses),
            destination.as_deref(),
        );
        let origin = reserved
            .map(|(listener, _)| Gate::new(listener, addresses.origin))
            .transpose()?;
        let rotation = Rotation::new(addresses.dns, Name::parse(&options.rotation())?);
        Ok(Self {
            root: keys.root_public,
            config: options.config(&text)?,
            running: Some(running),
            reader: OnceCell::new(),
            exits: Mutex::default(),
            options,
            ports,
            addresses,
            origin,
            rotation,
            folder,
        })
    }

    /// Its figures.
    pub const fn options(&self) -> &Options {
        &self.options
    }

    /// Where it listens; the same after a restart.
    pub const fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The key that agents pin.
    pub const fn root(&self) -> PublicKey {
        self.root
    }

    /// The port that all peers of the rotation share.
    pub const fn port(&self) -> u16 {
        self.ports.common()
    }

    /// Its configuration, as parsed.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Its state file.
    pub fn state_file(&self) -> PathBuf {
        self.config.state_file()
    }

    /// The gate between the peers and the origin, if [`Options::origin_gate`] asked for one.
    pub const fn origin_gate(&self) -> Option<&Gate> {
        self.origin.as_ref()
    }

    /// A gate before the attester's sessions, for agents that shall be kept from it for a while.
    ///
    /// # Errors
    /// When there is no port for it.
    pub async fn session_gate(&self) -> anyhow::Result<Gate> {
        let (listener, _) = Gate::reserve((self.ports.home(), 0).into()).await?;
        Ok(Gate::new(listener, self.addresses.session)?)
    }

    /// Stops the attester as SIGTERM does: it drains.
    ///
    /// # Errors
    /// When it panicked.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        let Some(Running { island, token, app }) = self.running.take() else {
            return Ok(());
        };
        token.cancel();
        let ended = app.await;
        island.kill().await;
        ended.context("the attester panicked")
    }

    /// Stops the attester wherever it stands, much as SIGKILL does.
    pub async fn kill(&mut self) {
        if let Some(running) = self.running.take() {
            running.island.kill().await;
        }
    }

    /// Starts it again on the same state and at the same addresses; stops it before, if need be.
    ///
    /// # Errors
    /// Whatever keeps it from starting.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.stop().await?;
        let (running, addresses) = run(&self.config).await?;
        self.running = Some(running);
        anyhow::ensure!(
            addresses.session == self.addresses.session,
            "it came back at {}",
            addresses.session
        );
        Ok(())
    }

    /// Who is in the rotation now, by a DNS query over a socket.
    ///
    /// # Errors
    /// When DNS does not answer.
    pub async fn rotation(&self) -> anyhow::Result<BTreeSet<IpAddr>> {
        self.rotation.members().await
    }

    /// What a peer's own name resolves to.
    ///
    /// # Errors
    /// When DNS does not answer.
    pub async fn own_name(&self, peer: &Peer) -> anyhow::Result<BTreeSet<IpAddr>> {
        let name = Name::parse(&peer.id().own_name(&self.options.zone))?;
        self.rotation.addresses(&name).await
    }

    /// Looks at the rotation from now on, many times a second.
    pub fn watch(&self) -> Watcher {
        let name = self.config.dns.rotation.clone();
        Watcher::start(Rotation::new(self.addresses.dns, name))
    }

    /// The attester's state file, open for reading.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn store(&self) -> anyhow::Result<&Store> {
        let path = self.state_file();
        Ok(self
            .reader
            .get_or_try_init(|| async { Store::open_read_only(&path).await })
            .await?)
    }

    /// What the attester has written down about these peers, in their order, and whether DNS shows them.
    ///
    /// # Errors
    /// When the state file or DNS cannot be read.
    pub async fn records(&self, peers: &[&Peer]) -> anyhow::Result<Vec<Record>> {
        let rotation = self.rotation().await?;
        records::look_up(self.store().await?, &rotation, peers).await
    }

    /// What the attester has written down about a peer.
    ///
    /// # Errors
    /// As [`Cluster::records`].
    pub async fn record(&self, peer: &Peer) -> anyhow::Result<Record> {
        Ok(self.records(&[peer]).await?.remove(0))
    }

    /// A peer's probes, newest first.
    ///
    /// # Errors
    /// When the state file cannot be read.
    pub async fn probes(&self, peer: &Peer) -> anyhow::Result<Vec<ProbeRow>> {
        Ok(self.store().await?.probes(peer.id(), ALL).await?.rows)
    }

    /// What each signed verdict about a peer said of its standing, oldest first.
    ///
    /// # Errors
    /// When the state file cannot be read.
    pub async fn standings(&self, peer: &Peer) -> anyhow::Result<Vec<String>> {
        records::standings(&self.probes(peer).await?)
    }

    /// Whether any signed verdict has ever said that this peer is verified.
    ///
    /// # Errors
    /// When the state file cannot be read.
    pub async fn was_ever_verified(&self, peer: &Peer) -> anyhow::Result<bool> {
        Ok(self.standings(peer).await?.iter().any(|standing| standing == VERIFIED))
    }

    /// Where another peer's traffic can leave: at the honest peer that was started first.
    pub(crate) fn exit(&self) -> Option<SocketAddr> {
        self.exits
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .first()
            .copied()
    }

    pub(crate) fn add_exit(&self, address: SocketAddr) {
        self.exits.lock().unwrap_or_else(PoisonError::into_inner).push(address);
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) const fn ports(&self) -> &Ports {
        &self.ports
    }
}

async fn run(config: &Config) -> anyhow::Result<(Running, Addresses)> {
    let island = Island::new("attester", 2)?;
    let config = config.clone();
    let rng = StdRng::from_rng(&mut rand::rng());
    let bound = island.spawn(async move { Box::pin(App::bind(&config, Clock::system(), rng)).await });
    let app = bound.await.context("the attester panicked")??;
    let addresses = app.addresses().clone();
    let token = CancellationToken::new();
    let app = island.spawn(Box::pin(app.run(token.clone())));
    Ok((Running { island, token, app }, addresses))
}

/// More probes than any test makes.
const ALL: usize = 10_000;
