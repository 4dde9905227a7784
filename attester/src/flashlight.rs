//! The prober: a Flashlight get mode client that tells how far it came instead of failing.
//!
//! One probe is one TCP connection, one TLS handshake with the peer's pinned key or with an edge in front of it, one tunnel (enproxy in either form, or
//! CONNECT) and one finished request through it. It reports what was sent and received, when each phase ended, and the
//! first thing that went wrong; whether that proves anything is for `verify` to say. The framing is written by hand over
//! `proto::tunnel`: the handshake is most of a probe's cost, and an HTTP library would add a fifth to the rest.
//!
//! Nothing is ever tried again, and no write or read is repeated: a lost answer's bytes are gone, a repeated write would
//! arrive twice. Whatever a peer sends, a probe ends within [`Limits::total`] and a short grace for closing, and keeps
//! one byte more than was announced at most.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use proto::{
    claims::{Phase, Protocol},
    ids::{Destination, Digest, Pin},
    tunnel::enproxy::Form,
};
use rand::Rng;
use rustls::HandshakeKind;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, timeout, timeout_at},
};

use crate::model::{Finding, PhaseTimes, Reason};
use account::Account;
pub use edge::{Edge, EdgeError, Sni};
use enproxy::Tunnel;
pub use enproxy::same_name;
pub use proto::tunnel::enproxy::Sending;
use tls::{Tls, TlsError};
use wire::Wire;

mod account;
pub mod answer;
mod connect;
mod dial;
mod edge;
mod enproxy;
#[doc(hidden)]
pub mod fuzzing;
mod open;
mod tls;
mod wire;

/// A client of any number of peers. Cheap to use at once from many tasks; holds nothing of a finished probe.
#[derive(Debug)]
pub struct Prober {
    source: Option<IpAddr>,
    limits: Limits,
    tls: Tls,
}

/// How long the parts of a probe may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Until the TCP connection stands.
    pub connect: Duration,
    /// From there until the TLS handshake is finished.
    pub tls: Duration,
    /// From the stopwatch's start to the last announced byte. A read on which the destination says nothing is answered by a real enproxy
    /// server after 10.02 s, which the default does not wait for: an origin that is silent for so long has failed by then
    /// ([`Reason::FirstByteTimeout`], [`Reason::CompleteTimeout`]), so an empty answer to a read is seen with a longer limit alone.
    pub total: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            connect: seconds(3),
            tls: seconds(3),
            total: seconds(10),
        }
    }
}

/// A peer and the way to it.
#[derive(Clone)]
pub struct Target {
    /// The address to dial: the peer's, as its name resolved, or its edge's.
    pub address: SocketAddr,
    /// Who is expected there.
    pub end: End,
    /// Its CONNECT token, when it wants one.
    pub connect_token: Option<String>,
    /// What an enproxy request names as `Host`: the peer's own DNS name. Without one, the address.
    pub host: Option<String>,
    /// How the body of an enproxy write is sent. Every server takes both.
    pub sending: Sending,
    /// Whether the handshake must be a full one, where sessions are resumed else ([`Prober::resuming`]).
    pub fresh: bool,
}

impl Target {
    /// A peer at its own address, known by its key.
    pub const fn pinned(address: SocketAddr, pin: Pin) -> Self {
        Self {
            address,
            end: End::Pinned(pin),
            connect_token: None,
            host: None,
            sending: Sending::Buffered,
            fresh: false,
        }
    }
}

/// Who is expected at the other end of TLS.
#[derive(Clone, Debug)]
pub enum End {
    /// The peer, by its key.
    Pinned(Pin),
    /// The peer, by whichever key it shows: for one of which nothing is known yet. Says nothing about who it is.
    AnyKey,
    /// An edge, which takes requests to the peer by their `Host`.
    Edge(Edge),
}

/// Without the token, which must not end up in a log.
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("address", &self.address)
            .field("end", &self.end)
            .field("host", &self.host)
            .finish_non_exhaustive()
    }
}

/// What to carry through the tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// How the tunnel is opened. A control probe has no tunnel and does not look at it.
    pub protocol: Protocol,
    /// Where the tunnel leads, byte for byte as it was announced.
    pub destination: Destination,
    /// The finished request (`proto::probe::request`).
    pub request: Vec<u8>,
    /// How many bytes the destination sends before it closes.
    pub expected_down: u64,
}

/// What a probe showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// The stopwatch that was handed over, with the phases that were reached; it can be noted on.
    pub watch: Stopwatch,
    /// The address that was dialled.
    pub address: SocketAddr,
    /// The pin of the TLS key that was seen, the peer's or its edge's: once the handshake is finished, or another one (shown,
    /// but not proven by a signature) with [`Reason::PinMismatch`].
    pub pin: Option<Pin>,
    /// Whether the handshake was a resumed one, which shows no new signature.
    pub resumed: bool,
    /// Bytes that were handed to the tunnel: all of the request or none of it.
    pub sent: u64,
    /// Their digest.
    pub sent_digest: Digest,
    /// What came back through the tunnel, at most one byte more than was announced.
    pub received: Vec<u8>,
    /// Its digest.
    pub received_digest: Digest,
    /// The name that the peer gave itself (`X-Enproxy-Proxy-Host`).
    pub proxy_host: Option<String>,
    /// The first thing that went wrong; `None` when exactly the announced bytes came back.
    pub failure: Option<Finding>,
}

/// When a probe began and which phases it has reached. One of them follows a probe from its name's resolution to its
/// receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stopwatch {
    started: Instant,
    times: PhaseTimes,
}

impl Stopwatch {
    /// Starts now.
    pub fn start() -> Self {
        Self {
            started: Instant::now(),
            times: PhaseTimes::default(),
        }
    }

    /// Notes that `phase` ends now.
    pub fn note(&mut self, phase: Phase) {
        self.times.note(phase, self.elapsed());
    }

    /// Time since the start.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// When it was started.
    pub const fn started(&self) -> Instant {
        self.started
    }

    /// The phases reached.
    pub const fn times(&self) -> &PhaseTimes {
        &self.times
    }
}

impl Prober {
    /// A prober that dials from `source`, or from whatever address the system chooses. Every probe makes a fresh
    /// handshake.
    pub fn new(source: Option<IpAddr>, limits: Limits) -> Self {
        Self {
            source,
            limits,
            tls: Tls::fresh(),
        }
    }

    /// The same, but TLS sessions are resumed where the peer allows it and the target does not ask for a fresh handshake. A
    /// resumed handshake shows no new signature: it proves that this is the peer of the first handshake.
    #[must_use]
    pub fn resuming(self) -> Self {
        Self {
            tls: Tls::resuming(),
            ..self
        }
    }

    /// Where it dials from, if that was chosen.
    pub const fn source(&self) -> Option<IpAddr> {
        self.source
    }

    /// Carries one request through a peer. Never fails: what went wrong is part of the result.
    pub async fn exchange(
        &self,
        target: &Target,
        job: &Job,
        watch: Stopwatch,
        rng: &mut (impl Rng + Send),
    ) -> Exchange {
        let id = fresh_id(rng);
        let mut account = Account::new(watch, job.expected_down);
        let result = match self.dial(target.address, &mut account).await {
            Ok(stream) => self.through(stream, target, job, id, &mut account).await,
            Err(finding) => Err(finding),
        };
        account.close(target.address, job, result.err())
    }

    /// Carries the same request without a tunnel: the control probe.
    pub async fn direct(&self, origin: SocketAddr, job: &Job, watch: Stopwatch) -> Exchange {
        let mut account = Account::new(watch, job.expected_down);
        let result = match self.dial(origin, &mut account).await {
            Ok(stream) => self.without_tunnel(stream, job, &mut account).await,
            Err(finding) => Err(finding),
        };
        account.close(origin, job, result.err())
    }

    /// Connects and tells the pin of the TLS key that finished a handshake there, whichever it is.
    ///
    /// # Errors
    /// Why there was no handshake, in words for a registration: refused, silent, no TLS, or our own trouble.
    pub async fn see_key(&self, address: SocketAddr) -> Result<Pin, Finding> {
        let within = Instant::now() + self.limits.connect;
        let stream = dial::connect(self.source, address, within)
            .await
            .map_err(dial::at_registration)?;
        match timeout(self.limits.tls, tls::see(stream, address)).await {
            Ok(Ok(pin)) => Ok(pin),
            Ok(Err(error)) => Err(Finding::new(Reason::PortNoTls, error.to_string())),
            Err(_) => Err(Finding::new(
                Reason::PortNoTls,
                format!("no handshake within {:?}", self.limits.tls),
            )),
        }
    }

    /// Connects and checks that `pin` is the pin of the TLS key that finishes a handshake there.
    ///
    /// # Errors
    /// As [`Prober::see_key`]; [`Reason::PortOtherKey`] when it is another key.
    pub async fn check_key(&self, address: SocketAddr, pin: Pin) -> Result<(), Finding> {
        match self.see_key(address).await? {
            seen if seen == pin => Ok(()),
            seen => Err(Finding::new(Reason::PortOtherKey, other_key(seen, pin))),
        }
    }

    async fn dial(&self, address: SocketAddr, account: &mut Account) -> Result<tokio::net::TcpStream, Finding> {
        let within = self.deadline(account).min(Instant::now() + self.limits.connect);
        let stream = dial::connect(self.source, address, within).await?;
        account.watch.note(Phase::Connect);
        Ok(stream)
    }

    /// TLS and tunnel over a connection that stands.
    async fn through<S>(
        &self,
        stream: S,
        target: &Target,
        job: &Job,
        id: String,
        account: &mut Account,
    ) -> Result<(), Finding>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let deadline = self.deadline(account);
        let within = deadline.min(Instant::now() + self.limits.tls);
        let (stream, pin) = match timeout_at(within, self.tls.connect(stream, target)).await {
            Ok(Ok(connected)) => connected,
            Ok(Err(TlsError::OtherKey { seen, expected })) => {
                account.pin = Some(seen);
                return Err(Finding::new(Reason::PinMismatch, other_key(seen, expected)));
            }
            Ok(Err(error)) => return Err(Finding::new(Reason::TlsFailed, error.to_string())),
            Err(_) => return Err(Reason::TlsTimeout.into()),
        };
        account.pin = Some(pin);
        account.resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
        account.watch.note(Phase::Tls);
        self.tunnel(stream, target, job, id, account).await
    }

    /// The tunnel over a handshake that stands.
    async fn tunnel<S>(
        &self,
        stream: S,
        target: &Target,
        job: &Job,
        id: String,
        account: &mut Account,
    ) -> Result<(), Finding>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let deadline = self.deadline(account);
        let mut wire = Wire::new(stream);
        let carried = async {
            let form = match job.protocol {
                Protocol::Enproxy => Form::Headers,
                Protocol::EnproxyPath => Form::Path,
                Protocol::Connect => {
                    return connect::carry(&mut wire, target.connect_token.as_deref(), id, job, account).await;
                }
            };
            Tunnel::new(&mut wire, form, id, target).carry(job, account).await
        };
        let result = timeout_at(deadline, carried)
            .await
            .unwrap_or_else(|_| account.timed_out());
        wire.close().await;
        result
    }

    async fn without_tunnel<S>(&self, stream: S, job: &Job, account: &mut Account) -> Result<(), Finding>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let deadline = self.deadline(account);
        account.opened = true;
        let mut wire = Wire::new(stream);
        let carried = open::carry(&mut wire, None, job, account);
        let result = timeout_at(deadline, carried)
            .await
            .unwrap_or_else(|_| account.timed_out());
        wire.close().await;
        result
    }

    fn deadline(&self, account: &Account) -> Instant {
        account.watch.started + self.limits.total
    }
}

/// A UUIDv4 as every Flashlight client makes them: an enproxy server may remember a failed id for ever.
fn fresh_id(rng: &mut impl Rng) -> String {
    let mut bytes = [0; 16];
    rng.fill_bytes(&mut bytes);
    uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
}

fn other_key(seen: Pin, registered: Pin) -> String {
    format!("it shows {seen}, not {registered}")
}

#[cfg(test)]
mod tests;
