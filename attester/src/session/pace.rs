//! How fast one session may talk: a generic cell rate algorithm (ITU-T I.371), one instant of state.

use std::time::Duration;

use tokio::time::Instant;

/// The pace of one talker.
#[derive(Debug)]
pub(super) struct Pace {
    /// When all that was said would have been said at the steady pace.
    due: Instant,
    interval: Duration,
    burst: Duration,
}

impl Pace {
    /// One message every `interval`, and `burst` messages at once.
    pub(super) fn new(now: Instant, interval: Duration, burst: u32) -> Self {
        Self {
            due: now,
            interval,
            burst: interval * burst,
        }
    }

    /// Whether one more message at `now` keeps the pace.
    pub(super) fn keeps(&mut self, now: Instant) -> bool {
        let due = self.due.max(now) + self.interval;
        let keeps = due <= now + self.burst;
        if keeps {
            self.due = due;
        }
        keeps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_and_then_the_steady_pace() {
        let mut now = Instant::now();
        let mut pace = Pace::new(now, Duration::from_millis(100), 5);
        for _ in 0..3 {
            assert_eq!((0..10).filter(|_| pace.keeps(now)).count(), 5);
            now += Duration::from_millis(200);
            assert_eq!((0..10).filter(|_| pace.keeps(now)).count(), 2);
            now += Duration::from_secs(3600);
        }
    }
}
