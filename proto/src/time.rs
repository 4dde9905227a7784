//! Wall-clock time as a value: pure code takes a [`Timestamp`], only edges hold a [`Clock`].

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};

/// Microseconds since the Unix epoch, UTC without leap seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// A timestamp from microseconds since the epoch.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// A timestamp from whole seconds since the epoch, saturating.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(MICROS))
    }

    /// Microseconds since the epoch.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down: what CWT claims carry (RFC 8392, section 2).
    pub const fn seconds(self) -> Seconds {
        Seconds(self.0 / MICROS)
    }

    /// This time plus `duration`, saturating.
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(micros(duration)))
    }

    /// This time minus `duration`, saturating at the epoch.
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(micros(duration)))
    }

    /// How long after `earlier` this is; zero when it is not after it.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// This time moved by a signed number of microseconds, saturating at both ends.
    pub const fn shifted(self, offset_micros: i64) -> Self {
        Self(self.0.saturating_add_signed(offset_micros))
    }

    /// Signed microseconds from `other` to `self`, saturating.
    pub fn offset_from(self, other: Self) -> i64 {
        let difference = i128::from(self.0) - i128::from(other.0);
        i64::try_from(difference).unwrap_or(if difference < 0 { i64::MIN } else { i64::MAX })
    }
}

/// Seconds and milliseconds since the epoch; listings format it for people.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.0 / MICROS, self.0 % MICROS / 1000)
    }
}

/// Whole seconds since the Unix epoch: the time unit of CWT claims (RFC 8392, section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seconds(u64);

impl Seconds {
    /// From whole seconds since the epoch.
    pub const fn new(seconds: u64) -> Self {
        Self(seconds)
    }

    /// The first instant of this second.
    pub const fn start(self) -> Timestamp {
        Timestamp::from_secs(self.0)
    }

    /// Whole seconds since the epoch.
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The time of day of a process. The only reader of the system clock; tests drive a manual one.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Steady {
        start: Timestamp,
        since: std::time::Instant,
    },
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// The machine's clock.
    pub const fn system() -> Self {
        Self(Source::System)
    }

    /// The machine's clock as it was when this was made, going on at the pace of a clock that nobody sets: a step of the
    /// machine's clock neither ends a lease early nor makes it longer.
    #[expect(clippy::disallowed_methods, reason = "the one reader of the system clocks")]
    pub fn steady() -> Self {
        Self(Source::Steady {
            start: system_now(),
            since: std::time::Instant::now(),
        })
    }

    /// A clock that stands still until it is set; clones share it.
    pub fn manual(start: Timestamp) -> Self {
        Self(Source::Manual(Arc::new(AtomicU64::new(start.0))))
    }

    /// Now. A system clock before 1970 reads as the epoch.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System => system_now(),
            Source::Steady { start, since } => start.plus(since.elapsed()),
            Source::Manual(micros) => Timestamp(micros.load(Ordering::SeqCst)),
        }
    }

    /// Moves a manual clock forward; a system clock is not moved.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual(value) = &self.0 {
            value.fetch_add(micros(by), Ordering::SeqCst);
        }
    }

    /// Sets a manual clock, to the past as well; a system clock is not set.
    pub fn set(&self, now: Timestamp) {
        if let Source::Manual(value) = &self.0 {
            value.store(now.0, Ordering::SeqCst);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one reader of the system clock")]
fn system_now() -> Timestamp {
    let elapsed = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp(micros(elapsed))
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

const MICROS: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates() {
        let late = Timestamp::from_micros(u64::MAX);
        assert_eq!(late.plus(Duration::from_secs(1)), late);
        assert_eq!(Timestamp::default().minus(Duration::from_secs(1)), Timestamp::default());
        assert_eq!(Timestamp::default().since(late), Duration::ZERO);
        assert_eq!(late.offset_from(Timestamp::default()), i64::MAX);
        assert_eq!(Timestamp::from_micros(5).shifted(-7), Timestamp::default());
    }

    #[test]
    fn a_steady_clock_never_goes_back() {
        let clock = Clock::steady();
        let first = clock.now();
        assert!(clock.now() >= first);
        assert!(system_now().since(first) < Duration::from_secs(3600));
    }

    #[test]
    fn a_manual_clock_is_shared_by_its_clones() {
        let clock = Clock::manual(Timestamp::from_secs(10));
        clock.clone().advance(Duration::from_millis(1500));
        assert_eq!(clock.now(), Timestamp::from_micros(11_500_000));
        assert_eq!(clock.now().seconds().as_u64(), 11);
    }
}
