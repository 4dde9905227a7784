//! The far end of a probe from the command line: an origin of its own, or the one of an attester that runs beside it.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use proto::{
    ClaimError,
    claims::{Challenge, Keyset},
    ids::{Destination, Nonce, ProbeId},
    time::{Clock, Seconds},
};
use rand::rngs::StdRng;
use tokio::{net::UdpSocket, sync::watch};

use super::super::question::Question;
use crate::{
    config::Config,
    keys::{Keys, KeysError},
    origin::{self, Arrival, Arrivals, Origin, OriginError, OriginKeys},
};

/// An origin whose answers can be told from anybody else's.
pub struct FarEnd {
    keys: Keys,
    destination: Destination,
    own: Option<Own>,
    control: Option<SocketAddr>,
}

/// An origin of this process.
struct Own {
    listening: SocketAddr,
    arrivals: Arrivals,
    accepts_from: Seconds,
}

/// Why there is no far end.
#[derive(Debug, thiserror::Error)]
pub enum FarEndError {
    /// The configured origin answers to the attester's key only.
    #[error(
        "the configured origin answers challenges that the attester's key has signed, and the keys cannot be read: run this as \
        whoever runs the attester, or with --origin for an origin of its own"
    )]
    Keys(#[source] KeysError),
    /// The configuration leaves to the system where the origin is.
    #[error(
        "the configuration does not say where peers reach the origin, since its port is chosen when it starts: set \
        origin.destination, or use --origin for an origin of its own"
    )]
    Nowhere,
    /// The origin of this process.
    #[error("the origin of this probe cannot start")]
    Origin(#[source] OriginError),
    /// Its keys.
    #[error("the keys of this probe cannot be made")]
    Passing(#[source] ClaimError),
    /// There is no address to name to the peer.
    #[error(
        "no address of this machine is known that the peer could reach an origin at: name one with --destination, and where to \
        listen with --origin"
    )]
    Unreachable(#[source] io::Error),
    /// Every address, and any port.
    #[error("--origin={0} leaves open what the peer is to be asked for: give it a port, or name a --destination")]
    Anywhere(SocketAddr),
}

impl FarEnd {
    /// Opens an origin whose keys are kept nowhere. The second is to be run as long as the first is used.
    ///
    /// Without a `destination` it is where it listens, and without `listen` that is the address from which the system would
    /// reach `peer`, which is the one that the peer most likely reaches.
    ///
    /// # Errors
    /// [`FarEndError`], of the kinds that are not about a configuration.
    pub async fn open(
        listen: Option<SocketAddr>,
        destination: Option<Destination>,
        peer: Option<IpAddr>,
        clock: &Clock,
        rng: &mut StdRng,
    ) -> Result<(Self, Origin), FarEndError> {
        let (listen, destination) = match (listen, destination) {
            (Some(listen), Some(destination)) => (listen, Some(destination)),
            (None, Some(destination)) => ((Ipv4Addr::UNSPECIFIED, destination.port()).into(), Some(destination)),
            (Some(listen), None) if listen.ip().is_unspecified() => {
                let port = Some(listen.port()).filter(|port| *port != 0);
                let port = port.ok_or(FarEndError::Anywhere(listen))?;
                let here = source_towards(peer).await.map_err(FarEndError::Unreachable)?;
                (listen, SocketAddr::from((here, port)).to_string().parse().ok())
            }
            (Some(listen), None) => (listen, None),
            (None, None) => {
                let here = source_towards(peer).await.map_err(FarEndError::Unreachable)?;
                ((here, 0).into(), None)
            }
        };
        let keys = Keys::passing(rng, clock.now()).map_err(FarEndError::Passing)?;
        let origin_keys = OriginKeys {
            keyset: keys.keyset.clone(),
            origin: keys.origin.clone(),
        };
        let config = origin::Config {
            listen,
            destination,
            ..origin::Config::default()
        };
        let (_, keys_of_origin) = watch::channel(Arc::new(origin_keys));
        let origin = Origin::bind(&config, keys_of_origin, clock.clone(), rng)
            .await
            .map_err(FarEndError::Origin)?;
        let own = Own {
            listening: origin.addr(),
            arrivals: origin.arrivals(),
            accepts_from: origin.accepts_from(),
        };
        let far = Self {
            keys,
            destination: origin.destination().clone(),
            own: Some(own),
            control: None,
        };
        Ok((far, origin))
    }

    /// The origin of the attester with this configuration, which runs elsewhere; its keys must be at hand.
    ///
    /// # Errors
    /// [`FarEndError::Keys`], [`FarEndError::Nowhere`].
    pub fn configured(config: &Config, clock: &Clock) -> Result<Self, FarEndError> {
        let listen = config.origin.listen;
        let destination = match &config.origin.destination {
            Some(destination) => destination.clone(),
            None => listen.to_string().parse().map_err(|_| FarEndError::Nowhere)?,
        };
        let keys = Keys::as_they_are(&config.keys_folder(), clock.now()).map_err(FarEndError::Keys)?;
        Ok(Self {
            keys,
            destination,
            own: None,
            control: config.origin.control,
        })
    }

    /// What peers are asked for.
    pub const fn destination(&self) -> &Destination {
        &self.destination
    }

    /// Where it listens, if it is of this process.
    pub fn listening(&self) -> Option<SocketAddr> {
        self.own.as_ref().map(|own| own.listening)
    }

    /// The control probes of an origin of another process: where they go.
    pub(super) const fn control(&self) -> Option<SocketAddr> {
        self.control
    }

    pub(super) const fn keyset(&self) -> &Keyset {
        &self.keys.keyset
    }

    /// What has arrived for a challenge: `None` when nobody here can tell.
    pub(super) fn arrival(&self, nonce: &Nonce) -> Option<Option<Arrival>> {
        self.own.as_ref().map(|own| own.arrivals.redeemed(nonce))
    }

    /// Whether every peer of this machine reaches it, and no other does: then nothing but the peer can keep a request from it.
    pub(super) fn is_on_loopback(&self) -> bool {
        let host: Result<IpAddr, _> = self.destination.host().parse();
        host.is_ok_and(|ip| ip.is_loopback())
    }

    /// A challenge that it answers, once, for so long.
    pub(super) fn question(
        &self,
        body_length: u64,
        lasts: Duration,
        clock: &Clock,
        rng: &mut StdRng,
    ) -> Result<Question, ClaimError> {
        let now = clock.now();
        // An origin refuses what is of the second of its start, since it may be older: these keys are no older than it is.
        let issued_at = match &self.own {
            Some(own) => now.seconds().max(own.accepts_from),
            None => now.seconds(),
        };
        let claim = Challenge {
            issuer: self.keys.attester.public().thumbprint(),
            // Nobody's: the peer's own key is not known, and needs not be.
            subject: self.keys.prober.public().thumbprint(),
            audience: self.destination.clone(),
            expires: now.plus(lasts + MARGIN).seconds(),
            not_before: now.minus(MARGIN).seconds(),
            issued_at,
            probe: ProbeId::random(rng),
            nonce: Nonce::random(rng),
            body_length,
        };
        Question::sign(claim, &self.keys.attester)
    }
}

/// The IPv4 address from which the system would reach `peer`, or anybody if that is none: destinations are IPv4. Nothing is sent.
async fn source_towards(peer: Option<IpAddr>) -> io::Result<IpAddr> {
    let peer = match peer.map(|peer| peer.to_canonical()) {
        Some(IpAddr::V4(peer)) => peer,
        Some(IpAddr::V6(Ipv6Addr::LOCALHOST)) => Ipv4Addr::LOCALHOST,
        Some(IpAddr::V6(_)) | None => SOMEBODY,
    };
    // The whole of 127.0.0.0/8 reaches that.
    if peer.is_loopback() {
        return Ok(Ipv4Addr::LOCALHOST.into());
    }
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
    socket.connect((peer, 443)).await?;
    Ok(socket.local_addr()?.ip())
}

/// An address of the documentation's range (RFC 5737): it stands for the internet.
const SOMEBODY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// Clocks of one machine differ by less; and windows are whole seconds.
const MARGIN: Duration = Duration::from_secs(2);
