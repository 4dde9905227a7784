//! Evidence: all signed claims of one probe, as kept in the store and exported. Each claim is checked on its own; this is
//! only their envelope: a deterministic CBOR map of byte strings.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    cbor,
    claims::{Entry, EvidenceKind, claim_map},
    error::ClaimError,
    ids::Digest,
};

claim_map! {
    /// The claims of one probe, each a COSE_Sign1 as it was received or made. A probe that failed early has few of them.
    pub struct Evidence {
        /// The keyset under which the others were signed.
        1 => keyset: Option<Blob>,
        /// The peer's registration.
        2 => registration: Option<Blob>,
        /// What the agent was told.
        3 => announcement: Option<Blob>,
        /// What the probe carried.
        4 => challenge: Option<Blob>,
        /// What the origin saw.
        5 => statement: Option<Blob>,
        /// What the prober saw.
        6 => observation: Option<Blob>,
        /// What the peer saw.
        7 => receipt: Option<Blob>,
        /// What was concluded.
        8 => verdict: Option<Blob>,
    }
}

/// The bytes of one claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob(pub Vec<u8>);

impl Evidence {
    /// The most bytes that an evidence file may have: eight claims of 4 KiB and their map.
    pub const MAX_BYTES: usize = 8 * (cbor::MAX_BYTES + 4) + 16;

    /// Evidence without any claim.
    pub const EMPTY: Self = Self {
        keyset: None,
        registration: None,
        announcement: None,
        challenge: None,
        statement: None,
        observation: None,
        receipt: None,
        verdict: None,
    };

    /// Reads an evidence file.
    ///
    /// # Errors
    /// When it is larger than [`Evidence::MAX_BYTES`] or not in canonical form. The claims inside are not checked.
    pub fn decode(bytes: &[u8]) -> Result<Self, ClaimError> {
        cbor::decode_within(bytes, "evidence", Self::MAX_BYTES)
    }

    /// Writes an evidence file.
    ///
    /// # Errors
    /// When a claim is larger than any can be.
    pub fn encode(&self) -> Result<Vec<u8>, ClaimError> {
        cbor::encode_within(self, "evidence", Self::MAX_BYTES)
    }

    /// The claim of `kind`, if there is one.
    pub fn claim(&self, kind: EvidenceKind) -> Option<&[u8]> {
        let blob = match kind {
            EvidenceKind::Keyset => &self.keyset,
            EvidenceKind::Registration => &self.registration,
            EvidenceKind::Announcement => &self.announcement,
            EvidenceKind::Challenge => &self.challenge,
            EvidenceKind::Statement => &self.statement,
            EvidenceKind::Observation => &self.observation,
            EvidenceKind::Receipt => &self.receipt,
        };
        blob.as_ref().map(|blob| blob.0.as_slice())
    }

    /// The digest of each claim that is there, by its kind's number, as a verdict lists them.
    pub fn digests(&self) -> std::collections::BTreeMap<u64, Digest> {
        let present = |kind: &EvidenceKind| Some((kind.number(), Digest::of(self.claim(*kind)?)));
        EvidenceKind::ALL.iter().filter_map(present).collect()
    }
}

impl Entry for Blob {}

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes: &serde_bytes::Bytes = Deserialize::deserialize(deserializer)?;
        Ok(Self(bytes.to_vec()))
    }
}
