//! What an attester has written down about its probes, read from its state file beside it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use sqlx::{Connection, Row, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::runtime::Runtime;

/// A state file, open for reading.
pub(crate) struct Tally {
    runtime: Runtime,
    path: PathBuf,
}

/// The probes concluded after a place.
#[derive(Clone, Debug, Default)]
pub(crate) struct Probes {
    /// The last one's place.
    pub(crate) last: i64,
    pub(crate) proved: usize,
    /// All others, by reason.
    pub(crate) others: BTreeMap<String, usize>,
    /// Microseconds until the last byte had come back through the tunnel, of the proved ones.
    pub(crate) complete: Vec<f64>,
    /// Microseconds until the receipt was there.
    pub(crate) receipt: Vec<f64>,
}

impl Tally {
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        Ok(Self {
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
            path: path.to_owned(),
        })
    }

    /// What was concluded after `place`, 0 for everything.
    pub(crate) fn after(&self, place: i64) -> anyhow::Result<Probes> {
        self.runtime.block_on(self.read(place))
    }

    async fn read(&self, place: i64) -> anyhow::Result<Probes> {
        let options = SqliteConnectOptions::new().filename(&self.path).read_only(true);
        let mut file = SqliteConnection::connect_with(&options).await?;
        let sql = "SELECT seq, outcome, coalesce(reason, '') AS reason,
                json_extract(phases, '$.complete') AS complete, json_extract(phases, '$.receipt') AS receipt
            FROM probes WHERE seq > ? ORDER BY seq";
        let rows = sqlx::query(sql).bind(place).fetch_all(&mut file).await?;
        file.close().await?;
        let mut probes = Probes {
            last: place,
            ..Probes::default()
        };
        for row in rows {
            probes.last = row.try_get("seq")?;
            if row.try_get::<String, _>("outcome")? == "proved" {
                probes.proved += 1;
                probes.complete.push(row.try_get::<i64, _>("complete")? as f64);
                probes.receipt.push(row.try_get::<i64, _>("receipt")? as f64);
            } else {
                *probes.others.entry(row.try_get("reason")?).or_default() += 1;
            }
        }
        Ok(probes)
    }
}
