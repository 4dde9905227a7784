//! Forgetting: evidence is kept for a time, up to a number for each peer and a size for all, unless a lease rests on it.

use std::{collections::BTreeSet, time::Duration};

use proto::{ids::ProbeId, time::Timestamp};

use super::{Store, StoreError, rows::micros};

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Probes for each peer.
    pub per_peer: usize,
    /// How long a probe is kept, and a peer of which there is no probe any more.
    pub age: Duration,
    /// Bytes of evidence of all probes together; the oldest go first.
    pub total_bytes: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            per_peer: 200,
            age: Duration::from_secs(30 * 24 * 3600),
            total_bytes: 1 << 30,
        }
    }
}

/// What was forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Probes.
    pub probes: u64,
    /// Peers.
    pub peers: u64,
}

impl Store {
    /// Deletes what need not be kept at `now`. The probes of `keep` stay in any case: live leases rest on them.
    ///
    /// # Errors
    /// When the transaction fails; nothing is deleted then.
    pub async fn prune(
        &self,
        now: Timestamp,
        retention: &Retention,
        keep: &BTreeSet<ProbeId>,
    ) -> Result<Pruned, StoreError> {
        let cutoff = micros(now.minus(retention.age));
        let keep: Vec<String> = keep.iter().map(|probe| format!("\"{probe}\"")).collect();
        let keep = format!("[{}]", keep.join(","));
        let statement = sqlx::query(
            "DELETE FROM probes WHERE seq IN (
                SELECT seq FROM (
                    SELECT seq, at, probe_id,
                        row_number() OVER (PARTITION BY peer_id ORDER BY seq DESC) AS nth,
                        sum(length(evidence)) OVER (ORDER BY seq DESC) AS bytes
                    FROM probes)
                WHERE at < ?1 OR nth > ?2 OR bytes > ?3)
            AND probe_id NOT IN (SELECT unhex(value) FROM json_each(?4))",
        );
        let statement = statement
            .bind(cutoff)
            .bind(i64::try_from(retention.per_peer).unwrap_or(i64::MAX))
            .bind(i64::try_from(retention.total_bytes).unwrap_or(i64::MAX))
            .bind(keep);
        let mut tx = self.tx("prune").await?;
        let probes = tx.execute(statement).await?;
        let sql = "DELETE FROM peers WHERE last_seen < ? AND NOT EXISTS (SELECT 1 FROM probes WHERE probes.peer_id = peers.peer_id)";
        let peers = tx.execute(sqlx::query(sql).bind(cutoff)).await?;
        tx.commit().await?;
        Ok(Pruned { probes, peers })
    }
}
