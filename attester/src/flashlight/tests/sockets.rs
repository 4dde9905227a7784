//! Whole probes over loopback sockets: where the connection comes from, what the ClientHello says, what a port answers.

use std::{
    collections::HashSet,
    net::{Ipv4Addr, SocketAddr},
};

use rustls::HandshakeKind;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::LazyConfigAcceptor;

use super::*;

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A port of loopback that nobody listens on, kept from others while the socket lives.
fn closed_port() -> (tokio::net::TcpSocket, SocketAddr) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// Limits for what never comes.
fn soon() -> Limits {
    let soon = Duration::from_millis(50);
    Limits {
        connect: soon,
        tls: soon,
        ..Limits::default()
    }
}

/// Answers a probe. Returns what kind of handshake it was, and the tunnel's id.
async fn answer(stream: TcpStream, acceptor: &TlsAcceptor) -> (Option<HandshakeKind>, String) {
    let mut peer = acceptor.accept(stream).await.unwrap();
    let (request, _) = request(&mut peer).await.unwrap();
    let id = id_of(&request).to_owned();
    say(&mut peer, ok_of(&id, EOF, b"hello")).await;
    (peer.get_ref().1.handshake_kind(), id)
}

#[tokio::test]
async fn a_probe_comes_from_the_given_source_without_name_or_protocol() {
    let (listener, address) = listener().await;
    let key = PeerKey::rsa();
    let source = Ipv4Addr::new(127, 0, 0, 9);
    let prober = Prober::new(Some(source.into()), Limits::default());
    let (target, job) = (
        Target {
            address,
            ..target(key.pin())
        },
        job(Protocol::Enproxy, 5),
    );
    let mut watch = Stopwatch::start();
    watch.note(Phase::Resolve);
    let mut rng = StdRng::seed_from_u64(3);
    let client = prober.exchange(&target, &job, watch, &mut rng);
    let (exchange, ()) = tokio::join!(client, async {
        let (stream, from) = listener.accept().await.unwrap();
        assert_eq!(from.ip(), source);
        let start = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream)
            .await
            .unwrap();
        assert_eq!(start.client_hello().server_name(), None);
        assert!(start.client_hello().alpn().is_none());
        let mut peer = start.into_stream(Arc::clone(key.acceptor().config())).await.unwrap();
        let (request, body) = request(&mut peer).await.unwrap();
        assert_eq!(body, job.request);
        say(&mut peer, ok_of(id_of(&request), EOF, b"hello")).await;
        // The client says goodbye: no truncation at our end.
        assert_eq!(peer.read(&mut [0]).await.unwrap(), 0);
    });
    assert_eq!(
        (exchange.failure, exchange.address, exchange.pin),
        (None, address, Some(key.pin()))
    );
    let reached: Vec<_> = exchange.watch.times().0.keys().copied().collect();
    assert_eq!(reached, &Phase::ALL[..6]);
    let times: Vec<_> = exchange.watch.times().0.values().collect();
    assert!(times.is_sorted(), "{times:?}");
}

#[tokio::test]
async fn every_probe_has_an_id_of_its_own_and_shakes_hands_anew_unless_told_otherwise() {
    let (listener, address) = listener().await;
    let key = PeerKey::ecdsa();
    let acceptor = key.acceptor();
    let (target, job) = (
        Target {
            address,
            ..target(key.pin())
        },
        job(Protocol::EnproxyPath, 5),
    );
    let full = Some(HandshakeKind::Full);
    let (mut rng, mut ids) = (StdRng::seed_from_u64(3), HashSet::new());
    for (prober, second) in [
        (Prober::new(None, Limits::default()), full),
        (
            Prober::new(None, Limits::default()).resuming(),
            Some(HandshakeKind::Resumed),
        ),
    ] {
        for expected in [full, second] {
            let client = prober.exchange(&target, &job, Stopwatch::start(), &mut rng);
            let server = async { answer(listener.accept().await.unwrap().0, &acceptor).await };
            let (exchange, (kind, id)) = tokio::join!(client, server);
            assert_eq!((exchange.failure, kind), (None, expected));
            assert_eq!((exchange.resumed, exchange.pin), (kind != full, Some(key.pin())));
            assert!(ids.insert(id));
        }
        // Whoever measures a handshake says so; and what that one made is resumed again.
        for (fresh, expected) in [(true, full), (false, second)] {
            let target = Target {
                fresh,
                ..target.clone()
            };
            let client = prober.exchange(&target, &job, Stopwatch::start(), &mut rng);
            let server = async { answer(listener.accept().await.unwrap().0, &acceptor).await };
            let (exchange, (kind, id)) = tokio::join!(client, server);
            assert_eq!((exchange.failure, kind), (None, expected));
            assert_eq!(exchange.resumed, kind != full);
            assert!(ids.insert(id));
        }
        // A session of one key says nothing about another that should answer there.
        let other = Target {
            end: End::Pinned(PeerKey::rsa().pin()),
            ..target.clone()
        };
        let client = prober.exchange(&other, &job, Stopwatch::start(), &mut rng);
        let server = async { acceptor.accept(listener.accept().await.unwrap().0).await.is_err() };
        let (exchange, refused) = tokio::join!(client, server);
        assert_eq!(exchange.failure.unwrap().reason, Reason::PinMismatch);
        assert!(refused);
    }
    assert_eq!(ids.len(), 8);
}

/// Whoever takes any key at first expects that one later, and is known by it already.
#[tokio::test]
async fn the_session_of_whichever_key_answered_is_resumed_by_who_expects_it() {
    let (listener, address) = listener().await;
    let (key, other) = (PeerKey::rsa(), PeerKey::ecdsa());
    let prober = Prober::new(None, Limits::default()).resuming();
    let (job, mut rng) = (job(Protocol::Enproxy, 5), StdRng::seed_from_u64(3));
    let acceptor = key.acceptor();
    for (end, resumed) in [(End::AnyKey, false), (End::Pinned(key.pin()), true)] {
        let target = Target {
            address,
            end,
            ..target(key.pin())
        };
        let client = prober.exchange(&target, &job, Stopwatch::start(), &mut rng);
        let server = async { answer(listener.accept().await.unwrap().0, &acceptor).await };
        let (exchange, _) = tokio::join!(client, server);
        assert_eq!((exchange.failure, exchange.pin), (None, Some(key.pin())));
        assert_eq!(exchange.resumed, resumed);
    }
    // From then on it is no longer any key that will do.
    let target = Target {
        address,
        ..target(key.pin())
    };
    let client = prober.exchange(&target, &job, Stopwatch::start(), &mut rng);
    let server = async {
        other
            .acceptor()
            .accept(listener.accept().await.unwrap().0)
            .await
            .is_err()
    };
    let (exchange, refused) = tokio::join!(client, server);
    assert_eq!(exchange.failure.unwrap().reason, Reason::PinMismatch);
    assert!(refused);
}

/// As any real client: `Connection: close` in the middle of a tunnel cuts it.
#[tokio::test]
async fn a_proxy_that_hangs_up_in_between_is_not_dialled_again() {
    let (listener, address) = listener().await;
    let key = PeerKey::ecdsa();
    let target = Target {
        address,
        ..target(key.pin())
    };
    let (job, mut rng) = (job(Protocol::Enproxy, 9), StdRng::seed_from_u64(3));
    let prober = Prober::new(None, Limits::default());
    let client = prober.exchange(&target, &job, Stopwatch::start(), &mut rng);
    let (exchange, ()) = tokio::join!(client, async {
        let stream = listener.accept().await.unwrap().0;
        let mut peer = key.acceptor().accept(stream).await.unwrap();
        let (request, _) = request(&mut peer).await.unwrap();
        say(&mut peer, ok_of(id_of(&request), "Connection: close\r\n", b"hello")).await;
        let _ = peer.shutdown().await;
    });
    let finding = exchange.failure.unwrap();
    assert_eq!(finding.reason, Reason::Truncated);
    assert!(
        finding.detail().ends_with("the proxy closed its connection"),
        "{}",
        finding.detail()
    );
    // Whoever had dialled again would be in the queue by now.
    let again = std::pin::pin!(listener.accept());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(again.poll(&mut context).is_pending());
}

#[tokio::test]
async fn connect_failures_are_told_apart() {
    let (_socket, nobody) = closed_port();
    let (listener, _) = listener().await;
    let full = clogged().await;
    let elsewhere = Some(Ipv4Addr::new(192, 0, 2, 1).into());
    for (source, address, expected) in [
        (None, nobody, Reason::ConnectRefused),
        (None, full.address, Reason::ConnectTimeout),
        (elsewhere, listener.local_addr().unwrap(), Reason::ConnectLocal),
    ] {
        let target = Target {
            address,
            ..target(Pin::from_bytes([0; 32]))
        };
        let prober = Prober::new(source, soon());
        let mut rng = StdRng::seed_from_u64(3);
        let job = job(Protocol::Connect, 5);
        let exchange = prober.exchange(&target, &job, Stopwatch::start(), &mut rng).await;
        assert_eq!(exchange.failure.unwrap().reason, expected);
        assert_eq!((exchange.pin, exchange.sent, exchange.received), (None, 0, Vec::new()));
        assert_eq!(exchange.sent_digest, Digest::of(b""));
        assert!(exchange.watch.times().0.is_empty());
        let control = prober.direct(address, &job, Stopwatch::start()).await;
        assert_eq!(control.failure.unwrap().reason, expected);
    }
}

/// A listener that accepts nothing and whose queue is full, so that the kernel drops further connections unanswered.
struct Clogged {
    address: SocketAddr,
    _listener: TcpListener,
    _queued: Vec<TcpStream>,
}

async fn clogged() -> Clogged {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    while let Ok(stream) = timeout(Duration::from_millis(200), TcpStream::connect(address)).await {
        queued.push(stream.unwrap());
        assert!(queued.len() < 100, "the queue has no end here");
    }
    Clogged {
        address,
        _listener: listener,
        _queued: queued,
    }
}

#[tokio::test]
async fn a_control_probe_needs_no_tunnel() {
    let (listener, address) = listener().await;
    let prober = Prober::new(None, Limits::default());
    for (answer, expected) in [
        ("hello", None),
        ("hell", Some(Reason::Truncated)),
        ("", Some(Reason::FirstByteClosed)),
        ("hello!", Some(Reason::Overlong)),
    ] {
        let job = job(Protocol::Connect, 5);
        let (exchange, ()) = tokio::join!(prober.direct(address, &job, Stopwatch::start()), async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = vec![0; job.request.len()];
            stream.read_exact(&mut asked).await.unwrap();
            assert_eq!(asked, job.request);
            say(&mut stream, answer).await;
        });
        assert_eq!(exchange.failure.map(|finding| finding.reason), expected);
        assert_eq!((exchange.pin, exchange.sent), (None, job.request.len() as u64));
        assert!(answer.is_empty() || exchange.received == answer.as_bytes());
        assert!(!exchange.watch.times().0.contains_key(&Phase::Tunnel));
    }
}

#[tokio::test]
async fn a_registrations_port_is_judged_by_the_key_that_answers() {
    let (key, other) = (PeerKey::rsa(), PeerKey::ecdsa());
    let (listener, address) = listener().await;
    let prober = Prober::new(None, Limits::default());
    let shaking = async |server: &PeerKey| {
        // The client hangs up after the handshake, maybe before the server has read its last message.
        let _ = server.acceptor().accept(listener.accept().await.unwrap().0).await;
    };
    let (seen, ()) = tokio::join!(prober.see_key(address), shaking(&other));
    assert_eq!(seen, Ok(other.pin()));
    let (checked, ()) = tokio::join!(prober.check_key(address, key.pin()), shaking(&key));
    assert_eq!(checked, Ok(()));
    let (checked, ()) = tokio::join!(prober.check_key(address, key.pin()), shaking(&other));
    let finding = checked.unwrap_err();
    assert_eq!(finding.reason, Reason::PortOtherKey);
    assert!(
        finding.detail().contains(&other.pin().to_string()),
        "{}",
        finding.detail()
    );

    let plain = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        say(&mut stream, b"220 mail.example ESMTP\r\n").await;
    };
    let (checked, ()) = tokio::join!(prober.check_key(address, key.pin()), plain);
    assert_eq!(checked.unwrap_err().reason, Reason::PortNoTls);

    let prober = Prober::new(None, soon());
    let (_socket, nobody) = closed_port();
    let full = clogged().await;
    // The listener's queue takes the connection, and nobody ever answers.
    for (address, expected) in [
        (nobody, Reason::PortRefused),
        (full.address, Reason::PortSilent),
        (address, Reason::PortNoTls),
    ] {
        assert_eq!(prober.check_key(address, key.pin()).await.unwrap_err().reason, expected);
    }
}

#[tokio::test]
async fn a_certificate_alone_does_not_pass_for_its_key() {
    let (key, other) = (PeerKey::ecdsa(), PeerKey::ecdsa());
    let (listener, address) = listener().await;
    let thief = key.acceptor_with(&[&TLS13], None, other.key.clone_key());
    let prober = Prober::new(None, Limits::default());
    let server = async { thief.accept(listener.accept().await.unwrap().0).await.is_err() };
    let (checked, refused) = tokio::join!(prober.check_key(address, key.pin()), server);
    assert_eq!(checked.unwrap_err().reason, Reason::PortNoTls);
    assert!(refused);
}
