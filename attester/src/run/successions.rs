//! Who moved to which key. An identity moves once, and a key takes over one: the first move counts, whoever comes later.
//!
//! The new key begins at *registered* (promise P1) and takes along what counted against the old one. What the old one had
//! goes: its session, its name, its place in a rotation, and for good.

use std::collections::HashMap;

use proto::{claims::Link, ids::PeerId, key::PublicKey};

use super::{Core, admission::not_kept, member::Member};
use crate::{
    decide::Life,
    model::{Finding, Identity, Reason},
    session::Register,
    store::StoreError,
};

/// The moves that the store knows.
#[derive(Debug, Default)]
pub(super) struct Successions {
    /// By the identity that was left.
    next: HashMap<PeerId, PublicKey>,
    /// By the identity that was taken on.
    before: HashMap<PeerId, PeerId>,
}

impl Successions {
    /// Adds a move.
    pub(super) fn add(&mut self, link: &Link) {
        self.next.insert(link.old.peer_id(), link.new);
        self.before.insert(link.new.peer_id(), link.old.peer_id());
    }

    /// Forgets the moves of these identities.
    pub(super) fn forget(&mut self, olds: &[PeerId]) {
        for old in olds {
            if let Some(new) = self.next.remove(old) {
                self.before.remove(&new.peer_id());
            }
        }
    }

    /// Whether `peer` has moved to another key.
    pub(super) fn has_left(&self, peer: &PeerId) -> bool {
        self.next.contains_key(peer)
    }

    /// The moves of a verified chain that are new.
    ///
    /// # Errors
    /// When the chain's last key, which registers, has moved on, or a move contradicts a known one.
    pub(super) fn news<'a>(&self, key: &PublicKey, chain: &'a [Link]) -> Result<&'a [Link], Finding> {
        // Not where to: whoever found an old key would be told where its owner is now.
        if self.has_left(&key.peer_id()) {
            return Err(Reason::KeySucceeded.into());
        }
        let mut known = 0;
        for (position, link) in chain.iter().enumerate() {
            let (old, new) = (link.old.peer_id(), link.new.peer_id());
            match (self.next.get(&old), self.before.get(&new)) {
                (Some(taken), _) if *taken == link.new => known = position + 1,
                (Some(_), _) => {
                    let told = format!("{old} moved to another key");
                    return Err(Finding::new(Reason::SuccessionTaken, told));
                }
                (None, Some(_)) => {
                    let told = format!("{new} took another identity over");
                    return Err(Finding::new(Reason::SuccessionTaken, told));
                }
                (None, None) => {}
            }
        }
        // Older ones than a known one were forgotten, or nobody came by them: they change nothing any more.
        Ok(chain.get(known..).unwrap_or_default())
    }
}

impl Core {
    /// The moves to a registration's key that are news.
    ///
    /// # Errors
    /// When its key has moved on, or one of the moves contradicts what is known.
    pub(super) fn past(&self, register: &Register, identity: &Identity) -> Result<Vec<Link>, Finding> {
        self.successions
            .news(&identity.key, &register.chain)
            .map(<[Link]>::to_vec)
    }

    /// Seats a peer in the place of those that it was before. Either all of it is written down, or nothing has happened.
    pub(super) async fn seat_successor(&mut self, register: Box<Register>, identity: Identity, past: &[Link]) {
        let now = self.kit.clock.now();
        let id = identity.id();
        let mut member = self.successor(identity, past);
        member.arrive(&register, now, &self.kit.policy);
        let recorded = self.kit.store.record_succession(past, &member.row(now), now).await;
        match &recorded {
            Ok(moved) => {
                member.first_seen = moved.first_seen;
                for link in past {
                    self.retire(link);
                }
                self.successions.forget(&moved.forgotten);
                // Under this key it may have been here before.
                self.drop_member(&id);
                self.members.insert(id, member);
                let register = *register;
                self.welcome(register.handle, register.answer);
            }
            Err(_) => self.reject(register, &not_kept()),
        }
        self.note_store(recorded);
    }

    /// What the peer begins with.
    fn successor(&self, identity: Identity, past: &[Link]) -> Member {
        let now = self.kit.clock.now();
        let ids = past.iter().map(|link| link.old.peer_id()).chain([identity.id()]);
        let earlier: Vec<&Member> = ids.filter_map(|id| self.members.get(&id)).collect();
        let first_seen = earlier.iter().map(|member| member.first_seen).min();
        let probed = earlier.iter().map(|member| member.probed).max();
        let life = Life::succeeding(identity, earlier.iter().map(|member| &member.life));
        Member {
            first_seen: first_seen.unwrap_or(now),
            probed: probed.unwrap_or_default(),
            ..Member::new(life, now)
        }
    }

    /// Ends what the older key had here.
    fn retire(&mut self, link: &Link) {
        let old = link.old.peer_id();
        let new = link.new.peer_id();
        tracing::debug!(%old, %new, "an identity moved to a new key");
        if let Some(session) = self.roster.by_peer(&old) {
            session.close(&Reason::KeySucceeded.into());
        }
        self.drop_member(&old);
        self.successions.add(link);
    }

    /// Reads the moves that the store knows, verifying each again.
    pub(super) async fn load_successions(&mut self) -> Result<(), StoreError> {
        let loaded = self.kit.store.successions().await?;
        for bad in &loaded.bad {
            tracing::warn!(peer = %bad.id, why = %bad.why, "a stored succession does not hold and is left out");
        }
        for row in &loaded.rows {
            self.successions.add(&row.link);
        }
        Ok(())
    }

    /// Forgets moves that nobody can present any more, of peers that are not known any more.
    pub(super) async fn prune_successions(&mut self) {
        let pruned = self.kit.store.prune_successions(self.kit.clock.now()).await;
        if let Ok(olds) = &pruned {
            self.successions.forget(olds);
        }
        self.note_store(pruned);
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proto::{claims::Succession, key::SigningKey, time::Timestamp};

    use super::*;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed(&[seed; 32])
    }

    fn link(old: u8, new: u8) -> Link {
        let pair = Succession::sign_pair(&key(old), &key(new), Timestamp::from_secs(1_800_000_000)).unwrap();
        Link::dangerously_at_any_time(pair).unwrap()
    }

    fn known(moves: &[(u8, u8)]) -> Successions {
        let mut successions = Successions::default();
        for (old, new) in moves {
            successions.add(&link(*old, *new));
        }
        successions
    }

    /// How many moves are new, or the reason why there are none.
    fn news(known: &Successions, chain: &[(u8, u8)], key_of: u8) -> Result<usize, Reason> {
        let chain: Vec<Link> = chain.iter().map(|(old, new)| link(*old, *new)).collect();
        known
            .news(&key(key_of).public(), &chain)
            .map(<[Link]>::len)
            .map_err(|finding| finding.reason)
    }

    #[test]
    fn what_is_known_is_no_news_and_what_contradicts_it_is_refused() {
        let known = known(&[(1, 2), (2, 3)]);
        for (chain, key, expected) in [
            (&[][..], 9, Ok(0)),
            (&[][..], 3, Ok(0)),
            (&[(8, 9)], 9, Ok(1)),
            (&[(1, 2), (2, 3)], 3, Ok(0)),
            (&[(1, 2), (2, 3), (3, 4)], 4, Ok(1)),
            (&[(3, 4), (4, 5)], 5, Ok(2)),
            // From before what is known.
            (&[(7, 1), (1, 2), (2, 3)], 3, Ok(0)),
            // The keys that were left.
            (&[], 1, Err(Reason::KeySucceeded)),
            (&[(1, 2)], 2, Err(Reason::KeySucceeded)),
            (&[(3, 1)], 1, Err(Reason::KeySucceeded)),
            // A second successor, and a second past.
            (&[(1, 9)], 9, Err(Reason::SuccessionTaken)),
            (&[(2, 9)], 9, Err(Reason::SuccessionTaken)),
            (&[(1, 2), (2, 9)], 9, Err(Reason::SuccessionTaken)),
            (&[(9, 3)], 3, Err(Reason::SuccessionTaken)),
            (&[(3, 9), (9, 2)], 2, Err(Reason::KeySucceeded)),
        ] {
            assert_eq!(news(&known, chain, key), expected, "{chain:?} by {key}");
        }
    }

    #[test]
    fn a_forgotten_past_leaves_nothing() {
        let mut all = known(&[(1, 2), (2, 3), (3, 4), (7, 8)]);
        all.forget(&[key(1).public().peer_id()]);
        assert_eq!(news(&all, &[], 1), Ok(0));
        assert_eq!(news(&all, &[], 2), Err(Reason::KeySucceeded));
        all.forget(&[2, 3].map(|number| key(number).public().peer_id()));
        assert_eq!((all.next.len(), all.before.len()), (1, 1));
        assert!(all.has_left(&key(7).public().peer_id()));
        assert!(!all.has_left(&key(8).public().peer_id()));
    }
}
