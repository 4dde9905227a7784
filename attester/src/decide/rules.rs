//! The rules of admission and eviction: what is fixed for all peers.

use std::time::Duration;

use proto::claims::{Path, Protocol};

use crate::{
    model::{Identity, Route},
    verify::Verified,
};

/// The rules of admission and eviction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Consecutive proofs for admission (k).
    pub proofs: u32,
    /// How long membership lasts after a proof.
    pub lease: Duration,
    /// Counted failures that refuse a peer, or that suspend a member when they are consecutive.
    pub strikes: u32,
    /// The fronted route, if peers are probed by it.
    pub fronted: Option<Fronted>,
}

/// How peers are probed through an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fronted {
    /// The port at which the edge reaches them. Those on others cannot be fronted.
    pub port: u16,
    /// Whether admission takes a proof by it.
    pub required: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            proofs: 3,
            lease: Duration::from_secs(300),
            strikes: 2,
            fronted: None,
        }
    }
}

impl Rules {
    /// Consecutive proofs that `identity` needs: at least one for each protocol that it lists, and one through the edge where
    /// that is required.
    pub fn proofs_for(&self, identity: &Identity) -> u32 {
        let routes = identity.protocols.len() + usize::from(self.requires_fronted(identity));
        self.proofs.max(u32::try_from(routes).unwrap_or(u32::MAX))
    }

    /// The route through the edge by which `identity` is probed too: an edge forwards the requests of enproxy, to one port.
    pub fn fronted_route(&self, identity: &Identity) -> Option<Route> {
        let reached = self
            .fronted
            .is_some_and(|fronted| fronted.port == identity.address.port());
        let mut spoken = identity
            .protocols
            .iter()
            .filter(|protocol| *protocol != Protocol::Connect);
        spoken.next().filter(|_| reached).map(|protocol| Route {
            path: Path::Fronted,
            protocol,
        })
    }

    /// Whether `proof` shows every route that admission takes.
    pub fn are_met_by(&self, proof: &Verified) -> bool {
        proof.is_complete() && (proof.is_fronted() || !self.requires_fronted(proof.identity()))
    }

    /// Whether admission of `identity` takes a proof through the edge.
    pub fn requires_fronted(&self, identity: &Identity) -> bool {
        self.fronted.is_some_and(|fronted| fronted.required) && self.fronted_route(identity).is_some()
    }
}
