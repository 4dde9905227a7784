//! How a peer is put together: an agent or a rogue, a give mode server, and what stands at its port.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use peer_agent::{
    Agent, AgentConfig, Backoff, Endpoint, Identity, Tap,
    give::{self, DirectDial, Give, Policy},
};
use proto::ids::Pin;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::Plan;
use crate::{
    behaviour::{Agency, Entrance, Trick},
    carry::Carrier,
    cue::{Cue, Told},
    door::{self, Door},
    rogue::{Accomplice, Rogue},
    tls,
};

/// What a plan has become.
pub(super) struct Booted {
    pub(super) agent: Option<Agent>,
    pub(super) stop: CancellationToken,
    pub(super) give: JoinHandle<()>,
    pub(super) sessions: Option<Arc<AtomicUsize>>,
}

impl Plan {
    /// Starts everything on the current runtime.
    pub(super) async fn boot(self) -> anyhow::Result<Booted> {
        // The agent needs the pin, and the server needs the agent's tap: the key is made first.
        let pin = Give::bind(self.server((self.address.ip(), 0).into()), Tap::disconnected())?.pin();
        let (agent, accomplice) = self.agency(pin)?;
        let told = match (&agent, &accomplice) {
            (Some(agent), _) => Told::Agent(agent.changes()),
            (None, Some(accomplice)) => Told::Rogue(accomplice.stage.clone()),
            (None, None) => anyhow::bail!("a peer has an agent or a rogue"),
        };
        let cue = Cue::new(told, self.parts.since, self.also.clone());
        // Notices the moment even when nobody asks.
        let mut watched = cue.clone();
        tokio::spawn(async move { watched.comes().await });
        let sessions = accomplice.as_ref().map(|accomplice| Arc::clone(&accomplice.sessions));
        let tap = match (&agent, self.parts.agency) {
            (Some(agent), Agency::Agent) => agent.tap(),
            _ => Tap::disconnected(),
        };
        let listen = match self.parts.entrance {
            Entrance::Give => self.address,
            _ => (self.address.ip(), 0).into(),
        };
        let mut give = Give::bind(self.server(listen), tap)?;
        if let Some(agent) = &agent {
            give = give.named_by(agent.changes());
        }
        if self.parts.bend.is_some() || accomplice.is_some() {
            give = give.dialing(Arc::new(self.carrier(cue.clone(), accomplice)));
        }
        self.enter(give.addr(), cue).await?;
        let stop = CancellationToken::new();
        let give = tokio::spawn(give.run(stop.clone()));
        Ok(Booted {
            agent,
            stop,
            give,
            sessions,
        })
    }

    fn server(&self, listen: SocketAddr) -> give::Config {
        give::Config {
            listen,
            state: self.folder.clone(),
            bind: Some(self.address.ip()),
            allow_private: true,
            token: self.parts.token.map(str::to_owned),
            rate: self.parts.rate,
            proxy_host: self.proxy_host.clone(),
            limits: give::Limits {
                drain: Duration::from_millis(500),
                ..give::Limits::default()
            },
            ..give::Config::default()
        }
    }

    fn agency(&self, pin: Pin) -> anyhow::Result<(Option<Agent>, Option<Accomplice>)> {
        if let Agency::Rogue(lie) = self.parts.agency {
            let rogue = Rogue {
                lie,
                since: self.parts.since,
                also: self.also.clone(),
                key: self.key.clone(),
                address: self.address,
                attester: self.attester,
                protocols: self.parts.protocols(),
                pin,
                token: self.parts.token.unwrap_or_default().to_owned(),
            };
            return Ok((None, Some(rogue.start())));
        }
        let pin = if self.parts.agency == Agency::OtherPin {
            Pin::from_bytes([7; 32])
        } else {
            pin
        };
        let identity = Identity::File(self.folder.join("peer.key"));
        let claimed = match self.parts.agency {
            Agency::Elsewhere => self.other.unwrap_or(self.address),
            _ => self.address,
        };
        let config = AgentConfig::new(vec![Endpoint::from(self.attester)], self.root, identity, claimed, pin);
        let config = AgentConfig {
            protocols: self.parts.protocols(),
            connect_token: self.parts.token.filter(|_| self.parts.tells_token).map(str::to_owned),
            bind: Some(self.address.ip()),
            keyset: Some(self.folder.join("peer.keyset")),
            backoff: Backoff {
                base: Duration::from_millis(100),
                cap: Duration::from_secs(1),
            },
            ..config
        };
        Ok((Some(Agent::start(config, rand::rng())?), None))
    }

    fn carrier(&self, cue: Cue, accomplice: Option<Accomplice>) -> Carrier {
        Carrier {
            direct: DirectDial {
                public: None,
                policy: Policy {
                    allow_private: true,
                    ports: Vec::new(),
                },
                bind: Some(self.address.ip()),
            },
            address: self.address,
            bend: self.parts.bend,
            cue,
            exit: self.other,
            witness: accomplice.map(|accomplice| accomplice.witness),
            key: self.key.clone(),
            recorded: Arc::clone(&self.recorded),
            count: AtomicUsize::new(0),
        }
    }

    /// Puts at the registered port what clients shall meet there.
    async fn enter(&self, inner: SocketAddr, cue: Cue) -> anyhow::Result<()> {
        match self.parts.entrance {
            Entrance::Give | Entrance::Nothing => {}
            Entrance::Plain => {
                tokio::spawn(door::plain(door::listen(self.address)?));
            }
            Entrance::Full => {
                let listener = door::listen(self.address)?;
                let full = (door::fill(&listener).await?, listener);
                tokio::spawn(async move {
                    std::future::pending::<()>().await;
                    drop(full);
                });
            }
            Entrance::Door(trick) => {
                let tls = match trick {
                    Trick::OtherKey => tls::fresh_acceptor(&[])?,
                    _ => tls::acceptor_of(&self.folder)?,
                };
                let listener = door::listen(self.address)?;
                tokio::spawn(
                    Door {
                        listener,
                        inner,
                        trick,
                        cue,
                        tls,
                    }
                    .run(),
                );
            }
        }
        Ok(())
    }
}
