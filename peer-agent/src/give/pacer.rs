//! A volunteer's bandwidth cap.

use std::{num::NonZeroU64, time::Duration};

use tokio::time::{Instant, sleep_until};

/// Spreads bytes over time so that no more than `rate` a second pass. Without a rate it never waits.
pub(super) struct Pacer {
    rate: Option<NonZeroU64>,
    /// When all bytes so far will have taken their time.
    free_at: Instant,
}

impl Pacer {
    pub(super) fn new(rate: Option<NonZeroU64>) -> Self {
        Self {
            rate,
            free_at: Instant::now(),
        }
    }

    /// How much to move at a time, at most `room`: about a sixteenth of a second's worth, so that it flows evenly.
    pub(super) fn portion(&self, room: usize) -> usize {
        let Some(rate) = self.rate else { return room };
        let sixteenth = usize::try_from(rate.get() / 16).unwrap_or(room);
        sixteenth.max(SMALLEST).min(room)
    }

    /// Waits until `bytes` more have taken their time. Time in which nothing was moved is not saved up.
    pub(super) async fn spend(&mut self, bytes: usize) {
        let Some(rate) = self.rate else { return };
        let cost = Duration::from_secs_f64(bytes as f64 / rate.get() as f64);
        self.free_at = self.free_at.max(Instant::now()) + cost;
        sleep_until(self.free_at).await;
    }
}

const SMALLEST: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_rate_holds() {
        let start = Instant::now();
        let mut pacer = Pacer::new(NonZeroU64::new(128 * 1024));
        assert_eq!(pacer.portion(1 << 20), 8 * 1024);
        for _ in 0..32 {
            pacer.spend(8 * 1024).await;
        }
        let took = start.elapsed();
        assert!(
            (1990..2100).contains(&took.as_millis()),
            "256 KiB at 128 KiB/s took {took:?} of virtual time"
        );
        Pacer::new(None).spend(usize::MAX).await;
        assert_eq!(start.elapsed(), took);
    }
}
