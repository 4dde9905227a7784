//! The operator's own server: `/healthz`, `/readyz`, `/metrics` over HTTP/1.1, and gRPC health checking (`grpc.health.v1`)
//! over HTTP/2 without TLS, on one port that is not for strangers.
//!
//! Health is not served at the session port. A session there is one TLS connection with one stream that must register within
//! seconds; a health check would be a second kind of stream without those bounds, open to everybody, and whoever checks (a
//! kubelet, say) often speaks no TLS and knows nothing of our certificate. Load balancers can check another port than the one
//! that they forward.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use hyper::{Request, Version, body::Incoming, rt::Executor, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::conn::auto,
};
use serde::Serialize;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::metrics::Metrics;

mod grpc;
mod pages;

use pages::Pages;

/// How an attester is. Written by whoever knows, read here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Health {
    /// Where it is in its life.
    pub stage: Stage,
    /// DNS answers for the zone: state was restored and published.
    pub answering: bool,
    /// The last write to the state file succeeded.
    pub store: bool,
    /// DNS shows what was decided.
    pub dns: bool,
    /// The last probe that could tell, a proof or a control probe, reached the origin.
    pub origin: bool,
    /// The keyset holds: agents believe what is signed, and peers can be proved.
    pub keyset: bool,
    /// Live sessions.
    pub sessions: usize,
    /// Peers known.
    pub peers: usize,
    /// Peers in a rotation.
    pub verified: usize,
}

/// Where an attester is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// It restores its state.
    #[default]
    Starting,
    /// Sessions are accepted.
    Serving,
    /// It was told to stop.
    Draining,
}

impl Health {
    /// Whether every part is well. How many peers there are says nothing about that.
    pub const fn is_well(&self) -> bool {
        self.store && self.dns && self.origin && self.keyset
    }

    /// Whether it takes new work: state is restored, DNS answers, sessions are accepted, and agents believe what it says.
    pub const fn is_ready(&self) -> bool {
        matches!(self.stage, Stage::Serving) && self.answering && self.keyset
    }
}

/// The operator's server, its socket open.
#[derive(Debug)]
pub struct Status {
    listener: TcpListener,
    address: SocketAddr,
    pages: Pages,
}

/// Why there is no status.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StatusError {
    /// The socket cannot be opened.
    #[error("cannot listen at {address} (admin.listen): choose another address or port, or stop what holds it")]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

impl Status {
    /// Opens the socket.
    ///
    /// # Errors
    /// [`StatusError::Bind`].
    pub async fn bind(
        address: SocketAddr,
        health: watch::Receiver<Health>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, StatusError> {
        let failed = |source| StatusError::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self {
            listener,
            address,
            pages: Pages { health, metrics },
        })
    }

    /// Where it listens, with the port that was really taken.
    pub const fn addr(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `token` is cancelled; connections then are dropped.
    pub async fn run(self, token: CancellationToken) {
        let tasks = TaskTracker::new();
        let (seats, long) = (
            Arc::new(Semaphore::new(MOST_CONNECTIONS)),
            Arc::new(Semaphore::new(MOST_LONG)),
        );
        while let Some(Ok(seat)) = token.run_until_cancelled(Arc::clone(&seats).acquire_owned()).await {
            let Some(accepted) = token.run_until_cancelled(self.listener.accept()).await else {
                break;
            };
            match accepted {
                Ok((stream, _)) => {
                    let tracked = Tracked {
                        tasks: tasks.clone(),
                        token: token.clone(),
                    };
                    let (pages, long, token) = (self.pages.clone(), Arc::clone(&long), token.clone());
                    tasks.spawn(async move {
                        token
                            .run_until_cancelled(Box::pin(serve(stream, pages, tracked, &long)))
                            .await;
                        drop(seat);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "the admin listener cannot accept a connection");
                    token.run_until_cancelled(sleep(AFTER_ERROR)).await;
                }
            }
        }
        tasks.close();
        tasks.wait().await;
    }
}

/// Serves a connection: one request of HTTP/1.1, or HTTP/2 for as long as somebody watches.
async fn serve(stream: TcpStream, pages: Pages, tracked: Tracked, long: &Semaphore) {
    let (spoken, mut first) = watch::channel(false);
    let place = OnceLock::new();
    let answers = service_fn(|request: Request<Incoming>| {
        let version = request.version();
        spoken.send_if_modified(|asked| !std::mem::replace(asked, true));
        let taken = version != Version::HTTP_2 || place.get_or_init(|| long.try_acquire().ok()).is_some();
        let answer = taken.then(|| pages.clone().answer(request));
        async {
            match answer {
                Some(answer) => answer.await.map_err(|never| match never {}),
                None => Err(io::Error::other("too many HTTP/2 connections to the admin listener")),
            }
        }
    });
    let server = builder(tracked);
    let mut connection = std::pin::pin!(server.serve_connection(TokioIo::new(stream), answers));
    tokio::select! {
        ended = connection.as_mut() => return tell(ended),
        asked = timeout(HEAD, first.wait_for(|asked| *asked)) => if !matches!(asked, Ok(Ok(_))) {
            return tracing::debug!("an admin connection asked for nothing");
        },
    }
    let limit = match place.get() {
        None => CONNECTION,
        Some(Some(_)) => LONG,
        Some(None) => return tracing::debug!("too many HTTP/2 connections to the admin listener"),
    };
    if let Ok(ended) = timeout(limit, connection.as_mut()).await {
        return tell(ended);
    }
    connection.as_mut().graceful_shutdown();
    match timeout(LINGER, connection).await {
        Ok(ended) => tell(ended),
        Err(_) => tracing::debug!("an admin connection took too long"),
    }
}

fn builder(tracked: Tracked) -> auto::Builder<Tracked> {
    let mut server = auto::Builder::new(tracked);
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(MOST_HEAD)
        .keep_alive(false);
    server
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MOST_STREAMS)
        .max_header_list_size(MOST_HEAD as u32)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PONG);
    server
}

fn tell<E: std::fmt::Display>(ended: Result<(), E>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "an admin connection ended early");
    }
}

/// Runs the tasks of HTTP/2 streams among those that are awaited at the end.
#[derive(Clone)]
struct Tracked {
    tasks: TaskTracker,
    token: CancellationToken,
}

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for Tracked {
    fn execute(&self, task: F) {
        self.tasks.spawn(self.token.clone().run_until_cancelled_owned(task));
    }
}

const MOST_CONNECTIONS: usize = 16;
/// Of these, how many may be HTTP/2: those that watch must not crowd out those that ask.
const MOST_LONG: usize = 8;
const MOST_STREAMS: u32 = 8;
const MOST_HEAD: usize = 8 * 1024;
/// For a first request to arrive.
const HEAD: Duration = Duration::from_secs(2);
/// For an answer of HTTP/1.1 to be taken.
const CONNECTION: Duration = Duration::from_secs(5);
/// After so long whoever watches connects anew.
const LONG: Duration = Duration::from_secs(600);
const LINGER: Duration = Duration::from_secs(2);
/// A watcher that is gone is noticed by its silence.
const PING: Duration = Duration::from_secs(20);
const PONG: Duration = Duration::from_secs(10);
const AFTER_ERROR: Duration = Duration::from_millis(100);

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests;
