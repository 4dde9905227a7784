//! The attester's own keys, and the keyset by which the root vouches for them.
//!
//! `root.key` signs keysets and nothing else; it may be kept elsewhere, since `root.pub` beside it says which root the
//! agents pin. The keyset is signed again when half its life has passed and the root key is at hand.
//!
//! A key is *staged* when it is in the folder but in no keyset; it *signs* while the keyset lists it to its own end; it is
//! *accepted* while the keyset lists it to an earlier end, the overlap, because another has taken its place; and it may be
//! *revoked*, after which nothing that it signed counts ([`KeyFolder::rotate`], [`KeyFolder::revoke`]).

use std::{path::Path, time::Duration};

use proto::{
    ClaimError,
    claims::{Claim, KeyEntry, Keyset, Role},
    key::{PublicKey, SigningKey},
    time::Timestamp,
};
use rand::CryptoRng;

mod changes;
mod draft;
mod error;
mod folder;
mod journal;
mod listing;
mod target;

pub use changes::{Created, IfLost, Revocation, Rotated, Rotation};
pub use error::KeysError;
pub use folder::KeyFolder;
pub use listing::{KeyState, Listed, Listing};
pub use target::Target;

use draft::Draft;
use folder::Held;

/// The keys of a running attester.
#[derive(Clone, Debug)]
pub struct Keys {
    /// What agents pin.
    pub root_public: PublicKey,
    /// Signs welcomes, announcements, challenges and verdicts.
    pub attester: SigningKey,
    /// Signs statements.
    pub origin: SigningKey,
    /// Signs observations.
    pub prober: SigningKey,
    /// Which keys are valid now.
    pub keyset: Keyset,
    /// The same, signed by the root.
    pub keyset_bytes: Vec<u8>,
}

impl Keys {
    /// Makes all keys and the first keyset in `folder` (made with mode 0700). Nothing is ever overwritten.
    ///
    /// # Errors
    /// When one of the files exists, or the folder cannot be written.
    pub fn create(folder: &Path, rng: &mut impl CryptoRng, now: Timestamp) -> Result<Self, KeysError> {
        let folder = KeyFolder::new(folder);
        if let Some(path) = folder.occupied() {
            return Err(KeysError::Exists { path });
        }
        folder.create()?;
        let _lock = folder.lock()?;
        let root = SigningKey::generate(rng);
        folder.write_root(&root)?;
        let mut draft = Draft::first(now);
        for role in Role::ALL {
            let key = SigningKey::generate(rng);
            folder.write_key(&key, &folder.key_file(*role))?;
            draft.put_in(*role, key.public(), Duration::ZERO);
        }
        folder.publish(&draft, &root)?;
        Self::load_again(&folder, None, now)
    }

    /// Keys and a keyset that are kept nowhere: for one run of a program, whose word nobody else has to believe.
    ///
    /// # Errors
    /// When the keyset cannot be signed, which does not happen.
    pub fn passing(rng: &mut impl CryptoRng, now: Timestamp) -> Result<Self, ClaimError> {
        let root = SigningKey::generate(rng);
        let mut draft = Draft::first(now);
        let mut made = |role| {
            let key = SigningKey::generate(rng);
            draft.put_in(role, key.public(), Duration::ZERO);
            key
        };
        let (attester, origin, prober) = (made(Role::Attester), made(Role::Origin), made(Role::Prober));
        Ok(Self {
            root_public: root.public(),
            attester,
            origin,
            prober,
            keyset: draft.keyset(&root.public()),
            keyset_bytes: draft.sign(&root)?,
        })
    }

    /// Reads the keys and the keyset as they are, and changes nothing: for whoever works beside an attester.
    ///
    /// # Errors
    /// As [`Keys::load`], and when the keyset has ended, whether or not the root key is at hand.
    pub fn as_they_are(folder: &Path, now: Timestamp) -> Result<Self, KeysError> {
        Self::load_again(&KeyFolder::new(folder), None, now).map_err(KeysError::with_remedy)
    }

    /// Reads the keys and the keyset, which is signed again when it is old, has ended or does not list these keys, as long as
    /// the root key is at hand.
    ///
    /// # Errors
    /// When a file is missing, can be read by others or is damaged, the keyset too: nothing else knows what it revoked. When
    /// the keyset is not valid at `now` and the root key is not there to sign another.
    pub fn load(folder: &Path, now: Timestamp) -> Result<Self, KeysError> {
        Self::renewed(&KeyFolder::new(folder), IfLost::Refuse, now)
    }

    /// Reads the folder of these keys, which are in use, once more. A keyset that is old or lost is signed again, as long as
    /// the root key is at hand: what it revoked is known.
    ///
    /// # Errors
    /// As [`Keys::load`], and as [`Keys::look`].
    pub fn keep(&self, folder: &Path, now: Timestamp) -> Result<Self, KeysError> {
        Self::renewed(&KeyFolder::new(folder), IfLost::Continue(&self.keyset), now)
    }

    fn renewed(folder: &KeyFolder, lost: IfLost<'_>, now: Timestamp) -> Result<Self, KeysError> {
        let root = folder.root(None)?;
        let known = lost.known();
        let read = Self::read(folder, root.as_ref(), known, now);
        let cured = |why: &KeysError| why.is_cured_by_signing() || (known.is_some() && why.is_lost());
        match (read, root) {
            (Ok(keys), Some(root)) if is_old(&keys.keyset, now) => {
                // A folder that cannot be written now is no reason to stop while the old keyset holds.
                Ok(folder
                    .renew(&root, lost, now)
                    .and_then(|()| Self::load_again(folder, known, now))
                    .unwrap_or_else(|error| {
                        tracing::warn!(
                            error = &error as &dyn std::error::Error,
                            "the keyset is old and was not renewed"
                        );
                        keys
                    }))
            }
            (Ok(keys), _) => Ok(keys),
            (Err(why), Some(root)) if cured(&why) => {
                folder.renew(&root, lost, now)?;
                Self::load_again(folder, known, now)
            }
            (Err(why), None) if cured(&why) => Err(KeysError::NoRoot {
                keyset: folder.keyset_file(),
                root: folder.root_file(),
                source: Box::new(why),
            }),
            (Err(why), _) => Err(why.with_remedy()),
        }
    }

    /// Reads the folder of these keys, which are in use, once more, and changes nothing. A running attester calls this every
    /// few seconds and follows what it finds.
    ///
    /// # Errors
    /// As [`Keys::load`], when the keyset is older than the one in use, and when it lets a key count that the one in use
    /// revokes: a backup that was put back must not undo a revocation.
    pub fn look(&self, folder: &Path, now: Timestamp) -> Result<Self, KeysError> {
        Self::load_again(&KeyFolder::new(folder), Some(&self.keyset), now)
    }

    fn load_again(folder: &KeyFolder, known: Option<&Keyset>, now: Timestamp) -> Result<Self, KeysError> {
        let root = folder.root(None)?;
        Self::read(folder, root.as_ref(), known, now)
    }

    /// What the files say, without changing any; they must not take back what `known` says.
    fn read(
        folder: &KeyFolder,
        root: Option<&SigningKey>,
        known: Option<&Keyset>,
        now: Timestamp,
    ) -> Result<Self, KeysError> {
        let root_public = folder.root_public(root)?;
        let held = folder.held()?;
        for role in Role::ALL {
            if !held.iter().any(|held| held.role == *role) {
                return Err(KeysError::NoKey {
                    role: *role,
                    path: folder.key_file(*role),
                });
            }
        }
        let (keyset, keyset_bytes) = folder.keyset(&root_public)?;
        if let Some(known) = known {
            folder.follows(&keyset, known)?;
        }
        let path = folder.keyset_file();
        let refused = |source| KeysError::Keyset {
            path: path.clone(),
            source,
        };
        holds(&keyset, now).map_err(refused)?;
        let signer = |role| {
            signer(&keyset, &held, role, now)
                .map(|held| held.key.clone())
                .ok_or_else(
                    || match own(&held, role).and_then(|key| keyset.revoked_since(key.id())) {
                        Some(_) => KeysError::OnlyRevoked { role },
                        None => refused(ClaimError::UnknownKey { role: role.as_str() }),
                    },
                )
        };
        Ok(Self {
            attester: signer(Role::Attester)?,
            origin: signer(Role::Origin)?,
            prober: signer(Role::Prober)?,
            root_public,
            keyset,
            keyset_bytes,
        })
    }

    /// The key that signs for `role`.
    pub const fn of(&self, role: Role) -> &SigningKey {
        match role {
            Role::Attester => &self.attester,
            Role::Origin => &self.origin,
            Role::Prober => &self.prober,
        }
    }

    /// Whether these are the same keys and the same keyset.
    pub fn are(&self, other: &Self) -> bool {
        let same = |role: &Role| self.of(*role).public() == other.of(*role).public();
        self.keyset_bytes == other.keyset_bytes && Role::ALL.iter().all(same)
    }

    /// Whether less than half of the keyset's life remains: it should be signed again.
    pub fn are_old(&self, now: Timestamp) -> bool {
        is_old(&self.keyset, now)
    }

    /// Whether the keyset holds at `now`: if not, agents believe nothing, and nothing can be proved.
    pub fn hold(&self, now: Timestamp) -> bool {
        holds(&self.keyset, now).is_ok()
    }

    /// When the keyset ends; agents believe nothing after that.
    pub fn expires(&self) -> Timestamp {
        self.keyset.expires.start()
    }

    /// How long a keyset is valid.
    pub const LIFE: Duration = Duration::from_secs(30 * DAY);
}

/// Whether the keyset's own window holds.
fn holds(keyset: &Keyset, now: Timestamp) -> Result<(), ClaimError> {
    let (not_before, expires) = keyset.window();
    let now = now.seconds();
    if now < not_before {
        Err(ClaimError::NotYet { not_before, now })
    } else if now >= expires {
        Err(ClaimError::Expired { expires, now })
    } else {
        Ok(())
    }
}

/// The key of `role` that signs at `now`: of those that are held and valid the one that lasts longest, and of two that end
/// together the one that was listed later.
fn signer<'h>(keyset: &Keyset, held: &'h [Held], role: Role, now: Timestamp) -> Option<&'h Held> {
    let rank = |held: &Held| {
        let place = |entry: &KeyEntry| entry.role == role && draft::thumbprint(entry) == Some(held.id());
        let index = keyset.keys.iter().rposition(place)?;
        keyset.key(role, held.id(), now).ok()?;
        Some((keyset.keys.get(index)?.expires, index))
    };
    let held = held.iter().filter(|held| held.role == role);
    held.filter_map(|held| Some((rank(held)?, held)))
        .max_by_key(|(rank, _)| *rank)
        .map(|(_, held)| held)
}

/// What is in the place of a role's key.
fn own(held: &[Held], role: Role) -> Option<&Held> {
    let plain = format!("{role}.key");
    held.iter()
        .find(|held| held.role == role && held.path.file_name().is_some_and(|name| *name == *plain))
}

/// Whether less than half of a keyset's life remains.
fn is_old(keyset: &Keyset, now: Timestamp) -> bool {
    let (start, end) = (keyset.issued_at.start(), keyset.expires.start());
    end.since(now) * 2 < end.since(start)
}

/// From so few places for revoked keys on it is said that they run out. None becomes free: evidence is checked at the times
/// that it states, so that a stolen key could sign evidence "of then" for ever, and whoever checks it asks the newest keyset.
pub const FEW_LEFT: usize = 4;
const DAY: u64 = 24 * 3600;

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests;
