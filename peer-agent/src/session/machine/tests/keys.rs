//! Keysets that replace each other: what is revoked, and what is too old.

use proto::claims::{KeyEntry, Revoked, Role};

use super::*;

fn new_key() -> SigningKey {
    SigningKey::from_seed(&[77; 32])
}

/// The samples' keyset, signed `seconds` later, with another attester key beside the first.
fn rotated(seconds: i64) -> Keyset {
    let mut keyset = samples::keyset();
    keyset.keys.push(KeyEntry {
        role: Role::Attester,
        key: KeyBytes(*new_key().public().as_bytes()),
        not_before: after(-3600),
        expires: after(3600),
    });
    keyset.issued_at = after(seconds);
    keyset
}

/// The same, and `key` does not count from `since` on.
fn revoking(key: &SigningKey, since: u64, seconds: i64) -> Keyset {
    let key = Digest::from_bytes(*key.public().thumbprint().as_bytes());
    let revoked = vec![Revoked {
        key,
        since: Seconds::new(since),
    }];
    Keyset {
        revoked,
        ..rotated(seconds)
    }
}

fn message(keyset: &Keyset) -> Message {
    Message::Keyset(signed(keyset, &root()).into())
}

fn newest(keyset: &Keyset) -> Newest {
    Newest {
        issued_at: keyset.issued_at,
        digest: Digest::of(&signed(keyset, &root())),
    }
}

fn remembering(newest: Newest) -> Machine {
    let Machine::AwaitKeyset(Session { profile, binding, .. }) = new() else {
        panic!()
    };
    Machine::remembering(profile, binding, Some(newest))
}

#[test]
fn a_session_outlives_the_key_that_it_began_with() {
    let (machine, effects) = send(at_registered(), message(&rotated(0))).unwrap();
    assert!(matches!(&effects[..], [Effect::Believed(trust)] if trust.issued_at() == after(0)));
    let by_new_key = Verdict {
        issuer: new_key().public().thumbprint(),
        ..samples::verdict(Outcome::Proved, "", "verified")
    };
    let by_new_key = Message::Verdict(signed(&by_new_key, &new_key()).into());
    let (machine, _) = send(machine, by_new_key).unwrap();
    send(machine, verdict()).unwrap();
}

#[test]
fn a_session_that_a_revoked_key_began_ends_and_the_keyset_is_remembered() {
    let keyset = revoking(&attester(), 0, 0);
    for machine in [at_registered(), after_messages([super::keyset(), welcome()])] {
        let (machine, effects) = send(machine, message(&keyset)).unwrap();
        assert!(
            matches!(&effects[..], [Effect::Believed(_), Effect::Revoked]),
            "{effects:?}"
        );
        assert!(matches!(machine, Machine::Ended));
    }
    // One that was rotated out and is revoked from now on is no better: who has it could have begun the session.
    let (_, effects) = send(
        at_registered(),
        message(&revoking(&attester(), NOW.seconds().as_u64(), 0)),
    )
    .unwrap();
    assert!(matches!(effects[..], [_, Effect::Revoked]));
}

#[test]
fn nothing_that_a_revoked_key_signs_is_believed() {
    let (machine, _) = send(at_registered(), message(&rotated(0))).unwrap();
    let by_new_key = || {
        let mut claim = announcement(1);
        claim.issuer = new_key().public().thumbprint();
        Message::Announcement(signed(&claim, &new_key()).into())
    };
    let (machine, effects) = send(machine, by_new_key()).unwrap();
    let [Effect::Arm { expectation, .. }] = &effects[..] else {
        panic!("{effects:?}")
    };
    let finished = Finished {
        flow: Recognised {
            expectation: Arc::new(Expectation {
                announcement: expectation.announcement.clone(),
                trust: Arc::clone(&expectation.trust),
                clock_offset: 0,
            }),
            nonce: Nonce::from_bytes([1; 32]),
        },
        up: 1,
        up_digest: Digest::of(b"up"),
        down: 1,
        down_digest: Digest::of(b"down"),
        opened: NOW,
        closed: NOW,
        end: FlowEnd::Lengths,
    };
    let (machine, effects) = send(machine, message(&revoking(&new_key(), 0, 1))).unwrap();
    assert!(
        matches!(&effects[..], [Effect::Believed(_)]),
        "the session itself goes on"
    );
    let (machine, effects) = machine.step(Input::Flow(Box::new(finished)), NOW).unwrap();
    assert!(effects.is_empty(), "no receipt for a revoked key");
    assert!(matches!(
        error(send(machine, by_new_key())),
        SessionError::Announcement(ClaimError::Revoked { .. })
    ));

    let machine = after_messages([message(&revoking(&attester(), 0, 0))]);
    assert!(matches!(
        error(send(machine, welcome())),
        SessionError::Welcome(ClaimError::Revoked { .. })
    ));
}

#[test]
fn no_session_begins_with_a_keyset_that_is_older_than_a_known_one() {
    let known = newest(&revoking(&attester(), 0, 0));
    for older in [super::keyset(), message(&rotated(-1))] {
        let refused = error(send(remembering(known), older));
        assert!(matches!(&refused, SessionError::OldKeyset { .. }), "{refused:?}");
        assert_eq!(refused.code(), "keyset-old");
        assert!(refused.remedy().contains("attester keys sign"), "{}", refused.remedy());
    }
    // The same again, and a later one.
    send(remembering(known), message(&revoking(&attester(), 0, 0))).unwrap();
    send(remembering(known), message(&rotated(1))).unwrap();
    // Another one of the same second.
    let refused = error(send(remembering(known), message(&rotated(0))));
    assert!(matches!(refused, SessionError::OldKeyset { .. }));
}
