use std::{
    fs,
    path::{Path, PathBuf},
};

use proto::{checked::Signed, key::KeyError};
use rand::{SeedableRng, rngs::StdRng};
use tempfile::TempDir;

use super::*;

fn created() -> (TempDir, PathBuf, Keys) {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("state").join("keys");
    let keys = Keys::create(&folder, &mut StdRng::seed_from_u64(5), START).unwrap();
    (temporary, folder, keys)
}

fn after(days: u64) -> Timestamp {
    START.plus(Duration::from_secs(days * DAY))
}

#[test]
fn keys_come_back_and_are_never_overwritten() {
    let (_temporary, folder, keys) = created();
    let again = Keys::load(&folder, after(14)).unwrap();
    assert_eq!(again.keyset_bytes, keys.keyset_bytes);
    assert_eq!(
        (again.root_public, again.keyset.clone()),
        (keys.root_public, keys.keyset.clone())
    );
    for (role, key) in [
        (Role::Attester, &again.attester),
        (Role::Origin, &again.origin),
        (Role::Prober, &again.prober),
    ] {
        assert_eq!(
            again.keyset.key(role, key.public().thumbprint(), START).unwrap(),
            key.public()
        );
    }
    let signed = Signed::<Keyset>::parse(&again.keyset_bytes)
        .unwrap()
        .verify(&again.root_public)
        .unwrap();
    assert_eq!(signed.at(START, Duration::ZERO).unwrap(), keys.keyset);
    assert_eq!(keys.expires(), after(30));

    for name in [ROOT, ROOT_PUBLIC, ATTESTER, ORIGIN, PROBER, KEYSET] {
        let other = tempfile::tempdir().unwrap();
        fs::copy(folder.join(name), other.path().join(name)).unwrap();
        let before = fs::read(other.path().join(name)).unwrap();
        let error = Keys::create(other.path(), &mut StdRng::seed_from_u64(6), START).unwrap_err();
        assert!(
            matches!(&error, KeysError::Exists { path } if path.ends_with(name)),
            "{error}"
        );
        assert_eq!(fs::read(other.path().join(name)).unwrap(), before);
        assert_eq!(
            fs::read_dir(other.path()).unwrap().count(),
            1,
            "nothing else is written"
        );
    }
}

#[test]
fn passing_keys_are_a_whole_set_and_are_kept_nowhere() {
    let mut rng = StdRng::seed_from_u64(7);
    let keys = Keys::passing(&mut rng, START).unwrap();
    let signed = Signed::<Keyset>::parse(&keys.keyset_bytes).unwrap();
    let keyset = signed
        .verify(&keys.root_public)
        .unwrap()
        .at(START, Duration::ZERO)
        .unwrap();
    assert_eq!(keyset, keys.keyset);
    for role in Role::ALL {
        let key = keys.of(*role).public();
        assert_eq!(keyset.key(*role, key.thumbprint(), START).unwrap(), key);
    }
    let others = Keys::passing(&mut rng, START).unwrap();
    assert!(others.root_public != keys.root_public && others.attester.public() != keys.attester.public());
}

/// What works beside an attester changes nothing of it.
#[test]
fn keys_are_read_as_they_are() {
    let (_temporary, folder, keys) = created();
    let read = Keys::as_they_are(&folder, after(16)).unwrap();
    assert!(read.are(&keys) && read.are_old(after(16)), "it was not signed again");
    assert_eq!(fs::read(folder.join(KEYSET)).unwrap(), keys.keyset_bytes);
    assert!(matches!(
        Keys::as_they_are(&folder, after(30)),
        Err(KeysError::Keyset { .. })
    ));
    fs::remove_file(folder.join(KEYSET)).unwrap();
    assert!(matches!(Keys::as_they_are(&folder, START), Err(KeysError::Lost { .. })));
    assert!(!folder.join(KEYSET).exists());
}

#[cfg(unix)]
#[test]
fn only_the_owner_reads_them() {
    use std::os::unix::fs::PermissionsExt;

    let (_temporary, folder, _) = created();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
    fs::set_permissions(folder.join(PROBER), fs::Permissions::from_mode(0o644)).unwrap();
    let error = Keys::load(&folder, START).unwrap_err();
    assert!(
        matches!(
            error,
            KeysError::Key {
                source: KeyError::Permissions { .. }
            }
        ),
        "{error}"
    );
}

#[test]
fn the_keyset_is_renewed_when_half_its_life_is_over() {
    let (_temporary, folder, keys) = created();
    let renewed = Keys::load(&folder, after(16)).unwrap();
    assert_eq!(renewed.expires(), after(46));
    assert_eq!(renewed.attester.public(), keys.attester.public());
    assert_eq!(
        Keys::load(&folder, after(17)).unwrap().keyset_bytes,
        renewed.keyset_bytes,
        "it was stored"
    );
    assert_eq!(
        Keys::load(&folder, after(400)).unwrap().expires(),
        after(430),
        "also after its end"
    );
    assert!(!folder.join("keyset.cose.new").exists());
}

#[test]
fn without_the_root_key_a_keyset_lasts_until_its_end() {
    let (_temporary, folder, keys) = created();
    let elsewhere = folder.join("../root.key.elsewhere");
    fs::rename(folder.join(ROOT), &elsewhere).unwrap();
    let late = Keys::load(&folder, after(29)).unwrap();
    assert_eq!(
        (late.keyset_bytes, late.root_public),
        (keys.keyset_bytes, keys.root_public)
    );
    let error = Keys::load(&folder, after(30)).unwrap_err();
    assert!(
        matches!(&error, KeysError::NoRoot { source, .. } if matches!(**source, KeysError::Keyset { source: ClaimError::Expired { .. }, .. })),
        "{error}"
    );
    assert!(error.to_string().contains("put the root key at"), "{error}");
    fs::rename(&elsewhere, folder.join(ROOT)).unwrap();
    assert_eq!(Keys::load(&folder, after(30)).unwrap().expires(), after(60));
}

#[test]
fn a_keyset_of_other_keys_or_another_root_is_not_used() {
    let (_temporary, folder, keys) = created();
    let root = folder.join(ROOT);
    let aside = folder.join("../aside.key");
    fs::rename(&root, &aside).unwrap();
    fs::remove_file(folder.join(PROBER)).unwrap();
    SigningKey::from_seed(&[9; 32]).write_new(&folder.join(PROBER)).unwrap();
    assert!(matches!(Keys::load(&folder, START), Err(KeysError::NoRoot { .. })));
    fs::rename(&aside, &root).unwrap();
    let renewed = Keys::load(&folder, START).unwrap();
    assert_ne!(renewed.keyset_bytes, keys.keyset_bytes);

    fs::remove_file(&root).unwrap();
    SigningKey::from_seed(&[8; 32]).write_new(&root).unwrap();
    let error = Keys::load(&folder, START).unwrap_err();
    assert!(matches!(&error, KeysError::RootPublic { .. }), "{error}");
    fs::remove_file(folder.join(ROOT_PUBLIC)).unwrap();
    let error = Keys::load(&folder, START).unwrap_err();
    assert!(matches!(&error, KeysError::Lost { .. }), "{error}");
    KeyFolder::new(&folder).sign(None, IfLost::StartAfresh, START).unwrap();
    assert_eq!(
        Keys::load(&folder, START).unwrap().root_public,
        SigningKey::from_seed(&[8; 32]).public()
    );
    fs::remove_file(folder.join(ORIGIN)).unwrap();
    assert!(matches!(
        Keys::load(&folder, START),
        Err(KeysError::NoKey { role: Role::Origin, .. })
    ));
}

const START: Timestamp = Timestamp::from_secs(1_800_000_000);
const ROOT: &str = "root.key";
const ROOT_PUBLIC: &str = "root.pub";
const ATTESTER: &str = "attester.key";
const ORIGIN: &str = "origin.key";
const PROBER: &str = "prober.key";
const KEYSET: &str = "keyset.cose";
