#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use proto::claims::Link;
use rand::{SeedableRng, rngs::StdRng};
use tempfile::TempDir;

use super::*;
use crate::{
    AgentError,
    identity::{Identity, Opened, successions, successions_file},
};

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

struct Home {
    folder: TempDir,
    rng: StdRng,
}

impl Home {
    fn new() -> Self {
        let home = Self {
            folder: tempfile::tempdir().unwrap(),
            rng: StdRng::seed_from_u64(1),
        };
        let key = SigningKey::from_seed(&[1; 32]);
        key.write_new(&home.path()).unwrap();
        home
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("peer.key")
    }

    fn rotate(&mut self) -> Rotated {
        rotate(&self.path(), NOW, &mut self.rng).unwrap()
    }

    /// What an agent starts with.
    fn open(&self) -> Opened {
        let opened = Identity::File(self.path()).open(&mut StdRng::seed_from_u64(9)).unwrap();
        // Whatever it starts with is a chain that ends at its key.
        Chain::verify(opened.successions.clone(), &opened.key.public()).unwrap();
        opened
    }

    fn links(&self) -> Vec<Link> {
        successions(&self.path(), &self.open().key.public()).unwrap()
    }

    fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

fn first() -> PublicKey {
    SigningKey::from_seed(&[1; 32]).public()
}

#[test]
fn an_identity_moves_and_its_old_key_is_kept() {
    let mut home = Home::new();
    let rotated = home.rotate();
    assert_eq!((rotated.old, rotated.moves, rotated.resumed), (first(), 1, false));
    assert_eq!(home.open().key.public(), rotated.new);
    assert_ne!(rotated.new, first());
    assert_eq!(SigningKey::read(&rotated.kept).unwrap().public(), first());
    let links = home.links();
    assert_eq!((links.len(), links[0].old, links[0].new), (1, first(), rotated.new));
    let kept = format!("peer.key.{}.old", first().peer_id());
    assert_eq!(home.files(), ["peer.key", &kept, "peer.key.successions"]);
    #[cfg(unix)]
    for name in home.files() {
        let mode = std::fs::metadata(home.folder.path().join(&name)).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::mode(&mode.permissions());
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn several_moves_are_a_chain_of_the_latest() {
    let mut home = Home::new();
    let moves: Vec<Rotated> = (0..6).map(|_| home.rotate()).collect();
    assert!(moves.windows(2).all(|two| two[0].new == two[1].old));
    assert_eq!(
        moves.iter().map(|rotated| rotated.moves).collect::<Vec<_>>(),
        [1, 2, 3, 4, 4, 4]
    );
    let links = home.links();
    assert_eq!(links.len(), Chain::MAX_LINKS);
    assert_eq!((links[0].old, links[3].new), (moves[2].old, moves[5].new));
}

/// The steps of a rotation, of which the first `done` are done when it is killed.
fn killed_after(home: &mut Home, done: usize) {
    let path = home.path();
    killed(Rotation::begin(&path, NOW, &mut home.rng).unwrap(), done);
}

fn killed(rotation: Rotation, done: usize) {
    if done > 0 {
        rotation.write_chain().unwrap();
    }
    if done > 1 {
        rotation.keep_old().unwrap();
    }
    if done > 2 {
        rotation.put_new_in_place().unwrap();
    }
}

#[test]
fn whenever_it_is_killed_an_agent_starts_and_the_next_try_finishes() {
    for earlier in 0..=Chain::MAX_LINKS {
        for done in 0..=3 {
            let mut home = Home::new();
            for _ in 0..earlier {
                home.rotate();
            }
            let before = home.open().key.public();
            killed_after(&mut home, done);
            let opened = home.open();
            let moved = opened.key.public() != before;
            assert_eq!(moved, done == 3, "{done} steps");
            let expected = (earlier + usize::from(moved)).min(Chain::MAX_LINKS);
            // One of four was dropped for the new one, before that had its place.
            let fewer = usize::from(!moved && done > 0 && earlier == Chain::MAX_LINKS);
            assert_eq!(
                opened.successions.len(),
                expected - fewer,
                "{earlier} moves, {done} steps"
            );
            let end = opened.key.public();
            drop(opened);

            let again = home.rotate();
            assert_eq!(again.resumed, !moved, "{done} steps");
            assert_eq!(again.old, end);
            let links = home.links();
            assert_eq!(links.last().unwrap().new, again.new);
            assert_eq!(links.last().unwrap().old, end);
            assert_eq!(SigningKey::read(&again.kept).unwrap().public(), end);
            assert!(
                home.files()
                    .iter()
                    .all(|name| !name.ends_with(".new") && !name.ends_with(".tmp"))
            );
        }
    }
}

#[test]
fn half_written_files_are_written_again() {
    let mut home = Home::new();
    let (new, unfinished) = (new_file(&home.path()), beside(&successions_file(&home.path()), ".tmp"));
    std::fs::write(&new, "-----BEGIN PRIV").unwrap();
    std::fs::write(&unfinished, "# half of it").unwrap();
    assert_eq!(home.open().key.public(), first());
    let rotated = home.rotate();
    assert!(!rotated.resumed);
    assert_eq!(home.links().len(), 1);
    // A new key that is in its place already is no new key.
    let copy = SigningKey::read(&home.path()).unwrap();
    copy.write_new(&new).unwrap();
    let again = home.rotate();
    assert!(!again.resumed);
    assert_ne!(again.new, rotated.new);
}

#[test]
fn a_new_key_that_was_lost_is_replaced_by_another() {
    let mut home = Home::new();
    killed_after(&mut home, 2);
    std::fs::remove_file(new_file(&home.path())).unwrap();
    let rotated = home.rotate();
    let links = home.links();
    assert_eq!((links.len(), links[0].old, links[0].new), (1, first(), rotated.new));
}

#[test]
fn an_identity_in_use_is_not_moved_and_one_that_is_moved_not_used() {
    let mut home = Home::new();
    let path = home.path();
    let opened = home.open();
    assert!(matches!(
        rotate(&path, NOW, &mut home.rng),
        Err(RotateError::InUse { .. })
    ));
    // Two agents may share it.
    drop(home.open());
    drop(opened);
    let rotation = Rotation::begin(&path, NOW, &mut home.rng).unwrap();
    assert!(matches!(
        rotate(&path, NOW, &mut StdRng::seed_from_u64(3)),
        Err(RotateError::InUse { .. })
    ));
    let opened = Identity::File(path.clone()).open(&mut StdRng::seed_from_u64(9));
    assert!(matches!(opened, Err(AgentError::Moving { .. })));
    drop(rotation);
    assert_eq!(home.rotate().old, first());
    assert!(matches!(
        rotate(&home.folder.path().join("none"), NOW, &mut home.rng),
        Err(RotateError::Missing { .. })
    ));
}

#[test]
fn a_spoilt_file_of_moves_is_told_with_its_line() {
    let mut home = Home::new();
    home.rotate();
    home.rotate();
    let (path, file) = (home.path(), successions_file(&home.path()));
    let key = home.open().key.public();
    let good = std::fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = good.lines().collect();
    assert_eq!(lines.len(), 4);
    let spoilt = [
        (good.replacen(' ', "  ", 1000).replace("#  ", "# "), Some(3)),
        (good.replace(lines[3], "one two"), Some(4)),
        (good.replace(lines[2], &lines[2][..40]), Some(3)),
        (good.replace(lines[2], &format!("{}A", lines[2])), Some(3)),
        // The first move is gone: what is left is still a chain, and one in another order is none.
        (format!("{}\n{}\n{}\n", lines[3], lines[2], lines[3]), None),
    ];
    for (text, line) in spoilt {
        std::fs::write(&file, &text).unwrap();
        match (successions(&path, &key), line) {
            (Err(ChainError::Line { line: found, .. }), Some(line)) => assert_eq!(found, line, "{text}"),
            (Err(ChainError::Chain { .. }), None) => {}
            (other, _) => panic!("{other:?} for {text}"),
        }
        let error = Identity::File(path.clone())
            .open(&mut StdRng::seed_from_u64(9))
            .err()
            .unwrap();
        assert!(matches!(error, AgentError::Successions(_)));
    }
    std::fs::write(&file, "x".repeat(70_000)).unwrap();
    assert!(matches!(successions(&path, &key), Err(ChainError::Read { .. })));
    // Of another identity: as if there were none.
    std::fs::write(&file, &good).unwrap();
    let other = SigningKey::from_seed(&[7; 32]).public();
    assert!(successions(&path, &other).unwrap().is_empty());
    std::fs::remove_file(&file).unwrap();
    assert!(successions(&path, &key).unwrap().is_empty());
}

/// The agent has opened the file, and before it has a lock the identity is moved, from the first step to the last.
#[cfg(unix)]
#[test]
fn what_is_held_is_the_file_that_has_the_name_now() {
    let mut home = Home::new();
    let path = home.path();
    let mut moved = None;
    let shared = hold(&path, |file| {
        moved.get_or_insert_with(|| home.rotate());
        file.try_lock_shared()
    });
    assert!(matches!(shared, Ok(Hold::Held(_))) && moved.is_some());
    let again = rotate(&path, NOW, &mut home.rng);
    assert!(matches!(again, Err(RotateError::InUse { .. })), "{again:?}");
    drop(shared);

    let mut moved = None;
    let alone = hold(&path, |file| {
        moved.get_or_insert_with(|| home.rotate());
        file.try_lock()
    });
    assert!(matches!(alone, Ok(Hold::Held(_))) && moved.is_some());
    let opened = Identity::File(path.clone()).open(&mut StdRng::seed_from_u64(9));
    assert!(matches!(opened, Err(AgentError::Moving { .. })));

    // Who is never quick enough is told that it is in use.
    drop(alone);
    let never = hold(&path, |file| {
        home.rotate();
        file.try_lock()
    });
    assert!(matches!(never, Ok(Hold::Busy)));
}

#[cfg(unix)]
#[test]
fn a_link_stays_a_link_and_the_file_that_it_leads_to_is_moved() {
    let mut home = Home::new();
    let store = home.folder.path().join("store");
    std::fs::create_dir(&store).unwrap();
    let real = store.join("identity");
    std::fs::rename(home.path(), &real).unwrap();
    std::os::unix::fs::symlink("store/identity", home.path()).unwrap();
    for step in 0..=3 {
        let before = home.open().key.public();
        killed_after_link(&mut home, step);
        home.open();
        assert_eq!(is_moving(&home.path()), step < 3, "{step} steps");
        let rotated = home.rotate();
        assert_eq!(rotated.old == before, step < 3, "{step} steps");
        assert!(home.path().symlink_metadata().unwrap().is_symlink());
        assert_eq!(SigningKey::read(&real).unwrap().public(), rotated.new);
        assert!(rotated.kept.symlink_metadata().unwrap().is_file());
        assert_eq!(SigningKey::read(&rotated.kept).unwrap().public(), rotated.old);
        assert_eq!(home.links().last().unwrap().new, rotated.new);
    }
    // Nothing of it is beside the link.
    assert_eq!(home.files(), ["peer.key", "store"]);
}

/// As [`killed_after`], of the file that the link leads to.
#[cfg(unix)]
fn killed_after_link(home: &mut Home, done: usize) {
    let path = resolved(&home.path());
    let rotation = Rotation::begin(&path, NOW, &mut home.rng).unwrap();
    killed(rotation, done);
}
