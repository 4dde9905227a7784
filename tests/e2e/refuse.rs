//! Every lie that a peer can tell, and the reason for which it is refused.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;

use futures_util::FutureExt;

use attester::verify::{Demands, Trust, recheck};
use harness::{Behaviour, Cluster, Fate, Options, Peer};
use proto::claims::Outcome;

/// Lies told while registering: rejected, and nothing about such a stranger is stored or named.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lies_told_while_registering_are_rejected() {
    let rejected = |behaviour: &Behaviour| {
        matches!(behaviour.fate(), Fate::Rejected(_))
            && !matches!(behaviour, Behaviour::ClaimsHeldAddress | Behaviour::ClaimsReserved)
    };
    let (cluster, honest, liars) = cluster_of(rejected).await;
    // A second identity on a live peer's address.
    let rival = Peer::start(&cluster, honest.number(), Behaviour::ClaimsHeldAddress)
        .await
        .unwrap();
    let watcher = cluster.watch();
    for liar in liars.iter().chain([&rival]) {
        let fate = liar.behaviour().fate();
        cluster
            .wait_record(liar, &format!("{fate:?}"), |record| {
                record.standing == "rejected" && record.reason == fate.reason()
            })
            .await
            .unwrap();
        assert_eq!(
            cluster.own_name(liar).await.unwrap(),
            BTreeSet::new(),
            "{liar} has a name"
        );
        assert!(cluster.probes(liar).await.unwrap().is_empty(), "{liar} was probed");
        is_told(liar).await;
    }
    assert_eq!(
        watcher.finish().await.unwrap().ever,
        BTreeSet::from([honest.address().ip()])
    );
    assert_eq!(
        cluster.record(&honest).await.unwrap().standing,
        attester::decide::VERIFIED
    );
}

/// The attester dials nobody on a stranger's word (P7).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_somebody_else_claims_is_never_dialled() {
    harness::logs();
    let cluster = Cluster::start(Options::quick()).await.unwrap();
    let victim = tokio::net::TcpListener::bind(("127.77.250.1", cluster.port()))
        .await
        .unwrap();
    let liar = Peer::claiming(&cluster, 1, victim.local_addr().unwrap()).await.unwrap();
    cluster.wait_fate(&liar).await.unwrap();
    // The claim was judged. Whoever had dialled would be in the queue; and the victim does accept.
    assert!(victim.accept().now_or_never().is_none(), "somebody dialled the victim");
    let _client = tokio::net::TcpStream::connect(victim.local_addr().unwrap())
        .await
        .unwrap();
    victim.accept().await.unwrap();
}

/// Who registers somebody else's server from the same public address (behind one router, say) cannot prove it, and does not keep
/// its owner out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_squatter_does_not_keep_an_honest_peer_out() {
    harness::logs();
    let cluster = Cluster::start(Options::quick()).await.unwrap();
    let gate = cluster.session_gate().await.unwrap();
    gate.close().await;
    // It serves, but its agent cannot reach the attester yet.
    let honest = Peer::through(&cluster, 1, Behaviour::Enproxy, gate.address())
        .await
        .unwrap();
    let squatter = Peer::start(&cluster, 1, Behaviour::Squats).await.unwrap();
    cluster.wait_fate(&squatter).await.unwrap();
    gate.open().await.unwrap();
    cluster.wait_fate(&honest).await.unwrap();
    assert!(!cluster.was_ever_verified(&squatter).await.unwrap());
}

/// An attester for the internet takes no peers at reserved addresses.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reserved_addresses_are_rejected_where_private_ones_are_not_served() {
    harness::logs();
    let cluster = Cluster::start(Options {
        allow_private: false,
        ..Options::quick()
    })
    .await
    .unwrap();
    let liar = Peer::start(&cluster, 1, Behaviour::ClaimsReserved).await.unwrap();
    cluster.wait_fate(&liar).await.unwrap();
    assert_eq!(cluster.own_name(&liar).await.unwrap(), BTreeSet::new());
}

/// What a client meets at the peer's port.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_that_do_not_proxy_are_refused() {
    refused(|reason| {
        !["V0", "V1", "V2", "V3", "V4", "V5", "V6", "V7", "announce", "receipt"].contains(&reason.phase())
    })
    .await;
}

/// What the agent says, and what became of the bytes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_that_change_traffic_or_lie_about_it_are_refused() {
    refused(|reason| ["V0", "V1", "V2", "V3", "V4", "V5", "V6", "V7", "announce", "receipt"].contains(&reason.phase()))
        .await;
}

/// Those who turn enter the rotation, as they deserve until then, and leave it for the right reason.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_that_turn_hostile_leave() {
    let (cluster, honest, turncoats) = cluster_of(|behaviour| matches!(behaviour.fate(), Fate::Suspended(_))).await;
    let watcher = cluster.watch();
    for turncoat in &turncoats {
        cluster.wait_fate(turncoat).await.unwrap();
        // Two failures in a row, and no waiting for the lease.
        let mut told: Vec<_> = cluster.standings(turncoat).await.unwrap();
        let out = told.iter().position(|standing| standing == "suspended");
        told.truncate(out.map_or(0, |out| out + 1));
        let mut outcomes: Vec<_> = cluster
            .probes(turncoat)
            .await
            .unwrap()
            .iter()
            .map(|probe| probe.outcome)
            .collect();
        outcomes.reverse();
        outcomes.truncate(told.len());
        outcomes.retain(|outcome| *outcome != Outcome::Inconclusive);
        let failed = outcomes.iter().position(|outcome| *outcome != Outcome::Proved);
        let story = format!("{turncoat}: {outcomes:?} {told:?}");
        assert_eq!(
            outcomes[failed.expect(&story)..],
            [Outcome::Failed, Outcome::Failed],
            "{story}"
        );
        assert_eq!(
            told[told.len() - 2..],
            [attester::decide::VERIFIED, "suspended"],
            "{story}"
        );
    }
    cluster.wait_rotation_of(&[&honest]).await.unwrap();
    let seen = watcher.finish().await.unwrap();
    for turncoat in &turncoats {
        assert!(
            seen.ever.contains(&turncoat.address().ip()),
            "{turncoat} was never shown"
        );
    }
}

/// Programs that break the protocol are sent away, and however often they come back, an honest peer that arrives in the midst of
/// it is admitted as if they were not there (P6).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn noise_proves_nothing_and_keeps_nobody_out() {
    harness::logs();
    let cluster = Cluster::start(Options::quick()).await.unwrap();
    let noisy = Behaviour::ALL
        .iter()
        .filter(|behaviour| behaviour.fate() == Fate::Dismissed);
    let mut noisemakers = Vec::new();
    for (number, behaviour) in (2..).zip(noisy) {
        noisemakers.push(Peer::start(&cluster, number, *behaviour).await.unwrap());
    }
    let watcher = cluster.watch();
    for peer in &noisemakers {
        at_least_sessions(peer, 3).await;
    }
    let honest = Peer::start(&cluster, 1, Behaviour::All).await.unwrap();
    cluster.wait_fate(&honest).await.unwrap();
    for peer in &noisemakers {
        at_least_sessions(peer, 6).await;
        assert!(
            !cluster.was_ever_verified(peer).await.unwrap(),
            "a verdict verified {peer}"
        );
    }
    assert_eq!(
        watcher.finish().await.unwrap().ever,
        BTreeSet::from([honest.address().ip()])
    );
    let probes = cluster.probes(&honest).await.unwrap();
    assert!(
        probes.iter().all(|probe| probe.outcome == Outcome::Proved),
        "{probes:?}"
    );
}

/// A peer learns why, and what to do (P9): waits until its own agent says so. Rogues do not listen.
async fn is_told(peer: &Peer) {
    let reason = peer.behaviour().fate().reason().unwrap();
    let deadline = tokio::time::Instant::now() + harness::DEADLINE;
    while let Some(standing) = peer.standing() {
        let sentence = standing.remedy.as_deref().unwrap_or_default();
        if standing.reason.as_deref() == Some(reason.code()) && sentence.starts_with(reason.remedy()) {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "{peer} was told {standing:?}");
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
}

async fn at_least_sessions(peer: &Peer, count: usize) {
    let deadline = tokio::time::Instant::now() + harness::DEADLINE;
    while peer.sessions().unwrap() < count {
        assert!(
            tokio::time::Instant::now() < deadline,
            "{peer} had {:?} sessions",
            peer.sessions()
        );
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
}

/// Starts all peers whose fate is a refusal for one of these reasons, and follows them to it.
async fn refused(reasons: impl Fn(attester::model::Reason) -> bool) {
    let wanted = |behaviour: &Behaviour| match behaviour.fate() {
        // A squatter needs another's server: it has a test of its own.
        Fate::Refused(reason) | Fate::Doubted(reason) => *behaviour != Behaviour::Squats && reasons(reason),
        _ => false,
    };
    let (cluster, honest, liars) = cluster_of(wanted).await;
    let (goodput_body, goodput_floor) = (cluster.options().goodput_body, cluster.options().goodput_floor);
    let demands = Demands {
        goodput_body,
        goodput_floor,
        ..Demands::default()
    };
    let watcher = cluster.watch();
    for liar in &liars {
        cluster.wait_fate(liar).await.unwrap();
        is_told(liar).await;
    }
    let seen = watcher.finish().await.unwrap();
    assert_eq!(
        seen.ever,
        BTreeSet::from([honest.address().ip()]),
        "only the honest peer was ever in the rotation"
    );
    for liar in &liars {
        assert!(
            !cluster.was_ever_verified(liar).await.unwrap(),
            "a verdict verified {liar}"
        );
        // Anyone can check what each refusal rests on (P8).
        for probe in cluster.probes(liar).await.unwrap() {
            let again = recheck(&probe.evidence, &Trust::of_root(cluster.root()), demands).unwrap();
            assert_eq!(
                (again.verdict.outcome, again.proof.is_some()),
                (probe.outcome, probe.outcome == Outcome::Proved)
            );
            assert_eq!(
                again.verdict.reason,
                probe.reason.map(|reason| reason.code()).unwrap_or_default(),
                "{liar}"
            );
        }
    }
    // Whatever the others did: nothing was held against the honest peer meanwhile.
    let probes = cluster.probes(&honest).await.unwrap();
    let blamed: Vec<_> = probes.iter().filter(|probe| probe.outcome == Outcome::Failed).collect();
    assert!(blamed.is_empty(), "{honest} was blamed: {blamed:?}");
    assert_eq!(
        cluster.record(&honest).await.unwrap().standing,
        attester::decide::VERIFIED
    );
}

/// A cluster with an honest peer in the rotation, and all peers of the wanted behaviours, started.
async fn cluster_of(wanted: impl Fn(&Behaviour) -> bool) -> (Cluster, Peer, Vec<Peer>) {
    harness::logs();
    let cluster = Cluster::start(Options::quick()).await.unwrap();
    let honest = Peer::start(&cluster, 1, Behaviour::All).await.unwrap();
    cluster.wait_fate(&honest).await.unwrap();
    let mut liars = Vec::new();
    for (number, behaviour) in (2..).zip(Behaviour::ALL.iter().filter(|behaviour| wanted(behaviour))) {
        liars.push(Peer::start(&cluster, number, *behaviour).await.unwrap());
    }
    assert!(!liars.is_empty());
    (cluster, honest, liars)
}
