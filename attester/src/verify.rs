//! Evidence in, [`Verified`] or a reason out (DESIGN 4.2, step 7; promise P1).
//!
//! Three witnesses must agree before DNS changes: the prober (observation), the origin (statement) and the peer (receipt).
//! Everything is decided from the signed bytes, so the same function runs when a probe ends, when an attester restarts and
//! when somebody checks an exported file offline.
//!
//! A [`Verified`] is made here and nowhere else. Outside of this module this does not compile, each for its reason, while
//! reading one does:
//!
//! ```
//! fn address(proof: &attester::verify::Verified) -> std::net::SocketAddr {
//!     proof.identity().address
//! }
//! ```
//! ```compile_fail,E0451
//! // Its fields are private: it cannot be constructed.
//! fn forged(identity: attester::model::Identity) -> attester::verify::Verified {
//!     attester::verify::Verified { identity, routes: Default::default(), goodput: None }
//! }
//! ```
//! ```compile_fail,E0451
//! // Nor from the parts of another one.
//! fn moved(proof: attester::verify::Verified, identity: attester::model::Identity) -> attester::verify::Verified {
//!     attester::verify::Verified { identity, ..proof }
//! }
//! ```
//! ```compile_fail,E0616
//! // Nor changed in place.
//! fn moved(mut proof: attester::verify::Verified, identity: attester::model::Identity) {
//!     proof.identity = identity;
//! }
//! ```
//! ```compile_fail,E0277
//! // It has no default.
//! fn default<T: Default>() -> T { T::default() }
//! let forged = default::<attester::verify::Verified>();
//! ```
//! ```compile_fail,E0277
//! // It cannot be read from a row or a file.
//! fn read<T: serde::de::DeserializeOwned>(text: &str) -> T { serde_json::from_str(text).unwrap() }
//! let forged = read::<attester::verify::Verified>("{}");
//! ```
//! ```compile_fail,E0277
//! // It cannot be copied, so a proof that was taken back is gone.
//! fn copy<T: Clone>(proof: &T) -> T { proof.clone() }
//! fn twice(proof: &attester::verify::Verified) { copy::<attester::verify::Verified>(proof); }
//! ```
//! And no address enters a rotation without one:
//! ```compile_fail,E0308
//! let mut desired = attester::records::Desired::new();
//! let address: std::net::IpAddr = "192.0.2.1".parse().unwrap();
//! desired.admit(attester::records::Name::parse("roundrobin.example").unwrap(), address);
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use proto::{claims::Path, ids::ProbeId, time::Timestamp};

use crate::model::{Identity, Route};

pub mod account;
mod answered;
mod checks;
mod recheck;
mod trust;
mod witnesses;

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;

pub use answered::Answered;
pub use checks::{Case, verify};
pub use recheck::{Audit, Recheck, audit, recheck};
pub use trust::Trust;

/// A peer's proof: this key, at this address, with this TLS key, carried real traffic by these routes.
///
/// Neither `Clone`, `Default` nor `Deserialize`, and without any constructor but [`verify`].
#[derive(Debug)]
pub struct Verified {
    identity: Identity,
    routes: BTreeMap<Route, Proof>,
    goodput: Option<Measured>,
}

/// When and by which probe something was proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The probe.
    pub probe: ProbeId,
    /// When its receipt arrived.
    pub at: Timestamp,
}

/// A throughput that was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measured {
    /// By which probe and when.
    pub proof: Proof,
    /// Bytes per second.
    pub rate: u64,
}

impl Verified {
    /// Whose proof it is.
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The routes that were proven, each with its latest proof.
    pub const fn routes(&self) -> &BTreeMap<Route, Proof> {
        &self.routes
    }

    /// The latest measured throughput.
    pub const fn goodput(&self) -> Option<Measured> {
        self.goodput
    }

    /// When the latest proof was made.
    pub fn at(&self) -> Timestamp {
        self.routes.values().map(|proof| proof.at).max().unwrap_or_default()
    }

    /// The probes that it rests on, whose evidence must be kept.
    pub fn probes(&self) -> BTreeSet<ProbeId> {
        let measured = self.goodput.map(|measured| measured.proof.probe);
        self.routes.values().map(|proof| proof.probe).chain(measured).collect()
    }

    /// Whether every protocol that the peer lists was proven by the direct route, and its throughput measured.
    pub fn is_complete(&self) -> bool {
        let proven = |protocol| self.routes.contains_key(&Route::direct(protocol));
        self.goodput.is_some() && self.identity.protocols.iter().all(proven)
    }

    /// Whether the direct route was proven, by any protocol.
    pub fn is_direct(&self) -> bool {
        self.routes.keys().any(|route| route.path == Path::Direct)
    }

    /// Whether a route through an edge was proven.
    pub fn is_fronted(&self) -> bool {
        self.routes.keys().any(|route| route.path == Path::Fronted)
    }

    /// Takes a newer proof in. Proofs of different identities do not add up: then the newer one is all there is.
    #[must_use]
    pub fn join(mut self, newer: Self) -> Self {
        if self.identity != newer.identity {
            return newer;
        }
        for (route, proof) in newer.routes {
            let known = self.routes.entry(route).or_insert(proof);
            if known.at <= proof.at {
                *known = proof;
            }
        }
        if newer
            .goodput
            .is_some_and(|new| self.goodput.is_none_or(|old| old.proof.at <= new.proof.at))
        {
            self.goodput = newer.goodput;
        }
        self
    }
}

/// What [`verify`] demands beyond what is fixed by the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demands {
    /// How far the peer's corrected times may be off.
    pub clock_tolerance: Duration,
    /// A body at least this long, in bytes, is a measurement of throughput.
    pub goodput_body: u64,
    /// The least throughput, in bytes per second.
    pub goodput_floor: u64,
}

impl Default for Demands {
    fn default() -> Self {
        Self {
            clock_tolerance: Duration::from_secs(10),
            goodput_body: 256 << 10,
            goodput_floor: 32 << 10,
        }
    }
}

/// Whether traffic that left from `source` left from the peer at `registered`: equal, or for IPv6 in one /64 (a host uses
/// several addresses of its network, RFC 8981).
pub fn same_host(registered: IpAddr, source: IpAddr) -> bool {
    match (registered.to_canonical(), source.to_canonical()) {
        (IpAddr::V4(left), IpAddr::V4(right)) => left == right,
        (IpAddr::V6(left), IpAddr::V6(right)) => left.segments()[..4] == right.segments()[..4],
        _ => false,
    }
}
