//! enproxy over TLS: both forms, what clients of all generations send, and how destinations end.

use proto::{
    key::{SigningKey, sha256},
    tunnel::{
        Framing, Version, encode_chunk, encode_last_chunk,
        enproxy::{Form, Op},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::watch,
    time::Duration,
};

use crate::standing::Standing;

use super::rig::{Server, echo, nobody, origin, pattern, within};

/// Reads a request up to the empty line.
async fn read_head(socket: &mut tokio::net::TcpStream) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await?);
    }
    Ok(head)
}

/// An origin that answers a request with `body` and closes.
async fn web(body: &'static [u8]) -> std::net::SocketAddr {
    origin(move |mut socket| async move {
        read_head(&mut socket).await?;
        socket.write_all(body).await?;
        socket.shutdown().await
    })
    .await
}

/// Once the agent was told it, and not before; only as what may stand in a header; and not to whoever comes along.
#[tokio::test]
async fn the_name_that_the_agent_was_given_is_told_to_clients_of_its_zone() {
    let id = SigningKey::from_seed(&[1; 32]).public().peer_id();
    let (told, standing) = watch::channel(Standing::new(id, None));
    let (server, origin) = (Server::named_by(standing), web(b"hello").await);
    let own = Some("peer-a.zone.test");
    for (number, (name, host, shown)) in [
        (None, "peer-a.zone.test", None),
        (own, "peer-a.zone.test", own),
        // Before it was told, a client asks for a name that many share. Behind an edge the port may be another.
        (own, "RoundRobin.Zone.Test:443", own),
        (own, "zone.test.", own),
        // Who scans asks for an address, or for any name.
        (own, "192.0.2.7:443", None),
        (own, "[2001:db8::7]", None),
        (own, "peer.example", None),
        (own, "another-zone.test", None),
        (Some("peer-a\r\nX: y.zone.test"), "zone.test", None),
        (Some("peer-a"), "peer-a", None),
    ]
    .into_iter()
    .enumerate()
    {
        told.send_modify(|standing| standing.own_name = name.map(str::to_owned));
        let mut client = server.client().await;
        client.host = host;
        let first = client
            .call(&number.to_string(), origin, Op::Write, b"GET / HTTP/1.1\r\n\r\n")
            .await;
        assert_eq!(
            (first.text().as_str(), first.head.proxy_host.as_deref()),
            ("hello", shown),
            "{host}"
        );
    }
}

#[tokio::test]
async fn a_request_through_either_form() {
    let (server, origin) = (
        Server::start(|config| config.proxy_host = Some("peer-x.demo.test".into())),
        web(b"hello").await,
    );
    for (form, id) in [(Form::Headers, "one"), (Form::Path, "prefix/two")] {
        let mut client = server.client().await;
        client.form = form;
        let first = client.call(id, origin, Op::Write, b"GET / HTTP/1.1\r\n\r\n").await;
        assert_eq!(
            (first.head.status, first.text().as_str(), first.head.eof),
            (200, "hello", false)
        );
        assert_eq!(
            (first.head.id.as_deref(), first.head.proxy_host.as_deref()),
            (Some(id), Some("peer-x.demo.test"))
        );
        // The end is told by a response without data, again and again.
        for _ in 0..2 {
            let last = client.call(id, origin, Op::Read, b"").await;
            assert_eq!((last.head.status, last.head.eof, last.body.len()), (200, true, 0));
            assert_eq!((last.head.body, last.head.proxy_host), (Framing::Length(0), None));
        }
    }
}

#[tokio::test]
async fn later_writes_do_not_read() {
    let (server, echo) = (Server::start(|_| {}), echo().await);
    let mut client = server.client().await;
    let first = client.call("id", echo, Op::Write, b"one").await;
    assert_eq!((first.text().as_str(), first.head.proxy_host), ("one", None));
    // The destination of a known id is not looked at.
    let second = client.call("id", "elsewhere:1", Op::Write, b"two").await;
    assert_eq!(
        (second.head.status, second.head.id.as_deref(), second.body.len()),
        (200, None, 0)
    );
    let read = client.call("id", "elsewhere:1", Op::Read, b"").await;
    assert_eq!((read.text().as_str(), read.head.id.as_deref()), ("two", Some("id")));
}

#[tokio::test]
async fn reads_and_writes_of_one_tunnel_at_the_same_time() {
    let (server, echo) = (Server::start(|_| {}), echo().await);
    let (mut reader, mut writer) = (server.client().await, server.client().await);
    assert_eq!(reader.call("id", echo, Op::Write, b"").await.body.len(), 0);
    for text in ["first", "second"] {
        reader.request("id", echo, Op::Read, b"").await;
        assert_eq!(
            writer.call("id", echo, Op::Write, text.as_bytes()).await.head.status,
            200
        );
        assert_eq!(reader.answer().await.unwrap().text(), text);
    }
}

#[tokio::test]
async fn chunked_bodies_flow_before_they_end() {
    let (server, (arrived, mut seen)) = (Server::start(|_| {}), tokio::sync::mpsc::channel::<Vec<u8>>(4));
    let origin = origin(move |mut socket| {
        let arrived = arrived.clone();
        async move {
            for _ in 0..2 {
                let mut part = [0; 5];
                socket.read_exact(&mut part).await?;
                arrived.send(part.to_vec()).await.unwrap();
            }
            socket.write_all(b"done").await
        }
    })
    .await;
    let mut client = server.client().await;
    let head = format!("POST /id/{origin}/write/ HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send(&head).await;
    for part in [b"part1", b"part2"] {
        let mut chunk = Vec::new();
        encode_chunk(&mut chunk, part);
        client.send(&chunk).await;
        assert_eq!(within(seen.recv()).await.unwrap(), part);
    }
    let mut end = Vec::new();
    encode_last_chunk(&mut end);
    client.send(&end).await;
    assert_eq!(client.answer().await.unwrap().text(), "done");
}

#[tokio::test]
async fn a_banner_answers_an_empty_first_write() {
    let banner = origin(|mut socket| async move {
        socket.write_all(b"220 banner speaks first\r\n").await?;
        socket.read_u8().await.map(drop)
    })
    .await;
    let server = Server::start(|config| config.limits.gap = Duration::from_secs(5));
    let mut client = server.client().await;
    client.request("sized", banner, Op::Write, b"").await;
    let mut chunked =
        format!("POST /chunked/{banner}/write/ HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n\r\n").into_bytes();
    encode_last_chunk(&mut chunked);
    let mut other = server.client().await;
    other.send(&chunked).await;
    for client in [&mut client, &mut other] {
        // Seen before the response ends: bytes are not held back.
        while !client.input.ends_with(b"first\r\n\r\n") {
            assert_ne!(client.more().await, 0);
        }
    }
}

#[tokio::test]
async fn a_read_may_come_first() {
    let (server, echo) = (Server::start(|_| {}), echo().await);
    let banner = origin(|mut socket| async move {
        socket.write_all(b"banner").await?;
        socket.read_u8().await.map(drop)
    })
    .await;
    let mut client = server.client().await;
    let read = client.call("banner", banner, Op::Read, b"").await;
    assert_eq!((read.text().as_str(), read.head.proxy_host), ("banner", None));
    // As in the Go server the write after it is not a first one any more.
    client.request("echo", echo, Op::Read, b"").await;
    let mut writer = server.client().await;
    let written = writer.call("echo", echo, Op::Write, b"late").await;
    assert_eq!((written.head.id, written.body.len()), (None, 0));
    assert_eq!(client.answer().await.unwrap().text(), "late");
}

#[tokio::test]
async fn ends_of_destinations() {
    let server = Server::start(|config| config.limits.gap = Duration::from_secs(5));
    let mut client = server.client().await;
    let silent = origin(|mut socket| async move { read_head(&mut socket).await.map(drop) }).await;
    let at_once = client.call("eof", silent, Op::Write, b"\r\n\r\n").await;
    assert_eq!(
        (at_once.head.status, at_once.head.eof, at_once.body.len()),
        (200, true, 0)
    );
    let reset = origin(|mut socket| async move {
        read_head(&mut socket).await?;
        socket2::SockRef::from(&socket).set_linger(Some(Duration::ZERO))
    })
    .await;
    let cut = client.call("rst", reset, Op::Write, b"\r\n\r\n").await;
    assert_eq!((cut.head.status, cut.head.eof, cut.body.len()), (200, false, 0));
    assert!(client.call("rst", reset, Op::Read, b"").await.head.eof);
}

#[tokio::test]
async fn writes_after_the_end_fail_and_keep_the_connection() {
    let server = Server::start(|config| config.limits.linger = Duration::from_millis(40));
    let silent = origin(|mut socket| async move { read_head(&mut socket).await.map(drop) }).await;
    let mut client = server.client().await;
    assert!(client.call("id", silent, Op::Write, b"\r\n\r\n").await.head.eof);
    loop {
        let late = client.call("id", silent, Op::Write, b"more").await;
        if late.head.status == 500 {
            assert!(
                late.text().starts_with("Unable to write to connOut: "),
                "{}",
                late.text()
            );
            break;
        }
    }
    assert!(client.call("id", silent, Op::Read, b"").await.head.eof);
}

#[tokio::test]
async fn unreachable_destinations_are_told_again() {
    let server = Server::start(|_| {});
    let (nobody, mut client) = (nobody().await.to_string(), server.client().await);
    // A label of 64 characters cannot be asked for: the resolver refuses it without sending a query.
    let unresolvable = format!("{}.invalid:80", "x".repeat(64));
    for (id, destination, cause) in [
        ("refused", nobody.as_str(), "onnection refused"),
        ("unresolvable", &unresolvable, "cannot resolve"),
        ("portless", "127.0.0.1", "not host:port"),
    ] {
        for op in [Op::Write, Op::Write, Op::Read] {
            let failed = client.call(id, destination, op, b"GET / HTTP/1.1\r\n\r\n").await;
            assert_eq!(
                (failed.head.status, failed.head.id.as_deref(), failed.head.keep_alive),
                (500, None, true)
            );
            let text = failed.text();
            assert!(
                text.starts_with("Unable to get outoing connection to destination server: "),
                "{text}"
            );
            assert!(text.contains(destination) && text.contains(cause), "{text}");
            client.input.clear();
            if op == Op::Read {
                break;
            }
        }
    }
}

#[tokio::test]
async fn private_destinations_and_ports_are_refused_with_the_reason() {
    let echo = echo().await;
    let strict = Server::start(|config| config.allow_private = false);
    let mut client = strict.client().await;
    for (id, destination) in [("a", echo.to_string()), ("b", format!("localhost:{}", echo.port()))] {
        let refused = client.call(id, destination, Op::Write, b"x").await;
        assert_eq!(refused.head.status, 403);
        assert!(refused.text().contains("is private or reserved"), "{}", refused.text());
    }
    let ports = Server::start(|config| config.ports = vec![443]);
    let refused = ports.client().await.call("id", echo, Op::Write, b"x").await;
    assert_eq!(refused.head.status, 403);
    assert!(
        refused.text().contains(&format!("port {} is not served", echo.port())),
        "{}",
        refused.text()
    );
}

#[tokio::test]
async fn dials_from_the_bind_address() {
    let server = Server::start(|config| config.bind = "127.77.3.1".parse().ok());
    let whoami = origin(|mut socket| async move {
        let source = socket.peer_addr()?.ip().to_string();
        socket.write_all(source.as_bytes()).await
    })
    .await;
    assert_eq!(
        server.client().await.call("id", whoami, Op::Write, b"").await.text(),
        "127.77.3.1"
    );
}

#[tokio::test]
async fn three_megabytes_down() {
    let body = pattern(3 << 20);
    let digest = sha256(&body);
    let origin = origin(move |mut socket| {
        let body = body.clone();
        async move {
            read_head(&mut socket).await?;
            socket.write_all(&body).await
        }
    })
    .await;
    for rate in [None, std::num::NonZeroU64::new(64 << 20)] {
        let server = Server::start(|config| config.rate = rate);
        let mut client = server.client().await;
        let mut got = client.call("id", origin, Op::Write, b"\r\n\r\n").await.body;
        loop {
            let answer = client.call("id", origin, Op::Read, b"").await;
            got.extend_from_slice(&answer.body);
            if answer.head.eof {
                break;
            }
        }
        assert_eq!((got.len(), sha256(&got)), (3 << 20, digest));
    }
}

#[tokio::test]
async fn two_hundred_kilobytes_up_in_every_framing() {
    let body = pattern(200_000);
    let digest = sha256(&body);
    let origin = origin(|mut socket| async move {
        let mut got = vec![0; 200_000];
        socket.read_exact(&mut got).await?;
        socket.write_all(&sha256(&got)).await
    })
    .await;
    let server = Server::start(|config| config.limits.gap = Duration::from_millis(200));
    let mut client = server.client().await;
    assert_eq!(client.call("whole", origin, Op::Write, &body).await.body, digest);
    let mut chunked =
        format!("POST /chunked/{origin}/write/ HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n\r\n").into_bytes();
    body.chunks(1000).for_each(|part| encode_chunk(&mut chunked, part));
    encode_last_chunk(&mut chunked);
    client.send(&chunked).await;
    assert_eq!(client.answer().await.unwrap().body, digest);
    // As the Go client does it: the first write, then more of them on a second connection while the first reads.
    let (first, later) = body.split_at(65536);
    assert_eq!(client.call("parts", origin, Op::Write, first).await.body.len(), 0);
    client.request("parts", origin, Op::Read, b"").await;
    let mut writer = server.client().await;
    for part in later.chunks(65536) {
        assert_eq!(writer.call("parts", origin, Op::Write, part).await.head.status, 200);
    }
    assert_eq!(client.answer().await.unwrap().body, digest);
}

#[tokio::test]
async fn health_checks_old_versions_and_expectations() {
    let (server, origin) = (Server::start(|_| {}), web(b"hello").await);
    let mut client = server.client().await;
    client
        .send("HEAD /anything HTTP/1.1\r\nHost: p\r\n\r\nHEAD / HTTP/1.1\r\nHost: p\r\n\r\n")
        .await;
    let twice = b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n";
    while client.input.len() < twice.len() {
        assert_ne!(client.more().await, 0);
    }
    assert_eq!(std::mem::take(&mut client.input), twice);

    let head = format!(
        "POST / HTTP/1.1\r\nHost: p\r\nX-Enproxy-Id: a\r\nX-Enproxy-Dest-Addr: {origin}\r\nX-Enproxy-Op: write\r\n"
    );
    client
        .send(format!("{head}Expect: 100-continue\r\nContent-Length: 4\r\n\r\n"))
        .await;
    while !client.input.ends_with(b"HTTP/1.1 100 Continue\r\n\r\n") {
        assert_ne!(client.more().await, 0);
    }
    client.send("\r\n\r\n").await;
    assert_eq!(client.answer().await.unwrap().text(), "hello");

    client
        .send(format!(
            "GET /b/{origin}/write/ HTTP/1.0\r\nContent-Length: 4\r\n\r\n\r\n\r\n"
        ))
        .await;
    let old = client.answer().await.unwrap();
    assert_eq!(
        (old.text().as_str(), old.head.version, old.head.keep_alive),
        ("hello", Version::Http10, false)
    );
    assert!(client.answer().await.is_none(), "closed after an HTTP/1.0 exchange");
}
