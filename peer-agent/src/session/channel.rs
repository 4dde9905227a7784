//! The connection to an attester: TCP from the configured address, TLS 1.3, and one gRPC stream on it.
//!
//! The attester's certificate may be any: who it is, its signed welcome says, and that nobody relays, the channel binding
//! (RFC 9266) in it. TLS is therefore finished here before gRPC starts, and gRPC gets this one connection: a connector that
//! dialled again would change the channel binding under a session that was bound to the old one.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use hyper_util::rt::TokioIo;
use proto::{
    attest::{ToAgent, ToAttester, peer_verification_client::PeerVerificationClient},
    ids::ChannelBinding,
};
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{WebPkiSupportedAlgorithms, ring, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpSocket, TcpStream, lookup_host},
    sync::mpsc,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{Status, Streaming, transport};

use super::{error::SessionError, heard::Heard};
use crate::{config::Endpoint, standing::plain};

/// An open session stream.
pub(crate) struct Channel {
    /// What the attester sends.
    pub(crate) inbound: Streaming<ToAgent>,
    /// What goes to the attester. Full means that it does not read.
    pub(crate) outbound: mpsc::Sender<ToAttester>,
    /// The connection's `EXPORTER-Channel-Binding`.
    pub(crate) binding: ChannelBinding,
    /// What drives the connection.
    pub(crate) tasks: Tasks,
}

/// Connects, within a time limit for each part.
pub(crate) async fn open(endpoint: &Endpoint, bind: Option<IpAddr>) -> Result<Channel, SessionError> {
    let stream = connect(endpoint, bind).await?;
    let (stream, binding) = within(endpoint, "making a TLS connection", handshake(endpoint, stream)).await??;
    let tasks = Tasks::default();
    let opening = open_stream(endpoint, stream, tasks.clone());
    let (inbound, outbound) = within(endpoint, "opening the session", opening).await??;
    Ok(Channel {
        inbound,
        outbound,
        binding,
        tasks,
    })
}

/// The tasks of one connection. They end when this is dropped, and have ended after [`Tasks::end`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Tasks {
    /// Closes the connection, and waits until nothing of it is left.
    pub(crate) async fn end(&self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Tasks {
    fn execute(&self, task: F) {
        let stop = self.stop.clone();
        self.tracker.spawn(async move {
            stop.run_until_cancelled(task).await;
        });
    }
}

async fn connect(endpoint: &Endpoint, bind: Option<IpAddr>) -> Result<TcpStream, SessionError> {
    let found = within(
        endpoint,
        "looking up its address",
        lookup_host((endpoint.host(), endpoint.port())),
    )
    .await?;
    let resolve = |source| SessionError::Resolve {
        endpoint: endpoint.clone(),
        source,
    };
    let fits = |address: &SocketAddr| bind.is_none_or(|bind| bind.is_ipv4() == address.is_ipv4());
    let addresses: Vec<_> = found.map_err(resolve)?.filter(fits).take(MAX_ADDRESSES).collect();
    let Ok(count @ 1..) = u32::try_from(addresses.len()) else {
        let bind = bind.map(|bind| bind.to_string()).unwrap_or_default();
        return Err(SessionError::NoAddress {
            endpoint: endpoint.clone(),
            bind,
        });
    };
    let mut last = io::Error::from(io::ErrorKind::TimedOut);
    for address in addresses {
        match timeout(LIMIT / count, connect_to(address, bind)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(SessionError::Connect {
        endpoint: endpoint.clone(),
        source: last,
    })
}

async fn connect_to(address: SocketAddr, bind: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    if let Some(bind) = bind {
        socket.bind(SocketAddr::new(bind, 0))?;
    }
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    SockRef::from(&stream).set_tcp_keepalive(&TCP_KEEPALIVE)?;
    Ok(stream)
}

async fn handshake(
    endpoint: &Endpoint,
    stream: TcpStream,
) -> Result<(TlsStream<TcpStream>, ChannelBinding), SessionError> {
    let failed = |source| SessionError::Tls {
        endpoint: endpoint.clone(),
        source,
    };
    let config = tls_config().map_err(|error| failed(io::Error::other(error)))?;
    let name = ServerName::try_from(endpoint.host().to_owned()).map_err(|error| failed(io::Error::other(error)))?;
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .map_err(failed)?;
    // RFC 9266, section 2: an empty context, which before TLS 1.3 was not the same as none (RFC 5705, section 4).
    let binding = stream
        .get_ref()
        .1
        .export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(b""));
    let binding = binding.map_err(|error| failed(io::Error::other(error)))?;
    Ok((stream, ChannelBinding::from_bytes(binding)))
}

pub(super) fn tls_config() -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let verifier = Arc::new(AnyCertificate {
        algorithms: provider.signature_verification_algorithms,
    });
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
}

async fn open_stream(
    endpoint: &Endpoint,
    stream: TlsStream<TcpStream>,
    tasks: Tasks,
) -> Result<(Streaming<ToAgent>, mpsc::Sender<ToAttester>), SessionError> {
    let failed = |detail: String| SessionError::Open {
        endpoint: endpoint.clone(),
        detail,
    };
    // Plain http in its eyes: TLS is done.
    let settings = transport::Endpoint::from_shared(format!("http://{endpoint}"))
        .map_err(|error| failed(error.to_string()))?
        .executor(tasks)
        .buffer_size(4);
    let connection = settings
        .connect_with_connector(once(Heard::new(stream, SILENCE)))
        .await
        .map_err(|error| failed(error.to_string()))?;
    let mut client = PeerVerificationClient::new(connection).max_decoding_message_size(MAX_MESSAGE);
    let (outbound, queue) = mpsc::channel(OUTBOUND);
    let response = client
        .session(ReceiverStream::new(queue))
        .await
        .map_err(|status| failed(status_text(&status)))?;
    Ok((response.into_inner(), outbound))
}

/// What a gRPC status says, bounded: an attester that nothing is known about may have written it.
pub(crate) fn status_text(status: &Status) -> String {
    let message = plain(status.message(), 256);
    if message.is_empty() {
        status.code().to_string()
    } else {
        message
    }
}

/// A connector that yields `stream` the first time, and errors afterwards.
fn once<S: Send + 'static>(
    stream: S,
) -> impl tower::Service<http::Uri, Response = TokioIo<S>, Error = io::Error, Future = Connecting<S>> + Send + 'static {
    let slot = Arc::new(Mutex::new(Some(stream)));
    tower::service_fn(move |_: http::Uri| {
        let stream = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        let gone = || io::Error::new(io::ErrorKind::NotConnected, "the session's connection has ended");
        let connected = stream.map(TokioIo::new).ok_or_else(gone);
        Box::pin(std::future::ready(connected)) as Connecting<S>
    })
}

type Connecting<S> = Pin<Box<dyn Future<Output = io::Result<TokioIo<S>>> + Send>>;

async fn within<T>(
    endpoint: &Endpoint,
    doing: &'static str,
    operation: impl Future<Output = T>,
) -> Result<T, SessionError> {
    let late = |_| SessionError::TimedOut {
        endpoint: endpoint.clone(),
        doing,
        seconds: LIMIT.as_secs(),
    };
    timeout(LIMIT, operation).await.map_err(late)
}

/// Accepts any certificate, but checks that the server holds its key: without that the channel binding would prove nothing.
struct AnyCertificate {
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("the attester must speak TLS 1.3".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl fmt::Debug for AnyCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnyCertificate")
    }
}

/// For the look-up, for connecting, for the TLS handshake, and for the stream's opening.
const LIMIT: Duration = Duration::from_secs(10);
/// Addresses of one endpoint that are tried.
const MAX_ADDRESSES: usize = 4;
/// An attester that hangs is noticed after it: two of its pings, and what they may take.
const SILENCE: Duration = Duration::from_secs(150);
/// Of the kernels, which wakes neither program. A dead path is noticed within 35 s.
const TCP_KEEPALIVE: TcpKeepalive = TcpKeepalive::new()
    .with_time(Duration::from_secs(20))
    .with_interval(Duration::from_secs(5))
    .with_retries(3);
/// A message is one claim of at most 4 KiB, or a few short texts.
const MAX_MESSAGE: usize = 8 << 10;
/// Messages that wait for the connection: an ack and a receipt for each probe that can be armed, and the goodbye.
const OUTBOUND: usize = 32;

#[cfg(all(test, unix))]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// What README.md of the protocol says of this side, as the kernel has it: 20 s of silence, every 5 s, three times.
    #[tokio::test]
    async fn the_kernel_is_told_to_look_for_a_dead_path() {
        for (listen, bind) in [
            ("127.0.0.1:0", None),
            ("127.0.0.1:0", Some("127.0.0.2")),
            ("[::1]:0", None),
        ] {
            let attester = TcpListener::bind(listen).await.unwrap();
            let endpoint = attester.local_addr().unwrap().into();
            let bind = bind.map(|bind| bind.parse().unwrap());
            let stream = connect(&endpoint, bind).await.unwrap();
            let socket = SockRef::from(&stream);
            assert!(socket.keepalive().unwrap(), "{endpoint}");
            assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(20));
            assert_eq!(socket.tcp_keepalive_interval().unwrap(), Duration::from_secs(5));
            assert_eq!(socket.tcp_keepalive_retries().unwrap(), 3);
        }
    }
}
