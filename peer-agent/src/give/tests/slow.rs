//! Slow clients: they cost what they hold, and nobody else any time. The time is virtual and goes on only when nobody can do
//! anything: an exchange during which it stands still has waited for nobody.

use proto::tunnel::{connect, enproxy::Op};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    time::{Duration, Instant, sleep},
};

use super::{
    memory::Rig,
    rig::{Client, pattern},
};

/// Whole exchanges of other clients, by both tunnels: first write and answer, later write, read, end.
async fn others_are_served_at_once(rig: &mut Rig, round: &str) {
    let start = Instant::now();
    for n in 0..25 {
        let id = format!("{round}-{n}");
        let mut client = rig.client();
        client.request(&id, "a:1", Op::Write, b"question").await;
        let mut far = rig.dialed.recv().await.unwrap();
        let mut heard = [0; 8];
        far.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"question");
        // It closes, so that no answer waits for more.
        far.write_all(id.as_bytes()).await.unwrap();
        far.shutdown().await.unwrap();
        assert_eq!(client.answer().await.unwrap().text(), id);
        assert_eq!(client.call(&id, "a:1", Op::Write, b"more").await.head.status, 200);
        assert!(client.call(&id, "a:1", Op::Read, b"").await.head.eof);

        let mut client = rig.client();
        let mut far = connected(rig, &mut client).await;
        client.send("question").await;
        far.read_exact(&mut heard).await.unwrap();
        far.write_all(&heard).await.unwrap();
        drop(far);
        assert_eq!(client.rest().await, b"question");
    }
    assert_eq!(start.elapsed(), Duration::ZERO, "{round}: someone was waited for");
}

async fn connected(rig: &mut Rig, client: &mut Client<DuplexStream>) -> DuplexStream {
    let request = connect::Request {
        destination: "a:1".into(),
        ..Default::default()
    };
    client.open(&request).await.unwrap();
    rig.dialed.recv().await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn no_slow_client_delays_another() {
    let mut rig = Rig::new(|_| {});
    let body = pattern(100_000);

    // One that does not read its response, nor what comes through its CONNECT tunnel.
    let (mut deaf, mut deaf_connect) = (rig.narrow_client(64), rig.narrow_client(64));
    deaf.request("deaf", "a:1", Op::Read, b"").await;
    let mut flood = rig.dialed.recv().await.unwrap();
    flood.write_all(&body).await.unwrap();
    flood.shutdown().await.unwrap();
    let mut flood_connect = connected(&mut rig, &mut deaf_connect).await;
    flood_connect.write_all(&body).await.unwrap();
    flood_connect.shutdown().await.unwrap();
    // One in the middle of a head, and one that waits for bytes that do not come.
    let (mut half, mut polling) = (rig.client(), rig.client());
    half.send("POST / HTTP/1.1\r\nHost: p\r\nX-Enpr").await;
    let silent = rig.tunnel(&mut polling, "polling").await;
    polling.request("polling", "a:1", Op::Read, b"").await;
    others_are_served_at_once(&mut rig, "deaf").await;

    // One that sends its body a byte at a time, with seconds in between.
    let mut drip = rig.client();
    drip.send("POST /drip/a:1/write/ HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    let mut far = rig.dialed.recv().await.unwrap();
    for (n, byte) in b"4\r\ndrip\r\n0\r\n\r\n".iter().enumerate() {
        others_are_served_at_once(&mut rig, &format!("drip-{n}")).await;
        drip.send([*byte]).await;
        sleep(Duration::from_secs(1)).await;
    }
    let mut heard = [0; 4];
    far.read_exact(&mut heard).await.unwrap();
    far.write_all(&heard).await.unwrap();

    // Nor has any of them lost a byte by it.
    assert_eq!(drip.answer().await.unwrap().head.status, 200);
    assert_eq!(drip.call("drip", "a:1", Op::Read, b"").await.text(), "drip");
    let mut got = Vec::new();
    loop {
        let answer = deaf.answer().await.unwrap();
        got.extend(answer.body);
        if answer.head.eof {
            break;
        }
        deaf.request("deaf", "a:1", Op::Read, b"").await;
    }
    assert!(got == body, "{} bytes", got.len());
    let got = deaf_connect.rest().await;
    assert!(got == body, "{} bytes", got.len());
    drop(silent);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_given_up_and_its_seat_with_it() {
    let mut rig = Rig::new(|config| config.limits.tunnels = 1);
    let mut deaf = rig.narrow_client(64);
    let mut far = rig.tunnel(&mut deaf, "deaf").await;
    far.write_all(&pattern(100_000)).await.unwrap();
    deaf.request("deaf", "a:1", Op::Read, b"").await;
    let full = rig.client().call("other", "a:1", Op::Write, b"x").await;
    assert_eq!(full.head.status, 503);
    let start = Instant::now();
    // The stall time: its destination is closed.
    while far.read(&mut [0; 64]).await.is_ok_and(|length| length > 0) {}
    assert_eq!(start.elapsed().as_secs(), 30);
    rig.tunnel(&mut rig.client(), "other").await;
}
