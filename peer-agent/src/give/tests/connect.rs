//! CONNECT over TLS.

use std::io;

use proto::tunnel::{connect::Request, enproxy::Op};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::rig::{Server, echo, nobody, origin, pattern};

fn to(destination: impl ToString, tokens: &[&str]) -> Request {
    let tokens = tokens.iter().map(ToString::to_string).collect();
    Request {
        destination: destination.to_string(),
        tokens,
        device_id: Some("1234-5678-90".into()),
        dial_timeout: None,
    }
}

#[tokio::test]
async fn the_token_decides() {
    let (server, echo) = (
        Server::start(|config| config.token = Some("sekrit".into())),
        echo().await,
    );
    for tokens in [&[][..], &["wrong"], &["sekri", "sekrits", "Sekrit"]] {
        let (status, text) = server.client().await.open(&to(echo, tokens)).await.unwrap_err();
        assert!(status == 400 && !text.contains("oken"), "{tokens:?}: {status} {text}");
    }
    let mut client = server.client().await;
    client.open(&to(echo, &["other", "sekrit"])).await.unwrap();
    client.send("ping").await;
    while client.input != b"ping" {
        assert_ne!(client.more().await, 0);
    }
    // enproxy has no authentication, with a token or without.
    assert_eq!(
        server.client().await.call("id", echo, Op::Write, b"ping").await.text(),
        "ping"
    );
}

#[tokio::test]
async fn a_tunnel_carries_both_ways_until_both_ends() {
    let server = Server::start(|_| {});
    let origin = origin(|mut socket| async move {
        let mut got = Vec::new();
        socket.read_to_end(&mut got).await?;
        got.reverse();
        socket.write_all(&got).await
    })
    .await;
    let mut client = server.client().await;
    client.open(&to(origin, &[])).await.unwrap();
    let sent = pattern(500_000);
    client.send(&sent).await;
    // The end of one direction does not end the other.
    client.stream.shutdown().await.unwrap();
    let mut got = client.rest().await;
    got.reverse();
    assert!(got == sent, "{} bytes came back", got.len());
}

#[tokio::test]
async fn bytes_sent_too_early_are_not_lost() {
    let (server, echo) = (Server::start(|_| {}), echo().await);
    let mut client = server.client().await;
    client
        .send(format!("CONNECT {echo} HTTP/1.1\r\nHost: elsewhere:1\r\n\r\nearly"))
        .await;
    while !client.input.ends_with(b"\r\n\r\nearly") {
        assert_ne!(client.more().await, 0);
    }
}

#[tokio::test]
async fn refusals() {
    let server = Server::start(|_| {});
    let (status, text) = server.client().await.open(&to(nobody().await, &[])).await.unwrap_err();
    assert!(status == 502 && text.contains("onnection refused"), "{status} {text}");
    let echo = echo().await;
    let ports = Server::start(|config| config.ports = vec![443]);
    let (status, text) = ports.client().await.open(&to(echo, &[])).await.unwrap_err();
    assert!(status == 403 && text.contains("is not served"), "{status} {text}");
    let strict = Server::start(|config| config.allow_private = false);
    let (status, text) = strict.client().await.open(&to(echo, &[])).await.unwrap_err();
    assert!(
        status == 403 && text.contains("is private or reserved"),
        "{status} {text}"
    );
}

#[tokio::test]
async fn a_lost_destination_ends_the_tunnel() {
    let server = Server::start(|_| {});
    let reset = origin(|mut socket| async move {
        socket.write_all(b"half").await?;
        socket.read_u8().await?;
        socket2::SockRef::from(&socket).set_linger(Some(std::time::Duration::ZERO))
    })
    .await;
    let mut client = server.client().await;
    client.open(&to(reset, &[])).await.unwrap();
    while client.input != b"half" {
        assert_ne!(client.more().await, 0);
    }
    client.send("x").await;
    let mut byte = [0];
    let ended = super::rig::within(client.stream.read(&mut byte)).await;
    // Without a close_notify: the client must not take it for an orderly end.
    assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
}
