//! Retention: bounded runs, and a file whose size follows.

use super::*;

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
