//! TLS to a peer as a get mode client does it: no name in the ClientHello, no ALPN, 1.3 or 1.2, and one key that counts.
//!
//! A peer's certificate is self-signed, CA:TRUE and sometimes without any name, and it is made anew at each start over
//! the same key. No name or chain check can pass it, so the key itself is compared, and the handshake's signature by that
//! key is checked as for any other certificate.

use std::{
    collections::HashMap,
    fmt, io,
    net::SocketAddr,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use proto::{ids::Pin, key::sha256};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, OtherError, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature},
    server::ParsedCertificate,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{End, Target};

/// Makes TLS connections to pinned keys.
pub(super) struct Tls {
    /// Everything but the key that is expected.
    base: ClientConfig,
    /// One configuration for each address and key, when sessions are resumed.
    kept: Option<Mutex<Kept>>,
}

type Kept = HashMap<(SocketAddr, Pin), Arc<ClientConfig>>;

/// Why a handshake did not finish.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsError {
    /// Another key.
    #[error("the key is another one: {seen}")]
    OtherKey {
        /// Its pin.
        seen: Pin,
        /// The pin that was expected.
        expected: Pin,
    },
    /// Anything else: no TLS, an alert, a bad signature, the end of the connection.
    #[error("{0}")]
    Handshake(io::Error),
}

impl Tls {
    /// Every handshake is a fresh one.
    pub(super) fn fresh() -> Self {
        Self {
            base: config(None),
            kept: None,
        }
    }

    /// Sessions are resumed. rustls does not ask the verifier then, and keeps sessions by server name alone; so each
    /// address and key has a store of its own, filled only by handshakes that its own verifier passed.
    pub(super) fn resuming() -> Self {
        Self {
            kept: Some(Mutex::default()),
            ..Self::fresh()
        }
    }

    /// The handshake with whoever is expected, and the pin of its key.
    pub(super) async fn connect<S>(&self, stream: S, target: &Target) -> Result<(TlsStream<S>, Pin), TlsError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let address = target.address;
        match &target.end {
            End::Pinned(pin) => match handshake(self.config(address, *pin, target.fresh), stream, address).await {
                Ok(stream) => Ok((stream, *pin)),
                Err(error) => Err(told(error, Some(*pin))),
            },
            End::AnyKey => self.first_key(stream, address).await,
            End::Edge(edge) => {
                let connecting = TlsConnector::from(edge.config()).connect(edge.name().clone(), stream);
                with_pin(connecting.await.map_err(TlsError::Handshake)?)
            }
        }
    }

    /// The handshake with whoever answers. Where sessions are resumed, this one can be by who expects the same key from then on.
    async fn first_key<S>(&self, stream: S, address: SocketAddr) -> Result<(TlsStream<S>, Pin), TlsError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let Some(kept) = &self.kept else {
            return any_key(stream, address).await;
        };
        // rustls resumes a session only under the very verifier that it began under.
        let verifier = Arc::new(KeyVerifier::new(None));
        let config = self.with(Arc::clone(&verifier), Resumption::in_memory_sessions(1));
        let stream = handshake(Arc::clone(&config), stream, address).await;
        let (stream, pin) = with_pin(stream.map_err(|error| told(error, None))?)?;
        // Nobody else has it yet.
        let _ = verifier.expected.set(pin);
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        make_room(&mut kept, (address, pin));
        kept.insert((address, pin), config);
        Ok((stream, pin))
    }

    fn with(&self, verifier: Arc<KeyVerifier>, resumption: Resumption) -> Arc<ClientConfig> {
        let mut config = self.base.clone();
        config.dangerous().set_certificate_verifier(verifier);
        config.resumption = resumption;
        Arc::new(config)
    }

    fn config(&self, address: SocketAddr, pin: Pin, fresh: bool) -> Arc<ClientConfig> {
        let pinned = |resumption| self.with(Arc::new(KeyVerifier::new(Some(pin))), resumption);
        let Some(kept) = &self.kept else {
            return pinned(Resumption::disabled());
        };
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        if fresh {
            // What it makes is resumed later.
            kept.remove(&(address, pin));
        }
        make_room(&mut kept, (address, pin));
        Arc::clone(
            kept.entry((address, pin))
                .or_insert_with(|| pinned(Resumption::in_memory_sessions(1))),
        )
    }
}

/// Makes room for one more, unless it is there.
fn make_room(kept: &mut Kept, one: (SocketAddr, Pin)) {
    if kept.len() >= MAX_KEPT && !kept.contains_key(&one) {
        // Costs each peer one fresh handshake.
        kept.clear();
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("resumes", &self.kept.is_some())
            .finish_non_exhaustive()
    }
}

/// The pin of the key that finishes a handshake on `stream`, whichever it is.
pub(super) async fn see<S>(stream: S, address: SocketAddr) -> Result<Pin, TlsError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    any_key(stream, address).await.map(|(_, pin)| pin)
}

async fn any_key<S>(stream: S, address: SocketAddr) -> Result<(TlsStream<S>, Pin), TlsError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let stream = handshake(Arc::new(config(None)), stream, address).await;
    with_pin(stream.map_err(|error| told(error, None))?)
}

fn with_pin<S>(stream: TlsStream<S>) -> Result<(TlsStream<S>, Pin), TlsError> {
    let (_, session) = stream.get_ref();
    let shown = session.peer_certificates().and_then(<[_]>::first);
    let pin = shown
        .and_then(|shown| pin_of(shown).ok())
        .ok_or_else(|| TlsError::Handshake(io::Error::other("no certificate")))?;
    Ok((stream, pin))
}

async fn handshake<S>(config: Arc<ClientConfig>, stream: S, address: SocketAddr) -> io::Result<TlsStream<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let name = ServerName::IpAddress(address.ip().into());
    TlsConnector::from(config).connect(name, stream).await
}

/// A handshake's error, of which another key than the expected one is told apart.
fn told(error: io::Error, expected: Option<Pin>) -> TlsError {
    let other = match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(other)))) => {
            other.downcast_ref::<OtherKey>()
        }
        _ => None,
    };
    match (other, expected) {
        (Some(OtherKey(seen)), Some(expected)) => TlsError::OtherKey { seen: *seen, expected },
        _ => TlsError::Handshake(error),
    }
}

/// A configuration that takes the given key, or any.
fn config(pin: Option<Pin>) -> ClientConfig {
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has cipher suites for TLS 1.2 and 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(KeyVerifier::new(pin)))
        .with_no_client_auth();
    config.enable_sni = false;
    config.resumption = Resumption::disabled();
    config
}

/// Takes a certificate for its key.
#[derive(Debug)]
struct KeyVerifier {
    /// Any, while it is not set.
    expected: OnceLock<Pin>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl KeyVerifier {
    fn new(expected: Option<Pin>) -> Self {
        Self {
            expected: expected.map_or_else(OnceLock::new, OnceLock::from),
            algorithms: ring::default_provider().signature_verification_algorithms,
        }
    }
}

impl ServerCertVerifier for KeyVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let seen = pin_of(end_entity)?;
        match self.expected.get() {
            Some(expected) if *expected != seen => {
                Err(CertificateError::Other(OtherError(Arc::new(OtherKey(seen)))).into())
            }
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// The pin of a certificate's key, read by the parser that the signature check uses: with another one, a certificate that
/// the two read differently could show one key and sign with the other.
fn pin_of(certificate: &CertificateDer<'_>) -> Result<Pin, rustls::Error> {
    let key = ParsedCertificate::try_from(certificate)?.subject_public_key_info();
    Ok(Pin::from_bytes(sha256(&key)))
}

#[derive(Debug, thiserror::Error)]
#[error("the certificate's key has the pin {0}")]
struct OtherKey(Pin);

/// The most configurations kept for resumption, each with the tickets of one peer: a few KiB.
const MAX_KEPT: usize = 16_384;
