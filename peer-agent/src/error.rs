//! Why an agent cannot start. What goes wrong later is no error: the agent tries again, and its [`Standing`] says why.
//!
//! [`Standing`]: crate::Standing

use std::net::{IpAddr, SocketAddr};

use proto::key::KeyError;

/// A setting that cannot work, an identity that cannot be used, or no runtime to start on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// Nobody to be verified by.
    #[error("attesters is empty: list at least one host:port")]
    NoAttester,
    /// An address that clients cannot dial.
    #[error("address is {0}: clients need the public IP address and port that this peer serves at")]
    Address(SocketAddr),
    /// The attester dials the address that a session comes from, so the two must be of one kind.
    #[error("bind is {bind} and address is {address}: both must be IPv4, or both IPv6")]
    Bind {
        /// The local address of sessions.
        bind: IpAddr,
        /// The address served at.
        address: SocketAddr,
    },
    /// A CONNECT token that fits no header.
    #[error("the CONNECT token must be 1 to {MAX_TOKEN} visible ASCII characters")]
    Token,
    /// A software name that fits no registration.
    #[error("software must be at most {MAX_SOFTWARE} printable bytes")]
    Software,
    /// The identity key cannot be read or created.
    #[error("the peer has no identity")]
    Identity(#[source] KeyError),
    /// The folder of the identity key cannot be created.
    #[error("cannot create the folder of the identity key {}", path.display())]
    Folder {
        /// The key file.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file that says how the identity came to its key cannot be used.
    #[error("the peer's history cannot be read")]
    Successions(#[source] crate::identity::ChainError),
    /// Successions that the host gave do not end at the identity's key.
    #[error("the successions are not those of this identity")]
    Chain(#[source] proto::ClaimError),
    /// The file of the attester's newest keyset cannot be used.
    #[error("the attester's newest keyset cannot be read back")]
    KeysetFile(#[source] crate::remembered::KeysetFileError),
    /// The identity is being moved to a new key.
    #[error("the identity {} is being moved to a new key: start again in a moment", path.display())]
    Moving {
        /// The key file.
        path: std::path::PathBuf,
    },
    /// [`Agent::start`] was called outside of a tokio runtime.
    ///
    /// [`Agent::start`]: crate::Agent::start
    #[error("there is no tokio runtime to start the agent on")]
    Runtime,
}

/// attest.proto, `Register.connect_token`.
pub(crate) const MAX_TOKEN: usize = 256;
/// README.md of proto, registration.
pub(crate) const MAX_SOFTWARE: usize = 64;
