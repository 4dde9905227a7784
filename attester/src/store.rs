//! What must survive a crash: peers, probes with their signed evidence, and the last rejections, in one SQLite file.
//!
//! Nothing here is believed after a restart because a row says so: standing is made again from the evidence (promise
//! P1), so the other columns are for listings. A verdict and what follows from it for the peer are one transaction
//! that is on the disk before it returns (promise P5). Every transaction has a name, which errors and traces carry. The
//! library's types do not leave this module.

use std::{fs::File, path::Path, sync::Arc, time::Duration};

use sqlx::{
    Sqlite, SqlitePool, Transaction,
    query::Query,
    sqlite::{SqliteArguments, SqliteRow},
};

use crate::metrics::Metrics;

mod error;
mod open;
mod peers;
mod probes;
mod prune;
mod rejections;
mod rows;
mod successions;

pub use error::StoreError;
pub use prune::{Pruned, Retention, Stored};
pub use rows::{BadRow, Loaded, Lookup, PeerRow, ProbeRow, Recorded, RejectionRow, StoredEvidence};
pub use successions::{Moved, SuccessionRow};

/// The state file, open. Clones share the one connection that writes.
#[derive(Clone, Debug)]
pub struct Store {
    pool: SqlitePool,
    path: Arc<Path>,
    /// Held so that no second attester writes; `None` when opened for reading.
    _lock: Option<Arc<File>>,
    metrics: Arc<Metrics>,
}

impl Store {
    /// Opens the state file for the attester, made with its folder when there is none, and brings its schema up to date.
    ///
    /// # Errors
    /// When another attester has it open, it is no state file, it is of a newer schema than this program knows, or
    /// the system refuses.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let lock = open::lock(path)?;
        let pool = open::writer(path).await?;
        Ok(Self {
            pool,
            path: path.into(),
            _lock: Some(Arc::new(lock)),
            metrics: Arc::default(),
        })
    }

    /// Opens the state file for listings, also while an attester writes. Nothing is created or migrated.
    ///
    /// # Errors
    /// When there is none, it is no state file, or its schema is older or newer than this program's.
    pub async fn open_read_only(path: &Path) -> Result<Self, StoreError> {
        let pool = open::reader(path).await?;
        Ok(Self {
            pool,
            path: path.into(),
            _lock: None,
            metrics: Arc::default(),
        })
    }

    /// Counts into these metrics; into its own, which nobody sees, without this.
    #[must_use]
    pub fn metered(mut self, metrics: Arc<Metrics>) -> Self {
        self.metrics = metrics;
        self
    }

    /// Closes the file in order. Dropping the store instead loses nothing that was recorded.
    pub async fn close(self) {
        self.pool.close().await;
    }

    /// Looks for damage in the whole file.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] with what is wrong.
    pub async fn check(&self) -> Result<(), StoreError> {
        use sqlx::Row;

        let mut tx = self.read("check").await?;
        let rows = tx.rows(sqlx::query("PRAGMA quick_check(5)")).await?;
        let findings: Vec<String> = rows.iter().map(|row| row.try_get(0).unwrap_or_default()).collect();
        tx.commit().await?;
        if findings == ["ok"] {
            return Ok(());
        }
        Err(StoreError::Damaged {
            path: self.path.to_path_buf(),
            detail: findings.join("; "),
        })
    }

    /// Begins a transaction that writes. It is undone when dropped without [`Tx::commit`].
    async fn tx(&self, name: &'static str) -> Result<Tx, StoreError> {
        self.begin(name, "BEGIN IMMEDIATE").await
    }

    /// Begins a transaction that only reads, and sees one state throughout.
    async fn read(&self, name: &'static str) -> Result<Tx, StoreError> {
        self.begin(name, "BEGIN").await
    }

    async fn begin(&self, name: &'static str, statement: &'static str) -> Result<Tx, StoreError> {
        let began = tokio::time::Instant::now();
        let inner = self
            .pool
            .begin_with(statement)
            .await
            .inspect_err(|_| self.metrics.transaction_failed(name))
            .map_err(|source| StoreError::transaction(name, source))?;
        Ok(Tx {
            name,
            began,
            inner,
            metrics: Arc::clone(&self.metrics),
        })
    }
}

/// One named transaction.
struct Tx {
    name: &'static str,
    began: tokio::time::Instant,
    inner: Transaction<'static, Sqlite>,
    metrics: Arc<Metrics>,
}

/// A statement with its values.
type Statement<'q> = Query<'q, Sqlite, SqliteArguments>;

impl Tx {
    /// Carries out a statement; how many rows it changed.
    async fn execute(&mut self, statement: Statement<'_>) -> Result<u64, StoreError> {
        let done = statement
            .execute(&mut *self.inner)
            .await
            .map_err(|source| self.failed(source))?;
        Ok(done.rows_affected())
    }

    async fn rows(&mut self, statement: Statement<'_>) -> Result<Vec<SqliteRow>, StoreError> {
        statement
            .fetch_all(&mut *self.inner)
            .await
            .map_err(|source| self.failed(source))
    }

    async fn row(&mut self, statement: Statement<'_>) -> Result<Option<SqliteRow>, StoreError> {
        statement
            .fetch_optional(&mut *self.inner)
            .await
            .map_err(|source| self.failed(source))
    }

    /// Ends it; what it wrote is on the disk when this returns.
    async fn commit(self) -> Result<(), StoreError> {
        let Self {
            name,
            began,
            inner,
            metrics,
        } = self;
        inner
            .commit()
            .await
            .inspect_err(|_| metrics.transaction_failed(name))
            .map_err(|source| StoreError::transaction(name, source))?;
        let elapsed: Duration = began.elapsed();
        metrics.transaction(name, elapsed);
        tracing::trace!(name, ?elapsed, "transaction");
        Ok(())
    }

    fn failed(&self, source: sqlx::Error) -> StoreError {
        self.metrics.transaction_failed(self.name);
        StoreError::transaction(self.name, source)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests;
