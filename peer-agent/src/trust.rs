//! What the agent believes: a keyset that the pinned root signed, and what the attester keys in it sign.

use std::time::Duration;

use proto::{
    ClaimError,
    checked::{Signed, Timely},
    claims::{Claim, Keyset, Role},
    ids::{Digest, Thumbprint},
    key::PublicKey,
    time::{Seconds, Timestamp},
};

/// A keyset whose root signature was checked. Its window is checked again at every use: sessions outlive keysets.
#[derive(Debug)]
pub(crate) struct Trust {
    keyset: Keyset,
    bytes: Vec<u8>,
    digest: Digest,
}

impl Trust {
    /// Opens a keyset with the pinned root. `now` is this machine's own clock: nothing is known of another yet.
    pub(crate) fn open(bytes: &[u8], root: &PublicKey, now: Timestamp) -> Result<Self, ClaimError> {
        let signed = Signed::<Keyset>::parse(bytes)?;
        let digest = signed.digest();
        let keyset = signed.verify(root)?.at(now, LEEWAY)?;
        if keyset.issuer == root.thumbprint() {
            let bytes = bytes.to_vec();
            Ok(Self { keyset, bytes, digest })
        } else {
            Err(ClaimError::WrongKey)
        }
    }

    /// When the root signed it: the later of two is preferred.
    pub(crate) const fn issued_at(&self) -> Seconds {
        self.keyset.issued_at
    }

    /// The keyset as it came.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What tells it from others.
    pub(crate) const fn digest(&self) -> Digest {
        self.digest
    }

    /// Whether a key is revoked, whenever from: an agent asks about claims that are made now.
    pub(crate) fn revokes(&self, key_id: Thumbprint) -> bool {
        self.keyset.revoked_since(key_id).is_some()
    }

    /// Opens a claim that an attester key of this keyset must have signed, and says which did.
    pub(crate) fn attester_claim<T: Claim>(
        &self,
        bytes: &[u8],
        now: Timestamp,
    ) -> Result<(Thumbprint, Timely<T>), ClaimError> {
        let signed = Signed::<T>::parse(bytes)?;
        let key = self.attester_key(signed.key_id(), now)?;
        Ok((key.thumbprint(), signed.verify(&key)?))
    }

    /// The attester key of this thumbprint, if keyset and key are valid now, give or take [`LEEWAY`].
    fn attester_key(&self, key_id: Thumbprint, now: Timestamp) -> Result<PublicKey, ClaimError> {
        within(&self.keyset, now)?;
        if let Some(since) = self.keyset.revoked_since(key_id) {
            let role = Role::Attester.as_str();
            let key = key_id;
            return Err(ClaimError::Revoked { role, key, since });
        }
        let key_at = |time| self.keyset.key(Role::Attester, key_id, time);
        key_at(now)
            .or_else(|_| key_at(now.minus(LEEWAY)))
            .or_else(|_| key_at(now.plus(LEEWAY)))
    }
}

/// Checks a claim's window again, give or take [`LEEWAY`].
pub(crate) fn within(claim: &impl Claim, now: Timestamp) -> Result<(), ClaimError> {
    let (not_before, expires) = claim.window();
    if now.plus(LEEWAY) < not_before.start() {
        return Err(ClaimError::NotYet {
            not_before,
            now: now.seconds(),
        });
    }
    if now.minus(LEEWAY) >= expires.start() {
        return Err(ClaimError::Expired {
            expires,
            now: now.seconds(),
        });
    }
    Ok(())
}

/// How far two clocks may differ before a window counts as missed.
pub(crate) const LEEWAY: Duration = Duration::from_secs(10);
