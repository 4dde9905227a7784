//! For the `fuzz` crate only, and no part of the interface: the envelope by itself, which nobody else may open without
//! naming the claim that must be in it. The fuzzer compares it with another implementation's.

use crate::{cose, error::ClaimError, ids::Thumbprint};

/// What an envelope holds, its signature unchecked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The key that is said to have signed.
    pub key_id: Thumbprint,
    /// The claim's type.
    pub typ: String,
    /// The claim's map.
    pub payload: Vec<u8>,
    /// The signature.
    pub signature: [u8; 64],
    /// What the signature covers (RFC 9052, section 4.4).
    pub signed_bytes: Vec<u8>,
}

/// Opens an envelope.
///
/// # Errors
/// The rule that it breaks.
pub fn envelope(bytes: &[u8]) -> Result<Envelope, ClaimError> {
    let envelope = cose::Envelope::parse(bytes)?;
    Ok(Envelope {
        signed_bytes: envelope.signed_bytes()?,
        key_id: envelope.key_id,
        typ: envelope.typ,
        payload: envelope.payload,
        signature: envelope.signature,
    })
}
