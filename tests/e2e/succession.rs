//! An identity moves to a new key: what it takes along, what it leaves behind, and who cannot do it.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;

use attester::{decide::VERIFIED, model::Reason};
use harness::{Behaviour, Cluster, DEADLINE, Options, Peer};
use peer_agent::{Standing, State};
use proto::{claims::Outcome, ids::PeerId, key::SigningKey};

/// Everything that the attester's records say of an identity.
async fn row(cluster: &Cluster, id: &PeerId) -> attester::store::PeerRow {
    let rows = cluster.store().await.unwrap().peers().await.unwrap().rows;
    rows.into_iter().find(|row| row.id == *id).unwrap()
}

/// Waits until a peer's own agent says so.
async fn told(peer: &Peer, wanted: impl Fn(&Standing) -> bool) -> Standing {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    loop {
        let standing = peer.standing().unwrap();
        if wanted(&standing) {
            return standing;
        }
        assert!(tokio::time::Instant::now() < deadline, "{peer} was told {standing:?}");
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
}

async fn stop_and_move(peer: &mut Peer) -> SigningKey {
    peer.stop().await;
    peer.rotate_key().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_verified_peer_comes_back_under_a_new_key_and_keeps_its_history() {
    harness::logs();
    let mut cluster = Cluster::start(Options::quick()).await.unwrap();
    let mut peer = Peer::start(&cluster, 1, Behaviour::Enproxy).await.unwrap();
    cluster.wait_fate(&peer).await.unwrap();
    let (first, probes) = (peer.id().clone(), cluster.probes(&peer).await.unwrap());
    let seen = row(&cluster, &first).await.first_seen;

    let old = stop_and_move(&mut peer).await;
    assert_ne!(*peer.id(), first);
    peer.restart().await.unwrap();
    cluster.wait_fate(&peer).await.unwrap();
    // The new key was proven by itself, from its first probe on (P1).
    let standings = cluster.standings(&peer).await.unwrap();
    let proofs = cluster.probes(&peer).await.unwrap();
    assert!(proofs.iter().filter(|probe| probe.outcome == Outcome::Proved).count() >= cluster.options().proofs);
    assert_eq!(standings[0], "probing");
    assert_eq!(row(&cluster, peer.id()).await.first_seen, seen);
    let moves = cluster.store().await.unwrap().moves(peer.id()).await.unwrap();
    assert_eq!(moves.rows.len(), 1);
    assert_eq!(moves.rows[0].link.old.peer_id(), first);

    // What the old key had is gone from DNS, and told of in the records with what was stored.
    let retired = row(&cluster, &first).await;
    assert_eq!((retired.standing.as_str(), retired.lease_until), ("retired", None));
    assert_eq!(retired.reason, Some(Reason::KeySucceeded));
    assert!(retired.detail.contains(peer.id().as_str()), "{}", retired.detail);
    let store = cluster.store().await.unwrap();
    let kept = store.probes(&first, 1000).await.unwrap().rows;
    assert!(kept.len() >= probes.len() && kept.iter().any(|probe| probe.probe == probes[0].probe));
    let mut thief = Peer::with_key(&cluster, 2, Behaviour::Enproxy, &old).await.unwrap();
    assert_eq!(cluster.own_name(&thief).await.unwrap(), BTreeSet::new());

    // Whoever has the old key is refused, and told why; also by an attester that was restarted.
    for restarts in 0..2 {
        if restarts > 0 {
            cluster.restart().await.unwrap();
            // What it was told before is not what it is told now.
            thief.restart().await.unwrap();
        }
        let standing = told(&thief, |standing| {
            standing.state == State::Rejected && standing.reason.as_deref() == Some("key-succeeded")
        })
        .await;
        assert!(standing.remedy.unwrap().contains("new identity file"));
        cluster.wait_fate(&peer).await.unwrap();
        let shown = BTreeSet::from([peer.address().ip()]);
        assert_eq!(cluster.rotation().await.unwrap(), shown);
        assert_eq!(cluster.own_name(&peer).await.unwrap(), shown);
        assert_eq!(cluster.own_name(&thief).await.unwrap(), BTreeSet::new());
    }
}

/// The attester may be away while an identity moves more than once, and the old key may still have a session and a lease.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_of_moves_takes_the_place_of_a_key_that_is_still_there() {
    harness::logs();
    let cluster = Cluster::start(Options::quick()).await.unwrap();
    let mut peer = Peer::start(&cluster, 1, Behaviour::Enproxy).await.unwrap();
    cluster.wait_fate(&peer).await.unwrap();
    let first = peer.id().clone();
    // Gone without a goodbye: its lease runs on, and holds the address.
    peer.stop_gone().await;
    let old = peer.rotate_key().unwrap();
    let middle = peer.id().clone();
    peer.rotate_key().unwrap();
    // The old key's agent is there again, elsewhere, with a session.
    let double = Peer::with_key(&cluster, 2, Behaviour::Enproxy, &old).await.unwrap();
    cluster.wait_standing(&double, VERIFIED).await.unwrap();
    peer.restart().await.unwrap();
    cluster.wait_fate(&peer).await.unwrap();
    told(&double, |standing| standing.reason.as_deref() == Some("key-succeeded")).await;
    cluster.wait_rotation_of(&[&peer]).await.unwrap();
    let moves = cluster.store().await.unwrap().moves(&first).await.unwrap();
    let ids: Vec<PeerId> = moves.rows.iter().map(|row| row.link.new.peer_id()).collect();
    assert_eq!(ids, [middle, peer.id().clone()]);
}

/// A lease that still runs holds the address against others, not against the same peer with a new key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_old_keys_lease_does_not_keep_the_new_key_out() {
    harness::logs();
    let cluster = Cluster::start(Options::quick()).await.unwrap();
    let mut peer = Peer::start(&cluster, 1, Behaviour::Enproxy).await.unwrap();
    cluster.wait_fate(&peer).await.unwrap();
    let first = peer.id().clone();
    // Without a goodbye. Two probes would find it gone, but it is back before.
    peer.stop_gone().await;
    peer.rotate_key().unwrap();
    peer.restart().await.unwrap();
    cluster.wait_fate(&peer).await.unwrap();
    let rejections = cluster.store().await.unwrap().rejections(100).await.unwrap().rows;
    assert_eq!(rejections, []);
    assert_eq!(row(&cluster, &first).await.reason, Some(Reason::KeySucceeded));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fresh_key_washes_no_refused_peer_clean() {
    harness::logs();
    let cluster = Cluster::start(Options::quick()).await.unwrap();
    let mut peer = Peer::start(&cluster, 1, Behaviour::NoReceipt).await.unwrap();
    cluster.wait_fate(&peer).await.unwrap();
    // Without a goodbye, which would end the matter with or without another key.
    peer.stop_gone().await;
    peer.rotate_key().unwrap();
    peer.restart().await.unwrap();
    let refused = cluster.wait_fate(&peer).await.unwrap();
    assert_eq!(refused.standing, "refused");
    // A stranger would have been *probing* after its first failure.
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while cluster.standings(&peer).await.unwrap().is_empty() {
        assert!(tokio::time::Instant::now() < deadline, "{peer} is not probed");
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    assert_eq!(cluster.standings(&peer).await.unwrap()[0], "refused");
    assert!(!cluster.was_ever_verified(&peer).await.unwrap());
}

/// The identity's file was copied to another machine: the two take turns, not twice a second, and each owner reads why.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_agents_with_one_identity_are_told_of_each_other() {
    harness::logs();
    let cluster = Cluster::start(Options::quick()).await.unwrap();
    let one = Peer::start(&cluster, 1, Behaviour::Enproxy).await.unwrap();
    cluster.wait_fate(&one).await.unwrap();
    let other = Peer::with_key(&cluster, 2, Behaviour::Enproxy, &one.key())
        .await
        .unwrap();
    for peer in [&one, &other] {
        let standing = told(peer, |standing| standing.reason.as_deref() == Some("replaced")).await;
        let remedy = standing.remedy.unwrap();
        assert!(remedy.contains("another agent uses the same identity file"), "{remedy}");
    }
}
