//! What peerscanner asked of each peer, asked of our server.

use peer_agent::{Standing, State};
use proto::key::SigningKey;
use tokio::sync::watch;

use super::Peer;
use crate::{
    clients::{Checked, enproxy_get, peerscanner_check},
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

/// The name that an agent was given is told to those who ask for a host of its zone, and peerscanner asks for an address. Only the
/// settings have our server tell everybody.
#[tokio::test]
#[ignore = "needs the Go programs of tests/setup.sh"]
async fn a_name_that_the_agent_was_given_passes_peerscanners_check_only_when_the_settings_tell_it() {
    let (_told, standing) = watch::channel(named(Peer::HOST));
    let peer = |proxy_host: Option<&str>| {
        Peer::with(
            |config| config.proxy_host = proxy_host.map(str::to_owned),
            |give| give.named_by(standing.clone()),
        )
    };
    let (given, set) = (peer(None), peer(Some(Peer::HOST)));
    let site = Site::start().await;
    let url = site.url(36);

    let (passed, checked) = peerscanner_check(given.address, Peer::HOST, &url).await;
    assert!(!passed && !checked.online, "{checked:?}");
    // It carries, and has its name for others.
    assert_eq!((checked.status, checked.reported_host.as_str()), (200, ""));
    assert!(checked.error.contains("calls itself \"\""), "{checked:?}");
    let of_its_zone = ["-headers", "-host", "roundrobin.zone.test"];
    let (complete, fetched) = enproxy_get(given.address, &url, &of_its_zone).await;
    assert!(complete && fetched[0].proxy_host == Peer::HOST, "{fetched:?}");

    let (passed, checked) = peerscanner_check(set.address, Peer::HOST, &url).await;
    assert!(passed && checked.online, "{checked:?}");
    assert_eq!(checked.reported_host, Peer::HOST);
}

/// Where a peer stands whose name the attester has published.
fn named(name: &str) -> Standing {
    Standing {
        state: State::Named,
        peer_id: SigningKey::from_seed(&[1; 32]).public().peer_id(),
        own_name: Some(name.to_owned()),
        attester: None,
        reason: None,
        remedy: None,
        last_verdict: None,
        valid_until: None,
    }
}
