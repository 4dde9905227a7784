//! A real agent with a session to a real session server; the bench decides what is announced.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use attester::session::{self, Registered, SessionEvent, SessionHandle, SessionKeys, SessionServer, Ticket};
use peer_agent::{Agent, AgentConfig, Identity, Tap};
use proto::{
    checked::{Signed, sign},
    claims::{FlowEnd, Receipt},
    ids::{Destination, Digest, Pin},
    key::{PublicKey, SigningKey},
    time::Clock,
};
use rand::{SeedableRng, rngs::StdRng};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, timeout},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::DESTINATION;
use crate::mint::{Mint, Probe};

pub(crate) struct Session<A = Agent> {
    mint: Mint,
    key: SigningKey,
    agent: A,
    handle: SessionHandle,
    destination: Destination,
    clock: Clock,
    rng: StdRng,
    /// Kept so that neither side believes the other gone.
    _events: mpsc::Receiver<SessionEvent>,
    _keys: watch::Sender<Arc<SessionKeys>>,
    /// Ends the server.
    stop: DropGuard,
}

/// An announcement that the agent has acknowledged.
pub(crate) struct Armed {
    probe: Probe,
    ticket: Ticket,
}

impl Armed {
    /// What its flow opens with.
    pub(crate) fn request(&self) -> &[u8] {
        &self.probe.request
    }
}

impl Session {
    pub(super) async fn start() -> anyhow::Result<Self> {
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, 443));
        let start = |attester: SocketAddr, root, key| {
            let config = AgentConfig::new(
                vec![attester.into()],
                root,
                Identity::Key(key),
                at,
                Pin::from_bytes([0; 32]),
            );
            Ok(Agent::start(config, rand::rng())?)
        };
        Self::with(start).await
    }

    pub(super) fn tap(&self) -> Tap {
        self.agent.tap()
    }

    pub(super) async fn stop(self) {
        self.agent.stop().await;
        drop(self.stop);
    }
}

impl<A> Session<A> {
    /// With an agent that `start` starts: for the attester at this address with this root key, with this key of its own.
    pub(crate) async fn with(
        start: impl FnOnce(SocketAddr, PublicKey, SigningKey) -> anyhow::Result<A>,
    ) -> anyhow::Result<Self> {
        let (clock, mut rng) = (Clock::system(), StdRng::from_rng(&mut rand::rng()));
        let (mint, key) = (Mint::new(&mut rng), SigningKey::generate(&mut rng));
        let keys = SessionKeys {
            keyset: sign(&mint.keyset(clock.now()), &mint.root)?.into(),
            attester: mint.attester.clone(),
        };
        let (keys, seen_keys) = watch::channel(Arc::new(keys));
        let mut config = session::Config {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            allow_private: true,
            ..session::Config::default()
        };
        // Flow follows flow, and each takes two messages.
        config.limits.pace = Duration::from_micros(1);
        let server_rng = StdRng::from_rng(&mut rng);
        let (server, mut events) = SessionServer::bind(&config, seen_keys, clock.clone(), server_rng).await?;
        let stop = CancellationToken::new();
        let address = server.addr();
        tokio::spawn(server.run(stop.clone()));
        let agent = start(address, mint.root.public(), key.clone())?;
        let handle = timeout(PATIENCE, registered(&mut events))
            .await
            .context("the agent does not register")??;
        Ok(Self {
            mint,
            key,
            agent,
            handle,
            destination: DESTINATION.parse()?,
            clock,
            rng,
            _events: events,
            _keys: keys,
            stop: stop.drop_guard(),
        })
    }

    pub(crate) const fn agent(&self) -> &A {
        &self.agent
    }

    /// Announces a flow that brings `down` bytes, and waits until the tap is armed.
    pub(crate) async fn arm(&mut self, down: u64) -> anyhow::Result<Armed> {
        let (me, now) = (self.key.public().thumbprint(), self.clock.now());
        let probe = self.mint.probe(me, &self.destination, down, now, &mut self.rng)?;
        let told = |finding: attester::model::Finding| anyhow::anyhow!("{finding}");
        let mut ticket = self
            .handle
            .announce(probe.id, probe.announcement.clone())
            .map_err(told)?;
        ticket.acked(Instant::now() + PATIENCE).await.map_err(told)?;
        Ok(Armed { probe, ticket })
    }

    /// Waits for the receipt: it must say that exactly these bytes went through.
    pub(crate) async fn check(&self, armed: Armed, down: Digest) -> anyhow::Result<()> {
        let told = |finding: attester::model::Finding| anyhow::anyhow!("{finding}");
        let (receipt, _) = armed.ticket.receipt(Instant::now() + PATIENCE).await.map_err(told)?;
        let receipt = Signed::<Receipt>::parse(&receipt)?
            .verify(&self.key.public())?
            .dangerously_at_any_time();
        ensure!(
            (receipt.probe, receipt.end, receipt.down_digest) == (armed.probe.id, FlowEnd::Lengths, down)
                && receipt.up == armed.probe.request.len() as u64,
            "the receipt says {receipt:?}"
        );
        Ok(())
    }
}

/// The one agent, accepted.
async fn registered(events: &mut mpsc::Receiver<SessionEvent>) -> anyhow::Result<SessionHandle> {
    match events.recv().await.context("the session server has ended")? {
        SessionEvent::Register(register) => {
            let (handle, peer_id) = (register.handle, register.registration.subject.peer_id());
            let own_name = peer_id.own_name("bench.test");
            let answered = register.answer.send(Ok(Registered { peer_id, own_name }));
            answered.map_err(|finding| anyhow::anyhow!("{finding}"))?;
            Ok(handle)
        }
        SessionEvent::Rejected { finding, .. } => bail!("rejected: {finding}"),
        other => bail!("{other:?} instead of a registration"),
    }
}

const PATIENCE: Duration = Duration::from_secs(10);
