//! Changes every stored byte in turn and looks whether anything is restored.

use std::path::Path;

use anyhow::{Context, ensure};
use attester::{
    app,
    config::Config,
    records::Desired,
    run::restore::{Terms, life_of},
    store::Store,
    verify::Trust,
    zone::{self, Shown, ZonePlan},
};
use proto::time::{Clock, Timestamp};
use sqlx::{
    Connection, Row, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteSynchronous},
};

/// Fails when the store of `config`, with any one byte of the evidence or of the row's identity changed, still gives a record
/// in the rotation; and when, with nothing changed, it gives none.
pub(super) async fn none_is_restored(config: &Path, root: &str) -> anyhow::Result<()> {
    let config = Config::load(config)?;
    let policy = app::policy(&config);
    let case = Case {
        store: Store::open(&config.state_file()).await?,
        terms: Terms {
            trust: Trust::of_root(root.parse()?),
            demands: policy.demands,
            rules: policy.rules,
        },
        zone: policy.zone,
        now: Clock::system().now(),
    };
    let options = SqliteConnectOptions::new()
        .filename(config.state_file())
        .synchronous(SqliteSynchronous::Off);
    let mut direct = SqliteConnection::connect_with(&options).await?;
    ensure!(
        case.restores().await?,
        "the untouched store restores nothing: the test would prove nothing"
    );

    let probes = sqlx::query("SELECT probe_id, evidence FROM probes ORDER BY seq DESC LIMIT 3")
        .fetch_all(&mut direct)
        .await?;
    ensure!(probes.len() == 3, "an admission has three proofs");
    let mut flipped = 0_usize;
    for row in &probes {
        let (id, evidence): (Vec<u8>, Vec<u8>) = (row.get(0), row.get(1));
        for at in 0..evidence.len() {
            let mut changed = evidence.clone();
            changed[at] ^= 1 << (at % 8);
            write_evidence(&mut direct, &id, &changed).await?;
            ensure!(
                !case.restores().await?,
                "restored with byte {at} of {} changed",
                evidence.len()
            );
            flipped += 1;
        }
        write_evidence(&mut direct, &id, &evidence).await?;
    }
    ensure!(flipped > 6_000, "only {flipped} bytes were there to change");
    for column in ["peer_id", "key", "address", "pin", "protocols", "standing"] {
        columns_hold(&case, &mut direct, column).await?;
    }
    ensure!(case.restores().await?, "the store was not put back as it was");
    Ok(())
}

/// The same for one column of the peer's row.
async fn columns_hold(case: &Case, direct: &mut SqliteConnection, column: &str) -> anyhow::Result<()> {
    sqlx::query("PRAGMA foreign_keys = OFF").execute(&mut *direct).await?;
    let select = sqlx::AssertSqlSafe(format!("SELECT CAST({column} AS BLOB), typeof({column}) FROM peers"));
    let row = sqlx::query(select).fetch_one(&mut *direct).await?;
    let (value, kind): (Vec<u8>, String) = (row.get(0), row.get(1));
    ensure!(!value.is_empty(), "{column} is empty");
    for at in 0..value.len() {
        let mut changed = value.clone();
        changed[at] ^= 1;
        // A schema that refuses the change is as good as a reader that does.
        if write_column(direct, column, &kind, &changed).await.is_ok() {
            ensure!(!case.restores().await?, "restored with byte {at} of {column} changed");
        }
        write_column(direct, column, &kind, &value).await?;
    }
    Ok(())
}

struct Case {
    store: Store,
    terms: Terms,
    zone: ZonePlan,
    now: Timestamp,
}

impl Case {
    /// Whether what the store holds puts anybody into the rotation.
    async fn restores(&self) -> anyhow::Result<bool> {
        let mut lives = Vec::new();
        for row in self.store.peers().await?.rows {
            lives.extend(life_of(&self.store, &row, &self.terms, self.now).await?);
        }
        let shown = lives.iter().map(|life| Shown { life, admitted: true });
        let desired: Desired = zone::desired(shown, &self.zone, self.now);
        Ok(desired.rotation(&self.zone.rotation).is_some())
    }
}

async fn write_evidence(direct: &mut SqliteConnection, probe: &[u8], evidence: &[u8]) -> anyhow::Result<()> {
    let done = sqlx::query("UPDATE probes SET evidence = ? WHERE probe_id = ?")
        .bind(evidence)
        .bind(probe);
    let done = done.execute(direct).await.context("cannot change the evidence")?;
    ensure!(done.rows_affected() == 1);
    Ok(())
}

async fn write_column(direct: &mut SqliteConnection, column: &str, kind: &str, value: &[u8]) -> anyhow::Result<()> {
    let cast = if kind == "text" { "CAST(? AS TEXT)" } else { "?" };
    let update = sqlx::AssertSqlSafe(format!("UPDATE peers SET {column} = {cast}"));
    sqlx::query(update)
        .bind(value)
        .execute(direct)
        .await
        .with_context(|| format!("cannot change {column}"))?;
    Ok(())
}
