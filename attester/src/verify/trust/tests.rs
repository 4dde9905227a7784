use proto::{
    checked::sign,
    claims::{KeyBytes, KeyEntry},
    evidence::Blob,
    ids::Digest,
    key::SigningKey,
    time::Seconds,
};

use super::*;
use crate::{
    model::{Blame, Finding, Reason},
    verify::{
        Case, Demands, Verified,
        fixture::{NOW, Probe, key},
        recheck, verify,
    },
};

fn id(key: &SigningKey) -> Thumbprint {
    key.public().thumbprint()
}

fn revoking(key: &SigningKey, since: u64) -> Revoked {
    Revoked {
        key: Digest::from_bytes(*id(key).as_bytes()),
        since: Seconds::new(since),
    }
}

fn trust(revoked: &[Revoked]) -> Trust {
    Trust::with_revoked(key(1).public(), revoked.to_vec())
}

/// The fixture's keyset, and more.
fn keyset(more: &[KeyEntry], revoked: &[Revoked]) -> Vec<u8> {
    let entry = |role, seed| entry(role, &key(seed), NOW - 1000, NOW + 100_000);
    let mut keys = vec![entry(Role::Attester, 2), entry(Role::Origin, 3), entry(Role::Prober, 4)];
    keys.extend_from_slice(more);
    let keyset = Keyset {
        issuer: id(&key(1)),
        expires: Seconds::new(NOW + 100_000),
        not_before: Seconds::new(NOW - 1000),
        issued_at: Seconds::new(NOW),
        keys,
        revoked: revoked.to_vec(),
    };
    sign(&keyset, &key(1)).unwrap()
}

fn entry(role: Role, key: &SigningKey, from: u64, until: u64) -> KeyEntry {
    KeyEntry {
        role,
        key: KeyBytes(*key.public().as_bytes()),
        not_before: Seconds::new(from),
        expires: Seconds::new(until),
    }
}

fn check(probe: &Probe, keyset: Vec<u8>, trust: &Trust) -> Result<Verified, Finding> {
    let mut evidence = probe.evidence();
    evidence.keyset = Some(Blob(keyset));
    verify(&Case {
        trust,
        evidence: &evidence,
        receipt_arrived: probe.arrived,
        clock_offset: 0,
        nonce_seen: false,
        demands: Demands::default(),
    })
}

#[test]
fn what_rests_on_a_revoked_key_is_nobodys_fault_but_the_attesters() {
    let probe = Probe::honest();
    for (role, key) in [
        ("attester", &probe.attester),
        ("origin", &probe.origin),
        ("prober", &probe.prober),
    ] {
        for since in [0, NOW] {
            let newer = trust(&[revoking(key, since)]);
            let own = (keyset(&[], &[revoking(key, since)]), trust(&[]));
            for finding in [
                check(&probe, keyset(&[], &[]), &newer).unwrap_err(),
                check(&probe, own.0, &own.1).unwrap_err(),
            ] {
                assert_eq!(finding.reason, Reason::KeyRevoked, "{finding}");
                assert_eq!(finding.reason.blame(), Blame::Attester);
                let told = finding.detail();
                assert!(told.contains(role) && told.contains(&id(key).to_string()), "{told}");
            }
        }
        let later = trust(&[revoking(key, NOW + 1)]);
        check(&probe, keyset(&[], &[]), &later).unwrap();
    }
    let others = trust(&[revoking(&key(9), 0), revoking(&probe.peer, 0)]);
    check(&probe, keyset(&[], &[]), &others).unwrap();
}

#[test]
fn stored_evidence_of_a_revoked_key_proves_nothing_again() {
    let probe = Probe::honest();
    let file = probe.with_verdict(300).encode().unwrap();
    let again = |trust: &Trust| recheck(&file, trust, Demands::default());
    assert!(again(&trust(&[])).unwrap().proof.is_some());
    for key in [&probe.attester, &probe.origin, &probe.prober] {
        let finding = again(&trust(&[revoking(key, 0)])).unwrap_err();
        assert_eq!(finding.reason, Reason::KeyRevoked, "{finding}");
    }
    assert!(
        again(&trust(&[revoking(&probe.attester, NOW + 1)]))
            .unwrap()
            .proof
            .is_some()
    );
}

#[test]
fn a_session_may_have_begun_with_another_key_that_is_listed() {
    let other = key(9);
    let mut probe = Probe::honest();
    probe.registration.audience = id(&other);
    let (registered, from) = (NOW - 100, NOW - 1000);
    let with = |role, from, until| keyset(&[entry(role, &other, from, until)], &[]);
    // It was valid then, and need not be now.
    check(&probe, with(Role::Attester, from, registered + 1), &trust(&[])).unwrap();
    for (role, from, until) in [
        (Role::Attester, from, registered),
        (Role::Attester, registered + 1, NOW + 1000),
        (Role::Origin, from, NOW + 1000),
    ] {
        let finding = check(&probe, with(role, from, until), &trust(&[])).unwrap_err();
        assert_eq!(finding.reason, Reason::EvidenceInvalid, "{role} {from} {until}");
    }
    let finding = check(&probe, keyset(&[], &[]), &trust(&[])).unwrap_err();
    assert_eq!(finding.reason, Reason::EvidenceInvalid);

    let listed = || with(Role::Attester, from, NOW + 1000);
    let finding = check(&probe, listed(), &trust(&[revoking(&other, registered)])).unwrap_err();
    assert_eq!(finding.reason, Reason::KeyRevoked);
    check(&probe, listed(), &trust(&[revoking(&other, registered + 1)])).unwrap();
}

#[test]
fn a_keyset_file_is_believed_at_any_age_if_the_root_signed_it() {
    let root = key(1).public();
    let file = keyset(&[], &[revoking(&key(2), 0)]);
    let newest = Trust::with_keyset(root, &file).unwrap();
    assert_eq!((newest.root(), newest.revoked()), (&root, &[revoking(&key(2), 0)][..]));
    Trust::with_keyset(key(9).public(), &file).unwrap_err();
    Trust::with_keyset(root, &file[1..]).unwrap_err();
    assert!(Trust::of_root(root).revoked().is_empty());
}
