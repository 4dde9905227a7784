//! The host's wishes to be probed soon: those that come together count as one, and none is answered sooner than is worth it.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

/// What the task knows of them. The host notifies the same [`Notify`].
#[derive(Debug)]
pub(crate) struct Retests {
    asked: Arc<Notify>,
    /// The host has asked, and nothing was done yet.
    pending: bool,
    answered: Option<Instant>,
}

impl Retests {
    pub(crate) const fn new(asked: Arc<Notify>) -> Self {
        Self {
            asked,
            pending: false,
            answered: None,
        }
    }

    /// Waits until the host asks, and until `pause` has passed since the last time that it was done. Nothing is lost when this
    /// is not waited for to the end.
    pub(crate) async fn asked(&mut self, pause: Duration) {
        if !self.pending {
            self.asked.notified().await;
            self.pending = true;
        }
        if let Some(answered) = self.answered {
            sleep_until(answered + pause).await;
        }
        self.pending = false;
        self.answered = Some(Instant::now());
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn wishes_that_come_together_count_as_one_and_none_is_lost() {
        const PAUSE: Duration = Duration::from_secs(10);
        let asked = Arc::new(Notify::new());
        let mut retests = Retests::new(Arc::clone(&asked));
        let within = |seconds| Duration::from_secs(seconds);
        timeout(within(60), retests.asked(PAUSE)).await.unwrap_err();
        for _ in 0..3 {
            asked.notify_one();
        }
        timeout(within(0), retests.asked(PAUSE)).await.unwrap();
        asked.notify_one();
        // Too soon after the last; and it stands, though nobody waits any more.
        timeout(within(4), retests.asked(PAUSE)).await.unwrap_err();
        timeout(within(5), retests.asked(PAUSE)).await.unwrap_err();
        timeout(within(2), retests.asked(PAUSE)).await.unwrap();
        timeout(within(60), retests.asked(PAUSE)).await.unwrap_err();
    }
}
