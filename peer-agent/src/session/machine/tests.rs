#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use proto::{
    attest::{Rejected, to_agent::Message},
    checked::Signed,
    claims::{FlowEnd, Keyset, Outcome, Protocol, Protocols, Succession},
    ids::{Digest, Nonce, Pin},
    key::SigningKey,
};

use super::*;
use crate::{
    samples::{self, NOW, after, attester, peer, probe, root, signed, stranger},
    session::Token,
    tap::ledger::Recognised,
};

const BINDING: ChannelBinding = ChannelBinding::from_bytes([9; 32]);

fn new() -> Machine {
    let profile = Profile {
        key: peer(),
        root: root().public(),
        address: "192.0.2.7:443".parse().unwrap(),
        protocols: Protocols::new([Protocol::Connect]).unwrap(),
        pin: Pin::from_bytes([8; 32]),
        connect_token: Some(Token("sesame".to_owned())),
        software: "tests 1".to_owned(),
        successions: Vec::new(),
    };
    Machine::new(Arc::new(profile), BINDING)
}

/// What the agent registers with when its identity came over these keys, signed `days` before.
fn presented(keys: &[SigningKey], days: u64) -> Vec<attest::Succession> {
    let signed = NOW.minus(Duration::from_secs(days * 24 * 3600));
    let moves = keys.windows(2);
    let successions = moves.map(|two| Succession::sign_pair(&two[0], &two[1], signed).unwrap());
    let Machine::AwaitKeyset(Session { profile, .. }) = new() else {
        panic!()
    };
    let profile = Profile {
        successions: successions.collect(),
        ..Arc::into_inner(profile).unwrap()
    };
    let machine = send(Machine::new(Arc::new(profile), BINDING), keyset()).unwrap().0;
    let (_, effects) = send(machine, welcome()).unwrap();
    match sent(&effects[1]) {
        to_attester::Message::Register(register) => register.successions.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_registration_brings_the_successions_that_still_hold() {
    assert!(presented(&[peer()], 0).is_empty());
    let keys = [root(), stranger(), peer()];
    let both = presented(&keys, 89);
    let pairs: Vec<_> = both
        .iter()
        .map(|pair| Succession::verify_pair(&pair.by_old, &pair.by_new).unwrap())
        .map(|timely| timely.at(NOW, Duration::ZERO).unwrap().subject)
        .collect();
    assert_eq!(pairs, [stranger().public().thumbprint(), samples::me()]);
    assert!(presented(&keys, 90).is_empty());
}

fn keyset() -> Message {
    Message::Keyset(signed(&samples::keyset(), &root()).into())
}

fn welcome() -> Message {
    Message::Welcome(signed(&samples::welcome(BINDING), &attester()).into())
}

fn registered() -> Message {
    let peer_id = peer().public().peer_id().to_string();
    Message::Registered(Registered {
        own_name: format!("peer-{peer_id}.example"),
        peer_id,
    })
}

fn rejected() -> Message {
    Message::Rejected(Rejected {
        code: "port".to_owned(),
        remedy: "forward port 443".to_owned(),
        retry: true,
    })
}

fn announcement(number: u8) -> Announcement {
    samples::announcement(number, b"challenge", 300, 2048)
}

fn announce(announcement: &Announcement) -> Message {
    Message::Announcement(signed(announcement, &attester()).into())
}

fn verdict() -> Message {
    Message::Verdict(signed(&samples::verdict(Outcome::Proved, "", "verified"), &attester()).into())
}

fn send(machine: Machine, message: Message) -> Step {
    machine.step(Input::Message(Some(message)), NOW)
}

/// The machine after these messages, all of which it must take.
fn after_messages(messages: impl IntoIterator<Item = Message>) -> Machine {
    messages
        .into_iter()
        .fold(new(), |machine, message| send(machine, message).unwrap().0)
}

fn at_registered() -> Machine {
    after_messages([keyset(), welcome(), registered()])
}

fn error(step: Step) -> SessionError {
    match step {
        Err(error) => error,
        Ok((machine, effects)) => panic!("no error, but {machine:?} with {effects:?}"),
    }
}

fn sent(effect: &Effect) -> &to_attester::Message {
    match effect {
        Effect::Send(message) => message,
        other => panic!("nothing is sent, but {other:?}"),
    }
}

#[test]
fn every_message_is_taken_in_its_states_only() {
    type Make = fn() -> Machine;
    let states: [(&str, Make, &[&str]); 5] = [
        ("nothing received", new, &["keyset"]),
        ("keyset", || after_messages([keyset()]), &["keyset", "welcome"]),
        (
            "welcome",
            || after_messages([keyset(), welcome()]),
            &["keyset", "registered"],
        ),
        ("registered", at_registered, &["keyset", "announcement", "verdict"]),
        (
            "goodbye",
            || {
                at_registered()
                    .step(Input::Goodbye(goodbye::Reason::Paused), NOW)
                    .unwrap()
                    .0
            },
            &["keyset", "welcome", "registered", "rejected", "announcement", "verdict"],
        ),
    ];
    for (state, machine, taken) in states {
        for (name, message) in [
            ("keyset", keyset()),
            ("welcome", welcome()),
            ("registered", registered()),
            ("rejected", rejected()),
            ("announcement", announce(&announcement(1))),
            ("verdict", verdict()),
        ] {
            let result = send(machine(), message);
            if taken.contains(&name) {
                assert!(result.is_ok(), "{name} in {state}: {result:?}");
            } else if name == "rejected" {
                assert!(
                    matches!(error(result), SessionError::Rejected { .. }),
                    "{name} in {state}"
                );
            } else {
                assert!(
                    matches!(error(result), SessionError::Unexpected { .. }),
                    "{name} in {state}"
                );
            }
        }
        let empty = machine().step(Input::Message(None), NOW);
        if state == "goodbye" {
            assert!(empty.is_ok(), "{empty:?}");
        } else {
            assert!(
                matches!(error(empty), SessionError::Unexpected { .. }),
                "empty in {state}"
            );
        }
        machine().step(Input::Armed(probe(1), Ok(())), NOW).unwrap();
        machine().step(Input::Flow(Box::new(finished())), NOW).unwrap();
        assert!(matches!(
            machine().step(Input::Goodbye(goodbye::Reason::Stopping), NOW),
            Ok((Machine::Ended, _))
        ));
    }
}

#[test]
fn garbage_in_every_claim_is_a_specific_error() {
    let garbage = || bytes::Bytes::from_static(b"\xd2garbage");
    assert!(matches!(
        error(send(new(), Message::Keyset(garbage()))),
        SessionError::Keyset(_)
    ));
    let welcome_wanted = after_messages([keyset()]);
    assert!(matches!(
        error(send(welcome_wanted, Message::Welcome(garbage()))),
        SessionError::Welcome(_)
    ));
    for (machine, message) in [
        (at_registered(), Message::Announcement(garbage())),
        (at_registered(), Message::Verdict(garbage())),
        (at_registered(), Message::Keyset(garbage())),
    ] {
        let code = error(send(machine, message)).code().to_owned();
        assert!(["announcement", "verdict", "keyset"].contains(&code.as_str()), "{code}");
    }
}

#[test]
fn only_a_timely_keyset_of_the_pinned_root_is_believed() {
    let refusal = |keyset: &Keyset, key: &SigningKey, now| {
        let message = Message::Keyset(signed(keyset, key).into());
        error(new().step(Input::Message(Some(message)), now)).remedy()
    };
    let good = samples::keyset();
    assert!(refusal(&good, &stranger(), NOW).contains("another key"));
    let lying = Keyset {
        issuer: stranger().public().thumbprint(),
        ..good.clone()
    };
    assert!(refusal(&lying, &root(), NOW).contains("another key"));
    for seconds in [-4000, 4000] {
        let message = refusal(&good, &root(), after(seconds).start());
        assert!(
            message.contains("check the clock") && message.contains("root key in the settings"),
            "{message}"
        );
    }
}

#[test]
fn only_a_welcome_by_an_attester_key_on_this_connection_is_believed() {
    let refusal = |welcome: &Welcome, key: &SigningKey| {
        let message = Message::Welcome(signed(welcome, key).into());
        error(send(after_messages([keyset()]), message))
    };
    let good = samples::welcome(BINDING);
    // `stranger` is in the keyset, as an origin.
    for key in [stranger(), root(), peer()] {
        assert!(matches!(
            refusal(&good, &key),
            SessionError::Welcome(ClaimError::UnknownKey { .. })
        ));
    }
    let of_another = Welcome {
        channel_binding: ChannelBinding::from_bytes([7; 32]),
        ..good.clone()
    };
    let relay = refusal(&of_another, &attester());
    assert!(matches!(relay, SessionError::Relay) && relay.code() == "relay");
    let later = Welcome {
        versions: vec![2, 3],
        ..good.clone()
    };
    let message = refusal(&later, &attester()).remedy();
    assert!(message.contains("2, 3") && message.contains("update"), "{message}");
    let past = Welcome {
        server_time: after(100).start(),
        ..good.clone()
    };
    assert!(matches!(
        refusal(&past, &attester()),
        SessionError::Welcome(ClaimError::Expired { .. })
    ));
    let lying = Welcome {
        issuer: root().public().thumbprint(),
        ..good
    };
    assert!(matches!(
        refusal(&lying, &attester()),
        SessionError::Welcome(ClaimError::WrongKey)
    ));
}

#[test]
fn the_registration_says_who_where_and_in_which_session_in_the_attesters_time() {
    // A machine whose clock is an hour slow; the keyset's window still holds.
    let slow = after(-3600).start();
    let machine = new().step(Input::Message(Some(keyset())), slow).unwrap().0;
    let (machine, effects) = machine.step(Input::Message(Some(welcome())), slow).unwrap();
    assert!(!machine.is_registered());
    assert!(matches!(effects[0], Effect::Welcomed));
    let to_attester::Message::Register(register) = sent(&effects[1]) else {
        panic!("{effects:?}")
    };
    assert_eq!(register.connect_token, "sesame");
    let claim = Signed::<Registration>::parse(&register.registration)
        .unwrap()
        .verify_with_own_key()
        .unwrap();
    let claim = claim.at(NOW, Duration::ZERO).unwrap();
    assert_eq!((claim.issued_at, claim.expires), (after(0), after(60)));
    assert_eq!((claim.peer_time, claim.session), (slow, Nonce::from_bytes([5; 32])));
    assert_eq!(
        (claim.channel_binding, claim.address.to_string()),
        (BINDING, "192.0.2.7:443".to_owned())
    );
    assert_eq!(claim.audience, attester().public().thumbprint());
}

#[test]
fn only_its_own_registration_is_taken() {
    let other = Registered {
        peer_id: stranger().public().peer_id().to_string(),
        own_name: String::new(),
    };
    let result = send(after_messages([keyset(), welcome()]), Message::Registered(other));
    assert!(matches!(error(result), SessionError::OtherPeer));

    let Message::Registered(mut mine) = registered() else {
        panic!()
    };
    mine.own_name = format!("peer\u{1b}[31m{}", "x".repeat(500));
    let (machine, effects) = send(after_messages([keyset(), welcome()]), Message::Registered(mine)).unwrap();
    assert!(machine.is_registered());
    assert!(
        matches!(&effects[..], [Effect::Registered { own_name }] if own_name.len() == 253 && !own_name.contains('\u{1b}'))
    );
}

#[test]
fn a_rejection_keeps_its_words_within_bounds() {
    let long = Rejected {
        code: "c\n".repeat(100),
        remedy: "r\u{7}".repeat(1000),
        retry: false,
    };
    let early = error(send(after_messages([]), Message::Rejected(long.clone())));
    assert!(
        matches!(early, SessionError::Rejected { retry: true, .. }),
        "nobody is silenced by a stranger"
    );
    let error = error(send(after_messages([keyset(), welcome()]), Message::Rejected(long)));
    assert_eq!((error.code().len(), error.remedy().len()), (64, 512));
    assert!(!error.remedy().contains('\u{7}'));
    assert!(matches!(error, SessionError::Rejected { retry: false, .. }));
}

fn finished() -> Finished {
    let trust = Trust::open(&signed(&samples::keyset(), &root()), &root().public(), NOW).unwrap();
    let expectation = Expectation {
        announcement: announcement(1),
        trust: Arc::new(trust),
        clock_offset: 0,
    };
    let flow = Recognised {
        expectation: Arc::new(expectation),
        nonce: Nonce::from_bytes([1; 32]),
    };
    let (up_digest, down_digest) = (Digest::of(b"up"), Digest::of(b"down"));
    let (opened, closed, end) = (NOW, NOW.plus(Duration::from_millis(5)), FlowEnd::Lengths);
    Finished {
        flow,
        up: 300,
        up_digest,
        down: 2048,
        down_digest,
        opened,
        closed,
        end,
    }
}

mod claims;
mod keys;

#[test]
fn of_the_versions_on_offer_the_one_that_both_speak_is_taken() {
    let offering = |versions: &[u64]| Welcome {
        versions: versions.to_vec(),
        ..samples::welcome(BINDING)
    };
    for versions in [&[1][..], &[1, 2], &[1, 7, 9]] {
        let message = Message::Welcome(signed(&offering(versions), &attester()).into());
        let (machine, _) = send(after_messages([keyset()]), message).unwrap();
        assert!(matches!(machine, Machine::Registering(_)), "{versions:?}");
    }
    // An attester that has left this version behind says so in its very first claim.
    let Message::Keyset(bytes) = keyset() else { panic!() };
    let at = bytes.windows(10).position(|part| part == b"keyset.v1+").unwrap();
    let mut later = bytes.to_vec();
    later[at + 8] = b'2';
    let refused = error(send(after_messages([]), Message::Keyset(later.into())));
    assert_eq!(refused.code(), "version", "{refused}");
    assert!(refused.remedy().contains("update"), "{}", refused.remedy());
}
