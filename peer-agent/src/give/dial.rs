//! Connections to destinations. The default dials directly; a host program may bring its own way out.

use std::{
    error::Error,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpSocket, TcpStream, lookup_host},
    time::timeout,
};

use super::{
    neighbours,
    policy::{Policy, Refusal},
};

/// A byte stream to a destination.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Any stream to a destination.
pub type BoxStream = Box<dyn Stream>;

/// The result of [`Dial::dial`].
pub type DialFuture<'a> = Pin<Box<dyn Future<Output = io::Result<BoxStream>> + Send + 'a>>;

/// A way to reach destinations.
pub trait Dial: Send + Sync + 'static {
    /// Connects to `host:port`, given byte for byte as the client sent it. An error of the kind
    /// [`io::ErrorKind::PermissionDenied`] says that the destination is not served; any other, that it cannot be reached. Its
    /// text is told to the client. The server bounds the time.
    fn dial<'a>(&'a self, destination: &'a str) -> DialFuture<'a>;
}

/// Resolves with the system's resolver, checks every address against the policy, and connects only to checked ones.
#[derive(Clone, Debug, Default)]
pub struct DirectDial {
    /// What may be dialled.
    pub policy: Policy,
    /// Local address to connect from.
    pub bind: Option<IpAddr>,
    /// Where clients reach this peer, which may be its router: from inside that shows more than to the world.
    pub public: Option<IpAddr>,
}

impl Dial for DirectDial {
    fn dial<'a>(&'a self, destination: &'a str) -> DialFuture<'a> {
        Box::pin(async move {
            let stream = self.connect(destination).await.map_err(DialError::into_io)?;
            Ok(Box::new(stream) as BoxStream)
        })
    }
}

impl DirectDial {
    async fn connect(&self, destination: &str) -> Result<TcpStream, DialError> {
        let (host, port) = split(destination)?;
        self.policy.check_port(port)?;
        let found: Vec<SocketAddr> = match host.parse::<IpAddr>() {
            Ok(address) => vec![(address, port).into()],
            Err(_) => lookup_host((host, port)).await.map_err(DialError::Resolve)?.collect(),
        };
        let mut last = DialError::NoAddress;
        for address in found.into_iter().take(MAX_ADDRESSES) {
            match self.connect_to(address).await {
                Ok(stream) => return Ok(stream),
                // Of several failures the one of an address that was tried says most.
                Err(error)
                    if matches!(last, DialError::Connect { .. }) && !matches!(error, DialError::Connect { .. }) => {}
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn connect_to(&self, address: SocketAddr) -> Result<TcpStream, DialError> {
        self.policy.check_address(address.ip())?;
        if !self.policy.allow_private {
            let mut interfaces = neighbours::interfaces().map_err(DialError::Interfaces)?;
            interfaces.extend(self.public.map(|public| (public, u128::BITS)));
            if neighbours::is_near(address.ip(), &interfaces) {
                return Err(Refusal::Near(address.ip()).into());
            }
        }
        if self.bind.is_some_and(|bind| bind.is_ipv4() != address.is_ipv4()) {
            return Err(DialError::Family { address: address.ip() });
        }
        let failed = |source| DialError::Connect { address, source };
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()
        } else {
            TcpSocket::new_v6()
        }
        .map_err(failed)?;
        if let Some(bind) = self.bind {
            socket
                .bind((bind, 0).into())
                .map_err(|source| DialError::Bind { bind, source })?;
        }
        let connected = timeout(ATTEMPT, socket.connect(address)).await;
        let stream = connected
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(failed)?;
        // Requests of interactive protocols are small, and their answers are waited for.
        stream.set_nodelay(true).map_err(failed)?;
        Ok(stream)
    }
}

/// Why a destination was not reached.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// Not `host:port`.
    #[error("destination is not host:port")]
    Malformed,
    /// The policy forbids it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The name does not resolve.
    #[error("cannot resolve the destination's name")]
    Resolve(#[source] io::Error),
    /// The name has no address.
    #[error("the destination's name has no address")]
    NoAddress,
    /// The peer dials from an address of the other family.
    #[error("{address} is not of the family that this peer dials from")]
    Family {
        /// The destination's address.
        address: IpAddr,
    },
    /// The configured local address cannot be used.
    #[error("cannot dial from {bind}")]
    Bind {
        /// The local address.
        bind: IpAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What lies near cannot be told from what is far.
    #[error("cannot list this machine's addresses")]
    Interfaces(#[source] io::Error),
    /// No connection.
    #[error("cannot connect to {address}")]
    Connect {
        /// Where to.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl DialError {
    fn into_io(self) -> io::Error {
        let kind = match &self {
            DialError::Refused(_) => io::ErrorKind::PermissionDenied,
            DialError::Malformed => io::ErrorKind::InvalidInput,
            DialError::NoAddress => io::ErrorKind::NotFound,
            DialError::Family { .. } => io::ErrorKind::AddrNotAvailable,
            // A kernel's own refusal must not look like one of the policy.
            DialError::Resolve(source)
            | DialError::Interfaces(source)
            | DialError::Bind { source, .. }
            | DialError::Connect { source, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied => io::ErrorKind::Other,
                kind => kind,
            },
        };
        io::Error::new(kind, self)
    }
}

/// An error and its causes on one line.
pub(super) fn explain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// `host:port` into its parts; an IPv6 address stands in brackets.
fn split(destination: &str) -> Result<(&str, u16), DialError> {
    let (host, port) = destination.rsplit_once(':').ok_or(DialError::Malformed)?;
    let host = match host.strip_prefix('[') {
        Some(inner) => inner.strip_suffix(']').ok_or(DialError::Malformed)?,
        None if host.contains(':') => return Err(DialError::Malformed),
        None => host,
    };
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    let port = port
        .parse()
        .ok()
        .filter(|&port: &u16| digits && port != 0)
        .ok_or(DialError::Malformed)?;
    if host.is_empty() {
        Err(DialError::Malformed)
    } else {
        Ok((host, port))
    }
}

/// For one address of several; the server's own limit covers all of them.
const ATTEMPT: Duration = Duration::from_secs(4);
/// A name may have hundreds.
const MAX_ADDRESSES: usize = 8;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn destinations_split_at_the_last_colon() {
        assert_eq!(split("example.org:80").unwrap(), ("example.org", 80));
        assert_eq!(split("[::1]:443").unwrap(), ("::1", 443));
        for wrong in [
            "", "a", ":80", "a:", "a:0", "a:+1", "a:65536", "::1:80", "[::1:80", "[]:80",
        ] {
            assert!(split(wrong).is_err(), "{wrong}");
        }
    }

    #[tokio::test]
    async fn names_are_judged_by_their_addresses() {
        let error = |result: io::Result<BoxStream>| result.err().unwrap();
        let strict = DirectDial::default();
        for destination in ["localhost:80", "127.0.0.1:80", "[::1]:80"] {
            let error = error(strict.dial(destination).await);
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{destination}");
            assert!(explain(&error).contains("private or reserved"), "{error}");
        }
        // Where clients reach it: not even asked.
        let behind = DirectDial {
            public: "9.9.9.9".parse().ok(),
            ..DirectDial::default()
        };
        for destination in ["9.9.9.9:80", "[::ffff:9.9.9.9]:80", "[64:ff9b::909:909]:80"] {
            let error = error(behind.dial(destination).await);
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{destination}");
            assert!(explain(&error).contains("own network"), "{error}");
        }
        let family = DirectDial {
            policy: Policy {
                allow_private: true,
                ports: vec![],
            },
            bind: "127.0.0.1".parse().ok(),
            public: None,
        };
        assert!(error(family.dial("[::1]:80").await).to_string().contains("family"));
    }
}
