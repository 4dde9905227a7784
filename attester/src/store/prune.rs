//! Forgetting: evidence is kept for a time, up to a number for each peer and a size for all, unless a lease rests on it.
//!
//! A run is bounded, so that the store is never away from decisions for long: what is left is the next run's. The space goes
//! back to the system in steps as well (`auto_vacuum = INCREMENTAL`), all but a little that the next probes take again.

use std::{collections::BTreeSet, time::Duration};

use proto::{ids::ProbeId, time::Timestamp};
use sqlx::Row;

use super::{Statement, Store, StoreError, Tx, rows::micros};

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Probes for each peer, those of its earlier keys included.
    pub per_peer: usize,
    /// How long a probe is kept, and a peer of which there is no probe any more.
    pub age: Duration,
    /// Bytes of evidence of all probes together. The oldest of whoever has most go first, so that nobody can crowd others out.
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
    /// Bytes of their evidence.
    pub bytes: u64,
    /// Peers.
    pub peers: u64,
    /// Whether there may be more to forget: the run ended at its bound.
    pub more: bool,
}

/// How much evidence there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Probes.
    pub probes: u64,
    /// Bytes of their evidence.
    pub bytes: u64,
    /// Bytes of the state file, free pages in it included.
    pub file_bytes: u64,
}

impl Store {
    /// Deletes what need not be kept at `now`, a bounded number of probes at a time. The probes of `keep` stay in any case:
    /// live leases rest on them. They count towards the size, so that others go for them.
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
        let mut tx = self.tx("prune").await?;
        let mut pruned = Pruned::default();
        tx.forget(&mut pruned, sqlx::query(TOO_OLD).bind(cutoff), &keep).await?;
        let per_peer = i64::try_from(retention.per_peer).unwrap_or(i64::MAX);
        tx.forget(&mut pruned, sqlx::query(TOO_MANY).bind(per_peer), &keep)
            .await?;
        let excess = tx.stored().await?.bytes.saturating_sub(retention.total_bytes);
        if excess > 0 {
            let excess = i64::try_from(excess).unwrap_or(i64::MAX);
            tx.forget(&mut pruned, sqlx::query(TOO_LARGE).bind(excess), &keep)
                .await?;
        }
        pruned.peers = tx.execute(sqlx::query(GONE).bind(cutoff)).await?;
        tx.commit().await?;
        if pruned.probes > 0 {
            self.shrink().await?;
        }
        Ok(pruned)
    }

    /// How much evidence there is.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn stored(&self) -> Result<Stored, StoreError> {
        let mut tx = self.read("stored").await?;
        let stored = tx.stored().await?;
        tx.commit().await?;
        Ok(stored)
    }

    /// Gives free pages back to the system, a bounded number at a time, but for a little slack.
    async fn shrink(&self) -> Result<(), StoreError> {
        let mut tx = self.tx("shrink").await?;
        let sql = "SELECT (SELECT freelist_count FROM pragma_freelist_count) AS free, (SELECT page_count FROM pragma_page_count) AS pages";
        let row = tx.row(sqlx::query(sql)).await?;
        let number = |column| {
            row.as_ref()
                .and_then(|row| row.try_get::<i64, _>(column).ok())
                .unwrap_or(0)
        };
        let (free, pages) = (number("free"), number("pages"));
        if free > (pages / SLACK).max(LEAST_SLACK) {
            tx.rows(sqlx::query(SHRINK)).await?;
        }
        tx.commit().await
    }
}

impl Tx {
    /// Carries out one of the statements below, whose first value is bound already.
    async fn forget(&mut self, pruned: &mut Pruned, statement: Statement<'_>, keep: &str) -> Result<(), StoreError> {
        let left = AT_ONCE.saturating_sub(pruned.probes);
        let statement = statement.bind(keep).bind(i64::try_from(left).unwrap_or(i64::MAX));
        for row in self.rows(statement).await? {
            let bytes: i64 = row.try_get("bytes").map_err(|source| self.failed(source))?;
            pruned.probes += 1;
            pruned.bytes += u64::try_from(bytes).unwrap_or(0);
        }
        pruned.more = pruned.probes >= AT_ONCE;
        Ok(())
    }

    async fn stored(&mut self) -> Result<Stored, StoreError> {
        let row = self.row(sqlx::query(STORED)).await?;
        let number = |column| {
            let number = row.as_ref().map_or(Ok(0), |row| row.try_get::<i64, _>(column));
            number.map(|number| u64::try_from(number).unwrap_or(0))
        };
        let failed = |source| self.failed(source);
        Ok(Stored {
            probes: number("probes").map_err(failed)?,
            bytes: number("bytes").map_err(failed)?,
            file_bytes: number("file_bytes").map_err(failed)?,
        })
    }
}

// From the index alone, as below.
pub(super) const STORED: &str = "
    SELECT count(*) AS probes, coalesce(sum(length(evidence)), 0) AS bytes,
        (SELECT page_count FROM pragma_page_count) * (SELECT page_size FROM pragma_page_size) AS file_bytes
    FROM probes INDEXED BY probes_by_peer";

// ?1 is each one's own figure, ?2 the ids that stay, as JSON, ?3 how many may go.

const TOO_OLD: &str = "
    WITH kept AS MATERIALIZED (SELECT seq FROM probes, json_each(?2) WHERE probe_id = unhex(value))
    DELETE FROM probes WHERE seq IN (
        SELECT seq FROM probes WHERE at < ?1 AND seq NOT IN kept ORDER BY at LIMIT ?3)
    RETURNING length(evidence) AS bytes";

const TOO_MANY: &str = "
    WITH kept AS MATERIALIZED (SELECT seq FROM probes, json_each(?2) WHERE probe_id = unhex(value))
    DELETE FROM probes WHERE seq IN (
        SELECT seq FROM (
            SELECT probes.seq, row_number() OVER (
                PARTITION BY coalesce(head, peer_id) ORDER BY probes.seq DESC) AS nth
            FROM probes LEFT JOIN successions ON old_peer = peer_id)
        WHERE nth > ?1 AND seq NOT IN kept LIMIT ?3)
    RETURNING length(evidence) AS bytes";

// The sizes come from the index alone, or each run would read the whole file: SQLite sees that only without a join.
pub(super) const TOO_LARGE: &str = "
    WITH kept AS MATERIALIZED (SELECT seq FROM probes, json_each(?2) WHERE probe_id = unhex(value)),
    ranked AS (
        SELECT sizes.seq AS seq, size, row_number() OVER (
            PARTITION BY coalesce(head, peer_id) ORDER BY sizes.seq DESC) AS nth
        FROM (SELECT peer_id, seq, length(evidence) AS size FROM probes INDEXED BY probes_by_peer) AS sizes
        LEFT JOIN successions ON old_peer = peer_id)
    DELETE FROM probes WHERE seq IN (
        SELECT seq FROM (
            SELECT seq, nth, sum(size) OVER (ORDER BY nth DESC, seq) - size AS before
            FROM ranked WHERE seq NOT IN kept)
        WHERE before < ?1 ORDER BY nth DESC, seq LIMIT ?3)
    RETURNING length(evidence) AS bytes";

const GONE: &str = "
    DELETE FROM peers
    WHERE last_seen < ? AND NOT EXISTS (SELECT 1 FROM probes WHERE probes.peer_id = peers.peer_id)";

/// 16 MiB at most at a time.
const SHRINK: &str = "PRAGMA incremental_vacuum(4096)";
/// Probes that one run forgets at most.
const AT_ONCE: u64 = 1000;
/// The part of the file that may be free pages, and how many may be in any case.
const SLACK: i64 = 16;
const LEAST_SLACK: i64 = 64;
