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
        let place = Self {
            folder: KeyFolder::new(&path),
            path,
            clock: clock.clone(),
            rng,
            all: handout.all.subscribe(),
            origin: handout.origin.subscribe(),
            session: handout.session.subscribe(),
            token: token.clone(),
            _temporary: temporary,
        };
        tokio::spawn(handout.follow(clock, token));
        place
    }

    fn rotate(&mut self, role: Role) -> Thumbprint {
        let rotated = self.folder.rotate(&[role], HOUR, None, &mut self.rng, self.clock.now());
        rotated.unwrap()[0].new
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
