//! A session server on loopback and agents made of a real TLS and gRPC client.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use hyper_util::rt::TokioIo;
use proto::{
    attest::{
        Ack, Goodbye, Receipt, Register as RegisterMessage, Rejected, Succession, ToAgent, ToAttester,
        peer_verification_client::PeerVerificationClient, to_agent, to_attester::Message,
    },
    checked::{Signed, sign},
    claims::{KeyBytes, Protocol, Protocols, Registration, SuccessionPair, Welcome},
    ids::{Address, ChannelBinding, PeerId, Pin, ProbeId},
    key::SigningKey,
    time::{Clock, Seconds, Timestamp},
};
use rand::{SeedableRng, rngs::StdRng};
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls13_signature},
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::{
    net::{TcpSocket, TcpStream},
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{
    Status, Streaming,
    codegen::{Service, http::Uri},
    transport::{Channel, Endpoint},
};

use crate::session::{
    Config, How, Register, Registered, SessionEvent, SessionHandle, SessionId, SessionKeys, SessionServer,
};

pub(super) const NOW: u64 = 1_800_000_000;
/// Nothing here takes long; this only keeps a broken test from hanging.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
pub(super) const KEYSET: &[u8] = b"the keyset as the root signed it";
pub(super) const LOOPBACK: [u8; 4] = [127, 0, 0, 1];

pub(super) struct Rig {
    pub(super) address: SocketAddr,
    pub(super) clock: Clock,
    pub(super) events: mpsc::Receiver<SessionEvent>,
    pub(super) token: CancellationToken,
    handed_out: watch::Sender<Arc<SessionKeys>>,
    running: JoinHandle<()>,
}

impl Rig {
    pub(super) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(super) async fn start_with(adjust: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config {
            listen: (LOOPBACK, 0).into(),
            allow_private: true,
            ..Config::default()
        };
        // Tests that let an agent hang about would otherwise take that long to stop.
        config.limits.linger = Duration::from_millis(200);
        adjust(&mut config);
        let attester = SigningKey::from_seed(&[1; 32]);
        let keys = SessionKeys {
            keyset: Bytes::from_static(KEYSET),
            attester,
        };
        let clock = Clock::manual(Timestamp::from_secs(NOW));
        let (handed_out, keys) = watch::channel(Arc::new(keys));
        let (server, events) = SessionServer::bind(&config, keys, clock.clone(), StdRng::seed_from_u64(1))
            .await
            .unwrap();
        let token = CancellationToken::new();
        let address = server.addr();
        let running = tokio::spawn(server.run(token.clone()));
        Self {
            address,
            clock,
            events,
            token,
            handed_out,
            running,
        }
    }

    /// Gives the server another keyset, and says nothing to the sessions.
    pub(super) fn hand_out(&self, keyset: &'static [u8]) {
        let keys = self.handed_out.borrow().clone();
        self.handed_out.send_replace(Arc::new(SessionKeys {
            keyset: Bytes::from_static(keyset),
            attester: keys.attester.clone(),
        }));
    }

    pub(super) async fn event(&mut self) -> SessionEvent {
        timeout(PATIENCE, self.events.recv())
            .await
            .expect("an event comes")
            .expect("the server runs")
    }

    pub(super) async fn register_event(&mut self) -> Register {
        match self.event().await {
            SessionEvent::Register(register) => *register,
            other => panic!("expected a registration, got {other:?}"),
        }
    }

    pub(super) async fn ended(&mut self) -> (PeerId, SessionId, How) {
        match self.event().await {
            SessionEvent::Ended { peer, session, how } => (peer, session, how),
            other => panic!("expected an end, got {other:?}"),
        }
    }

    /// An agent that is registered, and the core's hold on it.
    pub(super) async fn registered(&mut self, seed: u8) -> (Agent, SessionHandle) {
        let mut agent = Agent::connect(self.address).await;
        agent.register(seed).await;
        let register = self.register_event().await;
        let registered = Registered {
            peer_id: register.handle.peer().clone(),
            own_name: "peer-x.test".to_owned(),
        };
        register.answer.send(Ok(registered)).unwrap();
        assert!(matches!(agent.hear().await, to_agent::Message::Registered(_)));
        (agent, register.handle)
    }

    pub(super) async fn stop(self) {
        self.token.cancel();
        timeout(PATIENCE, self.running)
            .await
            .expect("the server stops")
            .unwrap();
    }
}

/// A connection of an agent and its one stream.
pub(super) struct Agent {
    pub(super) binding: ChannelBinding,
    pub(super) welcome: Welcome,
    pub(super) say: mpsc::Sender<ToAttester>,
    pub(super) heard: Streaming<ToAgent>,
    pub(super) client: PeerVerificationClient<Channel>,
    source: IpAddr,
}

impl Agent {
    pub(super) async fn connect(address: SocketAddr) -> Self {
        Self::connect_from(LOOPBACK, address).await
    }

    /// Opens the stream and hears keyset and welcome.
    pub(super) async fn connect_from(source: [u8; 4], address: SocketAddr) -> Self {
        let (binding, mut client) = open(source, address).await;
        let (say, mut heard) = open_stream(&mut client).await.unwrap();
        let keyset = hear(&mut heard).await.unwrap();
        assert_eq!(keyset, Some(to_agent::Message::Keyset(Bytes::from_static(KEYSET))));
        let Some(to_agent::Message::Welcome(welcome)) = hear(&mut heard).await.unwrap() else {
            panic!("the second message is no welcome");
        };
        let timely = Signed::<Welcome>::parse(&welcome)
            .unwrap()
            .verify(&SigningKey::from_seed(&[1; 32]).public())
            .unwrap();
        let welcome = timely.at(Timestamp::from_secs(NOW), Duration::ZERO).unwrap();
        Self {
            binding,
            welcome,
            say,
            heard,
            client,
            source: source.into(),
        }
    }

    pub(super) fn registration(&self, seed: u8) -> Registration {
        let key = peer_key(seed).public();
        Registration {
            issuer: key.thumbprint(),
            subject: key.thumbprint(),
            audience: self.welcome.issuer,
            expires: Seconds::new(NOW + 60),
            issued_at: Seconds::new(NOW),
            session: self.welcome.session,
            key: KeyBytes(*key.as_bytes()),
            address: Address(SocketAddr::new(self.source, 443)),
            protocols: Protocols::new([Protocol::Enproxy]).unwrap(),
            pin: Pin::from_bytes([4; 32]),
            channel_binding: self.binding,
            software: "test 1".to_owned(),
            peer_time: Timestamp::from_secs(NOW - 7),
        }
    }

    pub(super) async fn register(&self, seed: u8) -> Vec<u8> {
        let raw = sign(&self.registration(seed), &peer_key(seed)).unwrap();
        self.register_raw(raw.clone()).await;
        raw
    }

    pub(super) async fn register_raw(&self, raw: Vec<u8>) {
        self.register_with(raw, Vec::new()).await;
    }

    /// Registers, and says how the identity came to its key.
    pub(super) async fn register_with(&self, raw: Vec<u8>, successions: Vec<SuccessionPair>) {
        let message = |pair: SuccessionPair| Succession {
            by_old: pair.by_old.into(),
            by_new: pair.by_new.into(),
        };
        self.tell(Message::Register(RegisterMessage {
            registration: raw.into(),
            connect_token: String::new(),
            successions: successions.into_iter().map(message).collect(),
        }))
        .await;
    }

    pub(super) async fn ack(&self, probe: ProbeId, refusal: &str) {
        let probe_id = Bytes::copy_from_slice(probe.as_bytes());
        self.tell(Message::Ack(Ack {
            probe_id,
            refusal: refusal.to_owned(),
        }))
        .await;
    }

    pub(super) async fn receipt(&self, receipt: Vec<u8>) {
        self.tell(Message::Receipt(Receipt {
            receipt: receipt.into(),
        }))
        .await;
    }

    pub(super) async fn goodbye(&self, reason: i32) {
        self.tell(Message::Goodbye(Goodbye { reason })).await;
    }

    pub(super) async fn tell(&self, message: Message) {
        self.say.send(ToAttester { message: Some(message) }).await.unwrap();
    }

    pub(super) async fn hear(&mut self) -> to_agent::Message {
        hear(&mut self.heard).await.unwrap().expect("the stream goes on")
    }

    /// The rejection that ends the stream.
    pub(super) async fn rejected(&mut self) -> Rejected {
        let to_agent::Message::Rejected(rejected) = self.hear().await else {
            panic!("not rejected")
        };
        assert_eq!(hear(&mut self.heard).await.unwrap(), None);
        rejected
    }

    /// The status that ends the stream.
    pub(super) async fn status(&mut self) -> Status {
        hear(&mut self.heard).await.expect_err("the stream ends with a status")
    }
}

pub(super) fn peer_key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

pub(super) fn soon() -> Instant {
    Instant::now() + PATIENCE
}

/// A deadline for what must not come.
pub(super) fn at_once() -> Instant {
    Instant::now() + Duration::from_millis(50)
}

pub(super) async fn hear(heard: &mut Streaming<ToAgent>) -> Result<Option<to_agent::Message>, Status> {
    let message = timeout(PATIENCE, heard.message()).await.expect("something comes")?;
    Ok(message.map(|message| message.message.expect("a message of a known kind")))
}

pub(super) async fn open_stream(
    client: &mut PeerVerificationClient<Channel>,
) -> Result<(mpsc::Sender<ToAttester>, Streaming<ToAgent>), Status> {
    let (say, said) = mpsc::channel(64);
    let answer = timeout(PATIENCE, client.session(ReceiverStream::new(said)))
        .await
        .expect("an answer comes");
    Ok((say, answer?.into_inner()))
}

/// A connection without a stream.
pub(super) async fn open(source: [u8; 4], address: SocketAddr) -> (ChannelBinding, PeerVerificationClient<Channel>) {
    over(handshake(source, address, &[b"h2"]).await.unwrap()).await.unwrap()
}

/// The binding of a finished handshake and a client over it; `None` when the other end is gone.
pub(super) async fn over(tls: TlsStream<TcpStream>) -> Option<(ChannelBinding, PeerVerificationClient<Channel>)> {
    let exported = tls
        .get_ref()
        .1
        .export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(b""))
        .ok()?;
    let client = PeerVerificationClient::new(channel(tls).await?);
    Some((ChannelBinding::from_bytes(exported), client))
}

/// HTTP/2 over a finished handshake.
pub(super) async fn channel(tls: TlsStream<TcpStream>) -> Option<Channel> {
    let endpoint = Endpoint::from_static("http://attester.invalid");
    endpoint.connect_with_connector(Once(Some(tls))).await.ok()
}

pub(super) async fn dial(source: [u8; 4], address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((source, 0).into()).unwrap();
    socket.connect(address).await.unwrap()
}

pub(super) async fn handshake(
    source: [u8; 4],
    address: SocketAddr,
    alpn: &[&[u8]],
) -> io::Result<TlsStream<TcpStream>> {
    let provider = Arc::new(ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    let stream = dial(source, address).await;
    let name = ServerName::try_from("attester.invalid").unwrap();
    timeout(PATIENCE, TlsConnector::from(Arc::new(config)).connect(name, stream))
        .await
        .expect("a handshake ends")
}

/// Gives its connection away once: a session never moves to another one.
struct Once(Option<TlsStream<TcpStream>>);

impl Service<Uri> for Once {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = io::Error;
    type Future = std::future::Ready<io::Result<Self::Response>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _uri: Uri) -> Self::Future {
        let taken = self.0.take().map(TokioIo::new);
        std::future::ready(taken.ok_or_else(|| io::Error::other("the connection is gone")))
    }
}

/// Any certificate will do, but its key must have signed the handshake.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.3 only".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
