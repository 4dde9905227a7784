//! Claims: decode after encode, and encode after decode, change nothing.

use proptest::prelude::*;
use proto::{
    cbor,
    checked::{Signed, sign},
    claims::*,
    key::SigningKey,
};

use crate::strategies::{Any, key};

/// A change to bytes, by an offset that is taken modulo their length.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change {
    Flip(usize, u8),
    Drop(usize),
    Insert(usize, u8),
    Cut(usize),
    Swap(usize, usize),
}

pub(crate) fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        any::<(usize, u8)>().prop_map(|(at, bit)| Change::Flip(at, 1 << (bit % 8))),
        any::<(usize, u8)>().prop_map(|(at, mask)| Change::Flip(at, mask)),
        any::<usize>().prop_map(Change::Drop),
        any::<(usize, u8)>().prop_map(|(at, byte)| Change::Insert(at, byte)),
        any::<usize>().prop_map(Change::Cut),
        any::<(usize, usize)>().prop_map(|(one, other)| Change::Swap(one, other)),
    ]
}

impl Change {
    pub(crate) fn of(self, bytes: &[u8]) -> Vec<u8> {
        let mut changed = bytes.to_vec();
        let length = bytes.len();
        match self {
            Self::Flip(at, mask) => changed[at % length] ^= mask,
            Self::Drop(at) => {
                changed.remove(at % length);
            }
            Self::Insert(at, byte) => changed.insert(at % (length + 1), byte),
            Self::Cut(at) => changed.truncate(at % length),
            Self::Swap(one, other) => changed.swap(one % length, other % length),
        }
        changed
    }
}

/// Both ways round, for one claim.
fn comes_back<T: Any>(claim: &T, signer: &SigningKey) -> Result<(), TestCaseError> {
    let message = sign(claim, signer).unwrap();
    let signed = Signed::<T>::parse(&message).map_err(|error| TestCaseError::fail(error.to_string()))?;
    let read = signed.verify(&signer.public()).unwrap().dangerously_at_any_time();
    prop_assert_eq!(&read, claim);
    prop_assert_eq!(sign(&read, signer).unwrap(), message);
    Ok(())
}

/// Whatever bytes are taken for this claim's map are the bytes that its encoder writes.
fn nothing_else_is_read<T: Any>(claim: &T, changes: &[Change]) -> Result<(), TestCaseError> {
    let mut payload = cbor::encode(claim, T::NAME).unwrap();
    for change in changes {
        if payload.is_empty() {
            break;
        }
        payload = change.of(&payload);
        if let Ok(read) = cbor::decode::<T>(&payload, T::NAME) {
            prop_assert_eq!(cbor::encode(&read, T::NAME).unwrap(), payload.clone());
        }
    }
    Ok(())
}

/// No change to a signed message leaves one that its key has signed.
fn no_change_is_signed<T: Any>(claim: &T, signer: &SigningKey, change: Change) -> Result<(), TestCaseError> {
    let message = sign(claim, signer).unwrap();
    let changed = change.of(&message);
    let accepted = Signed::<T>::parse(&changed).is_ok_and(|signed| signed.verify(&signer.public()).is_ok());
    prop_assert_eq!(accepted, changed == message, "{:?}", change);
    Ok(())
}

macro_rules! properties {
    ($($name:ident: $kind:ty;)+) => {
        $(mod $name {
            use super::*;

            proptest! {
                #[test]
                fn comes_back(claim in <$kind>::any(), signer in key()) {
                    super::comes_back(&claim, &signer)?;
                }

                #[test]
                fn nothing_else_is_read(claim in <$kind>::any(), changes in prop::collection::vec(change(), 1..6)) {
                    super::nothing_else_is_read(&claim, &changes)?;
                }

                #[test]
                fn no_change_is_signed(claim in <$kind>::any(), signer in key(), change in change()) {
                    super::no_change_is_signed(&claim, &signer, change)?;
                }
            }
        })+
    };
}

properties! {
    keyset: Keyset;
    welcome: Welcome;
    registration: Registration;
    succession: Succession;
    announcement: Announcement;
    challenge: Challenge;
    statement: Statement;
    observation: Observation;
    receipt: Receipt;
    verdict: Verdict;
}
