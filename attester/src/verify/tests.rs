#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use proto::{
    claims::{FlowEnd, Path, Protocol},
    ids::{Address, Digest, Nonce, Pin},
};

use super::{
    fixture::{NOW, Probe, at, key, proof},
    *,
};
use crate::model::{Finding, Reason};

fn reason(bend: impl FnOnce(&mut Probe)) -> Reason {
    let mut probe = Probe::honest();
    bend(&mut probe);
    probe.check().expect_err("it was proved").reason
}

#[test]
#[expect(clippy::panic, reason = "tests")]
fn an_honest_probe_is_proved() {
    let proof = Probe::honest().check().unwrap_or_else(|finding| panic!("{finding}"));
    assert_eq!(proof.identity().address, "192.0.2.7:443".parse().unwrap());
    assert_eq!(
        proof.routes().keys().collect::<Vec<_>>(),
        [&Route {
            path: Path::Direct,
            protocol: Protocol::Enproxy
        }]
    );
    assert!(proof.goodput().is_none() && !proof.is_complete());
}

/// What is bent, how, and the reason.
type Row = (&'static str, fn(&mut Probe), Reason);

/// One row a check: what is bent, and the reason that it must be given.
#[test]
fn each_check_has_its_reason() {
    let rows: &[Row] = &[
        ("another root", |p| p.root = key(9), Reason::EvidenceInvalid),
        (
            "attester key not listed",
            |p| p.attester = key(9),
            Reason::EvidenceInvalid,
        ),
        ("prober key not listed", |p| p.prober = key(9), Reason::EvidenceInvalid),
        (
            "announcement of another length",
            |p| p.bend_announcement = |a| a.down += 1,
            Reason::EvidenceInvalid,
        ),
        (
            "announcement of another challenge",
            |p| p.bend_announcement = |a| a.challenge = Digest::of(b""),
            Reason::EvidenceInvalid,
        ),
        (
            "V0 another TLS key",
            |p| p.bend_observation = |o| o.pin = Pin::from_bytes([9; 32]),
            Reason::PinMismatch,
        ),
        (
            "another address dialled",
            |p| p.bend_observation = |o| o.address = Address("192.0.2.8:443".parse().unwrap()),
            Reason::EvidenceInvalid,
        ),
        (
            "cut short",
            |p| p.bend_observation = |o| o.received -= 1,
            Reason::Truncated,
        ),
        (
            "bytes added",
            |p| p.bend_observation = |o| o.received += 1,
            Reason::Overlong,
        ),
        ("no receipt", |p| p.without_receipt = true, Reason::ReceiptMissing),
        (
            "V1 another signer",
            |p| p.receipt_signer = key(51),
            Reason::ReceiptSignature,
        ),
        (
            "V1 another nonce",
            |p| p.bend_receipt = |r| r.nonce = Nonce::from_bytes([0; 32]),
            Reason::ReceiptMismatch,
        ),
        (
            "V1 another destination",
            |p| p.bend_receipt = |r| r.destination = "other.example:80".parse().unwrap(),
            Reason::ReceiptMismatch,
        ),
        (
            "V1 another attester",
            |p| p.bend_receipt = |r| r.audience = key(9).public().thumbprint(),
            Reason::ReceiptMismatch,
        ),
        (
            "V2 not the origin's key",
            |p| p.origin = key(9),
            Reason::StatementInvalid,
        ),
        (
            "V2 an earlier nonce",
            |p| p.bend_statement = |s| s.nonce = Nonce::from_bytes([0; 32]),
            Reason::StatementReplayed,
        ),
        (
            "V2 another body",
            |p| p.bend_observation = |o| o.body_digest = Digest::of(b"other"),
            Reason::BodyAltered,
        ),
        (
            "V3 other bytes up",
            |p| p.bend_receipt = |r| r.up_digest = Digest::of(b""),
            Reason::BytesDiffer,
        ),
        (
            "V3 fewer bytes down",
            |p| p.bend_receipt = |r| r.down -= 1,
            Reason::BytesDiffer,
        ),
        (
            "V3 overrun",
            |p| p.bend_receipt = |r| r.end = FlowEnd::Overrun,
            Reason::BytesDiffer,
        ),
        (
            "V4 another exit",
            |p| p.bend_statement = |s| s.source = Address("192.0.2.8:1".parse().unwrap()),
            Reason::Egress,
        ),
        ("V5 after the window", |p| p.arrived = at(15, 0), Reason::ReceiptLate),
        (
            "V5 closed before opened",
            |p| p.bend_receipt = |r| r.opened = r.closed.plus(Duration::from_secs(11)),
            Reason::ClockSkew,
        ),
        (
            "V5 receipt from the future",
            |p| p.bend_receipt = |r| r.issued_at = proto::time::Seconds::new(NOW + 30),
            Reason::ClockSkew,
        ),
        ("V6 a nonce seen before", |p| p.nonce_seen = true, Reason::Replayed),
        (
            "V7 too slow",
            |p| {
                p.with_body(256 << 10);
                p.bend_observation = |o| {
                    o.phases.insert(6, 9_000_000);
                }
            },
            Reason::Goodput,
        ),
    ];
    for (what, bend, expected) in rows {
        assert_eq!(reason(bend), *expected, "{what}");
    }
}

#[test]
fn proofs_of_one_identity_add_up_and_others_replace() {
    let liveness = proof(50, "192.0.2.7:443", Protocol::Enproxy, 1024, 0);
    let measured = proof(50, "192.0.2.7:443", Protocol::Connect, 256 << 10, 5);
    let both = liveness.join(measured);
    assert!(both.is_complete());
    assert_eq!(both.probes().len(), 2);
    assert_eq!(both.at(), at(5, 900_000));
    let moved = both.join(proof(50, "192.0.2.8:443", Protocol::Enproxy, 1024, 9));
    assert_eq!(moved.routes().len(), 1);
    assert!(!moved.is_complete());
}

#[test]
fn ipv6_peers_leave_from_their_network() {
    let same = |left: &str, right: &str| same_host(left.parse().unwrap(), right.parse().unwrap());
    assert!(same("2001:db8:1:2::3", "2001:db8:1:2:ffff::9"));
    assert!(!same("2001:db8:1:2::3", "2001:db8:1:3::3"));
    assert!(same("192.0.2.1", "::ffff:192.0.2.1"));
    assert!(!same("192.0.2.1", "192.0.2.2"));
}

#[test]
fn stored_evidence_proves_again_and_nothing_else_does() {
    let probe = Probe::honest();
    let root = Trust::of_root(key(1).public());
    let good = probe.with_verdict(300).encode().unwrap();
    let again = recheck(&good, &root, Demands::default()).unwrap();
    assert_eq!(again.proof.unwrap().identity().key, probe.peer.public());
    assert_eq!(again.verdict.expires.as_u64(), NOW + 300);

    for (index, byte) in good.iter().enumerate() {
        let mut bad = good.clone();
        bad[index] = byte ^ 0x10;
        let finding: Result<_, Finding> = recheck(&bad, &root, Demands::default());
        assert!(finding.is_err(), "byte {index}");
    }
    assert!(recheck(&good, &Trust::of_root(key(9).public()), Demands::default()).is_err());
    let without = probe.evidence().encode().unwrap();
    assert_eq!(
        recheck(&without, &root, Demands::default()).unwrap_err().reason,
        Reason::EvidenceInvalid
    );
}
