//! curl through our server.

use std::process::Output;

use data_encoding::BASE64;
use proto::ids::Pin;

use super::{Peer, RIGHT, file, guarded_by_token, with_rsa_key};
use crate::{nobody, pattern, programs::curl, site::Site};

#[tokio::test]
#[ignore = "needs curl, see tests/setup.sh"]
async fn curl_connects_through_our_server() {
    let (peer, site) = (Peer::start(guarded_by_token), Site::start().await);
    let (_folder, file) = file(300_000);
    let post = format!("@{file}");
    for (length, more, expected) in [
        (36, &[][..], 36),
        (300_000, &[], 300_000),
        (0, &["--data-binary", &post], 300_000),
    ] {
        let output = through(&peer, RIGHT, &site.url(length), more).await;
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

/// Of what flashlight spoke in 2014, one suite is still in TLS libraries.
#[tokio::test]
#[ignore = "needs curl, see tests/setup.sh"]
async fn a_client_with_the_tls_of_2014_needs_an_rsa_key() {
    for (peer, status) in [(&Peer::start(with_rsa_key), 0), (&Peer::start(|_| {}), NO_HANDSHAKE)] {
        let url = format!("https://{}/", peer.address);
        let limited = ["--tls-max", "1.2", "--ciphers", "ECDHE-RSA-AES128-GCM-SHA256"];
        let output = curl(&[&limited[..], &["--head", "--insecure", &url]].concat()).await;
        assert_eq!(output.status.code(), Some(status), "{output:?}");
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
        let output = through(peer, token, &url, &[]).await;
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            (output.status.code(), output.stdout.len()),
            (Some(NOT_RECEIVED), 0),
            "{told}"
        );
        assert!(told.contains(&format!("{status} 000")), "{told}");
    }
}

/// Runs curl with this server as its proxy. The status of the tunnel and that of the answer end what it says on standard error.
async fn through(peer: &Peer, token: &str, url: &str, more: &[&str]) -> Output {
    let proxy = format!("https://{}", peer.address);
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

/// curl's exit status when the tunnel was refused ("failure with receiving network data") …
const NOT_RECEIVED: i32 = 56;
/// … when there was no TLS handshake …
const NO_HANDSHAKE: i32 = 35;
/// … and when the server's key is not the pinned one.
const PIN_MISMATCH: i32 = 90;
