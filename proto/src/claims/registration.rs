//! registration: a peer says what it serves, where, in this session.

use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{Claim, KeyBytes, claim_map, is_plain_text, text_enum};
use crate::{
    checked::CarriesKey,
    ids::{Address, ChannelBinding, Nonce, Pin, Thumbprint},
    key::PublicKey,
    time::{Seconds, Timestamp},
};

claim_map! {
    /// This key serves at this ip:port, with these protocols and this TLS key, in this session.
    pub struct Registration {
        /// The peer key's thumbprint.
        1 => issuer: Thumbprint,
        /// The same: a peer speaks of itself only.
        2 => subject: Thumbprint,
        /// The attester key's thumbprint, from the welcome.
        3 => audience: Thumbprint,
        /// End of the window.
        4 => expires: Seconds,
        /// When it was signed, on the attester's clock as the welcome gave it.
        6 => issued_at: Seconds,
        /// The session nonce of the welcome.
        10 => session: Nonce,
        /// The peer's public key.
        -65537 => key: KeyBytes,
        /// Where clients reach it.
        -65538 => address: Address,
        /// What it speaks there.
        -65539 => protocols: Protocols,
        /// The pin of its TLS key.
        -65540 => pin: Pin,
        /// The channel binding as the agent sees it.
        -65541 => channel_binding: ChannelBinding,
        /// Name and version of its software, at most 64 printable bytes.
        -65542 => software: String,
        /// The peer's own clock when it signed, uncorrected: gives the session's clock offset.
        -65543 => peer_time: Timestamp,
    }
}

text_enum! {
    /// A Flashlight wire protocol that a peer may list.
    pub enum Protocol {
        /// enproxy with X-Enproxy-* headers (2014).
        Enproxy = "enproxy",
        /// enproxy with the id, address and operation in the path (later).
        EnproxyPath = "enproxy-path",
        /// HTTP CONNECT over TLS ("chained").
        Connect = "connect",
    }
}

/// A non-empty set of protocols: an array in the order of [`Protocol::ALL`], without duplicates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protocols(BTreeSet<Protocol>);

impl Protocols {
    /// A set of the given protocols; `None` when there are none.
    pub fn new(protocols: impl IntoIterator<Item = Protocol>) -> Option<Self> {
        let set: BTreeSet<_> = protocols.into_iter().collect();
        (!set.is_empty()).then_some(Self(set))
    }

    /// The protocols in order.
    pub fn iter(&self) -> impl Iterator<Item = Protocol> + '_ {
        self.0.iter().copied()
    }

    /// Whether `protocol` is listed.
    pub fn contains(&self, protocol: Protocol) -> bool {
        self.0.contains(&protocol)
    }

    /// How many are listed; at least one.
    #[expect(clippy::len_without_is_empty, reason = "never empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl std::fmt::Display for Protocols {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.iter().map(Protocol::as_str).collect();
        f.pad(&names.join(","))
    }
}

impl Serialize for Protocols {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(&self.0)
    }
}

impl<'de> Deserialize<'de> for Protocols {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let listed = Vec::<Protocol>::deserialize(deserializer)?;
        Self::new(listed).ok_or_else(|| de::Error::custom("no protocol is listed"))
    }
}

impl CarriesKey for Registration {
    fn carried_key(&self) -> &[u8; 32] {
        &self.key.0
    }
}

impl Claim for Registration {
    const NAME: &'static str = "registration";
    const TYP: &'static str = "application/peer-verification.registration.v1+cose";

    fn window(&self) -> (Seconds, Seconds) {
        (self.issued_at, self.expires)
    }

    fn validate(&self) -> Result<(), &'static str> {
        let key = PublicKey::from_bytes(&self.key.0).map_err(|_| "the key is weak or no Ed25519 key")?;
        if self.issuer != self.subject || self.issuer != key.thumbprint() {
            return Err("issuer and subject are not the thumbprint of the key");
        }
        if self.address.0.port() == 0 {
            return Err("the port is 0");
        }
        if !is_plain_text(&self.software, 64) {
            return Err("the software's name is longer than 64 bytes or not printable");
        }
        Ok(())
    }
}
