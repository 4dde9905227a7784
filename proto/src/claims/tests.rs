#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use proptest::prelude::*;
use rand::{SeedableRng, rngs::StdRng};

use super::*;
use crate::{
    ClaimError,
    checked::{Signed, sign},
    evidence::{Blob, Evidence},
    key::SigningKey,
};

fn key(seed: u64) -> SigningKey {
    SigningKey::generate(&mut StdRng::seed_from_u64(seed))
}

fn challenge(body_length: u64) -> Challenge {
    Challenge {
        issuer: key(1).public().thumbprint(),
        subject: key(2).public().thumbprint(),
        audience: "origin.example:80".parse().unwrap(),
        expires: Seconds::new(1_020),
        not_before: Seconds::new(1_000),
        issued_at: Seconds::new(1_000),
        probe: ProbeId::from_bytes([7; 16]),
        nonce: Nonce::from_bytes([9; 32]),
        body_length,
    }
}

fn registration() -> Registration {
    let peer = key(2).public();
    Registration {
        issuer: peer.thumbprint(),
        subject: peer.thumbprint(),
        audience: key(1).public().thumbprint(),
        expires: Seconds::new(1_060),
        issued_at: Seconds::new(1_000),
        session: Nonce::from_bytes([1; 32]),
        key: KeyBytes(*peer.as_bytes()),
        address: "192.0.2.7:443".parse().unwrap(),
        protocols: Protocols::new([Protocol::Connect, Protocol::Enproxy]).unwrap(),
        pin: Pin::from_bytes([3; 32]),
        channel_binding: ChannelBinding::from_bytes([4; 32]),
        software: "peer-agent 0.1.0".to_owned(),
        peer_time: Timestamp::from_micros(1_000_000_001),
    }
}

#[test]
fn a_signed_claim_opens_with_its_key_inside_its_window_only() {
    let bytes = sign(&challenge(1024), &key(1)).unwrap();
    assert!(bytes.len() < 512, "{}", bytes.len());
    let parse = || Signed::<Challenge>::parse(&bytes).unwrap();
    assert_eq!(parse().key_id(), key(1).public().thumbprint());

    let timely = parse().verify(&key(1).public()).unwrap();
    assert_eq!(
        timely.at(Timestamp::from_secs(1_019), Duration::ZERO).unwrap(),
        challenge(1024)
    );
    assert!(matches!(parse().verify(&key(2).public()), Err(ClaimError::WrongKey)));

    let at = |seconds, leeway| {
        parse()
            .verify(&key(1).public())
            .unwrap()
            .at(Timestamp::from_secs(seconds), leeway)
    };
    assert!(matches!(at(1_020, Duration::ZERO), Err(ClaimError::Expired { .. })));
    assert!(matches!(at(999, Duration::ZERO), Err(ClaimError::NotYet { .. })));
    assert!(at(999, Duration::from_secs(1)).is_ok());
    assert!(at(1_024, Duration::from_secs(5)).is_ok());
}

#[test]
fn claims_are_not_taken_for_one_another() {
    let bytes = sign(&challenge(1024), &key(1)).unwrap();
    assert!(matches!(
        Signed::<Statement>::parse(&bytes),
        Err(ClaimError::Type { .. })
    ));
    assert!(matches!(Signed::<Verdict>::parse(&bytes), Err(ClaimError::Type { .. })));
}

#[test]
fn every_flipped_bit_and_every_other_length_is_refused() {
    let good = sign(&registration(), &key(2)).unwrap();
    let accepted = |bytes: &[u8]| Signed::<Registration>::parse(bytes).is_ok_and(|s| s.verify_with_own_key().is_ok());
    assert!(accepted(&good));
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[at] ^= 1 << bit;
            assert!(!accepted(&bad), "bit {bit} of byte {at}");
        }
        assert!(!accepted(&good[..at]), "cut at {at}");
        let mut dropped = good.clone();
        dropped.remove(at);
        assert!(!accepted(&dropped), "without byte {at}");
    }
    let mut longer = good;
    longer.push(0);
    assert!(!accepted(&longer));
}

#[test]
fn a_registration_speaks_only_for_its_own_key() {
    let wrong_subject = Registration {
        subject: key(3).public().thumbprint(),
        ..registration()
    };
    assert!(matches!(sign(&wrong_subject, &key(2)), Err(ClaimError::Shape { .. })));
    let signed_by_another = sign(&registration(), &key(3)).unwrap();
    let opened = Signed::<Registration>::parse(&signed_by_another)
        .unwrap()
        .verify_with_own_key();
    assert!(matches!(opened, Err(ClaimError::WrongKey)));
    let noisy = Registration {
        software: "a\nb".to_owned(),
        ..registration()
    };
    assert!(matches!(sign(&noisy, &key(2)), Err(ClaimError::Shape { .. })));
}

#[test]
fn keys_of_a_keyset_have_a_role_and_a_window() {
    let entry = |role, seed, from, until| KeyEntry {
        role,
        key: KeyBytes(*key(seed).public().as_bytes()),
        not_before: Seconds::new(from),
        expires: Seconds::new(until),
    };
    let keyset = Keyset {
        issuer: key(9).public().thumbprint(),
        expires: Seconds::new(2_000),
        not_before: Seconds::new(1_000),
        issued_at: Seconds::new(1_000),
        keys: vec![
            entry(Role::Attester, 1, 1_000, 1_500),
            entry(Role::Origin, 4, 1_000, 2_000),
        ],
        revoked: vec![],
    };
    let bytes = sign(&keyset, &key(9)).unwrap();
    let keyset = Signed::<Keyset>::parse(&bytes)
        .unwrap()
        .verify(&key(9).public())
        .unwrap()
        .dangerously_at_any_time();
    let id = key(1).public().thumbprint();
    assert!(keyset.key(Role::Attester, id, Timestamp::from_secs(1_499)).is_ok());
    assert!(keyset.key(Role::Attester, id, Timestamp::from_secs(1_500)).is_err());
    assert!(keyset.key(Role::Origin, id, Timestamp::from_secs(1_200)).is_err());
    let full = Keyset {
        keys: vec![entry(Role::Prober, 5, 1, 2); Keyset::MAX_KEYS],
        ..keyset.clone()
    };
    assert!(sign(&full, &key(9)).is_ok());
    let over = Keyset {
        keys: vec![entry(Role::Prober, 5, 1, 2); Keyset::MAX_KEYS + 1],
        ..keyset
    };
    assert!(sign(&over, &key(9)).is_err());
}

#[test]
fn our_envelopes_are_cose_to_another_implementation() {
    use coset::{CborSerializable, TaggedCborSerializable, iana};

    let bytes = sign(&challenge(1024), &key(1)).unwrap();
    let cose = coset::CoseSign1::from_tagged_slice(&bytes).unwrap();
    assert_eq!(
        cose.protected.header.alg,
        Some(coset::Algorithm::Assigned(iana::Algorithm::EdDSA))
    );
    assert_eq!(cose.protected.header.key_id, key(1).public().thumbprint().as_bytes());
    cose.verify_signature(b"", |signature, signed| {
        key(1).public().verify(signed, signature.try_into().unwrap())
    })
    .unwrap();
    let claims = coset::cwt::ClaimsSet::from_slice(&cose.payload.unwrap());
    assert_eq!(
        claims.unwrap().issuer.unwrap(),
        key(1).public().thumbprint().to_string()
    );
}

proptest! {
    #[test]
    fn encode_then_decode_is_the_identity(length in 0..=Challenge::MAX_BODY, seed: u64, nonce: [u8; 32]) {
        let claim = Challenge { nonce: Nonce::from_bytes(nonce), ..challenge(length) };
        let bytes = sign(&claim, &key(seed)).unwrap();
        let opened = Signed::<Challenge>::parse(&bytes).unwrap().verify(&key(seed).public()).unwrap();
        prop_assert_eq!(opened.dangerously_at_any_time(), claim);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = Signed::<Registration>::parse(&bytes);
        let _ = Evidence::decode(&bytes);
    }
}

#[test]
fn evidence_round_trips_and_leaves_out_what_is_absent() {
    let one = Evidence {
        challenge: Some(Blob(sign(&challenge(5), &key(1)).unwrap())),
        ..Evidence::EMPTY
    };
    let bytes = one.encode().unwrap();
    assert_eq!(Evidence::decode(&bytes).unwrap(), one);
    assert_eq!(one.digests().len(), 1);
    let mut all = Evidence::EMPTY;
    let blob = Some(Blob(vec![0; 4096]));
    (all.keyset, all.registration, all.announcement, all.challenge) =
        (blob.clone(), blob.clone(), blob.clone(), blob.clone());
    (all.statement, all.observation, all.receipt, all.verdict) = (blob.clone(), blob.clone(), blob.clone(), blob);
    let full = all.encode().unwrap();
    assert!(full.len() <= Evidence::MAX_BYTES);
    assert_eq!(Evidence::decode(&full).unwrap(), all);
}
