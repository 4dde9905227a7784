//! A client like the chained dialer through our server. A stand-in: the real one is not to be had (`go/README.md`).

use std::{io, path::Path, time::Duration};

use tokio::{io::AsyncReadExt, net::TcpStream};

use super::{Peer, RIGHT, TLS_OF_2014, assert_whole, by_either_tls, file, guarded_by_token};
use crate::{
    clients::{Kept, connect_get},
    nobody,
    site::{Manner, Site},
    unresolvable, within,
};

#[tokio::test]
#[ignore = "needs the Go programs of tests/setup.sh"]
async fn a_chained_dialer_fetches_and_posts_through_our_server() {
    let (site, (_folder, file)) = (Site::start().await, file(200_000));
    for (peer, tls) in by_either_tls(guarded_by_token) {
        // A client of several servers sends the tokens of all.
        for tokens in [&["-token", RIGHT][..], &["-token", "another's", "-token", RIGHT]] {
            for (length, more, expected) in [
                (36, &[][..], 36),
                (300_000, &[], 300_000),
                (3_000_000, &[], 3_000_000),
                (0, &["-post", &file], 200_000),
            ] {
                let flags = [tls, tokens, more].concat();
                fetches(&peer, &site.url(length), &flags, expected).await;
            }
        }
    }
}

#[tokio::test]
#[ignore = "needs the Go programs of tests/setup.sh"]
async fn a_chained_dialer_waits_for_an_answer_that_is_late() {
    for (peer, tls) in by_either_tls(guarded_by_token) {
        let site = Site::silent().await;
        let (url, flags) = (site.url(300_000), [tls, &["-token", RIGHT]].concat());
        let answered = async {
            site.asked(1).await;
            site.release();
        };
        tokio::join!(fetches(&peer, &url, &flags, 300_000), answered);
    }
}

#[tokio::test]
#[ignore = "needs the Go programs of tests/setup.sh"]
async fn a_chained_dialer_uses_its_tunnel_again() {
    for (peer, tls) in by_either_tls(guarded_by_token) {
        let (site, flags) = (Site::start().await, [tls, &["-token", RIGHT]].concat());
        let mut client = Kept::connect(peer.address, &peer.certificate(), &site.url(36), &flags);
        for times in 1..=3 {
            assert_whole(&client.next().await, 36);
            site.asked(times).await;
            client.again();
        }
        assert_whole(&client.next().await, 36);
    }
}

#[tokio::test]
#[ignore = "needs the Go programs of tests/setup.sh"]
async fn a_chained_dialer_keeps_its_tunnel_while_nothing_happens_in_it() {
    // Only the idle time is longer than the silence.
    let peer = Peer::start(|config| {
        guarded_by_token(config);
        let limits = &mut config.limits;
        limits.handshake = Duration::from_secs(1);
        (limits.head, limits.keep_alive, limits.stall) = (limits.handshake, limits.handshake, limits.handshake);
    });
    let site = Site::start().await;
    let mut client = Kept::connect(peer.address, &peer.certificate(), &site.url(36), &["-token", RIGHT]);
    assert_whole(&client.next().await, 36);
    // That long it takes until a connection on which nothing comes is closed.
    let mut silent = TcpStream::connect(peer.address).await.unwrap();
    assert_eq!(
        within(silent.read_u8()).await.unwrap_err().kind(),
        io::ErrorKind::UnexpectedEof
    );
    client.again();
    assert_whole(&client.next().await, 36);
    site.asked(2).await;
}

#[tokio::test]
#[ignore = "needs the Go programs of tests/setup.sh"]
async fn a_chained_dialer_is_told_what_went_wrong() {
    let open = Peer::start(guarded_by_token);
    let guarded = Peer::start(|config| {
        guarded_by_token(config);
        config.allow_private = false;
    });
    let (ends, resets, site) = tokio::join!(Site::that(Manner::Ends), Site::that(Manner::Resets), Site::start());
    let (_kept, nobody) = nobody();
    let right = &["-token", RIGHT][..];
    let with_tls_of_2014 = [TLS_OF_2014, right].concat();
    let mine = &open.certificate();
    for (peer, certificate, url, tokens, told) in [
        (&open, mine, site.url(36), &["-token", "guess"][..], "no tunnel: 400"),
        (&open, mine, site.url(36), &[], "no tunnel: 400"),
        (&open, mine, format!("http://{nobody}/"), right, "no tunnel: 502"),
        (
            &open,
            mine,
            format!("http://{}/", unresolvable()),
            right,
            "no tunnel: 502",
        ),
        (&guarded, &guarded.certificate(), site.url(36), right, "no tunnel: 403"),
        (
            &open,
            &guarded.certificate(),
            site.url(36),
            right,
            "another certificate",
        ),
        // Our server's own key is not of RSA.
        (&open, mine, site.url(36), &with_tls_of_2014, "handshake failure"),
        (&open, mine, ends.url(36), right, "EOF"),
        (&open, mine, resets.url(36), right, "EOF"),
    ] {
        let error = fails(peer, certificate, &url, tokens).await;
        assert!(error.contains(told), "{told}: {error}");
    }
}

async fn fetches(peer: &Peer, url: &str, flags: &[&str], length: usize) {
    let (complete, fetched) = connect_get(peer.address, &peer.certificate(), url, flags).await;
    assert!(complete && fetched.len() == 1, "{flags:?}: {fetched:?}");
    assert_whole(&fetched[0], length);
}

async fn fails(peer: &Peer, certificate: &Path, url: &str, flags: &[&str]) -> String {
    let (complete, mut fetched) = connect_get(peer.address, certificate, url, flags).await;
    assert!(!complete && fetched.len() == 1, "{fetched:?}");
    let fetched = fetched.remove(0);
    assert_eq!(fetched.status, 0, "{fetched:?}");
    fetched.error
}
