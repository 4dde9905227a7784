//! Probes: recorded with what follows from them for the peer, once and for all.

use proto::{
    evidence::Evidence,
    ids::{Nonce, PeerId, ProbeId},
};
use sqlx::{Row, sqlite::SqliteRow};

use super::{
    Loaded, PeerRow, ProbeRow, Recorded, Store, StoreError, StoredEvidence, Tx,
    rows::{bounded, micros},
};

impl Store {
    /// Records a probe and what its peer is now, in one transaction that is on the disk when this returns.
    ///
    /// # Errors
    /// [`StoreError::NonceSeen`] and [`StoreError::ProbeSeen`] when the nonce or the id is another probe's,
    /// [`StoreError::TooLarge`], or when the transaction fails. Nothing is written then.
    pub async fn record_verdict(&self, peer: &PeerRow, probe: &ProbeRow) -> Result<Recorded, StoreError> {
        if probe.evidence.len() > Evidence::MAX_BYTES {
            return Err(StoreError::TooLarge {
                probe: probe.probe,
                length: probe.evidence.len(),
            });
        }
        let mut tx = self.tx("record-verdict").await?;
        if tx.is_stored(probe).await? {
            return Ok(Recorded::Again);
        }
        tx.write_peer(peer).await?;
        tx.write_probe(probe).await?;
        tx.commit().await?;
        Ok(Recorded::New)
    }

    /// Whether a stored probe has this nonce.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn nonce_seen(&self, nonce: &Nonce) -> Result<bool, StoreError> {
        let mut tx = self.read("nonce-seen").await?;
        let statement = sqlx::query("SELECT 1 FROM probes WHERE nonce = ?").bind(nonce.as_bytes().as_slice());
        let found = tx.row(statement).await?.is_some();
        tx.commit().await?;
        Ok(found)
    }

    /// The latest probes of a peer, newest first.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn probes(&self, peer: &PeerId, limit: usize) -> Result<Loaded<ProbeRow>, StoreError> {
        let sql = "SELECT *, lower(hex(probe_id)) AS id FROM probes WHERE peer_id = ?1 ORDER BY seq DESC LIMIT ?2";
        let rows = self.of_peer("probes", sql, peer, limit).await?;
        Ok(Loaded::from_rows(&rows, "id", ProbeRow::read))
    }

    /// The probes of a peer whose id begins with `prefix` (lower-case hexadecimal), newest first.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn probes_named(
        &self,
        peer: &PeerId,
        prefix: &str,
        limit: usize,
    ) -> Result<Loaded<ProbeRow>, StoreError> {
        let mut tx = self.read("probes-named").await?;
        let statement = sqlx::query(
            "SELECT *, lower(hex(probe_id)) AS id FROM probes
            WHERE peer_id = ?1 AND substr(lower(hex(probe_id)), 1, length(?2)) = ?2 ORDER BY seq DESC LIMIT ?3",
        );
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = tx.rows(statement.bind(peer.as_str()).bind(prefix).bind(limit)).await?;
        tx.commit().await?;
        Ok(Loaded::from_rows(&rows, "id", ProbeRow::read))
    }

    /// Whether another stored probe than `probe` has this nonce.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn nonce_in_another(&self, nonce: &Nonce, probe: &ProbeId) -> Result<bool, StoreError> {
        let mut tx = self.read("nonce-in-another").await?;
        let statement = sqlx::query("SELECT 1 FROM probes WHERE nonce = ?1 AND probe_id <> ?2")
            .bind(nonce.as_bytes().as_slice())
            .bind(probe.as_bytes().as_slice());
        let found = tx.row(statement).await?.is_some();
        tx.commit().await?;
        Ok(found)
    }

    /// The evidence of the latest probes of a peer that have any, newest first. Whatever else is stored of them may be
    /// damaged.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn recent_evidence(&self, peer: &PeerId, limit: usize) -> Result<Loaded<StoredEvidence>, StoreError> {
        let sql = "SELECT probe_id, at, evidence, lower(hex(probe_id)) AS id FROM probes
            WHERE peer_id = ?1 AND length(evidence) > 0 ORDER BY seq DESC LIMIT ?2";
        let rows = self.of_peer("recent-evidence", sql, peer, limit).await?;
        Ok(Loaded::from_rows(&rows, "id", StoredEvidence::read))
    }

    async fn of_peer(
        &self,
        name: &'static str,
        sql: &'static str,
        peer: &PeerId,
        limit: usize,
    ) -> Result<Vec<SqliteRow>, StoreError> {
        let mut tx = self.read(name).await?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = tx.rows(sqlx::query(sql).bind(peer.as_str()).bind(limit)).await?;
        tx.commit().await?;
        Ok(rows)
    }
}

impl Tx {
    /// Whether this very probe is stored.
    async fn is_stored(&mut self, probe: &ProbeRow) -> Result<bool, StoreError> {
        let statement = sqlx::query(
            "SELECT lower(hex(probe_id)) AS id, probe_id = ?1 AS same_probe, nonce = ?2 AS same_nonce,
                evidence = ?3 AS same_evidence
            FROM probes WHERE probe_id = ?1 OR nonce = ?2 ORDER BY same_nonce DESC",
        );
        let statement = statement
            .bind(probe.probe.as_bytes().as_slice())
            .bind(probe.nonce.as_bytes().as_slice())
            .bind(probe.evidence.as_slice());
        let Some(row) = self.row(statement).await? else {
            return Ok(false);
        };
        let is = |column| row.try_get::<bool, _>(column).map_err(|source| self.failed(source));
        match (is("same_probe")?, is("same_nonce")?, is("same_evidence")?) {
            (true, true, true) => Ok(true),
            (false, true, _) => {
                let earlier = row.try_get("id").map_err(|source| self.failed(source))?;
                Err(StoreError::NonceSeen {
                    probe: probe.probe,
                    earlier,
                })
            }
            _ => Err(StoreError::ProbeSeen { probe: probe.probe }),
        }
    }

    async fn write_probe(&mut self, probe: &ProbeRow) -> Result<(), StoreError> {
        let phases = probe
            .phases_text()
            .map_err(|error| self.failed(sqlx::Error::Encode(error.into())))?;
        let statement = sqlx::query(
            "INSERT INTO probes (probe_id, peer_id, at, protocol, path, body, outcome, reason, detail, phases, nonce, evidence)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        );
        let statement = statement
            .bind(probe.probe.as_bytes().as_slice())
            .bind(probe.peer.as_str())
            .bind(micros(probe.at))
            .bind(probe.route.protocol.as_str())
            .bind(probe.route.path.as_str())
            .bind(i64::try_from(probe.body).unwrap_or(i64::MAX))
            .bind(probe.outcome.as_str())
            .bind(probe.reason.map(|reason| reason.code()))
            .bind(bounded(&probe.detail))
            .bind(phases)
            .bind(probe.nonce.as_bytes().as_slice())
            .bind(probe.evidence.as_slice());
        self.execute(statement).await.map(|_| ())
    }
}
