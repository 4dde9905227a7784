//! What peerscanner asked of each peer, asked of our server.

use super::Peer;
use crate::{
    clients::{Checked, peerscanner_check},
    nobody,
    site::{Manner, Site},
};

#[tokio::test]
#[ignore = "needs the Go programs of tests/setup.sh"]
async fn our_server_passes_peerscanners_check() {
    let (peer, site) = (Peer::start(|_| {}), Site::start().await);
    let (passed, checked) = peerscanner_check(peer.address, Peer::HOST, &site.url(36)).await;
    assert!(passed && checked.online && checked.status == 200, "{checked:?}");
    assert_eq!(checked.reported_host, Peer::HOST);
}

#[tokio::test]
#[ignore = "needs the Go programs of tests/setup.sh"]
async fn our_server_fails_peerscanners_check_when_it_should() {
    let (peer, nameless) = (Peer::start(|_| {}), Peer::start(|config| config.proxy_host = None));
    let (site, ends) = tokio::join!(Site::start(), Site::that(Manner::Ends));
    let ((_kept, nobody), url) = (nobody(), site.url(36));
    for (address, name, url, told, refused) in [
        (
            peer.address,
            "peer-b.zone.test",
            &url,
            "calls itself \"peer-a.zone.test\"",
            false,
        ),
        (nameless.address, Peer::HOST, &url, "calls itself \"\"", false),
        (peer.address, Peer::HOST, &ends.url(36), "EOF", false),
        (peer.address, Peer::HOST, &format!("http://{nobody}/"), "500", false),
        (nobody, Peer::HOST, &url, "connection refused", true),
    ] {
        let (passed, checked) = peerscanner_check(address, name, url).await;
        let Checked {
            online,
            connection_refused,
            ref error,
            ..
        } = checked;
        assert!(!passed && !online && error.contains(told), "{told}: {checked:?}");
        assert_eq!(connection_refused, refused, "{checked:?}");
    }
}
