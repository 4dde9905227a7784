//! Files that hold: proofs, also at the edges of what is allowed, and verdicts that say what their evidence shows.

use proto::{
    claims::{EvidenceKind, FlowEnd, Outcome, Protocol},
    evidence::Evidence,
};

use super::{EvidenceCase, case};
use crate::{
    cast::{micros, second},
    scene::{Scene, challenge, measured},
};

const PROVED: &str = "All checks hold: `proved`";
const STATES: &str = "If it says anything else, the file shows what the attester signed, not that the peer failed";
const NONE: (&str, &str) = ("", "");

pub(super) fn cases() -> Vec<EvidenceCase> {
    let mut cases = vec![proved("proved", |_| {})];
    cases.push(proved("proved-by-ipv6-from-another-address-of-the-network", |scene| {
        scene.registration.address = "[2001:db8:7:7::1]:443".parse().unwrap();
        scene.statement = Box::new(|claim| claim.source = "[2001:db8:7:7:ffff::2]:1024".parse().unwrap());
    }));
    cases.push(proved("proved-by-the-end-of-the-connection", |scene| {
        scene.receipt = Box::new(|claim| claim.end = FlowEnd::DestinationEof);
        scene.observation = Box::new(|claim| claim.protocol = Protocol::Connect);
    }));
    cases.push(proved("proved-at-the-last-microsecond", |scene| {
        scene.arrived = 17_999_999
    }));
    cases.push(proved("proved-with-all-clocks-at-the-limit", |scene| {
        scene.arrived = 0;
        scene.clock_offset = -86_400_000_000;
        let day = 86_400_000_000;
        scene.receipt = Box::new(move |claim| {
            (claim.opened, claim.closed) = (micros(day - 10_000_000), micros(day + 10_000_000));
            claim.issued_at = second(10);
        });
        scene.statement = Box::new(|claim| claim.arrived = micros(-10_000_000));
        scene.keyset.not_before = second(10);
    }));
    cases.push(proved("proved-goodput", |scene| {
        scene.challenge = challenge(256 << 10);
        scene.observation = Box::new(|claim| measured(claim, 5_000, 105_000));
    }));
    cases.push(proved("proved-goodput-at-the-floor", |scene| {
        scene.challenge = challenge(256 << 10);
        // (1,024 + 262,144) bytes at 32,768 a second.
        scene.observation = Box::new(|claim| measured(claim, 0, 8_031_250));
    }));
    cases.extend(stated());
    cases
}

fn proved(name: &str, bend: impl FnOnce(&mut Scene)) -> EvidenceCase {
    let mut scene = Scene::honest();
    bend(&mut scene);
    case(name, PROVED, &scene.with_verdict(Outcome::Proved, ""), NONE)
}

/// Honest verdicts over probes that failed.
fn stated() -> Vec<EvidenceCase> {
    let failed = |name: &str, reason: &str, found: (&str, &str), bend: &dyn Fn(&mut Scene)| {
        let mut scene = Scene::honest();
        bend(&mut scene);
        case(name, STATES, &scene.with_verdict(Outcome::Failed, reason), found)
    };
    let digest = crate::cast::digest("other");
    let mut doubted = Scene::honest();
    doubted.clock_offset = 3_600_000_000;
    vec![
        failed(
            "failed-body-altered",
            "body-altered",
            ("V2", "body-altered"),
            &|scene| {
                scene.observation = Box::new(move |claim| claim.body_digest = digest);
            },
        ),
        failed(
            "failed-receipt-signature",
            "receipt-signature",
            ("V1", "receipt-signature"),
            &|scene| {
                scene.signs_receipt = "stranger";
            },
        ),
        failed("failed-egress", "egress", ("V4", "egress"), &|scene| {
            scene.statement = Box::new(|claim| claim.source = "198.51.100.9:1024".parse().unwrap());
        }),
        failed("failed-truncated", "truncated", ("own", "truncated"), &|scene| {
            scene.observation = Box::new(|claim| (claim.received, claim.body) = (1500, 476));
            scene.tamper = Box::new(|evidence| (evidence.statement, evidence.receipt) = (None, None));
            scene.verdict = Box::new(|claim| claim.receipt_arrived = None);
        }),
        failed(
            "failed-receipt-missing",
            "receipt-missing",
            ("V1", "receipt-missing"),
            &|scene| {
                scene.tamper = Box::new(|evidence| evidence.receipt = None);
                scene.verdict = Box::new(|claim| claim.receipt_arrived = None);
            },
        ),
        failed(
            "failed-connect-refused",
            "connect-refused",
            ("own", "evidence-invalid"),
            &|scene| {
                scene.tamper = Box::new(early);
                scene.verdict = Box::new(|claim| claim.receipt_arrived = None);
            },
        ),
        failed("failed-though-all-checks-hold", "complete-timeout", NONE, &|_| {}),
        case(
            "inconclusive-clock",
            STATES,
            &doubted.with_verdict(Outcome::Inconclusive, "clock"),
            ("V5", "clock"),
        ),
        case(
            "inconclusive-control-failed",
            STATES,
            &Scene::honest().with_verdict(Outcome::Inconclusive, "control-failed"),
            NONE,
        ),
    ]
}

/// What there is when the peer could not be reached.
fn early(evidence: &mut Evidence) {
    (evidence.statement, evidence.observation, evidence.receipt) = (None, None, None);
    assert!(evidence.claim(EvidenceKind::Challenge).is_some());
}
