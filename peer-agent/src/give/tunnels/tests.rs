//! The table with virtual time.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::net::Ipv4Addr;

use super::*;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const IDLE: Duration = Duration::from_secs(70);
const LINGER: Duration = Duration::from_secs(2);

fn open(tunnels: &Tunnels, id: &str) -> (Arc<Tunnel>, bool) {
    match tunnels.find(id, HERE) {
        Found::Open { tunnel, fresh } => (tunnel, fresh),
        _ => panic!("{id} is not open"),
    }
}

#[tokio::test(start_paused = true)]
async fn idle_tunnels_are_forgotten_and_ended_ones_remembered() {
    let tunnels = Tunnels::new(Quota::new(10, 10), IDLE, LINGER);
    let (idle, fresh) = open(&tunnels, "idle");
    assert!(fresh && !open(&tunnels, "idle").1);
    let (ended, _) = open(&tunnels, "ended");
    ended.mark_ended();
    tokio::time::advance(LINGER).await;
    tunnels.sweep();
    assert!(matches!(tunnels.find("ended", HERE), Found::Ended(End::Eof)));
    assert!(matches!(ended.closed().await, End::Eof));
    assert!(!open(&tunnels, "idle").1);
    tokio::time::advance(IDLE - LINGER).await;
    idle.activity.touch();
    tunnels.sweep();
    assert!(open(&tunnels, "ended").1, "the stone is gone after the idle time");
    assert!(!open(&tunnels, "idle").1, "a byte moved");
    tokio::time::advance(IDLE).await;
    tunnels.sweep();
    assert!(open(&tunnels, "idle").1, "forgotten");
}

#[tokio::test(start_paused = true)]
async fn seats_and_graves_are_bounded() {
    let quota = Quota::new(2, 2);
    let tunnels = Tunnels::new(Arc::clone(&quota), IDLE, LINGER);
    let (first, _) = open(&tunnels, "first");
    let _second = open(&tunnels, "second");
    assert!(matches!(tunnels.find("third", HERE), Found::Full));
    tunnels.bury(&first, End::Failed(Failure::new(500, "refused")));
    assert!(matches!(first.closed().await, End::Failed(Failure { status: 500, .. })));
    drop(first);
    for n in 0..=MAX_GRAVES {
        let (tunnel, _) = open(&tunnels, &n.to_string());
        tunnels.bury(&tunnel, End::Eof);
    }
    assert_eq!(tunnels.lock().graves.len(), MAX_GRAVES);
    assert!(open(&tunnels, "first").1, "the oldest grave made room");
    tunnels.clear();
    assert!(quota.take(HERE).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_buried_namesake_stays_open() {
    let tunnels = Tunnels::new(Quota::new(10, 10), IDLE, LINGER);
    let (old, _) = open(&tunnels, "id");
    tokio::time::advance(IDLE).await;
    tunnels.sweep();
    let (_new, fresh) = open(&tunnels, "id");
    assert!(fresh);
    tunnels.bury(&old, End::Eof);
    assert!(!open(&tunnels, "id").1);
}

#[tokio::test]
async fn all_wait_for_one_dial() {
    let tunnels = Tunnels::new(Quota::new(10, 10), IDLE, LINGER);
    let (tunnel, _) = open(&tunnels, "id");
    let failure = tunnel
        .ends(async { Err(Failure::new(500, "first")) })
        .await
        .err()
        .unwrap();
    let again = tunnel
        .ends(async { Err(Failure::new(500, "second")) })
        .await
        .err()
        .unwrap();
    assert_eq!((&*failure.text, &*again.text), ("first", "first"));
}
