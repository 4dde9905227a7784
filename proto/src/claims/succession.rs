//! succession: a peer's identity moves to a new key, which both keys say.
//!
//! It travels as two envelopes over the same payload, one signed by each key: the old one gives its identity away, the new
//! one takes it, so that nobody is taken over and nobody is burdened with another's past. It carries both keys and so
//! verifies by itself. Several moves in a row are a [`Chain`].

use std::{collections::BTreeSet, time::Duration};

use super::{Claim, KeyBytes, claim_map};
use crate::{
    checked::{Signed, Timely, sign},
    error::ClaimError,
    ids::Thumbprint,
    key::{PublicKey, SigningKey},
    time::{Seconds, Timestamp},
};

#[cfg(test)]
mod tests;

claim_map! {
    /// The identity of the old key is the new key's from now on.
    pub struct Succession {
        /// The old key's thumbprint.
        1 => issuer: Thumbprint,
        /// The new key's thumbprint.
        2 => subject: Thumbprint,
        /// End of the window, at most [`Succession::MAX_WINDOW`] after its start.
        4 => expires: Seconds,
        /// Start of the window.
        5 => not_before: Seconds,
        /// When it was signed, on the peer's own clock.
        6 => issued_at: Seconds,
        /// The old key.
        -65537 => old: KeyBytes,
        /// The new key.
        -65538 => new: KeyBytes,
    }
}

/// One succession as it travels: the same claim signed by both keys. Not checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SuccessionPair {
    /// The envelope that the old key signed.
    pub by_old: Vec<u8>,
    /// The envelope that the new key signed.
    pub by_new: Vec<u8>,
}

impl Succession {
    /// The longest window: an attester remembers a succession at least as long as it could be presented.
    pub const MAX_WINDOW: Duration = Duration::from_secs(120 * DAY);
    /// How long one holds from its signing on: an attester may be away for a while.
    pub const WINDOW: Duration = Duration::from_secs(90 * DAY);
    /// How long before its signing the window begins: the peer's clock may be ahead.
    pub const BEFORE: Duration = Duration::from_secs(DAY);

    /// Moves the identity of `old` to `new`, for [`Succession::WINDOW`] from `now` on.
    ///
    /// # Errors
    /// When the two are the same key.
    pub fn sign_pair(old: &SigningKey, new: &SigningKey, now: Timestamp) -> Result<SuccessionPair, ClaimError> {
        let claim = Self {
            issuer: old.public().thumbprint(),
            subject: new.public().thumbprint(),
            expires: now.plus(Self::WINDOW).seconds(),
            not_before: now.minus(Self::BEFORE).seconds(),
            issued_at: now.seconds(),
            old: KeyBytes(*old.public().as_bytes()),
            new: KeyBytes(*new.public().as_bytes()),
        };
        Ok(SuccessionPair {
            by_old: sign(&claim, old)?,
            by_new: sign(&claim, new)?,
        })
    }

    /// Checks both signatures over the one claim.
    ///
    /// # Errors
    /// When either envelope is no succession, their claims differ, or one is not signed by its key.
    pub fn verify_pair(by_old: &[u8], by_new: &[u8]) -> Result<Timely<Self>, ClaimError> {
        let [by_old, by_new] = [Signed::<Self>::parse(by_old)?, Signed::<Self>::parse(by_new)?];
        // Equal claims are equal payloads: there is one encoding.
        if by_old.dangerously_unverified() != by_new.dangerously_unverified() {
            return Err(ClaimError::Succession("the two keys signed different claims"));
        }
        let old = PublicKey::from_bytes(&by_old.dangerously_unverified().old.0).map_err(ClaimError::Key)?;
        let new = PublicKey::from_bytes(&by_new.dangerously_unverified().new.0).map_err(ClaimError::Key)?;
        by_old.verify(&old)?;
        by_new.verify(&new)
    }
}

impl Claim for Succession {
    const NAME: &'static str = "succession";
    const TYP: &'static str = "application/peer-verification.succession.v1+cose";

    fn window(&self) -> (Seconds, Seconds) {
        (self.not_before, self.expires)
    }

    fn validate(&self) -> Result<(), &'static str> {
        let [old, new] = [&self.old, &self.new].map(|key| PublicKey::from_bytes(&key.0));
        let (Ok(old), Ok(new)) = (old, new) else {
            return Err("a key is weak or no Ed25519 key");
        };
        if old == new {
            return Err("the old and the new key are the same");
        }
        if self.issuer != old.thumbprint() || self.subject != new.thumbprint() {
            return Err("issuer and subject are not the thumbprints of the two keys");
        }
        if self.expires.start().since(self.not_before.start()) > Self::MAX_WINDOW {
            return Err("the window is longer than 120 days");
        }
        Ok(())
    }
}

/// Successions one after the other, from the oldest key to the newest: every signature holds, each begins with the key that
/// the one before ended with, and no key comes twice. Their windows are not checked.
#[derive(Debug)]
pub struct Chain(Vec<(Link, Timely<Succession>)>);

/// One succession whose signatures hold.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Link {
    /// The key that gave its identity away.
    pub old: PublicKey,
    /// The key that has it now.
    pub new: PublicKey,
    /// When it was signed, on the peer's own clock.
    pub issued_at: Seconds,
    /// First second at which it does not hold any more.
    pub expires: Seconds,
    /// What both signed.
    pub pair: SuccessionPair,
}

impl Chain {
    /// The most successions that travel together.
    pub const MAX_LINKS: usize = 4;

    /// Checks a chain that ends at `key`. No successions are a chain, of a key that nothing was moved to.
    ///
    /// # Errors
    /// What is wrong with which of them, the first in order.
    pub fn verify(pairs: Vec<SuccessionPair>, key: &PublicKey) -> Result<Self, ClaimError> {
        if pairs.len() > Self::MAX_LINKS {
            return Err(ClaimError::Succession("there are more than 4"));
        }
        let mut links: Vec<(Link, Timely<Succession>)> = Vec::with_capacity(pairs.len());
        let mut seen = BTreeSet::new();
        for pair in pairs {
            let timely = Succession::verify_pair(&pair.by_old, &pair.by_new)?;
            let link = Link::of(timely.unchecked(), pair)?;
            if links.last().is_some_and(|(before, _)| before.new != link.old) {
                return Err(ClaimError::Succession("one does not begin where the one before ends"));
            }
            seen.insert(*link.old.as_bytes());
            if !seen.insert(*link.new.as_bytes()) {
                return Err(ClaimError::Succession("they come back to a key that was left"));
            }
            links.push((link, timely));
        }
        if links.last().is_some_and(|(last, _)| last.new != *key) {
            return Err(ClaimError::Succession("they end at another key"));
        }
        Ok(Self(links))
    }

    /// The chain, if every window holds at `now`; oldest first.
    ///
    /// # Errors
    /// [`ClaimError::NotYet`] or [`ClaimError::Expired`].
    pub fn at(self, now: Timestamp, leeway: Duration) -> Result<Vec<Link>, ClaimError> {
        let links = self.0.into_iter();
        links
            .map(|(link, timely)| timely.at(now, leeway).map(|_| link))
            .collect()
    }

    /// What of the chain can be presented at `now`: its last successions, as far back as their windows hold.
    pub fn presentable(self, now: Timestamp) -> Vec<Link> {
        let newest_first = self.0.into_iter().rev();
        let mut links: Vec<Link> = newest_first
            .map_while(|(link, timely)| timely.at(now, Duration::ZERO).ok().map(|_| link))
            .collect();
        links.reverse();
        links
    }

    /// The chain, whether or not its windows have passed: for listings, and for what was checked before it was stored.
    pub fn dangerously_at_any_time(self) -> Vec<Link> {
        self.0.into_iter().map(|(link, _)| link).collect()
    }
}

impl Link {
    /// Checks both signatures, not the window: for what was checked before it was stored.
    ///
    /// # Errors
    /// As [`Succession::verify_pair`].
    pub fn dangerously_at_any_time(pair: SuccessionPair) -> Result<Self, ClaimError> {
        let timely = Succession::verify_pair(&pair.by_old, &pair.by_new)?;
        Self::of(timely.unchecked(), pair)
    }

    fn of(claim: &Succession, pair: SuccessionPair) -> Result<Self, ClaimError> {
        Ok(Self {
            old: PublicKey::from_bytes(&claim.old.0).map_err(ClaimError::Key)?,
            new: PublicKey::from_bytes(&claim.new.0).map_err(ClaimError::Key)?,
            issued_at: claim.issued_at,
            expires: claim.expires,
            pair,
        })
    }
}

const DAY: u64 = 24 * 3600;
