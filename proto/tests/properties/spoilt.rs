//! The golden claims, spoilt in every bit and at every byte: each is refused.

use std::{collections::BTreeMap, fs, path::Path};

use proto::{
    checked::Signed,
    claims::*,
    key::{PublicKey, SigningKey},
};
use serde_json::Value;

/// A golden message and the key that signed it.
struct Golden {
    name: String,
    message: Vec<u8>,
    key: PublicKey,
}

fn golden(claim: &str) -> Vec<Golden> {
    let keys = file("keys.json");
    let seeds: BTreeMap<&str, Vec<u8>> = list(&keys, "keys")
        .map(|key| (text(key, "name"), hex(key, "seed")))
        .collect();
    let claims = file("claims.json");
    let of_kind = list(&claims, "claims").filter(|vector| text(vector, "claim") == claim);
    let golden: Vec<Golden> = of_kind
        .map(|vector| Golden {
            name: text(vector, "name").to_owned(),
            message: hex(vector, "message"),
            key: SigningKey::from_seed(seeds[text(vector, "signed_by")].as_slice().try_into().unwrap()).public(),
        })
        .collect();
    assert!(!golden.is_empty(), "{claim}");
    golden
}

fn spoil<T: Claim>() {
    for Golden { name, message, key } in golden(T::NAME) {
        let accepted = |bytes: &[u8]| Signed::<T>::parse(bytes).is_ok_and(|signed| signed.verify(&key).is_ok());
        assert!(accepted(&message), "{name}");
        let mut spoilt = message.clone();
        for at in 0..message.len() {
            for bit in 0..8 {
                spoilt[at] ^= 1 << bit;
                assert!(!accepted(&spoilt), "{name}: bit {bit} of byte {at}");
                spoilt[at] ^= 1 << bit;
            }
            assert!(!accepted(&message[..at]), "{name}: cut at {at}");
            let mut without = message.clone();
            without.remove(at);
            assert!(!accepted(&without), "{name}: without byte {at}");
            let mut doubled = message.clone();
            doubled.insert(at, message[at]);
            assert!(!accepted(&doubled), "{name}: byte {at} twice");
        }
        for byte in 0..=u8::MAX {
            let longer = [&message[..], &[byte]].concat();
            assert!(!accepted(&longer), "{name}: {byte} after it");
        }
    }
}

macro_rules! spoilt {
    ($($name:ident: $kind:ty;)+) => {
        $(#[test]
        fn $name() {
            spoil::<$kind>();
        })+
    };
}

spoilt! {
    every_spoilt_keyset_is_refused: Keyset;
    every_spoilt_welcome_is_refused: Welcome;
    every_spoilt_registration_is_refused: Registration;
    every_spoilt_succession_is_refused: Succession;
    every_spoilt_announcement_is_refused: Announcement;
    every_spoilt_challenge_is_refused: Challenge;
    every_spoilt_statement_is_refused: Statement;
    every_spoilt_observation_is_refused: Observation;
    every_spoilt_receipt_is_refused: Receipt;
    every_spoilt_verdict_is_refused: Verdict;
}

pub(crate) fn file(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors").join(name);
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

pub(crate) fn list<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    value[name].as_array().unwrap().iter()
}

pub(crate) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap()
}

pub(crate) fn hex(value: &Value, name: &str) -> Vec<u8> {
    data_encoding::HEXLOWER.decode(text(value, name).as_bytes()).unwrap()
}
