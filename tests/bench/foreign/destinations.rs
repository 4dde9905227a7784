//! Where probes and checks lead: the real origin, and a site whose heads are as long.

use std::{net::SocketAddr, sync::Arc};

use anyhow::ensure;
use attester::{
    flashlight::Job,
    origin::{Arrivals, Config, Origin, OriginKeys},
};
use proto::{
    claims::Protocol,
    ids::{Destination, Nonce},
    key::SigningKey,
    time::Clock,
};
use rand::{SeedableRng, rngs::StdRng};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tokio_util::sync::CancellationToken;

use crate::{mint::Mint, rig::LIVENESS};

/// Both run on the runtime that they were started on, and end with it.
pub(super) struct Destinations {
    mint: Mint,
    destination: Destination,
    arrivals: Arrivals,
    clock: Clock,
    site: SocketAddr,
    _keys: watch::Sender<Arc<OriginKeys>>,
}

/// Probes that are ready to be sent.
#[derive(Clone)]
pub(super) struct Probes {
    pub(super) jobs: Vec<Job>,
    nonces: Vec<Nonce>,
}

impl Destinations {
    pub(super) async fn start() -> anyhow::Result<Self> {
        let mut rng = StdRng::from_rng(&mut rand::rng());
        let (clock, mint) = (Clock::system(), Mint::new(&mut rng));
        let (keys, seen_keys) = watch::channel(Arc::new(OriginKeys {
            keyset: mint.keyset(clock.now()),
            origin: mint.origin.clone(),
        }));
        let config = Config {
            listen: ([127, 0, 0, 1], 0).into(),
            ..Config::default()
        };
        let origin = Origin::bind(&config, seen_keys, clock.clone(), &mut rng).await?;
        let (destination, arrivals) = (origin.destination().clone(), origin.arrivals());
        // It refuses challenges that may be older than itself.
        let begin = origin.accepts_from().start();
        tokio::time::sleep(begin.since(clock.now())).await;
        tokio::spawn(origin.run(CancellationToken::new()));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let site = listener.local_addr()?;
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A client that gets no answer tells.
                tokio::spawn(async move { answer(stream).await.ok() });
            }
        });
        Ok(Self {
            mint,
            destination,
            arrivals,
            clock,
            site,
            _keys: keys,
        })
    }

    /// What the Go client asks for.
    pub(super) fn site(&self) -> String {
        format!("http://{}/", self.site)
    }

    /// So many probes of a liveness body each.
    pub(super) fn probes(&self, count: usize) -> anyhow::Result<Probes> {
        self.probes_of(count, LIVENESS)
    }

    /// So many probes of bodies of this length.
    pub(super) fn probes_of(&self, count: usize, body: u64) -> anyhow::Result<Probes> {
        let mut rng = StdRng::from_rng(&mut rand::rng());
        let subject = SigningKey::from_seed(&[9; 32]).public().thumbprint();
        let down = proto::probe::ORIGIN_HEAD as u64 + body;
        let (mut jobs, mut nonces) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let probe = self
                .mint
                .probe(subject, &self.destination, down, self.clock.now(), &mut rng)?;
            nonces.push(probe.nonce);
            jobs.push(Job {
                protocol: Protocol::Enproxy,
                destination: self.destination.clone(),
                request: probe.request,
                expected_down: down,
            });
        }
        Ok(Probes { jobs, nonces })
    }

    /// Whether each of them arrived once.
    pub(super) fn check(&self, probes: &Probes) -> anyhow::Result<()> {
        for nonce in &probes.nonces {
            let arrival = self.arrivals.redeemed(nonce);
            ensure!(
                arrival.is_some_and(|arrival| arrival.statement.is_some() && arrival.repeats == 0),
                "a probe did not reach the origin once"
            );
        }
        Ok(())
    }
}

async fn answer(mut stream: TcpStream) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let mut request = Vec::with_capacity(1024);
    while !request.ends_with(b"\r\n\r\n") {
        ensure!(stream.read_buf(&mut request).await? > 0, "the client hung up");
    }
    let mut answer =
        format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {LIVENESS}\r\nX-Pad: ").into_bytes();
    answer.resize(proto::probe::ORIGIN_HEAD - 4, b'-');
    answer.extend_from_slice(b"\r\n\r\n");
    ensure!(request.starts_with(b"HEAD "), "peerscanner asks for a head");
    stream.write_all(&answer).await?;
    Ok(stream.shutdown().await?)
}
