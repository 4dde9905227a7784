//! The ten signed claims (README.md, "Claims"): CWT claim sets (RFC 8392) with integer keys in ascending order,
//! registered claims first, private ones from -65537 down.

use std::{collections::BTreeMap, marker::PhantomData};

use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned};

use crate::{
    ids::{Address, ChannelBinding, Destination, Digest, Nonce, Pin, ProbeId, Thumbprint},
    time::{Seconds, Timestamp},
};

mod announcement;
mod challenge;
mod keyset;
mod observation;
mod receipt;
mod registration;
mod statement;
mod succession;
mod verdict;
mod welcome;

pub use announcement::Announcement;
pub use challenge::Challenge;
pub use keyset::{KeyEntry, Keyset, Revoked, Role};
pub use observation::{Observation, Path, Phase};
pub use receipt::{FlowEnd, Receipt};
pub use registration::{Protocol, Protocols, Registration};
pub use statement::Statement;
pub use succession::{Chain, Link, Succession, SuccessionPair};
pub use verdict::{EvidenceKind, Outcome, Verdict};
pub use welcome::Welcome;

/// A signed claim: its type, its window and the rules beyond its shape.
pub trait Claim: Serialize + DeserializeOwned {
    /// The claim's name in errors.
    const NAME: &'static str;
    /// The COSE `typ`, distinct and versioned for each claim.
    const TYP: &'static str;

    /// The first and the first-not-any-more second at which the claim holds.
    fn window(&self) -> (Seconds, Seconds);

    /// Rules that the shape cannot express; the error says which is broken.
    ///
    /// # Errors
    /// The broken rule, in words.
    fn validate(&self) -> Result<(), &'static str> {
        Ok(())
    }
}

/// A value that a claim's map may hold. Optional ones are left out when absent, never null.
pub(crate) trait Entry: Serialize + DeserializeOwned {
    fn is_present(&self) -> bool {
        true
    }

    fn absent() -> Option<Self> {
        None
    }
}

impl<T: Entry> Entry for Option<T> {
    fn is_present(&self) -> bool {
        self.is_some()
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

macro_rules! entries {
    ($($name:ty),+ $(,)?) => { $(impl Entry for $name {})+ };
}

entries!(
    String, u64, i64, Vec<u64>, BTreeMap<u64, u64>, Address, ChannelBinding, Destination, Digest, Nonce, Pin, ProbeId,
    Thumbprint, Seconds, Timestamp, KeyBytes, Vec<KeyEntry>, Protocols, Protocol, Path, FlowEnd, Outcome,
    BTreeMap<u64, Digest>,
);

/// The 32 bytes of a public key as a claim carries them; not yet a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyBytes(pub [u8; 32]);

impl Serialize for KeyBytes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for KeyBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let digest = Digest::deserialize(deserializer)?;
        Ok(Self(*digest.as_bytes()))
    }
}

/// Checks a free text: bounded and printable, since it ends up in logs and listings. What of it is shown there is decided
/// there ([`crate::text`]).
pub(crate) fn is_plain_text(text: &str, most: usize) -> bool {
    text.len() <= most && !text.chars().any(char::is_control)
}

/// Visits a map whose keys are known integers; made by [`claim_map`].
pub(crate) struct MapVisitor<T>(pub(crate) PhantomData<T>);

/// Defines a struct that is a CBOR map with integer keys, in the order written, which must be the encoding's order.
macro_rules! claim_map {
    ($(#[$meta:meta])* pub struct $name:ident { $($(#[$field_meta:meta])* $key:literal => $field:ident: $kind:ty,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $kind,)+
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeMap;
                use crate::claims::Entry;

                let length = 0 $(+ usize::from(self.$field.is_present()))+;
                let mut map = serializer.serialize_map(Some(length))?;
                $(if self.$field.is_present() {
                    let key: i64 = $key;
                    map.serialize_entry(&key, &self.$field)?;
                })+
                map.end()
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_map(crate::claims::MapVisitor::<$name>(std::marker::PhantomData))
            }
        }

        impl<'de> serde::de::Visitor<'de> for crate::claims::MapVisitor<$name> {
            type Value = $name;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a map with integer keys")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<$name, A::Error> {
                use serde::de::Error;
                use crate::claims::Entry;

                $(let mut $field: Option<$kind> = None;)+
                while let Some(key) = map.next_key::<i64>()? {
                    match key {
                        $($key => $field = Some(map.next_value()?),)+
                        other => return Err(A::Error::custom(format_args!("unknown key {other}"))),
                    }
                }
                Ok($name {
                    $($field: match $field.or_else(<$kind as Entry>::absent) {
                        Some(value) => value,
                        None => return Err(A::Error::custom(concat!("key ", $key, " (", stringify!($field), ") is missing"))),
                    },)+
                })
            }
        }
    };
}
pub(crate) use claim_map;

/// A set of named values that travel as small unsigned integers or short text.
macro_rules! text_enum {
    ($(#[$meta:meta])* pub enum $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$variant_meta])* $variant,)+ }

        impl $name {
            /// Every value, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The text that stands for it on the wire and in listings.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    _ => Err(format!("unknown value {text:?}, expected one of: {}", [$($text),+].join(", "))),
                }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                <String as serde::Deserialize>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use text_enum;

#[cfg(test)]
mod tests;
