//! The origin: the far end of every probe. It answers an ordinary HTTP/1.1 GET whose path carries a signed challenge
//! with a signed statement of what arrived, from where and when, and with a body that no peer can make up.
//!
//! It serves strangers on a public port: connections are counted before anything is read, requests are short and have
//! a time limit, and the nonces it remembers are bounded. It never dials anyone.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use proto::{
    claims::{Keyset, Role},
    ids::Destination,
    key::SigningKey,
    time::{Clock, Seconds},
};
use rand::CryptoRng;
use serde::Deserialize;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::debug;

use crate::{
    door::{Door, Full, Seat, Seats},
    metrics::{self, Metrics},
};

mod answer;
mod arrivals;
mod body;
#[doc(hidden)]
pub mod fuzzing;
mod head;

pub use arrivals::{Arrival, Arrivals};

use answer::Answers;

/// The operator's part of the configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where requests are answered.
    pub listen: SocketAddr,
    /// The `host:port` under which peers reach it, byte for byte as challenges name it. Default: the listening address,
    /// when it is a specific IPv4 one.
    pub destination: Option<Destination>,
    /// How many connections are served at a time.
    pub connections: usize,
    /// How many of them may come from one address (one /64 of IPv6).
    pub connections_per_source: usize,
    /// How many bodies are sent at a time; 503 beyond.
    pub bodies: usize,
    /// How many redeemed challenges are remembered, each until a minute after its expiry; 503 beyond.
    pub remembered: usize,
    /// Time limits.
    #[serde(skip)]
    pub limits: Limits,
}

/// How long things may take; not the operator's business.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For a request's head to arrive.
    pub head: Duration,
    /// For a connection in all.
    pub connection: Duration,
    /// For the answers under way when the origin stops.
    pub drain: Duration,
}

/// What the origin signs and checks with; may change while it runs.
#[derive(Clone, Debug)]
pub struct OriginKeys {
    /// The keyset now valid, its signature checked.
    pub keyset: Keyset,
    /// The origin's own key, which the keyset lists.
    pub origin: SigningKey,
}

/// An origin whose socket is open and which does not answer yet. See [`Origin::run`].
pub struct Origin {
    listener: TcpListener,
    address: SocketAddr,
    answers: Answers,
    seats: Seats,
    limits: Limits,
}

impl Origin {
    /// Opens the socket. `rng` makes the secret that bodies are derived from.
    ///
    /// # Errors
    /// [`OriginError::Config`] when the configuration contradicts itself or the keys, [`OriginError::Bind`] when the
    /// socket cannot be opened.
    pub async fn bind(
        config: &Config,
        keys: watch::Receiver<Arc<OriginKeys>>,
        clock: Clock,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, OriginError> {
        config.check()?;
        let bind = |source| OriginError::Bind {
            address: config.listen,
            source,
        };
        let listener = TcpListener::bind(config.listen).await.map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        let destination = config.destination_at(address)?;
        let started = clock.now();
        let (origin, keyset) = {
            let keys = keys.borrow();
            (keys.origin.clone(), keys.keyset.clone())
        };
        keyset
            .key(Role::Origin, origin.public().thumbprint(), started)
            .map_err(|error| OriginError::Config(format!("the origin's key: {error}: sign a new keyset")))?;
        answer::longest_statement_fits(&destination, &origin)
            .map_err(|told| OriginError::Config(format!("destination: too long: {told}")))?;
        let answers = Answers {
            destination,
            // Claims carry whole seconds, so what was issued in the second of the start may be older than the start.
            accepts_from: started.plus(ALMOST_A_SECOND).seconds(),
            keys,
            clock,
            secret: body::BodySecret::new(rng),
            arrivals: Arrivals::new(config.remembered),
            bodies: Arc::new(Semaphore::new(config.bodies)),
            metrics: Arc::default(),
        };
        let seats = Seats::new(config.connections, config.connections_per_source);
        Ok(Self {
            listener,
            address,
            answers,
            seats,
            limits: config.limits,
        })
    }

    /// Counts into these metrics; into its own, which nobody sees, without this.
    #[must_use]
    pub fn metered(mut self, metrics: Arc<Metrics>) -> Self {
        self.answers.metrics = metrics;
        self
    }

    /// The address that answers, with the port that was really taken.
    pub const fn addr(&self) -> SocketAddr {
        self.address
    }

    /// The destination that challenges must name.
    pub fn destination(&self) -> &Destination {
        &self.answers.destination
    }

    /// The first second whose challenges are answered: those of an earlier one may be older than this origin, which
    /// cannot know whether they were used. At most one second after [`Origin::bind`].
    pub fn accepts_from(&self) -> Seconds {
        self.answers.accepts_from
    }

    /// The handle that tells which challenges arrived.
    pub fn arrivals(&self) -> Arrivals {
        self.answers.arrivals.clone()
    }

    /// Answers until the token is cancelled, and returns when the last connection is closed.
    pub async fn run(self, token: CancellationToken) {
        let connections = TaskTracker::new();
        let mut door = Door::new(self.listener, "origin");
        let all = Arc::new(self.answers);
        while let Some((stream, source)) = door.next(&token).await {
            match self.seats.take(source.ip()) {
                Err(full) => {
                    all.metrics.turned_away(metrics::Door::Origin, full.into());
                    turn_away(&stream, source, full);
                }
                Ok(seat) => {
                    let answers = Arc::clone(&all);
                    connections.spawn(serve(stream, source, answers, self.limits, seat, token.clone()));
                }
            }
        }
        drop(door);
        connections.close();
        connections.wait().await;
    }
}

/// Why an origin cannot start.
#[derive(Debug, thiserror::Error)]
pub enum OriginError {
    /// The socket cannot be opened.
    #[error("cannot listen for probes on {address}")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The configuration contradicts itself or the keys.
    #[error("origin: {0}")]
    Config(String),
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 7080)),
            destination: None,
            connections: 8192,
            // A peer's clients come from the peer's address: they may not crowd its probes out.
            connections_per_source: 1024,
            bodies: 256,
            remembered: 200_000,
            limits: Limits::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(5),
            connection: Duration::from_secs(60),
            drain: Duration::from_secs(2),
        }
    }
}

impl Config {
    fn check(&self) -> Result<(), OriginError> {
        let counts = [
            ("connections", self.connections),
            ("connections_per_source", self.connections_per_source),
            ("bodies", self.bodies),
            ("remembered", self.remembered),
        ];
        match counts.into_iter().find(|(_, count)| !(1..=MOST).contains(count)) {
            None => Ok(()),
            Some((key, count)) => Err(OriginError::Config(format!(
                "{key} is {count}, and must be from 1 to {MOST}"
            ))),
        }
    }

    fn destination_at(&self, bound: SocketAddr) -> Result<Destination, OriginError> {
        if let Some(destination) = &self.destination {
            return Ok(destination.clone());
        }
        let told = "destination: needed unless listen is a specific IPv4 address: give the host:port that peers reach it under";
        match bound.ip() {
            IpAddr::V4(ip) if !ip.is_unspecified() => bound
                .to_string()
                .parse()
                .map_err(|_| OriginError::Config(told.to_owned())),
            _ => Err(OriginError::Config(told.to_owned())),
        }
    }
}

/// Serves one connection: one request, one answer, and the end.
async fn serve(
    stream: TcpStream,
    source: SocketAddr,
    answers: Arc<Answers>,
    limits: Limits,
    seat: Seat,
    token: CancellationToken,
) {
    let _ = stream.set_nodelay(true);
    exchange(stream, source, answers, limits, token).await;
    drop(seat);
}

/// Reads the request and writes the answer.
async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    source: SocketAddr,
    answers: Arc<Answers>,
    limits: Limits,
    token: CancellationToken,
) {
    let service = service_fn(|request| answers.answer(request, source));
    let connection = http1::Builder::new()
        .auto_date_header(false)
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .keep_alive(false)
        .half_close(true) // a tunnel may pass the end of the request on before the answer has come
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let whole = async {
        tokio::select! {
            ended = connection.as_mut() => return ended,
            () = token.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        timeout(limits.drain, connection.as_mut()).await.unwrap_or(Ok(()))
    };
    match timeout(limits.connection, whole).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%source, %error, "a connection to the origin ended early"),
        Err(_) => debug!(%source, "a connection to the origin took too long"),
    }
}

/// Says why, if the socket takes it at once.
fn turn_away(stream: &TcpStream, source: SocketAddr, full: Full) {
    debug!(%source, ?full, "a connection to the origin was closed at once");
    let _ = stream.try_write(BUSY);
}

/// A request's head is a challenge in base64 and two headers; hyper takes no less than this.
const MAX_HEAD: usize = 8192;
const MAX_HEADERS: usize = 16;
const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-type: text/plain\r\n\
    content-length: 35\r\n\r\ntoo many connections: try it later\n";
const ALMOST_A_SECOND: Duration = Duration::from_micros(999_999);
/// For counts in the configuration: more is a slip of the keyboard.
const MOST: usize = 10_000_000;

#[cfg(test)]
mod tests;
