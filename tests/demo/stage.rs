//! The attester, the peers, and what is seen of them: their records in the attester's state file and the rotation in its DNS.

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use anyhow::Context;
use harness::{Cluster, Options, Peer, Record, Watcher};
use tokio::time::Instant;

use crate::cast::{Role, SWITCHED_OFF};

/// Everything that runs.
pub(crate) struct Stage {
    cluster: Cluster,
    cast: Vec<Role>,
    /// Those of the cast who have started, in its order.
    peers: Vec<Peer>,
    watcher: Option<Watcher>,
    began: Instant,
    /// Who is switched off, by its place in the cast.
    away: Option<usize>,
    /// The numbers of those whom the rotation has ever shown.
    shown: BTreeSet<u8>,
    records: Vec<Record>,
    rotation: BTreeSet<IpAddr>,
}

impl Stage {
    /// Starts the attester.
    pub(crate) async fn open(cast: Vec<Role>) -> anyhow::Result<Self> {
        let began = Instant::now();
        let cluster = Box::pin(Cluster::start(Options::demo()))
            .await
            .context("the attester does not start")?;
        let watcher = Some(cluster.watch());
        Ok(Self {
            cluster,
            cast,
            peers: Vec::new(),
            watcher,
            began,
            away: None,
            shown: BTreeSet::new(),
            records: Vec::new(),
            rotation: BTreeSet::new(),
        })
    }

    /// Starts the next peer of the cast; false when all have started.
    pub(crate) async fn enter(&mut self) -> anyhow::Result<bool> {
        let Some(role) = self.cast.get(self.peers.len()) else {
            return Ok(false);
        };
        let peer = Box::pin(Peer::start(&self.cluster, role.number, role.plays)).await;
        self.peers.push(peer.with_context(|| format!("{role} does not start"))?);
        Ok(true)
    }

    /// Reads the records and asks for the rotation.
    pub(crate) async fn look(&mut self) -> anyhow::Result<()> {
        let peers: Vec<&Peer> = self.peers.iter().collect();
        self.records = self
            .cluster
            .records(&peers)
            .await
            .context("the attester's records cannot be read")?;
        self.rotation = self
            .cluster
            .rotation()
            .await
            .context("the rotation cannot be asked for")?;
        // One answer for everything that is said about this moment.
        for (role, record) in self.cast.iter().zip(&mut self.records) {
            record.in_rotation = self.rotation.contains(&role.ip());
        }
        let shown = self.cast.iter().filter(|role| self.rotation.contains(&role.ip()));
        self.shown.extend(shown.map(|role| role.number));
        Ok(())
    }

    /// Switches one honest peer off: gone without goodbye.
    pub(crate) async fn switch_off(&mut self) {
        let place = self.switched();
        if let Some(peer) = self.peers.get_mut(place) {
            peer.stop_gone().await;
            self.away = Some(place);
        }
    }

    /// Starts it again.
    pub(crate) async fn switch_on(&mut self) -> anyhow::Result<()> {
        if let Some(peer) = self.away.take().and_then(|place| self.peers.get_mut(place)) {
            Box::pin(peer.restart()).await?;
        }
        Ok(())
    }

    /// Who is switched off and on, by its place in the cast.
    pub(crate) fn switched(&self) -> usize {
        self.cast
            .iter()
            .position(|role| role.behaviour == SWITCHED_OFF)
            .unwrap_or_default()
    }

    /// Everybody with what was last seen of them; without a record as long as they have not started.
    pub(crate) fn seen(&self) -> impl Iterator<Item = (&Role, Option<&Record>)> {
        let records = self.records.iter().map(Some).chain(std::iter::repeat(None));
        self.cast.iter().zip(records)
    }

    /// The rotation as DNS last showed it.
    pub(crate) const fn rotation(&self) -> &BTreeSet<IpAddr> {
        &self.rotation
    }

    /// Whether the rotation has ever shown this peer.
    pub(crate) fn was_shown(&self, role: &Role) -> bool {
        self.shown.contains(&role.number)
    }

    /// Whether this peer is switched off.
    pub(crate) fn is_away(&self, role: &Role) -> bool {
        self.away
            .and_then(|place| self.cast.get(place))
            .is_some_and(|away| away.number == role.number)
    }

    /// Time since the beginning.
    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// The cast.
    pub(crate) fn cast(&self) -> &[Role] {
        &self.cast
    }

    /// The peers that have started, in the cast's order.
    pub(crate) fn peers(&self) -> &[Peer] {
        &self.peers
    }

    /// The attester.
    pub(crate) const fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Who was ever in the rotation and never should have been, in words. Beside the looks of the steps somebody has asked for
    /// it many times a second; that ends here.
    pub(crate) async fn intruders(&mut self) -> Vec<String> {
        let Some(watcher) = self.watcher.take() else {
            return Vec::new();
        };
        match watcher.finish().await {
            Err(error) => vec![format!("{error:#}")],
            Ok(seen) => {
                let may_enter = |ip: &IpAddr| self.cast.iter().any(|role| role.ip() == *ip && role.may_enter());
                let intruders = seen.ever.iter().filter(|ip| !may_enter(ip));
                intruders
                    .map(|ip| format!("the rotation has once shown {ip}, which never should be in it"))
                    .collect()
            }
        }
    }

    /// Ends everything; when this returns, nothing runs and the temporary folder is gone.
    pub(crate) async fn close(mut self) {
        // Whoever was interrupted has not asked for the watcher's findings.
        let _ = self.intruders().await;
        for mut peer in self.peers {
            peer.stop_gone().await;
        }
        // An attester that panicked has said so.
        let _ = self.cluster.stop().await;
    }
}
