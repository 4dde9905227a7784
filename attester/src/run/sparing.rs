//! Work that looks at every peer and is wanted after nearly every event: done at once while there are few peers, and for a share of
//! the time at most when there are many. What was wanted meanwhile is done together.

use std::time::Duration;

use tokio::time::Instant;

/// When such work is done next.
#[derive(Debug)]
pub(super) struct Sparing {
    wanted: bool,
    next: Instant,
    /// Rest after work, in multiples of what it took.
    rest: u32,
}

impl Sparing {
    /// Work that decisions wait for: a tenth of the time. Nothing is wanted yet.
    pub(super) fn new() -> Self {
        Self::resting(9)
    }

    /// Work that nobody waits for, and that is wanted even when nothing happens: a two-thousandth.
    pub(super) fn seldom() -> Self {
        Self::resting(1999)
    }

    fn resting(rest: u32) -> Self {
        Self {
            wanted: false,
            next: Instant::now(),
            rest,
        }
    }

    /// Asks for it.
    pub(super) const fn want(&mut self) {
        self.wanted = true;
    }

    /// How long it is still put off; `None` when nobody asked.
    pub(super) fn wait(&self) -> Option<Duration> {
        self.wanted.then(|| self.next.saturating_duration_since(Instant::now()))
    }

    /// Whether it should be done now.
    pub(super) fn is_due(&self) -> bool {
        self.wait().is_some_and(|wait| wait.is_zero())
    }

    /// It was done, and took the time since `began`.
    pub(super) fn done(&mut self, began: Instant) {
        self.wanted = false;
        self.next = Instant::now() + began.elapsed() * self.rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_rests_nine_times_as_long_as_it_worked() {
        let mut sparing = Sparing::new();
        assert_eq!((sparing.wait(), sparing.is_due()), (None, false));
        sparing.want();
        assert!(sparing.is_due(), "the first is done at once");
        let began = Instant::now();
        tokio::time::advance(Duration::from_millis(2)).await;
        sparing.done(began);
        assert_eq!(sparing.wait(), None);
        sparing.want();
        assert_eq!(
            (sparing.wait(), sparing.is_due()),
            (Some(Duration::from_millis(18)), false)
        );
        tokio::time::advance(Duration::from_millis(18)).await;
        assert!(sparing.is_due());
        let began = Instant::now();
        sparing.done(began);
        sparing.want();
        assert!(sparing.is_due(), "what takes no time is never put off");
    }
}
