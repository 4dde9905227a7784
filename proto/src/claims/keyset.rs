//! keyset: the root says which keys are valid now.

use super::{Claim, KeyBytes, claim_map, text_enum};
use crate::{
    error::ClaimError,
    ids::Thumbprint,
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

impl Keyset {
    /// The most keys that one keyset may list; keeps the claim under 4 KiB.
    pub const MAX_KEYS: usize = 24;

    /// The key of `role` with thumbprint `key_id`, if its own window contains `at`.
    ///
    /// # Errors
    /// [`ClaimError::UnknownKey`] when it is not listed for the role at that time.
    pub fn key(&self, role: Role, key_id: Thumbprint, at: Timestamp) -> Result<PublicKey, ClaimError> {
        let now = at.seconds();
        self.keys
            .iter()
            .filter(|entry| entry.role == role && entry.not_before <= now && now < entry.expires)
            .filter_map(|entry| PublicKey::from_bytes(&entry.key.0).ok())
            .find(|key| key.thumbprint() == key_id)
            .ok_or(ClaimError::UnknownKey { role: role.as_str() })
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
        Ok(())
    }
}
