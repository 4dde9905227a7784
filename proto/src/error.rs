//! Why a claim, its envelope or its encoding was refused.

use crate::{ids::Thumbprint, key::KeyError, time::Seconds};

/// A refused claim. The message says which rule was broken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClaimError {
    /// Longer than any claim may be.
    #[error("{length} bytes, more than the {limit} that a claim may have")]
    TooLong {
        /// Bytes received.
        length: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// A rule of deterministic CBOR is broken (RFC 8949, section 4.2.1).
    #[error("not deterministic CBOR: {rule} at byte {offset}")]
    Cbor {
        /// The broken rule.
        rule: &'static str,
        /// Where.
        offset: usize,
    },
    /// Well-formed CBOR that is not this claim's map.
    #[error("not a {claim} claim: {detail}")]
    Shape {
        /// The claim expected.
        claim: &'static str,
        /// What does not fit.
        detail: String,
    },
    /// Decodes, but is not what this program would have written.
    #[error("the {claim} claim is not in canonical form")]
    NotCanonical {
        /// The claim expected.
        claim: &'static str,
    },
    /// Not a COSE_Sign1 of the agreed form (RFC 9052, section 4.2).
    #[error("not a COSE_Sign1 envelope: {0}")]
    Envelope(&'static str),
    /// A claim of another type.
    #[error("expected the type {expected}, found {found:?}")]
    Type {
        /// The `typ` expected.
        expected: &'static str,
        /// The `typ` found.
        found: String,
    },
    /// The claim expected, but of a protocol version that this program does not speak.
    #[error(
        "a {claim} of protocol version {found}, and this program speaks {}: update the older side",
        crate::version::listed(crate::version::SPOKEN)
    )]
    Version {
        /// The claim expected.
        claim: &'static str,
        /// The version found.
        found: u64,
    },
    /// Successions that do not belong together.
    #[error("the successions do not hold: {0}")]
    Succession(&'static str),
    /// Signed by another key than the one expected.
    #[error("signed by another key than expected")]
    WrongKey,
    /// No valid key of the keyset has this key id.
    #[error("signed by a key that the keyset does not list as a valid {role} key")]
    UnknownKey {
        /// The role that was asked for.
        role: &'static str,
    },
    /// A keyset revokes the key.
    #[error("signed by the {role} key {key}, which is revoked {}", as_of(*since))]
    Revoked {
        /// The role that was asked for.
        role: &'static str,
        /// The key.
        key: Thumbprint,
        /// First second at which it does not count; 0 when it never did.
        since: Seconds,
    },
    /// The signature or the key is bad.
    #[error("bad key or signature")]
    Key(#[source] KeyError),
    /// Not valid yet.
    #[error("not valid before second {not_before}, and it is {now}: check the clock")]
    NotYet {
        /// Start of the claim's window.
        not_before: Seconds,
        /// Time of the check.
        now: Seconds,
    },
    /// Not valid any more.
    #[error("expired at second {expires}, and it is {now}: check the clock")]
    Expired {
        /// End of the claim's window.
        expires: Seconds,
        /// Time of the check.
        now: Seconds,
    },
}

fn as_of(since: Seconds) -> String {
    match since.as_u64() {
        0 => "for all time".to_owned(),
        second => format!("since second {second}"),
    }
}
