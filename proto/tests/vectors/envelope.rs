//! Envelopes put together by hand, so that each part of one can be wrong and the signature still hold.

use proto::ids::Thumbprint;

use super::{
    cast::{key, thumbprint},
    fields::Golden,
    format::{Entry, Hex, Item, head},
};

/// What is signed.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) protected: Vec<u8>,
    pub(crate) payload: Vec<u8>,
}

impl Parts {
    /// The Sig_structure of RFC 9052, section 4.4.
    pub(crate) fn to_be_signed(&self) -> Vec<u8> {
        Item::Array(vec![
            Item::Tstr("Signature1".to_owned()),
            bstr(&self.protected),
            bstr(b""),
            bstr(&self.payload),
        ])
        .encode()
    }

    pub(crate) fn message(&self, signature: &[u8]) -> Vec<u8> {
        let array = [
            bstr(&self.protected),
            Item::Map(vec![]),
            bstr(&self.payload),
            bstr(signature),
        ];
        [vec![0xd2], Item::Array(array.to_vec()).encode()].concat()
    }

    /// The message that a party signs.
    pub(crate) fn signed_by(&self, name: &str) -> Vec<u8> {
        self.message(&key(name).sign(&self.to_be_signed()))
    }
}

/// The protected header.
pub(crate) fn protected(key_id: Thumbprint, typ: &str) -> Vec<u8> {
    header(vec![
        (1, Item::Int(-8)),
        (4, bstr(key_id.as_bytes())),
        (16, Item::Tstr(typ.to_owned())),
    ])
}

/// A map with these entries.
pub(crate) fn header(entries: Vec<(i64, Item)>) -> Vec<u8> {
    let entry = |(key, value)| Entry { key, name: None, value };
    Item::Map(entries.into_iter().map(entry).collect()).encode()
}

pub(crate) fn bstr(bytes: &[u8]) -> Item {
    Item::Bstr(Hex(bytes.to_vec()))
}

pub(crate) fn tstr(text: &str) -> Item {
    Item::Tstr(text.to_owned())
}

/// A claim whose fields can be changed to what the library would not write.
#[derive(Clone)]
pub(crate) struct Draft {
    pub(crate) claim: &'static str,
    pub(crate) typ: String,
    pub(crate) signer: &'static str,
    pub(crate) entries: Vec<Entry>,
}

impl Draft {
    pub(crate) fn of<T: Golden>(claim: &T, signer: &'static str) -> Self {
        Self {
            claim: T::NAME,
            typ: T::TYP.to_owned(),
            signer,
            entries: claim.fields(),
        }
    }

    /// Another value for a key that is there.
    pub(crate) fn with(mut self, key: i64, value: Item) -> Self {
        let entry = self.entries.iter_mut().find(|entry| entry.key == key);
        entry.expect("the key is there").value = value;
        self
    }

    pub(crate) fn without(mut self, key: i64) -> Self {
        self.entries.retain(|entry| entry.key != key);
        self
    }

    /// Another entry, in its place.
    pub(crate) fn and(mut self, key: i64, value: Item) -> Self {
        self.entries.push(Entry { key, name: None, value });
        self.entries.sort_by_key(|entry| Item::Int(entry.key).encode());
        self
    }

    pub(crate) fn payload(&self) -> Vec<u8> {
        Item::Map(self.entries.clone()).encode()
    }

    pub(crate) fn parts(&self) -> Parts {
        self.parts_of(self.payload())
    }

    /// The same envelope around another payload.
    pub(crate) fn parts_of(&self, payload: Vec<u8>) -> Parts {
        Parts {
            protected: protected(thumbprint(self.signer), &self.typ),
            payload,
        }
    }

    pub(crate) fn message(&self) -> Vec<u8> {
        self.parts().signed_by(self.signer)
    }
}

/// `count` and then whatever follows, as a map.
pub(crate) fn map_of(count: u64, rest: &[u8]) -> Vec<u8> {
    [head(5, count), rest.to_vec()].concat()
}
