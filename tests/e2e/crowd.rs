//! Many identities at few addresses: what they can take from others, and what stays of them.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{collections::BTreeSet, time::Duration};

use attester::{
    decide::VERIFIED,
    store::{PeerRow, Retention, Store},
};
use harness::{Behaviour, Cluster, DEADLINE, Options, Peer, lodger};
use peer_agent::{Agent, State};
use proto::{
    claims::{Link, Protocol, Protocols, Succession},
    ids::{PeerId, Pin},
    key::SigningKey,
    time::{Clock, Timestamp},
};

fn key(number: u16) -> SigningKey {
    let mut seed = [9; 32];
    seed[..2].copy_from_slice(&number.to_be_bytes());
    SigningKey::from_seed(&seed)
}

/// Waits until the attester has accepted or rejected an agent; the rejection's reason.
async fn answered(agent: &Agent) -> Option<String> {
    let mut changes = agent.changes();
    let wait = changes.wait_for(|standing| !matches!(standing.state, State::Connecting | State::Registering));
    let standing = tokio::time::timeout(DEADLINE, wait).await.unwrap().unwrap().clone();
    (standing.state == State::Rejected).then(|| standing.reason.unwrap())
}

/// Agents that are all accepted.
async fn lodgers(cluster: &Cluster, host: &Peer, keys: std::ops::Range<u16>) -> Vec<Agent> {
    let mut all = Vec::new();
    for number in keys {
        let agent = lodger(cluster, host, &key(number)).unwrap();
        assert_eq!(answered(&agent).await, None, "key {number}");
        all.push(agent);
    }
    all
}

async fn leave(agents: Vec<Agent>) {
    for agent in agents {
        agent.stop().await;
    }
}

async fn rows(cluster: &Cluster) -> Vec<PeerRow> {
    cluster.store().await.unwrap().peers().await.unwrap().rows
}

/// Somebody who was seen at an address, and not proven.
fn stranger(key: &SigningKey, address: &str, seen: Timestamp) -> PeerRow {
    PeerRow {
        id: key.public().peer_id(),
        key: key.public(),
        address: address.parse().unwrap(),
        pin: Pin::from_bytes([3; 32]),
        protocols: Protocols::new([Protocol::Enproxy]).unwrap(),
        standing: "registered".to_owned(),
        reason: None,
        detail: String::new(),
        since: None,
        first_seen: seen,
        last_seen: seen,
        lease_until: None,
    }
}

/// One address has eight places for peers that are not proven, whoever comes and from wherever they are known.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn known_keys_that_hop_between_addresses_take_places_like_strangers() {
    harness::logs();
    let cluster = Cluster::start(Options::quick()).await.unwrap();
    let first = Peer::start(&cluster, 1, Behaviour::NoReceipt).await.unwrap();
    let second = Peer::start(&cluster, 2, Behaviour::NoReceipt).await.unwrap();
    cluster.wait_fate(&first).await.unwrap();
    cluster.wait_fate(&second).await.unwrap();
    let here = lodgers(&cluster, &first, 1..8).await;
    let ninth = lodger(&cluster, &first, &key(8)).unwrap();
    assert_eq!(answered(&ninth).await.as_deref(), Some("attester-full"));
    ninth.stop().await;
    // They leave, and take the places at another address; those of somebody who waits elsewhere are free now.
    leave(here).await;
    let there = lodgers(&cluster, &second, 1..8).await;
    let waits = lodgers(&cluster, &first, 8..9).await;
    leave(waits).await;
    let hops = lodger(&cluster, &second, &key(8)).unwrap();
    assert_eq!(answered(&hops).await.as_deref(), Some("attester-full"));
    hops.stop().await;
    leave(there).await;
}

/// Nine at one address, of which one is proven: those around it do not keep it from another key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_at_a_full_address_moves_to_another_key() {
    harness::logs();
    let cluster = Cluster::start(Options::quick()).await.unwrap();
    let mut member = Peer::start(&cluster, 1, Behaviour::OtherPort).await.unwrap();
    cluster.wait_fate(&member).await.unwrap();
    let host = Peer::start(&cluster, 1, Behaviour::NoReceipt).await.unwrap();
    cluster.wait_fate(&host).await.unwrap();
    let around = lodgers(&cluster, &host, 1..8).await;
    let ninth = lodger(&cluster, &host, &key(8)).unwrap();
    assert_eq!(answered(&ninth).await.as_deref(), Some("attester-full"));
    ninth.stop().await;
    // Without a goodbye, which would make it one of those that make room.
    member.stop_gone().await;
    member.rotate_key().unwrap();
    member.restart().await.unwrap();
    cluster.wait_fate(&member).await.unwrap();
    leave(around).await;
}

/// Each time that the peer whose address it is gets in, those who claimed it beside leave. Nothing adds up by that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_lose_an_address_to_its_owner_leave_no_trail() {
    harness::logs();
    let options = Options {
        origin_gate: true,
        ..Options::quick()
    };
    let cluster = Cluster::start(options).await.unwrap();
    let gate = cluster.origin_gate().unwrap();
    let mut owner: Option<Peer> = None;
    for round in 0..3 {
        gate.close().await;
        match &mut owner {
            Some(owner) => owner.restart().await.unwrap(),
            None => owner = Some(Peer::start(&cluster, 1, Behaviour::Enproxy).await.unwrap()),
        }
        let owner = owner.as_mut().unwrap();
        let others = lodgers(&cluster, owner, 100 * round..100 * round + 7).await;
        gate.open().await.unwrap();
        cluster.wait_standing(owner, VERIFIED).await.unwrap();
        cluster.wait_rotation_of(&[&*owner]).await.unwrap();
        leave(others).await;
        owner.stop().await;
    }
    let left: BTreeSet<PeerId> = rows(&cluster).await.into_iter().map(|row| row.id).collect();
    assert!(left.contains(owner.unwrap().id()));
    assert!(left.len() <= 9, "{} peers are stored of one address", left.len());
}

/// Who was proven comes before who was only seen, whatever their ids are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_in_the_store_crowd_no_member_out_at_a_restart() {
    harness::logs();
    let options = Options {
        max_peers: 3,
        lease: Duration::from_secs(120),
        ..Options::quick()
    };
    let mut cluster = Cluster::start(options).await.unwrap();
    let mut peer = Peer::start(&cluster, 1, Behaviour::Enproxy).await.unwrap();
    cluster.wait_standing(&peer, VERIFIED).await.unwrap();
    cluster.stop().await.unwrap();
    // Nobody comes to be proved anew.
    peer.stop_gone().await;
    let now = Clock::system().now();
    let store = Store::open(&cluster.state_file()).await.unwrap();
    let before = |key: &SigningKey| key.public().peer_id() < *peer.id();
    let strangers: Vec<SigningKey> = (0..u16::MAX).map(key).filter(before).take(5).collect();
    for (number, key) in (1..).zip(&strangers) {
        let row = stranger(key, &format!("192.0.2.{number}:443"), now);
        store.record_peer(&row).await.unwrap();
    }
    store.close().await;
    assert_eq!(strangers.len(), 5, "try another peer: this one's id is too low");
    cluster.restart().await.unwrap();
    cluster.wait_rotation_of(&[&peer]).await.unwrap();
    let stored = rows(&cluster).await;
    let row = stored.iter().find(|row| row.id == *peer.id()).unwrap();
    assert_eq!(row.standing, VERIFIED);
}

/// A key that was left stays out when everything else of its successor had to make room for others at that address.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_key_stays_out_when_its_successor_was_crowded_out() {
    harness::logs();
    let cluster = Cluster::start(Options::quick()).await.unwrap();
    let mut peer = Peer::start(&cluster, 1, Behaviour::NoReceipt).await.unwrap();
    cluster.wait_fate(&peer).await.unwrap();
    peer.stop().await;
    let old = peer.rotate_key().unwrap();
    peer.restart().await.unwrap();
    cluster.wait_fate(&peer).await.unwrap();
    let id = peer.id().clone();
    // It is offline, and another host stands at its address.
    peer.stop().await;
    let host = Peer::with_key(&cluster, 1, Behaviour::Truncates, &key(400))
        .await
        .unwrap();
    cluster.wait_fate(&host).await.unwrap();
    let crowd = lodgers(&cluster, &host, 1..8).await;
    let stored: BTreeSet<PeerId> = rows(&cluster).await.into_iter().map(|row| row.id).collect();
    assert!(
        !stored.contains(&id),
        "the test is about nothing: it was not crowded out"
    );
    leave(crowd).await;
    let thief = lodger(&cluster, &host, &old).unwrap();
    assert_eq!(answered(&thief).await.as_deref(), Some("key-succeeded"));
    thief.stop().await;
}

/// Peers and moves that nobody asks for any more are cut back to the store's bounds by the attester that runs on it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_left_of_strangers_is_cut_back() {
    harness::logs();
    let mut cluster = Cluster::start(Options::quick()).await.unwrap();
    cluster.stop().await.unwrap();
    let now = Clock::system().now();
    // Longer than an own name is kept, so that it is not loaded, and not so long that its age alone would forget it.
    let seen = now.minus(Duration::from_secs(2 * 24 * 3600));
    let (most_moves, most_gone) = (Store::MOST_MOVES_OF_THE_GONE as usize, Store::MOST_GONE as usize);
    let store = Store::open(&cluster.state_file()).await.unwrap();
    for number in 0..u16::try_from(most_moves).unwrap() + 3 {
        let (old, new) = (key(2 * number), key(2 * number + 1));
        let link = Link::dangerously_at_any_time(Succession::sign_pair(&old, &new, now).unwrap()).unwrap();
        let row = stranger(&new, "192.0.2.1:443", seen);
        store.record_succession(&[link], &row, now).await.unwrap();
    }
    let at_once = Retention {
        age: Duration::from_secs(1),
        ..Retention::default()
    };
    store.prune(now, &at_once, &BTreeSet::new()).await.unwrap();
    for number in 0..u16::try_from(most_gone).unwrap() + 3 {
        let row = stranger(&key(1000 + number), "192.0.2.2:443", seen);
        store.record_peer(&row).await.unwrap();
    }
    let moves = store.successions().await.unwrap().rows.len();
    let peers = store.peers().await.unwrap().rows.len();
    assert_eq!((moves, peers), (most_moves + 3, most_gone + 3));
    store.close().await;
    cluster.restart().await.unwrap();
    let cut_back = async {
        let mut looks = tokio::time::interval(Duration::from_millis(25));
        loop {
            looks.tick().await;
            let peers = rows(&cluster).await.len();
            let moves = cluster.store().await.unwrap().successions().await.unwrap().rows.len();
            if (moves, peers) == (most_moves, most_gone) {
                break;
            }
        }
    };
    tokio::time::timeout(DEADLINE, cut_back).await.unwrap();
}
