//! Claims under another claim's type, and other spellings of a type.

use proto::claims::EvidenceKind;

use super::{Cases, base, carried, succession, verdict, welcome};
use crate::{
    cast::public,
    envelope::Draft,
    format::{Case, Hex},
};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Cases::default();
    let drafts = all();
    for (index, draft) in drafts.iter().enumerate() {
        let next = &drafts[(index + 1) % drafts.len()];
        // Both ways between neighbours; receipt and verdict are neighbours.
        for (what, other) in [(draft, next), (next, draft)] {
            as_it_is(&mut cases, what, other);
            under_its_type(&mut cases, what, other);
        }
    }
    for (name, typ) in [
        ("typ-of-version-2", "application/peer-verification.challenge.v2+cose"),
        ("typ-of-version-0", "application/peer-verification.challenge.v0+cose"),
        ("typ-without-application", "peer-verification.challenge.v1+cose"),
        ("typ-in-capitals", "application/peer-verification.Challenge.v1+cose"),
        (
            "typ-with-a-parameter",
            "application/peer-verification.challenge.v1+cose; charset=utf-8",
        ),
        ("typ-with-a-space", "application/peer-verification.challenge.v1+cose "),
        ("typ-of-a-cwt", "application/cwt"),
        ("typ-empty", ""),
    ] {
        let draft = Draft {
            typ: typ.to_owned(),
            ..base()
        };
        let error = if name.starts_with("typ-of-version") {
            "version"
        } else {
            "type"
        };
        cases.refuse(name, TYPES, &draft, draft.message(), (2, error));
    }
    cases.0
}

const TYPES: &str = "`typ` is the one that is expected here";
const SHAPE: &str = "The payload is deterministic CBOR, of the claim's shape, and keeps the claim's own rules";

/// One of each claim, in the order of the README.
pub(super) fn all() -> Vec<Draft> {
    vec![
        carried(EvidenceKind::Keyset),
        welcome(),
        carried(EvidenceKind::Registration),
        succession(),
        carried(EvidenceKind::Announcement),
        carried(EvidenceKind::Challenge),
        carried(EvidenceKind::Statement),
        carried(EvidenceKind::Observation),
        carried(EvidenceKind::Receipt),
        verdict(),
    ]
}

/// A good message, read as another claim.
fn as_it_is(cases: &mut Cases, what: &Draft, other: &Draft) {
    let name = format!("{}-read-as-{}", what.claim, other.claim);
    let case = cases.refuse(&name, TYPES, other, what.message(), (2, "type"));
    case.key = Some(Hex(public(what.signer).to_vec()));
}

/// A good payload under the other claim's type, signed by the other's signer.
fn under_its_type(cases: &mut Cases, what: &Draft, other: &Draft) {
    let name = format!("{}-under-the-type-of-{}", what.claim, other.claim);
    let message = other.parts_of(what.payload()).signed_by(other.signer);
    cases.refuse(&name, SHAPE, other, message, (3, "shape"));
}
