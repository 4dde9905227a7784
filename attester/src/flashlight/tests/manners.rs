//! How the client behaves: what it asks, in which order, and how long it waits.

use std::{
    io,
    pin::Pin as Pinned,
    sync::atomic::{AtomicUsize, Ordering},
    task::{Context, Poll},
};

use proto::tunnel::enproxy::{Call, Op, Purpose};
use tokio::{
    io::{ReadBuf, copy},
    time::Instant,
};

use super::*;

fn call(request: &tunnel::Request) -> (Option<&Call>, Option<Op>) {
    match request {
        tunnel::Request::Enproxy(request) => match &request.purpose {
            Purpose::Call(call) => (Some(call), Some(call.op)),
            _ => (None, None),
        },
        tunnel::Request::Connect(_) => (None, None),
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_is_asked_for_once_and_waited_for_briefly() {
    // The response with the last byte said nothing about the end: one more read, whose answer is not needed.
    let whole = ok("", b"123456789");
    let refused = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n".to_vec();
    let told = ok(EOF, b"123456789");
    for (script, requests, waits) in [
        (vec![whole.clone(), ok(EOF, b"")], 2, false),
        (vec![whole.clone(), ok("", b"")], 2, false),
        (vec![whole.clone(), refused], 2, false),
        (vec![whole], 2, true),
        (vec![told], 1, false),
        (vec![ok("Connection: close\r\n", b"123456789")], 1, false),
    ] {
        let (exchange, seen) = probe(&job(Protocol::Enproxy, 9), |peer| answering(peer, script)).await;
        assert_eq!(exchange.failure, None);
        assert_eq!(seen.unwrap().len(), requests);
        assert_eq!(
            exchange.watch.elapsed() >= Duration::from_millis(500),
            waits,
            "{:?}",
            exchange.watch.elapsed()
        );
        let complete = exchange.watch.times().0[&Phase::Complete];
        assert!(
            complete < Duration::from_millis(500),
            "the wait is not part of the phase: {complete:?}"
        );
    }
    // The 2014 server does not forward the end of a CONNECT tunnel.
    let (exchange, _) = probe(&job(Protocol::Connect, 9), async |mut peer| {
        request(&mut peer).await.unwrap();
        say(&mut peer, b"HTTP/1.1 200 OK\r\n\r\n123456789").await;
        for_ever().await
    })
    .await;
    assert_eq!(exchange.failure, None);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_answers_with_nothing_is_not_asked_as_fast_as_it_answers() {
    let begun = Instant::now();
    let (exchange, asked) = probe(&job(Protocol::Enproxy, 9), async |mut peer| {
        let mut asked = 0;
        while asked < 1000 && request(&mut peer).await.is_some() {
            asked += 1;
            say(&mut peer, ok("", b"")).await;
        }
        asked
    })
    .await;
    assert_eq!(reason(&exchange), Some(Reason::FirstByteTimeout));
    assert!(begun.elapsed() >= Duration::from_secs(10));
    assert!((100..=287).contains(&asked.unwrap()), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn later_requests_keep_the_tunnel_and_name_the_sticky_host() {
    for (protocol, first, expected) in [
        (
            Protocol::Enproxy,
            ok("X-Enproxy-Proxy-Host: sticky.test\r\n", b"12345"),
            "sticky.test",
        ),
        (Protocol::Enproxy, ok("", b"12345"), "peer-a.zone.test"),
        (
            Protocol::EnproxyPath,
            ok("X-Enproxy-Proxy-Host: sticky.test\r\n", b"12345"),
            "sticky.test",
        ),
    ] {
        let (exchange, heads) = probe(&job(protocol, 9), async |mut peer| {
            let mut heads = Vec::new();
            for response in [first, ok(EOF, b"6789")] {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(peer.read_u8().await.unwrap());
                }
                let text = String::from_utf8(head).unwrap();
                let length = text
                    .split_once("Content-Length: ")
                    .unwrap()
                    .1
                    .split_once("\r\n")
                    .unwrap()
                    .0;
                peer.read_exact(&mut vec![0; length.parse().unwrap()]).await.unwrap();
                heads.push(text);
                say(&mut peer, response).await;
            }
            heads
        })
        .await;
        assert_eq!(exchange.failure, None);
        let heads = heads.unwrap();
        assert!(heads[0].contains("\r\nHost: peer-a.zone.test\r\n"), "{}", heads[0]);
        assert!(heads[1].contains(&format!("\r\nHost: {expected}\r\n")), "{}", heads[1]);
        assert!(heads[1].contains("\r\nContent-Length: 0\r\n"));
    }
    let (_, seen) = probe(&job(Protocol::EnproxyPath, 9), |peer| {
        answering(peer, vec![ok("", b"12345"), ok("", b"6789"), ok(EOF, b"")])
    })
    .await;
    let seen = seen.unwrap();
    let (calls, ops): (Vec<_>, Vec<_>) = seen.iter().map(call).unzip();
    assert_eq!(ops, [Some(Op::Write), Some(Op::Read), Some(Op::Read)]);
    let ids: Vec<_> = calls.iter().map(|call| call.unwrap().id.as_str()).collect();
    assert!(
        ids.iter()
            .all(|id| *id == ids[0] && id.len() == 36 && id.as_bytes()[14] == b'4'),
        "{ids:?}"
    );
    assert!(calls.iter().all(|call| call.unwrap().destination == "origin.test:80"));
}

/// A connection on which the protected TLS records are counted that go out.
struct Counted<'a> {
    stream: DuplexStream,
    records: &'a AtomicUsize,
}

impl AsyncRead for Counted<'_> {
    fn poll_read(self: Pinned<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pinned::new(&mut self.get_mut().stream).poll_read(cx, buffer)
    }
}

/// rustls hands over a record at a time, where several at once are not asked for.
impl AsyncWrite for Counted<'_> {
    fn poll_write(self: Pinned<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let length = usize::from(u16::from_be_bytes([bytes[3], bytes[4]]));
        assert_eq!(bytes.len(), 5 + length, "one whole record");
        this.records
            .fetch_add(usize::from(bytes[0] == APPLICATION_DATA), Ordering::Relaxed);
        Pinned::new(&mut this.stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pinned<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pinned::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pinned<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pinned::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

/// RFC 8446, section 5.1: what protected records are called in TLS 1.3.
const APPLICATION_DATA: u8 = 23;

/// A head that goes out before its body costs a segment, and with some peers 40 ms.
#[tokio::test(start_paused = true)]
async fn head_and_body_go_out_at_once() {
    // A CONNECT and what goes through its tunnel are two.
    for (protocol, requests) in [
        (Protocol::Enproxy, 1),
        (Protocol::EnproxyPath, 1),
        (Protocol::Connect, 2),
    ] {
        for sending in [Sending::Buffered, Sending::Streamed] {
            let (key, job, records) = (PeerKey::ecdsa(), job(protocol, 5), AtomicUsize::new(0));
            let target = Target {
                sending,
                ..target(key.pin())
            };
            let (stream, far) = tokio::io::duplex(1 << 16);
            let near = Counted {
                stream,
                records: &records,
            };
            let mut account = Account::new(Stopwatch::start(), job.expected_down);
            let prober = Prober::new(None, Limits::default());
            let client = prober.through(near, &target, &job, ID.to_owned(), &mut account);
            let server = async { honest(key.acceptor().accept(far).await.unwrap(), &job).await };
            let (result, ()) = tokio::join!(client, server);
            assert_eq!(result, Ok(()));
            // Beside them the end of the handshake, and goodbye.
            assert_eq!(records.into_inner(), requests + 2, "{protocol} {sending:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_into_a_connect_tunnel_before_its_reply() {
    let job = job(Protocol::Connect, 2);
    let (exchange, asked) = probe(&job, async |mut peer| {
        let (request, _) = request(&mut peer).await.unwrap();
        let tunnel::Request::Connect(request) = request else {
            return false;
        };
        assert_eq!(
            (request.destination.as_str(), request.tokens),
            ("origin.test:80", vec!["sekrit".to_owned()])
        );
        assert_eq!(request.device_id.unwrap().len(), 36);
        assert!(
            timeout(Duration::from_secs(1), peer.read_u8()).await.is_err(),
            "pipelined"
        );
        say(&mut peer, opened(Protocol::Connect)).await;
        let mut inner = vec![0; job.request.len()];
        peer.read_exact(&mut inner).await.unwrap();
        say(&mut peer, inner[..2].to_vec()).await;
        true
    })
    .await;
    assert_eq!(asked, Some(true), "it asked with CONNECT");
    assert_eq!((exchange.failure, exchange.received.as_slice()), (None, &b"GE"[..]));
}

#[tokio::test(start_paused = true)]
async fn a_token_that_cannot_be_sent_is_the_peers_fault() {
    let mut target = target(Pin::from_bytes([0; 32]));
    target.connect_token = Some("a\r\nHost: b".to_owned());
    let (near, _far) = tokio::io::duplex(1 << 16);
    let mut account = Account::new(Stopwatch::start(), 1);
    let job = job(Protocol::Connect, 1);
    let result = connect::carry(
        &mut Wire::new(near),
        target.connect_token.as_deref(),
        String::from("d"),
        &job,
        &mut account,
    )
    .await;
    assert_eq!(result.unwrap_err().reason, Reason::TunnelToken);
}

#[tokio::test(start_paused = true)]
async fn the_total_limit_holds_from_the_stopwatchs_start() {
    // A resolution that took 9 s leaves one second for everything else.
    let key = PeerKey::ecdsa();
    let (near, mut far) = tokio::io::duplex(1 << 16);
    let watch = Stopwatch::start();
    sleep(Duration::from_secs(9)).await;
    let mut account = Account::new(watch, 1);
    let prober = Prober::new(None, Limits::default());
    let (target, job) = (target(key.pin()), job(Protocol::Connect, 1));
    let client = prober.through(near, &target, &job, String::from("d"), &mut account);
    let (result, _) = tokio::join!(client, async { copy(&mut far, &mut tokio::io::sink()).await });
    assert_eq!(result.unwrap_err().reason, Reason::TlsTimeout);
    assert_eq!(account.watch.elapsed(), Duration::from_secs(10));
}
