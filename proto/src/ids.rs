//! Names of things: digests, nonces, probe ids, key thumbprints, peer ids, addresses and destinations.

use std::{fmt, net::SocketAddr, str::FromStr};

use rand::Rng;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::key::sha256;

fixed_bytes! {
    /// A SHA-256 digest; shown in hexadecimal.
    Digest, 32
}
fixed_bytes! {
    /// 32 random bytes that are used once (CWT claim 10, RFC 9711 section 4.1); shown in hexadecimal.
    Nonce, 32
}
fixed_bytes! {
    /// The id of one probe: 16 random bytes (CWT claim 7, `cti`); shown in hexadecimal.
    ProbeId, 16
}
fixed_bytes! {
    /// A TLS key pin: SHA-256 of the DER SubjectPublicKeyInfo, never of the certificate (flashlight makes a new
    /// certificate over the same key at each start).
    Pin, 32
}
fixed_bytes! {
    /// The `EXPORTER-Channel-Binding` value of a TLS 1.3 connection (RFC 9266, section 2).
    ChannelBinding, 32
}

impl Digest {
    /// SHA-256 of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha256(bytes))
    }
}

impl Nonce {
    /// A fresh nonce from a cryptographic generator.
    pub fn random(rng: &mut impl Rng) -> Self {
        let mut bytes = [0; 32];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }
}

impl ProbeId {
    /// A fresh probe id.
    pub fn random(rng: &mut impl Rng) -> Self {
        let mut bytes = [0; 16];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }
}

impl Pin {
    /// The pin of a certificate in DER.
    ///
    /// # Errors
    /// When the bytes are no X.509 certificate.
    pub fn of_certificate(der: &[u8]) -> Result<Self, IdError> {
        let (_, certificate) = x509_parser::parse_x509_certificate(der).map_err(|_| IdError("X.509 certificate"))?;
        Ok(Self(sha256(certificate.tbs_certificate.subject_pki.raw)))
    }
}

/// SHA-256 of a 32-byte Ed25519 public key. Bytes in a COSE key id, lower-case unpadded base32 (52 characters) in text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Thumbprint([u8; 32]);

impl Thumbprint {
    /// From the digest's bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The digest's bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The id of the peer whose key this is the thumbprint of.
    pub fn peer_id(&self) -> PeerId {
        let mut text = self.to_string();
        text.truncate(PEER_ID_LENGTH);
        PeerId(text)
    }
}

impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base32(&self.0))
    }
}

impl fmt::Debug for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Thumbprint({self})")
    }
}

impl FromStr for Thumbprint {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let bytes = from_base32(text).ok_or(IdError("thumbprint: 52 characters of lower-case base32"))?;
        bytes
            .try_into()
            .map(Self)
            .map_err(|_| IdError("thumbprint: 52 characters of lower-case base32"))
    }
}

/// A peer's short id: the first 26 characters of its key's thumbprint in base32.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(String);

impl PeerId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The peer's own DNS name under `zone`, without a final dot.
    pub fn own_name(&self, zone: &str) -> String {
        format!("peer-{}.{zone}", self.0)
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerId({})", self.0)
    }
}

impl FromStr for PeerId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let valid = text.len() == PEER_ID_LENGTH && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'2'..=b'7'));
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(IdError("peer id: 26 characters of a-z and 2-7"))
        }
    }
}

/// A `host:port` string, kept byte for byte. The host is a name or an IPv4 address: flashlight splits a destination at
/// its first colon, so an IPv6 literal can never be sent.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Destination(String);

impl Destination {
    /// The string as sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the colon.
    pub fn host(&self) -> &str {
        self.0.split_once(':').map_or("", |(host, _)| host)
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.0
            .split_once(':')
            .and_then(|(_, port)| port.parse().ok())
            .unwrap_or_default()
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Destination({})", self.0)
    }
}

impl FromStr for Destination {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let wrong = IdError("destination: host:port, the host a name or IPv4 address of at most 100 characters");
        let (host, port) = text.split_once(':').ok_or(wrong)?;
        let host_fits = (1..=MAX_HOST_LENGTH).contains(&host.len())
            && host
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
        let port_fits = port
            .parse::<u16>()
            .is_ok_and(|number| number > 0 && number.to_string() == port);
        if host_fits && port_fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(wrong)
        }
    }
}

/// An `ip:port`, text in its canonical form on the wire.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(pub SocketAddr);

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Address {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let address: SocketAddr = text.parse().map_err(|_| IdError("address: ip:port"))?;
        let plain = match address {
            SocketAddr::V4(_) => true,
            SocketAddr::V6(v6) => v6.ip().to_ipv4_mapped().is_none() && v6.scope_id() == 0,
        };
        if plain && address.to_string() == text {
            Ok(Self(address))
        } else {
            Err(IdError("address: ip:port"))
        }
    }
}

/// Text that is not what it should be; the message names the form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {0}")]
pub struct IdError(&'static str);

text_serde!(Thumbprint, Destination, Address);

/// Lower-case base32 without padding (RFC 4648, section 6).
pub(crate) fn base32(bytes: &[u8]) -> String {
    data_encoding::BASE32_NOPAD.encode(bytes).to_ascii_lowercase()
}

/// The inverse of [`base32`]; `None` for anything that it would not have written.
pub(crate) fn from_base32(text: &str) -> Option<Vec<u8>> {
    let bytes = data_encoding::BASE32_NOPAD
        .decode(text.to_ascii_uppercase().as_bytes())
        .ok()?;
    (base32(&bytes) == text).then_some(bytes)
}

const PEER_ID_LENGTH: usize = 26;
/// Keeps the origin's response head within 1,024 bytes with a statement inside.
const MAX_HOST_LENGTH: usize = 100;

/// A newtype over a byte array: bytes in CBOR, hexadecimal in text.
macro_rules! fixed_bytes {
    ($(#[$doc:meta])* $name:ident, $length:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $length]);

        impl $name {
            /// From its bytes.
            pub const fn from_bytes(bytes: [u8; $length]) -> Self {
                Self(bytes)
            }

            /// Its bytes.
            pub const fn as_bytes(&self) -> &[u8; $length] {
                &self.0
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = IdError;

            fn try_from(bytes: &[u8]) -> Result<Self, IdError> {
                bytes.try_into().map(Self).map_err(|_| IdError(concat!(stringify!($name), ": ", $length, " bytes")))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let bytes = data_encoding::HEXLOWER
                    .decode(text.as_bytes())
                    .map_err(|_| IdError(concat!(stringify!($name), ": ", $length, " bytes in lower-case hexadecimal")))?;
                Self::try_from(bytes.as_slice())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_bytes(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let bytes: &serde_bytes::Bytes = Deserialize::deserialize(deserializer)?;
                Self::try_from(&**bytes).map_err(de::Error::custom)
            }
        }
    };
}
use fixed_bytes;

/// Serde as text, through `Display` and `FromStr`.
macro_rules! text_serde {
    ($($name:ident),+) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }
    )+};
}
use text_serde;
