//! keyset: the root says which keys are valid now, and which never were, or are not any more.

use super::{Claim, KeyBytes, claim_map, text_enum};
use crate::{
    error::ClaimError,
    ids::{Digest, Thumbprint},
    key::PublicKey,
    time::{Seconds, Timestamp},
};

claim_map! {
    /// The attester, origin and prober keys now valid, signed by the root, which signs nothing else.
    pub struct Keyset {
        /// The root key's thumbprint.
        1 => issuer: Thumbprint,
        /// End of the window (30 days by default).
        4 => expires: Seconds,
        /// Start of the window.
        5 => not_before: Seconds,
        /// When it was signed; agents prefer the later of two.
        6 => issued_at: Seconds,
        /// The keys, at most [`Keyset::MAX_KEYS`].
        -65537 => keys: Vec<KeyEntry>,
        /// Keys that do not count, at most [`Keyset::MAX_REVOKED`], by ascending key id; left out when there are none.
        -65538 => revoked: Vec<Revoked>,
    }
}

claim_map! {
    /// One key of a [`Keyset`].
    pub struct KeyEntry {
        /// What it may sign.
        1 => role: Role,
        /// The key's 32 bytes.
        2 => key: KeyBytes,
        /// First second at which it is valid.
        3 => not_before: Seconds,
        /// First second at which it is not any more.
        4 => expires: Seconds,
    }
}

claim_map! {
    /// A key that does not count, or not any more, whatever another keyset says of it.
    #[derive(Copy)]
    pub struct Revoked {
        /// The key id: SHA-256 of the key.
        1 => key: Digest,
        /// First second at which it does not count; 0 when it never did.
        2 => since: Seconds,
    }
}

impl Revoked {
    /// Whether this is about the key of this thumbprint.
    pub fn is_of(&self, key_id: Thumbprint) -> bool {
        self.key.as_bytes() == key_id.as_bytes()
    }

    /// Refuses a key of `role` that one of `list` revokes as of `at`.
    ///
    /// # Errors
    /// [`ClaimError::Revoked`].
    pub fn refuse(list: &[Self], role: Role, key_id: Thumbprint, at: Timestamp) -> Result<(), ClaimError> {
        match list.iter().find(|revoked| revoked.is_of(key_id)) {
            Some(revoked) if revoked.since <= at.seconds() => Err(ClaimError::Revoked {
                role: role.as_str(),
                key: key_id,
                since: revoked.since,
            }),
            _ => Ok(()),
        }
    }
}

text_enum! {
    /// What a key of the keyset may sign.
    pub enum Role {
        /// Welcome, announcement, challenge, verdict.
        Attester = "attester",
        /// Statement.
        Origin = "origin",
        /// Observation.
        Prober = "prober",
    }
}

impl super::Entry for Role {}

/// Left out when empty, so that a list without entries is not in canonical form.
impl super::Entry for Vec<Revoked> {
    fn is_present(&self) -> bool {
        !self.is_empty()
    }

    fn absent() -> Option<Self> {
        Some(Self::new())
    }
}

impl Keyset {
    /// The most keys that one keyset may list; keeps the claim under 4 KiB.
    pub const MAX_KEYS: usize = 24;
    /// The most keys that one keyset may revoke; keeps the claim under 4 KiB.
    pub const MAX_REVOKED: usize = 24;

    /// The key of `role` with thumbprint `key_id`, if its own window contains `at` and it is not revoked as of then.
    ///
    /// # Errors
    /// [`ClaimError::Revoked`] when it does not count at that time any more, [`ClaimError::UnknownKey`] when it is not
    /// listed for the role at that time.
    pub fn key(&self, role: Role, key_id: Thumbprint, at: Timestamp) -> Result<PublicKey, ClaimError> {
        Revoked::refuse(&self.revoked, role, key_id, at)?;
        let now = at.seconds();
        self.keys
            .iter()
            .filter(|entry| entry.role == role && entry.not_before <= now && now < entry.expires)
            .filter_map(|entry| PublicKey::from_bytes(&entry.key.0).ok())
            .find(|key| key.thumbprint() == key_id)
            .ok_or(ClaimError::UnknownKey { role: role.as_str() })
    }

    /// Since when the key of this thumbprint does not count, if this keyset revokes it.
    pub fn revoked_since(&self, key_id: Thumbprint) -> Option<Seconds> {
        self.revoked
            .iter()
            .find(|revoked| revoked.is_of(key_id))
            .map(|revoked| revoked.since)
    }
}

impl Claim for Keyset {
    const NAME: &'static str = "keyset";
    const TYP: &'static str = "application/peer-verification.keyset.v1+cose";

    fn window(&self) -> (Seconds, Seconds) {
        (self.not_before, self.expires)
    }

    fn validate(&self) -> Result<(), &'static str> {
        if self.keys.is_empty() || self.keys.len() > Self::MAX_KEYS {
            return Err("a keyset lists 1 to 24 keys");
        }
        if self
            .keys
            .iter()
            .any(|entry| PublicKey::from_bytes(&entry.key.0).is_err())
        {
            return Err("a key is weak or no Ed25519 key");
        }
        if self.revoked.len() > Self::MAX_REVOKED {
            return Err("a keyset revokes at most 24 keys");
        }
        // One spelling for one set, and no key twice.
        if !self.revoked.is_sorted_by(|left, right| left.key < right.key) {
            return Err("revoked keys are in ascending order of their key ids");
        }
        Ok(())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests;
