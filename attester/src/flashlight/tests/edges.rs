//! Probes through an edge: what the ClientHello says, which certificates count, and whose name the peer may give itself.

use std::net::{Ipv4Addr, SocketAddr};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls_pki_types::PrivatePkcs8KeyDer;
use tokio::net::TcpListener;
use tokio_rustls::LazyConfigAcceptor;

use super::*;
use crate::flashlight::{Edge, EdgeError, End, Sni};

const NAME: &str = "cdn.example";

/// A CA, and an edge's key and certificate by it.
struct Front {
    ca: String,
    config: Arc<ServerConfig>,
    pin: Pin,
}

impl Front {
    fn new(name: &str) -> Self {
        let (ca_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = authority.self_signed(&ca_key).unwrap().pem();
        let leaf = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let leaf = leaf.signed_by(&key, &Issuer::new(authority, ca_key)).unwrap();
        let pin = Pin::of_certificate(leaf.der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![leaf.der().clone()],
                PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            )
            .unwrap();
        Self {
            ca,
            config: Arc::new(config),
            pin,
        }
    }

    /// Runs one probe through this edge, which answers for a peer that gives itself the name `named`; gives what it showed, the name in
    /// the ClientHello and the request.
    async fn probe(&self, edge: Edge, named: Option<&str>) -> (Exchange, Option<String>, String) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let target = Target {
            end: End::Edge(edge),
            host: Some("peer-a.zone.test".to_owned()),
            ..Target::pinned(listener.local_addr().unwrap(), Pin::from_bytes([0; 32]))
        };
        let (job, mut rng) = (job(Protocol::Enproxy, 5), StdRng::seed_from_u64(1));
        let prober = Prober::new(None, Limits::default());
        let client = prober.exchange(&target, &job, Stopwatch::start(), &mut rng);
        let server = async {
            let stream = listener.accept().await.unwrap().0;
            let hello = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream);
            let hello = hello.await.unwrap();
            let name = hello.client_hello().server_name().map(str::to_owned);
            let Ok(mut stream) = hello.into_stream(Arc::clone(&self.config)).await else {
                return (name, String::new());
            };
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).await.unwrap_or_default();
            request.truncate(length);
            let id = tunnel::decode_request(&request).unwrap().unwrap().0;
            let _ = stream.write_all(&answer(id_of(&id), named)).await;
            let _ = stream.shutdown().await;
            (name, String::from_utf8_lossy(&request).into_owned())
        };
        let (exchange, (name, request)) = tokio::join!(client, server);
        (exchange, name, request)
    }
}

fn answer(id: &str, host: Option<&str>) -> Vec<u8> {
    let host = host
        .map(|host| format!("X-Enproxy-Proxy-Host: {host}\r\n"))
        .unwrap_or_default();
    ok_of(id, &format!("{EOF}{host}"), b"hello")
}

#[tokio::test]
async fn the_name_is_sent_or_not_and_checked_in_any_case() {
    let front = Front::new(NAME);
    for (sni, shown) in [(Sni::Absent, None), (Sni::Masquerade, Some(NAME.to_owned()))] {
        let edge = Edge::new(NAME, sni, Some(front.ca.as_bytes())).unwrap();
        let (exchange, name, request) = front.probe(edge, None).await;
        assert_eq!((exchange.failure, name), (None, shown));
        assert_eq!(exchange.received, b"hello");
        // The key that was seen is the edge's, and the peer is named inside alone.
        assert_eq!(exchange.pin, Some(front.pin));
        assert!(
            request.contains("Host: peer-a.zone.test\r\n") && !request.contains(NAME),
            "{request}"
        );
    }
}

#[tokio::test]
async fn another_name_or_another_ca_is_no_edge() {
    let (front, other) = (Front::new(NAME), Front::new(NAME));
    for edge in [
        Edge::new("other.example", Sni::Absent, Some(front.ca.as_bytes())),
        Edge::new(NAME, Sni::Absent, Some(other.ca.as_bytes())),
        // What browsers trust is not what a test made.
        Edge::new(NAME, Sni::Masquerade, None),
    ] {
        let (exchange, ..) = front.probe(edge.unwrap(), None).await;
        let finding = exchange.failure.unwrap();
        assert_eq!(finding.reason, Reason::TlsFailed);
        assert!(finding.detail().contains("certificate"), "{}", finding.detail());
        assert_eq!(exchange.sent, 0);
    }
}

#[tokio::test]
async fn a_peer_behind_an_edge_has_one_name() {
    let front = Front::new(NAME);
    for (host, wrong) in [
        ("peer-a.zone.test", false),
        ("PEER-A.zone.test.", false),
        ("peer-b.zone.test", true),
        ("peer-a.zone.test.example", true),
    ] {
        let edge = Edge::new(NAME, Sni::Absent, Some(front.ca.as_bytes())).unwrap();
        let (exchange, ..) = front.probe(edge, Some(host)).await;
        let reason = exchange.failure.map(|finding| finding.reason);
        assert_eq!(reason, wrong.then_some(Reason::ProxyHost), "{host}");
        assert_eq!(exchange.proxy_host.as_deref(), Some(host));
    }
}

#[test]
fn what_is_no_edge_is_told() {
    let told = |edge: Result<Edge, EdgeError>| edge.map(drop).unwrap_err().to_string();
    assert!(told(Edge::new("not a name", Sni::Absent, None)).contains("not a name"));
    for (pem, what) in [
        ("", "no certificate"),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "cannot be used",
        ),
        ("-----BEGIN CERTIFICATE-----\n", "cannot be used"),
    ] {
        let text = told(Edge::new(NAME, Sni::Absent, Some(pem.as_bytes())));
        assert!(text.contains(what), "{text}");
    }
}

/// Of a peer about which nothing is known, whichever key it shows is seen.
#[tokio::test]
async fn any_key_is_taken_where_none_is_expected() {
    let front = Front::new("peer.example");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let target = Target {
        end: End::AnyKey,
        ..Target::pinned(address, Pin::from_bytes([0; 32]))
    };
    let (job, mut rng) = (job(Protocol::Enproxy, 5), StdRng::seed_from_u64(1));
    let prober = Prober::new(None, Limits::default());
    let server = async {
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::clone(&front.config));
        let mut stream = acceptor.accept(listener.accept().await.unwrap().0).await.unwrap();
        let (request, _) = request(&mut stream).await.unwrap();
        let _ = stream.write_all(&answer(id_of(&request), None)).await;
        let _ = stream.shutdown().await;
    };
    let (exchange, ()) = tokio::join!(prober.exchange(&target, &job, Stopwatch::start(), &mut rng), server);
    assert_eq!((exchange.failure, exchange.pin), (None, Some(front.pin)));
}
