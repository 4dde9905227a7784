//! statement: the origin saw a challenge arrive.

use super::{Claim, claim_map};
use crate::{
    ids::{Address, Destination, Digest, Nonce, ProbeId, Thumbprint},
    time::{Seconds, Timestamp},
};

claim_map! {
    /// This challenge arrived from this address at this time, and was answered with a body of this digest.
    pub struct Statement {
        /// The origin.
        1 => issuer: Destination,
        /// The peer that the challenge names.
        2 => subject: Thumbprint,
        /// The attester key that signed the challenge.
        3 => audience: Thumbprint,
        /// End of the window.
        4 => expires: Seconds,
        /// When it was signed.
        6 => issued_at: Seconds,
        /// The probe.
        7 => probe: ProbeId,
        /// The challenge's nonce.
        10 => nonce: Nonce,
        /// SHA-256 of the signed challenge.
        -65537 => challenge: Digest,
        /// The address that the connection came from.
        -65538 => source: Address,
        /// When the request had arrived, on the origin's clock.
        -65539 => arrived: Timestamp,
        /// The body's length in bytes.
        -65540 => body_length: u64,
        /// The body's SHA-256.
        -65541 => body_digest: Digest,
    }
}

impl Claim for Statement {
    const NAME: &'static str = "statement";
    const TYP: &'static str = "application/peer-verification.statement.v1+cose";

    fn window(&self) -> (Seconds, Seconds) {
        (self.issued_at, self.expires)
    }
}
