//! Any payload in a good envelope: what the attacker of a claim's map would send who has a key of his own.

use ciborium::Value;
use proto::{checked::Signed, claims::*};

use super::each_claim;
use crate::{
    cbor::canonical,
    cose::header_of,
    honest::{STRANGER, key},
    target::{Input, Property, Report, Target},
};

/// See the module.
pub const TARGET: Target = Target {
    name: "payloads",
    says: "any map in an envelope with a good signature; the first byte says which claim it shall be",
    input: Input::Choices,
    properties: &[SAME_BYTES, OPENS, INTEGER_KEYS],
    run,
};

const SAME_BYTES: Property = Property {
    name: "same-bytes",
    says: "the claim that is read encodes to the payload, and keeps its own rules",
};
const OPENS: Property = Property {
    name: "opens",
    says: "an envelope that coset has built and signed opens with its key",
};
const INTEGER_KEYS: Property = Property {
    name: "integer-keys",
    says: "to ciborium, an accepted payload is a map in deterministic form whose keys are integers",
};

fn run(input: &[u8], report: &mut Report) {
    let Some((kind, payload)) = input.split_first() else {
        return;
    };
    each_claim!(*kind, T => one::<T>(payload, report));
}

fn one<T: Claim>(payload: &[u8], report: &mut Report) {
    let signer = key(STRANGER);
    let sealed = coset::CoseSign1Builder::new()
        .protected(header_of(signer.public().thumbprint().as_bytes(), T::TYP))
        .payload(payload.to_vec())
        .create_signature(b"", |bytes| signer.sign(bytes).to_vec())
        .build();
    let Ok(bytes) = coset::TaggedCborSerializable::to_tagged_vec(sealed) else {
        return;
    };
    let signed = match Signed::<T>::parse(&bytes) {
        Ok(signed) => signed,
        Err(refusal) => return report.note(|| format!("no {}: {refusal}", T::NAME)),
    };
    let claim = signed.dangerously_unverified();
    let again = proto::cbor::encode(claim, T::NAME).ok();
    report.check(SAME_BYTES, again.as_deref() == Some(payload), || {
        format!("the {} is not canonical", T::NAME)
    });
    report.check(SAME_BYTES, claim.validate().is_ok(), || {
        format!("a {} that breaks its own rules was read", T::NAME)
    });
    let value = ciborium::from_reader::<Value, _>(payload).ok();
    let is_map = value
        .as_ref()
        .and_then(Value::as_map)
        .is_some_and(|entries| entries.iter().all(|(key, _)| key.is_integer()));
    let spelt = value.as_ref().and_then(canonical);
    report.check(INTEGER_KEYS, is_map && spelt.as_deref() == Some(payload), || {
        format!("a {} that is {value:?} to ciborium", T::NAME)
    });
    let opened = signed.verify(&signer.public());
    report.check(OPENS, opened.is_ok(), || format!("the {} does not open", T::NAME));
}
