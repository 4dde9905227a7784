//! A keyset that is lost, cannot be read, or was put back from a copy: what was revoked stays so.

use super::*;

/// A folder whose keyset revokes a key, and these keys as they are in use.
fn revoking() -> (Place, Keys, Thumbprint) {
    let mut place = Place::new();
    let key = place.revoke("attester", 0, later(1)).unwrap().key;
    let used = place.load(later(1));
    (place, used, key)
}

/// Puts something in the keyset's place that not even root can read.
#[cfg(unix)]
fn make_unreadable(place: &Place) {
    let file = place.folder.keyset_file();
    fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink(&file, &file).unwrap();
}

#[cfg(unix)]
#[test]
fn a_keyset_that_cannot_be_read_is_not_replaced() {
    let (mut place, used, _) = revoking();
    make_unreadable(&place);
    let is_there = |place: &Place| fs::read_link(place.folder.keyset_file()).is_ok();
    let late = later(24 * 40);
    let errors = [
        Keys::load(&place.path, later(2)).unwrap_err(),
        used.look(&place.path, later(2)).unwrap_err(),
        used.keep(&place.path, late).unwrap_err(),
        place.folder.sign(None, IfLost::StartAfresh, later(2)).unwrap_err(),
        place
            .folder
            .rotate(&ALL, HOUR, None, &mut place.rng, later(2))
            .unwrap_err(),
        place.revoke("origin", 0, later(2)).unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, KeysError::NoKeyset { .. }), "{error}");
        assert!(is_there(&place));
    }
}

#[test]
fn a_folder_in_the_keysets_place_is_not_one_that_is_lost() {
    let (place, used, _) = revoking();
    fs::remove_file(place.folder.keyset_file()).unwrap();
    fs::create_dir(place.folder.keyset_file()).unwrap();
    let error = Keys::load(&place.path, later(2)).unwrap_err();
    assert!(matches!(error, KeysError::NoKeyset { .. }), "{error}");
    used.keep(&place.path, later(2)).unwrap_err();
    assert!(place.folder.keyset_file().is_dir());
}

#[test]
fn who_has_not_known_a_lost_keyset_signs_none_unless_a_person_says_so() {
    let spoil: [fn(&Path); 2] = [
        |path| fs::remove_file(path).unwrap(),
        |path| fs::write(path, "half").unwrap(),
    ];
    for spoil in spoil {
        let (mut place, _, key) = revoking();
        let file = place.folder.keyset_file();
        spoil(&file);
        let before = fs::read(&file).ok();
        let errors = [
            Keys::load(&place.path, later(2)).unwrap_err(),
            place.folder.list(later(2)).unwrap_err(),
            place.folder.sign(None, IfLost::Refuse, later(2)).unwrap_err(),
            place.revoke("origin", 0, later(2)).unwrap_err(),
        ];
        for error in errors {
            assert!(error.to_string().contains("attester keys sign --afresh"), "{error}");
        }
        assert_eq!(fs::read(&file).ok(), before);

        let signed = place.folder.sign(None, IfLost::StartAfresh, later(2)).unwrap();
        assert!(signed.revoked.is_empty());
        // It is not asked for what is there.
        place.revoke(&key.to_string(), 0, later(2)).unwrap();
        let signed = place.folder.sign(None, IfLost::StartAfresh, later(3)).unwrap();
        assert!(signed.revoked_since(key).is_some());
    }
}

#[test]
fn who_has_a_lost_keyset_in_use_goes_on_from_it() {
    let spoil: [fn(&Path); 2] = [
        |path| fs::remove_file(path).unwrap(),
        |path| fs::write(path, "half").unwrap(),
    ];
    for spoil in spoil {
        let (place, used, key) = revoking();
        spoil(&place.folder.keyset_file());
        used.look(&place.path, later(2)).unwrap_err();
        let kept = used.keep(&place.path, later(2)).unwrap();
        assert_eq!(kept.keyset.revoked_since(key), Some(Seconds::new(0)));
        assert_eq!(id(&kept.attester), id(&used.attester));
        assert!(kept.keyset.issued_at > used.keyset.issued_at);
        assert!(place.load(later(2)).are(&kept));
    }
}

#[test]
fn a_keyset_that_takes_something_back_is_not_followed() {
    let mut place = Place::new();
    let old = fs::read(place.folder.keyset_file()).unwrap();
    let private = fs::read(place.path.join("attester.key")).unwrap();
    let key = place.revoke("attester", 60, later(1)).unwrap().key;
    let used = place.load(later(1));

    // A copy from before the revocation is put back.
    fs::write(place.folder.keyset_file(), old).unwrap();
    fs::write(place.path.join("attester.key"), private).unwrap();
    for at in [later(2), later(24 * 29)] {
        for error in [
            used.look(&place.path, at).unwrap_err(),
            used.keep(&place.path, at).unwrap_err(),
        ] {
            assert!(matches!(error, KeysError::Older { .. }), "{error}");
        }
    }
    // Signed again it is newer, and still takes the revocation back.
    place.folder.sign(None, IfLost::Refuse, later(3)).unwrap();
    let error = used.look(&place.path, later(3)).unwrap_err();
    let remedy = format!("attester keys revoke {key} --since 60");
    assert!(error.to_string().contains(&remedy), "{error}");
    used.keep(&place.path, later(3)).unwrap_err();
    place.revoke(&key.to_string(), 61, later(3)).unwrap();
    used.look(&place.path, later(3)).unwrap_err();
    place.revoke(&key.to_string(), 60, later(3)).unwrap();
    assert!(
        used.look(&place.path, later(3))
            .unwrap()
            .keyset
            .revoked_since(key)
            .is_some()
    );
}

#[cfg(unix)]
#[test]
fn what_is_written_belongs_to_whoever_has_the_folder() {
    use std::os::unix::fs::{MetadataExt, chown};

    let mut place = Place::new();
    // Only root can give files away, and only for root it matters: everybody else has made the folder.
    let is_root = fs::metadata(&place.path).unwrap().uid() == 0;
    if is_root {
        for name in place.files() {
            chown(place.path.join(name), Some(4711), Some(4712)).unwrap();
        }
        fs::remove_file(place.path.join("keys.lock")).unwrap();
        chown(&place.path, Some(4711), Some(4712)).unwrap();
    }
    let folder = fs::metadata(&place.path).unwrap();
    place.folder.stage(Role::Prober, &mut place.rng).unwrap();
    place.revoke("attester", 0, later(1)).unwrap();
    place.rotate(&ALL, later(2));
    let mut files = place.files();
    files.retain(|name| name != "root.key" && name != "root.pub");
    assert!(files.len() >= 8, "{files:?}");
    for name in files {
        let file = fs::metadata(place.path.join(&name)).unwrap();
        assert_eq!((file.uid(), file.mode() & 0o777), (folder.uid(), 0o600), "{name}");
    }
}
