//! The self-test module of a give mode peer: it keeps a session with an attester, watches the probes that the attester sends
//! through the peer, and signs what it saw. What the attester concluded, the host can read and show.
//!
//! A host starts an [`Agent`] and lays its [`Tap`] around each connection that it opens for a client:
//!
//! ```
//! use peer_agent::Tap;
//! use tokio::{io, net::{TcpListener, TcpStream}};
//!
//! /// A proxy as it was before but for one line, the one with the tap.
//! async fn carry(mut client: TcpStream, destination: &str, tap: &Tap) -> io::Result<(u64, u64)> {
//!     let server = TcpStream::connect(destination).await?;
//!     let mut server = tap.wrap(destination, server);
//!     io::copy_bidirectional(&mut client, &mut server).await
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> io::Result<()> {
//! # let (echo, proxy) = (TcpListener::bind("127.0.0.1:0").await?, TcpListener::bind("127.0.0.1:0").await?);
//! # let (destination, through) = (echo.local_addr()?.to_string(), proxy.local_addr()?);
//! # let answer = async {
//! #     let (mut read, mut write) = echo.accept().await?.0.into_split();
//! #     io::copy(&mut read, &mut write).await
//! # };
//! # let proxied = async { carry(proxy.accept().await?.0, &destination, &Tap::disconnected()).await };
//! # let ask = async {
//! #     use io::{AsyncReadExt, AsyncWriteExt};
//! #     let mut client = TcpStream::connect(through).await?;
//! #     client.write_all(b"hello").await?;
//! #     client.shutdown().await?;
//! #     let mut heard = String::new();
//! #     client.read_to_string(&mut heard).await?;
//! #     io::Result::Ok(heard)
//! # };
//! # let (_, carried, heard) = tokio::try_join!(answer, proxied, ask)?;
//! # assert_eq!((carried, heard.as_str()), ((5, 5), "hello"));
//! # Ok(())
//! # }
//! ```
//!
//! The agent itself is started once. It connects, registers and answers by itself; the host can show what comes of it:
//!
//! ```no_run
//! use peer_agent::{Agent, AgentConfig, Identity, Pin};
//!
//! # async fn host(pin: Pin) -> Result<(), Box<dyn std::error::Error>> {
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
//! A host whose connections are not tokio's asks the tap about each flow ([`Tap::flow`]) and reports the bytes of those few that it
//! wants to see. One that is not written in Rust has the C interface in `capi`, and the Go package beside it.
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
    task::JoinHandle,
    time::timeout,
};

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
    tap::{Flow, FlowEnd, Tap, Tapped},
};
pub use proto::{
    claims::{Protocol, Protocols},
    ids::Pin,
    key::{PublicKey, SigningKey},
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
        let task = Some(runtime.spawn(driver.supervised()));
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
