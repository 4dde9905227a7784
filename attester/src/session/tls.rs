//! The session server's TLS: version 1.3 only, since its exporter always binds channels (RFC 9266, section 4.2), under a
//! certificate that says nothing. Agents pin the root key, not the certificate: who the attester is, its keyset and its
//! signed welcome tell, and the channel binding in it shows that nobody stands in between.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use proto::ids::ChannelBinding;
use rustls::{ServerConfig, crypto::ring, server::NoServerSessionStorage};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::TcpStream,
    sync::{OwnedSemaphorePermit, mpsc},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::{
    door::{Full, Seat},
    metrics::{Handshake, Metrics},
};

use super::{
    Limits, SessionError,
    connection::{Connection, SessionStream},
};

/// What it takes to make a session's connection out of a stranger's.
#[derive(Clone)]
pub(super) struct Handshakes {
    acceptor: TlsAcceptor,
    limits: Limits,
    /// Where finished ones go.
    finished: mpsc::Sender<io::Result<SessionStream>>,
    /// Cancelled when all connections must go.
    abort: CancellationToken,
    metrics: Arc<Metrics>,
}

/// A connection that was let in, before its handshake.
pub(super) struct Arrived {
    pub(super) stream: TcpStream,
    pub(super) source: SocketAddr,
    pub(super) seat: Seat,
    /// Set when it gets no session, only the reason.
    pub(super) full: Option<Full>,
    /// Its place among the handshakes under way.
    pub(super) place: OwnedSemaphorePermit,
}

impl Handshakes {
    pub(super) fn new(
        config: Arc<ServerConfig>,
        limits: Limits,
        finished: mpsc::Sender<io::Result<SessionStream>>,
        abort: CancellationToken,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            acceptor: TlsAcceptor::from(config),
            limits,
            finished,
            abort,
            metrics,
        }
    }

    /// Shakes hands and passes the connection on. A stranger who cannot is only a debug line.
    pub(super) async fn shake(self, arrived: Arrived) {
        let source = arrived.source;
        let how = match timeout(self.limits.handshake, self.finish(arrived)).await {
            Ok(Ok(())) => Handshake::Done,
            Ok(Err(error)) => {
                debug!(%source, %error, "a TLS handshake failed");
                Handshake::Failed
            }
            Err(_) => {
                debug!(%source, "a TLS handshake took too long");
                Handshake::TimedOut
            }
        };
        self.metrics.handshake(how);
    }

    async fn finish(&self, arrived: Arrived) -> io::Result<()> {
        let Arrived {
            stream,
            source,
            seat,
            full,
            place,
        } = arrived;
        stream.set_nodelay(true)?;
        SockRef::from(&stream).set_tcp_keepalive(&TCP_KEEPALIVE)?;
        let tls = self.acceptor.accept(stream).await?;
        let (_, session) = tls.get_ref();
        if session.alpn_protocol() != Some(ALPN) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the client does not offer HTTP/2 (ALPN h2)",
            ));
        }
        let binding = session
            .export_keying_material([0; 32], EXPORTER, Some(b""))
            .map_err(io::Error::other)?;
        let source = SocketAddr::new(source.ip().to_canonical(), source.port());
        let binding = ChannelBinding::from_bytes(binding);
        let connection = Arc::new(Connection::new(source, binding, full, self.abort.child_token()));
        let stream = SessionStream::new(tls, connection, seat, self.limits.register);
        drop(place);
        self.finished
            .send(Ok(stream))
            .await
            .map_err(|_| io::Error::other("the server stops"))
    }
}

/// A server configuration with a fresh self-signed certificate.
pub(super) fn config() -> Result<Arc<ServerConfig>, SessionError> {
    let certified = rcgen::generate_simple_self_signed([NAME.to_owned()]).map_err(SessionError::Certificate)?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der()));
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(SessionError::Tls)?
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .map_err(SessionError::Tls)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    // A session lasts for hours: nothing is gained by resuming one, and tickets would be sent and kept.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Arc::new(config))
}

const ALPN: &[u8] = b"h2";
/// RFC 9266, section 2; its context is empty, not absent.
const EXPORTER: &[u8] = b"EXPORTER-Channel-Binding";
/// A dead path is noticed within 35 s, and neither program is woken for it.
const TCP_KEEPALIVE: TcpKeepalive = TcpKeepalive::new()
    .with_time(Duration::from_secs(20))
    .with_interval(Duration::from_secs(5))
    .with_retries(3);
const NAME: &str = "attester.invalid";
