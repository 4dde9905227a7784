//! Where the newest standing hangs, for threads of the host that read it or wait for another.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use peer_agent::{Standing, State};

/// See the module.
#[derive(Debug)]
pub(crate) struct Board {
    posted: Mutex<Posted>,
    changed: Condvar,
}

/// A standing and its number, which grows with each change.
#[derive(Clone, Debug)]
pub(crate) struct Posted {
    pub(crate) sequence: u64,
    pub(crate) standing: Standing,
    finished: bool,
}

/// What waiting brought.
pub(crate) enum Waited {
    Changed(Posted),
    TimedOut,
    /// The agent has stopped, and all that is known.
    Finished,
}

impl Board {
    pub(crate) const fn new(standing: Standing) -> Self {
        Self {
            posted: Mutex::new(Posted {
                sequence: 1,
                standing,
                finished: false,
            }),
            changed: Condvar::new(),
        }
    }

    pub(crate) fn post(&self, standing: Standing) {
        let mut posted = self.posted();
        if posted.standing != standing {
            posted.standing = standing;
            posted.sequence += 1;
            self.changed.notify_all();
        }
    }

    /// The last that will be posted.
    pub(crate) fn finish(&self, mut standing: Standing) {
        if self.is_finished() {
            return;
        }
        // An agent that was cut off in the middle of its goodbye did not come to say so.
        if standing.state != State::Stopped {
            (standing.state, standing.reason, standing.remedy) = (State::Stopped, None, None);
            standing.valid_until = None;
        }
        self.post(standing);
        self.posted().finished = true;
        self.changed.notify_all();
    }

    pub(crate) fn newest(&self) -> Posted {
        self.posted().clone()
    }

    /// Waits for a standing that came after number `sequence`.
    pub(crate) fn wait(&self, sequence: u64, limit: Duration) -> Waited {
        let (posted, _) = self
            .changed
            .wait_timeout_while(self.posted(), limit, |posted| {
                posted.sequence <= sequence && !posted.finished
            })
            .unwrap_or_else(PoisonError::into_inner);
        if posted.sequence > sequence {
            Waited::Changed(posted.clone())
        } else if posted.finished {
            Waited::Finished
        } else {
            Waited::TimedOut
        }
    }

    /// Whether the agent has ended, by itself or because it was told to.
    pub(crate) fn is_finished(&self) -> bool {
        self.posted().finished
    }

    /// Waits for the end; whether it came.
    pub(crate) fn wait_finished(&self, limit: Duration) -> bool {
        let (posted, _) = self
            .changed
            .wait_timeout_while(self.posted(), limit, |posted| !posted.finished)
            .unwrap_or_else(PoisonError::into_inner);
        posted.finished
    }

    fn posted(&self) -> MutexGuard<'_, Posted> {
        self.posted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many threads of an agent have not ended.
#[derive(Debug, Default)]
pub(crate) struct Threads {
    count: Mutex<usize>,
    ended: Condvar,
}

impl Threads {
    pub(crate) fn start(&self) {
        *self.count() += 1;
    }

    pub(crate) fn end(&self) {
        *self.count() -= 1;
        self.ended.notify_all();
    }

    /// Waits until none is left; whether so.
    pub(crate) fn wait(&self, limit: Duration) -> bool {
        let (left, _) = self
            .ended
            .wait_timeout_while(self.count(), limit, |count| *count > 0)
            .unwrap_or_else(PoisonError::into_inner);
        *left == 0
    }

    fn count(&self) -> MutexGuard<'_, usize> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
