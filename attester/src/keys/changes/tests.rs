use std::fs;

use rand::{SeedableRng, rngs::StdRng};
use tempfile::TempDir;

use super::{super::KeyState, *};

mod lost;
mod twice;

/// A folder of keys and a generator that goes on.
struct Place {
    folder: KeyFolder,
    path: PathBuf,
    rng: StdRng,
    _temporary: TempDir,
}

const START: Timestamp = Timestamp::from_secs(1_800_000_000);
const HOUR: Duration = Duration::from_secs(3600);
const ALL: [Role; 3] = [Role::Attester, Role::Origin, Role::Prober];

fn later(hours: u32) -> Timestamp {
    START.plus(HOUR * hours)
}

impl Place {
    fn new() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("keys");
        let mut rng = StdRng::seed_from_u64(5);
        Keys::create(&path, &mut rng, START).unwrap();
        Self {
            folder: KeyFolder::new(&path),
            path,
            rng,
            _temporary: temporary,
        }
    }

    fn load(&self, now: Timestamp) -> Keys {
        Keys::load(&self.path, now).unwrap()
    }

    fn rotate(&mut self, roles: &[Role], now: Timestamp) -> Vec<Rotated> {
        let rotation = self.folder.rotate(roles, HOUR, None, &mut self.rng, now).unwrap();
        assert!(rotation.untidied.is_none(), "{:?}", rotation.untidied);
        rotation.keys
    }

    fn revoke(&mut self, name: &str, since: u64, now: Timestamp) -> Result<Revocation, KeysError> {
        let target = name.parse().unwrap();
        let since = Seconds::new(since);
        self.folder.revoke(&target, since, None, &mut self.rng, now)
    }

    fn states(&self, role: Role, now: Timestamp) -> Vec<KeyState> {
        let listing = self.folder.list(now).unwrap();
        let of_role = listing.keys.iter().filter(|listed| listed.role == Some(role));
        of_role.map(|listed| listed.state).collect()
    }

    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.path).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

fn id(key: &SigningKey) -> Thumbprint {
    key.public().thumbprint()
}

#[test]
fn after_a_rotation_the_new_key_signs_and_the_old_one_is_accepted_for_the_overlap() {
    for role in ALL {
        let mut place = Place::new();
        let before = place.load(START);
        let [rotated] = &place.rotate(&[role], later(1))[..] else {
            unreachable!("one role")
        };
        let after = place.load(later(1));
        assert_eq!(
            (rotated.old, rotated.new),
            (Some(id(before.of(role))), id(after.of(role)))
        );
        assert_eq!(rotated.until, Some(later(2)));
        for other in ALL {
            assert_eq!(id(after.of(other)) == id(before.of(other)), other != role, "{other}");
        }
        let listed = |at| after.keyset.key(role, id(before.of(role)), at);
        listed(START).unwrap();
        listed(later(2).minus(Duration::from_secs(1))).unwrap();
        listed(later(2)).unwrap_err();
        after.keyset.key(role, id(after.of(role)), START).unwrap();
        assert!(after.keyset.issued_at > before.keyset.issued_at);
        assert_eq!(
            place.states(role, later(1)),
            [KeyState::Signing, KeyState::AcceptedUntil(later(2).seconds())]
        );
        assert_eq!(
            place.states(role, later(3)),
            [KeyState::Signing, KeyState::Ended(later(2).seconds())]
        );
    }
}

#[test]
fn a_private_key_stays_as_long_as_it_may_be_needed_and_the_one_that_is_left_has_the_plain_name() {
    let mut place = Place::new();
    let plain = place.files();
    let [rotated] = &place.rotate(&[Role::Origin], later(1))[..] else {
        unreachable!("one role")
    };
    let second = rotated.path.file_name().unwrap().to_str().unwrap().to_owned();
    assert!(
        second.starts_with("origin.") && rotated.new.to_string().starts_with(&second[7..17]),
        "{second}"
    );
    assert_eq!(place.files().len(), plain.len() + 1);
    place.folder.tidy(later(1)).unwrap();
    assert!(place.files().contains(&second));
    place.folder.tidy(later(2)).unwrap();
    assert_eq!(place.files(), plain);
    assert_eq!(
        id(&SigningKey::read(&place.path.join("origin.key")).unwrap()),
        rotated.new
    );
    assert_eq!(id(&place.load(later(2)).origin), rotated.new);
}

#[test]
fn a_staged_key_waits_until_a_rotation_takes_it() {
    let mut place = Place::new();
    let before = place.load(START);
    let created = place.folder.stage(Role::Prober, &mut place.rng).unwrap();
    assert!(place.load(later(1)).are(&before), "nothing has changed");
    assert_eq!(
        place.states(Role::Prober, later(1)),
        [KeyState::Signing, KeyState::Waiting]
    );
    let error = place.folder.stage(Role::Prober, &mut place.rng).unwrap_err();
    assert!(error.to_string().contains("attester keys rotate prober"), "{error}");
    place.folder.tidy(later(1)).unwrap();

    let rotated = place.rotate(&ALL, later(1));
    assert_eq!(rotated.len(), 3);
    assert_eq!(rotated[2].new, created.public.thumbprint());
    assert_eq!(id(&place.load(later(1)).prober), created.public.thumbprint());
}

#[test]
fn whatever_a_crash_leaves_behind_works() {
    let mut place = Place::new();
    let before = place.load(START);
    // The key was written, the keyset was not: the key waits, and the next rotation takes it.
    let keyset = fs::read(place.folder.keyset_file()).unwrap();
    let rotated = place.rotate(&[Role::Attester], later(1));
    fs::write(place.folder.keyset_file(), &keyset).unwrap();
    assert!(place.load(later(1)).are(&before));
    let again = place.rotate(&[Role::Attester], later(1));
    assert_eq!(again[0].new, rotated[0].new);
    // Half a file beside the real ones is neither read nor in the way.
    fs::write(place.path.join("attester.key.new"), "half").unwrap();
    fs::write(place.path.join("keyset.cose.new"), "half").unwrap();
    place.rotate(&[Role::Attester], later(1));
    // The old key is removed, the rename did not happen.
    fs::remove_file(place.path.join("attester.key")).unwrap();
    let signs = id(&place.load(later(3)).attester);
    place.folder.tidy(later(3)).unwrap();
    assert_eq!(id(&SigningKey::read(&place.path.join("attester.key")).unwrap()), signs);
}

#[test]
fn revoking_the_key_that_signs_puts_another_in_its_place() {
    let mut place = Place::new();
    let (before, plain) = (place.load(START), place.files());
    let revocation = place.revoke("attester", 0, later(1)).unwrap();
    let after = place.load(later(1));
    let old = id(&before.attester);
    assert_eq!((revocation.key, revocation.role), (old, Some(Role::Attester)));
    assert_eq!(revocation.replaced.unwrap().new, id(&after.attester));
    for at in [START, later(1)] {
        let refused = after.keyset.key(Role::Attester, old, at).unwrap_err();
        assert!(matches!(refused, proto::ClaimError::Revoked { .. }), "{refused}");
    }
    let held = place.folder.held().unwrap();
    assert!(held.iter().all(|held| held.id() != old), "its private key is gone");
    let files = place.files();
    let files: Vec<_> = files.iter().filter(|name| *name != "revoked.log").collect();
    assert_eq!(files, plain.iter().collect::<Vec<_>>());

    // Revocations outlive renewals and rotations.
    place.rotate(&ALL, later(2));
    let renewed = place.load(later(24 * 20));
    assert_eq!(renewed.keyset.revoked_since(old), Some(Seconds::new(0)));
    let listing = place.folder.list(later(2)).unwrap();
    let listed = listing.keys.iter().find(|listed| listed.key == old).unwrap();
    assert_eq!(listed.state, KeyState::Revoked(Seconds::new(0)));
}

#[test]
fn any_key_can_be_revoked_by_its_name_from_a_time_on() {
    let mut place = Place::new();
    let before = place.load(START);
    let since = START.seconds().as_u64() + 60;
    let refused = |result: Result<Revocation, KeysError>| result.unwrap_err().to_string();
    assert!(refused(place.revoke("origin", later(2).seconds().as_u64(), later(1))).contains("time to come"));
    assert!(refused(place.revoke("zzzzzz", 0, later(1))).contains("keys list"));
    assert!(refused(place.revoke("", 0, later(1))).contains("keys list"));

    place.rotate(&[Role::Origin], later(1));
    let old = id(&before.origin);
    let revocation = place.revoke(&old.to_string()[..12], since, later(1)).unwrap();
    assert_eq!(
        (revocation.key, revocation.role, revocation.since.as_u64()),
        (old, Some(Role::Origin), since)
    );
    assert!(revocation.replaced.is_none(), "another signs");
    assert!(refused(place.revoke(&old.to_string(), since + 1, later(2))).contains("already"));
    place.revoke(&old.to_string(), since - 1, later(2)).unwrap();
    assert_eq!(
        place.load(later(2)).keyset.revoked_since(old),
        Some(Seconds::new(since - 1))
    );

    // A key that nobody here has ever seen.
    let stranger = SigningKey::from_seed(&[9; 32]).public();
    let revocation = place.revoke(&stranger.to_string(), 0, later(3)).unwrap();
    assert_eq!((revocation.key, revocation.role), (stranger.thumbprint(), None));
}

#[test]
fn no_more_keys_are_revoked_than_a_keyset_holds() {
    let mut place = Place::new();
    for seed in 0..Keyset::MAX_REVOKED {
        let stranger = SigningKey::from_seed(&[u8::try_from(seed).unwrap(); 32]).public();
        place.revoke(&stranger.to_string(), 0, later(1)).unwrap();
    }
    let keyset = place.load(later(1)).keyset_bytes;
    let error = place.revoke("attester", 0, later(1)).unwrap_err();
    assert!(error.to_string().contains("at most 24"), "{error}");
    assert_eq!(place.load(later(1)).keyset_bytes, keyset, "nothing has happened");
}

#[test]
fn many_rotations_leave_room_for_the_next_one() {
    let mut place = Place::new();
    for round in 1..40 {
        place.rotate(&ALL, later(round * 2));
        place.folder.tidy(later(round * 2)).unwrap();
    }
    let keys = place.load(later(80));
    assert_eq!(keys.keyset.keys.len(), Keyset::MAX_KEYS);
    // Within one overlap there is an end to it, and nothing breaks.
    let mut rotate = || place.folder.rotate(&ALL, HOUR, None, &mut place.rng, later(81));
    let last = (0..Keyset::MAX_KEYS).map(|_| rotate()).last().unwrap();
    assert!(matches!(last, Err(KeysError::Full { .. })));
    place.load(later(81));
}

#[test]
fn what_needs_the_root_key_says_so_and_takes_it_from_elsewhere() {
    let mut place = Place::new();
    let elsewhere = place.path.join("../usb.key");
    fs::rename(place.folder.root_file(), &elsewhere).unwrap();
    let before = place.load(START);
    let refusals = [
        place
            .folder
            .rotate(&ALL, HOUR, None, &mut place.rng, START)
            .unwrap_err(),
        place.revoke("origin", 0, START).unwrap_err(),
        place.folder.sign(None, IfLost::Refuse, START).unwrap_err(),
    ];
    for error in refusals {
        assert!(error.to_string().contains("--root FILE"), "{error}");
    }
    let stranger = place.path.join("../stranger.key");
    SigningKey::from_seed(&[7; 32]).write_new(&stranger).unwrap();
    let error = place.folder.sign(Some(&stranger), IfLost::Refuse, START).unwrap_err();
    assert!(matches!(error, KeysError::OtherRoot { .. }), "{error}");
    assert!(place.load(START).are(&before));

    let signed = place.folder.sign(Some(&elsewhere), IfLost::Refuse, later(240)).unwrap();
    assert_eq!(signed.expires.start(), later(240).plus(Keys::LIFE));
    let rotated = place
        .folder
        .rotate(&ALL, HOUR, Some(&elsewhere), &mut place.rng, later(240))
        .unwrap();
    assert_eq!(id(&place.load(later(240)).attester), rotated.keys[0].new);
    assert!(!place.folder.root_file().exists());
}

#[test]
fn a_newer_keyset_is_later_than_the_one_before_whatever_the_clock_says() {
    let mut place = Place::new();
    let mut last = place.load(START).keyset.issued_at;
    // The clock was a year ahead, and was set right.
    for now in [later(24 * 365), later(1), later(1)] {
        place.rotate(&[Role::Prober], now);
        let keyset = place.load(now).keyset;
        assert!(keyset.issued_at > last);
        last = keyset.issued_at;
    }
}

#[test]
fn an_overlap_lasts_for_a_probe_and_ends_before_the_keyset() {
    let mut place = Place::new();
    let plain = place.files();
    for overlap in [Duration::ZERO, Duration::from_secs(59), Keys::LIFE] {
        let refused = place.folder.rotate(&ALL, overlap, None, &mut place.rng, START);
        assert!(matches!(refused, Err(KeysError::Overlap)), "{overlap:?}");
    }
    assert_eq!(place.files(), plain);
}
