//! For the `fuzz` crate only, and no part of the interface: one session without a connection. `Conversation` itself
//! runs, over the bytes of a gRPC stream that is made by hand.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, atomic::AtomicU64},
};

use bytes::Bytes;
use http_body_util::StreamBody;
use hyper::body::Frame;
use proto::{
    attest::{ToAgent, ToAttester},
    ids::ChannelBinding,
    time::Clock,
};
use rand::{SeedableRng, rngs::StdRng};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::Instant,
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{Status, Streaming, codec::Codec};

use super::{
    Limits, SessionEvent, SessionKeys, Shared,
    connection::Connection,
    conversation::Conversation,
    link::{Link, OUTBOUND, Outgoing},
    pace::Pace,
    service::{BURST, MAX_MESSAGE, SmallBuffers},
};

/// What a session begins with.
#[derive(Clone, Debug)]
pub struct Setting {
    /// What the attester says of itself.
    pub keys: SessionKeys,
    /// Its clock.
    pub clock: Clock,
    /// Where the connection comes from.
    pub source: SocketAddr,
    /// Its channel binding.
    pub binding: ChannelBinding,
    /// Whether reserved addresses may be registered.
    pub allow_private: bool,
}

/// A session, seen from the agent's end of the stream and from the core.
pub struct Talk {
    /// What the agent sends: the bytes of gRPC's frames, cut anyhow. Dropped, it ends the stream.
    pub say: Option<mpsc::Sender<Result<Bytes, Status>>>,
    /// What the agent hears, up to the status that ends the stream.
    pub heard: mpsc::Receiver<Outgoing>,
    /// What the core is told.
    pub events: mpsc::Receiver<SessionEvent>,
    /// Ends with the session.
    pub task: JoinHandle<()>,
    connection: Arc<Connection>,
    stopping: CancellationToken,
}

impl Talk {
    /// Begins a session, on the current runtime.
    pub fn start(setting: Setting) -> Self {
        let (events, told) = mpsc::channel(64);
        let (_, keys) = watch::channel(Arc::new(setting.keys));
        let limits = Limits::default();
        let stopping = CancellationToken::new();
        let shared = Arc::new(Shared {
            keys,
            clock: setting.clock,
            rng: Mutex::new(StdRng::seed_from_u64(0)),
            events,
            limits,
            allow_private: setting.allow_private,
            last_id: AtomicU64::new(0),
            tasks: TaskTracker::new(),
            stopping: stopping.clone(),
            metrics: Arc::default(),
        });
        let connection = Arc::new(Connection::new(
            setting.source,
            setting.binding,
            None,
            CancellationToken::new(),
        ));
        let (say, said) = mpsc::channel(64);
        let (outbound, heard) = mpsc::channel(OUTBOUND);
        let conversation = Conversation {
            link: Arc::new(Link::new(shared.next_id(), outbound, shared.keys.clone())),
            connection: Arc::clone(&connection),
            inbound: stream(said),
            pace: Pace::new(Instant::now(), limits.pace, BURST),
            peer: None,
            asked: None,
            shared,
        };
        Self {
            say: Some(say),
            heard,
            events: told,
            task: tokio::spawn(conversation.run()),
            connection,
            stopping,
        }
    }

    /// The connection is gone.
    pub fn lose_connection(&self) {
        self.connection.gone.cancel();
    }

    /// Whether the attester wants the connection closed.
    pub fn is_aborted(&self) -> bool {
        self.connection.abort.is_cancelled()
    }

    /// The whole server stops.
    pub fn stop(&self) {
        self.stopping.cancel();
    }
}

/// What the agent hears, as the crate sends it.
pub type Heard = Result<ToAgent, Status>;

fn stream(said: mpsc::Receiver<Result<Bytes, Status>>) -> Streaming<ToAttester> {
    use tokio_stream::StreamExt;

    let frames = ReceiverStream::new(said).map(|bytes| bytes.map(Frame::data));
    Streaming::new_request(SmallBuffers.decoder(), StreamBody::new(frames), None, Some(MAX_MESSAGE))
}
