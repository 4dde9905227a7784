use proto::{
    checked::sign,
    claims::{KeyBytes, Protocol, Protocols, Succession},
    ids::{Address, Pin},
    key::SigningKey,
    time::Seconds,
};

use super::*;

const NOW: u64 = 1_800_000_000;

fn peer() -> SigningKey {
    SigningKey::from_seed(&[5; 32])
}

fn terms() -> Terms {
    Terms {
        attester: SigningKey::from_seed(&[1; 32]).public().thumbprint(),
        session: Nonce::from_bytes([2; 32]),
        channel_binding: ChannelBinding::from_bytes([3; 32]),
        source: "8.8.8.8".parse().unwrap(),
        allow_private: false,
        now: Timestamp::from_secs(NOW),
    }
}

fn registration() -> Registration {
    let (key, terms) = (peer().public(), terms());
    Registration {
        issuer: key.thumbprint(),
        subject: key.thumbprint(),
        audience: terms.attester,
        expires: Seconds::new(NOW + 60),
        issued_at: Seconds::new(NOW),
        session: terms.session,
        key: KeyBytes(*key.as_bytes()),
        address: Address("8.8.8.8:443".parse().unwrap()),
        protocols: Protocols::new([Protocol::Enproxy]).unwrap(),
        pin: Pin::from_bytes([4; 32]),
        channel_binding: terms.channel_binding,
        software: "test 1".to_owned(),
        peer_time: Timestamp::from_secs(NOW),
    }
}

fn signed(adjust: impl FnOnce(&mut Registration)) -> Vec<u8> {
    let mut registration = registration();
    adjust(&mut registration);
    sign(&registration, &peer()).unwrap()
}

fn with_token(token: &str) -> Beside {
    Beside {
        connect_token: token.to_owned(),
        ..Beside::default()
    }
}

#[test]
fn an_honest_registration_is_admitted() {
    let admitted = admit(&signed(|_| {}), Beside::default(), &terms()).unwrap();
    assert_eq!(
        admitted,
        Admitted {
            registration: registration(),
            connect_token: None,
            chain: Vec::new(),
        }
    );
    let token = admit(&signed(|_| {}), with_token("a token"), &terms())
        .unwrap()
        .connect_token;
    assert_eq!(token.as_deref(), Some("a token"));
    let mapped = Terms {
        source: "::ffff:8.8.8.8".parse().unwrap(),
        ..terms()
    };
    assert!(admit(&signed(|_| {}), Beside::default(), &mapped).is_ok());
    for (issued, expires) in [(NOW + 2, NOW + 3), (NOW - 5, NOW - 1)] {
        let at_the_edge = signed(|it| (it.issued_at, it.expires) = (Seconds::new(issued), Seconds::new(expires)));
        assert!(admit(&at_the_edge, Beside::default(), &terms()).is_ok());
    }
    let private = Terms {
        source: "127.0.0.1".parse().unwrap(),
        allow_private: true,
        ..terms()
    };
    assert!(
        admit(
            &signed(|it| it.address = Address("127.0.0.1:443".parse().unwrap())),
            Beside::default(),
            &private
        )
        .is_ok()
    );
}

#[test]
fn each_rule_has_its_reason_and_says_who_broke_it() {
    let address = |text: &str| Address(text.parse().unwrap());
    let local = Terms {
        source: "10.0.0.1".parse().unwrap(),
        ..terms()
    };
    let v6 = Terms {
        source: "2001:db8::1".parse().unwrap(),
        ..terms()
    };
    for (raw, terms, reason, detail) in [
        (
            signed(|it| it.audience = it.issuer),
            terms(),
            Reason::RegistrationSession,
            "another attester",
        ),
        (
            signed(|it| it.session = Nonce::from_bytes([9; 32])),
            terms(),
            Reason::RegistrationSession,
            "nonce",
        ),
        (
            signed(|it| it.issued_at = Seconds::new(NOW + 3)),
            terms(),
            Reason::RegistrationSession,
            "not valid before",
        ),
        (
            signed(|it| it.expires = Seconds::new(NOW - 2)),
            terms(),
            Reason::RegistrationSession,
            "expired",
        ),
        (
            signed(|it| it.channel_binding = ChannelBinding::from_bytes([9; 32])),
            terms(),
            Reason::Relay,
            "differ",
        ),
        (
            signed(|it| it.address = address("8.8.4.4:443")),
            terms(),
            Reason::AddressNotSource,
            "from 8.8.8.8",
        ),
        (
            signed(|it| it.address = address("10.0.0.1:443")),
            local,
            Reason::AddressReserved,
            "10.0.0.1",
        ),
        (
            signed(|it| it.address = address("[2001:db8::1]:443")),
            v6,
            Reason::AddressReserved,
            "2001:db8::1",
        ),
    ] {
        let refused = admit(&raw, Beside::default(), &terms).unwrap_err();
        assert_eq!(refused.finding.reason, reason, "{refused:?}");
        assert!(refused.finding.detail().contains(detail), "{refused:?}");
        assert_eq!(refused.peer, Some(peer().public().peer_id()));
    }
}

#[test]
fn what_cannot_be_read_names_nobody() {
    let mut altered = signed(|_| {});
    *altered.last_mut().unwrap() ^= 1;
    let stranger = sign(&registration(), &SigningKey::from_seed(&[6; 32])).unwrap();
    for raw in [
        altered,
        stranger,
        Vec::new(),
        vec![0xd2; 5000],
        signed(|_| {})[1..].to_vec(),
    ] {
        let refused = admit(&raw, Beside::default(), &terms()).unwrap_err();
        assert_eq!(
            (refused.finding.reason, refused.peer),
            (Reason::RegistrationInvalid, None)
        );
    }
}

#[test]
fn a_token_fits_a_header() {
    let long = "x".repeat(257);
    for token in [" a", "a ", "a\r\nb: c", "ä", "\u{7f}", &long] {
        let refused = admit(&signed(|_| {}), with_token(token), &terms()).unwrap_err();
        assert_eq!(refused.finding.reason, Reason::RegistrationInvalid);
        assert!(refused.finding.detail().contains("CONNECT token"), "{refused:?}");
    }
    assert!(admit(&signed(|_| {}), with_token(&long[1..]), &terms()).is_ok());
}

/// A registration with the moves from key to key, signed at `signed`; how many are admitted.
fn moved(keys: &[u8], signed_at: u64) -> Result<usize, Refused> {
    let key = |seed: &u8| SigningKey::from_seed(&[*seed; 32]);
    let at = Timestamp::from_secs(signed_at);
    let pair = |two: &[u8]| Succession::sign_pair(&key(&two[0]), &key(&two[1]), at).unwrap();
    let beside = Beside {
        successions: keys.windows(2).map(pair).collect(),
        ..Beside::default()
    };
    admit(&signed(|_| {}), beside, &terms()).map(|admitted| admitted.chain.len())
}

#[test]
fn successions_must_hold_and_end_at_the_registered_key() {
    for keys in [&[5][..], &[4, 5], &[1, 2, 3, 4, 5]] {
        assert_eq!(moved(keys, NOW).unwrap(), keys.len() - 1);
    }
    let days = 24 * 3600;
    for (keys, signed_at, detail) in [
        (&[5, 4][..], NOW, "end at another key"),
        (&[4, 6], NOW, "end at another key"),
        (&[5, 4, 5], NOW, "come back"),
        (&[9, 1, 2, 3, 4, 5], NOW, "more than 4"),
        (&[4, 5], NOW - 91 * days, "expired"),
        (&[4, 5], NOW + 2 * days, "not valid before"),
    ] {
        let refused = moved(keys, signed_at).unwrap_err();
        assert_eq!(refused.finding.reason, Reason::SuccessionInvalid, "{refused:?}");
        assert!(refused.finding.detail().contains(detail), "{refused:?}");
        assert_eq!(refused.peer, Some(peer().public().peer_id()));
    }
    let theirs = Succession::sign_pair(&SigningKey::from_seed(&[4; 32]), &peer(), Timestamp::from_secs(NOW)).unwrap();
    let by_new_alone = SuccessionPair {
        by_old: theirs.by_new.clone(),
        by_new: theirs.by_new,
    };
    let beside = Beside {
        successions: vec![by_new_alone],
        ..Beside::default()
    };
    let refused = admit(&signed(|_| {}), beside, &terms()).unwrap_err();
    assert_eq!(refused.finding.reason, Reason::SuccessionInvalid, "{refused:?}");
}
