//! What a peer and an attester must agree on, byte for byte: claims, keys, names, the gRPC messages and the Flashlight
//! tunnel heads. No runtime and no sockets. `README.md` is the normative text.

pub mod cbor;
pub mod checked;
pub mod claims;
mod cose;
mod error;
pub mod evidence;
#[doc(hidden)]
pub mod fuzzing;
pub mod ids;
pub mod key;
pub mod probe;
pub mod text;
pub mod time;
pub mod tunnel;
pub mod version;

#[expect(
    missing_docs,
    clippy::allow_attributes_without_reason,
    reason = "generated; documented in attest.proto"
)]
#[rustfmt::skip]
#[path = "gen/attest.v1.rs"]
pub mod attest;

pub use error::ClaimError;
