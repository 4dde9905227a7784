//! Scripted peers: real TLS over a pipe in memory, so that time can stand still; over sockets where sockets matter.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{future::Future, sync::Arc, time::Duration};

use proto::tunnel::{self, BodyReader, Framing};
use rand::{SeedableRng, rngs::StdRng};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rustls::{
    CipherSuite, ServerConfig, SupportedProtocolVersion,
    crypto::ring,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    time::sleep,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::*;

mod captures;
mod edges;
mod failures;
mod keys;
mod manners;
mod sockets;
mod splits;

/// The peer's end of a tunnel's connection.
type Peer = TlsStream<DuplexStream>;

/// A TLS key and a certificate over it.
struct PeerKey {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl PeerKey {
    /// As keyman makes it, but over a P-256 key: CA:TRUE, a common name and nothing else.
    fn ecdsa() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(DnType::CommonName, "peer.test");
        Self {
            certificate: params.self_signed(&key).unwrap().into(),
            key: key.into(),
        }
    }

    /// As keyman makes it.
    fn rsa() -> Self {
        Self {
            certificate: CertificateDer::from_pem_slice(include_bytes!("testdata/keyman-rsa.pem")).unwrap(),
            key: PrivateKeyDer::from_pem_slice(include_bytes!("testdata/keyman-rsa.key.pem")).unwrap(),
        }
    }

    fn pin(&self) -> Pin {
        Pin::of_certificate(&self.certificate).unwrap()
    }

    fn acceptor(&self) -> TlsAcceptor {
        self.acceptor_with(&[&TLS12, &TLS13], None, self.key.clone_key())
    }

    /// A server that shows this certificate and signs with `key`, by one cipher suite only if it is given.
    fn acceptor_with(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        suite: Option<CipherSuite>,
        key: PrivateKeyDer<'static>,
    ) -> TlsAcceptor {
        let mut provider = ring::default_provider();
        provider
            .cipher_suites
            .retain(|offered| suite.is_none_or(|only| offered.suite() == only));
        // Unchecked, so that a server can show a certificate that is not its own.
        let signer = provider.key_provider.load_private_key(key).unwrap();
        let shown = Arc::new(CertifiedKey::new(vec![self.certificate.clone()], signer));
        let config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Always(shown)));
        TlsAcceptor::from(Arc::new(config))
    }
}

#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl ResolvesServerCert for Always {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

fn job(protocol: Protocol, expected_down: u64) -> Job {
    let destination: Destination = "origin.test:80".parse().unwrap();
    let request = proto::probe::request(&[7; 300], &destination);
    Job {
        protocol,
        destination,
        request,
        expected_down,
    }
}

fn target(pin: Pin) -> Target {
    Target {
        connect_token: Some("sekrit".to_owned()),
        host: Some("peer-a.zone.test".to_owned()),
        ..Target::pinned("192.0.2.7:443".parse().unwrap(), pin)
    }
}

/// One probe of a peer that behaves as `script` says once TLS stands, and what the script returned, if it came to its end
/// within a second after the probe's.
async fn probe<F: Future>(job: &Job, script: impl FnOnce(Peer) -> F) -> (Exchange, Option<F::Output>) {
    probe_with(Limits::default(), job, ID, script).await
}

async fn probe_with<F: Future>(
    limits: Limits,
    job: &Job,
    id: &str,
    script: impl FnOnce(Peer) -> F,
) -> (Exchange, Option<F::Output>) {
    let key = PeerKey::ecdsa();
    let target = target(key.pin());
    let (near, far) = tokio::io::duplex(1 << 16);
    let client = async {
        let prober = Prober::new(None, limits);
        let mut account = Account::new(Stopwatch::start(), job.expected_down);
        let result = prober.through(near, &target, job, id.to_owned(), &mut account).await;
        account.close(target.address, job, result.err())
    };
    let server = async { script(key.acceptor().accept(far).await.unwrap()).await };
    let (mut client, mut server) = (std::pin::pin!(client), std::pin::pin!(server));
    tokio::select! {
        exchange = &mut client => {
            let said = timeout(Duration::from_secs(1), server).await;
            (exchange, said.ok())
        }
        said = &mut server => (client.await, Some(said)),
    }
}

/// Reads one request, head and body; `None` at the end of the connection.
async fn request(peer: &mut (impl tokio::io::AsyncRead + Unpin)) -> Option<(tunnel::Request, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        if let Some((request, length)) = tunnel::decode_request(&bytes).unwrap() {
            let framing = match &request {
                tunnel::Request::Enproxy(request) => request.body,
                tunnel::Request::Connect(_) => Framing::Length(0),
            };
            let (mut reader, mut body, mut at) = (BodyReader::new(framing), Vec::new(), length);
            while at < bytes.len() {
                let piece = reader.read(&bytes[at..]).unwrap();
                assert_ne!(piece.consumed, 0, "more than one request at once");
                body.extend_from_slice(piece.data);
                at += piece.consumed;
            }
            if reader.is_done() {
                return Some((request, body));
            }
        }
        if peer.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            assert!(bytes.is_empty(), "half a request: {}", String::from_utf8_lossy(&bytes));
            return None;
        }
    }
}

async fn say(peer: &mut (impl tokio::io::AsyncWrite + Unpin), bytes: impl AsRef<[u8]>) {
    // The client may already have gone.
    let _ = peer.write_all(bytes.as_ref()).await;
    let _ = peer.flush().await;
}

/// An enproxy response of known length, to a first write or a read of the tunnel [`ID`].
fn ok(headers: &str, body: &[u8]) -> Vec<u8> {
    ok_of(ID, headers, body)
}

/// The same, of another tunnel.
fn ok_of(id: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 200 OK\r\nX-Enproxy-Id: {id}\r\n{headers}Content-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

/// The head of an enproxy response of [`ID`] whose body is framed as these headers say.
fn head_of(status: &str, headers: &str) -> Vec<u8> {
    format!("{status}\r\nX-Enproxy-Id: {ID}\r\n{headers}\r\n").into_bytes()
}

/// The id of the tunnel that a request is part of, or of the device that asks for one.
fn id_of(request: &tunnel::Request) -> &str {
    match request {
        tunnel::Request::Enproxy(tunnel::enproxy::Request {
            purpose: tunnel::enproxy::Purpose::Call(call),
            ..
        }) => &call.id,
        tunnel::Request::Connect(request) => request.device_id.as_deref().unwrap_or_default(),
        tunnel::Request::Enproxy(_) => "",
    }
}

/// The answer that opens a tunnel, without any tunnelled bytes.
fn opened(protocol: Protocol) -> Vec<u8> {
    match protocol {
        Protocol::Connect => b"HTTP/1.1 200 OK\r\n\r\n".to_vec(),
        _ => ok("", b""),
    }
}

/// An enproxy peer that answers each request with the next of `responses` and then is silent; returns the requests.
async fn answering(mut peer: Peer, responses: Vec<Vec<u8>>) -> Vec<tunnel::Request> {
    let mut responses = responses.into_iter();
    let mut requests = Vec::new();
    while let Some((request, _)) = request(&mut peer).await {
        requests.push(request);
        if let Some(response) = responses.next() {
            say(&mut peer, response).await;
        }
    }
    requests
}

/// A peer that carries `job`, whose destination says hello and closes.
async fn honest(mut peer: Peer, job: &Job) {
    let (_, body) = request(&mut peer).await.unwrap();
    if job.protocol == Protocol::Connect {
        say(&mut peer, opened(job.protocol)).await;
        let mut inner = vec![0; job.request.len()];
        peer.read_exact(&mut inner).await.unwrap();
        assert_eq!(inner, job.request);
        say(&mut peer, b"hello").await;
    } else {
        assert_eq!(body, job.request);
        let headers = "X-Enproxy-Eof: true\r\nX-Enproxy-Proxy-Host: p.test\r\n";
        say(&mut peer, ok(headers, b"hello")).await;
    }
}

fn reason(exchange: &Exchange) -> Option<Reason> {
    exchange.failure.as_ref().map(|finding| finding.reason)
}

fn detail(exchange: &Exchange) -> &str {
    exchange.failure.as_ref().map_or("", Finding::detail)
}

async fn for_ever() -> ! {
    loop {
        sleep(Duration::from_secs(3600)).await;
    }
}

/// The tunnel of a probe whose peer is scripted in advance.
const ID: &str = "9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d";
const EOF: &str = "X-Enproxy-Eof: true\r\n";
