//! announcement: the attester tells an agent to expect a probe.

use super::{Claim, claim_map};
use crate::{
    ids::{Destination, Digest, ProbeId, Thumbprint},
    time::Seconds,
};

claim_map! {
    /// Expect, in this window, one flow to exactly this destination that opens with the challenge of this digest. The
    /// nonce is not in it: only who carries the flow learns it.
    pub struct Announcement {
        /// The attester key's thumbprint.
        1 => issuer: Thumbprint,
        /// The peer.
        2 => subject: Thumbprint,
        /// End of the window.
        4 => expires: Seconds,
        /// Start of the window.
        5 => not_before: Seconds,
        /// When it was signed.
        6 => issued_at: Seconds,
        /// The probe.
        7 => probe: ProbeId,
        /// The destination string that the client will ask for, byte for byte.
        -65537 => destination: Destination,
        /// SHA-256 of the signed challenge.
        -65538 => challenge: Digest,
        /// Exactly how many bytes go up (the finished request).
        -65539 => up: u64,
        /// Exactly how many bytes come down (1,024 of head and the body).
        -65540 => down: u64,
    }
}

impl Claim for Announcement {
    const NAME: &'static str = "announcement";
    const TYP: &'static str = "application/peer-verification.announcement.v1+cose";

    fn window(&self) -> (Seconds, Seconds) {
        (self.not_before, self.expires)
    }

    fn validate(&self) -> Result<(), &'static str> {
        if self.up == 0 || self.up > 16 << 10 || self.down == 0 || self.down > 16 << 20 {
            return Err("up is 1 byte to 16 KiB, down 1 byte to 16 MiB");
        }
        Ok(())
    }
}
