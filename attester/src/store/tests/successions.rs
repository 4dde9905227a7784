//! Identities that move.

use proto::{
    claims::{Link, Succession},
    ids::PeerId,
};

use super::*;

/// The peer whose key has this seed; `number` counts from 1 and may be large.
fn key(number: u16) -> SigningKey {
    let mut seed = [0; 32];
    seed[..2].copy_from_slice(&number.to_be_bytes());
    SigningKey::from_seed(&seed)
}

fn of_key(number: u16) -> PeerRow {
    let key = key(number).public();
    PeerRow {
        id: key.peer_id(),
        key,
        ..peer(1)
    }
}

fn link(old: u16, new: u16) -> Link {
    let pair = Succession::sign_pair(&key(old), &key(new), Timestamp::from_secs(1_800_000_000)).unwrap();
    Link::dangerously_at_any_time(pair).unwrap()
}

fn at(second: u64) -> Timestamp {
    Timestamp::from_secs(second)
}

/// Records that 1 moved to 2, 2 to 3 and so on up to `last`, each of which was there.
async fn moved(store: &Store, last: u16) -> Vec<Moved> {
    let mut all = Vec::new();
    store.record_peer(&of_key(1)).await.unwrap();
    for new in 2..=last {
        let row = PeerRow {
            first_seen: at(500 + u64::from(new)),
            ..of_key(new)
        };
        let links = [link(new - 1, new)];
        all.push(store.record_succession(&links, &row, at(u64::from(new))).await.unwrap());
    }
    all
}

async fn pairs(store: &Store, peer: u16) -> Vec<(PeerId, PeerId)> {
    let moves = store.moves(&of_key(peer).id).await.unwrap();
    assert_eq!(moves.bad, []);
    let ids = |row: &SuccessionRow| (row.link.old.peer_id(), row.link.new.peer_id());
    moves.rows.iter().map(ids).collect()
}

/// Forgets every peer: none was seen for so long that anything but its moves is kept.
async fn forget_everybody(store: &Store) {
    let retention = Retention {
        age: Duration::from_secs(1),
        ..Retention::default()
    };
    let pruned = store.prune(at(1_800_000_000), &retention, &BTreeSet::new()).await;
    assert!(pruned.unwrap().peers > 0);
    assert!(store.peers().await.unwrap().rows.is_empty());
}

async fn row(store: &Store, peer: u16) -> Option<PeerRow> {
    let rows = store.peers().await.unwrap().rows;
    rows.into_iter().find(|row| row.id == of_key(peer).id)
}

#[tokio::test]
async fn a_move_retires_the_old_key_and_keeps_what_was_stored() {
    let (_folder, path) = state();
    {
        let store = Store::open(&path).await.unwrap();
        store.record_verdict(&of_key(1), &probe(&of_key(1), 1)).await.unwrap();
        let done = moved(&store, 3).await;
        assert!(done.iter().all(|moved| moved.first_seen == at(100)), "{done:?}");
    }
    let store = Store::open(&path).await.unwrap();
    for (old, detail) in [(1, of_key(2).id), (2, of_key(3).id)] {
        let row = row(&store, old).await.unwrap();
        assert_eq!((row.standing.as_str(), row.lease_until), ("retired", None));
        assert_eq!(row.reason, Some(Reason::KeySucceeded));
        assert_eq!(row.detail, format!("moved to {detail}"));
    }
    let head = row(&store, 3).await.unwrap();
    assert_eq!((head.standing.as_str(), head.first_seen), ("probing", at(100)));
    assert_eq!(ids(&store, &of_key(1)).await, [1]);
    let all = [(of_key(1).id, of_key(2).id), (of_key(2).id, of_key(3).id)];
    for any in 1..=3 {
        assert_eq!(pairs(&store, any).await, all);
    }
    assert_eq!(pairs(&store, 4).await, []);
    let rows = store.successions().await.unwrap().rows;
    assert_eq!(rows[1].link, link(2, 3));
    assert_eq!(rows[1].at, at(3));
}

#[tokio::test]
async fn a_second_successor_changes_nothing() {
    let (_folder, path) = state();
    let store = Store::open(&path).await.unwrap();
    moved(&store, 2).await;
    for links in [[link(1, 9)], [link(8, 2)]] {
        let late = store.record_succession(&links, &of_key(9), at(9)).await.unwrap_err();
        assert!(
            matches!(
                late,
                StoreError::Transaction {
                    name: "record-succession",
                    ..
                }
            ),
            "{late}"
        );
    }
    assert_eq!(row(&store, 9).await, None);
    assert_eq!(pairs(&store, 1).await, [(of_key(1).id, of_key(2).id)]);
}

#[tokio::test]
async fn what_one_identity_leaves_behind_is_bounded() {
    let (_folder, path) = state();
    let store = Store::open(&path).await.unwrap();
    store.record_verdict(&of_key(1), &probe(&of_key(1), 1)).await.unwrap();
    let most = u16::try_from(Store::MOST_MOVES).unwrap();
    let done = moved(&store, most + 4).await;
    let forgotten: Vec<PeerId> = done.into_iter().flat_map(|moved| moved.forgotten).collect();
    assert_eq!(forgotten, [1, 2, 3].map(|number| of_key(number).id));
    assert_eq!(store.successions().await.unwrap().rows.len(), Store::MOST_MOVES);
    // With its probes.
    assert!(row(&store, 1).await.is_none() && row(&store, 2).await.is_none());
    assert_eq!(ids(&store, &of_key(1)).await, [0; 0]);
    assert!(row(&store, 4).await.is_some());
    assert_eq!(row(&store, most + 4).await.unwrap().first_seen, at(100));
}

#[tokio::test]
async fn a_past_goes_with_its_peer_and_no_earlier_than_it_can_be_presented() {
    let (_folder, path) = state();
    let store = Store::open(&path).await.unwrap();
    moved(&store, 3).await;
    let last = link(2, 3).expires.start();
    assert_eq!(
        store
            .prune_successions(last.plus(Duration::from_secs(1)))
            .await
            .unwrap(),
        []
    );
    forget_everybody(&store).await;
    assert_eq!(store.prune_successions(at(1_800_000_000)).await.unwrap(), []);
    let gone = store
        .prune_successions(last.plus(Duration::from_secs(1)))
        .await
        .unwrap();
    assert_eq!(gone, [of_key(1).id, of_key(2).id]);
    assert!(store.successions().await.unwrap().rows.is_empty());
}

/// Whoever can have a peer forgotten (its neighbours at one address can) must not bring an old key back by that.
#[tokio::test]
async fn moves_outlive_their_peer_and_are_bounded_for_each_holder_of_addresses() {
    let (_folder, path) = state();
    let store = Store::open(&path).await.unwrap();
    let elsewhere = PeerRow {
        address: "198.51.100.9:443".parse().unwrap(),
        ..of_key(502)
    };
    store
        .record_succession(&[link(501, 502)], &elsewhere, at(1))
        .await
        .unwrap();
    store.forget(&elsewhere.id).await.unwrap();
    let mut forgotten = Vec::new();
    for number in 0..50 {
        let (first, second, third) = (10 + 3 * number, 11 + 3 * number, 12 + 3 * number);
        let links = [link(first, second), link(second, third)];
        store
            .record_succession(&links, &of_key(third), at(u64::from(number)))
            .await
            .unwrap();
        let gone = store.forget(&of_key(third).id).await.unwrap();
        assert!(gone.was_there);
        forgotten.extend(gone.moves);
    }
    assert!(store.peers().await.unwrap().rows.is_empty());
    let kept = store.successions().await.unwrap().rows;
    let most = usize::try_from(Store::MOST_MOVES_OF_THE_GONE).unwrap();
    assert_eq!((kept.len(), forgotten.len()), (most + 1, 100 - most));
    assert_eq!(forgotten[..2], [of_key(10).id, of_key(11).id], "the oldest first");
    assert_eq!(kept[0].link, link(501, 502), "another's are no matter of theirs");
}

/// The same bound, when retention took the peers.
#[tokio::test]
async fn moves_of_peers_that_retention_forgot_are_bounded_too() {
    let (_folder, path) = state();
    let store = Store::open(&path).await.unwrap();
    let most = u16::try_from(Store::MOST_MOVES_OF_THE_GONE).unwrap();
    for number in 0..most + 5 {
        let (old, new) = (10 + 2 * number, 11 + 2 * number);
        let links = [link(old, new)];
        store
            .record_succession(&links, &of_key(new), at(u64::from(number)))
            .await
            .unwrap();
    }
    assert_eq!(store.prune_successions(at(0)).await.unwrap(), []);
    forget_everybody(&store).await;
    let mut gone = store.prune_successions(at(0)).await.unwrap();
    gone.sort();
    let mut oldest: Vec<PeerId> = (0..5).map(|number| of_key(10 + 2 * number).id).collect();
    oldest.sort();
    assert_eq!(gone, oldest);
    assert_eq!(store.successions().await.unwrap().rows.len(), usize::from(most));
}

#[tokio::test]
async fn an_identity_has_one_share_of_the_evidence_under_all_its_keys() {
    let (_folder, path) = state();
    let store = Store::open(&path).await.unwrap();
    store.record_peer(&of_key(1)).await.unwrap();
    for number in 1_u8..=6 {
        let row = of_key(u16::from(number));
        if number > 1 {
            let links = [link(u16::from(number) - 1, u16::from(number))];
            store
                .record_succession(&links, &row, at(u64::from(number)))
                .await
                .unwrap();
        }
        store.record_verdict(&row, &probe(&row, number)).await.unwrap();
    }
    let retention = Retention {
        per_peer: 2,
        ..Retention::default()
    };
    store.prune(at(0), &retention, &BTreeSet::new()).await.unwrap();
    for number in 1_u8..=6 {
        let kept = ids(&store, &of_key(u16::from(number))).await;
        assert_eq!(kept.len(), usize::from(number > 4), "key {number}");
    }
}

/// Whoever moves to another key now and then has no larger share of the whole for it than who stays.
#[tokio::test]
async fn an_identity_with_many_keys_crowds_nobody_out() {
    let (_folder, path) = state();
    let store = Store::open(&path).await.unwrap();
    let quiet = of_key(100);
    for number in 0..6 {
        store.record_verdict(&quiet, &probe(&quiet, number)).await.unwrap();
    }
    store.record_peer(&of_key(1)).await.unwrap();
    for turn in 1_u8..=6 {
        let row = of_key(u16::from(turn));
        if turn > 1 {
            let links = [link(u16::from(turn) - 1, u16::from(turn))];
            store
                .record_succession(&links, &row, at(u64::from(turn)))
                .await
                .unwrap();
        }
        for number in 0..3 {
            store
                .record_verdict(&row, &probe(&row, 10 * turn + number))
                .await
                .unwrap();
        }
    }
    // Of 24 there may be twelve: six each.
    let retention = Retention {
        total_bytes: 12 * 100,
        ..Retention::default()
    };
    let done = store.prune(at(0), &retention, &BTreeSet::new()).await.unwrap();
    assert_eq!(done, pruned(12, 0));
    assert_eq!(ids(&store, &quiet).await.len(), 6);
    for turn in 1_u8..=6 {
        let kept = ids(&store, &of_key(u16::from(turn))).await.len();
        assert_eq!(kept, if turn > 4 { 3 } else { 0 }, "key {turn}");
    }
}

#[tokio::test]
async fn a_tampered_move_is_a_bad_row() {
    let (_folder, path) = state();
    for sql in [
        "UPDATE successions SET by_new = by_old",
        "UPDATE successions SET by_old = x'00'",
        "UPDATE successions SET new_peer = 'aaaaaaaaaaaaaaaaaaaaaaaaaa'",
        "UPDATE successions SET old_peer = 'x'",
    ] {
        let store = Store::open(&path).await.unwrap();
        moved(&store, 2).await;
        store.close().await;
        tamper(&path, sql).await;
        let store = Store::open(&path).await.unwrap();
        let loaded = store.successions().await.unwrap();
        assert_eq!((loaded.rows.len(), loaded.bad.len()), (0, 1), "{sql}");
        store.close().await;
        tamper(&path, "DELETE FROM successions").await;
    }
}
