//! What the claims of a registered session must say, and what the agent's own claims say.

use super::*;

#[test]
fn an_announcement_arms_and_is_acknowledged() {
    let (machine, effects) = send(at_registered(), announce(&announcement(1))).unwrap();
    let [Effect::Arm { expectation, window }] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert_eq!(
        (&expectation.announcement, *window),
        (&announcement(1), Duration::from_secs(20))
    );
    for (outcome, refusal) in [(Ok(()), ""), (Err("8 probes".to_owned()), "8 probes")] {
        let (_, effects) = at_registered().step(Input::Armed(probe(1), outcome), NOW).unwrap();
        let to_attester::Message::Ack(ack) = sent(&effects[0]) else {
            panic!("{effects:?}")
        };
        assert_eq!(
            (&ack.probe_id[..], ack.refusal.as_str()),
            (&probe(1).as_bytes()[..], refusal)
        );
    }
    assert!(machine.is_registered());
}

#[test]
fn an_announcement_out_of_its_window_is_refused_and_a_false_one_ends_the_session() {
    let good = announcement(1);
    for untimely in [
        Announcement {
            expires: after(-10),
            not_before: after(-30),
            ..good.clone()
        },
        Announcement {
            not_before: after(11),
            ..good.clone()
        },
    ] {
        let (machine, effects) = send(at_registered(), announce(&untimely)).unwrap();
        assert!(machine.is_registered());
        let to_attester::Message::Ack(ack) = sent(&effects[0]) else {
            panic!("{effects:?}")
        };
        assert!(ack.refusal.contains("check the clock"), "{ack:?}");
    }
    let late = Announcement {
        expires: after(-9),
        not_before: after(-30),
        ..good.clone()
    };
    let (_, effects) = send(at_registered(), announce(&late)).unwrap();
    assert!(matches!(
        &effects[..],
        [Effect::Arm {
            window: Duration::ZERO,
            ..
        }]
    ));

    let other = Announcement {
        subject: stranger().public().thumbprint(),
        ..good.clone()
    };
    assert!(matches!(
        error(send(at_registered(), announce(&other))),
        SessionError::Misaddressed { .. }
    ));
    let lying = Announcement {
        issuer: stranger().public().thumbprint(),
        ..good.clone()
    };
    assert!(matches!(
        error(send(at_registered(), announce(&lying))),
        SessionError::Announcement(ClaimError::WrongKey)
    ));
    let forged = Message::Announcement(signed(&good, &stranger()).into());
    assert!(matches!(
        error(send(at_registered(), forged)),
        SessionError::Announcement(ClaimError::UnknownKey { .. })
    ));
}

#[test]
fn a_verdict_tells_the_host_and_only_its_own_counts() {
    let failed = samples::verdict(Outcome::Failed, "tls-pin", "suspended");
    let message = |verdict: &Verdict, key: &SigningKey| Message::Verdict(signed(verdict, key).into());
    let (_, effects) = send(at_registered(), message(&failed, &attester())).unwrap();
    let [Effect::Verdict(conclusion)] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert_eq!(conclusion.state, Some(State::Suspended));
    assert_eq!(conclusion.reason.as_deref(), Some("tls-pin"));
    assert_eq!(conclusion.remedy.as_deref(), Some("tls-pin: forward the port"));
    assert_eq!(conclusion.expires, after(300));
    let turned = Verdict {
        remedy: "use port \u{202e}344\u{2069}".to_owned(),
        ..failed.clone()
    };
    let (_, effects) = send(at_registered(), message(&turned, &attester())).unwrap();
    assert!(matches!(&effects[..], [Effect::Verdict(conclusion)]
        if conclusion.remedy.as_deref() == Some("use port 344")));
    let later = samples::verdict(Outcome::Proved, "", "canonised");
    let (_, effects) = send(at_registered(), message(&later, &attester())).unwrap();
    assert!(
        matches!(&effects[..], [Effect::Verdict(conclusion)] if conclusion.state.is_none() && conclusion.reason.is_none())
    );

    // A peer that is well, but that no rotation can hold, is told so without a reason against it.
    let elsewhere = Verdict {
        remedy: "use port 443".to_owned(),
        ..later
    };
    let (_, effects) = send(at_registered(), message(&elsewhere, &attester())).unwrap();
    assert!(matches!(&effects[..], [Effect::Verdict(conclusion)]
        if conclusion.reason.is_none() && conclusion.remedy.as_deref() == Some("use port 443")));

    let other = Verdict {
        subject: stranger().public().thumbprint(),
        ..failed.clone()
    };
    assert!(matches!(
        error(send(at_registered(), message(&other, &attester()))),
        SessionError::Misaddressed { .. }
    ));
    let old = Verdict {
        expires: after(-10),
        issued_at: after(-300),
        ..failed.clone()
    };
    assert!(matches!(
        error(send(at_registered(), message(&old, &attester()))),
        SessionError::Verdict(_)
    ));
    let lying = Verdict {
        issuer: root().public().thumbprint(),
        ..failed.clone()
    };
    assert!(matches!(
        error(send(at_registered(), message(&lying, &attester()))),
        SessionError::Verdict(_)
    ));
    assert!(matches!(
        error(send(at_registered(), message(&failed, &stranger()))),
        SessionError::Verdict(_)
    ));
}

#[test]
fn a_finished_flow_becomes_a_receipt_signed_in_the_attesters_time() {
    let slow = after(-600).start();
    let steps = [keyset(), welcome(), registered()];
    let step = |machine: Machine, message| machine.step(Input::Message(Some(message)), slow).unwrap().0;
    let machine = steps.into_iter().fold(new(), step);
    let (_, effects) = machine.step(Input::Flow(Box::new(finished())), slow).unwrap();
    let to_attester::Message::Receipt(message) = sent(&effects[0]) else {
        panic!("{effects:?}")
    };
    let receipt = Signed::<Receipt>::parse(&message.receipt)
        .unwrap()
        .verify(&peer().public())
        .unwrap();
    let receipt = receipt.at(NOW, Duration::ZERO).unwrap();
    assert_eq!((receipt.issuer, receipt.subject), (samples::me(), samples::me()));
    assert_eq!(
        (receipt.audience, receipt.probe),
        (attester().public().thumbprint(), probe(1))
    );
    assert_eq!((receipt.up, receipt.up_digest), (300, Digest::of(b"up")));
    assert_eq!((receipt.down, receipt.down_digest), (2048, Digest::of(b"down")));
    assert_eq!(
        (receipt.opened, receipt.closed, receipt.end),
        (NOW, NOW.plus(Duration::from_millis(5)), FlowEnd::Lengths)
    );
    assert_eq!(receipt.destination.as_str(), samples::DESTINATION);
}

#[test]
fn the_goodbye_names_its_reason_and_nothing_is_said_to_who_was_not_believed() {
    for reason in [goodbye::Reason::Paused, goodbye::Reason::Stopping] {
        for machine in [after_messages([keyset(), welcome()]), at_registered()] {
            let (_, effects) = machine.step(Input::Goodbye(reason), NOW).unwrap();
            let to_attester::Message::Goodbye(goodbye) = sent(&effects[0]) else {
                panic!("{effects:?}")
            };
            assert_eq!(goodbye.reason(), reason);
        }
        for machine in [new(), after_messages([keyset()])] {
            assert!(machine.step(Input::Goodbye(reason), NOW).unwrap().1.is_empty());
        }
    }
}

#[test]
fn the_later_of_two_keysets_is_kept() {
    let mut rotated = samples::keyset();
    rotated.keys[0].key = KeyBytes(*stranger().public().as_bytes());
    let by_new_key = || {
        Message::Verdict({
            let claim = samples::verdict(Outcome::Proved, "", "verified");
            signed(
                &Verdict {
                    issuer: stranger().public().thumbprint(),
                    ..claim
                },
                &stranger(),
            )
            .into()
        })
    };
    let send_keyset = |keyset: &Keyset| {
        let message = Message::Keyset(signed(keyset, &root()).into());
        send(at_registered(), message).unwrap().0
    };
    rotated.issued_at = after(-10);
    let machine = send(send_keyset(&rotated), by_new_key()).unwrap().0;
    assert!(matches!(
        error(send(machine, verdict())),
        SessionError::Verdict(ClaimError::UnknownKey { .. })
    ));

    rotated.issued_at = after(-3601);
    send(send_keyset(&rotated), verdict()).unwrap();
    assert!(send(send_keyset(&rotated), by_new_key()).is_err());

    let forged = Message::Keyset(signed(&samples::keyset(), &stranger()).into());
    assert!(matches!(error(send(at_registered(), forged)), SessionError::Keyset(_)));
}

#[test]
fn a_keyset_that_expires_during_the_session_is_believed_no_more() {
    let late = after(3611).start();
    let verdict = Verdict {
        issued_at: after(3600),
        expires: after(3900),
        ..samples::verdict(Outcome::Proved, "", "verified")
    };
    let message = Message::Verdict(signed(&verdict, &attester()).into());
    let step = at_registered().step(Input::Message(Some(message)), late);
    assert!(matches!(error(step), SessionError::Verdict(ClaimError::Expired { .. })));
}
