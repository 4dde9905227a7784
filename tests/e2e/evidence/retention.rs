//! However little is kept, what a restart needs is.

use std::time::Duration;

use anyhow::{Context, ensure};
use attester::{
    app,
    decide::VERIFIED,
    run::restore::{Terms, life_of},
    store::{PeerRow, Retention, Store},
    verify::Trust,
};
use harness::{Behaviour, Cluster, DEADLINE, Options, Peer};
use proto::time::Clock;
use tokio::time::{Instant, interval};

/// What the store holds of a peer, and whether it would make it a member.
async fn stored(cluster: &Cluster, peer: &Peer) -> anyhow::Result<(usize, bool)> {
    let config = cluster.config();
    let policy = app::policy(config);
    let store = Store::open_read_only(&config.state_file()).await?;
    let row: PeerRow = store
        .peers()
        .await?
        .rows
        .into_iter()
        .find(|row| row.id == *peer.id())
        .context("its row")?;
    let terms = Terms {
        trust: Trust::of_root(cluster.root()),
        demands: policy.demands,
        rules: policy.rules,
    };
    let now = Clock::system().now();
    let life = life_of(&store, &row, &terms, now).await?.context("its own row")?;
    let probes = store.probes(peer.id(), 1000).await?.rows.len();
    store.close().await;
    Ok((probes, life.membership(now).is_some()))
}

/// However little may be kept: what a restart needs is kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_survives_retention_and_a_restart() -> anyhow::Result<()> {
    harness::logs();
    let nothing = Retention {
        per_peer: 0,
        age: Duration::ZERO,
        total_bytes: 0,
    };
    let options = Options {
        retention: nothing,
        interval: Duration::from_millis(500),
        lease: Duration::from_secs(60),
        ..Options::quick()
    };
    let mut cluster = Cluster::start(options).await?;
    let peer = Peer::start(&cluster, 1, Behaviour::All).await?;
    cluster.wait_rotation_of(&[&peer]).await?;
    until(async || Ok(cluster.probes(&peer).await?.len() >= 12), "a dozen probes").await?;
    let before = cluster.probes(&peer).await?;
    // Retention looks at the store when the attester begins, and every minute.
    cluster.restart().await?;
    let oldest = before.last().context("a probe")?.probe;
    let is_pruned = async || Ok(!cluster.probes(&peer).await?.iter().any(|probe| probe.probe == oldest));
    until(is_pruned, "the oldest probe was pruned").await?;
    cluster.stop().await?;
    let (probes, member) = stored(&cluster, &peer).await?;
    ensure!(member, "with {probes} probes left it would not be restored");
    ensure!(probes < before.len(), "{probes} of {} are left", before.len());
    cluster.restart().await?;
    cluster.wait_rotation_of(&[&peer]).await?;
    let standings = cluster.standings(&peer).await?;
    ensure!(
        standings
            .iter()
            .rev()
            .take_while(|standing| *standing == VERIFIED)
            .count()
            > 0,
        "{standings:?}"
    );
    Ok(())
}

async fn until(holds: impl AsyncFn() -> anyhow::Result<bool>, what: &str) -> anyhow::Result<()> {
    let deadline = Instant::now() + DEADLINE;
    let mut looks = interval(Duration::from_millis(50));
    loop {
        looks.tick().await;
        if holds().await? {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{DEADLINE:?} have passed before {what}");
    }
}
