//! The reference of verifications: a bare rustls handshake and one GET, with nothing else around it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context;
use rustls::{
    ClientConfig, DigitallySignedStruct, ServerConfig, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime},
};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::Instant,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::{
    child::Child,
    roles::{self, Role},
    usage,
};

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ServerSettings {
    pub(crate) core: Option<usize>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ClientSettings {
    pub(crate) server: SocketAddr,
    pub(crate) core: Option<usize>,
}

/// So many at once, for so long.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) at_once: usize,
    pub(crate) millis: u64,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Done {
    pub(crate) requests: usize,
    pub(crate) elapsed_micros: u64,
    pub(crate) cpu_micros: u64,
    /// The median.
    pub(crate) latency_micros: u64,
}

impl Done {
    /// Of the client's processor time, for each request.
    pub(crate) fn cpu(&self) -> f64 {
        self.cpu_micros as f64 / self.requests.max(1) as f64
    }

    /// Requests a second.
    pub(crate) fn rate(&self) -> f64 {
        self.requests as f64 * 1e6 / self.elapsed_micros.max(1) as f64
    }
}

/// Server and client, each a process.
pub(crate) struct Bare {
    _server: Child,
    client: Child,
}

impl Bare {
    /// `cores` are those of server and client.
    pub(crate) fn start(cores: Option<(usize, usize)>) -> anyhow::Result<Self> {
        let (server_core, client_core) = cores.unzip();
        let (server, address) = Child::start(Role::BareServer, &ServerSettings { core: server_core })?;
        let settings = ClientSettings {
            server: address,
            core: client_core,
        };
        let (client, ()) = Child::start(Role::BareClient, &settings)?;
        Ok(Self {
            _server: server,
            client,
        })
    }

    pub(crate) fn run(&mut self, run: Run) -> anyhow::Result<Done> {
        let done: Done = self.client.ask(&run)?;
        anyhow::ensure!(done.requests > 0, "the bare client got no answer");
        Ok(done)
    }
}

/// The server's process.
pub(crate) fn serve() -> anyhow::Result<()> {
    let settings: ServerSettings = roles::settings()?;
    if let Some(core) = settings.core {
        usage::pin(core)?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let acceptor = acceptor()?;
    let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0)))?;
    let address = listener.local_addr()?;
    runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A client that fails counts it.
                let _ = answer(stream, acceptor).await;
            });
        }
    });
    roles::answer(Ok(address))?;
    roles::serve(|(): ()| Ok(()))
}

/// The client's process.
pub(crate) fn request() -> anyhow::Result<()> {
    let settings: ClientSettings = roles::settings()?;
    if let Some(core) = settings.core {
        usage::pin(core)?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let connector = connector()?;
    roles::answer(Ok(()))?;
    roles::serve(|run: Run| runtime.block_on(run_for(settings.server, &connector, run)))
}

async fn run_for(server: SocketAddr, connector: &TlsConnector, run: Run) -> anyhow::Result<Done> {
    let (start, cpu) = (Instant::now(), usage::process_cpu()?);
    let until = start + Duration::from_millis(run.millis);
    let mut workers = JoinSet::new();
    for _ in 0..run.at_once {
        let connector = connector.clone();
        workers.spawn(async move {
            let mut took = Vec::new();
            while Instant::now() < until {
                let start = Instant::now();
                get(server, &connector).await?;
                took.push(start.elapsed());
            }
            anyhow::Ok(took)
        });
    }
    let mut took = Vec::new();
    while let Some(worker) = workers.join_next().await {
        took.extend(worker??);
    }
    let (elapsed, cpu) = (start.elapsed(), usage::process_cpu()?.saturating_sub(cpu));
    took.sort_unstable();
    let median = took.get(took.len() / 2).context("not one request was made")?;
    Ok(Done {
        requests: took.len(),
        elapsed_micros: u64::try_from(elapsed.as_micros())?,
        cpu_micros: u64::try_from(cpu.as_micros())?,
        latency_micros: u64::try_from(median.as_micros())?,
    })
}

async fn get(server: SocketAddr, connector: &TlsConnector) -> anyhow::Result<()> {
    let stream = TcpStream::connect(server).await?;
    stream.set_nodelay(true)?;
    let mut stream = connector
        .connect(ServerName::IpAddress(server.ip().into()), stream)
        .await?;
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: bare\r\nConnection: close\r\n\r\n")
        .await?;
    let mut answer = Vec::with_capacity(ANSWER + 1);
    stream.read_to_end(&mut answer).await?;
    anyhow::ensure!(answer.len() == ANSWER, "an answer of {} bytes", answer.len());
    Ok(())
}

async fn answer(stream: TcpStream, acceptor: TlsAcceptor) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = acceptor.accept(stream).await?;
    let mut request = Vec::with_capacity(1024);
    while !request.ends_with(b"\r\n\r\n") {
        anyhow::ensure!(stream.read_buf(&mut request).await? > 0, "the client hung up");
    }
    let mut answer = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nX-Pad: {:-<940}\r\n\r\n", "").into_bytes();
    answer.resize(ANSWER, b'.');
    stream.write_all(&answer).await?;
    stream.shutdown().await?;
    Ok(())
}

/// With a fresh ECDSA key, as a give mode server has.
pub(crate) fn acceptor() -> anyhow::Result<TlsAcceptor> {
    Ok(TlsAcceptor::from(Arc::new(server_config()?)))
}

pub(crate) fn server_config() -> anyhow::Result<ServerConfig> {
    let made = rcgen::generate_simple_self_signed(vec!["bare.test".to_owned()])?;
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).map_err(anyhow::Error::msg)?;
    Ok(ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)?)
}

/// Fresh handshakes, any certificate, its signature checked: as a prober makes them, with one configuration for all.
pub(crate) fn connector() -> anyhow::Result<TlsConnector> {
    let provider = Arc::new(ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone(provider)))
        .with_no_client_auth();
    config.enable_sni = false;
    config.resumption = Resumption::disabled();
    Ok(TlsConnector::from(Arc::new(config)))
}

#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
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

/// As long as a liveness probe's answer.
const ANSWER: usize = 2048;
