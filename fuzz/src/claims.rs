//! The signed claims: as bytes that anybody may have written, and built from choices, signed and changed.

use proto::{checked::Signed, claims::*};

use crate::{
    honest::{STRANGER, key},
    target::{Input, Property, Report, Target},
};

mod build;
mod built;
mod envelopes;
mod payloads;
mod successions;

pub use build::Build;
pub use built::TARGET as BUILT;
pub use envelopes::TARGET as ENVELOPES;
pub use payloads::TARGET as PAYLOADS;
pub use successions::TARGET as SUCCESSIONS;

/// Any envelope, held against every claim.
pub const TARGET: Target = Target {
    name: "claims",
    says: "a signed claim of any kind, as it travels",
    input: Input::Bytes,
    properties: &[ONE_KIND, SAME_BYTES, OPENS_FOR_NOBODY, OWN_KEY_ONLY, BOUNDED],
    run,
};

const ONE_KIND: Property = Property {
    name: "one-kind",
    says: "an envelope is of one kind of claim at most, the one that its typ names",
};
const SAME_BYTES: Property = Property {
    name: "same-bytes",
    says: "the claim that was read encodes to the bytes that it was read from, and keeps its own rules",
};
const OPENS_FOR_NOBODY: Property = Property {
    name: "opens-for-nobody",
    says: "no bytes open with the key of somebody who signed nothing",
};
const OWN_KEY_ONLY: Property = Property {
    name: "own-key-only",
    says: "a registration that opens with the key in it is by that key's thumbprint, about itself",
};
const BOUNDED: Property = Property {
    name: "bounded",
    says: "no claim has more than 4,096 bytes",
};

/// Does the same for every kind of claim, or for the `$kind`th.
macro_rules! each_claim {
    ($claim:ident => $each:expr) => {{
        {
            type $claim = Keyset;
            $each
        }
        {
            type $claim = Welcome;
            $each
        }
        {
            type $claim = Registration;
            $each
        }
        {
            type $claim = Announcement;
            $each
        }
        {
            type $claim = Challenge;
            $each
        }
        {
            type $claim = Statement;
            $each
        }
        {
            type $claim = Observation;
            $each
        }
        {
            type $claim = Receipt;
            $each
        }
        {
            type $claim = Verdict;
            $each
        }
        {
            type $claim = Succession;
            $each
        }
    }};
    ($kind:expr, $claim:ident => $each:expr) => {
        match $kind % 10 {
            0 => {
                type $claim = Keyset;
                $each
            }
            1 => {
                type $claim = Welcome;
                $each
            }
            2 => {
                type $claim = Registration;
                $each
            }
            3 => {
                type $claim = Announcement;
                $each
            }
            4 => {
                type $claim = Challenge;
                $each
            }
            5 => {
                type $claim = Statement;
                $each
            }
            6 => {
                type $claim = Observation;
                $each
            }
            7 => {
                type $claim = Receipt;
                $each
            }
            8 => {
                type $claim = Verdict;
                $each
            }
            _ => {
                type $claim = Succession;
                $each
            }
        }
    };
}
pub(crate) use each_claim;

fn run(input: &[u8], report: &mut Report) {
    let mut kinds = Vec::new();
    each_claim!(T => kinds.extend(read::<T>(input, report)));
    if !kinds.is_empty() {
        report.equal(ONE_KIND, &kinds.len(), &1);
    }
    if let Ok(signed) = Signed::<Registration>::parse(input) {
        let said = signed.key_id();
        if let Ok(timely) = signed.verify_with_own_key() {
            let claim = timely.dangerously_at_any_time();
            report.check(OWN_KEY_ONLY, claim.issuer == said && claim.subject == said, || {
                format!("signed by {said}, by {} about {}", claim.issuer, claim.subject)
            });
        }
    }
}

/// The claim's name, if the input is one of this kind.
fn read<T: Claim>(input: &[u8], report: &mut Report) -> Option<&'static str> {
    let signed = match Signed::<T>::parse(input) {
        Ok(signed) => signed,
        Err(refusal) => {
            report.note(|| format!("no {}: {refusal}", T::NAME));
            return None;
        }
    };
    report.check(BOUNDED, input.len() <= proto::cbor::MAX_BYTES, || {
        format!("{} bytes", input.len())
    });
    let envelope = proto::fuzzing::envelope(input);
    let payload = envelope.map(|envelope| (envelope.typ, envelope.payload)).ok();
    let claim = signed.dangerously_unverified();
    let again = proto::cbor::encode(claim, T::NAME)
        .ok()
        .map(|bytes| (T::TYP.to_owned(), bytes));
    report.check(SAME_BYTES, again == payload, || {
        format!("the {} is not canonical", T::NAME)
    });
    report.check(SAME_BYTES, claim.validate().is_ok(), || {
        format!("a {} that breaks its own rules was read", T::NAME)
    });
    report.note(|| format!("a {} by {}", T::NAME, signed.key_id()));
    let opened = signed.verify(&key(STRANGER).public());
    report.check(OPENS_FOR_NOBODY, opened.is_err(), || {
        format!("the {} opened with a stranger's key", T::NAME)
    });
    Some(T::NAME)
}
