//! The next keyset, from the one before and what is to change. Pure: keys and times in, a claim out.

use std::time::Duration;

use proto::{
    ClaimError,
    checked::sign,
    claims::{KeyBytes, KeyEntry, Keyset, Revoked, Role},
    ids::{Digest, Thumbprint},
    key::{PublicKey, SigningKey},
    time::{Seconds, Timestamp},
};

use super::{DAY, Keys};

/// A keyset that is not signed yet.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    now: Timestamp,
    issued_at: Seconds,
    keys: Vec<KeyEntry>,
    revoked: Vec<Revoked>,
}

impl Draft {
    /// The first keyset of a root.
    pub(super) const fn first(now: Timestamp) -> Self {
        Self {
            now,
            issued_at: now.seconds(),
            keys: Vec::new(),
            revoked: Vec::new(),
        }
    }

    /// A keyset that says what `previous` says, from now on.
    ///
    /// An entry that ends with its keyset is *open*: it is renewed with it. One that ends earlier was superseded: it stays
    /// as it is, and is listed for [`Keys::LIFE`] after its end, since sessions that began with it are still there.
    pub(super) fn after(previous: &Keyset, now: Timestamp) -> Self {
        let mut draft = Self::first(now);
        // Agents take the later of two: a clock that was set back must not make the new one the older.
        draft.issued_at = now
            .seconds()
            .max(Seconds::new(previous.issued_at.as_u64().saturating_add(1)));
        draft.revoked.clone_from(&previous.revoked);
        for entry in &previous.keys {
            let expires = if is_open(previous, entry) {
                draft.expires()
            } else {
                entry.expires
            };
            if now < expires.start().plus(Keys::LIFE) {
                draft.keys.push(KeyEntry {
                    expires,
                    ..entry.clone()
                });
            }
        }
        draft
    }

    /// The time from which on it says so.
    pub(super) const fn now(&self) -> Timestamp {
        self.now
    }

    /// Lists a key for as long as the keyset lasts; what was listed for its role before ends after `overlap`.
    pub(super) fn put_in(&mut self, role: Role, key: PublicKey, overlap: Duration) {
        let (open_end, end) = (self.expires(), self.now.plus(overlap).seconds());
        for entry in &mut self.keys {
            if entry.role == role && entry.expires >= open_end {
                entry.expires = end;
            }
        }
        self.keys.push(KeyEntry {
            role,
            key: KeyBytes(*key.as_bytes()),
            not_before: self.not_before(),
            expires: open_end,
        });
        // Those that ended first make room.
        while self.keys.len() > Keyset::MAX_KEYS {
            let ended = self.keys.iter().enumerate();
            let ended = ended
                .filter(|(_, entry)| entry.expires <= self.now.seconds())
                .min_by_key(|(_, entry)| entry.expires);
            let Some((index, _)) = ended else { break };
            self.keys.remove(index);
        }
    }

    /// Takes a key out, and says that it does not count from `since` on.
    pub(super) fn revoke(&mut self, key_id: Thumbprint, since: Seconds) {
        self.keys.retain(|entry| thumbprint(entry) != Some(key_id));
        self.revoked.retain(|revoked| !revoked.is_of(key_id));
        let key = Digest::from_bytes(*key_id.as_bytes());
        self.revoked.push(Revoked { key, since });
        self.revoked.sort_unstable_by_key(|revoked| revoked.key);
    }

    /// How many keys it revokes.
    pub(super) const fn revoked(&self) -> usize {
        self.revoked.len()
    }

    /// What it says.
    pub(super) fn keyset(&self, root: &PublicKey) -> Keyset {
        Keyset {
            issuer: root.thumbprint(),
            expires: self.expires(),
            not_before: self.not_before(),
            issued_at: self.issued_at,
            keys: self.keys.clone(),
            revoked: self.revoked.clone(),
        }
    }

    /// Signs it.
    pub(super) fn sign(&self, root: &SigningKey) -> Result<Vec<u8>, ClaimError> {
        sign(&self.keyset(&root.public()), root)
    }

    /// Agents read the keyset before they learn the attester's time, and their clocks may be behind.
    fn not_before(&self) -> Seconds {
        self.now.minus(Duration::from_secs(DAY)).seconds()
    }

    fn expires(&self) -> Seconds {
        self.now.plus(Keys::LIFE).seconds()
    }
}

/// Whether an entry is renewed with its keyset, and not on its way out.
pub(super) fn is_open(keyset: &Keyset, entry: &KeyEntry) -> bool {
    entry.expires >= keyset.expires
}

/// The thumbprint of a listed key.
pub(super) fn thumbprint(entry: &KeyEntry) -> Option<Thumbprint> {
    Some(PublicKey::from_bytes(&entry.key.0).ok()?.thumbprint())
}
