//! Keys, and the claims of an attester that are made by hand where no whole attester runs.

use std::time::Duration;

use proto::{
    ClaimError,
    checked::sign,
    claims::{Announcement, Challenge, KeyBytes, KeyEntry, Keyset, Role},
    ids::{Destination, Digest, Nonce, ProbeId, Thumbprint},
    key::SigningKey,
    probe,
    time::Timestamp,
};
use rand::CryptoRng;

/// The keys of one operator.
pub(crate) struct Mint {
    pub(crate) root: SigningKey,
    pub(crate) attester: SigningKey,
    pub(crate) origin: SigningKey,
}

/// One probe, challenge and announcement.
pub(crate) struct Probe {
    pub(crate) id: ProbeId,
    pub(crate) nonce: Nonce,
    pub(crate) announcement: Vec<u8>,
    pub(crate) request: Vec<u8>,
}

impl Mint {
    pub(crate) fn new(rng: &mut impl CryptoRng) -> Self {
        let [root, attester, origin] = std::array::from_fn(|_| SigningKey::generate(rng));
        Self { root, attester, origin }
    }

    /// A keyset for the next hours.
    pub(crate) fn keyset(&self, now: Timestamp) -> Keyset {
        let (not_before, expires) = (now.seconds(), now.plus(HOURS).seconds());
        let entry = |role, key: &SigningKey| KeyEntry {
            role,
            key: KeyBytes(*key.public().as_bytes()),
            not_before,
            expires,
        };
        Keyset {
            issuer: self.root.public().thumbprint(),
            expires,
            not_before,
            issued_at: not_before,
            keys: vec![entry(Role::Attester, &self.attester), entry(Role::Origin, &self.origin)],
            revoked: vec![],
        }
    }

    /// A probe of `subject` that brings `down` bytes back.
    pub(crate) fn probe(
        &self,
        subject: Thumbprint,
        destination: &Destination,
        down: u64,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<Probe, ClaimError> {
        let (id, nonce) = (ProbeId::random(rng), Nonce::random(rng));
        let issuer = self.attester.public().thumbprint();
        let (issued_at, expires) = (now.seconds(), now.plus(Duration::from_secs(30)).seconds());
        let challenge = Challenge {
            issuer,
            subject,
            audience: destination.clone(),
            expires,
            not_before: issued_at,
            issued_at,
            probe: id,
            nonce,
            body_length: down.saturating_sub(probe::ORIGIN_HEAD as u64).min(Challenge::MAX_BODY),
        };
        let challenge = sign(&challenge, &self.attester)?;
        let request = probe::request(&challenge, destination);
        let announcement = Announcement {
            issuer,
            subject,
            expires,
            not_before: issued_at,
            issued_at,
            probe: id,
            destination: destination.clone(),
            challenge: Digest::of(&challenge),
            up: request.len() as u64,
            down,
        };
        Ok(Probe {
            id,
            announcement: sign(&announcement, &self.attester)?,
            nonce,
            request,
        })
    }
}

const HOURS: Duration = Duration::from_secs(6 * 3600);
