//! What depends on time, with virtual time: no sockets, so that the clock moves exactly when everybody waits.

use std::num::NonZeroU64;

use proto::tunnel::{connect, enproxy::Op};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Duration, Instant},
};

use super::{
    memory::{NEVER, Rig},
    rig::pattern,
};

fn seconds(elapsed: Duration) -> f64 {
    (elapsed.as_secs_f64() * 1000.0).round() / 1000.0
}

#[tokio::test(start_paused = true)]
async fn silences_end_responses() {
    let mut rig = Rig::new(|_| {});
    let mut client = rig.client();
    let start = Instant::now();
    let mut far = rig.tunnel(&mut client, "id").await;
    assert_eq!(seconds(start.elapsed()), 0.035, "an empty first write");
    let start = Instant::now();
    let empty = client.call("id", "a:1", Op::Read, b"").await;
    assert_eq!((empty.head.status, empty.head.eof, empty.body.len()), (200, false, 0));
    assert_eq!(seconds(start.elapsed()), 9.9, "an empty read");
    client.request("id", "a:1", Op::Read, b"").await;
    let start = Instant::now();
    for part in [&b"one "[..], b"two ", b"three"] {
        tokio::time::sleep(Duration::from_millis(30)).await;
        far.write_all(part).await.unwrap();
    }
    assert_eq!(client.answer().await.unwrap().text(), "one two three");
    assert_eq!(
        seconds(start.elapsed()),
        0.125,
        "a gap ends a response, less than a gap does not"
    );
}

#[tokio::test(start_paused = true)]
async fn idle_ids_are_forgotten() {
    let mut rig = Rig::new(|_| {});
    let mut client = rig.client();
    let mut far = rig.tunnel(&mut client, "id").await;
    let start = Instant::now();
    // Polls move no byte: they do not keep it. The one that waits at the end learns that the connection is gone.
    while !client.call("id", "a:1", Op::Read, b"").await.head.eof {}
    assert!(
        (69.9..71.1).contains(&seconds(start.elapsed())),
        "closed after {:?}",
        start.elapsed()
    );
    assert_eq!(far.read(&mut [0]).await.unwrap(), 0);
    // As in every real server the next request begins anew.
    rig.tunnel(&mut client, "id").await;
}

#[tokio::test(start_paused = true)]
async fn ended_destinations_are_closed_soon_and_remembered() {
    let mut rig = Rig::new(|_| {});
    let mut client = rig.client();
    let mut far = rig.tunnel(&mut client, "id").await;
    far.shutdown().await.unwrap();
    let start = Instant::now();
    assert!(client.call("id", "a:1", Op::Read, b"").await.head.eof);
    assert_eq!(far.read(&mut [0]).await.unwrap(), 0);
    assert!(
        (1.9..3.1).contains(&seconds(start.elapsed())),
        "closed after {:?}",
        start.elapsed()
    );
    assert!(client.call("id", "a:1", Op::Read, b"").await.head.eof, "the stone");
    tokio::time::sleep(Duration::from_secs(71)).await;
    rig.tunnel(&mut rig.client(), "id").await;
}

#[tokio::test(start_paused = true)]
async fn a_poll_whose_client_is_gone_reads_nothing() {
    let mut rig = Rig::new(|_| {});
    let mut client = rig.client();
    let mut far = rig.tunnel(&mut client, "id").await;
    client.request("id", "a:1", Op::Read, b"").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    drop(client);
    tokio::time::sleep(Duration::from_secs(1)).await;
    far.write_all(b"kept").await.unwrap();
    assert_eq!(rig.client().call("id", "a:1", Op::Read, b"").await.text(), "kept");
}

#[tokio::test(start_paused = true)]
async fn clients_have_deadlines() {
    let rig = Rig::new(|_| {});
    let mut drip = rig.client();
    let start = Instant::now();
    for byte in b"POST / HTTP/1.1" {
        if drip.stream.write_all(&[*byte]).await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(drip.answer().await.unwrap().head.status, 408);
    assert!(seconds(start.elapsed()) < 16.1, "a drop a second does not help");
    let start = Instant::now();
    assert!(rig.client().rest().await.is_empty());
    assert_eq!(seconds(start.elapsed()), 70.0, "before the first request");
    let mut between = rig.client();
    between.send("HEAD / HTTP/1.1\r\nHost: p\r\n\r\n").await;
    let start = Instant::now();
    assert_eq!(between.rest().await, b"HTTP/1.1 200 OK\r\n\r\n");
    assert_eq!(seconds(start.elapsed()), 70.0, "between two requests");
    let mut body = rig.client();
    body.send("POST / HTTP/1.1\r\nHost: p\r\nContent-Length: 9\r\n\r\n")
        .await;
    let start = Instant::now();
    assert_eq!(body.answer().await.unwrap().head.status, 400);
    assert_eq!(seconds(start.elapsed()), 10.0, "a body that nobody wants");
}

#[tokio::test(start_paused = true)]
async fn dials_have_a_deadline() {
    let rig = Rig::new(|_| {});
    let start = Instant::now();
    let failed = rig.client().call("id", NEVER, Op::Write, b"x").await;
    assert_eq!((failed.head.status, seconds(start.elapsed())), (500, 10.0));
    assert!(failed.text().contains("no connection within 10 s"), "{}", failed.text());
    let request = connect::Request {
        destination: NEVER.into(),
        ..Default::default()
    };
    let refused = rig.client().open(&request).await.unwrap_err();
    assert_eq!(refused, (502, "no connection within 10 s".into()));
}

#[tokio::test(start_paused = true)]
async fn connect_clients_may_wait_for_less() {
    let rig = Rig::new(|_| {});
    for (asked, waits) in [
        ("", 10.0),
        ("X-Lantern-Dial-Timeout: 250\r\n", 0.25),
        ("X-Lantern-Dial-Timeout: 10001\r\n", 10.0),
        ("X-Lantern-Dial-Timeout: 18446744073709551615\r\n", 10.0),
        ("X-Lantern-Dial-Timeout: 0\r\n", 0.0),
        ("X-Lantern-Dial-Timeout: -1\r\n", 10.0),
        ("X-Lantern-Dial-Timeout: soon\r\n", 10.0),
    ] {
        let (mut client, start) = (rig.client(), Instant::now());
        client.send(format!("CONNECT {NEVER} HTTP/1.1\r\n{asked}\r\n")).await;
        let refused = client.answer().await.unwrap();
        let told = format!("no connection within {waits} s");
        assert_eq!((refused.head.status, refused.text()), (502, told), "{asked}");
        assert_eq!(
            (seconds(start.elapsed()), refused.head.keep_alive),
            (waits, false),
            "{asked}"
        );
    }
    // Zero is not even tried: the one that would be there at once is too late.
    assert_eq!(rig.asked(), [NEVER; 6]);
    let mut client = rig.client();
    client
        .send("CONNECT a:1 HTTP/1.1\r\nX-Lantern-Dial-Timeout: 0\r\n\r\n")
        .await;
    assert_eq!(client.answer().await.unwrap().head.status, 502);
    assert_eq!(rig.asked().len(), 6);
}

#[tokio::test(start_paused = true)]
async fn connect_tunnels_end_when_idle_or_over() {
    let mut rig = Rig::new(|_| {});
    let request = connect::Request {
        destination: "a:1".into(),
        ..Default::default()
    };
    let mut client = rig.client();
    client.open(&request).await.unwrap();
    let mut far = rig.dialed.recv().await.unwrap();
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(60)).await;
        far.write_all(b"x").await.unwrap();
    }
    let start = Instant::now();
    assert_eq!(client.rest().await, b"xxx");
    assert!(
        (69.9..70.2).contains(&seconds(start.elapsed())),
        "idle for {:?}",
        start.elapsed()
    );

    let mut client = rig.client();
    client.open(&request).await.unwrap();
    let mut far = rig.dialed.recv().await.unwrap();
    far.write_all(b"last words").await.unwrap();
    far.shutdown().await.unwrap();
    let start = Instant::now();
    assert_eq!(client.rest().await, b"last words");
    assert_eq!(far.read(&mut [0]).await.unwrap(), 0);
    assert_eq!(seconds(start.elapsed()), 2.0, "after the destination's end");

    // A client that is done sending goes on reading, for longer than the linger time.
    let mut client = rig.client();
    client.open(&request).await.unwrap();
    let mut far = rig.dialed.recv().await.unwrap();
    client.stream.shutdown().await.unwrap();
    assert_eq!(far.read(&mut [0]).await.unwrap(), 0);
    tokio::time::sleep(Duration::from_secs(60)).await;
    far.write_all(b"late").await.unwrap();
    drop(far);
    assert_eq!(client.rest().await, b"late");
}

#[tokio::test(start_paused = true)]
async fn the_bandwidth_cap_holds_in_both_tunnels() {
    let mut rig = Rig::new(|config| config.rate = NonZeroU64::new(128 * 1024));
    let mut client = rig.client();
    let mut far = rig.tunnel(&mut client, "id").await;
    let body = pattern(256 * 1024);
    far.write_all(&body).await.unwrap();
    far.shutdown().await.unwrap();
    let start = Instant::now();
    let mut got = Vec::new();
    loop {
        let answer = client.call("id", "a:1", Op::Read, b"").await;
        got.extend_from_slice(&answer.body);
        if answer.head.eof {
            break;
        }
    }
    assert!(got == body);
    assert!(
        (1.9..2.1).contains(&seconds(start.elapsed())),
        "took {:?}",
        start.elapsed()
    );

    let mut client = rig.client();
    client
        .open(&connect::Request {
            destination: "a:1".into(),
            ..Default::default()
        })
        .await
        .unwrap();
    let mut far = rig.dialed.recv().await.unwrap();
    let start = Instant::now();
    client.send(&body).await;
    client.stream.shutdown().await.unwrap();
    got.clear();
    far.read_to_end(&mut got).await.unwrap();
    assert!(got == body);
    assert!(
        (1.9..2.1).contains(&seconds(start.elapsed())),
        "took {:?}",
        start.elapsed()
    );
}
