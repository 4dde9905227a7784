//! The zone as it is served: the published records indexed by name, with the SOA and NS that the apex needs.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
};

use hickory_proto::rr::{
    Name as WireName, RData, RecordType,
    rdata::{A, AAAA, CAA, NS, SOA},
};
use rand::Rng;

use crate::{
    publish::PublishError,
    records::{self, Name, Record, RecordData},
};

/// What the zone is, apart from the records published in it.
#[derive(Clone, Debug)]
pub struct Zone {
    /// The zone's own name.
    pub apex: Name,
    /// The rotations: names whose answers are samples. They exist (without addresses) even while they have no member.
    pub rotations: BTreeSet<Name>,
    /// The name server that the zone's NS and SOA records tell.
    pub nameserver: Name,
    /// The name server's addresses, served when its name is inside of the zone.
    pub nameserver_addresses: BTreeSet<IpAddr>,
    /// How many addresses an answer for a rotation has at most, of each family.
    pub sample: usize,
    /// How long resolvers may remember that something does not exist, in seconds.
    pub negative_ttl: u32,
}

/// One immutable state of the zone, ready to answer from.
pub struct Served {
    pub(super) apex: WireName,
    nodes: HashMap<Name, Node>,
    soa: RData,
    pub(super) negative_ttl: u32,
    sample: usize,
    /// `None` until state was restored: then the zone cannot tell what it does not hold.
    serial: Option<u32>,
}

/// All records of one name. A node without any exists all the same: it is NODATA, not NXDOMAIN (RFC 8020).
#[derive(Default)]
pub(super) struct Node {
    sets: BTreeMap<Kind, Set>,
    rotation: bool,
}

/// Records of one name and type.
pub(super) struct Set {
    /// Time to live in seconds; one for the whole set (RFC 2181 section 5.2).
    pub(super) ttl: u32,
    pub(super) data: Vec<RData>,
}

/// In the order in which an answer to ANY prefers them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    A,
    Aaaa,
    Caa,
    Soa,
    Ns,
}

pub(super) enum Lookup<'a> {
    /// The name is not ours to speak for.
    OutsideZone,
    /// State was not restored yet.
    NotReady,
    NoSuchName,
    Found(&'a Node),
}

impl Served {
    /// The zone with these records. `serial` is `None` until state was restored.
    ///
    /// # Errors
    /// [`PublishError::Config`] when a name of the zone cannot be written on the wire.
    pub fn new(zone: &Zone, records: &BTreeSet<Record>, serial: Option<u32>) -> Result<Self, PublishError> {
        let apex = wire_name(&zone.apex)?;
        let hostmaster = zone.apex.child("hostmaster").unwrap_or_else(|_| zone.apex.clone());
        let nameserver = wire_name(&zone.nameserver)?;
        let soa = RData::SOA(SOA::new(
            nameserver.clone(),
            wire_name(&hostmaster)?,
            serial.unwrap_or_default(),
            SOA_REFRESH,
            SOA_RETRY,
            SOA_EXPIRE,
            zone.negative_ttl,
        ));
        let mut served = Self {
            apex,
            nodes: HashMap::with_capacity(records.len()),
            soa: soa.clone(),
            negative_ttl: zone.negative_ttl,
            sample: zone.sample,
            serial,
        };
        served.insert(zone, &zone.apex, APEX_TTL, soa);
        served.insert(zone, &zone.apex, APEX_TTL, RData::NS(NS(nameserver)));
        if zone.nameserver.is_within(&zone.apex) {
            for address in &zone.nameserver_addresses {
                served.insert(zone, &zone.nameserver, APEX_TTL, wire_data(RecordData::from(*address)));
            }
        }
        for rotation in &zone.rotations {
            served.node(zone, rotation).rotation = true;
        }
        for record in records {
            served.insert(zone, &record.name, record.ttl, wire_data(record.data));
        }
        Ok(served)
    }

    pub(super) fn lookup(&self, name: &WireName) -> Lookup<'_> {
        if !self.apex.zone_of(name) {
            return Lookup::OutsideZone;
        }
        if self.serial.is_none() {
            return Lookup::NotReady;
        }
        match text_of(name).and_then(|text| self.nodes.get(text.as_str())) {
            Some(node) => Lookup::Found(node),
            None => Lookup::NoSuchName,
        }
    }

    pub(super) fn soa(&self) -> &RData {
        &self.soa
    }

    /// What an answer holds of this set: all of it, or a fresh sample when the name is a rotation.
    pub(super) fn select(&self, node: &Node, set: &Set, rng: &mut impl Rng) -> Vec<RData> {
        if node.rotation {
            records::sample(&set.data, self.sample, rng)
        } else {
            set.data.clone()
        }
    }

    /// The node of a name, made together with its ancestors down from the apex (RFC 4592 section 2.2.2: a name
    /// exists when something below it does).
    fn node(&mut self, zone: &Zone, name: &Name) -> &mut Node {
        let mut ancestor = name.parent();
        while let Some(above) = ancestor.filter(|above| above.is_within(&zone.apex)) {
            if self.nodes.contains_key(&above) {
                break;
            }
            ancestor = above.parent();
            self.nodes.insert(above, Node::default());
        }
        self.nodes.entry(name.clone()).or_default()
    }

    fn insert(&mut self, zone: &Zone, name: &Name, ttl: u32, data: RData) {
        let Some(kind) = Kind::of(data.record_type()) else {
            return;
        };
        let set = self
            .node(zone, name)
            .sets
            .entry(kind)
            .or_insert(Set { ttl, data: vec![] });
        set.ttl = set.ttl.min(ttl);
        if !set.data.contains(&data) {
            set.data.push(data);
        }
    }
}

impl Node {
    pub(super) fn set(&self, kind: Kind) -> Option<&Set> {
        self.sets.get(&kind)
    }

    pub(super) fn sets(&self) -> impl Iterator<Item = &Set> {
        self.sets.values()
    }
}

impl Kind {
    /// The kind of records that a question asks for; `None` for types that we never hold.
    pub(super) fn of(asked: RecordType) -> Option<Self> {
        match asked {
            RecordType::A => Some(Self::A),
            RecordType::AAAA => Some(Self::Aaaa),
            RecordType::CAA => Some(Self::Caa),
            RecordType::SOA => Some(Self::Soa),
            RecordType::NS => Some(Self::Ns),
            _ => None,
        }
    }
}

fn wire_name(name: &Name) -> Result<WireName, PublishError> {
    let mut wire = WireName::from_ascii(name.as_str())
        .map_err(|error| PublishError::Config(format!("{name} cannot be written as a domain name: {error}")))?;
    wire.set_fqdn(true);
    Ok(wire)
}

fn wire_data(data: RecordData) -> RData {
    match data {
        RecordData::A(address) => RData::A(A(address)),
        RecordData::Aaaa(address) => RData::AAAA(AAAA(address)),
        RecordData::Caa => RData::CAA(CAA::new_issue(false, None, vec![])),
    }
}

/// The name as [`Name`] writes it; `None` when a label holds a byte that no name of ours has. Without that check
/// the two labels `a` and `b` and the one label `a.b` would be the same text.
fn text_of(name: &WireName) -> Option<String> {
    let mut text = String::with_capacity(name.len());
    for label in name.iter() {
        if !text.is_empty() {
            text.push('.');
        }
        for byte in label {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => text.push(byte.to_ascii_lowercase().into()),
                _ => return None,
            }
        }
    }
    Some(text)
}

/// TTL of SOA, NS and the name server's addresses, in seconds.
const APEX_TTL: u32 = 3600;
/// SOA timers for secondaries, in seconds (RFC 1912 section 2.2). Nobody transfers this zone; checkers look at them.
const SOA_REFRESH: i32 = 3600;
const SOA_RETRY: i32 = 600;
const SOA_EXPIRE: i32 = 604_800;
