//! The reconciler: one task that keeps what a publisher shows equal to what is desired.
//!
//! Desired records come in as a level (a watch, of which only the latest value counts), and what was reached goes out
//! as a level, so nobody can miss a message and a burst of changes becomes one batch.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::{
    metrics::{Change, Metrics, Step},
    records::{Changes, Desired, Record},
};

use super::{PublishError, Publisher};

/// When the reconciler acts.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Time between two comparisons while nothing changes (5 s).
    pub tick: Duration,
    /// How long a change waits for others to share its batch (20 ms).
    pub batch: Duration,
    /// Time the provider has for one observation, and again for one application (10 s).
    pub attempt: Duration,
    /// Pause after a first failure; it doubles with each further one (250 ms).
    pub first_retry: Duration,
    /// The longest such pause (30 s).
    pub last_retry: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            tick: Duration::from_secs(5),
            batch: Duration::from_millis(20),
            attempt: Duration::from_secs(10),
            first_retry: Duration::from_millis(250),
            last_retry: Duration::from_secs(30),
        }
    }
}

/// How far publishing has come.
#[derive(Clone, Debug, Default)]
pub struct Reconciled {
    /// The latest generation of desired records that was published completely; 0 before the first.
    pub generation: u64,
    /// Whether the last comparison ended with observed and desired records equal, as far as the provider told.
    pub in_sync: bool,
    /// Failures since the last success.
    pub failures: u32,
    /// Why the last attempt failed; `None` once one succeeded.
    pub last_error: Option<Arc<PublishError>>,
}

/// Keeps what a publisher shows equal to what is desired. See [`Reconciler::run`].
pub struct Reconciler<P> {
    publisher: P,
    timing: Timing,
    desired: watch::Receiver<Wanted>,
    reconciled: watch::Sender<Reconciled>,
    metrics: Arc<Metrics>,
}

/// The other end of a [`Reconciler`]: where desired records are handed in, and what became of them is seen.
#[derive(Clone)]
pub struct Publication {
    desired: watch::Sender<Wanted>,
    reconciled: watch::Receiver<Reconciled>,
}

/// A generation of desired records was not published in time.
#[derive(Clone, Debug, thiserror::Error)]
#[error("DNS does not show the desired records yet (waiting for generation {generation}, published is {published})")]
pub struct NotPublished {
    /// The generation waited for.
    pub generation: u64,
    /// The latest one published.
    pub published: u64,
    /// Why the last attempt failed, if it did.
    #[source]
    pub last_error: Option<Arc<PublishError>>,
}

impl<P: Publisher> Reconciler<P> {
    /// A reconciler for this publisher, and the handle that feeds it.
    pub fn new(publisher: P, timing: Timing) -> (Self, Publication) {
        let (desired_in, desired) = watch::channel(Wanted::default());
        let (reconciled, reconciled_out) = watch::channel(Reconciled::default());
        let reconciler = Self {
            publisher,
            timing,
            desired,
            reconciled,
            metrics: Arc::default(),
        };
        let publication = Publication {
            desired: desired_in,
            reconciled: reconciled_out,
        };
        (reconciler, publication)
    }

    /// Counts into these metrics; into its own, which nobody sees, without this.
    #[must_use]
    pub fn metered(mut self, metrics: Arc<Metrics>) -> Self {
        self.metrics = metrics;
        self
    }

    /// Works until the token is cancelled. Before a first desired set was handed in (state restored), the publisher
    /// is neither asked nor told anything: an attester that has just started knows of no peer, and would remove all.
    pub async fn run(mut self, token: CancellationToken) {
        // Dropping a pass half-way is sound: whatever it left, the next start observes and completes.
        token.run_until_cancelled(self.reconcile_for_ever()).await;
    }

    async fn reconcile_for_ever(&mut self) {
        let mut restored = false;
        let mut failures = 0;
        let mut changed = Changed::default();
        // The records of a generation: nothing is desired anew most of the time, and there can be tens of thousands.
        let mut known: Option<Known> = None;
        if self.desired.wait_for(|wanted| wanted.records.is_some()).await.is_err() {
            return std::future::pending().await;
        }
        loop {
            let wanted = self.desired.borrow_and_update().clone();
            let Some(desired) = wanted.records else {
                continue; // cannot be: a set that was handed in is never taken back
            };
            let began = Instant::now();
            let known = match &mut known {
                Some(known) if known.generation == wanted.generation => known,
                known => known.insert(Known::of(wanted.generation, &desired)),
            };
            let passed = self.pass(known, restored, &mut changed).await;
            changed.tell();
            match passed {
                Ok(()) => {
                    restored = true;
                    failures = 0;
                    self.metrics.reconciled();
                    self.reconciled.send_replace(Reconciled {
                        generation: wanted.generation,
                        in_sync: true,
                        failures,
                        last_error: None,
                    });
                    self.idle(began.elapsed() * REST).await;
                }
                Err(error) => {
                    failures = failures.saturating_add(1);
                    let pause = self.timing.pause_after(failures);
                    warn!(%error, failures, ?pause, "DNS is not up to date: publishing failed, and is tried again");
                    self.reconciled.send_modify(|state| {
                        state.in_sync = false;
                        state.failures = failures;
                        state.last_error = Some(Arc::new(error));
                    });
                    // A change does not cut this short: a provider in trouble is not asked more often for it.
                    sleep(pause).await;
                }
            }
        }
    }

    /// Observes, compares, applies.
    async fn pass(&self, known: &mut Known, restored: bool, changed: &mut Changed) -> Result<(), PublishError> {
        let after = self.timing.attempt;
        let timed_out = |operation| move |_| PublishError::TimedOut { operation, after };
        let observed = timeout(after, self.publisher.observe()).await;
        let observed = observed.map_err(timed_out("observe")).flatten();
        let observed = observed.inspect_err(|_| self.metrics.reconcile_failed(Step::Observe))?;
        let changes = known.changes(observed);
        if restored && changes.is_empty() {
            return Ok(());
        }
        let applied = timeout(after, self.publisher.apply(&changes)).await;
        let applied = applied.map_err(timed_out("apply")).flatten();
        applied.inspect_err(|_| self.metrics.reconcile_failed(Step::Apply))?;
        let (added, removed) = (changes.add.len(), changes.remove.len());
        self.metrics.records_changed(Change::Added, added);
        self.metrics.records_changed(Change::Removed, removed);
        debug!(added, removed, "a batch of DNS records was published");
        changed.note(added, removed);
        Ok(())
    }

    /// Waits for the next tick, or for a change and those that follow on its heels, for `rest` at least: with many records a
    /// pass takes its time.
    async fn idle(&mut self, rest: Duration) {
        match timeout(self.timing.tick, self.desired.changed()).await {
            Ok(Ok(())) => sleep(self.timing.batch.max(rest)).await,
            Ok(Err(_)) => {
                debug!("nobody can change the desired records any more; they are kept as they are");
                sleep(self.timing.tick).await;
            }
            Err(_) => {}
        }
    }
}

/// The records of a generation, and the last that were seen to be just these: a publisher that shows the same ones as before need not be
/// compared again.
struct Known {
    generation: u64,
    records: BTreeSet<Record>,
    shown: Option<Arc<BTreeSet<Record>>>,
}

impl Known {
    fn of(generation: u64, desired: &Desired) -> Self {
        Self {
            generation,
            records: desired.records(),
            shown: None,
        }
    }

    fn changes(&mut self, observed: Arc<BTreeSet<Record>>) -> Changes {
        if self.shown.as_ref().is_some_and(|shown| Arc::ptr_eq(shown, &observed)) {
            return Changes::default();
        }
        let changes = Changes::between(&observed, &self.records);
        self.shown = changes.is_empty().then_some(observed);
        changes
    }
}

/// Records that changed since that was last told. Peers come and go, and some do so on purpose: a line for every batch would
/// let them fill the log.
#[derive(Default)]
struct Changed {
    added: usize,
    removed: usize,
    batches: u64,
    told: Option<Instant>,
}

impl Changed {
    const fn note(&mut self, added: usize, removed: usize) {
        self.added += added;
        self.removed += removed;
        self.batches += if added + removed > 0 { 1 } else { 0 };
    }

    /// Tells it if there is something to tell, and not again before [`TOLD`] is over.
    fn tell(&mut self) {
        let lately = self.told.is_some_and(|told| told.elapsed() < TOLD);
        if self.batches == 0 || lately {
            return;
        }
        info!(
            added = self.added,
            removed = self.removed,
            batches = self.batches,
            "DNS records changed"
        );
        *self = Self {
            told: Some(Instant::now()),
            ..Self::default()
        };
    }
}

impl Publication {
    /// Hands in the desired records, all of them, and returns their generation. Equal records keep the generation
    /// that they have.
    pub fn desire(&self, desired: Desired) -> u64 {
        let mut generation = 0;
        self.desired.send_if_modified(|wanted| {
            let new = wanted.records.as_deref() != Some(&desired);
            if new {
                wanted.generation += 1;
                wanted.records = Some(Arc::new(desired));
            }
            generation = wanted.generation;
            new
        });
        generation
    }

    /// The level that the reconciler keeps up to date.
    #[must_use]
    pub fn reconciled(&self) -> watch::Receiver<Reconciled> {
        self.reconciled.clone()
    }

    /// Waits until this generation of desired records (or a later one) was published.
    ///
    /// # Errors
    /// [`NotPublished`] at the deadline, or when the reconciler has ended.
    pub async fn wait_published(&self, generation: u64, deadline: Instant) -> Result<(), NotPublished> {
        let mut reconciled = self.reconciled.clone();
        let reached = reconciled.wait_for(|state| state.generation >= generation);
        if let Ok(Ok(_)) = timeout_at(deadline, reached).await {
            return Ok(());
        }
        let state = self.reconciled.borrow();
        Err(NotPublished {
            generation,
            published: state.generation,
            last_error: state.last_error.clone(),
        })
    }
}

impl Timing {
    fn pause_after(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(16);
        self.first_retry.saturating_mul(1 << doublings).min(self.last_retry)
    }
}

/// Between two lines about what changed.
const TOLD: Duration = Duration::from_secs(60);
/// Rest after a pass before the next change is looked at, in multiples of what it took.
const REST: u32 = 3;

#[derive(Clone, Default)]
struct Wanted {
    generation: u64,
    records: Option<Arc<Desired>>,
}

#[cfg(test)]
mod tests;
