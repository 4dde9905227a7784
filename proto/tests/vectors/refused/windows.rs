//! Windows, to the microsecond, with and without leeway.

use super::{Cases, base, carried};
use crate::{
    cast::second,
    envelope::Draft,
    format::{Case, Item},
};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Cases::default();
    // A challenge has an nbf; a receipt's window begins with its iat.
    window(&mut cases, &base(), (0, 18));
    window(&mut cases, &carried(proto::claims::EvidenceKind::Receipt), (0, 60));
    empty(&mut cases);
    cases.0
}

const RULE: &str = "With a leeway *L* it holds at *t* when *t* + *L* ≥ start and *t* − *L* < end";
const HALF_OPEN: &str =
    "A window is half open: from `nbf` (from `iat` in claims without it) up to but not including `exp`";
const SECOND: i64 = 1_000_000;

fn window(cases: &mut Cases, draft: &Draft, (from, until): (i64, i64)) {
    let (from, until) = (from * SECOND, until * SECOND);
    let leeway = 10 * SECOND;
    for (name, after, leeway, error) in [
        ("a-microsecond-before", from - 1, 0, "not-yet"),
        ("at-the-beginning", from, 0, ""),
        ("a-microsecond-before-the-end", until - 1, 0, ""),
        ("at-the-end", until, 0, "expired"),
        ("a-year-after", until + 31_536_000 * SECOND, 0, "expired"),
        ("more-than-the-leeway-before", from - leeway - 1, leeway, "not-yet"),
        ("the-leeway-before", from - leeway, leeway, ""),
        (
            "a-microsecond-less-than-the-leeway-after",
            until + leeway - 1,
            leeway,
            "",
        ),
        ("the-leeway-after", until + leeway, leeway, "expired"),
    ] {
        let rule = if leeway == 0 { HALF_OPEN } else { RULE };
        let step = if error.is_empty() { 0 } else { 6 };
        let case = cases.refuse(
            &format!("{}-{name}", draft.claim),
            rule,
            draft,
            draft.message(),
            (step, error),
        );
        case.at = second(0).start().shifted(after).as_micros();
        case.leeway = leeway.unsigned_abs();
        case.described();
    }
}

/// Windows that hold at no time, and such as never end.
fn empty(cases: &mut Cases) {
    let at = |key: i64, second: u64| base().with(key, Item::Uint(second));
    let now = second(0).as_u64();
    for (name, draft, leeway, error) in [
        ("challenge-that-ends-as-it-begins", at(4, now), 0, "expired"),
        ("challenge-that-ends-before-it-begins", at(4, now - 60), 0, "expired"),
        (
            "challenge-that-begins-at-the-end-of-time",
            at(5, u64::MAX),
            0,
            "not-yet",
        ),
        ("challenge-that-never-ends", at(4, u64::MAX), 0, ""),
        ("challenge-from-the-beginning-of-time", at(5, 0), 10_000_000, ""),
    ] {
        let step = if error.is_empty() { 0 } else { 6 };
        let case = cases.refuse(name, HALF_OPEN, &draft, draft.message(), (step, error));
        case.leeway = leeway;
        case.described();
    }
}
