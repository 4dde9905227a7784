#![expect(clippy::unwrap_used, reason = "tests")]

use hickory_proto::{
    op::{Message, MessageType, OpCode, Query, ResponseCode},
    rr::{Name as WireName, RecordType},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    task::JoinHandle,
    time::timeout,
};

use crate::{
    publish::battery,
    records::{Desired, RecordData},
    verify::fixture,
};

use super::*;

const PATIENCE: Duration = Duration::from_secs(30);

struct Running {
    address: SocketAddr,
    publisher: AuthoritativePublisher,
    metrics: Arc<Metrics>,
    token: CancellationToken,
    task: JoinHandle<()>,
}

fn apex() -> Name {
    Name::parse(battery::ZONE).unwrap()
}

fn config() -> Config {
    Config {
        listen: (Ipv4Addr::LOCALHOST, 0).into(),
        ..Config::default()
    }
}

/// That closes no connection by itself while a test runs.
fn patient() -> Config {
    Config {
        tcp_idle_seconds: 600,
        ..config()
    }
}

async fn from(source: [u8; 4], server: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((source, 0).into())?;
    socket.connect(server).await
}

async fn is_closed(stream: &mut TcpStream) -> bool {
    let read = timeout(PATIENCE, stream.read(&mut [0; 1])).await;
    read.is_ok_and(|read| read.unwrap_or(0) == 0)
}

async fn bind(config: &Config) -> Result<Authoritative, PublishError> {
    let rotations = [apex().child("roundrobin").unwrap()].into();
    Authoritative::bind(config, apex(), rotations, 1000, StdRng::seed_from_u64(5)).await
}

async fn start(config: Config) -> Running {
    let metrics = Arc::<Metrics>::default();
    let server = bind(&config).await.unwrap().metered(Arc::clone(&metrics));
    let token = CancellationToken::new();
    Running {
        address: server.addr(),
        publisher: server.publisher(),
        task: tokio::spawn(server.run(token.clone())),
        metrics,
        token,
    }
}

impl Running {
    async fn publish(&self, peers: u8) {
        let mut desired = Desired::new();
        for number in 1..=peers {
            let address = IpAddr::from([127, 77, number, 1]);
            desired.name_peer(apex().child(&format!("peer-{number}")).unwrap(), [address]);
            desired.admit(apex().child("roundrobin").unwrap(), &fixture::member(address));
        }
        let observed = self.publisher.observe().await.unwrap();
        let changes = Changes::between(&observed, &desired.records());
        self.publisher.apply(&changes).await.unwrap();
    }

    async fn over_udp(&self, question: &[u8]) -> Message {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        socket.connect(self.address).await.unwrap();
        socket.send(question).await.unwrap();
        let mut buffer = [0; 4096];
        let length = timeout(PATIENCE, socket.recv(&mut buffer)).await.unwrap().unwrap();
        Message::from_vec(&buffer[..length]).unwrap()
    }

    /// A connection from this address that has asked and was answered.
    async fn asking(&self, source: [u8; 4]) -> io::Result<TcpStream> {
        let mut stream = from(source, self.address).await?;
        self.ask_again(&mut stream).await?;
        Ok(stream)
    }

    async fn ask_again(&self, stream: &mut TcpStream) -> io::Result<()> {
        stream.write_all(&framed(&question("peer-1", RecordType::A))).await?;
        let reply = timeout(PATIENCE, read_reply(stream)).await??;
        assert_eq!(reply.answers.len(), 1);
        Ok(())
    }

    async fn stop(self) {
        self.token.cancel();
        timeout(PATIENCE, self.task).await.unwrap().unwrap();
    }
}

fn question(label: &str, kind: RecordType) -> Vec<u8> {
    let mut message = Message::new(0x5151, MessageType::Query, OpCode::Query);
    let name = WireName::from_ascii(format!("{label}.{}.", battery::ZONE)).unwrap();
    message.add_query(Query::query(name, kind));
    message.to_vec().unwrap()
}

fn framed(question: &[u8]) -> Vec<u8> {
    let mut bytes = u16::try_from(question.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend(question);
    bytes
}

async fn read_reply(stream: &mut TcpStream) -> io::Result<Message> {
    let length = stream.read_u16().await?;
    let mut reply = vec![0; length.into()];
    stream.read_exact(&mut reply).await?;
    Ok(Message::from_vec(&reply).unwrap())
}

#[tokio::test]
async fn passes_the_battery() {
    battery::run(async || bind(&config()).await.unwrap().publisher()).await;
}

#[tokio::test]
async fn fails_until_ready_and_then_shows_what_is_published_over_udp_and_tcp() {
    let server = start(config()).await;
    let asked = question("peer-1", RecordType::A);
    let code = |reply: Message| reply.metadata.response_code;
    assert_eq!(code(server.over_udp(&asked).await), ResponseCode::ServFail);
    server.publisher.ready().unwrap();
    assert_eq!(code(server.over_udp(&asked).await), ResponseCode::NXDomain);
    server.publish(3).await;

    let reply = server.over_udp(&asked).await;
    assert_eq!(code(reply.clone()), ResponseCode::NoError);
    assert_eq!(reply.answers[0].data.to_string(), "127.77.1.1");
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    // Two questions at once on one connection, the second in two pieces.
    let second = framed(&question("roundrobin", RecordType::A));
    stream.write_all(&framed(&asked)).await.unwrap();
    stream.write_all(&second[..7]).await.unwrap();
    assert_eq!(read_reply(&mut stream).await.unwrap().answers, reply.answers);
    stream.write_all(&second[7..]).await.unwrap();
    assert_eq!(read_reply(&mut stream).await.unwrap().answers.len(), 3);

    server.publish(0).await;
    assert_eq!(code(server.over_udp(&asked).await), ResponseCode::NXDomain);
    server.stop().await; // although a connection is open
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn the_serial_grows_with_every_change() {
    let server = start(config()).await;
    let mut serials = Vec::new();
    for peers in 0..3 {
        server.publish(peers).await;
        let reply = server.over_udp(&question("nothing", RecordType::A)).await;
        let soa = reply.authorities[0].data.to_string();
        serials.push(soa.split(' ').nth(2).unwrap().parse::<u32>().unwrap());
    }
    assert_eq!(serials, [1001, 1002, 1003]);
    server.stop().await;
}

#[tokio::test]
async fn strangers_bytes_do_not_stop_it() {
    let server = start(config()).await;
    server.publish(1).await;
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    for junk in [&b""[..], b"x", &[0xff; 12], &[0; 4096], &[0xc0; 600]] {
        socket.send_to(junk, server.address).await.unwrap();
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let _ = stream.write_all(junk).await;
        drop(stream);
    }
    // A length above what a question can have, and a message that is no question, close the connection.
    let mut answer = framed(&question("peer-1", RecordType::A));
    answer[4] |= 0x80;
    for bad in [&[0xff, 0xff, 0, 0][..], &answer, &framed(b"")] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(bad).await.unwrap();
        let closed = timeout(PATIENCE, stream.read(&mut [0; 16])).await.unwrap();
        assert_eq!(closed.unwrap_or(0), 0, "{bad:02x?}");
    }
    let reply = server.over_udp(&question("peer-1", RecordType::A)).await;
    assert_eq!(reply.answers.len(), 1);
    server.stop().await;
}

#[tokio::test]
async fn connections_are_bounded_and_a_newer_one_takes_the_place_of_a_silent_one() {
    let server = start(Config {
        tcp_connections: 2,
        ..patient()
    })
    .await;
    server.publish(1).await;
    let mut first = server.asking([127, 0, 0, 1]).await.unwrap();
    let mut second = server.asking([127, 0, 0, 1]).await.unwrap();
    server.ask_again(&mut first).await.unwrap();
    let mut third = server.asking([127, 0, 0, 1]).await.unwrap();
    assert!(is_closed(&mut second).await);
    server.ask_again(&mut first).await.unwrap();
    drop(third);
    third = server.asking([127, 0, 0, 1]).await.unwrap();
    server.ask_again(&mut first).await.unwrap();
    drop(third);
    server.stop().await;
}

/// One that opens as many as it can, and asks nothing, keeps nobody else out.
#[tokio::test]
async fn a_source_has_its_share_of_the_connections_and_no_more() {
    let server = start(patient()).await;
    server.publish(1).await;
    let mut held = Vec::new();
    for _ in 0..150 {
        held.push(from([127, 0, 0, 1], server.address).await.unwrap());
    }
    let mut other = server.asking([127, 0, 0, 2]).await.unwrap();
    // All but its last eight are closed, each by the next of its own.
    for silent in &mut held[..142] {
        assert!(is_closed(silent).await);
    }
    server.ask_again(&mut other).await.unwrap();
    server.ask_again(held.last_mut().unwrap()).await.unwrap();
    let turned_away = server.metrics.text();
    let counted = "attester_connections_turned_away_total{door=\"dns\",limit=\"source\"} 142";
    assert!(turned_away.contains(counted), "{turned_away}");
    server.stop().await;
}

/// So many sources that their shares are all there is.
#[tokio::test]
async fn sources_that_are_silent_together_keep_nobody_out() {
    let server = start(patient()).await;
    server.publish(1).await;
    let mut held = Vec::new();
    for source in 1..=20 {
        for _ in 0..8 {
            held.push(from([127, 0, 7, source], server.address).await.unwrap());
        }
    }
    let mut other = server.asking([127, 0, 0, 2]).await.unwrap();
    server.ask_again(&mut other).await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let server = start(Config {
        tcp_idle_seconds: 1,
        ..config()
    })
    .await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    let closed = timeout(PATIENCE, silent.read(&mut [0; 1])).await.unwrap();
    assert_eq!(closed.unwrap_or(0), 0);
    server.stop().await;
}

#[tokio::test]
async fn configuration_mistakes_are_told() {
    let taken = bind(&config()).await.unwrap();
    let again = Config {
        listen: taken.addr(),
        ..config()
    };
    let error = bind(&again).await.err().unwrap();
    assert!(matches!(error, PublishError::Bind { transport: "TCP", .. }), "{error}");
    assert!(error.to_string().contains(&taken.addr().to_string()), "{error}");

    for bad in [
        Config { sample: 0, ..config() },
        Config {
            sample: 257,
            ..config()
        },
        Config {
            tcp_connections: 0,
            ..config()
        },
        Config {
            tcp_per_source: 0,
            ..config()
        },
        Config {
            tcp_idle_seconds: 0,
            ..config()
        },
    ] {
        let error = bind(&bad).await.err().unwrap();
        assert!(matches!(error, PublishError::Config(_)), "{error}");
    }
    let outside = BTreeSet::from([Name::parse("roundrobin.example.org").unwrap()]);
    let bound = Authoritative::bind(&config(), apex(), outside, 0, StdRng::seed_from_u64(1)).await;
    assert!(matches!(bound.err().unwrap(), PublishError::OutsideZone { .. }));
}

#[tokio::test]
async fn refuses_a_zone_whose_udp_port_is_taken() {
    // A port that is taken for UDP alone: whether TCP gets it first depends on nothing but us.
    let holder = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let listen = holder.local_addr().unwrap();
    let error = bind(&Config { listen, ..config() }).await.err().unwrap();
    assert!(matches!(error, PublishError::Bind { .. }), "{error}");
}

#[test]
fn the_section_of_the_configuration_is_strict_and_has_defaults() {
    let parsed: Config = toml::from_str("listen = \"127.0.0.1:0\"\nnameserver = \"NS1.demo.test\"").unwrap();
    assert_eq!(parsed.nameserver.unwrap().as_str(), "ns1.demo.test");
    assert_eq!((parsed.sample, parsed.negative_ttl), (16, 10));
    assert!(toml::from_str::<Config>("sampel = 3").is_err());
    assert!(toml::from_str::<Config>("nameserver = \"a..b\"").is_err());
}

/// Every member of a rotation larger than the sample comes up sooner or later, over real sockets too.
#[tokio::test]
async fn samples_over_the_network_reach_every_member() {
    let server = start(Config { sample: 4, ..config() }).await;
    server.publish(12).await;
    let mut seen = BTreeSet::new();
    let asked = question("roundrobin", RecordType::A);
    for _ in 0..100 {
        let reply = server.over_udp(&asked).await;
        assert_eq!(reply.answers.len(), 4);
        seen.extend(reply.answers.iter().map(|record| record.data.to_string()));
    }
    assert_eq!(seen.len(), 12);
    let observed = server.publisher.observe().await.unwrap();
    let members = observed
        .iter()
        .filter(|record| record.name.as_str().starts_with("roundrobin") && matches!(record.data, RecordData::A(_)));
    assert_eq!(members.count(), 12);
    server.stop().await;
}
