//! Sessions: the gRPC server that agents connect to, and what the core does with a connected agent.
//!
//! Each session is one TLS connection with one stream, so that its channel binding cannot change (RFC 9266). Strangers
//! are counted before anything is read from them, have a time limit for each step, and cause debug lines at most. What
//! a registration claims is checked here as far as that needs no look at the world ([`admission`]); the rest is the
//! core's, which hears of sessions as [`SessionEvent`]s.

use std::{
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use proto::{
    claims::Registration,
    ids::{Nonce, PeerId},
    key::SigningKey,
    time::Clock,
};
use rand::rngs::StdRng;
use serde::Deserialize;
use tokio::{
    net::TcpListener,
    sync::{Semaphore, mpsc, watch},
    time::sleep,
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::transport::Server;
use tracing::{debug, warn};

use crate::{
    door::{Door, Seats},
    model::Finding,
};

pub mod admission;
mod connection;
mod conversation;
mod handle;
mod pace;
pub mod reserved;
mod roster;
mod service;
mod tls;

pub use handle::{Answer, SessionHandle, Ticket};
pub use roster::Roster;

use service::PeerVerification;
use tls::{Arrived, Handshakes};

/// The operator's part of the configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where agents connect.
    pub listen: SocketAddr,
    /// How many may be connected at a time.
    pub sessions: usize,
    /// How many of them may come from one address (one /64 of IPv6).
    pub sessions_per_source: usize,
    /// Whether peers may be at loopback, private and other reserved addresses.
    pub allow_private: bool,
    /// Time limits and the like.
    #[serde(skip)]
    pub limits: Limits,
}

/// How long things may take, and how many may go on; not the operator's business.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For a TLS handshake.
    pub handshake: Duration,
    /// For a stream to be opened, and then for the registration.
    pub register: Duration,
    /// For the core to decide about a registration.
    pub decide: Duration,
    /// Between HTTP/2 pings on a silent connection.
    pub keepalive: Duration,
    /// For a ping's answer.
    pub keepalive_timeout: Duration,
    /// For the agent to hang up after the last word.
    pub linger: Duration,
    /// For all of them to do so when the server stops.
    pub drain: Duration,
    /// Between an agent's messages, in the long run.
    pub pace: Duration,
    /// TLS handshakes at a time.
    pub handshakes: usize,
}

/// What the attester says of itself in a session; may change while it runs.
#[derive(Clone, Debug)]
pub struct SessionKeys {
    /// The keyset as the root signed it.
    pub keyset: Bytes,
    /// The attester key, which the keyset lists.
    pub attester: SigningKey,
}

/// What the core hears of sessions.
///
/// After a `Register` comes exactly one of `Goodbye` and `Ended` for the same session, unless the core itself refused
/// the registration or the whole server stops.
#[derive(Debug)]
pub enum SessionEvent {
    /// An agent asks to be registered.
    Register(Box<Register>),
    /// A registered agent leaves on purpose.
    Goodbye {
        /// Whose.
        peer: PeerId,
        /// Which session.
        session: SessionId,
        /// Paused rather than stopped.
        paused: bool,
    },
    /// A registered agent is gone.
    Ended {
        /// Whose.
        peer: PeerId,
        /// Which session.
        session: SessionId,
        /// How it ended.
        how: How,
    },
    /// A registration was refused before the core saw it. Best effort: left out when the core is busy.
    Rejected {
        /// Where it came from.
        source: SocketAddr,
        /// Who signed it, when its signature holds.
        peer: Option<PeerId>,
        /// Why.
        finding: Finding,
    },
}

/// An agent's wish to be registered, in so far as it keeps the rules of [`admission`].
#[derive(Debug)]
pub struct Register {
    /// The claim.
    pub registration: Registration,
    /// The claim as it was signed: evidence.
    pub raw: Vec<u8>,
    /// The token that CONNECT clients must present to the peer, if one is needed.
    pub connect_token: Option<String>,
    /// Microseconds to add to the peer's clock to get the attester's.
    pub clock_offset_micros: i64,
    /// Where the session comes from.
    pub source: SocketAddr,
    /// The session.
    pub handle: SessionHandle,
    /// Where to decide.
    pub answer: Answer,
}

/// What a registered agent is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// Its id.
    pub peer_id: PeerId,
    /// Its own DNS name.
    pub own_name: String,
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The agent's end closed the stream or the connection.
    Closed,
    /// The agent's end reset the stream or the connection.
    Reset,
    /// Nothing came any more, not even answers to pings.
    Silent,
    /// The attester ended it: the core closed it, a newer one replaced it, or the agent broke the protocol.
    Dismissed,
}

/// A session's number, unique in the process. Newer ones are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(u64);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A server whose socket is open and which does not answer yet. See [`SessionServer::run`].
pub struct SessionServer {
    listener: TcpListener,
    address: SocketAddr,
    tls: Arc<rustls::ServerConfig>,
    seats: Seats,
    shared: Arc<Shared>,
}

/// What all sessions share.
struct Shared {
    keys: watch::Receiver<Arc<SessionKeys>>,
    clock: Clock,
    rng: Mutex<StdRng>,
    events: mpsc::Sender<SessionEvent>,
    limits: Limits,
    allow_private: bool,
    last_id: AtomicU64,
    tasks: TaskTracker,
    stopping: CancellationToken,
}

impl SessionServer {
    /// Opens the socket. The events come out of the receiver, which must be read: sessions wait for room in it.
    /// `rng` makes the session nonces.
    ///
    /// # Errors
    /// [`SessionError::Config`], [`SessionError::Bind`], or when no certificate can be made.
    pub async fn bind(
        config: &Config,
        keys: watch::Receiver<Arc<SessionKeys>>,
        clock: Clock,
        rng: StdRng,
    ) -> Result<(Self, mpsc::Receiver<SessionEvent>), SessionError> {
        config.check()?;
        let bind = |source| SessionError::Bind {
            address: config.listen,
            source,
        };
        let listener = TcpListener::bind(config.listen).await.map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        let (events, heard) = mpsc::channel(EVENTS);
        let shared = Shared {
            keys,
            clock,
            rng: Mutex::new(rng),
            events,
            limits: config.limits,
            allow_private: config.allow_private,
            last_id: AtomicU64::new(0),
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
        };
        let seats = Seats::new(config.sessions, config.sessions_per_source);
        Ok((
            Self {
                listener,
                address,
                tls: tls::config()?,
                seats,
                shared: Arc::new(shared),
            },
            heard,
        ))
    }

    /// The address that answers, with the port that was really taken.
    pub const fn addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until the token is cancelled, tells the agents and returns when the last session is over.
    pub async fn run(self, token: CancellationToken) {
        let Self {
            listener,
            tls,
            seats,
            shared,
            ..
        } = self;
        let abort = CancellationToken::new();
        let (finished, handshaken) = mpsc::channel(FINISHED);
        let handshakes = Handshakes::new(tls, shared.limits, finished, abort.clone());
        let served = serve(Arc::clone(&shared), handshaken);
        let cut = async {
            token.cancelled().await;
            shared.stopping.cancel();
            sleep(shared.limits.drain).await;
            abort.cancel();
            std::future::pending::<()>().await;
        };
        let all = async {
            tokio::join!(let_in(listener, seats, handshakes, &shared, &token), served);
            shared.tasks.close();
            shared.tasks.wait().await;
        };
        tokio::select! {
            () = all => {}
            () = cut => {}
        }
    }
}

impl Shared {
    fn nonce(&self) -> Nonce {
        Nonce::random(&mut *self.rng.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn next_id(&self) -> SessionId {
        SessionId(self.last_id.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

/// Why a session server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The socket cannot be opened.
    #[error("cannot listen for agents on {address}")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The configuration contradicts itself.
    #[error("session: {0}")]
    Config(String),
    /// No certificate.
    #[error("cannot make the session server's certificate")]
    Certificate(#[source] rcgen::Error),
    /// No TLS.
    #[error("cannot set up the session server's TLS")]
    Tls(#[source] rustls::Error),
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 7443)),
            sessions: 20_000,
            sessions_per_source: 16,
            allow_private: false,
            limits: Limits::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(5),
            register: Duration::from_secs(10),
            decide: Duration::from_secs(30),
            keepalive: Duration::from_secs(30),
            keepalive_timeout: Duration::from_secs(10),
            linger: Duration::from_secs(2),
            drain: Duration::from_secs(2),
            pace: Duration::from_millis(100),
            handshakes: 256,
        }
    }
}

impl Config {
    fn check(&self) -> Result<(), SessionError> {
        for (key, count) in [
            ("sessions", self.sessions),
            ("sessions_per_source", self.sessions_per_source),
        ] {
            if !(1..=MOST).contains(&count) {
                return Err(SessionError::Config(format!(
                    "{key} is {count}, and must be from 1 to {MOST}"
                )));
            }
        }
        Ok(())
    }
}

/// Lets connections in, as many as there are seats for, and a few more that only hear why there is none.
async fn let_in(
    listener: TcpListener,
    seats: Seats,
    handshakes: Handshakes,
    shared: &Shared,
    token: &CancellationToken,
) {
    let turned_away = Seats::new(TURNED_AWAY, TURNED_AWAY_PER_SOURCE);
    let places = Arc::new(Semaphore::new(shared.limits.handshakes));
    let mut door = Door::new(listener, "session");
    loop {
        let place = token.run_until_cancelled(Arc::clone(&places).acquire_owned()).await;
        let Some(Ok(place)) = place else { return };
        let Some((stream, source)) = door.next(token).await else {
            return;
        };
        let (seat, full) = match seats.take(source.ip()) {
            Ok(seat) => (seat, None),
            Err(full) => match turned_away.take(source.ip()) {
                Ok(seat) => (seat, Some(full)),
                Err(_) => {
                    debug!(%source, ?full, "a connection was closed at once");
                    continue;
                }
            },
        };
        let arrived = Arrived {
            stream,
            source,
            seat,
            full,
            place,
        };
        let shaking = token
            .clone()
            .run_until_cancelled_owned(handshakes.clone().shake(arrived));
        shared.tasks.spawn(async move {
            shaking.await;
        });
    }
}

/// Serves HTTP/2 on finished connections until the server stops and they are gone.
async fn serve(shared: Arc<Shared>, handshaken: mpsc::Receiver<io::Result<connection::SessionStream>>) {
    let limits = shared.limits;
    let stopping = shared.stopping.clone();
    let server = Server::builder()
        .http2_keepalive_interval(Some(limits.keepalive))
        .http2_keepalive_timeout(Some(limits.keepalive_timeout))
        // A second stream is refused in words, for which it must exist.
        .max_concurrent_streams(4)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_max_header_list_size(MAX_HEADERS)
        .serve_with_incoming_shutdown(
            PeerVerification { shared },
            ReceiverStream::new(handshaken),
            stopping.cancelled_owned(),
        );
    if let Err(error) = pin!(server).await {
        warn!(%error, "the session server ended early");
    }
}

/// Events that wait for the core.
const EVENTS: usize = 256;
/// Finished handshakes that wait for the server, which takes them at once.
const FINISHED: usize = 16;
/// Connections beyond the seats, which are told why they get none.
const TURNED_AWAY: usize = 64;
const TURNED_AWAY_PER_SOURCE: usize = 2;
/// More than the longest message.
const STREAM_WINDOW: u32 = 32 << 10;
/// The least that HTTP/2 allows (RFC 9113, section 6.9.2).
const CONNECTION_WINDOW: u32 = 65_535;
const MAX_HEADERS: u32 = 8 << 10;
/// For counts in the configuration: more is a slip of the keyboard.
const MOST: usize = 1_000_000;

#[cfg(test)]
mod tests;
