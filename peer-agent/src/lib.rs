//! The self-test module of a give mode peer: it keeps a session with an attester, watches the probes that the attester sends
//! through the peer, and signs what it saw. What the attester concluded, the host can read and show.
//!
//! A host starts an [`Agent`], asks its [`Tap`] about each outbound flow, and reports the bytes of those few that the tap
//! wants to see:
//!
//! ```no_run
//! use peer_agent::{Agent, AgentConfig, FlowEnd, Identity, Tap};
//! use tokio::{io, io::{AsyncReadExt, AsyncWriteExt}, net::TcpStream};
//!
//! /// What the proxy did before: the client's request goes out, the answer comes back. New are the lines with `flow`.
//! async fn proxy(client: &mut TcpStream, destination: &str, request: &[u8], tap: &Tap) -> io::Result<()> {
//!     let mut server = TcpStream::connect(destination).await?;
//!     let mut flow = tap.flow(destination);
//!     server.write_all(request).await?;
//!     if let Some(flow) = &mut flow { flow.up(request) }
//!     let mut buffer = vec![0; 16 << 10];
//!     loop {
//!         match server.read(&mut buffer).await? {
//!             0 => break,
//!             n => {
//!                 if let Some(flow) = &mut flow { flow.down(&buffer[..n]) }
//!                 client.write_all(&buffer[..n]).await?;
//!             }
//!         }
//!     }
//!     if let Some(flow) = flow { flow.end(FlowEnd::DestinationEof) }
//!     Ok(())
//! }
//!
//! # async fn host(pin: proto::ids::Pin) -> Result<(), Box<dyn std::error::Error>> {
//! let config = AgentConfig::new(
//!     vec!["attester.example:7443".parse()?],
//!     "ed25519:rkeohxlubhyzl7ks3mwtzos5olfgocn7dwkbeg7toseadnapn5oa".parse()?,
//!     Identity::File("peer.key".into()),
//!     "203.0.113.7:443".parse()?,
//!     pin,
//! );
//! let agent = Agent::start(config, rand::rng())?;
//! let (tap, mut changes) = (agent.tap(), agent.changes());
//! while changes.changed().await.is_ok() {
//!     let standing = changes.borrow_and_update().clone();
//!     println!("{}: {}", standing.state, standing.remedy.unwrap_or_default());
//! }
//! agent.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! Feature `give` (on by default) adds a complete give mode proxy server and the stand-alone program `peer-agent`.

use std::{sync::Arc, time::Duration};

use proto::{
    claims::Chain,
    ids::{Address, PeerId},
};
use rand::{CryptoRng, SeedableRng, rngs::StdRng};
use tokio::{
    runtime::Handle,
    sync::{Notify, watch},
    task::JoinHandle, time::timeout};

use self::{
    identity::Opened,
    remembered::Remembered,
    session::{Driver, Profile, Retests, Token, Wish},
};

pub mod config;
mod error;
#[doc(hidden)]
pub mod fuzzing;
#[cfg(feature = "give")]
pub mod give;
pub mod identity;
pub mod metrics;
mod remembered;
#[cfg(test)]
mod samples;
mod session;
mod standing;
pub mod tap;
mod trust;

pub use self::{
    config::{AgentConfig, AgentSection, Backoff, Endpoint},
    error::AgentError,
    identity::Identity,
    metrics::Metrics,
    remembered::KeysetFileError,
    standing::{Standing, State},
    tap::{Flow, FlowEnd, Tap},
};

/// A running agent. Dropped, it says goodbye by itself if the runtime goes on; [`Agent::stop`] waits for that.
#[derive(Debug)]
pub struct Agent {
    peer_id: PeerId,
    tap: Tap,
    standing: watch::Receiver<Standing>,
    wishes: watch::Sender<Wish>,
    retests: Arc<Notify>,
    metrics: Arc<Metrics>,
    task: Option<JoinHandle<()>>,
}

impl Agent {
    /// Starts an agent on the current tokio runtime. It connects by itself, and again whenever a session ends.
    ///
    /// `rng` makes the identity, if there is none yet, and the waits between attempts.
    ///
    /// # Errors
    /// When a setting cannot work, the identity cannot be read or made, or there is no runtime. An attester that cannot be
    /// reached is no error: [`Agent::standing`] tells.
    pub fn start(config: AgentConfig, mut rng: impl CryptoRng) -> Result<Self, AgentError> {
        let runtime = Handle::try_current().map_err(|_| AgentError::Runtime)?;
        config.check()?;
        let Opened {
            key,
            mut successions,
            held,
        } = config.identity.open(&mut rng)?;
        if !config.successions.is_empty() {
            successions.clone_from(&config.successions);
        }
        Chain::verify(successions.clone(), &key.public()).map_err(AgentError::Chain)?;
        let remembered = Remembered::open(config.keyset.clone(), &config.root).map_err(AgentError::KeysetFile)?;
        let peer_id = key.public().peer_id();
        let metrics = Arc::<Metrics>::default();
        let (tap, finished) = Tap::connected(config.clock.clone(), Arc::clone(&metrics));
        let (standing_sender, standing) = watch::channel(Standing::new(peer_id.clone(), config.attesters.first()));
        let (wishes, wishes_receiver) = watch::channel(Wish::Run);
        let retests = Arc::<Notify>::default();
        let profile = Profile {
            key,
            root: config.root,
            address: Address(config.address),
            protocols: config.protocols.clone(),
            pin: config.pin,
            connect_token: config.connect_token.clone().map(Token),
            software: config.software.clone(),
            successions,
        };
        let driver = Driver {
            profile: Arc::new(profile),
            config,
            tap: tap.clone(),
            finished,
            standing: standing_sender,
            wishes: wishes_receiver,
            retests: Retests::new(Arc::clone(&retests)),
            rng: StdRng::from_rng(&mut rng),
            metrics: Arc::clone(&metrics),
            failures: 0,
            rejected: false,
            turn: 0,
            remembered,
            _held: held,
        };
        let task = Some(runtime.spawn(driver.run()));
        Ok(Self {
            peer_id,
            tap,
            standing,
            wishes,
            retests,
            metrics,
            task,
        })
    }

    /// The peer's id.
    pub const fn peer_id(&self) -> &PeerId {
        &self.peer_id
    }

    /// Where to report outbound flows.
    pub fn tap(&self) -> Tap {
        self.tap.clone()
    }

    /// Where the peer stands now.
    pub fn standing(&self) -> Standing {
        self.standing.borrow().clone()
    }

    /// Tells each change of [`Agent::standing`]; changes in quick succession may be told as one.
    pub fn changes(&self) -> watch::Receiver<Standing> {
        self.standing.clone()
    }

    /// What the agent has done so far.
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    /// Says goodbye and waits: the peer leaves every rotation at once, without penalty.
    pub fn pause(&self) {
        self.wish(Wish::Pause);
    }

    /// Ends a pause.
    pub fn resume(&self) {
        self.wish(Wish::Run);
    }

    /// Asks for a probe soon, for a host whose owner has mended something. An agent that waits for its next attempt tries at
    /// once; in a session the attester is asked, which then probes as soon as it would probe anybody. Asked again within 10 s
    /// (5 s without a session) it is done when they have passed. A paused agent stays paused.
    pub fn retest(&self) {
        self.retests.notify_one();
    }

    /// Says goodbye and ends, within 2 s.
    pub async fn stop(mut self) {
        self.wish(Wish::Stop);
        if let Some(mut task) = self.task.take()
            && timeout(STOP, &mut task).await.is_err()
        {
            task.abort();
            let _ = task.await;
        }
    }

    fn wish(&self, wish: Wish) {
        self.wishes
            .send_if_modified(|wished| std::mem::replace(wished, wish) != wish);
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.wish(Wish::Stop);
    }
}

/// How long a stop may take.
const STOP: Duration = Duration::from_secs(2);
