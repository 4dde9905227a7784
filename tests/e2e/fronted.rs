//! Peers that clients reach through an edge: proven through it, and never blamed for it.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use attester::{
    decide::VERIFIED,
    flashlight::Sni,
    model::{Reason, Route},
    store::ProbeRow,
    verify::{Demands, Trust, recheck},
};
use harness::{Asked, Behaviour, Cluster, Edge, Options, Peer, Trouble};
use proto::claims::{Outcome, Path, Protocol};

const FRONTED: Route = Route {
    path: Path::Fronted,
    protocol: Protocol::Enproxy,
};

async fn cluster(edge: &Edge, sni: Sni, change: impl FnOnce(&mut Options)) -> Cluster {
    harness::logs();
    let mut options = Options {
        fronted: Some(edge.as_known(sni)),
        ..Options::quick()
    };
    change(&mut options);
    let cluster = Cluster::start(options).await.unwrap();
    edge.serve(&cluster).unwrap();
    cluster
}

async fn through_edge(cluster: &Cluster, peer: &Peer, outcome: Outcome) -> Vec<ProbeRow> {
    let probes = cluster.probes(peer).await.unwrap();
    let fits = |probe: &ProbeRow| probe.route.path == Path::Fronted && probe.outcome == outcome;
    probes.into_iter().filter(fits).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_are_proven_through_an_edge_too() {
    for (sni, shown) in [(Sni::Absent, None), (Sni::Masquerade, Some(Edge::NAME.to_owned()))] {
        let edge = Edge::bind().await.unwrap();
        let cluster = cluster(&edge, sni, |_| {}).await;
        let peer = Peer::start(&cluster, 1, Behaviour::Enproxy).await.unwrap();
        // Edges forward no CONNECT, so nothing more is asked of this one.
        let chained = Peer::start(&cluster, 2, Behaviour::Connect).await.unwrap();
        cluster.wait_fate(&peer).await.unwrap();
        cluster.wait_fate(&chained).await.unwrap();
        let proofs = through_edge(&cluster, &peer, Outcome::Proved).await;
        let proof = proofs.first().unwrap();
        assert_eq!(proof.route, FRONTED);
        let host = peer.id().own_name("peers.test");
        let asked = edge.asked();
        assert!(
            !asked.is_empty()
                && asked.iter().all(|asked| *asked
                    == Asked {
                        sni: shown.clone(),
                        host: host.clone()
                    }),
            "{asked:?}"
        );
        assert!(through_edge(&cluster, &chained, Outcome::Proved).await.is_empty());
        // It is evidence as any other: others can check it.
        let trust = Trust::of_root(cluster.root());
        let checked = recheck(&proof.evidence, &trust, Demands::default()).unwrap();
        assert!(checked.proof.unwrap().is_fronted());
    }
}

/// Nobody is admitted without the way that clients take, and nobody is held to account for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_in_trouble_is_nobodys_fault() {
    let edge = Edge::bind().await.unwrap();
    edge.set_trouble(Trouble::Refuses);
    // Every tenth probe of a member goes through the edge.
    let often = |options: &mut Options| options.interval = Duration::from_millis(400);
    let cluster = cluster(&edge, Sni::Absent, often).await;
    let watcher = cluster.watch();
    let peer = Peer::start(&cluster, 1, Behaviour::Enproxy).await.unwrap();
    let blamed = |record: &harness::Record| record.standing == "probing" && record.reason == Some(Reason::Edge);
    cluster
        .wait_record(&peer, "probing, for the edge's sake", blamed)
        .await
        .unwrap();
    assert!(watcher.finish().await.unwrap().ever.is_empty());
    edge.set_trouble(Trouble::None);
    cluster.wait_fate(&peer).await.unwrap();

    // A member stays one, whatever the edge does.
    let watcher = cluster.watch();
    let troubles = [
        (
            Trouble::Cuts(40),
            "truncated: 40 of 2048 bytes came, then the connection closed",
        ),
        // What came second is what a server says to a later write.
        (Trouble::Repeats, "tunnel-lost: the answer has no tunnel's id"),
        (
            Trouble::Refuses,
            "tunnel-refused: it answered 503: the edge has a trouble",
        ),
        // Whoever holds an edge reads what is asked, and can ask it by itself.
        (Trouble::Fetches, "receipt-missing"),
        (Trouble::Overtakes, "bytes-differ: the bytes down"),
    ];
    for (trouble, told) in troubles {
        edge.set_trouble(trouble);
        let before = edge.asked().len();
        let says = |probe: &&ProbeRow| {
            probe.route == FRONTED && probe.reason == Some(Reason::Edge) && probe.detail.starts_with(told)
        };
        let known = cluster.probes(&peer).await.unwrap().iter().filter(says).count();
        cluster
            .wait_probes(&peer, told, |probes| probes.iter().filter(says).count() > known)
            .await
            .unwrap();
        assert!(edge.asked().len() > before);
    }
    let probes = cluster.probes(&peer).await.unwrap();
    assert!(
        probes.iter().all(|probe| probe.outcome != Outcome::Failed),
        "{probes:?}"
    );
    assert_eq!(cluster.record(&peer).await.unwrap().standing, VERIFIED);
    assert!(watcher.finish().await.unwrap().always.contains(&peer.address().ip()));
}

/// Its clients would be sent elsewhere after their first request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_gives_itself_another_name_is_refused() {
    let edge = Edge::bind().await.unwrap();
    let other = |options: &mut Options| options.proxy_host = Some("peer-of-others.peers.test".to_owned());
    let cluster = cluster(&edge, Sni::Absent, other).await;
    let peer = Peer::start(&cluster, 1, Behaviour::Enproxy).await.unwrap();
    let refused = |record: &harness::Record| record.standing == "refused" && record.reason == Some(Reason::ProxyHost);
    cluster
        .wait_record(&peer, "refused for its name", refused)
        .await
        .unwrap();
    assert!(!cluster.was_ever_verified(&peer).await.unwrap());
}

/// What no edge can bring about is the peer's also there, at its first probe through it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_edge_can_do_counts_behind_one() {
    let edge = Edge::bind().await.unwrap();
    let cluster = cluster(&edge, Sni::Absent, |options| {
        options.hostile_behind = Some(edge.passed())
    })
    .await;
    let honest = Peer::start(&cluster, 1, Behaviour::Enproxy).await.unwrap();
    let cases = [
        (
            Behaviour::SignsWithAnotherKey,
            Outcome::Failed,
            Reason::ReceiptSignature,
        ),
        (Behaviour::SignsAnotherNonce, Outcome::Failed, Reason::ReceiptMismatch),
        (Behaviour::TurnsElsewhere, Outcome::Failed, Reason::Egress),
        // These an edge could as well have done.
        (Behaviour::SignsAnotherDigest, Outcome::Inconclusive, Reason::Edge),
        (Behaviour::TurnsFlipping, Outcome::Inconclusive, Reason::Edge),
        (Behaviour::TurnsReceiptless, Outcome::Inconclusive, Reason::Edge),
    ];
    let mut peers = Vec::new();
    for (number, (behaviour, ..)) in (2..).zip(cases) {
        peers.push(Peer::start(&cluster, number, behaviour).await.unwrap());
    }
    for (peer, (behaviour, outcome, reason)) in peers.iter().zip(cases) {
        let probes = cluster
            .wait_probes(peer, "one through the edge", |probes| {
                probes.iter().any(|probe| probe.route == FRONTED)
            })
            .await
            .unwrap();
        // Rows are given newest first.
        let first = probes.iter().rev().find(|probe| probe.route == FRONTED).unwrap();
        assert_eq!(
            (first.outcome, first.reason),
            (outcome, Some(reason)),
            "{behaviour}: {}",
            first.detail
        );
    }
    cluster.wait_fate(&honest).await.unwrap();
}
