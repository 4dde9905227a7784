//! Waiting for levels: looking again and again until something is so, or the time is over.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// How long anything may take to become so.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// The time that one wait has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    until: Instant,
}

impl Patience {
    pub(crate) fn new() -> Self {
        Self {
            until: Instant::now() + DEADLINE,
        }
    }

    /// Waits until it is worth looking again; false when the time is over.
    pub(crate) async fn lasts(&self) -> bool {
        let next = Instant::now() + POLL;
        if next > self.until {
            return false;
        }
        sleep_until(next).await;
        true
    }
}

/// How often a level is looked at.
pub(crate) const POLL: Duration = Duration::from_millis(25);
