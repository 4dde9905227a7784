//! How destinations end, and what is left of a tunnel then: half-closed, reset, refused, and none of them leaves a connection behind.

use proto::tunnel::{connect, enproxy::Op};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
    time::{Duration, sleep},
};

use super::{
    memory::{NOBODY, Rig},
    rig::{Server, origin, within},
};

#[tokio::test(start_paused = true)]
async fn a_half_closed_destination_still_takes_what_is_sent() {
    let mut rig = Rig::new(|_| {});
    let (mut reader, mut writer) = (rig.client(), rig.client());
    let mut far = rig.tunnel(&mut reader, "id").await;
    far.write_all(b"last words").await.unwrap();
    far.shutdown().await.unwrap();
    // The bytes first, the end of stream in the next answer.
    for (text, eof) in [("last words", false), ("", true), ("", true)] {
        let answer = reader.call("id", "a:1", Op::Read, b"").await;
        assert_eq!((answer.text().as_str(), answer.head.eof), (text, eof));
    }
    // For five times as long as it would have lingered in silence.
    for second in 0..10u8 {
        sleep(Duration::from_secs(1)).await;
        let written = writer.call("id", "a:1", Op::Write, &[second]).await;
        assert_eq!((written.head.status, written.head.id), (200, None));
        assert_eq!(far.read_u8().await.unwrap(), second);
        assert!(reader.call("id", "a:1", Op::Read, b"").await.head.eof);
    }
    // A request body that pauses is a request in progress, as is one that ends.
    writer
        .send("POST /id/a:1/write/ HTTP/1.1\r\nHost: p\r\nContent-Length: 2\r\n\r\nx")
        .await;
    sleep(Duration::from_secs(20)).await;
    writer.send("y").await;
    assert_eq!(writer.answer().await.unwrap().head.status, 200);
    assert_eq!(far.read_u16().await.unwrap(), u16::from_be_bytes(*b"xy"));
    // Then it is closed on this side too, and remembered.
    assert_eq!(far.read(&mut [0]).await.unwrap(), 0);
    let late = writer.call("id", "a:1", Op::Write, b"late").await;
    let told = "Unable to write to connOut: the destination has closed the connection";
    assert_eq!((late.head.status, late.text().as_str()), (500, told));
    assert!(late.head.keep_alive && reader.call("id", "a:1", Op::Read, b"").await.head.eof);
    assert_eq!(rig.asked(), ["a:1"], "dialled once");
}

#[tokio::test(start_paused = true)]
async fn a_half_closed_destination_of_a_connect_tunnel_still_takes_what_is_sent() {
    let mut rig = Rig::new(|_| {});
    let mut client = rig.client();
    let request = connect::Request {
        destination: "a:1".into(),
        ..Default::default()
    };
    client.open(&request).await.unwrap();
    let mut far = rig.dialed.recv().await.unwrap();
    far.write_all(b"last words").await.unwrap();
    far.shutdown().await.unwrap();
    assert_eq!(client.rest().await, b"last words");
    for second in 0..10u8 {
        sleep(Duration::from_secs(1)).await;
        client.send([second]).await;
        assert_eq!(far.read_u8().await.unwrap(), second);
    }
    assert_eq!(far.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_reset_is_an_end_and_writes_after_it_fail() {
    let server = Server::start(|_| {});
    let reset = origin(|mut socket| async move {
        socket.write_all(b"half").await?;
        socket.read_u8().await?;
        socket2::SockRef::from(&socket).set_linger(Some(std::time::Duration::ZERO))
    })
    .await;
    let mut client = server.client().await;
    assert_eq!(client.call("id", reset, Op::Read, b"").await.text(), "half");
    assert_eq!(client.call("id", reset, Op::Write, b"x").await.head.status, 200);
    // As in the Go server it looks like a close: nothing is told that the client could not also see as silence first.
    let end = within(async {
        loop {
            let answer = client.call("id", reset, Op::Read, b"").await;
            assert_eq!((answer.head.status, answer.body.len()), (200, 0));
            if answer.head.eof {
                break answer;
            }
        }
    });
    assert_eq!(end.await.head.id.as_deref(), Some("id"));
    let late = client.call("id", reset, Op::Write, b"late").await;
    assert_eq!(late.head.status, 500);
    assert!(
        late.text().starts_with("Unable to write to connOut: "),
        "{}",
        late.text()
    );
    assert!(client.call("id", reset, Op::Read, b"").await.head.eof);
}

#[tokio::test(start_paused = true)]
async fn a_failed_id_gets_the_same_answer_on_every_connection_and_no_other_dial() {
    // Nor does it take a seat.
    let rig = Rig::new(|config| config.limits.tunnels = 1);
    let told =
        "Unable to get outoing connection to destination server: Unable to dial out to nobody:1: attempt 1 was refused";
    for op in [Op::Write, Op::Read, Op::Write] {
        let mut client = rig.client();
        for _ in 0..2 {
            // Not even the destination of a later request matters.
            let destination = if op == Op::Read { "elsewhere:1" } else { NOBODY };
            let failed = client
                .call(
                    "id",
                    if rig.asked().is_empty() { NOBODY } else { destination },
                    op,
                    b"x",
                )
                .await;
            assert_eq!((failed.head.status, failed.text().as_str()), (500, told));
            assert_eq!(
                (failed.head.id, failed.head.eof, failed.head.keep_alive),
                (None, false, true)
            );
        }
    }
    assert_eq!(rig.asked(), [NOBODY]);
    let other = rig.client().call("other", NOBODY, Op::Write, b"x").await;
    assert!(other.text().ends_with("attempt 2 was refused"), "{}", other.text());
}

#[tokio::test(start_paused = true)]
async fn requests_that_wait_for_one_dial_are_told_its_failure() {
    let rig = Rig::new(|_| {});
    let (mut one, mut two) = (rig.client(), rig.client());
    one.request("id", super::memory::NEVER, Op::Write, b"x").await;
    two.request("id", super::memory::NEVER, Op::Read, b"").await;
    let (one, two) = (one.answer().await.unwrap(), two.answer().await.unwrap());
    assert_eq!((one.head.status, &one.text()), (500, &two.text()));
    assert!(one.text().ends_with("no connection within 10 s"), "{}", one.text());
    assert_eq!(rig.asked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn bytes_that_are_lost_on_their_way_are_not_told_as_an_end() {
    let mut rig = Rig::new(|_| {});
    let mut far = rig.tunnel(&mut rig.client(), "id").await;
    far.write_all(&[7; 20_000]).await.unwrap();
    drop(far);
    // It takes its time with the answer, and goes before it has all of it.
    let mut slow = rig.narrow_client(64);
    slow.request("id", "a:1", Op::Read, b"").await;
    sleep(Duration::from_secs(20)).await;
    drop(slow);
    let after = rig.client().call("id", "a:1", Op::Read, b"").await;
    assert_eq!(
        after.head.status, 500,
        "an end of stream would say that all was delivered"
    );
    assert!(after.text().contains("could not be delivered"), "{}", after.text());
}

#[tokio::test(start_paused = true)]
async fn after_a_loss_nothing_more_is_sent_either() {
    // Many times: whether a destination that would still take it is asked first must not be left to chance.
    for n in 0..20 {
        let mut rig = Rig::new(|_| {});
        let mut far = rig.tunnel(&mut rig.client(), "id").await;
        let mut writer = rig.client();
        writer
            .send("POST /id/a:1/write/ HTTP/1.1\r\nHost: p\r\nContent-Length: 2\r\n\r\nx")
            .await;
        assert_eq!(far.read_u8().await.unwrap(), b'x');
        far.write_all(&[7; 20_000]).await.unwrap();
        let mut deaf = rig.narrow_client(64);
        deaf.request("id", "a:1", Op::Read, b"").await;
        sleep(Duration::from_secs(1)).await;
        drop(deaf);
        sleep(Duration::from_secs(1)).await;
        writer.send("y").await;
        let failed = writer.answer().await.unwrap();
        assert_eq!(failed.head.status, 500, "attempt {n}");
        assert!(failed.text().contains("could not be delivered"), "{}", failed.text());
        assert_eq!(far.read(&mut [0]).await.unwrap(), 0, "attempt {n}");
    }
}

/// What a prober or a client of a closing origin leaves behind: without end the server would run out of file descriptors. Only the
/// linger time can close these, as all others are hours.
#[tokio::test]
async fn destinations_that_have_ended_are_let_go() {
    let server = Server::start(|config| {
        config.limits.idle = Duration::from_secs(36_000);
        config.limits.keep_alive = Duration::from_secs(36_000);
        config.limits.linger = Duration::from_millis(40);
    });
    let (gone, mut left) = mpsc::channel(TUNNELS);
    let closing = origin(move |mut socket| {
        let gone = gone.clone();
        async move {
            let mut request = [0; 4];
            socket.read_exact(&mut request).await?;
            socket.write_all(b"answer").await?;
            socket.shutdown().await?;
            // Its socket is open until the peer's is closed, with a FIN or a reset.
            let end = socket.read(&mut request).await;
            assert!(matches!(end, Ok(0) | Err(_)));
            gone.send(()).await.map_err(std::io::Error::other)
        }
    })
    .await;
    let mut clients = Vec::new();
    for n in 0..TUNNELS {
        let mut client = server.client().await;
        let id = n.to_string();
        let mut body = client.call(&id, closing, Op::Write, b"ping").await.body;
        while !client.call(&id, closing, Op::Read, b"").await.head.eof {}
        body.truncate(6);
        assert_eq!(body, b"answer");
        // A client may stay or go: the server cannot tell which tunnels are its.
        if n % 2 == 0 {
            clients.push(client);
        }
    }
    for _ in 0..TUNNELS {
        within(left.recv()).await.unwrap();
    }
    // The ids are remembered all the same.
    for (client, n) in clients.iter_mut().zip((0..TUNNELS).step_by(2)) {
        assert!(client.call(&n.to_string(), closing, Op::Read, b"").await.head.eof);
        assert_eq!(
            client.call(&n.to_string(), closing, Op::Write, b"x").await.head.status,
            500
        );
    }
}

const TUNNELS: usize = 40;
