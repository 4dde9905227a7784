//! Refused registrations: a ring, so that strangers can make it neither long nor large.

use super::{
    Loaded, RejectionRow, Store, StoreError,
    rows::{bounded, micros},
};

impl Store {
    /// Records a refused registration in place of the oldest of [`Store::MOST_REJECTIONS`].
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn record_rejection(&self, rejection: &RejectionRow) -> Result<(), StoreError> {
        self.record_rejections(std::slice::from_ref(rejection)).await
    }

    /// Records several in one transaction. Each transaction waits for the disk, and strangers decide how many
    /// rejections there are, so a caller drains a bounded queue into this.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn record_rejections(&self, rejections: &[RejectionRow]) -> Result<(), StoreError> {
        // More than the ring holds would overwrite each other.
        let latest = rejections.len().saturating_sub(Self::MOST_REJECTIONS);
        let Some(rejections) = rejections.get(latest..).filter(|some| !some.is_empty()) else {
            return Ok(());
        };
        let mut tx = self.tx("record-rejections").await?;
        for rejection in rejections {
            let statement = sqlx::query(
                "INSERT OR REPLACE INTO rejections (slot, n, at, source, peer_id, reason, detail)
                SELECT next % ?1, next, ?2, ?3, ?4, ?5, ?6 FROM (SELECT coalesce(max(n), 0) + 1 AS next FROM rejections)",
            );
            let statement = statement
                .bind(i64::try_from(Self::MOST_REJECTIONS).unwrap_or(i64::MAX))
                .bind(micros(rejection.at))
                .bind(rejection.source.to_string())
                .bind(rejection.peer.as_ref().map(|peer| peer.as_str()))
                .bind(rejection.reason.code())
                .bind(bounded(&rejection.detail));
            tx.execute(statement).await?;
        }
        tx.commit().await
    }

    /// The latest rejections, newest first.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn rejections(&self, limit: usize) -> Result<Loaded<RejectionRow>, StoreError> {
        let mut tx = self.read("rejections").await?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let sql = "SELECT *, CAST(n AS TEXT) AS id FROM rejections ORDER BY n DESC LIMIT ?";
        let rows = tx.rows(sqlx::query(sql).bind(limit)).await?;
        tx.commit().await?;
        Ok(Loaded::from_rows(&rows, "id", RejectionRow::read))
    }

    /// How many rejections are kept.
    pub const MOST_REJECTIONS: usize = 1000;
}
