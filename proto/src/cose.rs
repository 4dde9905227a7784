//! COSE_Sign1 (RFC 9052, section 4.2), narrowed to one form: tag 18; protected header exactly alg EdDSA, key id, `typ`
//! (RFC 9596); empty unprotected header; attached payload; 64-byte signature.

use serde::{
    Deserialize, Serialize,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
    ser::{SerializeMap, SerializeTuple},
};
use serde_bytes::{ByteBuf, Bytes};

use crate::{cbor, error::ClaimError, ids::Thumbprint, key::SigningKey};

/// A parsed envelope. Its signature has not been checked.
#[derive(Debug)]
pub(crate) struct Envelope {
    pub(crate) key_id: Thumbprint,
    pub(crate) typ: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) signature: [u8; 64],
    protected: Vec<u8>,
}

impl Envelope {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, ClaimError> {
        if bytes.len() > cbor::MAX_BYTES {
            return Err(ClaimError::TooLong {
                length: bytes.len(),
                limit: cbor::MAX_BYTES,
            });
        }
        let Some((&TAG_SIGN1, array)) = bytes.split_first() else {
            return Err(ClaimError::Envelope("it does not begin with tag 18"));
        };
        let parts: Parts = cbor::decode(array, "COSE_Sign1")?;
        let header: Header = cbor::decode(&parts.protected, "protected header")?;
        let signature = parts
            .signature
            .try_into()
            .map_err(|_| ClaimError::Envelope("the signature is not 64 bytes"))?;
        Ok(Self {
            key_id: header.key_id,
            typ: header.typ,
            payload: parts.payload,
            signature,
            protected: parts.protected,
        })
    }

    /// The bytes that the signature covers (RFC 9052, section 4.4).
    pub(crate) fn signed_bytes(&self) -> Result<Vec<u8>, ClaimError> {
        to_be_signed(&self.protected, &self.payload)
    }
}

/// Signs `payload` as a claim of type `typ`.
pub(crate) fn sign(payload: Vec<u8>, typ: &'static str, key: &SigningKey) -> Result<Vec<u8>, ClaimError> {
    let header = Header {
        key_id: key.public().thumbprint(),
        typ: typ.to_owned(),
    };
    let protected = cbor::encode(&header, "protected header")?;
    let signature = key.sign(&to_be_signed(&protected, &payload)?).to_vec();
    let array = cbor::encode(
        &Parts {
            protected,
            payload,
            signature,
        },
        "COSE_Sign1",
    )?;
    let mut bytes = Vec::with_capacity(array.len() + 1);
    bytes.push(TAG_SIGN1);
    bytes.extend_from_slice(&array);
    if bytes.len() > cbor::MAX_BYTES {
        return Err(ClaimError::TooLong {
            length: bytes.len(),
            limit: cbor::MAX_BYTES,
        });
    }
    Ok(bytes)
}

fn to_be_signed(protected: &[u8], payload: &[u8]) -> Result<Vec<u8>, ClaimError> {
    serde_cbor::to_vec(&(
        "Signature1",
        Bytes::new(protected),
        Bytes::new(b""),
        Bytes::new(payload),
    ))
    .map_err(|_| ClaimError::Envelope("the signature structure cannot be encoded"))
}

struct Parts {
    protected: Vec<u8>,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

impl Serialize for Parts {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut array = serializer.serialize_tuple(4)?;
        array.serialize_element(Bytes::new(&self.protected))?;
        array.serialize_element(&Empty)?;
        array.serialize_element(Bytes::new(&self.payload))?;
        array.serialize_element(Bytes::new(&self.signature))?;
        array.end()
    }
}

impl<'de> Deserialize<'de> for Parts {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_tuple(4, PartsVisitor)
    }
}

struct PartsVisitor;

impl<'de> Visitor<'de> for PartsVisitor {
    type Value = Parts;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an array of protected header, empty map, payload, signature")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Parts, A::Error> {
        let short = || serde::de::Error::custom("an array of four");
        let protected: ByteBuf = seq.next_element()?.ok_or_else(short)?;
        let Empty = seq.next_element()?.ok_or_else(short)?;
        let payload: ByteBuf = seq.next_element()?.ok_or_else(short)?;
        let signature: ByteBuf = seq.next_element()?.ok_or_else(short)?;
        Ok(Parts {
            protected: protected.into_vec(),
            payload: payload.into_vec(),
            signature: signature.into_vec(),
        })
    }
}

/// The unprotected header: nothing unsigned is ever read, so nothing may be there.
struct Empty;

impl Serialize for Empty {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_map(Some(0))?.end()
    }
}

impl<'de> Deserialize<'de> for Empty {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EmptyVisitor;
        impl<'de> Visitor<'de> for EmptyVisitor {
            type Value = Empty;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an empty unprotected header")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Empty, A::Error> {
                match map.next_key::<IgnoredAny>()? {
                    None => Ok(Empty),
                    Some(_) => Err(serde::de::Error::custom("the unprotected header must be empty")),
                }
            }
        }
        deserializer.deserialize_map(EmptyVisitor)
    }
}

/// The protected header: {1: -8, 4: key id, 16: typ}.
struct Header {
    key_id: Thumbprint,
    typ: String,
}

impl Serialize for Header {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry(&LABEL_ALG, &ALG_EDDSA)?;
        map.serialize_entry(&LABEL_KEY_ID, Bytes::new(self.key_id.as_bytes()))?;
        map.serialize_entry(&LABEL_TYP, &self.typ)?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Header;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a protected header of alg EdDSA, a 32-byte key id and typ")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
        let wrong = serde::de::Error::custom;
        if map.next_entry::<i64, i64>()? != Some((LABEL_ALG, ALG_EDDSA)) {
            return Err(wrong("the algorithm is not EdDSA (-8)"));
        }
        let key_id: Option<(i64, ByteBuf)> = map.next_entry()?;
        let key_id = match key_id {
            Some((LABEL_KEY_ID, bytes)) => bytes
                .into_vec()
                .try_into()
                .map_err(|_| wrong("the key id is not 32 bytes"))?,
            _ => return Err(wrong("there is no key id")),
        };
        let typ = match map.next_entry::<i64, String>()? {
            Some((LABEL_TYP, typ)) => typ,
            _ => return Err(wrong("there is no typ")),
        };
        if map.next_key::<IgnoredAny>()?.is_some() {
            return Err(wrong("there are other header parameters"));
        }
        Ok(Header {
            key_id: Thumbprint::from_bytes(key_id),
            typ,
        })
    }
}

/// CBOR tag 18, COSE_Sign1 (RFC 9052, section 2).
const TAG_SIGN1: u8 = 0xd2;
const LABEL_ALG: i64 = 1;
const ALG_EDDSA: i64 = -8;
const LABEL_KEY_ID: i64 = 4;
/// RFC 9596, section 4.1.
const LABEL_TYP: i64 = 16;
