//! Which challenges arrived: each nonce is crossed off at its first arrival, and whoever decides about a probe can ask
//! what became of its own. "It never came" and "the answer was cut" look alike from the client's side only.

use std::{
    collections::{BTreeSet, HashMap},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use proto::{
    ids::{Digest, Nonce},
    time::Timestamp,
};

/// The nonces that were redeemed. Clones share them.
#[derive(Clone, Debug)]
pub struct Arrivals {
    crossed: Arc<Mutex<Crossed>>,
    most: usize,
}

/// What became of one challenge at the origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Where the first request came from.
    pub source: SocketAddr,
    /// When it had arrived, on the origin's clock.
    pub at: Timestamp,
    /// Digest of the signed statement that answered it; `None` when none was made (or not yet).
    pub statement: Option<Digest>,
    /// How often it arrived again, and was refused. Anyone on the path can cause that: it is information, no outcome.
    pub repeats: u32,
    /// Where the last repetition came from.
    pub last_repeat: Option<SocketAddr>,
}

/// Why a challenge was not redeemed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotRedeemed {
    /// It was before.
    Repeated,
    /// There is no room to remember another one, and one that is not remembered could be redeemed twice.
    Full,
}

impl Arrivals {
    pub(super) fn new(most: usize) -> Self {
        Self {
            crossed: Arc::default(),
            most,
        }
    }

    /// What became of the challenge with this nonce; `None` when it never arrived, was refused at its first arrival,
    /// or expired more than a minute ago.
    pub fn redeemed(&self, nonce: &Nonce) -> Option<Arrival> {
        self.lock().arrivals.get(nonce).map(|(_, arrival)| arrival.clone())
    }

    /// Crosses a nonce off. `expires` is the challenge's own end: from then on it is refused for that.
    pub(super) fn redeem(
        &self,
        nonce: Nonce,
        source: SocketAddr,
        at: Timestamp,
        expires: Timestamp,
    ) -> Result<(), NotRedeemed> {
        let mut crossed = self.lock();
        if let Some((_, arrival)) = crossed.arrivals.get_mut(&nonce) {
            arrival.repeats = arrival.repeats.saturating_add(1);
            arrival.last_repeat = Some(source);
            return Err(NotRedeemed::Repeated);
        }
        crossed.forget_expired(at);
        if crossed.arrivals.len() >= self.most {
            return Err(NotRedeemed::Full);
        }
        let until = expires.plus(KEPT_AFTER_EXPIRY);
        let arrival = Arrival {
            source,
            at,
            statement: None,
            repeats: 0,
            last_repeat: None,
        };
        crossed.arrivals.insert(nonce, (until, arrival));
        crossed.by_end.insert((until, nonce));
        Ok(())
    }

    /// Notes which statement answered the challenge.
    pub(super) fn answered(&self, nonce: &Nonce, statement: Digest) {
        if let Some((_, arrival)) = self.lock().arrivals.get_mut(nonce) {
            arrival.statement = Some(statement);
        }
    }

    /// Both collections change together under the lock, and nothing in between can panic.
    fn lock(&self) -> MutexGuard<'_, Crossed> {
        self.crossed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
struct Crossed {
    arrivals: HashMap<Nonce, (Timestamp, Arrival)>,
    by_end: BTreeSet<(Timestamp, Nonce)>,
}

impl Crossed {
    fn forget_expired(&mut self, now: Timestamp) {
        while let Some(&(until, nonce)) = self.by_end.first()
            && until <= now
        {
            self.by_end.pop_first();
            self.arrivals.remove(&nonce);
        }
    }
}

/// Whoever decides about a probe may ask a little after its window.
const KEPT_AFTER_EXPIRY: Duration = Duration::from_secs(60);

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn source(port: u16) -> SocketAddr {
        ([192, 0, 2, 1], port).into()
    }

    #[test]
    fn a_nonce_is_crossed_off_once_and_repetitions_are_counted() {
        let arrivals = Arrivals::new(10);
        let nonce = Nonce::from_bytes([1; 32]);
        let (at, expires) = (Timestamp::from_secs(100), Timestamp::from_secs(110));
        assert_eq!(arrivals.redeemed(&nonce), None);
        arrivals.redeem(nonce, source(1), at, expires).unwrap();
        arrivals.answered(&nonce, Digest::of(b"statement"));
        for port in [2, 3] {
            assert_eq!(
                arrivals.redeem(nonce, source(port), at, expires),
                Err(NotRedeemed::Repeated)
            );
        }
        let arrival = arrivals.redeemed(&nonce).unwrap();
        let first = (arrival.source, arrival.at, arrival.statement);
        assert_eq!(first, (source(1), at, Some(Digest::of(b"statement"))));
        assert_eq!((arrival.repeats, arrival.last_repeat), (2, Some(source(3))));
    }

    #[test]
    fn there_is_room_for_so_many_until_they_expire() {
        let arrivals = Arrivals::new(2);
        let redeem = |byte: u8, now: u64, expires: u64| {
            let (at, expires) = (Timestamp::from_secs(now), Timestamp::from_secs(expires));
            arrivals.redeem(Nonce::from_bytes([byte; 32]), source(1), at, expires)
        };
        redeem(1, 100, 110).unwrap();
        redeem(2, 100, 120).unwrap();
        assert_eq!(redeem(3, 100, 110), Err(NotRedeemed::Full));
        assert_eq!(redeem(3, 169, 179), Err(NotRedeemed::Full));
        redeem(3, 170, 180).unwrap();
        assert_eq!(redeem(4, 170, 180), Err(NotRedeemed::Full));
        assert_eq!(arrivals.redeemed(&Nonce::from_bytes([1; 32])), None);
        assert!(arrivals.redeemed(&Nonce::from_bytes([2; 32])).is_some());
    }
}
