//! What is signed cannot be read before it was checked: [`Signed`] → [`Timely`] → the claim.
//!
//! The shape is that of a door with two locks: the signature opens the first, the window the second. Whoever needs to
//! look inside without a key has to write `dangerously_`.

use std::time::Duration;

use crate::{
    cbor,
    claims::Claim,
    cose::{self, Envelope},
    error::ClaimError,
    ids::{Digest, Thumbprint},
    key::{PublicKey, SigningKey},
    time::Timestamp,
    version,
};

/// A claim of the right type and form whose signature nobody has checked.
#[derive(Debug)]
pub struct Signed<T> {
    envelope: Envelope,
    digest: Digest,
    claim: T,
}

impl<T: Claim> Signed<T> {
    /// Parses an envelope and the claim inside, strictly (at most 4 KiB).
    ///
    /// # Errors
    /// When the bytes are not one COSE_Sign1 of this claim's `typ` in canonical form.
    pub fn parse(bytes: &[u8]) -> Result<Self, ClaimError> {
        let envelope = Envelope::parse(bytes)?;
        if envelope.typ != T::TYP {
            return Err(match version::of_typ(&envelope.typ, T::NAME) {
                Some(found) => ClaimError::Version { claim: T::NAME, found },
                None => ClaimError::Type {
                    expected: T::TYP,
                    found: envelope.typ,
                },
            });
        }
        let claim: T = cbor::decode(&envelope.payload, T::NAME)?;
        claim.validate().map_err(|detail| ClaimError::Shape {
            claim: T::NAME,
            detail: detail.to_owned(),
        })?;
        Ok(Self {
            digest: Digest::of(bytes),
            envelope,
            claim,
        })
    }

    /// The thumbprint of the key that is said to have signed.
    pub const fn key_id(&self) -> Thumbprint {
        self.envelope.key_id
    }

    /// SHA-256 of the whole envelope: what other claims refer to it by.
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// Checks the signature.
    ///
    /// # Errors
    /// When the envelope names another key or the signature does not hold.
    pub fn verify(self, key: &PublicKey) -> Result<Timely<T>, ClaimError> {
        if self.envelope.key_id != key.thumbprint() {
            return Err(ClaimError::WrongKey);
        }
        key.verify(&self.envelope.signed_bytes()?, &self.envelope.signature)
            .map_err(ClaimError::Key)?;
        Ok(Timely(self.claim))
    }

    /// Checks the signature with the key that the claim itself carries (a registration).
    ///
    /// # Errors
    /// As [`Signed::verify`], and when the carried key is weak or no key.
    pub fn verify_with_own_key(self) -> Result<Timely<T>, ClaimError>
    where
        T: CarriesKey,
    {
        let key = PublicKey::from_bytes(self.claim.carried_key()).map_err(ClaimError::Key)?;
        self.verify(&key)
    }

    /// The claim, though anyone may have written it: for logs and diagnosis.
    pub const fn dangerously_unverified(&self) -> &T {
        &self.claim
    }
}

/// A claim that carries the key which signs it.
pub trait CarriesKey {
    /// The 32 bytes of the key.
    fn carried_key(&self) -> &[u8; 32];
}

/// A claim with a good signature whose window nobody has checked.
#[derive(Debug)]
pub struct Timely<T>(T);

impl<T: Claim> Timely<T> {
    /// The claim, if `now` is inside its window. `leeway` widens the window at both ends.
    ///
    /// # Errors
    /// [`ClaimError::NotYet`] or [`ClaimError::Expired`].
    pub fn at(self, now: Timestamp, leeway: Duration) -> Result<T, ClaimError> {
        let (not_before, expires) = self.0.window();
        if now.plus(leeway) < not_before.start() {
            return Err(ClaimError::NotYet {
                not_before,
                now: now.seconds(),
            });
        }
        if now.minus(leeway) >= expires.start() {
            return Err(ClaimError::Expired {
                expires,
                now: now.seconds(),
            });
        }
        Ok(self.0)
    }

    /// The claim, for checks of this crate that come before the window.
    pub(crate) const fn unchecked(&self) -> &T {
        &self.0
    }

    /// The claim, whether or not its window has passed: for listings of the past.
    pub fn dangerously_at_any_time(self) -> T {
        self.0
    }
}

/// Signs a claim.
///
/// # Errors
/// When the claim breaks its own rules or is larger than 4 KiB with its envelope.
pub fn sign<T: Claim>(claim: &T, key: &SigningKey) -> Result<Vec<u8>, ClaimError> {
    claim.validate().map_err(|detail| ClaimError::Shape {
        claim: T::NAME,
        detail: detail.to_owned(),
    })?;
    cose::sign(cbor::encode(claim, T::NAME)?, T::TYP, key)
}
