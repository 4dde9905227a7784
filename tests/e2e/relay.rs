//! Somebody between an agent and the attester who ends TLS: found out by both ends.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;

use attester::model::Reason;
use harness::{Behaviour, Cluster, Options, Peer, Relay};

/// The agent sees that the welcome's channel binding is not its own, and does not register.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_does_not_register_through_a_relay() {
    harness::logs();
    let cluster = Cluster::start(Options::quick()).await.unwrap();
    // The relay's connections leave from the peer's own address, so that nothing else is wrong.
    let relay = Relay::start(cluster.addresses().session, [127, 77, 1, 1].into())
        .await
        .unwrap();
    let peer = Peer::through(&cluster, 1, Behaviour::Enproxy, relay.address())
        .await
        .unwrap();
    let deadline = tokio::time::Instant::now() + harness::DEADLINE;
    while peer.standing().unwrap().reason.as_deref() != Some("relay") {
        assert!(tokio::time::Instant::now() < deadline, "{:?}", peer.standing());
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    assert_eq!(cluster.record(&peer).await.unwrap().standing, "unknown");
    assert_eq!(cluster.own_name(&peer).await.unwrap(), BTreeSet::new());
}

/// An agent that does not look, or that is in league with the relay: the attester sees it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_attester_rejects_a_registration_that_was_relayed() {
    harness::logs();
    let cluster = Cluster::start(Options::quick()).await.unwrap();
    let relay = Relay::start(cluster.addresses().session, [127, 77, 1, 1].into())
        .await
        .unwrap();
    // This one takes every welcome, and registers with the channel binding of its own connection.
    let peer = Peer::through(&cluster, 1, Behaviour::NeverAcks, relay.address())
        .await
        .unwrap();
    let record = cluster.wait_refused(&peer, Reason::Relay).await.unwrap();
    assert_eq!(record.standing, "rejected");
    assert_eq!(cluster.own_name(&peer).await.unwrap(), BTreeSet::new());
}
