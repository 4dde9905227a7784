//! Whom evidence is measured against: the root, and what the newest keyset that is known has revoked since.

use proto::{
    ClaimError,
    checked::Signed,
    claims::{Keyset, Revoked, Role},
    ids::Thumbprint,
    key::PublicKey,
    time::Timestamp,
};

/// The root key, and the keys that do not count.
///
/// Evidence carries the keyset that was valid when it was made. That one cannot say that a key was stolen afterwards, so a
/// verifier adds what a newer one says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    root: PublicKey,
    revoked: Vec<Revoked>,
}

impl Trust {
    /// The root alone: only what the evidence's own keyset revokes is revoked.
    pub const fn of_root(root: PublicKey) -> Self {
        Self {
            root,
            revoked: Vec::new(),
        }
    }

    /// The root, and the revocations of a signed keyset, the newest there is. Its window may have ended: revocations stay.
    ///
    /// # Errors
    /// When the bytes are no keyset, or the root did not sign it.
    pub fn with_keyset(root: PublicKey, keyset: &[u8]) -> Result<Self, ClaimError> {
        let keyset = Signed::<Keyset>::parse(keyset)?.verify(&root)?;
        Ok(Self::with_revoked(root, keyset.dangerously_at_any_time().revoked))
    }

    /// The root, and revocations that it signed.
    pub(crate) const fn with_revoked(root: PublicKey, revoked: Vec<Revoked>) -> Self {
        Self { root, revoked }
    }

    /// The key that signs keysets.
    pub const fn root(&self) -> &PublicKey {
        &self.root
    }

    /// The keys that do not count, whatever evidence says of them.
    pub fn revoked(&self) -> &[Revoked] {
        &self.revoked
    }

    /// The key of `role` in the evidence's own keyset, if it was valid at `at` and is not revoked as of then.
    pub(super) fn key(
        &self,
        keyset: &Keyset,
        role: Role,
        key_id: Thumbprint,
        at: Timestamp,
    ) -> Result<PublicKey, ClaimError> {
        Revoked::refuse(&self.revoked, role, key_id, at)?;
        keyset.key(role, key_id, at)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests;
