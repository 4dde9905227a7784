//! What DNS should show, as plain data: names, records, the desired set and its difference to what is observed.
//!
//! Everything here is pure and deterministic: sets are ordered, and two attesters that hold the same leases compute
//! the same records. The publishers ([`crate::publish`]) turn these values into whatever their provider speaks.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use rand::{Rng, seq::index};

use crate::verify::Verified;

mod name;

pub use name::{Name, NameError};

/// What one record says about its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecordData {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// `CAA 0 issue ";"`: no certificate authority may issue for this name (RFC 8659 section 4.2). A peer holds the
    /// machine that the name points to, so without this it could have a certificate issued for a name of ours.
    Caa,
}

impl RecordData {
    /// The address, when the record carries one.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        match *self {
            Self::A(address) => Some(address.into()),
            Self::Aaaa(address) => Some(address.into()),
            Self::Caa => None,
        }
    }
}

impl From<IpAddr> for RecordData {
    /// An IPv4 address in IPv6 clothes (`::ffff:a.b.c.d`, what a dual-stack socket reports) becomes an A record.
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::A(address),
            IpAddr::V6(address) => Self::Aaaa(address),
        }
    }
}

impl fmt::Display for RecordData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::A(address) => write!(f, "A {address}"),
            Self::Aaaa(address) => write!(f, "AAAA {address}"),
            Self::Caa => f.write_str("CAA 0 issue \";\""),
        }
    }
}

/// One resource record of class IN. Displays as a line of a zone file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Record {
    /// The name that owns the record.
    pub name: Name,
    /// Type and value.
    pub data: RecordData,
    /// Time to live, in seconds.
    pub ttl: u32,
}

impl Record {
    /// A record with the TTL that all our records have, [`TTL`].
    #[must_use]
    pub fn new(name: Name, data: impl Into<RecordData>) -> Self {
        Self {
            name,
            data: data.into(),
            ttl: TTL,
        }
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}. {} IN {}", self.name, self.ttl, self.data)
    }
}

/// Everything that DNS should show: the peers' own names, and the members of each rotation.
///
/// It is the whole truth: what is not in here, a publisher removes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desired {
    own: BTreeMap<Name, BTreeSet<IpAddr>>,
    rotations: BTreeMap<Name, BTreeSet<IpAddr>>,
}

impl Desired {
    /// Nothing at all: published, it empties the zone of everything that is ours.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives a peer its own name. A name without an address is not published.
    pub fn name_peer(&mut self, own: Name, addresses: impl IntoIterator<Item = IpAddr>) {
        let addresses = addresses.into_iter().map(|address| address.to_canonical());
        self.own.entry(own).or_default().extend(addresses);
    }

    /// Puts a verified peer's address into a rotation. There is no other way in (promise P1).
    pub fn admit(&mut self, rotation: Name, proof: &Verified) {
        let member = proof.identity().address.ip().to_canonical();
        self.rotations.entry(rotation).or_default().insert(member);
    }

    /// The addresses that a peer's own name should have.
    #[must_use]
    pub fn own(&self, name: &Name) -> Option<&BTreeSet<IpAddr>> {
        self.own.get(name)
    }

    /// The members that a rotation should have.
    #[must_use]
    pub fn rotation(&self, name: &Name) -> Option<&BTreeSet<IpAddr>> {
        self.rotations.get(name)
    }

    /// The records that say all this: addresses, and CAA under each own name.
    #[must_use]
    pub fn records(&self) -> BTreeSet<Record> {
        let mut records = BTreeSet::new();
        for (name, addresses) in &self.own {
            if !addresses.is_empty() {
                records.insert(Record::new(name.clone(), RecordData::Caa));
            }
        }
        for (name, addresses) in self.own.iter().chain(&self.rotations) {
            let of_name = addresses.iter().map(|address| Record::new(name.clone(), *address));
            records.extend(of_name);
        }
        records
    }
}

/// What has to be done so that a provider shows the desired records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Records to create.
    pub add: BTreeSet<Record>,
    /// Records to delete.
    pub remove: BTreeSet<Record>,
}

impl Changes {
    /// The difference that leads from `observed` to `desired`. A record whose TTL alone differs is in both halves.
    #[must_use]
    pub fn between(observed: &BTreeSet<Record>, desired: &BTreeSet<Record>) -> Self {
        Self {
            add: desired.difference(observed).cloned().collect(),
            remove: observed.difference(desired).cloned().collect(),
        }
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.add.is_empty() && self.remove.is_empty()
    }

    /// Carries the changes out on a set held in memory: removes first, so that a record in both halves stays.
    pub fn apply_to(&self, records: &mut BTreeSet<Record>) {
        for gone in &self.remove {
            records.remove(gone);
        }
        records.extend(self.add.iter().cloned());
    }
}

/// A uniformly random selection of at most `size` members, in random order; all of them when they are no more than
/// that. The order is random even then, because most clients use the first address of an answer.
pub fn sample<T: Clone>(members: &[T], size: usize, rng: &mut impl Rng) -> Vec<T> {
    index::sample(rng, members.len(), members.len().min(size))
        .into_iter()
        .map(|index| members[index].clone())
        .collect()
}

/// Time to live of every record we publish, in seconds: how long a resolver may hand out a peer that has left.
pub const TTL: u32 = 30;

#[cfg(test)]
mod tests;
