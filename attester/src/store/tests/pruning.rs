//! Retention: bounded runs, and a file whose size follows.

use super::*;
use crate::store::prune::{STORED, TOO_LARGE};

fn large(peer: &PeerRow, number: u64) -> ProbeRow {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&number.to_be_bytes());
    let mut nonce = [0; 32];
    nonce[..8].copy_from_slice(&number.to_be_bytes());
    ProbeRow {
        probe: ProbeId::from_bytes(id),
        nonce: Nonce::from_bytes(nonce),
        evidence: vec![7; 4000],
        ..probe(peer, 1)
    }
}

fn size_of(path: &Path) -> u64 {
    std::fs::metadata(path).unwrap().len()
}

#[tokio::test]
async fn a_run_is_bounded_and_the_file_shrinks_after_it() {
    let (_folder, path) = state();
    let store = Store::open(&path).await.unwrap();
    let row = peer(1);
    for number in 0..1500 {
        store.record_verdict(&row, &large(&row, number)).await.unwrap();
    }
    let full = store.stored().await.unwrap();
    assert_eq!((full.probes, full.bytes), (1500, 6_000_000));
    let nothing = Retention {
        per_peer: 0,
        age: Duration::from_secs(1),
        total_bytes: 0,
    };
    let keep = BTreeSet::from([large(&row, 3).probe]);
    let now = Timestamp::from_secs(10_000);
    let first = store.prune(now, &nothing, &keep).await.unwrap();
    assert_eq!((first.probes, first.bytes, first.more), (1000, 4_000_000, true));
    let second = store.prune(now, &nothing, &keep).await.unwrap();
    assert_eq!((second.probes, second.more), (499, false));
    let left = store.stored().await.unwrap();
    assert_eq!((left.probes, left.bytes), (1, 4000));
    assert!(
        left.file_bytes < full.file_bytes / 4,
        "{} bytes of {} are left",
        left.file_bytes,
        full.file_bytes
    );
    store.check().await.unwrap();
    store.close().await;
    assert_eq!(size_of(&path), left.file_bytes);
}

/// Files from before retention by size can shrink as well, once they were opened.
#[tokio::test]
async fn an_older_file_is_written_anew_once() {
    let (_folder, path) = state();
    Store::open(&path).await.unwrap().close().await;
    tamper(&path, "PRAGMA journal_mode = DELETE; PRAGMA auto_vacuum = NONE; VACUUM").await;
    let store = Store::open(&path).await.unwrap();
    let mode = sqlx::query("PRAGMA auto_vacuum").fetch_one(&store.pool).await.unwrap();
    assert_eq!(sqlx::Row::get::<i64, _>(&mode, 0), 2);
    store.check().await.unwrap();
}

/// Whoever fills the store fills its own share: the oldest of those who have most go first.
#[tokio::test]
async fn a_flood_crowds_nobody_out() {
    let (_folder, path) = state();
    let store = Store::open(&path).await.unwrap();
    let (quiet, loud) = (peer(1), peer(2));
    for number in 0..5 {
        store.record_verdict(&quiet, &large(&quiet, number)).await.unwrap();
    }
    for number in 100..200 {
        store.record_verdict(&loud, &large(&loud, number)).await.unwrap();
    }
    let retention = Retention {
        total_bytes: 20 * 4000,
        ..Retention::default()
    };
    let pruned = store
        .prune(Timestamp::from_secs(1), &retention, &BTreeSet::new())
        .await
        .unwrap();
    assert_eq!(pruned.probes, 85);
    assert_eq!(store.probes(&quiet.id, 100).await.unwrap().rows.len(), 5);
    let left = store.probes(&loud.id, 100).await.unwrap().rows;
    let newest: Vec<ProbeId> = (185..200).rev().map(|number| large(&loud, number).probe).collect();
    assert_eq!(left.iter().map(|row| row.probe).collect::<Vec<_>>(), newest);
}

/// Of one holder of addresses only so many peers are kept for their listing alone; members, the known and their past stay.
#[tokio::test]
async fn strangers_that_are_gone_are_forgotten() {
    let (_folder, path) = state();
    let store = Store::open(&path).await.unwrap();
    let most = u64::from(Store::MOST_GONE);
    let at_address = |seed: u64, address: &str, standing: &str| {
        let mut bytes = [1; 32];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        let key = SigningKey::from_seed(&bytes).public();
        PeerRow {
            id: key.peer_id(),
            key,
            address: address.parse().unwrap(),
            standing: standing.to_owned(),
            last_seen: Timestamp::from_secs(1000 + seed),
            ..peer(1)
        }
    };
    for seed in 0..most + 10 {
        // One IPv6 /64 is one holder.
        let address = format!("[2001:db8::{seed:x}]:443");
        store.record_peer(&at_address(seed, &address, "retired")).await.unwrap();
    }
    let member = at_address(500, "[2001:db8::1]:443", "verified");
    let other = at_address(501, "[2001:db8:0:1::1]:443", "refused");
    store.record_peer(&member).await.unwrap();
    store.record_peer(&other).await.unwrap();
    let known = at_address(2, "[2001:db8::2]:443", "retired");
    assert_eq!(store.forget_strangers([&known.id]).await.unwrap(), 9);
    assert_eq!(store.forget_strangers([&known.id]).await.unwrap(), 0);
    let rows = store.peers().await.unwrap().rows;
    assert_eq!(rows.len(), usize::try_from(most).unwrap() + 3);
    for stays in [&member, &other, &known] {
        assert!(rows.iter().any(|row| row.id == stays.id));
    }
    let oldest = rows
        .iter()
        .filter(|row| row.id != known.id)
        .map(|row| row.last_seen)
        .min();
    assert_eq!(oldest, Some(Timestamp::from_secs(1010)), "those seen longest ago went");
}

/// The loop waits for a run of retention: it must not read all evidence to learn how long it is.
#[tokio::test]
async fn the_sizes_of_evidence_are_read_from_an_index() {
    let (_folder, path) = state();
    let store = Store::open(&path).await.unwrap();
    for (sql, values) in [(STORED, 0), (TOO_LARGE, 3)] {
        let sql = format!("EXPLAIN QUERY PLAN {sql}");
        let mut statement = sqlx::query(sqlx::AssertSqlSafe(sql));
        for _ in 0..values {
            statement = statement.bind("[]");
        }
        let plan = statement.fetch_all(&store.pool).await.unwrap();
        let plan: Vec<String> = plan.iter().map(|row| sqlx::Row::get(row, "detail")).collect();
        let covered = |step: &String| step.contains("probes USING COVERING INDEX probes_by_peer");
        assert!(plan.iter().any(covered), "{plan:#?}");
    }
}
