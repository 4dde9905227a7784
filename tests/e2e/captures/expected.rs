//! The captures and what the script derived from them.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use data_encoding::HEXLOWER;
use proto::key::sha256;
use serde::Deserialize;

/// A case: its connections and what went through its tunnels.
pub(super) struct Capture {
    pub(super) name: String,
    pub(super) connections: Vec<Connection>,
    pub(super) tunnels: Vec<Tunnel>,
}

/// A TCP connection with the bytes of both directions.
pub(super) struct Connection {
    pub(super) name: String,
    pub(super) client: Vec<u8>,
    pub(super) server: Vec<u8>,
    pub(super) hello: Option<Hello>,
    pub(super) exchanges: Vec<Exchange>,
    /// Did the server close it before the client did?
    pub(super) server_closed: bool,
}

/// A request, and what was answered to it, if anything.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Exchange {
    pub(super) request: Request,
    pub(super) response: Option<Response>,
    /// Whether an opened tunnel begins with the chunk of the 2014 server.
    #[serde(default)]
    pub(super) preamble: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Request {
    /// When its first and its last byte passed, in microseconds.
    pub(super) at: [u64; 2],
    pub(super) method: String,
    pub(super) version: String,
    pub(super) form: Form,
    #[serde(default)]
    pub(super) id: String,
    #[serde(default)]
    pub(super) destination: String,
    #[serde(default)]
    pub(super) op: String,
    pub(super) host: Option<String>,
    pub(super) tokens: Vec<String>,
    pub(super) expect_continue: bool,
    pub(super) framing: String,
    /// Lengths of the head and of the whole message.
    pub(super) head: usize,
    pub(super) wire: usize,
    /// Where each chunk's size line begins.
    pub(super) chunks: Vec<usize>,
    pub(super) body: Sum,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Response {
    pub(super) at: [u64; 2],
    pub(super) status: u16,
    pub(super) version: String,
    pub(super) interim: Vec<u16>,
    pub(super) eof: bool,
    pub(super) id: Option<String>,
    pub(super) proxy_host: Option<String>,
    pub(super) keep_alive: bool,
    pub(super) framing: Option<String>,
    pub(super) head: usize,
    pub(super) wire: usize,
    pub(super) chunks: Vec<usize>,
    pub(super) body: Sum,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Form {
    Path,
    Header,
    Connect,
    Other,
}

/// What went through one tunnel.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tunnel {
    /// Of one by CONNECT, the connection's name.
    pub(super) id: String,
    pub(super) destination: String,
    pub(super) eof: bool,
    pub(super) up: Sum,
    pub(super) down: Sum,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Hello {
    pub(super) server_name: bool,
    pub(super) alpn: bool,
    pub(super) tls13: bool,
}

/// Length and SHA-256 of some bytes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sum {
    pub(super) length: usize,
    sha256: String,
}

impl Sum {
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self {
            length: bytes.len(),
            sha256: HEXLOWER.encode(&sha256(bytes)),
        }
    }
}

/// The printed head of a 2014 server's answer; none when it closed the connection instead.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Status {
    pub(super) server: String,
    pub(super) request: String,
    pub(super) head: Option<String>,
    #[serde(default)]
    pub(super) status: u16,
    pub(super) length: Option<u64>,
    pub(super) id: Option<String>,
    pub(super) proxy_host: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    cases: BTreeMap<String, Case>,
    statuses: Vec<Status>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    connections: BTreeMap<String, Told>,
    tunnels: Vec<Tunnel>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    client: Sum,
    server: Option<Sum>,
    client_hello: Option<Hello>,
    exchanges: Vec<Exchange>,
    closed_first: Option<String>,
}

/// Every case, in the order of their names. Each has a folder, and each folder is a case.
pub(super) fn captures() -> Vec<Capture> {
    let cases = expected().cases;
    let folders = fs::read_dir(folder()).unwrap();
    let mut found: Vec<String> = folders
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().unwrap().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    found.sort();
    assert!(
        found.iter().eq(cases.keys()),
        "expected.json is of other cases than {found:?}"
    );
    cases.into_iter().map(|(name, case)| case.read(name)).collect()
}

/// The printed answers of 2014 servers.
pub(super) fn statuses() -> Vec<Status> {
    expected().statuses
}

fn expected() -> Expected {
    serde_json::from_slice(&fs::read(folder().join("expected.json")).unwrap()).unwrap()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("captures")
}

impl Case {
    fn read(self, case: String) -> Capture {
        let connections = self.connections.into_iter().map(|(name, told)| {
            let folder = folder().join(&case).join(&name);
            let client = fs::read(folder.join("client.bin")).unwrap();
            assert_eq!(Sum::of(&client), told.client, "{case}/{name}");
            // Of TLS only the client's first record was kept.
            let server = told.server.map_or_else(Vec::new, |sum| {
                let server = fs::read(folder.join("server.bin")).unwrap();
                assert_eq!(Sum::of(&server), sum, "{case}/{name}");
                server
            });
            Connection {
                name,
                client,
                server,
                hello: told.client_hello,
                exchanges: told.exchanges,
                server_closed: told.closed_first.as_deref() == Some("server"),
            }
        });
        Capture {
            connections: connections.collect(),
            tunnels: self.tunnels,
            name: case,
        }
    }
}

impl Connection {
    /// The bytes of each request, and of what was answered to it. A tunnel belongs to the CONNECT that opened it.
    pub(super) fn messages(&self) -> Vec<(&[u8], &[u8])> {
        let (mut client, mut server) = (self.client.as_slice(), self.server.as_slice());
        let mut messages = Vec::new();
        for exchange in &self.exchanges {
            let (mut sent, mut received) = (
                exchange.request.wire,
                exchange.response.as_ref().map_or(0, |response| response.wire),
            );
            if exchange.request.form == Form::Connect {
                (sent, received) = (client.len(), server.len());
            }
            messages.push((&client[..sent], &server[..received]));
            (client, server) = (&client[sent..], &server[received..]);
        }
        assert!(client.is_empty() && server.is_empty());
        messages
    }
}

/// Where to cut a message: before each of its bytes and behind the last, or, when `sampled`, where it matters and at some other places.
pub(super) fn cuts(length: usize, head: usize, chunks: &[usize], sampled: bool) -> Vec<usize> {
    let matters = |at: &usize| {
        *at <= head + 4
            || *at + 4 >= length
            || chunks
                .iter()
                .any(|line| (line.saturating_sub(4)..line + 12).contains(at))
            || (at + 1) % BUFFERS <= 2
            || at.is_multiple_of(SAMPLE)
    };
    (0..=length).filter(|at| !sampled || matters(at)).collect()
}

/// Files that are longer are cut at a sample of places only.
pub(super) const WHOLE: usize = 64 * 1024;
/// All buffers that the bytes pass are multiples of this, or smaller than a head.
const BUFFERS: usize = 16 * 1024;
/// A prime, so that the sample has no measure in common with any buffer.
const SAMPLE: usize = 4099;
