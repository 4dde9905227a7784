//! The observer in the byte path: a host hands each outbound flow's bytes to a [`Tap`], which counts and hashes those
//! that belong to an announced probe, and nothing else.
//!
//! When nothing is announced a flow costs one atomic load. The tap never blocks the host and never fails: what it cannot
//! keep is dropped and counted.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use proto::{claims, ids::ProbeId, time::Clock};
use tokio::sync::mpsc;

use self::ledger::{Expectation, Finished, Ledger, Progress, Recognised};
use crate::metrics::Metrics;

pub(crate) mod ledger;
mod stream;

pub use self::stream::Tapped;

/// Where a host reports its outbound flows. Clones report to the same agent.
#[derive(Clone, Debug)]
pub struct Tap {
    shared: Arc<Shared>,
}

/// One outbound flow that the tap looks at. Dropped without [`Flow::end`], it counts as closed by the host.
#[derive(Debug)]
pub struct Flow {
    shared: Arc<Shared>,
    destination: Box<str>,
    ledger: Option<Arc<Mutex<Ledger>>>,
}

/// Why a flow ended, as the host saw it. A read from the destination that timed out has not ended the flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowEnd {
    /// The destination closed its side.
    DestinationEof,
    /// The connection to the destination failed.
    DestinationError,
    /// The host closed the connection to the destination, whatever its reason.
    Closed,
}

impl Tap {
    /// A tap without an agent: it looks at nothing. For hosts that run without an attester, and for tests.
    pub fn disconnected() -> Self {
        Self::connected(Clock::system(), Arc::default()).0
    }

    /// A tap and the queue of the flows that it recognised, ended.
    pub(crate) fn connected(clock: Clock, metrics: Arc<Metrics>) -> (Self, mpsc::Receiver<Finished>) {
        let (finished, queue) = mpsc::channel(QUEUE);
        let (waiting, armed) = (AtomicUsize::new(0), Mutex::default());
        (
            Self {
                shared: Arc::new(Shared {
                    waiting,
                    armed,
                    finished,
                    clock,
                    metrics,
                }),
            },
            queue,
        )
    }

    /// Whether a probe is expected anywhere now: one atomic load.
    pub fn is_waiting(&self) -> bool {
        self.shared.waiting.load(Ordering::Acquire) != 0
    }

    /// Whether a probe is expected at `destination` now: whether [`Tap::flow`] would give a flow.
    pub fn is_armed(&self, destination: &str) -> bool {
        self.is_waiting()
            && self
                .shared
                .armed()
                .list
                .iter()
                .any(|armed| armed.waits_for(destination))
    }

    /// Lays the tap around the connection that the host opened to `destination` (the `host:port` exactly as its client sent it).
    /// For a host whose connections are tokio's, this is all there is to do.
    pub fn wrap<S>(&self, destination: &str, stream: S) -> Tapped<S> {
        Tapped::new(stream, self.flow(destination))
    }

    /// Asks whether to report a flow that the host opens to `destination` (the `host:port` exactly as its client
    /// sent it). `None`, nearly always: no probe is expected there, and the host need not report the flow.
    pub fn flow(&self, destination: &str) -> Option<Flow> {
        if !self.is_waiting() {
            return None;
        }
        self.shared
            .armed()
            .list
            .iter()
            .find(|armed| armed.waits_for(destination))?;
        self.shared.metrics.flows_watched.add_one();
        let ledger = Some(Arc::new(Mutex::new(Ledger::new(self.shared.clock.now()))));
        Some(Flow {
            shared: Arc::clone(&self.shared),
            destination: destination.into(),
            ledger,
        })
    }

    /// Arms the tap for one flow. Every probe is armed once: its announcement yields one receipt at most.
    pub(crate) fn arm(&self, expectation: Expectation) -> Result<(), ArmError> {
        let mut armed = self.shared.armed();
        let probe = expectation.announcement.probe;
        if armed.seen.contains(&probe) {
            return Err(ArmError::Repeated);
        }
        if armed.list.len() >= MAX_ARMED {
            return Err(ArmError::Full);
        }
        if armed.seen.len() >= MAX_SEEN {
            armed.seen.remove(0);
        }
        armed.seen.push(probe);
        armed.list.push(Armed {
            expectation: Arc::new(expectation),
            flow: None,
        });
        self.shared.count_waiting(&armed);
        Ok(())
    }

    /// The window of a probe has ended: its flow ends now, or is not expected any more.
    pub(crate) fn window_ended(&self, probe: ProbeId) {
        if let Some(Armed { flow: Some(flow), .. }) = self.shared.take(probe) {
            let progress = lock(&flow).end(claims::FlowEnd::Window, self.shared.clock.now());
            self.shared.report(progress);
        }
    }

    /// The session has ended: nothing is expected any more, and nobody waits for the receipts of flows that still run.
    pub(crate) fn disarm(&self) {
        let dropped = {
            let mut armed = self.shared.armed();
            let dropped = std::mem::take(&mut *armed);
            self.shared.count_waiting(&armed);
            dropped
        };
        for flow in dropped.list.into_iter().filter_map(|armed| armed.flow) {
            if let Progress::Finished(_) = lock(&flow).end(claims::FlowEnd::Closed, self.shared.clock.now()) {
                self.shared.metrics.receipts_dropped.add_one();
            }
        }
    }
}

/// Why the tap cannot expect another probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ArmError {
    #[error("{MAX_ARMED} probes are announced already")]
    Full,
    #[error("this probe was announced before")]
    Repeated,
}

impl Flow {
    /// Bytes that go to the destination, in order. A host with a task for each direction reports them before they are sent:
    /// the destination's answer and its end may be reported before that task goes on.
    pub fn up(&mut self, bytes: &[u8]) {
        let Some(ledger) = &self.ledger else { return };
        let now = self.shared.clock.now();
        let find = |challenge: &[u8]| self.shared.claim(&self.destination, challenge, ledger);
        let progress = lock(ledger).up(bytes, now, find);
        self.settle(progress);
    }

    /// Bytes that came from the destination, in order; with a task for each direction before they are passed on, since the client may
    /// close at once.
    pub fn down(&mut self, bytes: &[u8]) {
        let Some(ledger) = &self.ledger else { return };
        let progress = lock(ledger).down(bytes, self.shared.clock.now());
        self.settle(progress);
    }

    /// Whether anything more is to be reported: not of a flow that opened with no announced challenge, nor of one whose receipt is
    /// made. To report it all the same does no harm.
    pub const fn is_watched(&self) -> bool {
        self.ledger.is_some()
    }

    /// Reports what goes through `stream` as this flow, so that nobody need do it by hand.
    pub const fn around<S>(self, stream: S) -> Tapped<S> {
        Tapped::new(stream, Some(self))
    }

    /// The flow has ended.
    pub fn end(mut self, end: FlowEnd) {
        self.end_as(end);
    }

    fn end_as(&mut self, end: FlowEnd) {
        let Some(ledger) = &self.ledger else { return };
        let end = match end {
            FlowEnd::DestinationEof => claims::FlowEnd::DestinationEof,
            FlowEnd::DestinationError => claims::FlowEnd::DestinationError,
            FlowEnd::Closed => claims::FlowEnd::Closed,
        };
        let progress = lock(ledger).end(end, self.shared.clock.now());
        self.settle(progress);
    }

    fn settle(&mut self, progress: Progress) {
        if !matches!(progress, Progress::Watching) {
            self.ledger = None;
        }
        self.shared.report(progress);
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        self.end_as(FlowEnd::Closed);
    }
}

#[derive(Debug)]
struct Shared {
    /// How many announcements still wait for their flow; written with the list locked.
    waiting: AtomicUsize,
    /// Never locked while a ledger's lock is awaited: a flow locks its ledger first.
    armed: Mutex<ArmedList>,
    finished: mpsc::Sender<Finished>,
    clock: Clock,
    metrics: Arc<Metrics>,
}

#[derive(Debug, Default)]
struct ArmedList {
    list: Vec<Armed>,
    /// The probes armed last, in order.
    seen: Vec<ProbeId>,
}

#[derive(Debug)]
struct Armed {
    expectation: Arc<Expectation>,
    /// The flow that brought the challenge.
    flow: Option<Arc<Mutex<Ledger>>>,
}

impl Armed {
    fn waits_for(&self, destination: &str) -> bool {
        self.flow.is_none() && self.expectation.announcement.destination.as_str() == destination
    }
}

impl Shared {
    /// The announcement that `challenge` belongs to; from then on it is this flow's alone.
    fn claim(&self, destination: &str, challenge: &[u8], ledger: &Arc<Mutex<Ledger>>) -> Option<Recognised> {
        let candidates: Vec<_> = {
            let armed = self.armed();
            let waiting = armed.list.iter().filter(|armed| armed.waits_for(destination));
            waiting.map(|armed| Arc::clone(&armed.expectation)).collect()
        };
        // The signature is checked without the lock: other flows go on meanwhile.
        let now = self.clock.now();
        let found = |expectation: Arc<Expectation>| {
            let nonce = expectation.recognise(challenge, now)?;
            Some(Recognised { expectation, nonce })
        };
        let flow = candidates.into_iter().find_map(found)?;
        let mut armed = self.armed();
        let same = |armed: &&mut Armed| armed.flow.is_none() && Arc::ptr_eq(&armed.expectation, &flow.expectation);
        armed.list.iter_mut().find(same)?.flow = Some(Arc::clone(ledger));
        self.count_waiting(&armed);
        self.metrics.flows_recognised.add_one();
        Some(flow)
    }

    fn take(&self, probe: ProbeId) -> Option<Armed> {
        let mut armed = self.armed();
        let index = armed
            .list
            .iter()
            .position(|armed| armed.expectation.announcement.probe == probe)?;
        let taken = armed.list.swap_remove(index);
        self.count_waiting(&armed);
        Some(taken)
    }

    fn report(&self, progress: Progress) {
        if let Progress::Finished(finished) = progress {
            self.take(finished.flow.expectation.announcement.probe);
            if self.finished.try_send(*finished).is_err() {
                self.metrics.receipts_dropped.add_one();
            }
        }
    }

    fn count_waiting(&self, armed: &ArmedList) {
        let waiting = armed.list.iter().filter(|armed| armed.flow.is_none()).count();
        self.waiting.store(waiting, Ordering::Release);
    }

    fn armed(&self) -> MutexGuard<'_, ArmedList> {
        lock(&self.armed)
    }
}

/// Nothing panics under these locks; should it ever, the host must not suffer from it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many announcements may be armed at once.
const MAX_ARMED: usize = 8;
/// How many probes are remembered so that none is armed twice.
const MAX_SEEN: usize = 64;
/// Finished flows that wait for the session's task: more than can be armed at once.
const QUEUE: usize = 2 * MAX_ARMED;

#[cfg(test)]
mod tests;
