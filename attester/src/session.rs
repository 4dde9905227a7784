//! Sessions: the gRPC server that agents connect to, and what the core does with a connected agent.
//!
//! Each session is one TLS connection with one stream, so that its channel binding cannot change (RFC 9266). Strangers
//! are counted before anything is read from them, have a time limit for each step, and cause debug lines at most. What
//! a registration claims is checked here as far as that needs no look at the world ([`admission`]); the rest is the
//! core's, which hears of sessions as [`SessionEvent`]s.

use std::{
    io,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use proto::{ids::Nonce, key::SigningKey, time::Clock};
use rand::rngs::StdRng;
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
    metrics::{self, Metrics},
};

pub mod admission;
mod config;
mod connection;
mod conversation;
mod event;
#[doc(hidden)]
pub mod fuzzing;
mod handle;
mod link;
mod pace;
pub mod reserved;
mod roster;
mod service;
mod tls;

pub use config::{Config, Limits};
pub use event::{How, Register, Registered, SessionEvent, SessionId};
pub use handle::{Answer, SessionHandle, Ticket};
pub use roster::Roster;

use service::PeerVerification;
use tls::{Arrived, Handshakes};

/// What the attester says of itself in a session; may change while it runs.
#[derive(Clone, Debug)]
pub struct SessionKeys {
    /// The keyset as the root signed it.
    pub keyset: Bytes,
    /// The attester key, which the keyset lists.
    pub attester: SigningKey,
}

/// A server whose socket is open and which does not answer yet. See [`SessionServer::run`].
pub struct SessionServer {
    listener: TcpListener,
    address: SocketAddr,
    tls: Arc<rustls::ServerConfig>,
    seats: Seats,
    shared: Shared,
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
    metrics: Arc<Metrics>,
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
            metrics: Arc::default(),
        };
        let seats = Seats::new(config.sessions, config.sessions_per_source);
        Ok((
            Self {
                listener,
                address,
                tls: tls::config()?,
                seats,
                shared,
            },
            heard,
        ))
    }

    /// Counts into these metrics; into its own, which nobody sees, without this.
    #[must_use]
    pub fn metered(mut self, metrics: Arc<Metrics>) -> Self {
        self.shared.metrics = metrics;
        self
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
        let shared = Arc::new(shared);
        let abort = CancellationToken::new();
        let (finished, handshaken) = mpsc::channel(FINISHED);
        let handshakes = Handshakes::new(tls, shared.limits, finished, abort.clone(), Arc::clone(&shared.metrics));
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
        SessionId::new(self.last_id.fetch_add(1, Ordering::Relaxed) + 1)
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
        let taken = seats.take(source.ip());
        if let Err(full) = &taken {
            shared.metrics.turned_away(metrics::Door::Session, (*full).into());
        }
        let (seat, full) = match taken {
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
#[cfg(test)]
mod tests;
