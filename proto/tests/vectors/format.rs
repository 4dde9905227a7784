//! The form of the vector files (`proto/vectors/README.md` tells readers of any language), and a CBOR writer of their own.
//!
//! The writer is not the library's, so that what a vector says about its fields is encoded a second time, independently.

use std::{fs, path::PathBuf};

use proto::{
    claims::{KeyBytes, KeyEntry, Protocols, Revoked},
    ids::{Address, ChannelBinding, Destination, Digest, Nonce, Pin, ProbeId, Thumbprint},
    time::{Seconds, Timestamp},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};

/// Bytes, in lower-case hexadecimal in JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hex(pub(crate) Vec<u8>);

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = data_encoding::HEXLOWER.decode(text.as_bytes());
        bytes.map(Self).map_err(serde::de::Error::custom)
    }
}

/// One CBOR item, with its type as the JSON key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Item {
    Uint(u64),
    Int(i64),
    Bstr(Hex),
    Tstr(String),
    Array(Vec<Item>),
    Map(Vec<Entry>),
    /// Bytes that stand where an item should: for what must be refused, never in a file.
    #[serde(skip)]
    Raw(Vec<u8>),
}

/// One entry of a map, in the order of the encoding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) key: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    #[serde(flatten)]
    pub(crate) value: Item,
}

impl Item {
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Uint(number) => head(0, *number),
            Self::Int(number) => match u64::try_from(*number) {
                Ok(number) => head(0, number),
                Err(_) => head(1, !number.cast_unsigned()),
            },
            Self::Bstr(Hex(bytes)) => [head(2, bytes.len() as u64), bytes.clone()].concat(),
            Self::Tstr(text) => [head(3, text.len() as u64), text.clone().into_bytes()].concat(),
            Self::Array(items) => {
                let items = items.iter().flat_map(Self::encode);
                head(4, self.len()).into_iter().chain(items).collect()
            }
            Self::Map(entries) => {
                let entries = entries
                    .iter()
                    .flat_map(|entry| [Self::Int(entry.key).encode(), entry.value.encode()].concat());
                head(5, self.len()).into_iter().chain(entries).collect()
            }
            Self::Raw(bytes) => bytes.clone(),
        }
    }

    fn len(&self) -> u64 {
        match self {
            Self::Array(items) => items.len() as u64,
            Self::Map(entries) => entries.len() as u64,
            _ => 0,
        }
    }
}

/// The head of a CBOR item in its shortest form.
pub(crate) fn head(major: u8, argument: u64) -> Vec<u8> {
    let bytes = argument.to_be_bytes();
    let (info, rest) = match argument {
        0..=23 => return vec![major << 5 | bytes[7]],
        24..=0xff => (24, &bytes[7..]),
        0x100..=0xffff => (25, &bytes[6..]),
        0x1_0000..=0xffff_ffff => (26, &bytes[4..]),
        _ => (27, &bytes[..]),
    };
    [&[major << 5 | info], rest].concat()
}

/// What a claim's field is in CBOR; `None` when it is absent.
pub(crate) trait Shown {
    fn shown(&self) -> Option<Item>;
}

macro_rules! shown {
    ($($kind:ty => $value:ident: $item:expr;)+) => {
        $(impl Shown for $kind {
            fn shown(&self) -> Option<Item> {
                let $value = self;
                Some($item)
            }
        })+
    };
}
macro_rules! shown_bytes {
    ($($kind:ty),+) => { shown! { $($kind => value: Item::Bstr(Hex(value.as_bytes().to_vec()));)+ } };
}
macro_rules! shown_text {
    ($($kind:ty),+) => { shown! { $($kind => value: Item::Tstr(value.to_string());)+ } };
}

shown_bytes!(ChannelBinding, Digest, Nonce, Pin, ProbeId);
shown_text!(
    Address,
    Destination,
    Thumbprint,
    String,
    proto::claims::FlowEnd,
    proto::claims::Outcome,
    proto::claims::Path,
    proto::claims::Protocol,
    proto::claims::Role
);
shown! {
    KeyBytes => value: Item::Bstr(Hex(value.0.to_vec()));
    Seconds => value: Item::Uint(value.as_u64());
    Timestamp => value: Item::Uint(value.as_micros());
    u64 => value: Item::Uint(*value);
    i64 => value: Item::Int(*value);
    Protocols => value: Item::Array(value.iter().filter_map(|protocol| protocol.shown()).collect());
    KeyEntry => value: Item::Map(super::fields::Fields::fields(value));
    Revoked => value: Item::Map(super::fields::Fields::fields(value));
}

/// No claim has an empty list: what would be one is left out.
impl<T: Shown> Shown for Vec<T> {
    fn shown(&self) -> Option<Item> {
        (!self.is_empty()).then(|| Item::Array(self.iter().filter_map(Shown::shown).collect()))
    }
}

impl<T: Shown> Shown for std::collections::BTreeMap<u64, T> {
    fn shown(&self) -> Option<Item> {
        let entry = |(key, value): (&u64, &T)| {
            Some(Entry {
                key: i64::try_from(*key).ok()?,
                name: None,
                value: value.shown()?,
            })
        };
        Some(Item::Map(self.iter().filter_map(entry).collect()))
    }
}

impl<T: Shown> Shown for Option<T> {
    fn shown(&self) -> Option<Item> {
        self.as_ref().and_then(Shown::shown)
    }
}

/// `keys.json`.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct KeysFile {
    pub(crate) about: String,
    pub(crate) keys: Vec<KeyVector>,
    pub(crate) refused: Vec<RefusedKey>,
    pub(crate) refused_texts: Vec<RefusedText>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct KeyVector {
    pub(crate) name: String,
    pub(crate) seed: Hex,
    pub(crate) public: Hex,
    pub(crate) key_id: Hex,
    pub(crate) text: String,
    pub(crate) thumbprint: String,
    pub(crate) peer_id: String,
    pub(crate) own_name: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RefusedKey {
    pub(crate) name: String,
    pub(crate) rule: String,
    pub(crate) public: Hex,
    pub(crate) error: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RefusedText {
    pub(crate) name: String,
    pub(crate) rule: String,
    pub(crate) text: String,
    pub(crate) error: String,
}

/// `claims.json`.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ClaimsFile {
    pub(crate) about: String,
    pub(crate) claims: Vec<ClaimVector>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ClaimVector {
    pub(crate) name: String,
    pub(crate) claim: String,
    pub(crate) typ: String,
    pub(crate) signed_by: String,
    /// First second at which it holds, first at which it does not any more.
    pub(crate) window: [u64; 2],
    pub(crate) fields: Vec<Entry>,
    pub(crate) protected: Hex,
    pub(crate) payload: Hex,
    pub(crate) to_be_signed: Hex,
    pub(crate) signature: Hex,
    pub(crate) message: Hex,
    pub(crate) digest: Hex,
}

/// The `refused-*.json` files, `windows.json` and `roles.json`.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct CasesFile {
    pub(crate) about: String,
    pub(crate) cases: Vec<Case>,
}

/// A message, how it is to be opened, and what comes of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Case {
    pub(crate) name: String,
    /// The rule that it breaks or shows, in the words of the protocol's README.
    pub(crate) rule: String,
    /// What it is read as.
    pub(crate) claim: String,
    pub(crate) message: Hex,
    /// The key that must have signed, by its 32 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<Hex>,
    /// Otherwise the keyset that lists it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) keyset: Option<Hex>,
    /// When it is looked at, in microseconds.
    pub(crate) at: u64,
    pub(crate) leeway: u64,
    /// The step in "Order of checks" that refuses it; 0 when none does.
    pub(crate) step: u8,
    /// Empty when it is accepted.
    pub(crate) error: String,
    /// Whether the CDDL's rule for this claim describes the message.
    pub(crate) cddl: bool,
}

/// The text of a vector file as it is committed.
pub(crate) fn written(file: &impl Serialize) -> String {
    let mut text = serde_json::to_string_pretty(file).unwrap();
    text.push('\n');
    text
}

/// A vector file as it is committed.
pub(crate) fn committed<T: DeserializeOwned>(name: &str) -> T {
    super::update_if_asked();
    let text = fs::read_to_string(folder().join(name)).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

pub(crate) fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors")
}
