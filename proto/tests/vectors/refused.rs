//! What must be refused, and what stands at the edge of it. Each message breaks one rule, and its signature holds over
//! what is there, unless the signature is the point.

use super::{
    cast::public,
    envelope::Draft,
    format::{Case, CasesFile, Hex, written},
    scene::challenge,
};

mod encodings;
mod envelopes;
mod roles;
mod rules;
mod signatures;
mod texts;
mod types;
mod windows;

pub(crate) use signatures::{refused_keys, refused_texts};

/// The files and what is in them.
pub(crate) fn files() -> Vec<(&'static str, String)> {
    let file = |about: &str, cases: Vec<Case>| {
        let about = about.to_owned();
        written(&CasesFile { about, cases })
    };
    let signed = "Each signature holds over the bytes that are there.";
    vec![
        (
            "refused-encodings.json",
            file(
                &format!("CBOR that is not deterministic, or not bounded. {signed}"),
                encodings::cases(),
            ),
        ),
        (
            "refused-envelopes.json",
            file(
                &format!("Envelopes of another form than the one. {signed}"),
                envelopes::cases(),
            ),
        ),
        (
            "refused-types.json",
            file(&format!("Claims taken for one another. {signed}"), types::cases()),
        ),
        (
            "refused-texts.json",
            file(
                &format!("Texts with another spelling than the one. {signed}"),
                texts::cases(),
            ),
        ),
        (
            "refused-claims.json",
            file(&format!("Claims that break their own rules. {signed}"), rules::cases()),
        ),
        (
            "refused-signatures.json",
            file("Keys and signatures that must not be taken.", signatures::cases()),
        ),
        (
            "windows.json",
            file("Times at and beyond the edges of windows.", windows::cases()),
        ),
        (
            "roles.json",
            file("Keys of a keyset, in their role and window or not.", roles::cases()),
        ),
    ]
}

/// Cases of one file.
#[derive(Default)]
pub(crate) struct Cases(Vec<Case>);

impl Cases {
    /// A message that its signer's key does not save. `step` and `error` are those of "Order of checks".
    fn refuse(&mut self, name: &str, rule: &str, draft: &Draft, message: Vec<u8>, fault: (u8, &str)) -> &mut Case {
        let from = window_start(draft.claim);
        self.0.push(Case {
            name: name.to_owned(),
            rule: rule.to_owned(),
            claim: draft.claim.to_owned(),
            message: Hex(message),
            key: Some(Hex(public(draft.signer).to_vec())),
            keyset: None,
            at: from * 1_000_000,
            leeway: 0,
            step: fault.0,
            error: fault.1.to_owned(),
            cddl: false,
        });
        self.0.last_mut().expect("it was pushed")
    }
}

impl Case {
    /// The CDDL describes it all the same: the rule is about encoding, keys, or more than a shape can say.
    fn described(&mut self) {
        self.cddl = true;
    }
}

/// A second in which a claim of this kind holds.
fn window_start(claim: &str) -> u64 {
    let after = match claim {
        "welcome" | "registration" => -100,
        "verdict" => 1,
        _ => 0,
    };
    super::cast::second(after).as_u64()
}

/// The challenge that most cases bend.
fn base() -> Draft {
    Draft::of(&challenge(1024), "attester")
}

/// A claim of the honest probe, to be bent.
fn carried(kind: proto::claims::EvidenceKind) -> Draft {
    use proto::claims::{Announcement, EvidenceKind, Observation, Receipt, Statement};

    fn draft<T: super::fields::Golden>(bytes: &[u8], signer: &'static str) -> Draft {
        let signed = proto::checked::Signed::<T>::parse(bytes).unwrap();
        Draft::of(signed.dangerously_unverified(), signer)
    }

    let evidence = super::scene::Scene::honest().evidence();
    let bytes = evidence.claim(kind).unwrap();
    match kind {
        EvidenceKind::Keyset => Draft::of(&super::scene::keyset(), "root"),
        EvidenceKind::Registration => Draft::of(&super::scene::registration(), "peer"),
        EvidenceKind::Announcement => draft::<Announcement>(bytes, "attester"),
        EvidenceKind::Challenge => base(),
        EvidenceKind::Statement => draft::<Statement>(bytes, "origin"),
        EvidenceKind::Observation => draft::<Observation>(bytes, "prober"),
        EvidenceKind::Receipt => draft::<Receipt>(bytes, "peer"),
    }
}

fn welcome() -> Draft {
    Draft::of(&super::accepted::welcome(), "attester")
}

fn verdict() -> Draft {
    let evidence = super::scene::Scene::honest().with_verdict(proto::claims::Outcome::Proved, "");
    let signed = proto::checked::Signed::<proto::claims::Verdict>::parse(&evidence.verdict.unwrap().0).unwrap();
    Draft::of(signed.dangerously_unverified(), "attester")
}

fn succession() -> Draft {
    Draft::of(&super::accepted::succession(), "peer")
}
