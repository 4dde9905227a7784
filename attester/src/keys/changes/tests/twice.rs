//! What went wrong after it was done, and what is done twice.

use super::*;

/// So many waiting keys that the one of the next rotation is too many to be read.
fn crowd(place: &Place) {
    for number in 0..97_u8 {
        let path = place.path.join(format!("prober.{number}.key"));
        SigningKey::from_seed(&[number; 32]).write_new(&path).unwrap();
    }
}

#[test]
fn what_cannot_be_tidied_up_is_told_and_is_no_failure() {
    let mut place = Place::new();
    let old = id(&place.load(START).attester);
    crowd(&place);
    let revocation = place.revoke("attester", 0, later(1)).unwrap();
    let why = revocation.untidied.unwrap();
    assert!(matches!(why, KeysError::TooMany { .. }), "{why}");
    assert_eq!(revocation.key, old);
    let (keyset, _) = place.folder.keyset(&place.folder.known_root().unwrap()).unwrap();
    assert_eq!(keyset.revoked_since(old), Some(Seconds::new(0)));

    let mut place = Place::new();
    crowd(&place);
    let rotation = place
        .folder
        .rotate(&[Role::Origin], HOUR, None, &mut place.rng, later(1));
    let rotation = rotation.unwrap();
    assert!(matches!(rotation.untidied, Some(KeysError::TooMany { .. })));
    let (keyset, _) = place.folder.keyset(&place.folder.known_root().unwrap()).unwrap();
    assert!(keyset.key(Role::Origin, rotation.keys[0].new, later(1)).is_ok());
}

#[test]
fn a_role_named_twice_does_not_lose_the_key_that_has_just_taken_the_place() {
    let mut place = Place::new();
    let old = place.revoke("attester", 0, later(1)).unwrap();
    let new = old.replaced.unwrap().new;
    let minutes = |minutes: u64| later(1).plus(Duration::from_secs(60 * minutes));
    for at in [minutes(0), minutes(59)] {
        let error = place.revoke("attester", 0, at).unwrap_err();
        assert!(matches!(error, KeysError::RevokedLately { .. }), "{error}");
        let told = error.to_string();
        assert!(told.contains(&format!("attester keys revoke {new}")), "{told}");
        assert!(told.contains(&old.key.to_string()), "{told}");
    }
    assert_eq!(id(&place.load(minutes(59)).attester), new, "nothing has happened");
    // Another role is another matter, and so is a key that was rotated out meanwhile.
    place.revoke("prober", 0, minutes(1)).unwrap();
    place.rotate(&[Role::Origin], minutes(1));
    place.revoke("origin", 0, minutes(1)).unwrap();
    // Who names the key means it.
    place.revoke(&new.to_string(), 0, minutes(2)).unwrap();
    place.revoke("attester", 0, minutes(2)).unwrap_err();
    place.revoke("attester", 0, minutes(62)).unwrap();
}

#[test]
fn a_revocation_that_was_not_signed_is_asked_for_again() {
    let mut place = Place::new();
    let keyset = fs::read(place.folder.keyset_file()).unwrap();
    let first = place.revoke("attester", 0, later(1)).unwrap();
    let private = fs::read(place.path.join("attester.key")).unwrap();
    // It was killed before the keyset was in its place: the new key waits beside the old one.
    let mut place = Place::new();
    fs::write(place.folder.keyset_file(), &keyset).unwrap();
    let entry = journal::Entry::new(later(1).seconds(), Role::Attester, first.key);
    place.folder.note(entry).unwrap();
    let waits = place.path.join("attester.waits.key");
    SigningKey::from_pem(std::str::from_utf8(&private).unwrap())
        .unwrap()
        .write_new(&waits)
        .unwrap();
    let again = place.revoke("attester", 0, later(1)).unwrap();
    assert_eq!(again.key, first.key);
    assert_eq!(again.replaced.unwrap().new, first.replaced.unwrap().new);
}

#[test]
fn what_is_written_down_is_bounded_and_may_be_spoilt() {
    let mut place = Place::new();
    for seed in 0..40 {
        let key = SigningKey::from_seed(&[seed; 32]).public().thumbprint();
        let entry = journal::Entry::new(later(1).seconds(), Role::Origin, key);
        place.folder.note(entry).unwrap();
    }
    let text = fs::read_to_string(place.folder.journal_file()).unwrap();
    assert_eq!(text.lines().count(), 32);
    fs::write(
        place.folder.journal_file(),
        [b"\xff junk\n".as_slice(), &text.as_bytes()[40..]].concat(),
    )
    .unwrap();
    place.revoke("origin", 0, later(1)).unwrap();
    place.revoke("origin", 0, later(1)).unwrap_err();
}

#[test]
fn few_places_for_revoked_keys_are_counted() {
    let mut place = Place::new();
    for seed in 1..4 {
        let stranger = SigningKey::from_seed(&[seed; 32]).public();
        let revocation = place.revoke(&stranger.to_string(), 0, later(1)).unwrap();
        assert_eq!(revocation.revoked, usize::from(seed));
    }
}
