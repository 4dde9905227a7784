//! Places for TCP connections. There are a few, strangers hold them, and most of those wait: so a newcomer takes the place
//! of the one that has been silent for longest (RFC 7766, section 6.2.3, lets a server close those that are idle), first of
//! all in its own source's share.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio_util::sync::CancellationToken;

use crate::{metrics::Full, model::place::holder};

/// The places of one listener.
#[derive(Clone, Debug)]
pub(super) struct Places {
    table: Arc<Mutex<Table>>,
    total: usize,
    per_source: usize,
}

/// One connection's place; dropping it gives the place back, if nobody has taken it.
#[derive(Debug)]
pub(super) struct Place {
    table: Arc<Mutex<Table>>,
    number: u64,
    /// Cancelled when somebody else takes the place.
    pub(super) taken: CancellationToken,
}

#[derive(Debug, Default)]
struct Table {
    held: HashMap<u64, Held>,
    /// Grows with every connection and every question: a clock that is good enough for an order.
    steps: u64,
}

#[derive(Debug)]
struct Held {
    source: IpAddr,
    /// The step of its last question, or of its beginning.
    last: u64,
    taken: CancellationToken,
}

impl Places {
    /// Places for `total` connections, at most `per_source` of them from one source; at least one each.
    pub(super) fn new(total: usize, per_source: usize) -> Self {
        Self {
            table: Arc::default(),
            total: total.max(1),
            per_source: per_source.max(1),
        }
    }

    /// A place for a connection from `source`, and which limit it cost another one its place.
    pub(super) fn take(&self, source: IpAddr) -> (Place, Option<Full>) {
        let source = holder(source);
        let mut table = lock(&self.table);
        let here = table.held.values().filter(|held| held.source == source).count();
        let full = if here >= self.per_source {
            Some(Full::ForSource)
        } else if table.held.len() >= self.total {
            Some(Full::Everywhere)
        } else {
            None
        };
        if let Some(full) = full {
            table.give_up(|held| full == Full::Everywhere || held.source == source);
        }
        let (number, taken) = (table.step(), CancellationToken::new());
        let held = Held {
            source,
            last: number,
            taken: taken.clone(),
        };
        table.held.insert(number, held);
        let place = Place {
            table: Arc::clone(&self.table),
            number,
            taken,
        };
        (place, full)
    }
}

impl Place {
    /// Says that a question came.
    pub(super) fn asked(&self) {
        let mut table = lock(&self.table);
        let step = table.step();
        if let Some(held) = table.held.get_mut(&self.number) {
            held.last = step;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.table).held.remove(&self.number);
    }
}

impl Table {
    const fn step(&mut self) -> u64 {
        self.steps += 1;
        self.steps
    }

    /// Ends the one that has been silent for longest of those that `may` go.
    fn give_up(&mut self, may: impl Fn(&Held) -> bool) {
        let of_them = self.held.iter().filter(|(_, held)| may(held));
        let silent = of_them.min_by_key(|(_, held)| held.last).map(|(number, _)| *number);
        if let Some(held) = silent.and_then(|number| self.held.remove(&number)) {
            held.taken.cancel();
        }
    }
}

/// Nothing that is done under the lock can stop half way.
fn lock(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn take(places: &Places, source: &str) -> (Place, Option<Full>) {
        places.take(source.parse().unwrap())
    }

    #[test]
    fn a_source_that_has_its_share_loses_the_one_that_was_silent_for_longest() {
        let places = Places::new(10, 2);
        let (first, _) = take(&places, "2001:db8::1");
        let (second, _) = take(&places, "2001:db8::ffff:0:0:1");
        let (other, full) = take(&places, "2001:db8:0:1::1");
        assert_eq!(full, None);
        first.asked();
        let (third, full) = take(&places, "2001:db8::2");
        assert_eq!(full, Some(Full::ForSource));
        assert!(second.taken.is_cancelled());
        assert!([&first, &third, &other].iter().all(|place| !place.taken.is_cancelled()));
        // The place of one that was ended is not given back twice.
        drop(second);
        let (_fourth, full) = take(&places, "2001:db8::3");
        assert!(full == Some(Full::ForSource) && first.taken.is_cancelled());
    }

    #[test]
    fn when_all_are_taken_the_most_silent_of_all_goes_and_who_left_makes_room() {
        let places = Places::new(2, 2);
        let (first, _) = take(&places, "192.0.2.1");
        let (second, _) = take(&places, "::ffff:192.0.2.2");
        first.asked();
        let (third, full) = take(&places, "192.0.2.3");
        assert!(full == Some(Full::Everywhere) && second.taken.is_cancelled());
        drop(third);
        let (_fourth, full) = take(&places, "192.0.2.4");
        assert!(full.is_none() && !first.taken.is_cancelled());
        drop((first, second));
        assert_eq!(lock(&places.table).held.len(), 1);
    }
}
