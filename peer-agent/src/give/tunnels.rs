//! The table of enproxy tunnels: ids that are open, and ids that have ended and are remembered for a while, so that a late
//! request learns what happened instead of opening a new connection by accident.

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    num::NonZeroU64,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{ReadHalf, WriteHalf},
    sync::OnceCell,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    activity::Activity,
    dial::BoxStream,
    pacer::Pacer,
    quota::{Quota, Seat},
};

/// All enproxy tunnels of a server.
pub(super) struct Tunnels {
    state: Mutex<State>,
    quota: Arc<Quota>,
    idle: Duration,
    linger: Duration,
}

#[derive(Default)]
struct State {
    live: HashMap<String, Arc<Tunnel>>,
    graves: HashMap<String, End>,
    /// Graves in the order in which they are to be forgotten.
    order: VecDeque<(Instant, String)>,
}

/// What became of an id.
pub(super) enum Found {
    /// A tunnel; `fresh` for the request that made it.
    Open { tunnel: Arc<Tunnel>, fresh: bool },
    /// It has ended.
    Ended(End),
    /// It is unknown, and there is no room for another.
    Full,
}

/// How a tunnel ended.
#[derive(Clone, Debug)]
pub(super) enum End {
    /// The destination closed, or has been silent for too long.
    Eof,
    /// Bytes were lost, or there never was a connection.
    Failed(Failure),
}

/// An answer to repeat for as long as the id is remembered.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) status: u16,
    pub(super) text: Arc<str>,
}

impl Failure {
    pub(super) fn new(status: u16, text: impl Into<Arc<str>>) -> Self {
        Self {
            status,
            text: text.into(),
        }
    }
}

/// One tunnel.
pub(super) struct Tunnel {
    id: String,
    ends: OnceCell<Result<Ends, Failure>>,
    pub(super) activity: Activity,
    /// The destination has ended; nothing more will be read from it.
    ended: AtomicBool,
    end: OnceLock<End>,
    closed: CancellationToken,
    _seat: Seat,
}

/// The two directions of a destination's connection. Each is lent to one request at a time, for as long as that runs: two reads at
/// once would tear the stream apart. That is why these locks, unlike all others, are held while waiting.
pub(super) struct Ends {
    pub(super) reader: tokio::sync::Mutex<Reader>,
    pub(super) writer: tokio::sync::Mutex<Writer>,
}

pub(super) struct Reader {
    pub(super) half: ReadHalf<BoxStream>,
    pub(super) pacer: Pacer,
    /// End of stream or an error was seen.
    pub(super) ended: bool,
}

pub(super) struct Writer {
    pub(super) half: WriteHalf<BoxStream>,
    pub(super) pacer: Pacer,
    /// Why nothing more can be written.
    pub(super) failed: Option<Failure>,
}

impl Ends {
    pub(super) fn new(stream: BoxStream, rate: Option<NonZeroU64>) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        Self {
            reader: Reader {
                half: reader,
                pacer: Pacer::new(rate),
                ended: false,
            }
            .into(),
            writer: Writer {
                half: writer,
                pacer: Pacer::new(rate),
                failed: None,
            }
            .into(),
        }
    }
}

impl Tunnel {
    /// The connection; made by `dial` when there is none yet. Requests that come meanwhile wait for the same attempt.
    pub(super) async fn ends(&self, dial: impl Future<Output = Result<Ends, Failure>>) -> Result<&Ends, Failure> {
        self.ends.get_or_init(|| dial).await.as_ref().map_err(Clone::clone)
    }

    /// The destination has ended. The linger time begins.
    pub(super) fn mark_ended(&self) {
        self.activity.touch();
        self.ended.store(true, Ordering::Relaxed);
    }

    /// Is a request at it? Then bytes are on their way, though none may have moved for a while: what becomes of them is to be
    /// told by that request, not by an end of stream.
    fn in_use(&self) -> bool {
        let Some(Ok(ends)) = self.ends.get() else { return false };
        ends.reader.try_lock().is_err() || ends.writer.try_lock().is_err()
    }

    /// Waits until the tunnel is closed, and tells how it ended.
    pub(super) async fn closed(&self) -> End {
        self.closed.cancelled().await;
        self.end.get().cloned().unwrap_or(End::Eof)
    }

    fn idle_for(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.activity.last())
    }

    fn close(&self, end: End) {
        // The first end is the one that counts.
        let _ = self.end.set(end);
        self.closed.cancel();
    }
}

impl Tunnels {
    pub(super) fn new(quota: Arc<Quota>, idle: Duration, linger: Duration) -> Self {
        Self {
            state: Mutex::default(),
            quota,
            idle,
            linger,
        }
    }

    /// Looks an id up; an unknown one becomes a tunnel that is to be connected.
    pub(super) fn find(&self, id: &str, source: IpAddr) -> Found {
        let mut state = self.lock();
        state.forget(Instant::now());
        if let Some(end) = state.graves.get(id) {
            return Found::Ended(end.clone());
        }
        if let Some(tunnel) = state.live.get(id) {
            return Found::Open {
                tunnel: Arc::clone(tunnel),
                fresh: false,
            };
        }
        let Some(seat) = self.quota.take(source) else {
            return Found::Full;
        };
        let tunnel = Arc::new(Tunnel {
            id: id.to_owned(),
            ends: OnceCell::new(),
            activity: Activity::new(),
            ended: AtomicBool::new(false),
            end: OnceLock::new(),
            closed: CancellationToken::new(),
            _seat: seat,
        });
        state.live.insert(id.to_owned(), Arc::clone(&tunnel));
        Found::Open { tunnel, fresh: true }
    }

    /// Closes a tunnel and remembers how it ended.
    pub(super) fn bury(&self, tunnel: &Arc<Tunnel>, end: End) {
        let mut state = self.lock();
        if state.live.get(&tunnel.id).is_some_and(|live| Arc::ptr_eq(live, tunnel)) {
            state.live.remove(&tunnel.id);
            state.remember(tunnel.id.clone(), end.clone(), Instant::now() + self.idle);
        }
        drop(state);
        tunnel.close(end);
    }

    /// Closes what has been idle for too long. Called about once a second.
    pub(super) fn sweep(&self) {
        let now = Instant::now();
        let mut state = self.lock();
        state.forget(now);
        let (idle, linger) = (self.idle, self.linger);
        let over = |tunnel: &Arc<Tunnel>| {
            let lingers = tunnel.ended.load(Ordering::Relaxed) && !tunnel.in_use();
            tunnel.idle_for(now) >= if lingers { linger.min(idle) } else { idle }
        };
        let closing: Vec<Arc<Tunnel>> = state
            .live
            .extract_if(|_, tunnel| over(tunnel))
            .map(|(_, tunnel)| tunnel)
            .collect();
        for tunnel in &closing {
            // Without a stone for those that were merely idle: as in every real server, the next request begins anew.
            if tunnel.ended.load(Ordering::Relaxed) {
                let rest = self.idle.saturating_sub(tunnel.idle_for(now));
                state.remember(tunnel.id.clone(), End::Eof, now + rest);
            }
        }
        drop(state);
        closing.iter().for_each(|tunnel| tunnel.close(End::Eof));
    }

    /// Closes everything.
    pub(super) fn clear(&self) {
        let live = std::mem::take(&mut *self.lock()).live;
        live.values().for_each(|tunnel| tunnel.close(End::Eof));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn remember(&mut self, id: String, end: End, until: Instant) {
        while self.order.len() >= MAX_GRAVES {
            self.forget_oldest();
        }
        self.graves.insert(id.clone(), end);
        self.order.push_back((until, id));
    }

    /// Drops graves whose time is over. The order is that of burial, which differs from that of time by the linger at most.
    fn forget(&mut self, now: Instant) {
        while self.order.front().is_some_and(|(until, _)| *until <= now) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, id)) = self.order.pop_front() {
            self.graves.remove(&id);
        }
    }
}

/// Most ended ids that are remembered; the oldest is forgotten first.
const MAX_GRAVES: usize = 4096;

#[cfg(test)]
mod tests;
