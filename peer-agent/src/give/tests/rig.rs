//! A running server, a client that speaks both tunnels, and origins that behave as told.

use std::{io, net::SocketAddr, sync::Arc};

use proto::{
    ids::Pin,
    tunnel::{
        BodyReader, Framing, connect,
        enproxy::{self, Call, Form, Op, Response},
    },
};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::watch,
    task::JoinHandle,
    time::{Duration, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::sync::CancellationToken;

use crate::{
    give::{Config, Give},
    standing::Standing,
    tap::Tap,
};

/// A server on loopback.
pub(super) struct Server {
    pub(super) addr: SocketAddr,
    pub(super) pin: Pin,
    pub(super) stop: CancellationToken,
    pub(super) running: JoinHandle<()>,
    _state: tempfile::TempDir,
}

impl Server {
    pub(super) fn start(change: impl FnOnce(&mut Config)) -> Self {
        Self::tapped(change, Tap::disconnected())
    }

    pub(super) fn tapped(change: impl FnOnce(&mut Config), tap: Tap) -> Self {
        Self::made(change, |config| Give::bind(config, tap).unwrap())
    }

    /// With an agent that was told this.
    pub(super) fn named_by(standing: watch::Receiver<Standing>) -> Self {
        let bind = |config| Give::bind(config, Tap::disconnected()).unwrap();
        Self::made(|_| {}, |config| bind(config).named_by(standing))
    }

    fn made(change: impl FnOnce(&mut Config), bind: impl FnOnce(Config) -> Give) -> Self {
        let state = tempfile::tempdir().unwrap();
        let mut config = Config {
            listen: "127.0.0.1:0".parse().unwrap(),
            state: state.path().to_owned(),
            allow_private: true,
            ..Config::default()
        };
        change(&mut config);
        let give = bind(config);
        let (addr, pin, stop) = (give.addr(), give.pin(), CancellationToken::new());
        let running = tokio::spawn(give.run(stop.clone()));
        Self {
            addr,
            pin,
            stop,
            running,
            _state: state,
        }
    }

    pub(super) async fn client(&self) -> Client<TlsStream<TcpStream>> {
        Client::new(
            self.connect(&[&rustls::version::TLS13, &rustls::version::TLS12])
                .await
                .unwrap(),
        )
    }

    /// A TLS connection without SNI that checks the pin.
    pub(super) async fn connect(
        &self,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> io::Result<TlsStream<TcpStream>> {
        let socket = TcpStream::connect(self.addr).await?;
        self.connector(versions).tls(socket).await
    }

    /// What opens many of them.
    pub(super) fn connector(&self, versions: &[&'static rustls::SupportedProtocolVersion]) -> Connector {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let pinned = Arc::new(Pinned {
            pin: self.pin,
            provider: Arc::clone(&provider),
        });
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(pinned)
            .with_no_client_auth();
        Connector {
            addr: self.addr,
            tls: Arc::new(config).into(),
        }
    }
}

/// Opens TLS connections to a server.
#[derive(Clone)]
pub(super) struct Connector {
    addr: SocketAddr,
    tls: TlsConnector,
}

impl Connector {
    /// One that comes from this address.
    pub(super) async fn connect_from(&self, source: SocketAddr) -> io::Result<TlsStream<TcpStream>> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(source)?;
        self.tls(socket.connect(self.addr).await?).await
    }

    async fn tls(&self, socket: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.tls.connect(ServerName::from(self.addr.ip()), socket).await
    }
}

/// A response and its body.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) head: Response,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A client's connection.
pub(super) struct Client<S> {
    pub(super) stream: S,
    pub(super) input: Vec<u8>,
    pub(super) form: Form,
    pub(super) host: &'static str,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            input: Vec::new(),
            form: Form::Headers,
            host: "peer.example",
        }
    }

    pub(super) async fn call(&mut self, id: &str, destination: impl ToString, op: Op, body: &[u8]) -> Answer {
        self.request(id, destination, op, body).await;
        self.answer().await.unwrap()
    }

    /// Sends a request, without waiting for the answer.
    pub(super) async fn request(&mut self, id: &str, destination: impl ToString, op: Op, body: &[u8]) {
        let call = Call {
            id: id.to_owned(),
            destination: destination.to_string(),
            op,
        };
        let mut out = Vec::new();
        call.encode(self.form, Some(self.host), body, &mut out).unwrap();
        self.send(&out).await;
    }

    pub(super) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// The next answer; `None` when the connection ends before one.
    pub(super) async fn answer(&mut self) -> Option<Answer> {
        let (head, length) = loop {
            if let Some(found) = enproxy::decode_response(&self.input).unwrap() {
                break found;
            }
            if self.more().await == 0 {
                assert!(self.input.is_empty(), "half a head");
                return None;
            }
        };
        self.input.drain(..length);
        let body = self.body(head.body).await;
        Some(Answer { head, body })
    }

    async fn body(&mut self, framing: Framing) -> Vec<u8> {
        let mut reader = BodyReader::new(framing);
        let mut body = Vec::new();
        while !reader.is_done() {
            let mut used = 0;
            while !reader.is_done() && used < self.input.len() {
                let piece = reader.read(&self.input[used..]).unwrap();
                body.extend_from_slice(piece.data);
                used += piece.consumed;
            }
            self.input.drain(..used);
            if !reader.is_done() && self.more().await == 0 {
                reader.close().unwrap();
            }
        }
        body
    }

    /// Opens a CONNECT tunnel; the status and text of a refusal otherwise.
    pub(super) async fn open(&mut self, request: &connect::Request) -> Result<(), (u16, String)> {
        let mut out = Vec::new();
        request.encode(&mut out).unwrap();
        self.send(&out).await;
        let (reply, length) = loop {
            if let Some(found) = connect::decode_reply(&self.input).unwrap() {
                break found;
            }
            assert_ne!(self.more().await, 0, "closed without a reply");
        };
        self.input.drain(..length);
        match reply {
            connect::Reply::Open(_) => Ok(()),
            connect::Reply::Refused { status, mut body } => {
                while !body.push(&std::mem::take(&mut self.input)) {
                    assert_ne!(self.more().await, 0, "closed in a reply");
                }
                Err((status, body.text()))
            }
        }
    }

    /// Everything until the connection ends; a missing close_notify ends it as well.
    pub(super) async fn rest(&mut self) -> Vec<u8> {
        while self.more().await > 0 {}
        std::mem::take(&mut self.input)
    }

    /// Reads some bytes; 0 at the end.
    pub(super) async fn more(&mut self) -> usize {
        let mut buffer = vec![0; 64 * 1024];
        let length = within(self.stream.read(&mut buffer)).await.unwrap_or(0);
        self.input.extend_from_slice(&buffer[..length]);
        length
    }
}

/// An origin that serves every connection with `behaviour`.
pub(super) async fn origin<F>(behaviour: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let served = behaviour(socket);
            tokio::spawn(served);
        }
    });
    address
}

/// An origin that echoes.
pub(super) async fn echo() -> SocketAddr {
    origin(|mut socket| async move {
        let (mut reader, mut writer) = socket.split();
        tokio::io::copy(&mut reader, &mut writer).await.map(drop)
    })
    .await
}

/// An address where nobody listens.
pub(super) async fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

/// Bytes that repeat nowhere near.
pub(super) fn pattern(length: usize) -> Vec<u8> {
    (0..length as u64)
        .map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8)
        .collect()
}

/// No step takes longer unless something hangs. Longer than any deadline of the server, for the tests with virtual time.
pub(super) async fn within<T>(step: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(120), step).await.unwrap()
}

/// Accepts one key, whatever the certificate says, and checks that the peer holds it.
#[derive(Debug)]
struct Pinned {
    pin: Pin,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        _chain: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let pin = Pin::of_certificate(leaf).map_err(|error| Error::General(error.to_string()))?;
        if pin == self.pin {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(Error::General("another key".into()))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            certificate,
            signed,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            certificate,
            signed,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
