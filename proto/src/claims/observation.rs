//! observation: what the prober, as a client, sent, received and measured.

use std::collections::BTreeMap;

use super::{Claim, Protocol, claim_map, text_enum};
use crate::{
    ids::{Address, Digest, Nonce, Pin, ProbeId, Thumbprint},
    time::{Seconds, Timestamp},
};

claim_map! {
    /// One probe as its client saw it.
    pub struct Observation {
        /// The prober key's thumbprint.
        1 => issuer: Thumbprint,
        /// The peer.
        2 => subject: Thumbprint,
        /// The attester key's thumbprint.
        3 => audience: Thumbprint,
        /// End of the window.
        4 => expires: Seconds,
        /// When it was signed.
        6 => issued_at: Seconds,
        /// The probe.
        7 => probe: ProbeId,
        /// The challenge's nonce.
        10 => nonce: Nonce,
        /// How the peer was reached.
        -65537 => path: Path,
        /// What was spoken.
        -65538 => protocol: Protocol,
        /// The address dialled.
        -65539 => address: Address,
        /// The pin of the TLS key that finished the handshake.
        -65540 => pin: Pin,
        /// Bytes sent through the tunnel.
        -65541 => sent: u64,
        /// Their SHA-256.
        -65542 => sent_digest: Digest,
        /// Bytes received through the tunnel.
        -65543 => received: u64,
        /// Their SHA-256.
        -65544 => received_digest: Digest,
        /// Length of the body in them.
        -65545 => body: u64,
        /// SHA-256 of that body.
        -65546 => body_digest: Digest,
        /// When the probe began.
        -65547 => started: Timestamp,
        /// Microseconds from the beginning to the end of each phase, by the phase's number.
        -65548 => phases: BTreeMap<u64, u64>,
        /// SHA-256 of the first 1,024 bytes received: the answer's head.
        -65549 => head_digest: Digest,
    }
}

text_enum! {
    /// How a client reaches a peer.
    pub enum Path {
        /// TLS to the peer itself, its key pinned.
        Direct = "direct",
        /// TLS to an edge under another name.
        Fronted = "fronted",
    }
}

text_enum! {
    /// The phases of a probe, in order.
    pub enum Phase {
        /// The peer's name was resolved.
        Resolve = "resolve",
        /// TCP connected.
        Connect = "connect",
        /// The TLS handshake finished.
        Tls = "tls",
        /// The tunnel was opened.
        Tunnel = "tunnel",
        /// The first byte came back through it.
        FirstByte = "first-byte",
        /// The last announced byte came back.
        Complete = "complete",
        /// The peer's receipt arrived.
        Receipt = "receipt",
    }
}

impl Phase {
    /// The phase's number in an observation, from 1.
    pub const fn number(self) -> u64 {
        self as u64 + 1
    }
}

impl Observation {
    /// Microseconds from the start to the end of `phase`, when it was reached.
    pub fn phase_micros(&self, phase: Phase) -> Option<u64> {
        self.phases.get(&phase.number()).copied()
    }

    /// Bytes received per second, from the end of the handshake, when the request is handed over, to the last byte: what a
    /// client waits for, so that hoarding the answer gains nothing. `None` when that cannot be told.
    pub fn goodput(&self) -> Option<u64> {
        let first = self.phase_micros(Phase::Tls)?;
        let last = self.phase_micros(Phase::Complete)?;
        let micros = last.checked_sub(first)?.max(1);
        u64::try_from(u128::from(self.received) * 1_000_000 / u128::from(micros)).ok()
    }
}

impl Claim for Observation {
    const NAME: &'static str = "observation";
    const TYP: &'static str = "application/peer-verification.observation.v1+cose";

    fn window(&self) -> (Seconds, Seconds) {
        (self.issued_at, self.expires)
    }

    fn validate(&self) -> Result<(), &'static str> {
        let mut last = 0;
        for (number, micros) in &self.phases {
            if !(1..=Phase::Receipt.number()).contains(number) || *micros < last {
                return Err("phases are numbered 1 to 7 and end in their order");
            }
            last = *micros;
        }
        Ok(())
    }
}
