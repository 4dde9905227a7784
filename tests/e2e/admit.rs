//! Honest peers get in, stay in as long as they prove themselves, and leave when they go.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{collections::BTreeSet, net::IpAddr};

use attester::{
    decide::VERIFIED,
    verify::{Demands, Trust, recheck},
};
use harness::{Behaviour, Cluster, Options, Peer};
use proto::claims::Outcome;

/// Every honest behaviour is admitted, and what was kept about it proves it to anyone who has the root's public key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_honest_behaviour_is_admitted_and_its_evidence_verifies_again() {
    harness::logs();
    let cluster = Cluster::start(Options::quick()).await.unwrap();
    let mut peers = Vec::new();
    let honest = Behaviour::ALL.iter().filter(|behaviour| behaviour.is_honest());
    for (number, behaviour) in (1..).zip(honest) {
        peers.push(Peer::start(&cluster, number, *behaviour).await.unwrap());
    }
    for peer in &peers {
        cluster.wait_fate(peer).await.unwrap();
        assert_eq!(
            cluster.own_name(peer).await.unwrap(),
            BTreeSet::from([peer.address().ip()]),
            "{peer}"
        );
    }
    let members: Vec<&Peer> = peers
        .iter()
        .filter(|peer| peer.behaviour() != Behaviour::OtherPort)
        .collect();
    cluster.wait_rotation_of(&members).await.unwrap();

    let options = cluster.options();
    let demands = Demands {
        goodput_body: options.goodput_body,
        goodput_floor: options.goodput_floor,
        ..Demands::default()
    };
    for peer in &peers {
        let probes = cluster.probes(peer).await.unwrap();
        let proofs: Vec<_> = probes.iter().filter(|probe| probe.outcome == Outcome::Proved).collect();
        assert!(proofs.len() >= options.proofs, "{peer}: {} proofs", proofs.len());
        for probe in &proofs {
            let again = recheck(&probe.evidence, &Trust::of_root(cluster.root()), demands).unwrap();
            assert_eq!(again.proof.as_ref().unwrap().identity().id(), *peer.id());
            assert_eq!(again.proof.as_ref().unwrap().identity().address, peer.address());
        }
        // Admission proves each listed protocol, and the throughput.
        let listed: BTreeSet<_> = proofs.iter().map(|probe| probe.route.protocol).collect();
        assert_eq!(
            listed.len(),
            if peer.behaviour() == Behaviour::All { 3 } else { 1 },
            "{peer}"
        );
        assert!(proofs.iter().any(|probe| probe.body == options.goodput_body), "{peer}");
        let standing = peer.standing().unwrap();
        assert_eq!(standing.own_name, Some(peer.id().own_name(&options.zone)), "{peer}");
    }
    // A peer that the rotation cannot hold learns why (P9).
    let other = peers
        .iter()
        .find(|peer| peer.behaviour() == Behaviour::OtherPort)
        .unwrap();
    let rotation = cluster.rotation().await.unwrap();
    assert!(!rotation.contains(&other.address().ip()), "{rotation:?}");
    let remedy = other.standing().unwrap().remedy;
    assert_eq!(remedy.as_deref(), Some(attester::model::Reason::Port.remedy()));
}

/// The peer's own name is shown before it is in the rotation, since that is how it is reached by its first probe.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_own_name_is_shown_before_anything_is_proven() {
    harness::logs();
    let cluster = Cluster::start(Options::quick()).await.unwrap();
    // Registered and named, but never proven.
    let liar = Peer::start(&cluster, 1, Behaviour::Answers500).await.unwrap();
    cluster.wait_fate(&liar).await.unwrap();
    assert_eq!(
        cluster.own_name(&liar).await.unwrap(),
        BTreeSet::from([liar.address().ip()])
    );
    assert_eq!(cluster.rotation().await.unwrap(), BTreeSet::new());
}

/// Membership is a lease: who is gone without a word leaves, and comes back by proving itself anew. Who says goodbye leaves at
/// once, without a failed probe.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_goes_leaves_and_who_returns_is_proven_anew() {
    harness::logs();
    let cluster = Cluster::start(Options::quick()).await.unwrap();
    let stays = Peer::start(&cluster, 1, Behaviour::Enproxy).await.unwrap();
    let mut vanishes = Peer::start(&cluster, 2, Behaviour::Connect).await.unwrap();
    let mut leaves = Peer::start(&cluster, 3, Behaviour::All).await.unwrap();
    cluster.wait_rotation_of(&[&stays, &vanishes, &leaves]).await.unwrap();

    leaves.stop().await;
    cluster.wait_rotation_of(&[&stays, &vanishes]).await.unwrap();
    let record = cluster.wait_standing(&leaves, "retired").await.unwrap();
    assert_eq!(record.reason, Some(attester::model::Reason::Goodbye), "{record}");
    let probes = cluster.probes(&leaves).await.unwrap();
    assert!(
        probes.iter().all(|probe| probe.outcome == Outcome::Proved),
        "a goodbye is no failure: {probes:?}"
    );

    vanishes.stop_gone().await;
    cluster.wait_rotation_of(&[&stays]).await.unwrap();
    let record = cluster.wait_standing(&vanishes, "suspended").await.unwrap();
    assert_eq!(record.reason, Some(attester::model::Reason::ConnectRefused), "{record}");

    let proofs =
        |probes: Vec<attester::store::ProbeRow>| probes.iter().filter(|probe| probe.outcome == Outcome::Proved).count();
    for peer in [&mut vanishes, &mut leaves] {
        let before = proofs(cluster.probes(peer).await.unwrap());
        peer.restart().await.unwrap();
        cluster.wait_standing(peer, VERIFIED).await.unwrap();
        let after = proofs(cluster.probes(peer).await.unwrap());
        assert!(
            after >= before + cluster.options().proofs,
            "{peer}: {before} proofs before, {after} after"
        );
    }
    cluster.wait_rotation_of(&[&stays, &vanishes, &leaves]).await.unwrap();
}

/// A proof is for one TLS key: a peer that comes back with another starts again, whatever its lease.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_tls_key_is_proven_anew() {
    harness::logs();
    let cluster = Cluster::start(Options::quick()).await.unwrap();
    let mut peer = Peer::start(&cluster, 1, Behaviour::Enproxy).await.unwrap();
    cluster.wait_fate(&peer).await.unwrap();
    let before = cluster.probes(&peer).await.unwrap().len();
    let pins = async |peer: &Peer| {
        let rows = cluster.store().await.unwrap().peers().await.unwrap().rows;
        rows.into_iter().find(|row| row.id == *peer.id()).unwrap().pin
    };
    let old = pins(&peer).await;
    peer.stop_gone().await;
    peer.forget_tls_key().unwrap();
    peer.restart().await.unwrap();
    let deadline = tokio::time::Instant::now() + harness::DEADLINE;
    while pins(&peer).await == old {
        assert!(
            tokio::time::Instant::now() < deadline,
            "the attester still has the old key"
        );
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    cluster.wait_fate(&peer).await.unwrap();
    let probes = cluster.probes(&peer).await.unwrap();
    let new = probes.iter().take(probes.len() - before).filter(|probe| {
        let proof = recheck(&probe.evidence, &Trust::of_root(cluster.root()), Demands::default());
        proof.is_ok_and(|recheck| recheck.proof.is_some_and(|proof| proof.identity().pin != old))
    });
    assert!(new.count() >= cluster.options().proofs, "{probes:?}");
}

/// An address is its holder's while the lease runs; then whoever serves there may have it, and the old name goes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_identity_takes_over_an_address_that_nobody_holds_any_more() {
    harness::logs();
    let cluster = Cluster::start(Options::quick()).await.unwrap();
    let mut first = Peer::start(&cluster, 1, Behaviour::Enproxy).await.unwrap();
    cluster.wait_fate(&first).await.unwrap();
    first.stop_gone().await;
    // The same address, another key: held until the first one has lost its place.
    let second = Peer::start(&cluster, 1, Behaviour::EnproxyPath).await.unwrap();
    cluster.wait_fate(&second).await.unwrap();
    let record = cluster.wait_standing(&first, "retired").await.unwrap();
    assert_eq!(record.reason, Some(attester::model::Reason::AddressTaken), "{record}");
    assert_eq!(
        cluster.own_name(&first).await.unwrap(),
        BTreeSet::new(),
        "its name leads to another peer"
    );
    assert_eq!(
        cluster.own_name(&second).await.unwrap(),
        BTreeSet::from([second.address().ip()])
    );
}

/// Whatever is wrong with the origin is held against nobody (P4); but nothing is proven meanwhile, and a lease ends (P2).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_origin_nobody_is_blamed_and_leases_end() {
    harness::logs();
    let cluster = Cluster::start(Options {
        origin_gate: true,
        ..Options::quick()
    })
    .await
    .unwrap();
    let first = Peer::start(&cluster, 1, Behaviour::Enproxy).await.unwrap();
    let second = Peer::start(&cluster, 2, Behaviour::Connect).await.unwrap();
    cluster.wait_rotation_of(&[&first, &second]).await.unwrap();
    let gate = cluster.origin_gate().unwrap();
    gate.close().await;
    cluster.wait_rotation_of(&[]).await.unwrap();
    for peer in [&first, &second] {
        let record = cluster.wait_standing(peer, "suspended").await.unwrap();
        assert_eq!(
            record.reason.map(|reason| reason.blame()),
            Some(attester::model::Blame::Attester),
            "{record}"
        );
        let probes = cluster.probes(peer).await.unwrap();
        assert!(
            probes.iter().all(|probe| probe.outcome != Outcome::Failed),
            "{peer} was blamed: {probes:?}"
        );
        assert!(
            probes.iter().any(|probe| probe.outcome == Outcome::Inconclusive),
            "{peer} was not probed"
        );
    }
    gate.open().await.unwrap();
    cluster.wait_rotation_of(&[&first, &second]).await.unwrap();
}

/// A peer whose proxy and agent go on while its session is cut returns without losing its place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attester_that_restarts_keeps_honest_peers_in() {
    harness::logs();
    let mut cluster = Cluster::start(Options::quick()).await.unwrap();
    let first = Peer::start(&cluster, 1, Behaviour::Enproxy).await.unwrap();
    let second = Peer::start(&cluster, 2, Behaviour::EnproxyPath).await.unwrap();
    let expected = BTreeSet::<IpAddr>::from([first.address().ip(), second.address().ip()]);
    cluster.wait_rotation(&expected).await.unwrap();
    cluster.restart().await.unwrap();
    // Restored from evidence, before any session: until then DNS answers nothing, and the first answer shows both.
    let deadline = tokio::time::Instant::now() + harness::DEADLINE;
    let first_answer = loop {
        match cluster.rotation().await {
            Ok(shown) => break shown,
            Err(error) => assert!(tokio::time::Instant::now() < deadline, "{error}"),
        }
    };
    assert_eq!(first_answer, expected);
    for peer in [&first, &second] {
        let before = cluster.probes(peer).await.unwrap().len();
        // And they go on proving themselves.
        loop_until_more(&cluster, peer, before).await;
        assert_eq!(cluster.record(peer).await.unwrap().standing, VERIFIED);
    }
    assert_eq!(cluster.rotation().await.unwrap(), expected);
}

async fn loop_until_more(cluster: &Cluster, peer: &Peer, before: usize) {
    let deadline = tokio::time::Instant::now() + harness::DEADLINE;
    while cluster.probes(peer).await.unwrap().len() <= before {
        assert!(tokio::time::Instant::now() < deadline, "{peer} is not probed any more");
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
}

/// A hint hastens (P3): a peer whose host asks is probed before its turn, but no sooner than a quarter of the interval allows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_asks_is_probed_before_its_turn() {
    harness::logs();
    let options = Options {
        interval: std::time::Duration::from_secs(16),
        lease: std::time::Duration::from_secs(60),
        ..Options::quick()
    };
    let (quarter, soonest) = (options.interval / 4, options.interval.mul_f64(0.9));
    let cluster = Cluster::start(options).await.unwrap();
    let peer = Peer::start(&cluster, 1, Behaviour::Enproxy).await.unwrap();
    cluster.wait_standing(&peer, VERIFIED).await.unwrap();
    let before = cluster.probes(&peer).await.unwrap();
    peer.retest().unwrap();
    let probes = cluster
        .wait_probes(&peer, "one more probe", |probes| probes.len() > before.len())
        .await
        .unwrap();
    let mut times: Vec<_> = probes.iter().map(|probe| probe.at).collect();
    times.sort();
    let gap = times[before.len()].since(times[before.len() - 1]);
    // By itself it would have been probed after nine tenths of the interval, or later.
    assert!(gap < soonest, "{gap:?}");
    // Counted from the start of a probe to that of the next.
    assert!(gap + std::time::Duration::from_secs(1) > quarter, "{gap:?}");
    assert!(
        probes.iter().all(|probe| probe.outcome == Outcome::Proved),
        "{probes:?}"
    );
}
