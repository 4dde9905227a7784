//! A complete give mode proxy server: enproxy in both forms and HTTP CONNECT, over TLS on one port.
//!
//! For peers without a host program of their own, for tests and for the demo. Each destination's bytes pass the agent's tap, which
//! is how the peer can later say what it carried:
//!
//! ```text
//! client ⇄ TLS ⇄ server ⇄ [tap] ⇄ what the dialer returned
//! ```
//!
//! With a token, whoever has none sees an nginx (`web`).
//!
//! A stranger costs at most one connection, one request head, one record of body and one seat among the tunnels; everything has
//! a deadline. What a client does wrong is logged at `debug` and never stops the server.

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use proto::{
    ids::Pin,
    time::Clock,
    tunnel::{HeadError, Host, Request, connect::encode_refusal},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpSocket, TcpStream},
    select,
    sync::watch,
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, warn};

mod activity;
mod config;
mod conn;
mod connect;
mod dial;
mod enproxy;
pub(crate) mod fuzzing;
mod neighbours;
mod pacer;
mod policy;
mod quota;
mod tapped;
mod tls;
mod tunnels;
mod web;

pub use config::{Config, ConfigError, Limits};
pub use dial::{BoxStream, Dial, DialError, DialFuture, DirectDial, Stream};
pub use policy::{Policy, Refusal, is_public};
pub use tls::TlsError;

use crate::{standing::Standing, tap::Tap};
use conn::{Conn, ConnError};
use quota::Quota;
use tunnels::Tunnels;
use web::{Answer, Site};

/// A give mode server that listens but does not serve yet.
pub struct Give {
    listener: TcpListener,
    address: SocketAddr,
    identity: tls::Identity,
    config: Config,
    site: Site,
    tap: Tap,
    dialer: Arc<dyn Dial>,
    standing: Option<watch::Receiver<Standing>>,
}

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum GiveError {
    /// A setting cannot work.
    #[error("give mode settings")]
    Config(#[source] ConfigError),
    /// There is no TLS identity.
    #[error("TLS identity of give mode")]
    Tls(#[source] TlsError),
    /// The page cannot be shown.
    #[error("cannot read the page {}", path.display())]
    Page {
        /// Its file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The port cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// What was asked for.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Give {
    /// Checks the settings, reads or makes the TLS identity, and listens. Every flow is offered to `tap`
    /// ([`Tap::disconnected`] for a proxy without an agent). Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// See [`GiveError`].
    pub fn bind(config: Config, tap: Tap) -> Result<Self, GiveError> {
        config.check().map_err(GiveError::Config)?;
        let identity =
            tls::Identity::load(&config.state, &config.certified(), Clock::system().now()).map_err(GiveError::Tls)?;
        let site = config.site()?;
        let refused = |source| GiveError::Listen {
            address: config.listen,
            source,
        };
        let listener = listen(config.listen).map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let policy = Policy {
            allow_private: config.allow_private,
            ports: config.ports.clone(),
        };
        let dialer = Arc::new(DirectDial {
            policy,
            bind: config.bind,
            public: config.public,
        });
        Ok(Self {
            listener,
            address,
            identity,
            config,
            site,
            tap,
            dialer,
            standing: None,
        })
    }

    /// Reaches destinations by another way than directly. The policy and the bind address of the settings are the direct
    /// dialer's and do not apply to another.
    #[must_use]
    pub fn dialing(mut self, dialer: Arc<dyn Dial>) -> Self {
        self.dialer = dialer;
        self
    }

    /// Offers every flow to another tap than the one it was bound with: an agent's tap exists only when the pin is known.
    #[must_use]
    pub fn tapped(mut self, tap: Tap) -> Self {
        self.tap = tap;
        self
    }

    /// Tells clients the name that the agent was given, as soon as it has one, unless the settings name another: behind an edge
    /// they come back by it. Those are told who ask for a host of its zone, as clients do that an edge brings here. Others, who found
    /// a machine and want to know who it is, are not.
    #[must_use]
    pub fn named_by(mut self, standing: watch::Receiver<Standing>) -> Self {
        self.standing = Some(standing);
        self
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// What clients pin: SHA-256 of the DER SubjectPublicKeyInfo of its TLS key.
    pub fn pin(&self) -> Pin {
        self.identity.pin
    }

    /// Serves until `shutdown` is cancelled; then takes no more, lets requests in progress finish for the drain time, and
    /// closes the rest. Nothing of it runs any more when this returns.
    pub async fn run(self, shutdown: CancellationToken) {
        let tasks = TaskTracker::new();
        let abort = CancellationToken::new();
        let acceptor = TlsAcceptor::from(self.identity.config);
        let shared = Shared {
            site: self.site,
            standing: self.standing,
            ..Shared::new(self.config, self.tap, self.dialer, shutdown.clone())
        };
        let shared = Arc::new(shared);
        let limits = &shared.config.limits;
        let connections = Quota::new(limits.connections, limits.connections_per_source);
        let drain = limits.drain;
        let mut sweep = interval(sweep_period(limits));
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut accepting = true;
        loop {
            let (socket, source) = select! {
                () = shutdown.cancelled() => break,
                _ = sweep.tick() => {
                    shared.tunnels.sweep();
                    continue;
                }
                accepted = self.listener.accept() => match accepted {
                    Ok((socket, source)) => {
                        accepting = true;
                        (socket, source.ip().to_canonical())
                    }
                    Err(error) => {
                        // Most likely out of file descriptors: others must close before this can go on.
                        // Told once until it works again; it may fail ten times a second.
                        if std::mem::replace(&mut accepting, false) {
                            warn!(%error, "cannot accept connections");
                        }
                        sleep(ACCEPT_PAUSE).await;
                        continue;
                    }
                },
            };
            let Some(seat) = connections.take(source) else {
                debug!("connection refused: too many");
                continue;
            };
            let (shared, acceptor, abort) = (Arc::clone(&shared), acceptor.clone(), abort.clone());
            tasks.spawn(async move {
                select! {
                    () = abort.cancelled() => {}
                    () = Box::pin(connection(&shared, &acceptor, socket, source)) => {}
                }
                drop(seat);
            });
        }
        drop(self.listener);
        tasks.close();
        if timeout(drain, tasks.wait()).await.is_err() {
            abort.cancel();
            tasks.wait().await;
        }
        shared.tunnels.clear();
    }
}

impl Config {
    /// Looks at the page's file, if there is one; how many bytes it has.
    ///
    /// # Errors
    /// It cannot be read, or is too long.
    pub fn look_at_page(&self) -> Result<Option<usize>, GiveError> {
        let site = self.site()?;
        Ok(self.page.as_ref().map(|_| site.length()))
    }

    fn site(&self) -> Result<Site, GiveError> {
        let Some(path) = &self.page else {
            return Ok(Site::default());
        };
        Site::load(path).map_err(|source| GiveError::Page {
            path: path.clone(),
            source,
        })
    }
}

/// What all connections share.
struct Shared {
    config: Config,
    tap: Tap,
    dialer: Arc<dyn Dial>,
    tunnels: Tunnels,
    /// Of tunnels of both kinds.
    seats: Arc<Quota>,
    stopping: CancellationToken,
    /// What those see who have no token.
    site: Site,
    /// For the date of a web server's answer; nothing is decided by it.
    clock: Clock,
    /// What the agent was told, if there is an agent.
    standing: Option<watch::Receiver<Standing>>,
}

impl Shared {
    fn new(config: Config, tap: Tap, dialer: Arc<dyn Dial>, stopping: CancellationToken) -> Self {
        let seats = Quota::new(config.limits.tunnels, config.limits.tunnels_per_source);
        let tunnels = Tunnels::new(Arc::clone(&seats), config.limits.idle, config.limits.linger);
        Self {
            config,
            tap,
            dialer,
            tunnels,
            seats,
            stopping,
            site: Site::default(),
            clock: Clock::system(),
            standing: None,
        }
    }

    /// The name that a client is told which asked for this host. The attester's comes from outside, and goes into a header.
    fn proxy_host(&self, asked: &Host) -> Option<String> {
        if let Some(chosen) = &self.config.proxy_host {
            return Some(chosen.clone());
        }
        let own = self.standing.as_ref()?.borrow().own_name.clone()?;
        let Host::Named(asked) = asked else { return None };
        (config::is_name(&own) && is_in_the_zone_of(&own, asked)).then_some(own)
    }

    /// Does it pass for a web server with those who do not know the token?
    fn is_guarded(&self) -> bool {
        self.config.token.is_some()
    }
}

/// Does a client that asks for this host know the zone of a peer's own name? It asks for that name or, before it was told, for one
/// that many peers share.
fn is_in_the_zone_of(own: &str, asked: &str) -> bool {
    let Some((_, zone)) = own.trim_end_matches('.').split_once('.') else {
        return false;
    };
    let asked = asked.rsplit_once(':').map_or(asked, |(host, _port)| host);
    let asked = asked.trim_end_matches('.').to_ascii_lowercase();
    let above = asked.strip_suffix(&zone.to_ascii_lowercase());
    above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    // A restarted peer must get its port back while old connections are still in TIME_WAIT. On Windows the option means
    // something else, and none is needed.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Often enough that neither time is overrun by much.
fn sweep_period(limits: &Limits) -> Duration {
    (limits.idle.min(limits.linger) / 4).clamp(Duration::from_millis(10), Duration::from_secs(1))
}

async fn connection(shared: &Shared, acceptor: &TlsAcceptor, socket: TcpStream, source: std::net::IpAddr) {
    // Responses go out in one write; waiting for acknowledgements would only add 40 ms.
    if let Err(error) = socket.set_nodelay(true) {
        debug!(%error, "connection lost");
        return;
    }
    match timeout(shared.config.limits.handshake, acceptor.accept(socket)).await {
        Ok(Ok(stream)) => serve(shared, stream, source).await,
        Ok(Err(error)) => debug!(%error, "no TLS handshake"),
        Err(_) => debug!("no TLS handshake in time"),
    }
}

/// Serves a client's connection until it ends.
async fn serve<S: AsyncRead + AsyncWrite + Unpin>(shared: &Shared, stream: S, source: std::net::IpAddr) {
    let mut conn = Conn::new(stream, &shared.config.limits);
    let failed = loop {
        let request = select! {
            biased;
            request = conn.request() => request,
            () = shared.stopping.cancelled() => break None,
        };
        let served = match request {
            Ok(Some(Request::Enproxy(request))) => enproxy::serve(shared, &mut conn, request, source).await,
            Ok(Some(Request::Connect(request))) => {
                if let Err(error) = connect::serve(shared, conn, request, source).await {
                    debug!(error = dial::explain(&error), "connection dropped");
                }
                return;
            }
            Ok(None) => break None,
            Err(error) => Err(error),
        };
        match served {
            Ok(true) => {}
            Ok(false) => break None,
            Err(error) => break Some(error),
        }
    };
    if let Some(error) = failed {
        debug!(error = dial::explain(&error), "connection dropped");
        let mut out = Vec::new();
        if shared.is_guarded() {
            let Some(answer) = Answer::to_error(&error) else { return };
            shared.site.encode(answer, shared.clock.now(), false, false, &mut out);
        } else {
            let Some(status) = last_status(&error) else { return };
            encode_refusal(status, &dial::explain(&error), &mut out);
        }
        if conn.send(&out).await.is_err() {
            return;
        }
    }
    conn.close().await;
}

/// The status code that tells a client what it did wrong, when it may still be listening.
fn last_status(error: &ConnError) -> Option<u16> {
    match error {
        ConnError::Head(HeadError::TooLong | HeadError::TooManyHeaders) => Some(431),
        ConnError::Head(_) | ConnError::Host | ConnError::Body(_) => Some(400),
        ConnError::SlowHead => Some(408),
        ConnError::Closed | ConnError::Io(_) | ConnError::Stalled => None,
    }
}

/// Connections that the kernel holds until they are accepted.
const BACKLOG: u32 = 1024;
/// After an accept that failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests;
