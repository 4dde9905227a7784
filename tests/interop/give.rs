//! Foreign clients through our give mode server: the real enproxy client, and curl.

use std::{net::SocketAddr, process::Output};

use data_encoding::{BASE64, HEXLOWER};
use peer_agent::{
    Tap,
    give::{Config, Give},
};
use proto::ids::Pin;
use ring::digest::{SHA256, digest};
use tempfile::TempDir;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    front::Front,
    nobody, pattern,
    programs::{Fetched, curl, enproxy_get},
    site::Site,
};

#[tokio::test]
#[ignore = "needs the Go programs of tests/setup.sh"]
async fn the_real_client_fetches_through_our_server() {
    let (peer, site) = (Peer::start(|_| {}), Site::start().await);
    for how in WAYS {
        for length in [36, 300_000] {
            let (complete, fetched) = enproxy_get(peer.address, &site.url(length), how).await;
            assert_whole(complete, &fetched, length);
        }
    }
}

#[tokio::test]
#[ignore = "needs the Go programs of tests/setup.sh"]
async fn the_real_client_posts_through_our_server() {
    let (peer, site, folder) = (Peer::start(|_| {}), Site::start().await, tempfile::tempdir().unwrap());
    let file = folder.path().join("body");
    // More than the client buffers, so that there are writes after the first, on a connection of their own.
    std::fs::write(&file, pattern(300_000)).unwrap();
    for how in WAYS {
        let flags = [how, &["-post", file.to_str().unwrap()]].concat();
        let (complete, fetched) = enproxy_get(peer.address, &site.url(0), &flags).await;
        assert_whole(complete, &fetched, 300_000);
    }
}

#[tokio::test]
#[ignore = "needs the Go programs of tests/setup.sh"]
async fn the_real_client_reads_an_answer_that_is_late() {
    let peer = Peer::start(|_| {});
    for how in WAYS {
        let site = Site::silent().await;
        let front = Front::of(peer.address).await;
        let url = site.url(300_000);
        let answered = async {
            // The client opens its second connection when it has the head of the first answer, so that one was empty.
            front.until(|seen| seen.connections >= 2).await;
            site.release();
        };
        let ((complete, fetched), ()) = tokio::join!(enproxy_get(front.address, &url, how), answered);
        assert_whole(complete, &fetched, 300_000);
    }
}

#[tokio::test]
#[ignore = "needs the Go programs of tests/setup.sh"]
async fn the_real_client_is_told_why_a_destination_is_refused() {
    let (_kept, nobody) = nobody();
    let url = format!("http://{nobody}/");
    let (open, guarded) = (Peer::start(|_| {}), Peer::start(|config| config.allow_private = false));
    for how in WAYS {
        for (peer, told) in [
            (&open, ["500", "onnection refused"]),
            (&guarded, ["403", "private or reserved"]),
        ] {
            let (complete, fetched) = enproxy_get(peer.address, &url, how).await;
            let [Fetched { status: 0, error, .. }] = fetched.as_slice() else {
                panic!("{fetched:?}")
            };
            assert!(!complete && told.iter().all(|word| error.contains(word)), "{error}");
        }
    }
}

#[tokio::test]
#[ignore = "needs curl, see tests/setup.sh"]
async fn curl_connects_through_our_server() {
    let (peer, site, folder) = (
        Peer::start(guarded_by_token),
        Site::start().await,
        tempfile::tempdir().unwrap(),
    );
    let file = folder.path().join("body");
    std::fs::write(&file, pattern(300_000)).unwrap();
    let post = format!("@{}", file.display());
    for (length, more, expected) in [
        (36, &[][..], 36),
        (300_000, &[], 300_000),
        (0, &["--data-binary", &post], 300_000),
    ] {
        let output = peer.curl(RIGHT, &site.url(length), more).await;
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && told == "200 200", "{told}");
        assert!(output.stdout == pattern(expected), "{} bytes came", output.stdout.len());
    }
}

#[tokio::test]
#[ignore = "needs curl, see tests/setup.sh"]
async fn curl_agrees_on_the_pin() {
    let peer = Peer::start(|_| {});
    // What a content network asks of its backends.
    let url = format!("https://{}/", peer.address);
    for (pin, expected) in [
        (peer.pin, (Some(0), "200")),
        (Pin::from_bytes([7; 32]), (Some(PIN_MISMATCH), "000")),
    ] {
        // What curl calls a pinned public key is what a pin is here.
        let pin = format!("sha256//{}", BASE64.encode(pin.as_bytes()));
        let asked = [
            "--head",
            "--insecure",
            "--pinnedpubkey",
            &pin,
            "--write-out",
            "%{stderr}%{http_code}",
            &url,
        ];
        let output = curl(&asked).await;
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), expected.0, "{told}");
        assert!(told.ends_with(expected.1), "{told}");
    }
}

#[tokio::test]
#[ignore = "needs curl, see tests/setup.sh"]
async fn curl_is_told_why_there_is_no_tunnel() {
    let (site, (_kept, nobody)) = (Site::start().await, nobody());
    let open = Peer::start(guarded_by_token);
    let private = Peer::start(|config| config.allow_private = false);
    for (peer, url, token, status) in [
        (&open, format!("http://{nobody}/"), RIGHT, 502),
        (&open, site.url(36), "guess", 400),
        (&private, site.url(36), RIGHT, 403),
    ] {
        let output = peer.curl(token, &url, &[]).await;
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            (output.status.code(), output.stdout.len()),
            (Some(NOT_RECEIVED), 0),
            "{told}"
        );
        assert!(told.contains(&format!("{status} 000")), "{told}");
    }
}

/// Our give mode server on loopback. Stops when dropped.
struct Peer {
    address: SocketAddr,
    pin: Pin,
    _state: TempDir,
    _stop: DropGuard,
}

impl Peer {
    const HOST: &str = "peer-a.zone.test";

    fn start(change: impl FnOnce(&mut Config)) -> Self {
        let state = tempfile::tempdir().unwrap();
        let mut config = Config {
            listen: ([127, 0, 0, 1], 0).into(),
            state: state.path().to_owned(),
            proxy_host: Some(Self::HOST.to_owned()),
            allow_private: true,
            ..Config::default()
        };
        change(&mut config);
        let give = Give::bind(config, Tap::disconnected()).unwrap();
        let (address, pin, stop) = (give.addr(), give.pin(), CancellationToken::new());
        tokio::spawn(give.run(stop.clone()));
        Self {
            address,
            pin,
            _state: state,
            _stop: stop.drop_guard(),
        }
    }

    /// Runs curl with this server as its proxy. The status of the tunnel and that of the answer end what it says on standard
    /// error.
    async fn curl(&self, token: &str, url: &str, more: &[&str]) -> Output {
        let proxy = format!("https://{}", self.address);
        let token = format!("X-Lantern-Auth-Token: {token}");
        let tunnel = [
            "--proxytunnel",
            "--proxy",
            &proxy,
            "--proxy-insecure",
            "--proxy-header",
            &token,
        ];
        let rest = ["--write-out", "%{stderr}%{http_connect} %{http_code}", url];
        curl(&[&tunnel[..], &rest, more].concat()).await
    }
}

fn guarded_by_token(config: &mut Config) {
    config.token = Some(RIGHT.to_owned());
}

fn assert_whole(complete: bool, fetched: &[Fetched], length: usize) {
    let [one] = fetched else { panic!("{fetched:?}") };
    assert!(complete && one.status == 200 && one.error.is_empty(), "{one:?}");
    let expected = HEXLOWER.encode(digest(&SHA256, &pattern(length)).as_ref());
    assert_eq!((one.length, &one.sha256), (length, &expected));
    assert_eq!(one.proxy_host, Peer::HOST);
}

/// How the real client speaks: streamed or buffered, in the form of today or of 2014.
const WAYS: [&[&str]; 4] = [&[], &["-buffer"], &["-headers"], &["-headers", "-buffer"]];
/// curl's exit status when the tunnel was refused ("failure with receiving network data") …
const NOT_RECEIVED: i32 = 56;
/// … and when the server's key is not the pinned one.
const PIN_MISMATCH: i32 = 90;
/// The token of CONNECT clients.
const RIGHT: &str = "sekrit";
