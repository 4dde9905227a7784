//! Who may still come: how many peers without membership one holder of addresses and one network may have, and how many
//! peers there may be in all. Of those that are gone the one that was gone longest makes room. What a stranger can fill
//! memory and disk with is so bounded by the addresses that it has (promise P6), and members are never asked to leave.
//! Whoever comes back to its address keeps its place, under another key as well.

use std::net::IpAddr;

use proto::{claims::Link, ids::PeerId, time::Timestamp};

use crate::model::place::{holder, network};

/// A peer that is there already.
#[derive(Clone, Copy, Debug)]
pub(super) struct Occupant<'a> {
    pub(super) id: &'a PeerId,
    pub(super) ip: IpAddr,
    /// Whether it has a lease.
    pub(super) member: bool,
    /// Since when nothing was heard of it; `None` while it has a session or is being probed.
    pub(super) gone: Option<Timestamp>,
}

/// Who asks for a place.
#[derive(Clone, Debug)]
pub(super) struct Newcomer {
    /// Its key's, and those of the keys that it leaves: whoever is there under one of these is itself.
    selves: Vec<PeerId>,
    ip: IpAddr,
}

impl Newcomer {
    /// One that would be at `ip`, and comes to its key by `past`.
    pub(super) fn new(id: PeerId, ip: IpAddr, past: &[Link]) -> Self {
        let before = past.iter().map(|link| link.old.peer_id());
        Self {
            selves: before.chain([id]).collect(),
            ip,
        }
    }
}

/// Why nobody more may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// At its address.
    Here,
    /// In its network.
    Near,
    /// Anywhere.
    Everywhere,
}

impl Full {
    pub(super) const fn told(self) -> &'static str {
        match self {
            Self::Here => "too many peers at this address are not proven yet",
            Self::Near => "too many peers in this network are not proven yet",
            Self::Everywhere => "",
        }
    }
}

/// Who must go before `newcomer` may have its place among those that are `there`; `None` when nobody must. At most `most`
/// may be there in all. Where a peer that is known is, `place` says: it finds one of thousands without looking at all.
///
/// # Errors
/// When there is no room, and nobody who could make some.
pub(super) fn room<'a>(
    newcomer: &Newcomer,
    place: impl Fn(&PeerId) -> Option<IpAddr>,
    there: impl Iterator<Item = Occupant<'a>> + Clone,
    most: usize,
) -> Result<Option<&'a PeerId>, Full> {
    let Newcomer { selves, ip } = newcomer;
    // Who comes back to where it was takes no new place, under whichever of its keys.
    if selves.iter().filter_map(place).any(|was| holder(was) == holder(*ip)) {
        return Ok(None);
    }
    // From anywhere else it leaves.
    let there = there.filter(|of| !selves.contains(of.id));
    let here = |of: &Occupant<'_>| !of.member && holder(of.ip) == holder(*ip);
    let near = |of: &Occupant<'_>| !of.member && network(of.ip) == network(*ip);
    if there.clone().filter(here).count() >= PER_HOLDER {
        return longest_gone(there.filter(here)).map(Some).ok_or(Full::Here);
    }
    if there.clone().filter(near).count() >= PER_NETWORK {
        return longest_gone(there.filter(near)).map(Some).ok_or(Full::Near);
    }
    if there.clone().count() >= most {
        let unproven = there.filter(|of| !of.member);
        return longest_gone(unproven).map(Some).ok_or(Full::Everywhere);
    }
    Ok(None)
}

fn longest_gone<'a>(of: impl Iterator<Item = Occupant<'a>>) -> Option<&'a PeerId> {
    of.filter_map(|of| Some((of.gone?, of.id))).min().map(|(_, id)| id)
}

/// Peers without membership that one holder of addresses may have: an IPv4 address, an IPv6 /64.
const PER_HOLDER: usize = 8;
/// And one network, /24 or /48, in which there may be many holders.
const PER_NETWORK: usize = 32;

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests;
