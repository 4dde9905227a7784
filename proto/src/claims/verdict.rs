//! verdict: what the attester concluded.

use std::collections::BTreeMap;

use super::{Claim, claim_map, is_plain_text, text_enum};
use crate::{
    ids::{Digest, ProbeId, Thumbprint},
    time::{Seconds, Timestamp},
};

claim_map! {
    /// What was concluded about a peer, from which evidence, why, until when.
    pub struct Verdict {
        /// The attester key's thumbprint.
        1 => issuer: Thumbprint,
        /// The peer.
        2 => subject: Thumbprint,
        /// Until when the conclusion stands: the end of the lease of a verified peer.
        4 => expires: Seconds,
        /// When it was signed.
        6 => issued_at: Seconds,
        /// The probe.
        7 => probe: ProbeId,
        /// What was concluded.
        -65537 => outcome: Outcome,
        /// The reason's code; empty when proved.
        -65538 => reason: String,
        /// The reason in a sentence that the peer's owner can act on; empty when proved.
        -65539 => remedy: String,
        /// The peer's standing after this verdict (`probing`, `verified`, …).
        -65540 => standing: String,
        /// SHA-256 of each signed claim that it rests on, by [`EvidenceKind::number`].
        -65541 => evidence: BTreeMap<u64, Digest>,
        /// When the receipt arrived, on the attester's clock.
        -65542 => receipt_arrived: Option<Timestamp>,
        /// Microseconds to add to the peer's clock to get the attester's, in this session.
        -65543 => clock_offset: i64,
    }
}

text_enum! {
    /// What a probe showed.
    pub enum Outcome {
        /// The peer carried the probe, and all witnesses agree.
        Proved = "proved",
        /// It did not, and the attester itself was well.
        Failed = "failed",
        /// Nothing can be said about the peer.
        Inconclusive = "inconclusive",
    }
}

text_enum! {
    /// The signed claims that a verdict may rest on, in the order of an evidence file.
    pub enum EvidenceKind {
        /// See [`super::Keyset`].
        Keyset = "keyset",
        /// See [`super::Registration`].
        Registration = "registration",
        /// See [`super::Announcement`].
        Announcement = "announcement",
        /// See [`super::Challenge`].
        Challenge = "challenge",
        /// See [`super::Statement`].
        Statement = "statement",
        /// See [`super::Observation`].
        Observation = "observation",
        /// See [`super::Receipt`].
        Receipt = "receipt",
    }
}

impl EvidenceKind {
    /// Its number in a verdict, from 1.
    pub const fn number(self) -> u64 {
        self as u64 + 1
    }
}

impl Claim for Verdict {
    const NAME: &'static str = "verdict";
    const TYP: &'static str = "application/peer-verification.verdict.v1+cose";

    fn window(&self) -> (Seconds, Seconds) {
        (self.issued_at, self.expires)
    }

    fn validate(&self) -> Result<(), &'static str> {
        if !is_plain_text(&self.reason, 64) || !is_plain_text(&self.remedy, 512) || !is_plain_text(&self.standing, 16) {
            return Err("reason, remedy or standing is too long or not printable");
        }
        if (self.outcome == Outcome::Proved) != self.reason.is_empty() {
            return Err("a reason goes with every outcome but proved");
        }
        let kinds = 1..=EvidenceKind::Receipt.number();
        if self.evidence.keys().any(|kind| !kinds.contains(kind)) {
            return Err("unknown kind of evidence");
        }
        Ok(())
    }
}
