//! A peer: a give mode server and an agent at an address of their own, put together as its behaviour says.

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use anyhow::Context;
use peer_agent::{Agent, Identity, Standing, identity};
use proto::{
    ids::PeerId,
    key::{PublicKey, SigningKey},
    time::Clock,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    behaviour::{Agency, Behaviour, Bend, Parts},
    carry::Recorded,
    cluster::Cluster,
    cue::{Behind, Stage},
    island::Island,
    ports,
};

mod boot;

use boot::Booted;

/// A peer on a thread of its own. Dropped, it is gone without goodbye.
pub struct Peer {
    plan: Plan,
    running: Option<Running>,
}

/// What stays the same when a peer is restarted.
#[derive(Clone)]
struct Plan {
    number: u8,
    behaviour: Behaviour,
    parts: Parts,
    /// Where it listens and what its connections leave from.
    address: SocketAddr,
    folder: PathBuf,
    key: SigningKey,
    id: PeerId,
    attester: SocketAddr,
    root: PublicKey,
    /// Another peer: where its traffic leaves, or whose address it claims.
    other: Option<SocketAddr>,
    /// The name that its proxy gives itself.
    proxy_host: Option<String>,
    /// What must have happened before it misbehaves.
    also: Option<Behind>,
    recorded: Recorded,
}

struct Running {
    island: Island,
    agent: Option<Agent>,
    stop: CancellationToken,
    give: JoinHandle<()>,
    /// Counts a rogue's sessions.
    sessions: Option<Arc<AtomicUsize>>,
}

impl Peer {
    /// Starts peer `number` (1 to 254), at 127.77.`number`.1 and the cluster's common port. It registers by itself.
    ///
    /// Behaviours that need an honest peer (`ClaimsAnotherAddress`, `ExitsElsewhere`, `TurnsElsewhere`) use the one that was
    /// started first; `ClaimsHeldAddress` is started under the number of the peer whose address it is after.
    ///
    /// # Errors
    /// When it cannot listen, or there is no honest peer and it needs one.
    pub async fn start(cluster: &Cluster, number: u8, behaviour: Behaviour) -> anyhow::Result<Self> {
        Self::with(cluster, number, behaviour, cluster.addresses().session, cluster.exit()).await
    }

    /// The same, with another endpoint for its sessions than the attester's own (a [`crate::Relay`]'s, say).
    ///
    /// # Errors
    /// As [`Peer::start`].
    pub async fn through(
        cluster: &Cluster,
        number: u8,
        behaviour: Behaviour,
        attester: SocketAddr,
    ) -> anyhow::Result<Self> {
        Self::with(cluster, number, behaviour, attester, cluster.exit()).await
    }

    /// A peer that registers the address of `victim`, who is no peer.
    ///
    /// # Errors
    /// As [`Peer::start`].
    pub async fn claiming(cluster: &Cluster, number: u8, victim: SocketAddr) -> anyhow::Result<Self> {
        let behaviour = Behaviour::ClaimsAnotherAddress;
        Self::with(cluster, number, behaviour, cluster.addresses().session, Some(victim)).await
    }

    async fn with(
        cluster: &Cluster,
        number: u8,
        behaviour: Behaviour,
        attester: SocketAddr,
        other: Option<SocketAddr>,
    ) -> anyhow::Result<Self> {
        let mut parts = behaviour.parts(cluster.options());
        let hostile_behind = cluster.options().hostile_behind.clone();
        if hostile_behind.is_some() {
            parts.since = Stage::Registered;
        }
        let port = match behaviour {
            Behaviour::OtherPort => cluster.ports().other(),
            _ => cluster.port(),
        };
        let address = ports::address(number, port);
        let elsewhere = parts.agency == Agency::Elsewhere || parts.bend == Some(Bend::Elsewhere);
        anyhow::ensure!(
            !elsewhere || other.is_some(),
            "{behaviour} needs an honest peer: start that first"
        );
        let folder = folder(cluster, number, behaviour);
        let key = Identity::File(folder.join(KEY_FILE)).key(&mut rand::rng())?;
        let plan = Plan {
            id: key.public().peer_id(),
            root: cluster.root(),
            proxy_host: cluster.options().proxy_host.clone(),
            also: hostile_behind.map(|passed| Behind {
                passed,
                host: key.public().peer_id().own_name(&cluster.options().zone),
            }),
            recorded: Recorded::default(),
            number,
            behaviour,
            parts,
            address,
            folder,
            key,
            attester,
            other,
        };
        let mut peer = Self { plan, running: None };
        peer.restart().await?;
        if behaviour.is_honest() && parts.token.is_none() {
            cluster.add_exit(address);
        }
        Ok(peer)
    }

    /// A peer that has the identity of another: its key, and nothing else.
    ///
    /// # Errors
    /// As [`Peer::start`].
    pub async fn with_key(
        cluster: &Cluster,
        number: u8,
        behaviour: Behaviour,
        key: &SigningKey,
    ) -> anyhow::Result<Self> {
        let folder = folder(cluster, number, behaviour);
        std::fs::create_dir_all(&folder)?;
        key.write_new(&folder.join(KEY_FILE))?;
        Self::start(cluster, number, behaviour).await
    }

    /// Moves its identity to a new key while it is stopped, as `peer-agent keys rotate` does. Gives the old one.
    ///
    /// # Errors
    /// When it runs, or its files cannot be written.
    pub fn rotate_key(&mut self) -> anyhow::Result<SigningKey> {
        let path = self.plan.folder.join(KEY_FILE);
        identity::rotate(&path, Clock::system().now(), &mut rand::rng())?;
        let new = SigningKey::read(&path)?;
        self.plan.id = new.public().peer_id();
        Ok(std::mem::replace(&mut self.plan.key, new))
    }

    /// Its number.
    pub const fn number(&self) -> u8 {
        self.plan.number
    }

    /// What it does.
    pub const fn behaviour(&self) -> Behaviour {
        self.plan.behaviour
    }

    /// Where it is; [`Behaviour::ClaimsAnotherAddress`] registers another address than that.
    pub const fn address(&self) -> SocketAddr {
        self.plan.address
    }

    /// Where its keys are.
    pub(crate) fn folder(&self) -> &Path {
        &self.plan.folder
    }

    /// Its id.
    pub const fn id(&self) -> &PeerId {
        &self.plan.id
    }

    /// Its key.
    pub fn key(&self) -> SigningKey {
        self.plan.key.clone()
    }

    /// What its agent was told; `None` for a rogue or a peer that is stopped.
    pub fn standing(&self) -> Option<Standing> {
        Some(self.running.as_ref()?.agent.as_ref()?.standing())
    }

    /// Its host asks for a probe.
    ///
    /// # Errors
    /// When it has no agent.
    pub fn retest(&self) -> anyhow::Result<()> {
        let agent = self.running.as_ref().and_then(|running| running.agent.as_ref());
        agent.context("no agent")?.retest();
        Ok(())
    }

    /// How many sessions a rogue has opened since it was started; `None` for those with a real agent.
    pub fn sessions(&self) -> Option<usize> {
        Some(self.running.as_ref()?.sessions.as_ref()?.load(Ordering::Relaxed))
    }

    /// Whether it runs.
    pub const fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Stops it as a host program should: with a goodbye. (A rogue says none.)
    pub async fn stop(&mut self) {
        let Some(Running {
            island,
            agent,
            stop,
            give,
            ..
        }) = self.running.take()
        else {
            return;
        };
        if let Some(agent) = agent {
            agent.stop().await;
        }
        stop.cancel();
        // A server that panicked has said so.
        let _ = give.await;
        island.kill().await;
    }

    /// Throws its TLS key away; the next start makes another, with another pin.
    ///
    /// # Errors
    /// When there is none.
    pub fn forget_tls_key(&self) -> std::io::Result<()> {
        std::fs::remove_file(self.plan.folder.join("tls.key"))
    }

    /// Ends it without goodbye: when this returns, all its sockets are closed.
    pub async fn stop_gone(&mut self) {
        if let Some(running) = self.running.take() {
            running.island.kill().await;
        }
    }

    /// Starts it again with the same keys at the same address, after stopping it if it runs.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.stop().await;
        let island = Island::new(&format!("peer-{}", self.plan.number), 1)?;
        let plan = self.plan.clone();
        let booted = island.spawn(Box::pin(plan.boot())).await;
        let Booted {
            agent,
            stop,
            give,
            sessions,
        } = booted
            .context("a peer panicked")?
            .with_context(|| format!("cannot start {self}"))?;
        self.running = Some(Running {
            island,
            agent,
            stop,
            give,
            sessions,
        });
        Ok(())
    }
}

fn folder(cluster: &Cluster, number: u8, behaviour: Behaviour) -> PathBuf {
    cluster.folder().join(format!("peer-{number}-{behaviour}"))
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "peer {} ({}, {})",
            self.plan.number, self.plan.behaviour, self.plan.address
        )
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

const KEY_FILE: &str = "peer.key";
