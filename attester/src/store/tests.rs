use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Duration,
};

use proto::{
    claims::{Outcome, Phase, Protocol, Protocols},
    evidence::Evidence,
    ids::{Nonce, Pin, ProbeId},
    key::SigningKey,
    time::Timestamp,
};
use sqlx::{Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;

use super::*;
use crate::model::{PhaseTimes, Reason, Route};

mod opening;
mod pruning;
mod successions;

fn state() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state").join("attester.db");
    (folder, path)
}

fn peer(number: u8) -> PeerRow {
    let key = SigningKey::from_seed(&[number; 32]).public();
    PeerRow {
        id: key.peer_id(),
        key,
        address: format!("127.77.{number}.1:8443").parse().unwrap(),
        pin: Pin::from_bytes([number; 32]),
        protocols: Protocols::new([Protocol::Connect, Protocol::Enproxy]).unwrap(),
        standing: "probing".to_owned(),
        reason: Some(Reason::Goodput),
        detail: "1 KiB/s".to_owned(),
        since: Some(Timestamp::from_secs(150)),
        first_seen: Timestamp::from_secs(100),
        last_seen: Timestamp::from_secs(200),
        lease_until: Some(Timestamp::from_micros(300_000_001)),
    }
}

fn probe(peer: &PeerRow, number: u8) -> ProbeRow {
    let mut phases = PhaseTimes::default();
    phases.note(Phase::Resolve, Duration::from_micros(310));
    phases.note(Phase::FirstByte, Duration::from_millis(12));
    ProbeRow {
        probe: ProbeId::from_bytes([number; 16]),
        peer: peer.id.clone(),
        at: Timestamp::from_secs(1000 + u64::from(number)),
        route: Route::direct(Protocol::EnproxyPath),
        body: 262_144,
        outcome: Outcome::Failed,
        reason: Some(Reason::Truncated),
        detail: "17 of 18 bytes".to_owned(),
        phases,
        nonce: Nonce::from_bytes([number; 32]),
        evidence: vec![number; 100],
    }
}

fn rejection(number: u64) -> RejectionRow {
    RejectionRow {
        at: Timestamp::from_secs(number),
        source: "2001:db8::7".parse().unwrap(),
        peer: number.is_multiple_of(2).then(|| peer(7).id),
        reason: Reason::PortSilent,
        detail: number.to_string(),
    }
}

/// What a run forgot; each probe has 100 bytes of evidence.
fn pruned(probes: u64, peers: u64) -> Pruned {
    Pruned {
        probes,
        bytes: probes * 100,
        peers,
        more: false,
    }
}

async fn ids(store: &Store, peer: &PeerRow) -> Vec<u8> {
    let probes = store.probes(&peer.id, 1000).await.unwrap();
    assert_eq!(probes.bad, []);
    probes.rows.iter().map(|probe| probe.probe.as_bytes()[0]).collect()
}

/// Does to the file what no attester does.
async fn tamper(path: &Path, sql: &'static str) {
    let options = SqliteConnectOptions::new().filename(path).foreign_keys(false);
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn what_was_recorded_comes_back_after_a_drop_without_close() {
    let (_folder, path) = state();
    let (one, mut two) = (peer(1), peer(2));
    two.address = "[2001:db8::1]:443".parse().unwrap();
    (two.reason, two.lease_until) = (None, None);
    let mut bare = probe(&two, 9);
    (bare.outcome, bare.reason, bare.phases, bare.evidence) =
        (Outcome::Proved, None, PhaseTimes::default(), Vec::new());
    {
        let store = Store::open(&path).await.unwrap();
        store.record_peer(&one).await.unwrap();
        assert_eq!(
            store.record_verdict(&one, &probe(&one, 1)).await.unwrap(),
            Recorded::New
        );
        assert_eq!(store.record_verdict(&two, &bare).await.unwrap(), Recorded::New);
        store.record_rejection(&rejection(4)).await.unwrap();
    }
    let store = Store::open(&path).await.unwrap();
    store.check().await.unwrap();
    let mut expected = vec![one.clone(), two.clone()];
    expected.sort_by(|a, b| a.id.cmp(&b.id));
    assert_eq!(
        store.peers().await.unwrap(),
        Loaded {
            rows: expected,
            bad: vec![]
        }
    );
    assert_eq!(store.probes(&one.id, 9).await.unwrap().rows, [probe(&one, 1)]);
    assert_eq!(store.probes(&two.id, 9).await.unwrap().rows, [bare]);
    assert_eq!(store.rejections(9).await.unwrap().rows, [rejection(4)]);
    let stored = store.recent_evidence(&one.id, 9).await.unwrap().rows;
    let original = probe(&one, 1);
    assert_eq!(
        stored,
        [StoredEvidence {
            probe: original.probe,
            at: original.at,
            evidence: original.evidence
        }]
    );
    assert_eq!(store.recent_evidence(&two.id, 9).await.unwrap().rows, []);
}

#[tokio::test]
async fn an_update_keeps_the_first_time_and_forgetting_takes_the_probes_along() {
    let (_folder, path) = state();
    let store = Store::open(&path).await.unwrap();
    let mut row = peer(1);
    store.record_verdict(&row, &probe(&row, 1)).await.unwrap();
    row.standing = "verified".to_owned();
    row.first_seen = Timestamp::from_secs(150);
    row.detail = format!("{}\n{}", "x".repeat(200), "y");
    store.record_peer(&row).await.unwrap();
    let stored = store.peers().await.unwrap().rows.remove(0);
    assert_eq!(stored.first_seen, Timestamp::from_secs(100));
    assert_eq!((stored.standing.as_str(), stored.detail.len()), ("verified", 160));
    assert!(store.forget(&row.id).await.unwrap().was_there);
    assert!(!store.forget(&row.id).await.unwrap().was_there);
    assert!(!store.nonce_seen(&probe(&row, 1).nonce).await.unwrap());
}

#[tokio::test]
async fn a_nonce_and_a_probe_id_are_used_once() {
    let (_folder, path) = state();
    let store = Store::open(&path).await.unwrap();
    let row = peer(1);
    let first = probe(&row, 1);
    assert!(!store.nonce_seen(&first.nonce).await.unwrap());
    store.record_verdict(&row, &first).await.unwrap();
    assert!(store.nonce_seen(&first.nonce).await.unwrap());
    assert_eq!(store.record_verdict(&row, &first).await.unwrap(), Recorded::Again);

    let better = PeerRow {
        standing: "verified".to_owned(),
        ..row.clone()
    };
    let replayed = ProbeRow {
        nonce: first.nonce,
        ..probe(&row, 2)
    };
    let error = store.record_verdict(&better, &replayed).await.unwrap_err();
    assert!(
        matches!(&error, StoreError::NonceSeen { earlier, .. } if *earlier == first.probe.to_string()),
        "{error}"
    );
    let renamed = ProbeRow {
        probe: first.probe,
        ..probe(&row, 3)
    };
    assert!(matches!(
        store.record_verdict(&better, &renamed).await,
        Err(StoreError::ProbeSeen { .. })
    ));
    let changed = ProbeRow {
        evidence: vec![],
        ..first.clone()
    };
    assert!(matches!(
        store.record_verdict(&better, &changed).await,
        Err(StoreError::ProbeSeen { .. })
    ));
    let large = ProbeRow {
        evidence: vec![0; Evidence::MAX_BYTES + 1],
        ..probe(&row, 4)
    };
    assert!(matches!(
        store.record_verdict(&better, &large).await,
        Err(StoreError::TooLarge { .. })
    ));

    assert_eq!(
        store.peers().await.unwrap().rows,
        std::slice::from_ref(&row),
        "a refused verdict changes nothing"
    );
    assert_eq!(ids(&store, &row).await, [1]);
}

#[tokio::test]
async fn a_probe_of_a_peer_that_is_not_recorded_with_it_is_refused() {
    let (_folder, path) = state();
    let store = Store::open(&path).await.unwrap();
    let error = store.record_verdict(&peer(1), &probe(&peer(2), 1)).await.unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::Transaction {
                name: "record-verdict",
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(store.peers().await.unwrap().rows, []);
}

#[tokio::test]
async fn rejections_are_a_ring() {
    let (_folder, path) = state();
    let store = Store::open(&path).await.unwrap();
    let many: Vec<RejectionRow> = (1..=1500).map(rejection).collect();
    store.record_rejections(&many[..700]).await.unwrap();
    store.record_rejections(&many[700..]).await.unwrap();
    store.record_rejections(&[]).await.unwrap();
    let kept = store.rejections(usize::MAX).await.unwrap();
    assert_eq!(kept.bad, []);
    let newest_first: Vec<RejectionRow> = (501..=1500).rev().map(rejection).collect();
    assert_eq!(kept.rows, newest_first);
    assert_eq!(store.rejections(2).await.unwrap().rows, newest_first[..2]);
    store
        .record_rejections(&(1..=2500).map(rejection).collect::<Vec<_>>())
        .await
        .unwrap();
    assert_eq!(store.rejections(usize::MAX).await.unwrap().rows.len(), 1000);
    store.record_rejection(&rejection(3)).await.unwrap();
    assert_eq!(store.rejections(1).await.unwrap().rows, [rejection(3)]);
}

#[tokio::test]
async fn pruning_keeps_what_leases_rest_on() {
    let (_folder, path) = state();
    let store = Store::open(&path).await.unwrap();
    let (one, two) = (peer(1), peer(2));
    for number in 1..=6 {
        store.record_verdict(&one, &probe(&one, number)).await.unwrap();
    }
    store.record_verdict(&two, &probe(&two, 7)).await.unwrap();
    let all = Retention {
        per_peer: 1000,
        age: Duration::from_secs(3600),
        total_bytes: 1 << 20,
    };
    let now = Timestamp::from_secs(1010);
    assert_eq!(
        store.prune(now, &all, &BTreeSet::new()).await.unwrap(),
        Pruned::default()
    );

    let keep = BTreeSet::from([probe(&one, 1).probe]);
    let few = Retention { per_peer: 3, ..all };
    assert_eq!(store.prune(now, &few, &keep).await.unwrap(), pruned(2, 0));
    assert_eq!(ids(&store, &one).await, [6, 5, 4, 1]);

    // 100 bytes each: the kept 1 counts, and of the others the newest fit: 7, 6 and 5.
    let small = Retention {
        total_bytes: 400,
        ..all
    };
    assert_eq!(store.prune(now, &small, &keep).await.unwrap(), pruned(1, 0));
    assert_eq!(ids(&store, &one).await, [6, 5, 1]);

    let young = Retention {
        age: Duration::from_secs(4),
        ..all
    };
    assert_eq!(store.prune(now, &young, &keep).await.unwrap(), pruned(1, 0));
    assert_eq!(ids(&store, &one).await, [6, 1]);

    // Peer 2 has no probe any more and was last seen at 200; peer 1 is as old, but a lease rests on its probe.
    let late = Timestamp::from_secs(1_000_000);
    assert_eq!(store.prune(late, &all, &keep).await.unwrap(), pruned(2, 1));
    assert_eq!(store.peers().await.unwrap().rows, std::slice::from_ref(&one));
    assert_eq!(ids(&store, &one).await, [1]);
}

#[tokio::test]
async fn peers_are_found_by_what_people_have_at_hand() {
    let (_folder, path) = state();
    let store = Store::open(&path).await.unwrap();
    let mut six = peer(3);
    six.address = "[2001:db8::1]:443".parse().unwrap();
    let mut neighbour = peer(2);
    neighbour.address = "127.77.1.1:9000".parse().unwrap();
    let one = peer(1);
    for row in [&one, &neighbour, &six] {
        store.record_peer(row).await.unwrap();
    }
    let id = one.id.as_str();
    for text in [
        id,
        &id[..5],
        &format!("peer-{id}.demo.test"),
        &format!("PEER-{id}"),
        &one.key.to_string(),
    ] {
        assert_eq!(
            store.find(text).await.unwrap(),
            Lookup::One(Box::new(one.clone())),
            "{text}"
        );
    }
    assert_eq!(
        store.find("127.77.1.1:8443").await.unwrap(),
        Lookup::One(Box::new(one.clone()))
    );
    assert!(matches!(store.find(" 127.77.1.1 ").await.unwrap(), Lookup::Several(rows) if rows.len() == 2));
    assert_eq!(
        store.find("2001:db8::1").await.unwrap(),
        Lookup::One(Box::new(six.clone()))
    );
    assert_eq!(
        store.find("[2001:db8::1]:443").await.unwrap(),
        Lookup::One(Box::new(six))
    );
    for text in [
        "",
        "peer-",
        "127.77.1",
        "127.77.1.1:1",
        "%",
        "_",
        "0",
        &"a".repeat(27),
        "zzzzz",
    ] {
        assert_eq!(store.find(text).await.unwrap(), Lookup::None, "{text}");
    }
}

#[tokio::test]
async fn a_bad_row_is_told_and_hides_no_other() {
    let (_folder, path) = state();
    let store = Store::open(&path).await.unwrap();
    let rows = [peer(1), peer(2), peer(3)];
    for row in &rows {
        store
            .record_verdict(row, &probe(row, row.pin.as_bytes()[0]))
            .await
            .unwrap();
    }
    store.record_verdict(&rows[0], &probe(&rows[0], 8)).await.unwrap();
    tamper(&path, "UPDATE peers SET key = (SELECT key FROM peers WHERE address LIKE '127.77.1.%') WHERE address LIKE '127.77.2.%'").await;
    tamper(
        &path,
        "UPDATE peers SET standing = CAST(x'ff41' AS TEXT) WHERE address LIKE '127.77.3.%'",
    )
    .await;
    tamper(
        &path,
        "UPDATE probes SET outcome = 'excellent' WHERE probe_id = x'01010101010101010101010101010101'",
    )
    .await;
    let loaded = store.peers().await.unwrap();
    assert_eq!(loaded.rows, [rows[0].clone()]);
    let why = |row: &PeerRow| {
        loaded
            .bad
            .iter()
            .find(|bad| bad.id == row.id.as_str())
            .map(|bad| bad.why.as_str())
    };
    assert_eq!(why(&rows[1]), Some("key: it is another peer's"));
    assert!(why(&rows[2]).unwrap().starts_with("standing: "));
    assert!(matches!(store.find(rows[2].id.as_str()).await.unwrap(), Lookup::Bad(bad) if bad.len() == 1));

    let probes = store.probes(&rows[0].id, 9).await.unwrap();
    assert_eq!(probes.rows, [probe(&rows[0], 8)]);
    assert_eq!(probes.bad[0].id, "01".repeat(16));
    assert!(probes.bad[0].why.starts_with("outcome: "), "{}", probes.bad[0].why);
    assert_eq!(store.recent_evidence(&rows[0].id, 9).await.unwrap().rows.len(), 2);
}
