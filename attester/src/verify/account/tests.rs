use proto::{
    claims::Outcome,
    ids::{Digest, Nonce, Pin},
};

use super::*;
use crate::{
    model::Reason,
    verify::{
        Audit, Demands, Trust, audit,
        fixture::{Probe, key},
    },
};

fn audited(probe: &Probe, bytes: &[u8], nonce_seen: Option<bool>) -> (Result<Audit, Finding>, Account) {
    let mut account = Account::full();
    let trust = Trust::of_root(key(1).public());
    let result = audit(bytes, &trust, Demands::default(), nonce_seen, &mut account);
    assert_eq!(probe.root.public(), key(1).public());
    (result, account)
}

fn went(account: &Account, check: Check) -> Went {
    account
        .lines()
        .into_iter()
        .find(|line| line.check == check)
        .unwrap()
        .went
}

#[test]
fn an_honest_probe_is_accounted_for_in_full() {
    let probe = Probe::honest();
    let bytes = probe.with_verdict(300).encode().unwrap();
    let (result, account) = audited(&probe, &bytes, None);
    result.unwrap().found.unwrap();
    let lines = account.lines();
    assert_eq!(lines.iter().map(|line| line.check).collect::<Vec<_>>(), Check::ALL);
    for line in &lines {
        match line.check {
            Check::V6 => assert!(matches!(line.went, Went::Taken(_)), "{line:?}"),
            Check::V7 => assert!(matches!(line.went, Went::LeftOut(_)), "{line:?}"),
            _ => {
                assert_eq!(line.went, Went::Held, "{line:?}");
                assert!(line.compared.iter().all(|compared| compared.held), "{line:?}");
                assert!(!line.compared.is_empty(), "{line:?}");
            }
        }
    }
    assert_eq!((account.failed(), account.missing()), (None, None));
    let (_, account) = audited(&probe, &bytes, Some(false));
    assert_eq!(went(&account, Check::V6), Went::Held);
    let (result, account) = audited(&probe, &bytes, Some(true));
    assert_eq!(result.unwrap().found.unwrap_err().reason, Reason::Replayed);
    assert!(matches!(went(&account, Check::V6), Went::Failed(_)));
}

/// What is bent, how, and which check says so by which value.
type Row = (fn(&mut Probe), Check, &'static str);

/// The account and the decision are the same thing: the check that failed is the decision's finding, it shows the value that
/// was wrong, and nothing behind it was looked at.
#[test]
fn the_failing_check_shows_what_was_wrong() {
    let rows: &[Row] = &[
        (
            |p| p.bend_announcement = |a| a.down += 1,
            Check::Together,
            "announced bytes down",
        ),
        (
            |p| p.bend_observation = |o| o.received -= 1,
            Check::Observation,
            "bytes received",
        ),
        (
            |p| p.bend_observation = |o| o.nonce = Nonce::from_bytes([9; 32]),
            Check::Observation,
            "nonce",
        ),
        (
            |p| p.bend_observation = |o| o.pin = Pin::from_bytes([9; 32]),
            Check::V0,
            "TLS key",
        ),
        (|p| p.receipt_signer = key(51), Check::V1, "signed by the peer"),
        (
            |p| p.bend_receipt = |r| r.nonce = Nonce::from_bytes([0; 32]),
            Check::V1,
            "nonce",
        ),
        (
            |p| p.bend_statement = |s| s.nonce = Nonce::from_bytes([0; 32]),
            Check::V2,
            "nonce",
        ),
        (
            |p| p.bend_observation = |o| o.body_digest = Digest::of(b"x"),
            Check::V2,
            "body SHA-256",
        ),
        (
            |p| p.bend_receipt = |r| r.up_digest = Digest::of(b""),
            Check::V3,
            "their SHA-256",
        ),
        (
            |p| p.bend_statement = |s| s.source = Address("192.0.2.8:1".parse().unwrap()),
            Check::V4,
            "traffic left from",
        ),
        (
            |p| p.bend_receipt = |r| r.opened = r.closed.plus(std::time::Duration::from_secs(11)),
            Check::V5,
            "flow opened",
        ),
    ];
    for (bend, check, what) in rows {
        let mut probe = Probe::honest();
        bend(&mut probe);
        let bytes = probe.with_verdict(300).encode().unwrap();
        let (result, account) = audited(&probe, &bytes, None);
        let finding = result.unwrap().found.unwrap_err();
        assert_eq!(account.failed(), Some((*check, &finding)), "{what}");
        let lines = account.lines();
        let line = lines.iter().find(|line| line.check == *check).unwrap();
        let wrong: Vec<&str> = line
            .compared
            .iter()
            .filter(|one| !one.held)
            .map(|one| one.what)
            .collect();
        assert!(wrong.contains(what), "{check}: {wrong:?} has no {what}");
        for line in &lines {
            assert_eq!(line.check > *check, line.went == Went::NotReached, "{check}: {line:?}");
        }
    }
}

#[test]
fn what_is_not_there_is_named() {
    let mut probe = Probe::honest();
    probe.without_receipt = true;
    let bytes = probe
        .concluded(Outcome::Failed, "receipt-missing", "refused", 300)
        .encode()
        .unwrap();
    let (result, account) = audited(&probe, &bytes, None);
    assert_eq!(result.unwrap().found.unwrap_err().reason, Reason::ReceiptMissing);
    assert_eq!(account.missing(), Some(EvidenceKind::Receipt));
    assert_eq!(went(&account, Check::V0), Went::Held);
    assert_eq!(went(&account, Check::V2), Went::NotReached);
}

#[test]
fn what_is_no_evidence_fails_at_the_file() {
    let probe = Probe::honest();
    let good = probe.with_verdict(300).encode().unwrap();
    for bytes in [
        &[][..],
        b"\xa0 ",
        &good[..good.len() - 1],
        &[&good[..], b"\0"].concat(),
        &vec![0; 40_000],
    ] {
        let (result, account) = audited(&probe, bytes, None);
        assert_eq!(result.unwrap_err().reason, Reason::EvidenceInvalid);
        assert_eq!(account.failed().unwrap().0, Check::File);
    }
    let (result, account) = audited(&probe, b"\xa0", None);
    assert_eq!(result.unwrap_err().reason, Reason::EvidenceInvalid);
    assert_eq!(account.failed().unwrap().0, Check::Keyset);
}
