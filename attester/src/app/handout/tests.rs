use std::{fs, path::Path};

use proto::{ids::Thumbprint, time::Seconds};
use rand::{SeedableRng, rngs::StdRng};
use tempfile::TempDir;

use super::*;
use crate::keys::Target;

const START: Timestamp = Timestamp::from_secs(1_800_000_000);
const HOUR: Duration = Duration::from_secs(3600);

/// A key folder and who follows it; time goes by itself.
struct Place {
    path: PathBuf,
    folder: KeyFolder,
    clock: Clock,
    rng: StdRng,
    all: watch::Receiver<Arc<Keys>>,
    origin: watch::Receiver<Arc<OriginKeys>>,
    session: watch::Receiver<Arc<SessionKeys>>,
    metrics: Arc<Metrics>,
    token: CancellationToken,
    _temporary: TempDir,
}

impl Place {
    fn start() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("keys");
        let mut rng = StdRng::seed_from_u64(5);
        let keys = Keys::create(&path, &mut rng, START).unwrap();
        let handout = Handout::of(keys, path.clone());
        let (clock, token) = (Clock::manual(START), CancellationToken::new());
        let metrics = Arc::<Metrics>::default();
        let place = Self {
            folder: KeyFolder::new(&path),
            path,
            clock: clock.clone(),
            rng,
            all: handout.all.subscribe(),
            origin: handout.origin.subscribe(),
            session: handout.session.subscribe(),
            metrics: Arc::clone(&metrics),
            token: token.clone(),
            _temporary: temporary,
        };
        tokio::spawn(handout.follow(clock, metrics, token));
        place
    }

    fn rotate(&mut self, role: Role) -> Thumbprint {
        let rotated = self.folder.rotate(&[role], HOUR, None, &mut self.rng, self.clock.now());
        rotated.unwrap().keys[0].new
    }

    fn revoke(&mut self, role: Role) -> Thumbprint {
        let (target, ever) = (Target::Role(role), Seconds::new(0));
        let revoked = self.folder.revoke(&target, ever, None, &mut self.rng, self.clock.now());
        revoked.unwrap().key
    }

    /// Whether what the folder says is in use, as the metric tells.
    fn is_used(&self) -> bool {
        self.metrics.text().contains("attester_key_folder_used{} 1")
    }

    /// Lets an hour of looks go by, one of which tidies up.
    async fn an_hour(&self) {
        tokio::time::sleep(HOUR + LOOKED_AT * 2).await;
    }

    /// What is handed out next.
    async fn next(&mut self) -> Arc<Keys> {
        self.all.changed().await.unwrap();
        Arc::clone(&self.all.borrow_and_update())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.token.cancel();
    }
}

fn id(keys: &Keys, role: Role) -> Thumbprint {
    keys.of(role).public().thumbprint()
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_new_key_is_known_everywhere_before_it_signs() {
    for role in [Role::Attester, Role::Origin, Role::Prober] {
        let mut place = Place::start();
        let old = id(&place.all.borrow(), role);
        // Every level is watched from a task of its own; a single thread runs, so each sees what was sent before it.
        let (mut all, origin, session) = (place.all.clone(), place.origin.clone(), place.session.clone());
        let seen = tokio::spawn(async move {
            all.changed().await.unwrap();
            let keys = Arc::clone(&all.borrow());
            (id(&keys, role), keys, origin.borrow().clone(), session.borrow().clone())
        });
        let new = place.rotate(role);
        let (signs, keys, origin, session) = seen.await.unwrap();
        assert!(signs == new && signs != old);
        assert_eq!(origin.keyset, keys.keyset);
        assert_eq!(session.keyset, keys.keyset_bytes);
        assert_eq!(origin.origin.public(), keys.origin.public());
        assert_eq!(session.attester.public(), keys.attester.public());
    }
}

#[tokio::test(start_paused = true)]
async fn files_that_cannot_be_used_change_nothing() {
    let place = Place::start();
    let before = Arc::clone(&place.all.borrow());
    let prober = place.path.join("prober.key");
    let text = fs::read_to_string(&prober).unwrap();
    write(&prober, &text[..text.len() / 2]);
    let keyset = fs::read(place.folder.keyset_file()).unwrap();
    fs::remove_file(place.folder.root_file()).unwrap();
    write(&place.folder.keyset_file(), "half");
    tokio::time::sleep(HOUR * 3).await;
    assert!(!place.all.has_changed().unwrap() && place.all.borrow().are(&before));

    // What is repaired is used.
    fs::write(place.folder.keyset_file(), keyset).unwrap();
    write(&prober, &text);
    tokio::time::sleep(HOUR).await;
    assert!(!place.all.has_changed().unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_revoked_key_does_not_sign_once_more() {
    let mut place = Place::start();
    let (role, old) = (Role::Attester, id(&place.all.borrow(), Role::Attester));
    let (target, ever) = (Target::Role(role), Seconds::new(0));
    let revoked = place.folder.revoke(&target, ever, None, &mut place.rng, START).unwrap();
    assert_eq!(revoked.key, old);
    let keys = place.next().await;
    assert_eq!(Some(id(&keys, role)), revoked.replaced.map(|replaced| replaced.new));
    assert!(keys.keyset.revoked_since(old).is_some());
}

#[tokio::test(start_paused = true)]
async fn keys_whose_time_is_over_leave_the_folder() {
    let mut place = Place::start();
    let new = place.rotate(Role::Origin);
    let keys = place.next().await;
    assert_eq!(id(&keys, Role::Origin), new);
    let second = place.folder.list(START).unwrap().keys;
    let second = second
        .into_iter()
        .find(|listed| listed.key == new)
        .unwrap()
        .path
        .unwrap();
    place.clock.advance(HOUR * 2);
    while second.exists() {
        tokio::time::sleep(LOOKED_AT).await;
    }
    assert!(!place.all.has_changed().unwrap());
    assert_eq!(
        id(&Keys::load(&place.path, place.clock.now()).unwrap(), Role::Origin),
        new
    );
}

#[tokio::test(start_paused = true)]
async fn a_keyset_in_the_second_half_of_its_life_is_signed_anew() {
    let mut place = Place::start();
    let before = place.all.borrow().expires();
    place.clock.advance(HOUR * 24 * 16);
    assert!(place.next().await.expires() > before);
}

/// `sudo attester keys revoke`, by a program that left files which the attester may not read.
#[cfg(unix)]
#[tokio::test(start_paused = true)]
async fn a_keyset_that_cannot_be_read_is_neither_replaced_nor_forgotten() {
    let mut place = Place::start();
    let key = place.revoke(Role::Attester);
    let before = place.next().await;
    let (file, aside) = (place.folder.keyset_file(), place.path.join("aside"));
    fs::rename(&file, &aside).unwrap();
    // Not even root reads this.
    std::os::unix::fs::symlink(&file, &file).unwrap();
    for _ in 0..3 {
        place.an_hour().await;
        assert!(fs::read_link(&file).is_ok() && !place.is_used());
    }
    assert!(place.all.borrow().are(&before));
    fs::rename(&aside, &file).unwrap();
    place.an_hour().await;
    assert!(place.is_used() && place.all.borrow().keyset.revoked_since(key).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_keyset_that_is_lost_is_signed_again_with_what_it_revoked() {
    let mut place = Place::start();
    let key = place.revoke(Role::Origin);
    place.next().await;
    fs::remove_file(place.folder.keyset_file()).unwrap();
    let keys = place.next().await;
    assert!(keys.keyset.revoked_since(key).is_some());
    assert!(Keys::load(&place.path, START).unwrap().are(&keys));
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_is_put_back_does_not_undo_a_revocation() {
    let mut place = Place::start();
    let read = |place: &Place| {
        let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().path();
        let paths = fs::read_dir(&place.path).unwrap().map(name);
        let files: Vec<_> = paths.map(|path| (fs::read(&path).unwrap(), path)).collect();
        files
    };
    let copy = read(&place);
    let key = place.revoke(Role::Attester);
    let revoking = place.next().await;
    assert!(place.is_used());
    for (bytes, path) in &copy {
        fs::write(path, bytes).unwrap();
    }
    place.an_hour().await;
    assert!(!place.is_used() && place.all.borrow().are(&revoking));
    // In the second half of its life it would be signed anew, and be the newest of all.
    place.clock.advance(HOUR * 24 * 16);
    place.an_hour().await;
    assert!(!place.is_used() && place.all.borrow().are(&revoking));
    assert!(!place.all.has_changed().unwrap());
    let target = Target::Key(key.to_string());
    let (ever, now) = (Seconds::new(0), place.clock.now());
    place.folder.revoke(&target, ever, None, &mut place.rng, now).unwrap();
    let keys = place.next().await;
    assert!(place.is_used() && keys.keyset.revoked_since(key).is_some());
}
