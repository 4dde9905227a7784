//! A real gRPC server over real TLS 1.3, whose sessions the test drives by hand: it plays the attester.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use proto::{
    attest::{
        Register, Registered, ToAgent, ToAttester,
        peer_verification_server::{PeerVerification, PeerVerificationServer},
        to_agent, to_attester,
    },
    checked::Signed,
    claims::Registration,
    ids::ChannelBinding,
};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::AbortOnDropHandle;
use tonic::{Request, Response, Status, Streaming, transport::server::Connected};

use super::soon;
use crate::samples::{self, NOW, attester, root, signed};

/// A server; it ends when dropped.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    sessions: mpsc::Receiver<Session>,
    _tasks: [AbortOnDropHandle<()>; 2],
}

/// One session as the attester sees it.
pub(super) struct Session {
    pub(super) connection: Connection,
    inbound: Streaming<ToAttester>,
    outbound: mpsc::Sender<Result<ToAgent, Status>>,
}

/// What the server knows of a connection.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    pub(super) binding: ChannelBinding,
    pub(super) source: SocketAddr,
}

impl Server {
    pub(super) async fn start() -> Self {
        Self::with_tls(tls(&[&rustls::version::TLS13])).await
    }

    pub(super) async fn with_tls(tls: ServerConfig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (accepted, incoming) = mpsc::channel(8);
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let accept = tokio::spawn(async move {
            while let Ok((stream, source)) = listener.accept().await {
                let Ok(stream) = acceptor.accept(stream).await else {
                    continue;
                };
                let exported =
                    stream
                        .get_ref()
                        .1
                        .export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(b""));
                let connection = Connection {
                    binding: ChannelBinding::from_bytes(exported.unwrap()),
                    source,
                };
                if accepted
                    .send(Ok::<_, io::Error>(Stream { stream, connection }))
                    .await
                    .is_err()
                {
                    break;
                }
            }
        });
        let (session_sender, sessions) = mpsc::channel(8);
        let service = PeerVerificationServer::new(Service {
            sessions: session_sender,
        });
        let server = tonic::transport::Server::builder().add_service(service);
        let serve = tokio::spawn(async move {
            let _ = server.serve_with_incoming(ReceiverStream::new(incoming)).await;
        });
        Self {
            address,
            sessions,
            _tasks: [AbortOnDropHandle::new(accept), AbortOnDropHandle::new(serve)],
        }
    }

    /// The next session that an agent opens.
    pub(super) async fn session(&mut self) -> Session {
        soon(self.sessions.recv()).await.unwrap()
    }

    /// The next session, brought to registered.
    pub(super) async fn registered(&mut self) -> Session {
        let mut session = self.session().await;
        session.welcome().await;
        let Some(to_attester::Message::Register(register)) = session.receive().await else {
            panic!("no registration")
        };
        session.check(&register);
        let peer_id = samples::me().peer_id();
        session
            .send(to_agent::Message::Registered(Registered {
                own_name: peer_id.own_name("example"),
                peer_id: peer_id.to_string(),
            }))
            .await;
        session
    }
}

impl Session {
    pub(super) async fn send(&self, message: to_agent::Message) {
        self.outbound
            .send(Ok(ToAgent { message: Some(message) }))
            .await
            .unwrap();
    }

    pub(super) async fn fail(&self, status: Status) {
        self.outbound.send(Err(status)).await.unwrap();
    }

    /// The agent's next message; `None` when it ended its side, or the connection broke.
    pub(super) async fn receive(&mut self) -> Option<to_attester::Message> {
        soon(self.inbound.message())
            .await
            .ok()
            .flatten()
            .map(|message| message.message.unwrap())
    }

    /// Whether the agent now ends its side of the stream, as opposed to breaking the connection.
    pub(super) async fn ends(&mut self) -> bool {
        matches!(soon(self.inbound.message()).await, Ok(None))
    }

    /// Sends keyset and welcome.
    pub(super) async fn welcome(&self) {
        self.send(to_agent::Message::Keyset(signed(&samples::keyset(), &root()).into()))
            .await;
        let welcome = samples::welcome(self.connection.binding);
        self.send(to_agent::Message::Welcome(signed(&welcome, &attester()).into()))
            .await;
    }

    fn check(&self, register: &Register) {
        let claim = Signed::<Registration>::parse(&register.registration)
            .unwrap()
            .verify_with_own_key()
            .unwrap();
        let claim = claim.at(NOW, std::time::Duration::ZERO).unwrap();
        assert_eq!(claim.channel_binding, self.connection.binding);
        assert_eq!(claim.subject, samples::me());
    }
}

struct Service {
    sessions: mpsc::Sender<Session>,
}

#[tonic::async_trait]
impl PeerVerification for Service {
    type SessionStream = ReceiverStream<Result<ToAgent, Status>>;

    async fn session(&self, request: Request<Streaming<ToAttester>>) -> Result<Response<Self::SessionStream>, Status> {
        let connection = request.extensions().get::<Connection>().unwrap().clone();
        let (outbound, stream) = mpsc::channel(8);
        let session = Session {
            connection,
            inbound: request.into_inner(),
            outbound,
        };
        self.sessions
            .send(session)
            .await
            .map_err(|_| Status::unavailable("the test is over"))?;
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

struct Stream {
    stream: TlsStream<TcpStream>,
    connection: Connection,
}

impl Connected for Stream {
    type ConnectInfo = Connection;

    fn connect_info(&self) -> Connection {
        self.connection.clone()
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// A server's settings with a fresh self-signed certificate.
pub(super) fn tls(versions: &[&'static rustls::SupportedProtocolVersion]) -> ServerConfig {
    let (certificate, key) = certificate();
    let builder = builder(versions);
    with_alpn(builder.with_single_cert(vec![certificate], key).unwrap())
}

/// The settings of a server that shows a certificate whose key it does not have.
pub(super) fn tls_with_anothers_certificate() -> ServerConfig {
    let (shown, another) = (certificate().0, certificate().1);
    let key = rustls::crypto::ring::sign::any_supported_type(&another).unwrap();
    let shown = Shown(Arc::new(CertifiedKey::new(vec![shown], key)));
    with_alpn(builder(&[&rustls::version::TLS13]).with_cert_resolver(Arc::new(shown)))
}

fn builder(
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> rustls::ConfigBuilder<ServerConfig, rustls::server::WantsServerCert> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
}

fn with_alpn(mut config: ServerConfig) -> ServerConfig {
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

fn certificate() -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let made = rcgen::generate_simple_self_signed(vec!["attester.example".to_owned()]).unwrap();
    (
        made.cert.der().clone(),
        PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap(),
    )
}

#[derive(Debug)]
struct Shown(Arc<CertifiedKey>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}
