//! The real enproxy client through our server.

use futures_util::future::join_all;

use super::{Peer, TLS_OF_2014, assert_whole, by_either_tls, file};
use crate::{
    clients::{Fetched, Kept, enproxy_get},
    front::Front,
    nobody,
    site::{Manner, Site},
    unresolvable,
};

#[tokio::test]
#[ignore = "needs the Go programs of tests/setup.sh"]
async fn the_real_client_fetches_through_our_server() {
    let site = Site::start().await;
    for (peer, tls) in by_either_tls(|_| {}) {
        for how in ways(tls) {
            for length in [36, 300_000, 3_000_000] {
                fetches(&peer, &site.url(length), &how, length).await;
            }
        }
    }
}

#[tokio::test]
#[ignore = "needs the Go programs of tests/setup.sh"]
async fn the_real_client_posts_through_our_server() {
    let site = Site::start().await;
    // More than the client buffers, so that there are writes after the first, on a connection of their own.
    let (_folder, file) = file(200_000);
    for (peer, tls) in by_either_tls(|_| {}) {
        for how in ways(tls) {
            let posting = [&how[..], &["-post", &file]].concat();
            fetches(&peer, &site.url(0), &posting, 200_000).await;
        }
    }
}

#[tokio::test]
#[ignore = "needs the Go programs of tests/setup.sh"]
async fn the_real_client_reads_an_answer_that_is_late() {
    for (peer, tls) in by_either_tls(|_| {}) {
        for how in ways(tls) {
            reads_late(&peer, &how).await;
        }
    }
}

async fn reads_late(peer: &Peer, how: &[&str]) {
    let (site, front) = (Site::silent().await, Front::of(peer.address).await);
    let url = site.url(300_000);
    let answered = async {
        // Then it has the head of the first answer, so that one was empty: the client opens its second connection, or that of
        // August 2014, which has both, sends its first read on the one that is there for reads.
        let early = how.contains(&"-as-2014-08");
        front
            .until(|seen| if early { seen.first >= 2 } else { seen.connections >= 2 })
            .await;
        site.release();
    };
    let ((complete, fetched), ()) = tokio::join!(enproxy_get(front.address, &url, how), answered);
    assert!(complete && fetched.len() == 1, "{how:?}: {fetched:?}");
    assert_whole(&fetched[0], 300_000);
}

#[tokio::test]
#[ignore = "needs the Go programs of tests/setup.sh"]
async fn the_real_client_keeps_a_tunnel_while_nothing_happens_in_it() {
    // The second connection is silent for longer than a head may take.
    let peers = by_either_tls(|config| config.limits.head = config.limits.poll / 2);
    // At once, because each takes as long as our server lets a read wait, or twice as long.
    join_all(
        peers
            .iter()
            .flat_map(|(peer, tls)| ways(tls).map(|how| keeps(peer, how))),
    )
    .await;
}

async fn keeps(peer: &Peer, how: Vec<&str>) {
    let (site, front) = (Site::start().await, Front::of(peer.address).await);
    let mut client = Kept::enproxy(front.address, &site.url(36), &how);
    assert_whole(&client.next().await, 36);
    let answered = front.seen().first;
    // On its first connection it sends nothing but reads now. The first may have been sent with the answer still on its way; the
    // second is sent when the first was answered empty.
    front.until(|seen| seen.first >= answered + 2).await;
    client.again();
    assert_whole(&client.next().await, 36);
    site.asked(2).await;
}

#[tokio::test]
#[ignore = "needs the Go programs of tests/setup.sh"]
async fn the_real_client_is_told_how_a_destination_ends() {
    let peers = by_either_tls(|_| {});
    for (manner, status, told) in [
        (Manner::Ends, 0, "EOF"),
        (Manner::EndsHalfway, 200, "unexpected EOF"),
        // The protocol has no word for it.
        (Manner::Resets, 0, "EOF"),
    ] {
        let site = Site::that(manner).await;
        for (peer, tls) in &peers {
            for how in ways(tls) {
                let fetched = fails(peer, &site.url(300_000), &how).await;
                assert_eq!(fetched.status, status, "{how:?}, {manner:?}: {fetched:?}");
                assert!(fetched.error.ends_with(told), "{how:?}, {manner:?}: {fetched:?}");
            }
        }
    }
}

#[tokio::test]
#[ignore = "needs the Go programs of tests/setup.sh"]
async fn the_real_client_is_told_why_there_is_no_tunnel() {
    let (_kept, nobody) = nobody();
    let (refusing, unresolvable) = (format!("http://{nobody}/"), format!("http://{}/", unresolvable()));
    let (open, guarded) = (Peer::start(|_| {}), Peer::start(|config| config.allow_private = false));
    for how in WAYS {
        for (peer, url, told) in [
            (&open, &refusing, ["500", "onnection refused"]),
            (&open, &unresolvable, ["500", "Unable to dial out to"]),
            (&guarded, &refusing, ["403", "private or reserved"]),
        ] {
            let fetched = fails(peer, url, how).await;
            assert_eq!(fetched.status, 0, "{fetched:?}");
            assert!(told.iter().all(|word| fetched.error.contains(word)), "{fetched:?}");
        }
    }
}

#[tokio::test]
#[ignore = "needs the Go programs of tests/setup.sh"]
async fn the_real_client_with_the_tls_of_2014_needs_an_rsa_key() {
    let (peer, site) = (Peer::start(|_| {}), Site::start().await);
    for how in ways(TLS_OF_2014) {
        let fetched = fails(&peer, &site.url(36), &how).await;
        assert!(fetched.error.contains("handshake failure"), "{how:?}: {fetched:?}");
    }
}

async fn fetches(peer: &Peer, url: &str, how: &[&str], length: usize) {
    let (complete, fetched) = enproxy_get(peer.address, url, how).await;
    assert!(complete && fetched.len() == 1, "{how:?}: {fetched:?}");
    assert_whole(&fetched[0], length);
    assert_eq!(fetched[0].proxy_host, Peer::HOST);
}

async fn fails(peer: &Peer, url: &str, how: &[&str]) -> Fetched {
    let (complete, mut fetched) = enproxy_get(peer.address, url, how).await;
    assert!(!complete && fetched.len() == 1, "{how:?}: {fetched:?}");
    fetched.remove(0)
}

/// Each of the ways, by this TLS.
fn ways(tls: &'static [&'static str]) -> [Vec<&'static str>; WAYS.len()] {
    WAYS.map(|how| [how, tls].concat())
}

/// How the real client speaks: streamed or buffered, in the form of today or of 2014 and 2015; and the stand-in for that of August
/// 2014 (`go/README.md`).
const WAYS: [&[&str]; 5] = [
    &[],
    &["-buffer"],
    &["-headers"],
    &["-headers", "-buffer"],
    &["-as-2014-08"],
];
