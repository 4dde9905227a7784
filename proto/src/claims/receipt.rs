//! receipt: the peer says what it carried.

use super::{Claim, claim_map, text_enum};
use crate::{
    ids::{Destination, Digest, Nonce, ProbeId, Thumbprint},
    time::{Seconds, Timestamp},
};

claim_map! {
    /// For this nonce I carried these bytes.
    pub struct Receipt {
        /// The peer key's thumbprint.
        1 => issuer: Thumbprint,
        /// The same: a peer speaks of itself only.
        2 => subject: Thumbprint,
        /// The attester key's thumbprint.
        3 => audience: Thumbprint,
        /// End of the window.
        4 => expires: Seconds,
        /// When it was signed, on the attester's clock as the welcome gave it.
        6 => issued_at: Seconds,
        /// The probe.
        7 => probe: ProbeId,
        /// The nonce found in the challenge that came through.
        10 => nonce: Nonce,
        /// Where the flow went.
        -65537 => destination: Destination,
        /// Bytes up.
        -65538 => up: u64,
        /// Their SHA-256.
        -65539 => up_digest: Digest,
        /// Bytes down.
        -65540 => down: u64,
        /// Their SHA-256.
        -65541 => down_digest: Digest,
        /// When the flow opened, on the peer's own clock.
        -65542 => opened: Timestamp,
        /// When it ended, on the peer's own clock.
        -65543 => closed: Timestamp,
        /// What ended it.
        -65544 => end: FlowEnd,
    }
}

text_enum! {
    /// What ended a flow, for its receipt (README.md, "The flow's end").
    pub enum FlowEnd {
        /// Both announced lengths were reached.
        Lengths = "lengths",
        /// The destination closed.
        DestinationEof = "destination-eof",
        /// The destination failed with an error that is no timeout.
        DestinationError = "destination-error",
        /// The host closed the flow.
        Closed = "closed",
        /// The announced window ended.
        Window = "window",
        /// More bytes than announced: the flow counts for nothing.
        Overrun = "overrun",
    }
}

impl Claim for Receipt {
    const NAME: &'static str = "receipt";
    const TYP: &'static str = "application/peer-verification.receipt.v1+cose";

    fn window(&self) -> (Seconds, Seconds) {
        (self.issued_at, self.expires)
    }

    fn validate(&self) -> Result<(), &'static str> {
        if self.issuer == self.subject {
            Ok(())
        } else {
            Err("issuer and subject differ")
        }
    }
}
