//! The one wiring file: binds every edge, restores state, runs them under one stop token, and drains.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use proto::{
    ids::Destination,
    key::PublicKey,
    time::{Clock, Timestamp},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{sync::watch, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    config::{self, Config, FrontedError},
    decide::{Fronted, Rules},
    flashlight::{Limits, Prober},
    keys::{Keys, KeysError},
    origin::{self, Origin, OriginError},
    plan::Pace,
    publish::{PublishError, Reconciled, Reconciler, Timing, authoritative},
    resolve::Resolver,
    run::{Core, Front, Kit, Policy, Pulse, Starting},
    session::{self, SessionError, SessionEvent, SessionServer},
    status::{Health, Stage, StatusError},
    store::{Store, StoreError},
    verify::Demands,
    zone::ZonePlan,
};

mod admin;
mod handout;

use admin::{Admin, Watched};
use handout::Handout;

/// An attester whose sockets are open and whose state is restored; [`App::run`] makes it work.
pub struct App {
    session: SessionServer,
    events: tokio::sync::mpsc::Receiver<SessionEvent>,
    origin: Origin,
    dns: authoritative::Authoritative,
    reconciler: Reconciler<authoritative::AuthoritativePublisher>,
    admin: Admin,
    core: Core,
    addresses: Addresses,
    root: PublicKey,
    store: Store,
    pulses: watch::Receiver<Pulse>,
    reconciled: watch::Receiver<Reconciled>,
    begin: Timestamp,
    clock: Clock,
    handout: Handout,
}

/// Where an attester listens.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// gRPC sessions.
    pub session: SocketAddr,
    /// The origin.
    pub origin: SocketAddr,
    /// The origin as peers are asked for it.
    pub destination: Destination,
    /// DNS, UDP and TCP.
    pub dns: SocketAddr,
    /// `/healthz`.
    pub admin: SocketAddr,
}

/// An attester that cannot start. Each variant names the part.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppError {
    /// The keys.
    #[error("the attester's keys cannot be used")]
    Keys(#[source] KeysError),
    /// The state file.
    #[error("the state file cannot be used")]
    Store(#[source] StoreError),
    /// The session server.
    #[error("the session server cannot start")]
    Session(#[source] SessionError),
    /// The origin.
    #[error("the origin cannot start")]
    Origin(#[source] OriginError),
    /// DNS.
    #[error("the name server cannot start")]
    Dns(#[source] PublishError),
    /// The edge in front of the peers.
    #[error("the edge of the fronted route cannot be used")]
    Fronted(#[source] FrontedError),
    /// The admin listener.
    #[error("the admin listener cannot start")]
    Status(#[source] StatusError),
}

impl App {
    /// Loads the keys, opens the state file, binds every socket and restores standing from evidence. Nothing but the admin
    /// listener answers before [`App::run`].
    ///
    /// # Errors
    /// The first part that cannot start.
    pub async fn bind(config: &Config, clock: Clock, rng: StdRng) -> Result<Self, AppError> {
        Self::bind_telling(config, clock, rng, &watch::Sender::default()).await
    }

    /// The same, and tells how far it is: with many peers it takes a while.
    ///
    /// # Errors
    /// As [`App::bind`].
    pub async fn bind_telling(
        config: &Config,
        clock: Clock,
        mut rng: StdRng,
        progress: &watch::Sender<Starting>,
    ) -> Result<Self, AppError> {
        let admin = Admin::open(config.admin.listen, &clock).await?;
        let metrics = &admin.metrics;
        let keys = Keys::load(&config.keys_folder(), clock.now()).map_err(AppError::Keys)?;
        let root = keys.root_public;
        let handout = Handout::of(keys, config.keys_folder());
        let store = Store::open(&config.state_file()).await.map_err(AppError::Store)?;
        let store = store.metered(Arc::clone(metrics));
        let policy = policy(config);
        let (zone, rotations) = (policy.zone.zone.clone(), policy.zone.rotations());
        let serial = u32::try_from(clock.now().seconds().as_u64()).unwrap_or(u32::MAX);
        let dns = authoritative::Authoritative::bind(&dns_part(config), zone, rotations, serial, fork(&mut rng))
            .await
            .map_err(AppError::Dns)?
            .metered(Arc::clone(metrics));
        let (reconciler, publication) = Reconciler::new(dns.publisher(), Timing::default());
        let reconciler = reconciler.metered(Arc::clone(metrics));
        let reconciled = publication.reconciled();

        let origin_part = origin::Config {
            listen: config.origin.listen,
            destination: config.origin.destination.clone(),
            ..origin::Config::default()
        };
        let origin = Origin::bind(&origin_part, handout.origin.subscribe(), clock.clone(), &mut rng)
            .await
            .map_err(AppError::Origin)?
            .metered(Arc::clone(metrics));
        let (session, events) = SessionServer::bind(
            &session_part(config),
            handout.session.subscribe(),
            clock.clone(),
            fork(&mut rng),
        )
        .await
        .map_err(AppError::Session)?;
        let session = session.metered(Arc::clone(metrics));

        let front = front(config)?;
        let limits = Limits {
            connect: config.probe.connect,
            tls: config.probe.tls,
            total: config.probe.total,
        };
        let kit = Kit {
            store: store.clone(),
            publication,
            resolver: Resolver::new(
                config.dns.asked_at.unwrap_or_else(|| reachable(dns.addr())),
                None,
                RESOLVE_WITHIN,
                fork(&mut rng),
            ),
            prober: match config.probe.resume {
                true => Prober::new(config.probe.source, limits).resuming(),
                false => Prober::new(config.probe.source, limits),
            },
            front,
            keys: handout.all.subscribe(),
            arrivals: origin.arrivals(),
            control: config.origin.control,
            destination: origin.destination().clone(),
            clock: clock.clone(),
            policy,
            metrics: Arc::clone(metrics),
        };
        let addresses = Addresses {
            session: session.addr(),
            origin: origin.addr(),
            destination: origin.destination().clone(),
            dns: dns.addr(),
            admin: admin.address,
        };
        let begin = origin.accepts_from().start();
        let restored = Core::restore(kit, fork(&mut rng), progress).await;
        let (core, pulses) = restored.map_err(AppError::Store)?;
        Ok(Self {
            session,
            events,
            origin,
            dns,
            reconciler,
            admin,
            core,
            addresses,
            root,
            store,
            pulses,
            reconciled,
            begin,
            clock,
            handout,
        })
    }

    /// Where it listens.
    pub const fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The key that agents pin.
    pub const fn root(&self) -> PublicKey {
        self.root
    }

    /// Level state of its loop.
    pub fn pulses(&self) -> watch::Receiver<Pulse> {
        self.pulses.clone()
    }

    /// How it is, as the admin listener tells.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.admin.health.subscribe()
    }

    /// Runs until `token` is cancelled, then drains: sessions end first, decisions under way are written, the state file
    /// is closed last. Takes at most [`DRAIN`].
    pub async fn run(self, token: CancellationToken) {
        let tasks = TaskTracker::new();
        // DNS keeps answering while the loop drains; what it shows is still true.
        let (front, back) = (token.child_token(), CancellationToken::new());
        tasks.spawn(self.dns.run(back.clone()));
        tasks.spawn(self.reconciler.run(back.clone()));
        tasks.spawn(self.origin.run(back.clone()));
        let stage = Arc::new(watch::Sender::new(Stage::Starting));
        let watched = Watched {
            pulses: self.pulses,
            reconciled: self.reconciled,
            stage: stage.subscribe(),
            keys: self.handout.all.subscribe(),
            clock: self.clock.clone(),
        };
        let (health, metrics) = (self.admin.health.clone(), Arc::clone(&self.admin.metrics));
        tasks.spawn(watched.watch(health, Arc::clone(&metrics), back.clone()));
        tasks.spawn(self.handout.follow(self.clock.clone(), metrics, back.clone()));
        // A restarted origin refuses challenges older than itself, and challenges carry whole seconds.
        let wait = self.begin.since(self.clock.now());
        let session = self.session.run(front.clone());
        let core = self.core.run(self.events, front.clone());
        let serving = Arc::clone(&stage);
        let session = tasks.spawn(async move {
            tokio::time::sleep(wait).await;
            serving.send_if_modified(|stage| match stage {
                Stage::Starting => {
                    *stage = Stage::Serving;
                    true
                }
                Stage::Serving | Stage::Draining => false,
            });
            session.await;
        });
        let core = tasks.spawn(core);
        token.cancelled().await;
        stage.send_replace(Stage::Draining);
        let deadline = Instant::now() + DRAIN;
        let ends = async {
            // Their results are (); a panic inside one has been reported by the panic hook.
            let _ = tokio::join!(session, core);
            back.cancel();
            tasks.close();
            tasks.wait().await;
            self.admin.close().await;
        };
        if tokio::time::timeout_at(deadline, ends).await.is_err() {
            tracing::warn!("not everything ended within {DRAIN:?}");
            back.cancel();
        }
        self.store.close().await;
    }
}

fn front(config: &Config) -> Result<Option<Front>, AppError> {
    let front = |fronted: &config::Fronted| {
        Ok(Front {
            edge: fronted.edge().map_err(AppError::Fronted)?,
            at: fronted.edge.clone(),
        })
    };
    config.fronted.as_ref().map(front).transpose()
}

/// The rules that a configuration states.
pub fn policy(config: &Config) -> Policy {
    let admission = &config.admission;
    Policy {
        rules: Rules {
            proofs: u32::try_from(admission.proofs).unwrap_or(u32::MAX),
            lease: admission.lease,
            fronted: config.fronted.as_ref().map(|fronted| Fronted {
                port: config.dns.rotation_port,
                required: fronted.required,
            }),
            ..Rules::default()
        },
        pace: Pace {
            spacing: admission.spacing,
            interval: admission.interval,
            liveness_body: admission.liveness_body,
            goodput_body: admission.goodput_body,
        },
        demands: Demands {
            goodput_body: admission.goodput_body,
            goodput_floor: admission.goodput_floor,
            ..Demands::default()
        },
        zone: ZonePlan {
            zone: config.dns.zone.clone(),
            rotation: config.dns.rotation.clone(),
            rotation_port: config.dns.rotation_port,
        },
        retention: config.evidence,
        concurrency: config.probe.concurrency,
        probe_total: config.probe.total,
        receipt_within: config.probe.receipt_within,
        name_kept: admission.keep_name,
        max_peers: admission.max_peers,
    }
}

fn dns_part(config: &Config) -> authoritative::Config {
    authoritative::Config {
        listen: config.dns.listen,
        nameserver: config.dns.nameserver.clone(),
        nameserver_addresses: config.dns.nameserver_addresses.clone(),
        sample: config.dns.sample,
        ..authoritative::Config::default()
    }
}

fn session_part(config: &Config) -> session::Config {
    session::Config {
        listen: config.attester.listen,
        allow_private: config.admission.allow_private,
        ..session::Config::default()
    }
}

/// A generator of its own for a part, seeded from the process's.
fn fork(rng: &mut StdRng) -> StdRng {
    StdRng::from_seed(rng.random())
}

/// The address under which this process reaches its own listener.
fn reachable(bound: SocketAddr) -> SocketAddr {
    match bound {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => (std::net::Ipv4Addr::LOCALHOST, v4.port()).into(),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => (std::net::Ipv6Addr::LOCALHOST, v6.port()).into(),
        specific => specific,
    }
}

/// Longest drain at a stop.
pub const DRAIN: Duration = Duration::from_secs(5);
const RESOLVE_WITHIN: Duration = Duration::from_secs(2);
