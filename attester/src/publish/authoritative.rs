//! The embedded authoritative name server: the default publisher, which needs nobody else's.
//!
//! It answers over UDP and TCP from an immutable state ([`Served`]) that every change replaces as a whole, so
//! no answer mixes two states. Messages are coded by hickory-proto; the sockets are our own, because a server that
//! strangers reach must bound its connections, its logs and what a header's counts make it allocate (promise P6).
//!
//! Bound to an unspecified address on a host with several, answers may leave from another address than the question
//! came to; name the address there.

use std::{
    collections::BTreeSet,
    fmt, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rand::{SeedableRng, rngs::StdRng};
use serde::Deserialize;
use tokio::{
    net::{TcpListener, UdpSocket},
    sync::watch,
};
use tokio_util::sync::CancellationToken;

use crate::{
    metrics::Metrics,
    records::{Changes, Name, Record},
};

use super::{PublishError, Publisher};

pub mod answer;
mod places;
mod question;
mod serve;
mod served;

pub use served::{Served, Zone};

/// The operator's part of the configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where questions are answered, over UDP and TCP alike. Port 0 takes any port that is free for both.
    pub listen: SocketAddr,
    /// The name server's own name, as the parent zone delegates to it. Default: `ns.` before the zone.
    pub nameserver: Option<Name>,
    /// The addresses under which the world reaches it. Default: the listening address, when it is a specific one.
    pub nameserver_addresses: BTreeSet<IpAddr>,
    /// How many addresses of a family an answer for a rotation has at most; 1 to 256.
    pub sample: usize,
    /// How long resolvers may remember that a name or type does not exist, in seconds.
    pub negative_ttl: u32,
    /// How many TCP connections are served at a time; a further one takes the place of the one that has asked nothing for
    /// longest.
    pub tcp_connections: usize,
    /// How many of them one source may have: an IPv4 address or an IPv6 /64.
    pub tcp_per_source: usize,
    /// How many seconds a TCP connection may take for its next question, and for taking its answer.
    pub tcp_idle_seconds: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 7053)),
            nameserver: None,
            nameserver_addresses: BTreeSet::new(),
            sample: 16,
            negative_ttl: 10,
            tcp_connections: 128,
            tcp_per_source: 8,
            tcp_idle_seconds: 10,
        }
    }
}

/// A server whose sockets are open and which does not answer yet. See [`Authoritative::run`].
pub struct Authoritative {
    udp: UdpSocket,
    tcp: TcpListener,
    address: SocketAddr,
    limits: serve::Limits,
    shown: AuthoritativePublisher,
    served: watch::Receiver<Arc<Served>>,
    rng: StdRng,
    metrics: Arc<Metrics>,
}

/// Writes into the embedded server's zone.
#[derive(Clone)]
pub struct AuthoritativePublisher {
    zone: Arc<Zone>,
    contents: Arc<Mutex<Contents>>,
    served: watch::Sender<Arc<Served>>,
}

impl Authoritative {
    /// Opens both sockets.
    ///
    /// `first_serial` starts the zone's serial numbers and should not go backwards over restarts: Unix time in
    /// seconds does it. `rng` draws the samples.
    ///
    /// # Errors
    /// [`PublishError::Config`] when the configuration contradicts itself, [`PublishError::Bind`] when a socket
    /// cannot be opened.
    pub async fn bind(
        config: &Config,
        apex: Name,
        rotations: BTreeSet<Name>,
        first_serial: u32,
        rng: StdRng,
    ) -> Result<Self, PublishError> {
        config.check(&apex, &rotations)?;
        let (tcp, udp, address) = bind_both(config.listen).await?;
        let zone = config.zone(apex, rotations, address)?;
        let (served_in, served) = watch::channel(Arc::new(Served::new(&zone, &BTreeSet::new(), None)?));
        let shown = AuthoritativePublisher {
            zone: Arc::new(zone),
            contents: Arc::new(Mutex::new(Contents {
                records: Arc::default(),
                serial: first_serial,
            })),
            served: served_in,
        };
        Ok(Self {
            udp,
            tcp,
            address,
            limits: serve::Limits {
                connections: config.tcp_connections,
                per_source: config.tcp_per_source,
                idle: Duration::from_secs(config.tcp_idle_seconds),
            },
            shown,
            served,
            rng,
            metrics: Arc::default(),
        })
    }

    /// Counts into these metrics; into its own, which nobody sees, without this.
    #[must_use]
    pub fn metered(mut self, metrics: Arc<Metrics>) -> Self {
        self.metrics = metrics;
        self
    }

    /// The address that answers, over UDP and TCP, with the port that was really taken.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// The handle that writes into the zone.
    #[must_use]
    pub fn publisher(&self) -> AuthoritativePublisher {
        self.shown.clone()
    }

    /// Answers until the token is cancelled, and returns when the last connection is closed. Before the first
    /// [`Publisher::apply`] every question about the zone gets SERVFAIL: nothing is known about it yet.
    pub async fn run(mut self, token: CancellationToken) {
        let udp_rng = StdRng::from_rng(&mut self.rng);
        let questions = serve::Questions {
            served: self.served,
            metrics: self.metrics,
        };
        tokio::join!(
            serve::udp(self.udp, questions.clone(), udp_rng, token.clone()),
            serve::tcp(self.tcp, questions, self.limits, self.rng, token),
        );
    }
}

impl AuthoritativePublisher {
    /// Says that state was restored: from now on the zone is answered for, as it is. Applying changes says so too.
    ///
    /// # Errors
    /// None that a zone which was bound can meet; see [`Served::new`].
    pub fn ready(&self) -> Result<(), PublishError> {
        self.change(&Changes::default())
    }

    fn change(&self, changes: &Changes) -> Result<(), PublishError> {
        for record in &changes.add {
            if !record.name.is_within(&self.zone.apex) {
                return Err(PublishError::OutsideZone {
                    name: record.name.clone(),
                    zone: self.zone.apex.clone(),
                });
            }
        }
        // Nothing in here can leave the contents half changed, so a panic elsewhere does not spoil them.
        let mut contents = self.contents.lock().unwrap_or_else(PoisonError::into_inner);
        let mut records = BTreeSet::clone(&contents.records);
        changes.apply_to(&mut records);
        let serial = contents.serial.wrapping_add(1); // RFC 1982: serial numbers wrap
        let served = Served::new(&self.zone, &records, Some(serial))?;
        let records = Arc::new(records);
        *contents = Contents { records, serial };
        self.served.send_replace(Arc::new(served));
        Ok(())
    }
}

impl Publisher for AuthoritativePublisher {
    async fn observe(&self) -> Result<Arc<BTreeSet<Record>>, PublishError> {
        let contents = self.contents.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Arc::clone(&contents.records))
    }

    async fn apply(&self, changes: &Changes) -> Result<(), PublishError> {
        self.change(changes)
    }
}

impl fmt::Debug for AuthoritativePublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthoritativePublisher")
            .field("zone", &self.zone.apex)
            .finish_non_exhaustive()
    }
}

struct Contents {
    records: Arc<BTreeSet<Record>>,
    serial: u32,
}

impl Config {
    fn check(&self, apex: &Name, rotations: &BTreeSet<Name>) -> Result<(), PublishError> {
        if !(1..=MAX_SAMPLE).contains(&self.sample) {
            let sample = self.sample;
            let told = format!("sample is {sample}, and must be from 1 to {MAX_SAMPLE}");
            return Err(PublishError::Config(told));
        }
        if self.tcp_connections == 0 || self.tcp_per_source == 0 || self.tcp_idle_seconds == 0 {
            let told = "tcp_connections, tcp_per_source and tcp_idle_seconds must be at least 1: truncated answers are \
                        fetched over TCP";
            return Err(PublishError::Config(told.to_owned()));
        }
        match rotations.iter().find(|rotation| !rotation.is_within(apex)) {
            None => Ok(()),
            Some(outside) => Err(PublishError::OutsideZone {
                name: outside.clone(),
                zone: apex.clone(),
            }),
        }
    }

    fn zone(&self, apex: Name, rotations: BTreeSet<Name>, bound: SocketAddr) -> Result<Zone, PublishError> {
        let nameserver = match &self.nameserver {
            Some(name) => name.clone(),
            None => apex
                .child("ns")
                .map_err(|error| PublishError::Config(format!("nameserver: {error}")))?,
        };
        let mut nameserver_addresses = self.nameserver_addresses.clone();
        if nameserver_addresses.is_empty() && !bound.ip().is_unspecified() {
            nameserver_addresses.insert(bound.ip());
        }
        Ok(Zone {
            apex,
            rotations,
            nameserver,
            nameserver_addresses,
            sample: self.sample,
            negative_ttl: self.negative_ttl,
        })
    }
}

/// Opens TCP first: when any port will do, a listener finds one, and the same number is most likely free for UDP.
async fn bind_both(listen: SocketAddr) -> Result<(TcpListener, UdpSocket, SocketAddr), PublishError> {
    let mut attempts_left = if listen.port() == 0 { PORT_ATTEMPTS } else { 1 };
    loop {
        attempts_left -= 1;
        let failed = |transport| {
            move |source| PublishError::Bind {
                address: listen,
                transport,
                source,
            }
        };
        let tcp = TcpListener::bind(listen).await.map_err(failed("TCP"))?;
        let address = tcp.local_addr().map_err(failed("TCP"))?;
        match UdpSocket::bind(address).await {
            Ok(udp) => return Ok((tcp, udp, address)),
            Err(taken) if taken.kind() == io::ErrorKind::AddrInUse && attempts_left > 0 => {}
            Err(error) => return Err(failed("UDP")(error)),
        }
    }
}

/// Addresses in an answer: 256 IPv6 addresses are 7 KB, and only a fraction of the peers in any case.
const MAX_SAMPLE: usize = 256;
/// How many ports are tried that are free for TCP until one is free for UDP too.
const PORT_ATTEMPTS: u32 = 16;

#[cfg(test)]
mod tests;
