//! Keys by keyset: the key that a claim's id names must be listed for the role that signs such claims, and be valid then.

use proto::{
    checked::sign,
    claims::{EvidenceKind, Keyset, Revoked, Role},
    ids::Digest,
    time::Seconds,
};

use super::{Cases, base, carried, verdict, welcome};
use crate::{
    cast::{key, second, thumbprint},
    envelope::Draft,
    format::{Case, Hex},
    scene::{DAY, key_entry, keyset},
};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Cases::default();
    roles(&mut cases);
    windows(&mut cases);
    overlaps(&mut cases);
    revoked(&mut cases);
    cases.0
}

const ROLE: &str = "A claim signed by a key of another role must be refused";
const LISTED: &str =
    "a key that the keyset lists *for this role*, whose own window holds and which no known keyset revokes";
const VALID: &str = "A key is valid while the keyset's window and the entry's own window hold";
const OVERLAP: &str = "Entries of one role may overlap, which is how keys are changed";
const UNKNOWN: &str = "unknown-key";

/// A claim, opened with the key that the keyset lists for its id.
fn by<'a>(
    cases: &'a mut Cases,
    name: &str,
    rule: &str,
    draft: &Draft,
    keyset: &Keyset,
    fault: (u8, &str),
) -> &'a mut Case {
    let case = cases.refuse(name, rule, draft, draft.message(), fault);
    case.key = None;
    case.keyset = Some(Hex(sign(keyset, &key("root")).unwrap()));
    case.described();
    case
}

fn roles(cases: &mut Cases) {
    let claims = [
        welcome(),
        carried(EvidenceKind::Announcement),
        base(),
        verdict(),
        carried(EvidenceKind::Statement),
        carried(EvidenceKind::Observation),
    ];
    for draft in &claims {
        for signer in ["attester", "origin", "prober", "root", "stranger"] {
            let draft = Draft {
                signer,
                ..draft.clone()
            };
            let own = claims
                .iter()
                .any(|own| own.claim == draft.claim && own.signer == signer);
            let fault = if own { (0, "") } else { (4, UNKNOWN) };
            let rule = if own || signer == "stranger" || signer == "root" {
                LISTED
            } else {
                ROLE
            };
            let name = format!("{}-by-the-{signer}", draft.claim);
            by(cases, &name, rule, &draft, &keyset(), fault);
        }
    }
}

fn windows(cases: &mut Cases) {
    let mut short = keyset();
    (short.keys[0].not_before, short.keys[0].expires) = (second(0), second(10));
    for (name, after, error) in [
        ("key-at-its-beginning", 0, ""),
        ("key-a-microsecond-before-its-end", 9_999_999, ""),
        ("key-at-its-end", 10_000_000, UNKNOWN),
    ] {
        let step = if error.is_empty() { 0 } else { 4 };
        let case = by(cases, name, VALID, &base(), &short, (step, error));
        case.at = second(0).start().shifted(after).as_micros();
    }
    (short.keys[0].not_before, short.keys[0].expires) = (second(1), second(10));
    let case = by(
        cases,
        "key-a-microsecond-before-its-beginning",
        VALID,
        &base(),
        &short,
        (4, UNKNOWN),
    );
    case.at += 999_999;
}

fn overlaps(cases: &mut Cases) {
    let mut overlap = keyset();
    overlap.keys[0].expires = second(10);
    let mut next = key_entry(Role::Attester, "next-attester");
    next.not_before = second(5);
    overlap.keys.push(next);
    let newer = Draft {
        signer: "next-attester",
        ..base()
    };
    for (name, draft, after, error) in [
        ("old-key-before-the-overlap", base(), 0, ""),
        ("new-key-before-the-overlap", newer.clone(), 4, UNKNOWN),
        ("old-key-in-the-overlap", base(), 5, ""),
        ("new-key-in-the-overlap", newer.clone(), 5, ""),
        ("old-key-after-the-overlap", base(), 10, UNKNOWN),
        ("new-key-after-the-overlap", newer, 10, ""),
    ] {
        let step = if error.is_empty() { 0 } else { 4 };
        let case = by(cases, name, OVERLAP, &draft, &overlap, (step, error));
        case.at = second(after).start().as_micros();
    }
    // One key may be listed for two roles, though it should not be.
    let mut double = keyset();
    double.keys.push(key_entry(Role::Origin, "attester"));
    let statement = Draft {
        signer: "attester",
        ..carried(EvidenceKind::Statement)
    };
    by(
        cases,
        "statement-by-a-key-of-two-roles",
        LISTED,
        &statement,
        &double,
        (0, ""),
    );
    double.keys[0].expires = second(-DAY + 1);
    by(
        cases,
        "challenge-by-a-key-whose-other-role-holds",
        LISTED,
        &base(),
        &double,
        (4, UNKNOWN),
    );
    let old = sign(&keyset(), &key("root")).unwrap();
    let case = by(
        cases,
        "attester-named-stranger-signed",
        "The signature.",
        &base(),
        &keyset(),
        (5, "signature"),
    );
    case.message = Hex(base().parts().signed_by("stranger"));
    case.keyset = Some(Hex(old));
}

fn revoked(cases: &mut Cases) {
    let rule = "A keyset may list a key that it revokes: then it counts before that second only";
    let revoking = |name: &str, since: u64| Keyset {
        revoked: vec![Revoked {
            key: Digest::from_bytes(*thumbprint(name).as_bytes()),
            since: Seconds::new(since),
        }],
        ..keyset()
    };
    let never = revoking("attester", 0);
    by(cases, "key-that-never-counted", rule, &base(), &never, (4, "revoked"));
    let statement = carried(EvidenceKind::Statement);
    by(cases, "key-beside-a-revoked-one", rule, &statement, &never, (0, ""));
    by(
        cases,
        "revoked-key-that-is-not-listed",
        rule,
        &Draft {
            signer: "stranger",
            ..base()
        },
        &revoking("stranger", 0),
        (4, "revoked"),
    );
    let since = revoking("attester", second(5).as_u64());
    for (name, after, error) in [
        ("key-a-microsecond-before-its-revocation", 4_999_999, ""),
        ("key-at-its-revocation", 5_000_000, "revoked"),
    ] {
        let step = if error.is_empty() { 0 } else { 4 };
        let case = by(cases, name, rule, &base(), &since, (step, error));
        case.at = second(0).start().shifted(after).as_micros();
    }
}
