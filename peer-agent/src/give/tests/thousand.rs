//! A thousand tunnels at the same time, with the limits that are the default: through TLS and real sockets, 500 by enproxy on two
//! connections each, as real clients have them, and 500 by CONNECT.

use std::{io, net::SocketAddr};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use proto::tunnel::{connect, enproxy::Op};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Semaphore,
    task::JoinSet,
};
use tokio_rustls::client::TlsStream;

use super::rig::{Client, Connector, Server, origin, pattern, within};

type Tls = Client<TlsStream<TcpStream>>;

/// One that is open.
struct Tunnel {
    client: Tls,
    /// By enproxy: the connection that writes while the first one reads.
    writer: Option<Tls>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_tunnels_at_the_same_time_each_with_bytes_of_its_own() {
    raise_open_files();
    let server = Server::start(|_| {});
    let origin = inverting().await;
    let (mut opening, mut carrying) = (JoinSet::new(), JoinSet::new());
    let connector = server.connector(&[&rustls::version::TLS13]);
    // Handshakes cost the most here; a queue of all of them would only make the first ones late.
    static TURN: Semaphore = Semaphore::const_new(64);
    for number in 0..TUNNELS {
        let connector = connector.clone();
        opening.spawn(async move {
            let _turn = TURN.acquire().await.unwrap();
            (number, open(number, origin, &connector).await)
        });
    }
    // Each has carried a byte both ways before any carries more: all are open now.
    let mut open = Vec::new();
    while let Some(opened) = within(opening.join_next()).await {
        open.push(opened.unwrap());
    }
    assert_eq!(open.len(), TUNNELS);
    for (number, tunnel) in open {
        carrying.spawn(async move { (number, carry(number, tunnel).await) });
    }
    // They are kept until the last has carried its bytes.
    let mut kept = Vec::new();
    while let Some(carried) = within(carrying.join_next()).await {
        kept.push(carried.unwrap());
    }
    assert_eq!(kept.len(), TUNNELS);
}

/// Opens a tunnel and sends its first bytes through it, which name it.
async fn open(number: usize, origin: SocketAddr, connector: &Connector) -> Tunnel {
    let hello = hello(number);
    let mut client = connect(number, connector).await;
    if number.is_multiple_of(2) {
        let first = client.call(&id(number), origin, Op::Write, &hello).await;
        let mut got = first.body;
        while got.len() < hello.len() {
            got.extend(client.call(&id(number), origin, Op::Read, b"").await.body);
        }
        assert_eq!(got, inverted(&hello), "{number}");
        let writer = Some(connect(number, connector).await);
        return Tunnel { client, writer };
    }
    let request = connect::Request {
        destination: origin.to_string(),
        ..Default::default()
    };
    client.open(&request).await.unwrap();
    client.send(&hello).await;
    while client.input.len() < hello.len() {
        assert_ne!(client.more().await, 0);
    }
    assert_eq!(std::mem::take(&mut client.input), inverted(&hello), "{number}");
    Tunnel { client, writer: None }
}

async fn connect(number: usize, connector: &Connector) -> Tls {
    Client::new(connector.connect_from(source(number)).await.unwrap())
}

/// Some kilobytes up and, each changed, down again, all of them different from those of every other tunnel.
async fn carry(number: usize, mut tunnel: Tunnel) -> Tunnel {
    let (bytes, client) = (bytes(number), &mut tunnel.client);
    let mut got = Vec::new();
    if let Some(writer) = &mut tunnel.writer {
        let id = id(number);
        for part in bytes.chunks(1500) {
            client.request(&id, "elsewhere:1", Op::Read, b"").await;
            let written = writer.call(&id, "elsewhere:1", Op::Write, part).await;
            assert_eq!((written.head.status, written.head.id), (200, None), "{number}");
            got.extend(client.answer().await.unwrap().body);
        }
        while got.len() < bytes.len() {
            got.extend(client.call(&id, "elsewhere:1", Op::Read, b"").await.body);
        }
    } else {
        client.send(&bytes).await;
        while client.input.len() < bytes.len() {
            assert_ne!(client.more().await, 0, "{number}");
        }
        got.append(&mut client.input);
    }
    got.iter_mut().for_each(|byte| *byte = !*byte);
    assert!(got == bytes, "{number}: {} bytes of {}", got.len(), bytes.len());
    tunnel
}

/// An origin that sends back what it hears, every bit of it turned.
async fn inverting() -> SocketAddr {
    origin(|mut socket| async move {
        let mut buffer = vec![0; 4096];
        loop {
            let length = socket.read(&mut buffer).await?;
            if length == 0 {
                return Ok(());
            }
            socket.write_all(&inverted(&buffer[..length])).await?;
        }
    })
    .await
}

fn inverted(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| !byte).collect()
}

fn id(number: usize) -> String {
    format!("{number:08x}-0000-4000-8000-000000000000")
}

fn hello(number: usize) -> Vec<u8> {
    format!("tunnel {number}").into_bytes()
}

fn bytes(number: usize) -> Vec<u8> {
    let mut bytes = pattern(3000 + 7 * (number % 100));
    bytes.rotate_left(number);
    bytes.extend_from_slice(&hello(number));
    bytes
}

/// Several, as no one source may have that many.
fn source(number: usize) -> SocketAddr {
    SocketAddr::from(([127, 77, 4, 1 + (number / 2 % SOURCES) as u8], 0))
}

/// Both ends of everything are in this process, which a limit of 1,024 does not allow.
fn raise_open_files() {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    assert!(
        hard >= OPEN_FILES,
        "this test needs {OPEN_FILES} open files and the hard limit is {hard}: raise it (ulimit -Hn, or LimitNOFILE of the service)"
    );
    if soft < OPEN_FILES {
        setrlimit(Resource::RLIMIT_NOFILE, OPEN_FILES, hard)
            .map_err(io::Error::from)
            .unwrap();
    }
}

const TUNNELS: usize = 1000;
/// Each with 250 tunnels and 375 connections.
const SOURCES: usize = 4;
/// Two for each of 1,500 connections and of 1,000 to the origin, and what other tests have.
const OPEN_FILES: u64 = 6000;
