//! Claims built from choices: signed, read again, and changed.

use std::time::Duration;

use proto::{
    checked::{Signed, sign},
    claims::*,
    time::Timestamp,
};

use super::{build::Build, each_claim};
use crate::{
    choices::{Choices, mutated},
    honest,
    target::{Input, Property, Report, Target},
};

/// See the module.
pub const TARGET: Target = Target {
    name: "claims_built",
    says: "a claim of any kind, built, signed, read again, then changed",
    input: Input::Choices,
    properties: &[
        RULES_FIRST,
        IDENTITY,
        ITS_KEY_ONLY,
        ITS_KIND_ONLY,
        WINDOW,
        CHANGED_IS_REFUSED,
    ],
    run,
};

const RULES_FIRST: Property = Property {
    name: "rules-first",
    says: "a claim is signed if, and only if, it keeps its own rules and fits into 4,096 bytes",
};
const IDENTITY: Property = Property {
    name: "identity",
    says: "what was signed is read as it was, and signed again gives the same bytes",
};
const ITS_KEY_ONLY: Property = Property {
    name: "its-key-only",
    says: "it opens with the key that signed it and with no other",
};
const ITS_KIND_ONLY: Property = Property {
    name: "its-kind-only",
    says: "it is read as no other kind of claim",
};
const WINDOW: Property = Property {
    name: "window",
    says: "it holds at t when t + leeway is not before its start and t - leeway is before its end",
};
const CHANGED_IS_REFUSED: Property = Property {
    name: "changed-is-refused",
    says: "with any byte flipped, dropped, added or replaced it does not open",
};

fn run(input: &[u8], report: &mut Report) {
    let mut choices = Choices::new(input);
    let kind = choices.byte();
    each_claim!(kind, T => one(T::build(&mut choices), &mut choices, report));
}

fn one<T: Build>(claim: T, choices: &mut Choices<'_>, report: &mut Report) {
    let number = choices.byte();
    let signer = honest::key(number);
    let signed = sign(&claim, signer);
    let broken_rule = claim.validate().err();
    let bytes = match signed {
        Err(refusal) => {
            // What keeps the rules is refused for its length only.
            let length = matches!(refusal, proto::ClaimError::TooLong { .. });
            report.check(RULES_FIRST, broken_rule.is_some() || length, || {
                format!("a {} that keeps its rules is not signed: {refusal}", T::NAME)
            });
            return;
        }
        Ok(bytes) => bytes,
    };
    report.check(RULES_FIRST, broken_rule.is_none(), || {
        format!("a {} was signed though {}", T::NAME, broken_rule.unwrap_or_default())
    });
    report.note(|| format!("{claim:?}"));

    let opened = Signed::<T>::parse(&bytes).and_then(|signed| signed.verify(&signer.public()));
    match opened {
        Err(error) => report.broken(IDENTITY, format!("a {} is not read again: {error}", T::NAME)),
        Ok(timely) => {
            window(&claim, choices, report, &bytes, number);
            let read = timely.dangerously_at_any_time();
            report.equal(IDENTITY, &read, &claim);
            report.check(IDENTITY, sign(&read, signer).ok().as_ref() == Some(&bytes), || {
                format!("the {} has two encodings", T::NAME)
            });
        }
    }
    let other = honest::key(number.wrapping_add(1)).public();
    let by_other = Signed::<T>::parse(&bytes).and_then(|signed| signed.verify(&other));
    report.check(ITS_KEY_ONLY, by_other.is_err(), || {
        format!("the {} opened with another key", T::NAME)
    });
    each_claim!(U => report.check(
        ITS_KIND_ONLY,
        U::TYP == T::TYP || Signed::<U>::parse(&bytes).is_err(),
        || format!("a {} was read as a {}", T::NAME, U::NAME),
    ));
    if let Some(changed) = mutated(&bytes, choices) {
        let opened = Signed::<T>::parse(&changed).and_then(|signed| signed.verify(&signer.public()));
        report.check(CHANGED_IS_REFUSED, opened.is_err(), || {
            format!("a changed {} opened: {changed:02x?}", T::NAME)
        });
    }
}

/// The window as the protocol's text puts it, against the code.
fn window<T: Build>(claim: &T, choices: &mut Choices<'_>, report: &mut Report, bytes: &[u8], number: u8) {
    let (start, end) = claim.window();
    let leeway = Duration::from_secs(choices.byte().into());
    let edge = if choices.any::<bool>() { start } else { end };
    let time = Timestamp::from_micros(choices.any::<u64>());
    let near = edge.start().shifted(i64::from(choices.any::<i16>()) * 1_000_000);
    for now in [
        time,
        near,
        edge.start(),
        edge.start().minus(leeway),
        edge.start().plus(leeway),
    ] {
        let expected = now.plus(leeway) >= start.start() && now.minus(leeway) < end.start();
        let holds = Signed::<T>::parse(bytes)
            .and_then(|signed| signed.verify(&honest::key(number).public()))
            .and_then(|timely| timely.at(now, leeway));
        report.check(WINDOW, holds.is_ok() == expected, || {
            format!("from {start} to {end}, at {now} with {leeway:?}: expected {expected}")
        });
    }
}
