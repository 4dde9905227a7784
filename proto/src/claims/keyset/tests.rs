use super::*;
use crate::{
    cbor,
    checked::{Signed, sign},
    key::SigningKey,
};

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

fn id(seed: u8) -> Thumbprint {
    key(seed).public().thumbprint()
}

/// Entries of the longest form that times have.
fn full(revoked: usize) -> Keyset {
    let entry = |seed| KeyEntry {
        role: Role::Attester,
        key: KeyBytes(*key(seed).public().as_bytes()),
        not_before: Seconds::new(1_000),
        expires: Seconds::new(u64::MAX),
    };
    let mut ids: Vec<Thumbprint> = (100..).take(revoked).map(id).collect();
    ids.sort_unstable();
    let revoked = |id: Thumbprint| Revoked {
        key: Digest::from_bytes(*id.as_bytes()),
        since: Seconds::new(u64::MAX),
    };
    Keyset {
        issuer: id(9),
        expires: Seconds::new(u64::MAX),
        not_before: Seconds::new(0),
        issued_at: Seconds::new(u64::MAX),
        keys: (1..).take(Keyset::MAX_KEYS).map(entry).collect(),
        revoked: ids.into_iter().map(revoked).collect(),
    }
}

fn revoking(seed: u8, since: u64) -> Keyset {
    let revoked = Revoked {
        key: Digest::from_bytes(*id(seed).as_bytes()),
        since: Seconds::new(since),
    };
    Keyset {
        revoked: vec![revoked],
        ..full(0)
    }
}

fn refusal(keyset: &Keyset) -> String {
    sign(keyset, &key(9)).unwrap_err().to_string()
}

#[test]
fn the_fullest_keyset_is_a_claim() {
    let bytes = sign(&full(Keyset::MAX_REVOKED), &key(9)).unwrap();
    assert!(bytes.len() <= cbor::MAX_BYTES, "{}", bytes.len());
    let keyset = Signed::<Keyset>::parse(&bytes).unwrap().verify(&key(9).public());
    assert_eq!(keyset.unwrap().dangerously_at_any_time(), full(Keyset::MAX_REVOKED));
    assert!(refusal(&full(Keyset::MAX_REVOKED + 1)).contains("at most 24"));
}

#[test]
fn a_revoked_key_counts_before_that_second_only_and_in_no_role() {
    let at = Timestamp::from_secs;
    let keyset = revoking(1, 5_000);
    keyset.key(Role::Attester, id(1), at(4_999)).unwrap();
    for second in [5_000, 5_001, 1 << 40] {
        let refused = keyset.key(Role::Attester, id(1), at(second)).unwrap_err();
        assert!(
            matches!(refused, ClaimError::Revoked { key, since, .. } if key == id(1) && since.as_u64() == 5_000),
            "{refused}"
        );
    }
    keyset.key(Role::Attester, id(2), at(5_000)).unwrap();
    assert_eq!(keyset.revoked_since(id(1)), Some(Seconds::new(5_000)));
    assert_eq!(keyset.revoked_since(id(2)), None);
    let never = revoking(1, 0).key(Role::Attester, id(1), at(1_000)).unwrap_err();
    assert!(never.to_string().contains("for all time"), "{never}");
    // A revoked key that is not listed is told as revoked, not as unknown.
    let gone = revoking(200, 0).key(Role::Origin, id(200), at(1_000)).unwrap_err();
    assert!(matches!(gone, ClaimError::Revoked { .. }), "{gone}");
}

#[test]
fn a_set_of_revoked_keys_has_one_spelling() {
    let good = full(3);
    let mut swapped = good.clone();
    swapped.revoked.swap(0, 2);
    assert!(refusal(&swapped).contains("ascending"));
    let mut twice = good.clone();
    twice.revoked[1] = twice.revoked[0];
    assert!(refusal(&twice).contains("ascending"));

    // A list without entries is left out, and one that is there is not what this program writes.
    let bytes = cbor::encode(
        &Keyset {
            revoked: vec![],
            ..good
        },
        "keyset",
    )
    .unwrap();
    let mut empty = bytes.clone();
    empty[0] += 1;
    empty.extend([0x3a, 0, 1, 0, 1, 0x80]); // -65538 => []
    assert!(cbor::decode::<Keyset>(&bytes, "keyset").is_ok());
    let refused = cbor::decode::<Keyset>(&empty, "keyset").unwrap_err();
    assert!(matches!(refused, ClaimError::NotCanonical { .. }), "{refused}");
}
