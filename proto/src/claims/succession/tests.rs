#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

fn pair(old: u8, new: u8) -> SuccessionPair {
    Succession::sign_pair(&key(old), &key(new), NOW).unwrap()
}

fn claim(old: u8, new: u8) -> Succession {
    let pair = pair(old, new);
    Succession::verify_pair(&pair.by_old, &pair.by_new)
        .unwrap()
        .dangerously_at_any_time()
}

fn chain(pairs: &[(u8, u8)], end: u8) -> Result<Chain, ClaimError> {
    Chain::verify(
        pairs.iter().map(|(old, new)| pair(*old, *new)).collect(),
        &key(end).public(),
    )
}

fn told(error: impl std::fmt::Display, part: &str) {
    let message = error.to_string();
    assert!(message.contains(part), "{message}");
}

#[test]
fn a_succession_holds_for_its_window_when_both_keys_signed_it() {
    let pair = pair(1, 2);
    assert!(pair.by_old.len() < 512 && pair.by_new.len() < 512);
    let open = || Succession::verify_pair(&pair.by_old, &pair.by_new).unwrap();
    let opened = open().at(NOW, Duration::ZERO).unwrap();
    assert_eq!(opened.issuer, key(1).public().thumbprint());
    assert_eq!(opened.subject, key(2).public().thumbprint());
    let last = NOW.plus(Succession::WINDOW);
    assert!(open().at(last.minus(Duration::from_secs(1)), Duration::ZERO).is_ok());
    assert!(matches!(
        open().at(last, Duration::ZERO),
        Err(ClaimError::Expired { .. })
    ));
    // Signed by a clock that is some hours ahead.
    assert!(
        open()
            .at(NOW.minus(Duration::from_secs(20 * 3600)), Duration::ZERO)
            .is_ok()
    );
}

#[test]
fn one_key_alone_moves_nothing() {
    let good = pair(1, 2);
    let by = |signer: u8| sign(&claim(1, 2), &key(signer)).unwrap();
    for (by_old, by_new) in [
        (by(1), by(1)),
        (by(2), by(2)),
        (by(3), by(2)),
        (by(1), by(3)),
        (good.by_new.clone(), good.by_old.clone()),
    ] {
        assert!(matches!(
            Succession::verify_pair(&by_old, &by_new),
            Err(ClaimError::WrongKey)
        ));
    }
    assert!(Succession::verify_pair(&good.by_old, &[]).is_err());
    let forged = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        bytes
    };
    for (by_old, by_new) in [
        (forged(&good.by_old), good.by_new.clone()),
        (good.by_old.clone(), forged(&good.by_new)),
    ] {
        assert!(matches!(
            Succession::verify_pair(&by_old, &by_new),
            Err(ClaimError::Key(_))
        ));
    }
}

#[test]
fn the_two_signatures_are_over_the_same_claim() {
    let (one, later) = (
        pair(1, 2),
        Succession::sign_pair(&key(1), &key(2), NOW.plus(Duration::from_secs(1))).unwrap(),
    );
    told(
        Succession::verify_pair(&one.by_old, &later.by_new).unwrap_err(),
        "different claims",
    );
    told(
        Succession::verify_pair(&one.by_old, &pair(1, 3).by_new).unwrap_err(),
        "different claims",
    );
}

#[test]
fn a_claim_that_breaks_its_rules_cannot_be_signed() {
    let mut weak = [0; 32];
    weak[0] = 1;
    let good = claim(1, 2);
    for (broken, part) in [
        (
            Succession {
                new: good.old,
                subject: good.issuer,
                ..good.clone()
            },
            "the same",
        ),
        (
            Succession {
                issuer: good.subject,
                ..good.clone()
            },
            "thumbprints",
        ),
        (
            Succession {
                subject: good.issuer,
                ..good.clone()
            },
            "thumbprints",
        ),
        (
            Succession {
                old: KeyBytes(weak),
                ..good.clone()
            },
            "weak",
        ),
        (
            Succession {
                new: KeyBytes([2; 32]),
                ..good.clone()
            },
            "weak",
        ),
        (
            Succession {
                expires: Seconds::new(u64::MAX),
                ..good
            },
            "120 days",
        ),
    ] {
        told(sign(&broken, &key(1)).unwrap_err(), part);
    }
    told(Succession::sign_pair(&key(1), &key(1), NOW).unwrap_err(), "the same");
}

#[test]
fn a_chain_runs_from_key_to_key_and_ends_at_the_asked_one() {
    assert!(chain(&[], 9).unwrap().at(NOW, Duration::ZERO).unwrap().is_empty());
    let links = chain(&[(1, 2), (2, 3), (3, 4), (4, 5)], 5).unwrap();
    let links = links.at(NOW, Duration::ZERO).unwrap();
    assert_eq!(links.len(), Chain::MAX_LINKS);
    assert_eq!(links[0].old, key(1).public());
    assert!(links.windows(2).all(|two| two[0].new == two[1].old));
    assert_eq!(links[3].pair, pair(4, 5));
    for (pairs, end, part) in [
        (&[(1, 2)][..], 3, "end at another key"),
        (&[(1, 2)], 1, "end at another key"),
        (&[(1, 2), (3, 4)], 4, "does not begin"),
        (&[(2, 3), (1, 2)], 3, "does not begin"),
        (&[(1, 2), (1, 2)], 2, "does not begin"),
        (&[(1, 2), (2, 1)], 1, "come back"),
        (&[(1, 2), (2, 3), (3, 1)], 1, "come back"),
        (&[(1, 2), (2, 3), (3, 4), (4, 5), (5, 6)], 6, "more than 4"),
    ] {
        told(chain(pairs, end).unwrap_err(), part);
    }
}

#[test]
fn windows_count_for_the_whole_chain_or_for_what_of_it_is_presented() {
    let day = Duration::from_secs(DAY);
    let signed = |old, new, days: u32| Succession::sign_pair(&key(old), &key(new), NOW.plus(day * days)).unwrap();
    let chain = || {
        Chain::verify(
            vec![signed(1, 2, 0), signed(2, 3, 30), signed(3, 4, 60)],
            &key(4).public(),
        )
        .unwrap()
    };
    let presented = |days: u32| chain().presentable(NOW.plus(day * days)).len();
    assert_eq!([60, 90, 119, 120, 149, 150].map(presented), [3, 2, 2, 1, 1, 0]);
    // What is signed later holds later: a clock far behind presents nothing rather than a part without its end.
    assert_eq!(presented(10), 0);
    assert!(chain().at(NOW.plus(day * 60), Duration::ZERO).is_ok());
    assert!(matches!(
        chain().at(NOW.plus(day * 90), Duration::ZERO),
        Err(ClaimError::Expired { .. })
    ));
    assert_eq!(chain().dangerously_at_any_time().len(), 3);
}

#[test]
fn every_flipped_bit_of_either_envelope_is_refused() {
    let good = pair(1, 2);
    let accepted = |by_old: &[u8], by_new: &[u8]| Succession::verify_pair(by_old, by_new).is_ok();
    assert!(accepted(&good.by_old, &good.by_new));
    for at in 0..good.by_old.len() {
        for bit in 0..8 {
            let (mut by_old, mut by_new) = (good.by_old.clone(), good.by_new.clone());
            by_old[at] ^= 1 << bit;
            by_new[at] ^= 1 << bit;
            assert!(
                !accepted(&by_old, &good.by_new),
                "bit {bit} of byte {at} by the old key"
            );
            assert!(
                !accepted(&good.by_old, &by_new),
                "bit {bit} of byte {at} by the new key"
            );
            assert!(!accepted(&by_old, &by_new), "bit {bit} of byte {at} by both");
        }
    }
}
