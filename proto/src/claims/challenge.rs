//! challenge: what a probe carries through the peer to the origin.

use super::{Claim, claim_map};
use crate::{
    ids::{Destination, Nonce, ProbeId, Thumbprint},
    time::Seconds,
};

claim_map! {
    /// One probe's question to the origin. Single use.
    pub struct Challenge {
        /// The attester key's thumbprint.
        1 => issuer: Thumbprint,
        /// The peer; for a control probe the prober.
        2 => subject: Thumbprint,
        /// The origin.
        3 => audience: Destination,
        /// End of the window.
        4 => expires: Seconds,
        /// Start of the window.
        5 => not_before: Seconds,
        /// When it was signed.
        6 => issued_at: Seconds,
        /// The probe.
        7 => probe: ProbeId,
        /// 32 random bytes.
        10 => nonce: Nonce,
        /// How many body bytes the origin shall answer.
        -65537 => body_length: u64,
    }
}

impl Challenge {
    /// The longest body that an origin answers, in bytes.
    pub const MAX_BODY: u64 = 4 << 20;
}

impl Claim for Challenge {
    const NAME: &'static str = "challenge";
    const TYP: &'static str = "application/peer-verification.challenge.v1+cose";

    fn window(&self) -> (Seconds, Seconds) {
        (self.not_before, self.expires)
    }

    fn validate(&self) -> Result<(), &'static str> {
        if self.body_length > Self::MAX_BODY {
            Err("the body is longer than 4 MiB")
        } else {
            Ok(())
        }
    }
}
