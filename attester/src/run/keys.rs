//! A change of the attester's own keys: agents hear of it, and what rests on a revoked key is gone at once.

use std::sync::Arc;

use proto::{
    checked::Signed,
    claims::{KeyEntry, Keyset, Registration, Role},
    ids::PeerId,
};

use super::{Core, grounds::Grounds, member::Member, restore::restored};
use crate::{
    decide::{Event, Life, Standing},
    model::{Finding, Identity, Reason},
};

impl Core {
    /// Follows the keys as they are now, if they are others than before.
    pub(super) async fn follow_keys(&mut self) {
        let keys = self.kit.keys();
        let before = std::mem::replace(&mut self.keys, Arc::clone(&keys));
        if before.keyset_bytes == keys.keyset_bytes {
            return;
        }
        if before.keyset.revoked != keys.keyset.revoked {
            self.void_streaks().await;
            let proven = |(_, member): &(&PeerId, &Member)| matches!(member.life.standing(), Standing::Verified { .. });
            self.doubted = self.members.iter().filter(proven).map(|(id, _)| id.clone()).collect();
        }
        self.pass_keyset_on();
        if anything_gone(&before.keyset, &keys.keyset) {
            self.end_sessions_of_gone_keys(&keys.keyset);
        }
    }

    /// Makes the standing of some members again from their stored evidence, as after a restart. Many of them take a while,
    /// so that the loop does something else in between.
    pub(super) async fn make_standing_again(&mut self) {
        let terms = self.terms();
        let most = self.doubted.len().min(AGAIN_AT_ONCE);
        let ids: Vec<PeerId> = self.doubted.drain(..most).collect();
        let mut lost = Vec::new();
        for id in ids {
            let now = self.kit.clock.now();
            let Some(member) = self.members.get(&id) else { continue };
            if member.life.lease().is_none() {
                continue;
            }
            let found = restored(&self.kit.store, &member.row(now), &terms, now).await;
            let found = found.unwrap_or_else(|error| {
                tracing::warn!(%error, peer = %id, "stored evidence cannot be read after a key was revoked");
                None
            });
            let Some(member) = self.members.get_mut(&id) else {
                continue;
            };
            // What cannot be shown to rest on keys that count is not left standing.
            let unread = |identity: &Identity| {
                let why = Finding::new(Reason::KeyRevoked, "the stored evidence cannot be read");
                (Life::starting_over(identity.clone(), why), Grounds::default())
            };
            let (life, grounds) = found.unwrap_or_else(|| unread(member.life.identity()));
            if life.membership(now).is_none() {
                lost.push(id.clone());
            }
            (member.life, member.grounds) = (life, grounds);
            member.admitted = member.admitted && member.life.membership(now).is_some();
            let row = member.row(now);
            let kept = self.kit.store.record_peer(&row).await;
            self.note_store(kept);
        }
        if lost.is_empty() {
            return;
        }
        tracing::info!(
            peers = lost.len(),
            "memberships rested on a revoked key and are proved anew"
        );
        self.publish();
        for id in lost {
            if let Some(session) = self.roster.by_peer(&id).map(crate::session::SessionHandle::id) {
                self.begin_naming(&id, session);
            }
            self.schedule(&id);
        }
    }

    /// Streaks towards admission begin anew: what they rest on may be what was revoked.
    async fn void_streaks(&mut self) {
        let on_the_way = |(_, member): &(&PeerId, &Member)| member.life.standing().streak().is_some();
        let ids: Vec<PeerId> = self
            .members
            .iter()
            .filter(on_the_way)
            .map(|(id, _)| id.clone())
            .collect();
        for id in ids {
            self.transition(&id, Event::KeyRevoked).await;
        }
    }

    /// Sends the keyset to every agent that has not got it yet.
    fn pass_keyset_on(&self) {
        for session in self.roster.iter() {
            if let Err(finding) = session.send_keyset() {
                tracing::debug!(peer = %session.peer(), %finding, "the keyset could not be sent");
            }
        }
    }

    /// Ends sessions that began with a key which does not count any more: no probe of theirs could be proved. Their agents
    /// come back by themselves.
    fn end_sessions_of_gone_keys(&self, keyset: &Keyset) {
        for session in self.roster.iter() {
            let Some(member) = self.members.get(session.peer()) else {
                continue;
            };
            if let Err(finding) = counts(keyset, &member.registration) {
                tracing::debug!(peer = %session.peer(), %finding, "a session's key is gone");
                session.close(&finding);
            }
        }
    }
}

/// Whether a key that sessions may have begun with does not count any more.
fn anything_gone(before: &Keyset, now: &Keyset) -> bool {
    let still = |old: &KeyEntry| now.keys.iter().any(|new| (new.role, new.key) == (old.role, old.key));
    before.revoked != now.revoked || !before.keys.iter().all(still)
}

/// Whether a registration is for a session of a key that the keyset still lists.
pub(super) fn counts(keyset: &Keyset, registration: &[u8]) -> Result<(), Finding> {
    let gone = |error: proto::ClaimError| Finding::new(Reason::KeyRevoked, error.to_string());
    let signed = Signed::<Registration>::parse(registration).map_err(gone)?;
    let registration = signed.dangerously_unverified();
    let key = registration.audience;
    if let Some(since) = keyset.revoked_since(key) {
        let role = Role::Attester.as_str();
        return Err(gone(proto::ClaimError::Revoked { role, key, since }));
    }
    keyset
        .key(Role::Attester, key, registration.issued_at.start())
        .map(drop)
        .map_err(gone)
}

/// Members whose evidence is looked at in one go; each takes a few milliseconds.
const AGAIN_AT_ONCE: usize = 16;
