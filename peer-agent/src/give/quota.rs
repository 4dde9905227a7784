//! How many of something exist, in all and from one source.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Counts seats that are taken.
pub(super) struct Quota {
    total: usize,
    per_source: usize,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    total: usize,
    by_source: HashMap<IpAddr, usize>,
}

/// One of them; dropping it gives it back.
pub(super) struct Seat {
    quota: Arc<Quota>,
    source: IpAddr,
}

impl Quota {
    pub(super) fn new(total: usize, per_source: usize) -> Arc<Self> {
        Arc::new(Self {
            total,
            per_source,
            taken: Mutex::default(),
        })
    }

    /// Takes a seat; `None` when all are taken, or all that one source may have.
    pub(super) fn take(self: &Arc<Self>, source: IpAddr) -> Option<Seat> {
        let source = aggregate(source);
        let mut taken = self.lock();
        let here = taken.by_source.get(&source).copied().unwrap_or(0);
        if taken.total >= self.total || here >= self.per_source {
            return None;
        }
        taken.total += 1;
        taken.by_source.insert(source, here + 1);
        Some(Seat {
            quota: Arc::clone(self),
            source,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.quota.lock();
        taken.total -= 1;
        if let Some(here) = taken.by_source.get_mut(&self.source) {
            *here -= 1;
            if *here == 0 {
                taken.by_source.remove(&self.source);
            }
        }
    }
}

/// One IPv4 address, or the /64 that a single IPv6 host can choose its address from.
fn aggregate(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn seats_are_counted_in_all_and_per_source() {
        let quota = Quota::new(3, 2);
        let source = |text: &str| text.parse::<IpAddr>().unwrap();
        let first = quota.take(source("::ffff:192.0.2.1")).unwrap();
        let _second = quota.take(source("192.0.2.1")).unwrap();
        assert!(quota.take(source("192.0.2.1")).is_none(), "two from one source");
        let _third = quota.take(source("2001:db8::1")).unwrap();
        assert!(quota.take(source("2001:db8:1::1")).is_none(), "three in all");
        drop(first);
        let _fourth = quota.take(source("2001:db8::2")).unwrap();
        drop(_second);
        assert!(quota.take(source("2001:db8::3")).is_none(), "one /64 is one source");
        drop((_third, _fourth));
        let taken = quota.lock();
        assert_eq!((taken.total, taken.by_source.len()), (0, 0));
    }
}
