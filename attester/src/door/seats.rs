//! How many connections strangers may hold: all together and from one source. An edge takes a seat for a connection
//! before it spends anything on it, and the seat comes back when the connection is dropped (promise P6).

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::model::place::holder;

/// The seats of one listener.
#[derive(Clone, Debug)]
pub(crate) struct Seats {
    taken: Arc<Mutex<Taken>>,
    total: usize,
    per_source: usize,
}

/// One connection's seat; dropping it gives the seat back.
#[derive(Debug)]
pub(crate) struct Seat {
    taken: Arc<Mutex<Taken>>,
    source: IpAddr,
}

/// Why there is no seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// All seats are taken.
    Everywhere,
    /// This source has as many as one may have.
    ForSource,
}

impl From<Full> for crate::metrics::Full {
    fn from(full: Full) -> Self {
        match full {
            Full::Everywhere => Self::Everywhere,
            Full::ForSource => Self::ForSource,
        }
    }
}

impl Seats {
    /// Seats for `total` connections, at most `per_source` of them from one source.
    pub(crate) fn new(total: usize, per_source: usize) -> Self {
        Self {
            taken: Arc::default(),
            total,
            per_source,
        }
    }

    /// A seat for a connection from `source`.
    ///
    /// # Errors
    /// [`Full`], told by the source's own limit first: that one it can do something about.
    pub(crate) fn take(&self, source: IpAddr) -> Result<Seat, Full> {
        let source = holder(source);
        let mut taken = lock(&self.taken);
        let here = taken.by_source.get(&source).copied().unwrap_or_default();
        if here >= self.per_source {
            return Err(Full::ForSource);
        }
        if taken.all >= self.total {
            return Err(Full::Everywhere);
        }
        taken.all += 1;
        taken.by_source.insert(source, here + 1);
        Ok(Seat {
            taken: Arc::clone(&self.taken),
            source,
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        taken.all -= 1;
        if let Some(here) = taken.by_source.get_mut(&self.source) {
            *here -= 1;
            if *here == 0 {
                taken.by_source.remove(&self.source);
            }
        }
    }
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_source: HashMap<IpAddr, usize>,
}

/// Nothing that is done under the lock can stop half way.
fn lock(taken: &Mutex<Taken>) -> MutexGuard<'_, Taken> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn seats_are_counted_and_come_back() {
        let seats = Seats::new(3, 2);
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let first = seats.take(ip("192.0.2.1")).unwrap();
        let _second = seats.take(ip("::ffff:192.0.2.1")).unwrap();
        assert_eq!(seats.take(ip("192.0.2.1")).unwrap_err(), Full::ForSource);
        let _third = seats.take(ip("192.0.2.2")).unwrap();
        assert_eq!(seats.take(ip("192.0.2.3")).unwrap_err(), Full::Everywhere);
        drop(first);
        let _again = seats.take(ip("192.0.2.1")).unwrap();
        assert_eq!(seats.take(ip("192.0.2.1")).unwrap_err(), Full::ForSource);
    }

    #[test]
    fn an_ipv6_network_is_one_source_and_nothing_is_kept_of_those_who_left() {
        let seats = Seats::new(10, 1);
        let seat = seats.take("2001:db8::1".parse().unwrap()).unwrap();
        assert_eq!(
            seats.take("2001:db8::ffff:0:0:1".parse().unwrap()).unwrap_err(),
            Full::ForSource
        );
        let other = seats.take("2001:db8:0:1::1".parse().unwrap()).unwrap();
        drop((seat, other));
        assert!(lock(&seats.taken).by_source.is_empty());
        assert_eq!(lock(&seats.taken).all, 0);
    }
}
