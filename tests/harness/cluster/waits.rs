//! Waits for what the attester's records and its DNS say.

use std::{collections::BTreeSet, net::IpAddr};

use attester::{model::Reason, store::ProbeRow};

use super::Cluster;
use crate::{behaviour::Fate, peer::Peer, records::Record, wait::Patience};

impl Cluster {
    /// Waits until exactly these addresses are in the rotation.
    ///
    /// # Errors
    /// At the deadline, with who is in it.
    pub async fn wait_rotation(&self, expected: &BTreeSet<IpAddr>) -> anyhow::Result<()> {
        let patience = Patience::new();
        loop {
            // A name server that does not answer may be one that is starting.
            let shown = self.rotation().await;
            if shown.as_ref().is_ok_and(|shown| shown == expected) {
                return Ok(());
            }
            if !patience.lasts().await {
                anyhow::bail!("the rotation is {shown:?}, and should have become {expected:?}");
            }
        }
    }

    /// Waits until exactly these peers are in the rotation.
    ///
    /// # Errors
    /// As [`Cluster::wait_rotation`].
    pub async fn wait_rotation_of(&self, peers: &[&Peer]) -> anyhow::Result<()> {
        self.wait_rotation(&peers.iter().map(|peer| peer.address().ip()).collect())
            .await
    }

    /// Waits until the attester's record of a peer says what it should.
    ///
    /// # Errors
    /// At the deadline, with the record and the last probes.
    pub async fn wait_record(
        &self,
        peer: &Peer,
        wanted: &str,
        fits: impl Fn(&Record) -> bool,
    ) -> anyhow::Result<Record> {
        let patience = Patience::new();
        loop {
            let record = self.record(peer).await;
            match record {
                Ok(record) if fits(&record) => return Ok(record),
                record => {
                    if !patience.lasts().await {
                        let shown = record
                            .map(|record| record.to_string())
                            .unwrap_or_else(|error| format!("{error:#}"));
                        anyhow::bail!(
                            "{peer} should have become {wanted}, and is {shown}{}",
                            self.history(peer).await
                        );
                    }
                }
            }
        }
    }

    /// Waits until a peer has this standing.
    ///
    /// # Errors
    /// As [`Cluster::wait_record`].
    pub async fn wait_standing(&self, peer: &Peer, standing: &str) -> anyhow::Result<Record> {
        self.wait_record(peer, standing, |record| record.standing == standing)
            .await
    }

    /// Waits until a peer is refused or rejected for this reason.
    ///
    /// # Errors
    /// As [`Cluster::wait_record`].
    pub async fn wait_refused(&self, peer: &Peer, reason: Reason) -> anyhow::Result<Record> {
        let fits = |record: &Record| {
            ["refused", "rejected"].contains(&record.standing.as_str()) && record.reason == Some(reason)
        };
        self.wait_record(peer, &format!("refused for {reason}"), fits).await
    }

    /// Waits until a peer's probes, newest first, are as they should be.
    ///
    /// # Errors
    /// At the deadline, with the last probes.
    pub async fn wait_probes(
        &self,
        peer: &Peer,
        wanted: &str,
        fits: impl Fn(&[ProbeRow]) -> bool,
    ) -> anyhow::Result<Vec<ProbeRow>> {
        let patience = Patience::new();
        loop {
            match self.probes(peer).await {
                Ok(probes) if fits(&probes) => return Ok(probes),
                _ if patience.lasts().await => {}
                _ => anyhow::bail!("{peer} should have had {wanted}, and has{}", self.history(peer).await),
            }
        }
    }

    /// Waits until a peer has the fate that its behaviour deserves, in the records and in the rotation.
    ///
    /// # Errors
    /// As [`Cluster::wait_record`].
    pub async fn wait_fate(&self, peer: &Peer) -> anyhow::Result<Record> {
        let fate = peer.behaviour().fate();
        let fits = |record: &Record| {
            fate.standing().is_none_or(|standing| record.standing == standing)
                && record.reason == fate.reason()
                && record.in_rotation == (fate == Fate::Admitted)
        };
        self.wait_record(peer, &format!("{fate:?}"), fits).await
    }

    /// A peer's probes in words, for a test that fails.
    async fn history(&self, peer: &Peer) -> String {
        let probes = self.probes(peer).await.unwrap_or_default();
        let line = |probe: &ProbeRow| {
            let reason = probe.reason.map_or("-", Reason::code);
            format!(
                "\n  {} {} {} B {} {reason} ({}) {}",
                probe.at, probe.route, probe.body, probe.outcome, probe.detail, probe.phases
            )
        };
        probes.iter().take(10).map(line).collect()
    }
}
