#![expect(clippy::unwrap_used, reason = "tests")]

use data_encoding::BASE64URL_NOPAD;
use proto::{
    checked::{Signed, sign},
    claims::{Challenge, KeyBytes, KeyEntry, Statement},
    ids::{Digest, Nonce, ProbeId},
    probe,
    time::Timestamp,
};
use rand::{SeedableRng, rngs::StdRng};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinHandle,
};

use super::*;

const START: u64 = 1_800_000_000;
/// Nothing here takes long; this only keeps a broken test from hanging.
const PATIENCE: Duration = Duration::from_secs(20);

struct Rig {
    address: SocketAddr,
    destination: Destination,
    arrivals: Arrivals,
    clock: Clock,
    attester: SigningKey,
    origin: SigningKey,
    token: CancellationToken,
    running: JoinHandle<()>,
}

impl Rig {
    async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    async fn start_with(adjust: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config {
            listen: ([127, 0, 0, 1], 0).into(),
            ..Config::default()
        };
        adjust(&mut config);
        let (attester, origin) = (SigningKey::from_seed(&[1; 32]), SigningKey::from_seed(&[2; 32]));
        let clock = Clock::manual(Timestamp::from_secs(START));
        let (_, keys) = watch::channel(Arc::new(keys(&attester, &origin)));
        let bound = Origin::bind(&config, keys, clock.clone(), &mut StdRng::seed_from_u64(3))
            .await
            .unwrap();
        let token = CancellationToken::new();
        Self {
            address: bound.addr(),
            destination: bound.destination().clone(),
            arrivals: bound.arrivals(),
            clock,
            attester,
            origin,
            running: tokio::spawn(bound.run(token.clone())),
            token,
        }
    }

    fn challenge(&self, nonce: u8, body_length: u64) -> Challenge {
        let now = self.clock.now();
        Challenge {
            issuer: self.attester.public().thumbprint(),
            subject: SigningKey::from_seed(&[9; 32]).public().thumbprint(),
            audience: self.destination.clone(),
            expires: now.plus(Duration::from_secs(10)).seconds(),
            not_before: now.seconds(),
            issued_at: now.seconds(),
            probe: ProbeId::from_bytes([nonce; 16]),
            nonce: Nonce::from_bytes([nonce; 32]),
            body_length,
        }
    }

    async fn ask(&self, challenge: &Challenge) -> Answer {
        self.ask_raw(&probe::request(
            &sign(challenge, &self.attester).unwrap(),
            &self.destination,
        ))
        .await
    }

    /// Sends bytes on a connection of their own and reads until the origin closes it.
    async fn ask_raw(&self, request: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request).await.unwrap();
        let source = stream.local_addr().unwrap();
        Answer {
            source,
            bytes: read_to_close(&mut stream).await,
        }
    }

    async fn stop(self) {
        self.token.cancel();
        timeout(PATIENCE, self.running).await.unwrap().unwrap();
    }
}

struct Answer {
    source: SocketAddr,
    bytes: Vec<u8>,
}

impl Answer {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    fn status(&self) -> u16 {
        self.text()
            .split(' ')
            .nth(1)
            .unwrap_or_default()
            .parse()
            .unwrap_or_default()
    }

    fn head(&self) -> usize {
        self.bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4
    }

    fn body(&self) -> &[u8] {
        &self.bytes[self.head()..]
    }

    fn signed_statement(&self) -> Vec<u8> {
        let head = String::from_utf8(self.bytes[..self.head()].to_vec()).unwrap();
        let line = head
            .lines()
            .find_map(|line| line.strip_prefix("x-statement: "))
            .unwrap();
        BASE64URL_NOPAD.decode(line.as_bytes()).unwrap()
    }

    fn assert_refused(&self, status: u16, says: &str) {
        let text = self.text();
        assert_eq!(self.status(), status, "{text}");
        assert!(text.contains(says), "{text}");
        assert!(text.contains("connection: close\r\n"), "{text}");
        let body = std::str::from_utf8(self.body()).unwrap();
        assert_eq!((body.lines().count(), body.ends_with('\n')), (1, true), "{text}");
    }
}

fn keys(attester: &SigningKey, origin: &SigningKey) -> OriginKeys {
    let (not_before, expires) = (Seconds::new(START - 100), Seconds::new(START + 3600));
    let entry = |role, key: &SigningKey| KeyEntry {
        role,
        key: KeyBytes(*key.public().as_bytes()),
        not_before,
        expires,
    };
    let keyset = Keyset {
        issuer: SigningKey::from_seed(&[0; 32]).public().thumbprint(),
        expires,
        not_before,
        issued_at: not_before,
        keys: vec![entry(Role::Attester, attester), entry(Role::Origin, origin)],
        revoked: vec![],
    };
    OriginKeys {
        keyset,
        origin: origin.clone(),
    }
}

/// A reset counts as a close: the origin does not read what follows a refused head.
async fn read_to_close(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut bytes))
        .await
        .expect("the origin closes");
    bytes
}

#[tokio::test]
async fn an_answer_states_what_arrived_in_exactly_the_announced_bytes() {
    let rig = Rig::start().await;
    for (nonce, length) in [
        (1, 0),
        (2, 1),
        (3, 1024),
        (4, 256 << 10),
        (5, 300_001),
        (6, Challenge::MAX_BODY),
    ] {
        let challenge = rig.challenge(nonce, length);
        let answer = rig.ask(&challenge).await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        assert_eq!(answer.head(), probe::ORIGIN_HEAD);
        assert_eq!(answer.body().len() as u64, length);

        let signed = answer.signed_statement();
        let digest = Digest::of(&signed);
        assert_eq!(
            answer.bytes[..probe::ORIGIN_HEAD],
            probe::answer_head(&signed, length).unwrap()
        );
        let timely = Signed::<Statement>::parse(&signed)
            .unwrap()
            .verify(&rig.origin.public())
            .unwrap();
        let statement = timely.at(rig.clock.now(), Duration::ZERO).unwrap();
        assert_eq!(statement.body_digest, Digest::of(answer.body()));
        assert_eq!(statement.body_length, length);
        assert_eq!(statement.issuer, rig.destination);
        assert_eq!(statement.subject, challenge.subject);
        assert_eq!(statement.audience, challenge.issuer);
        assert_eq!((statement.probe, statement.nonce), (challenge.probe, challenge.nonce));
        assert_eq!(
            statement.challenge,
            Digest::of(&sign(&challenge, &rig.attester).unwrap())
        );
        assert_eq!(
            (statement.source.0, statement.arrived),
            (answer.source, rig.clock.now())
        );

        let arrival = rig.arrivals.redeemed(&challenge.nonce).unwrap();
        assert_eq!((arrival.source, arrival.at), (answer.source, rig.clock.now()));
        assert_eq!((arrival.statement, arrival.repeats), (Some(digest), 0));
    }
    rig.stop().await;
}

#[tokio::test]
async fn the_head_keeps_its_length_for_the_shortest_and_the_longest_destination() {
    for host in ["a".to_owned(), "h".repeat(100)] {
        let destination: Destination = format!("{host}:65535").parse().unwrap();
        let rig = Rig::start_with(|config| config.destination = Some(destination)).await;
        let answer = rig.ask(&rig.challenge(1, 1024)).await;
        assert_eq!(
            (answer.status(), answer.head()),
            (200, probe::ORIGIN_HEAD),
            "{}",
            answer.text()
        );
        assert_eq!(answer.bytes.len(), probe::ORIGIN_HEAD + 1024);
        rig.stop().await;
    }
}

#[tokio::test]
async fn a_repeated_challenge_is_refused_and_its_source_recorded() {
    let rig = Rig::start().await;
    let challenge = rig.challenge(1, 16);
    let first = rig.ask(&challenge).await;
    assert_eq!(first.status(), 200);
    for repeats in 1..=3 {
        let again = rig.ask(&challenge).await;
        again.assert_refused(409, "single use");
        let arrival = rig.arrivals.redeemed(&challenge.nonce).unwrap();
        assert_eq!((arrival.repeats, arrival.last_repeat), (repeats, Some(again.source)));
        assert_eq!(arrival.source, first.source);
    }
    rig.stop().await;
}

#[tokio::test]
async fn a_challenge_that_is_not_for_here_and_now_is_refused() {
    let rig = Rig::start().await;
    rig.clock.advance(Duration::from_secs(100));
    let good = rig.challenge(1, 16);

    let elsewhere = Challenge {
        audience: "127.0.0.1:1".parse().unwrap(),
        ..good.clone()
    };
    rig.ask(&elsewhere).await.assert_refused(403, "is for 127.0.0.1:1");
    let early = Challenge {
        not_before: Seconds::new(START + 101),
        ..good.clone()
    };
    rig.ask(&early).await.assert_refused(403, "not valid before");
    let late = Challenge {
        expires: Seconds::new(START + 100),
        ..good.clone()
    };
    rig.ask(&late).await.assert_refused(410, "expired");
    let old = Challenge {
        issued_at: Seconds::new(START - 1),
        not_before: Seconds::new(START - 1),
        ..good.clone()
    };
    rig.ask(&old).await.assert_refused(410, "older than this origin");

    let forged = sign(
        &Challenge {
            issuer: rig.origin.public().thumbprint(),
            ..good.clone()
        },
        &rig.origin,
    )
    .unwrap();
    rig.ask_raw(&probe::request(&forged, &rig.destination))
        .await
        .assert_refused(403, "not signed by an attester");
    let mut altered = sign(&good, &rig.attester).unwrap();
    *altered.last_mut().unwrap() ^= 1;
    rig.ask_raw(&probe::request(&altered, &rig.destination))
        .await
        .assert_refused(403, "not signed by an attester");

    assert_eq!(rig.arrivals.redeemed(&good.nonce), None);
    assert_eq!(rig.ask(&good).await.status(), 200);
    rig.stop().await;
}

#[tokio::test]
async fn a_challenge_of_the_second_of_the_start_may_be_older_than_the_origin() {
    let (attester, origin) = (SigningKey::from_seed(&[1; 32]), SigningKey::from_seed(&[2; 32]));
    let (_, keys) = watch::channel(Arc::new(keys(&attester, &origin)));
    let config = Config {
        listen: ([127, 0, 0, 1], 0).into(),
        ..Config::default()
    };
    let started = Timestamp::from_micros(START * 1_000_000 + 1);
    let bound = Origin::bind(&config, keys, Clock::manual(started), &mut StdRng::seed_from_u64(3))
        .await
        .unwrap();
    assert_eq!(bound.accepts_from(), Seconds::new(START + 1));
}

#[tokio::test]
async fn what_is_no_probe_is_refused_in_words() {
    let rig = Rig::start().await;
    let request = |line: &str| format!("{line}\r\nHost: {}\r\n\r\n", rig.destination).into_bytes();
    for (line, status, says) in [
        ("GET / HTTP/1.1", 404, "/c/<challenge"),
        ("GET /c/ HTTP/1.1", 404, "/c/<challenge"),
        ("GET /c/!!!! HTTP/1.1", 404, "/c/<challenge"),
        ("GET /c/AAAA?x HTTP/1.1", 404, "/c/<challenge"),
        ("GET /c/AAAA HTTP/1.1", 400, "cannot be read"),
        ("POST /c/AAAA HTTP/1.1", 400, "is a GET"),
        ("GET /c/AAAA HTTP/1.0", 400, "HTTP/1.1"),
    ] {
        rig.ask_raw(&request(line)).await.assert_refused(status, says);
    }
    let with_body = b"GET /c/AAAA HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx";
    rig.ask_raw(with_body).await.assert_refused(400, "no body");

    // What is not even HTTP, or too much of it, hyper refuses by itself.
    assert_eq!(rig.ask_raw(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n").await.status(), 400);
    let mut long = b"GET /c/".to_vec();
    long.resize(MAX_HEAD, b'A');
    assert_eq!(rig.ask_raw(&long).await.status(), 431);
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(MAX_HEADERS + 1));
    assert_eq!(rig.ask_raw(many.as_bytes()).await.status(), 431);
    rig.stop().await;
}

#[tokio::test]
async fn what_is_full_says_so_and_forgets_nothing() {
    let rig = Rig::start_with(|config| config.remembered = 1).await;
    assert_eq!(rig.ask(&rig.challenge(1, 16)).await.status(), 200);
    rig.ask(&rig.challenge(2, 16))
        .await
        .assert_refused(503, "too many challenges");
    rig.ask(&rig.challenge(1, 16)).await.assert_refused(409, "single use");
    rig.clock.advance(Duration::from_secs(70));
    assert_eq!(rig.ask(&rig.challenge(2, 16)).await.status(), 200);
    rig.stop().await;

    let rig = Rig::start_with(|config| config.bodies = 1).await;
    // A client that does not read holds the only body: 4 MiB are more than the sockets take on loopback.
    let mut holding = TcpStream::connect(rig.address).await.unwrap();
    let challenge = sign(&rig.challenge(1, Challenge::MAX_BODY), &rig.attester).unwrap();
    holding
        .write_all(&probe::request(&challenge, &rig.destination))
        .await
        .unwrap();
    holding.readable().await.unwrap();
    rig.ask(&rig.challenge(2, 16))
        .await
        .assert_refused(503, "too many answers");
    assert_eq!(rig.arrivals.redeemed(&Nonce::from_bytes([2; 32])), None);
    let rest = read_to_close(&mut holding).await;
    assert_eq!(rest.len() as u64, probe::ORIGIN_HEAD as u64 + Challenge::MAX_BODY);
    assert_eq!(rig.ask(&rig.challenge(2, 16)).await.status(), 200);
    rig.stop().await;
}

#[tokio::test]
async fn connections_are_bounded_for_a_source_and_in_all() {
    let rig = Rig::start_with(|config| (config.connections, config.connections_per_source) = (3, 2)).await;
    let from = async |ip: [u8; 4]| {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind((ip, 0).into()).unwrap();
        socket.connect(rig.address).await.unwrap()
    };
    // The origin serves a connection before it accepts the next, so these are counted in this order.
    let _held = [from([127, 0, 0, 2]).await, from([127, 0, 0, 2]).await];
    let refused = read_to_close(&mut from([127, 0, 0, 2]).await).await;
    assert!(refused.starts_with(b"HTTP/1.1 503 ") && refused.ends_with(b"try it later\n"));
    let length: usize = b"too many connections: try it later\n".len();
    assert!(
        String::from_utf8(refused)
            .unwrap()
            .contains(&format!("content-length: {length}\r\n"))
    );
    assert_eq!(rig.ask(&rig.challenge(1, 16)).await.status(), 200);
    rig.stop().await;
}

#[tokio::test]
async fn a_head_that_never_ends_is_cut_off_and_hinders_nobody() {
    let head = Duration::from_secs(1);
    let rig = Rig::start_with(|config| config.limits.head = head).await;
    let mut slow = TcpStream::connect(rig.address).await.unwrap();
    slow.write_all(b"GET /c/AA").await.unwrap();
    let mut silent = TcpStream::connect(rig.address).await.unwrap();
    assert_eq!(rig.ask(&rig.challenge(1, 16)).await.status(), 200);
    read_to_close(&mut slow).await;
    read_to_close(&mut silent).await;
    rig.stop().await;
}

#[tokio::test]
async fn stopping_lets_an_answer_finish_and_waits_for_nobody_longer() {
    for (drain, reads) in [(PATIENCE, true), (Duration::from_millis(50), false)] {
        let rig = Rig::start_with(|config| config.limits.drain = drain).await;
        let mut stream = TcpStream::connect(rig.address).await.unwrap();
        let challenge = sign(&rig.challenge(1, Challenge::MAX_BODY), &rig.attester).unwrap();
        stream
            .write_all(&probe::request(&challenge, &rig.destination))
            .await
            .unwrap();
        stream.readable().await.unwrap();
        rig.token.cancel();
        if reads {
            let answer = read_to_close(&mut stream).await;
            assert_eq!(answer.len() as u64, probe::ORIGIN_HEAD as u64 + Challenge::MAX_BODY);
        }
        rig.stop().await;
    }
}

#[tokio::test]
async fn the_end_of_the_request_may_come_before_the_answer() {
    let rig = Rig::start().await;
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    let challenge = sign(&rig.challenge(1, 100_000), &rig.attester).unwrap();
    stream
        .write_all(&probe::request(&challenge, &rig.destination))
        .await
        .unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(read_to_close(&mut stream).await.len(), probe::ORIGIN_HEAD + 100_000);
    rig.stop().await;
}

#[tokio::test]
async fn a_configuration_that_cannot_work_is_told_at_once() {
    let (attester, origin) = (SigningKey::from_seed(&[1; 32]), SigningKey::from_seed(&[2; 32]));
    let bind = async |config: Config, keys: OriginKeys| {
        let (_, keys) = watch::channel(Arc::new(keys));
        let clock = Clock::manual(Timestamp::from_secs(START));
        let bound = Origin::bind(&config, keys, clock, &mut StdRng::seed_from_u64(3)).await;
        bound.err().unwrap().to_string()
    };
    let loopback = Config {
        listen: ([127, 0, 0, 1], 0).into(),
        ..Config::default()
    };
    let told = bind(
        Config {
            bodies: 0,
            ..loopback.clone()
        },
        keys(&attester, &origin),
    )
    .await;
    assert!(told.contains("bodies is 0"), "{told}");
    let unspecified = Config {
        listen: ([0, 0, 0, 0], 0).into(),
        ..Config::default()
    };
    let told = bind(unspecified, keys(&attester, &origin)).await;
    assert!(told.contains("destination"), "{told}");
    let stray = OriginKeys {
        origin: attester.clone(),
        ..keys(&attester, &origin)
    };
    let told = bind(loopback, stray).await;
    assert!(told.contains("sign a new keyset"), "{told}");
}
