//! The live sessions of admitted peers: one a key, the newer replacing the older, found by peer or by address.

use std::{collections::HashMap, net::SocketAddr};

use proto::ids::PeerId;

use super::{SessionHandle, SessionId};

/// Who is connected. A plain value with one owner, which hears of every end as a
/// [`SessionEvent`](super::SessionEvent).
#[derive(Debug, Default)]
pub struct Roster {
    by_peer: HashMap<PeerId, Seated>,
    by_address: HashMap<SocketAddr, PeerId>,
}

#[derive(Debug)]
struct Seated {
    handle: SessionHandle,
    address: SocketAddr,
}

impl Roster {
    /// A roster without sessions.
    pub fn new() -> Self {
        Self::default()
    }

    /// Enters a peer's session at the address that it serves at. An older session of the same peer is closed and given
    /// back; when `handle` itself is the older one (two registrations may be decided out of order), it is the one closed.
    ///
    /// Whether the address is free is decided before: see [`Roster::holder`]. A session of another peer at the same
    /// address stays reachable by its peer only.
    pub fn seat(&mut self, handle: SessionHandle, address: SocketAddr) -> Option<SessionHandle> {
        let peer = handle.peer().clone();
        if let Some(seated) = self.by_peer.get(&peer)
            && seated.handle.id() > handle.id()
        {
            handle.close_as_replaced();
            return Some(handle);
        }
        let replaced = self.by_peer.get(&peer).map(|seated| seated.handle.clone());
        if let Some(older) = &replaced {
            older.close_as_replaced();
            self.forget(&peer);
        }
        self.by_address.insert(address, peer.clone());
        self.by_peer.insert(peer, Seated { handle, address });
        replaced
    }

    /// The session of a peer.
    pub fn by_peer(&self, peer: &PeerId) -> Option<&SessionHandle> {
        self.by_peer.get(peer).map(|seated| &seated.handle)
    }

    /// The session whose peer serves at this address.
    pub fn holder(&self, address: SocketAddr) -> Option<&SessionHandle> {
        self.by_address.get(&address).and_then(|peer| self.by_peer(peer))
    }

    /// Removes a session that ended. `false` when it is not there, because a newer one replaced it, say.
    pub fn remove(&mut self, peer: &PeerId, session: SessionId) -> bool {
        let there = self.by_peer(peer).is_some_and(|handle| handle.id() == session);
        if there {
            self.forget(peer);
        }
        there
    }

    /// How many peers are connected.
    pub fn len(&self) -> usize {
        self.by_peer.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.by_peer.is_empty()
    }

    /// All sessions, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &SessionHandle> {
        self.by_peer.values().map(|seated| &seated.handle)
    }

    fn forget(&mut self, peer: &PeerId) {
        if let Some(seated) = self.by_peer.remove(peer)
            && self.by_address.get(&seated.address) == Some(peer)
        {
            self.by_address.remove(&seated.address);
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proto::key::SigningKey;

    use super::*;

    fn peer(seed: u8) -> PeerId {
        SigningKey::from_seed(&[seed; 32]).public().peer_id()
    }

    fn address(port: u16) -> SocketAddr {
        ([192, 0, 2, 1], port).into()
    }

    #[test]
    fn a_newer_session_replaces_the_older_and_moves_its_address() {
        let mut roster = Roster::new();
        let (first, second) = (
            SessionHandle::unconnected(1, peer(1)),
            SessionHandle::unconnected(2, peer(1)),
        );
        assert!(roster.seat(first.clone(), address(1)).is_none());
        assert_eq!(roster.holder(address(1)).unwrap().id(), first.id());
        assert_eq!(roster.seat(second.clone(), address(2)).unwrap().id(), first.id());
        assert!(!first.is_live() && second.is_live());
        assert!(roster.holder(address(1)).is_none());
        assert_eq!(roster.holder(address(2)).unwrap().id(), second.id());
        assert!(!roster.remove(&peer(1), first.id()));
        assert_eq!(roster.len(), 1);
        assert!(roster.remove(&peer(1), second.id()));
        assert!(roster.is_empty() && roster.holder(address(2)).is_none() && roster.iter().next().is_none());
    }

    #[test]
    fn an_older_session_decided_later_does_not_replace() {
        let mut roster = Roster::new();
        let (first, second) = (
            SessionHandle::unconnected(1, peer(1)),
            SessionHandle::unconnected(2, peer(1)),
        );
        assert!(roster.seat(second.clone(), address(1)).is_none());
        assert_eq!(roster.seat(first.clone(), address(1)).unwrap().id(), first.id());
        assert!(!first.is_live() && second.is_live());
        assert_eq!(roster.by_peer(&peer(1)).unwrap().id(), second.id());
    }

    #[test]
    fn peers_do_not_take_each_others_entries_along() {
        let mut roster = Roster::new();
        let (one, two) = (
            SessionHandle::unconnected(1, peer(1)),
            SessionHandle::unconnected(2, peer(2)),
        );
        roster.seat(one.clone(), address(1));
        roster.seat(two.clone(), address(1));
        assert!(roster.remove(&peer(1), one.id()));
        assert_eq!(roster.holder(address(1)).unwrap().id(), two.id());
        assert!(one.is_live() && two.is_live());
    }
}
