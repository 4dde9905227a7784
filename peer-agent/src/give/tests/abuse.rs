//! What strangers send, and what they cost.

use std::io;

use proto::tunnel::enproxy::Op;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Duration,
};

use super::rig::{Server, echo, within};

#[tokio::test]
async fn both_tls_versions_without_sni_and_nothing_else() {
    let (server, echo) = (Server::start(|_| {}), echo().await);
    for (id, version) in [("13", &rustls::version::TLS13), ("12", &rustls::version::TLS12)] {
        let mut client = super::rig::Client::new(server.connect(&[version]).await.unwrap());
        assert_eq!(client.call(id, echo, Op::Write, b"ping").await.text(), "ping");
        let (_, connection) = client.stream.get_ref();
        assert_eq!(
            (connection.protocol_version(), connection.alpn_protocol()),
            (Some(version.version), None)
        );
    }
    // Plain text on the TLS port ends the connection, not the server.
    let mut plain = TcpStream::connect(server.addr).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    super::rig::Client::new(plain).rest().await;
    server.client().await.call("after", echo, Op::Write, b"ping").await;
}

#[tokio::test]
async fn requests_that_end_the_connection_are_told_why() {
    let server = Server::start(|_| {});
    let huge = format!("POST / HTTP/1.1\r\nHost: p\r\nX: {}\r\n\r\n", "x".repeat(20_000));
    let many = format!("POST / HTTP/1.1\r\nHost: p\r\n{}\r\n", "X: y\r\n".repeat(100));
    for (bytes, status, text) in [
        ("\u{1}\u{2}garbage", 400, "not an HTTP/1 head"),
        (
            "POST / HTTP/1.1\r\nHost: p\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
            "both Content-Length",
        ),
        (
            "POST / HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            400,
            "hexadecimal",
        ),
        ("CONNECT example.org HTTP/1.1\r\n\r\n", 400, "not host:port"),
        ("POST /id/a:1/write/ HTTP/1.1\r\n\r\n", 400, "names the one host"),
        (
            "HEAD / HTTP/1.1\r\nHost: p\r\nHost: p\r\n\r\n",
            400,
            "names the one host",
        ),
        (&huge, 431, "longer than 16384 bytes"),
        (&many, 431, "more than 64 header fields"),
    ] {
        let mut client = server.client().await;
        client.send(bytes).await;
        let answer = client.answer().await.unwrap();
        assert_eq!((answer.head.status, answer.head.keep_alive), (status, false));
        assert!(answer.text().contains(text), "{}", answer.text());
        assert!(client.rest().await.is_empty());
    }
}

#[tokio::test]
async fn requests_that_are_no_tunnel_keep_the_connection() {
    let server = Server::start(|_| {});
    let mut client = server.client().await;
    for (request, status, text) in [
        (
            "POST / HTTP/1.1\r\nHost: p\r\nContent-Length: 5\r\n\r\n12345",
            400,
            "No id found in header X-Enproxy-Id",
        ),
        (
            "POST / HTTP/1.1\r\nHost: p\r\nX-Enproxy-Id: abc\r\n\r\n",
            400,
            "No address found in header X-Enproxy-Dest-Addr",
        ),
        (
            "GET /favicon.ico HTTP/1.1\r\nHost: p\r\n\r\n",
            400,
            "Unexpected request path: /favicon.ico",
        ),
        (
            "POST /a/b:1/delete/ HTTP/1.1\r\nHost: p\r\n\r\n",
            500,
            "Operation not supported: delete",
        ),
    ] {
        client.send(request).await;
        let answer = client.answer().await.unwrap();
        assert_eq!(
            (answer.head.status, answer.text().as_str(), answer.head.keep_alive),
            (status, text, true)
        );
    }
}

#[tokio::test]
async fn slow_heads_meet_a_deadline() {
    let server = Server::start(|config| config.limits.head = Duration::from_millis(100));
    let mut client = server.client().await;
    client.send("POST / HT").await;
    let answer = client.answer().await.unwrap();
    assert_eq!(answer.head.status, 408);
    assert!(client.rest().await.is_empty());
    // Silence from the start, after TLS and before it.
    let silent = Server::start(|config| {
        config.limits.handshake = Duration::from_millis(50);
        config.limits.keep_alive = Duration::from_millis(50);
    });
    assert!(silent.client().await.rest().await.is_empty());
    super::rig::Client::new(TcpStream::connect(silent.addr).await.unwrap())
        .rest()
        .await;
}

#[tokio::test]
async fn a_stuck_client_blocks_nobody_and_is_dropped() {
    let (server, echo) = (
        Server::start(|config| config.limits.stall = Duration::from_millis(300)),
        echo().await,
    );
    let flood = super::rig::origin(|mut socket| async move {
        loop {
            socket.write_all(&[7; 65536]).await?;
        }
    })
    .await;
    let mut stuck = server.client().await;
    stuck.request("stuck", flood, Op::Write, b"").await;
    let mut half = server.client().await;
    half.send(format!(
        "POST /half/{echo}/write/ HTTP/1.1\r\nHost: p\r\nContent-Length: 100\r\n\r\nhalf a body"
    ))
    .await;
    for n in 0..20 {
        let mut client = server.client().await;
        assert_eq!(
            client.call(&n.to_string(), echo, Op::Write, b"ping").await.text(),
            "ping"
        );
    }
    // Bytes that the stuck client never got are gone, and its tunnel with them.
    let mut after = server.client().await;
    let lost = within(async {
        loop {
            // The read waits behind the one that is stuck.
            let answer = after.call("stuck", flood, Op::Read, b"").await;
            if answer.head.status != 200 {
                break answer;
            }
        }
    });
    assert!(lost.await.text().contains("could not be delivered"));
    assert!(half.rest().await.is_empty());
    let broken = after.call("half", echo, Op::Read, b"").await;
    assert!(broken.text().contains("broke off"), "{broken:?}");
}

#[tokio::test]
async fn tunnels_and_connections_are_counted() {
    let server = Server::start(|config| {
        config.limits.tunnels_per_source = 2;
        config.limits.connections_per_source = 3;
    });
    let echo = echo().await;
    let (mut first, mut second) = (server.client().await, server.client().await);
    first.call("a", echo, Op::Write, b"x").await;
    let connect = proto::tunnel::connect::Request {
        destination: echo.to_string(),
        ..Default::default()
    };
    second.open(&connect).await.unwrap();
    let full = first.call("b", echo, Op::Write, b"x").await;
    assert_eq!(full.head.status, 503);
    assert!(full.text().contains("too many"), "{}", full.text());
    drop(first);
    // A failed id takes no seat, a closed tunnel gives its own back.
    drop(second);
    let mut again = server.client().await;
    while again.call("c", echo, Op::Write, b"x").await.head.status == 503 {
        again = server.client().await;
    }
    let _other = server.client().await;
    let third = server.client().await;
    let refused = server.connect(&[&rustls::version::TLS13]).await;
    assert!(
        refused.is_err_and(|error| error.kind() != io::ErrorKind::InvalidData),
        "the fourth connection"
    );
    drop(third);
}

#[tokio::test]
async fn stops_when_told_and_ends_what_runs() {
    let server = Server::start(|config| config.limits.drain = Duration::from_secs(20));
    let (mut idle, mut polling) = (server.client().await, server.client().await);
    idle.call("idle", echo().await, Op::Write, b"x").await;
    let (dialed, mut served) = tokio::sync::mpsc::channel(1);
    let silent = super::rig::origin(move |mut socket| {
        let dialed = dialed.clone();
        async move {
            dialed.send(()).await.unwrap();
            socket.read_u8().await.map(drop)
        }
    })
    .await;
    polling.request("polling", silent, Op::Read, b"").await;
    within(served.recv()).await.unwrap();
    server.stop.cancel();
    let last = polling.answer().await.unwrap();
    assert_eq!(
        (last.head.status, last.head.keep_alive, last.body.len()),
        (200, false, 0)
    );
    assert!(idle.rest().await.is_empty() && polling.rest().await.is_empty());
    within(server.running).await.unwrap();
    assert!(TcpStream::connect(server.addr).await.is_err());
}

#[tokio::test]
async fn the_drain_is_bounded() {
    let server = Server::start(|config| config.limits.drain = Duration::from_millis(50));
    let echo = echo().await;
    let mut open = server.client().await;
    let connect = proto::tunnel::connect::Request {
        destination: echo.to_string(),
        ..Default::default()
    };
    open.open(&connect).await.unwrap();
    server.stop.cancel();
    within(server.running).await.unwrap();
    assert!(open.rest().await.is_empty());
}
