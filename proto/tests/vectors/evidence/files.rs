//! Files whose keyset or verdict does not hold, so that nothing else in them is looked at; and verdicts about something else.

use std::collections::BTreeMap;

use proto::{
    checked::{Signed, sign},
    claims::{Keyset, Outcome, Revoked, Verdict},
    evidence::{Blob, Evidence},
    ids::{Digest, ProbeId},
    time::Seconds,
};

use super::{EvidenceCase, case, spoilt};
use crate::{
    cast::{digest, key, second, thumbprint},
    format::Hex,
    scene::Scene,
};

const SIGNED: &str = "the root signed the keyset; an attester key of it that was valid at the verdict's `iat` signed the verdict, \
    and is its `iss`";
const LISTS: &str = "The verdict lists exactly the claims that are there, by their SHA-256";
const ABOUT: &str = "they are about its subject and probe";
const FILE: (&str, &str) = ("file", "evidence-invalid");

pub(super) fn cases() -> Vec<EvidenceCase> {
    let mut cases = Vec::new();
    let mut after = |name: &str, rule: &str, change: &dyn Fn(&mut Evidence)| {
        let mut evidence = Scene::honest().with_verdict(Outcome::Proved, "");
        change(&mut evidence);
        cases.push(case(name, rule, &evidence, FILE));
    };
    after("of-no-claims", SIGNED, &|e| *e = Evidence::EMPTY);
    after("without-a-verdict", SIGNED, &|e| e.verdict = None);
    after("without-a-keyset", SIGNED, &|e| e.keyset = None);
    after("keyset-by-a-stranger", SIGNED, &|e| {
        e.keyset = Some(Blob(sign(&crate::scene::keyset(), &key("stranger")).unwrap()))
    });
    after("keyset-spoilt", SIGNED, &|e| e.keyset = spoilt(&e.keyset, 1));
    after("verdict-spoilt", SIGNED, &|e| e.verdict = spoilt(&e.verdict, 1));
    after("verdict-of-another-type", SIGNED, &|e| e.verdict = e.receipt.clone());
    for signer in ["origin", "prober", "peer", "stranger"] {
        after(&format!("verdict-by-the-{signer}"), SIGNED, &|e| {
            resign(e, signer, |_| {})
        });
    }
    after("verdict-of-another-issuer", SIGNED, &|e| {
        resign(e, "attester", |verdict| verdict.issuer = thumbprint("stranger"))
    });
    after("verdict-after-its-key", SIGNED, &|e| {
        resign(e, "attester", |verdict| {
            (verdict.issued_at, verdict.expires) = (second(29 * crate::scene::DAY), second(30 * crate::scene::DAY));
        })
    });
    after("receipt-taken-away", LISTS, &|e| e.receipt = None);
    after("receipt-exchanged", LISTS, &|e| {
        let mut other = Scene::honest();
        other.receipt = Box::new(|receipt| receipt.down += 1);
        e.receipt = other.evidence().receipt;
    });
    after("statement-that-is-not-listed", LISTS, &|e| {
        resign(e, "attester", |verdict| {
            verdict.evidence.remove(&5);
        })
    });
    after("verdict-on-other-digests", LISTS, &|e| {
        resign(e, "attester", |verdict| {
            verdict.evidence.insert(7, digest("other"));
        })
    });
    after("verdict-on-nothing", LISTS, &|e| {
        resign(e, "attester", |verdict| verdict.evidence = BTreeMap::new())
    });
    cases.extend(verdicts());
    cases.extend(revocations());
    cases
}

/// The verdict, changed and signed anew.
fn resign(evidence: &mut Evidence, signer: &str, change: impl Fn(&mut Verdict)) {
    let signed = Signed::<Verdict>::parse(&evidence.verdict.as_ref().unwrap().0).unwrap();
    let mut verdict = signed.dangerously_unverified().clone();
    change(&mut verdict);
    evidence.verdict = Some(Blob(sign(&verdict, &key(signer)).unwrap()));
}

/// Verdicts that are signed, and not about what is there.
fn verdicts() -> Vec<EvidenceCase> {
    let about = |name: &str, rule: &str, fails: (&str, &str), change: &dyn Fn(&mut Verdict)| {
        let mut evidence = Scene::honest().with_verdict(Outcome::Proved, "");
        resign(&mut evidence, "attester", change);
        case(name, rule, &evidence, fails)
    };
    let subject = ("subject", "evidence-invalid");
    vec![
        about("verdict-about-another-peer", ABOUT, subject, &|verdict| {
            verdict.subject = thumbprint("stranger")
        }),
        about("verdict-about-another-probe", ABOUT, subject, &|verdict| {
            verdict.probe = ProbeId::from_bytes([7; 16])
        }),
        about(
            "verdict-without-an-arrival",
            "V0 to V7 hold with its arrival time and offset",
            ("own", "evidence-invalid"),
            &|verdict| {
                verdict.receipt_arrived = None;
            },
        ),
    ]
}

/// Keys that the keyset in the file revokes.
fn revocations() -> Vec<EvidenceCase> {
    let rule = "A keyset may list a key that it revokes: then it counts before that second only";
    let revoking = |name: &str, since: Seconds| {
        let mut scene = Scene::honest();
        let key = Digest::from_bytes(*thumbprint(name).as_bytes());
        scene.keyset = Keyset {
            revoked: vec![Revoked { key, since }],
            ..scene.keyset
        };
        scene.with_verdict(Outcome::Proved, "")
    };
    let never = Seconds::new(0);
    let mut cases = vec![
        case(
            "attester-key-revoked",
            rule,
            &revoking("attester", never),
            ("file", "key-revoked"),
        ),
        case(
            "attester-key-revoked-before-the-verdict",
            rule,
            &revoking("attester", second(1)),
            ("file", "key-revoked"),
        ),
        case(
            "attester-key-revoked-afterwards",
            rule,
            &revoking("attester", second(2)),
            ("", ""),
        ),
        case(
            "origin-key-revoked",
            rule,
            &revoking("origin", never),
            ("V2", "key-revoked"),
        ),
        case(
            "prober-key-revoked",
            rule,
            &revoking("prober", never),
            ("own", "key-revoked"),
        ),
        case("another-key-revoked", rule, &revoking("stranger", never), ("", "")),
    ];
    // What only a newer keyset knows; its own window does not matter.
    let newer = "A newer keyset by the root should be at hand: no key counts that it revokes as of the time of its use";
    let honest = Scene::honest().with_verdict(Outcome::Proved, "");
    for (name, since, fails) in [
        ("attester", never, ("file", "key-revoked")),
        ("attester", second(2), ("", "")),
        ("prober", never, ("own", "key-revoked")),
        ("origin", second(0), ("V2", "key-revoked")),
    ] {
        let name_of_case = format!("{name}-key-revoked-by-a-newer-keyset-since-{since}");
        let mut of_newer = case(&name_of_case, newer, &honest, fails);
        let keyset = revoking(name, since).keyset.unwrap().0;
        let mut keyset = Signed::<Keyset>::parse(&keyset)
            .unwrap()
            .dangerously_unverified()
            .clone();
        (keyset.issued_at, keyset.not_before) = (second(100), second(100));
        of_newer.newer = Some(Hex(sign(&keyset, &key("root")).unwrap()));
        cases.push(of_newer);
    }
    cases
}
