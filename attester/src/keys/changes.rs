//! What an operator changes: staging, rotating, revoking, signing again.
//!
//! Private keys are written first and the keyset last, each by one rename. Before the last one nothing has changed but
//! that a key waits; after it everything has.

use std::{path::Path, path::PathBuf, time::Duration};

use proto::{
    claims::{Keyset, Role},
    ids::Thumbprint,
    key::{PublicKey, SigningKey},
    time::{Seconds, Timestamp},
};
use rand::CryptoRng;

use super::{
    DAY, Keys, KeysError,
    draft::{self, Draft},
    folder::{Held, KeyFolder},
    journal, own, signer,
    target::{Target, find},
};

/// A key that was made and waits.
#[derive(Clone, Debug)]
pub struct Created {
    /// Its role.
    pub role: Role,
    /// Its public half.
    pub public: PublicKey,
    /// Where it is.
    pub path: PathBuf,
}

/// What a rotation has done.
#[derive(Debug)]
pub struct Rotation {
    /// The keys that sign now, a role each.
    pub keys: Vec<Rotated>,
    /// Why private keys that are over are still there, if they are: the rotation holds all the same, and a running attester
    /// tries again within the hour.
    pub untidied: Option<KeysError>,
}

/// A key that took another's place.
#[derive(Clone, Debug)]
pub struct Rotated {
    /// Whose place.
    pub role: Role,
    /// The key that signed before, if there was one.
    pub old: Option<Thumbprint>,
    /// Until when that is accepted; `None` when it is not.
    pub until: Option<Timestamp>,
    /// The key that signs now.
    pub new: Thumbprint,
    /// Where that is.
    pub path: PathBuf,
}

/// A key that does not count any more.
#[derive(Debug)]
pub struct Revocation {
    /// The key.
    pub key: Thumbprint,
    /// Its role, when that is known.
    pub role: Option<Role>,
    /// First second at which it does not count; 0 when it never did.
    pub since: Seconds,
    /// What took its place, if it was the key that signed.
    pub replaced: Option<Rotated>,
    /// How many keys the keyset revokes now, of [`Keyset::MAX_REVOKED`].
    pub revoked: usize,
    /// As [`Rotation::untidied`].
    pub untidied: Option<KeysError>,
}

/// What to do when a keyset is to be signed and the one before is lost.
#[derive(Clone, Copy, Debug)]
pub enum IfLost<'k> {
    /// Sign nothing: what it revoked would count again.
    Refuse,
    /// Go on from this one, which is in use.
    Continue(&'k Keyset),
    /// Sign one that revokes nothing. A person has said so.
    StartAfresh,
}

impl<'k> IfLost<'k> {
    pub(super) const fn known(self) -> Option<&'k Keyset> {
        match self {
            Self::Continue(known) => Some(known),
            Self::Refuse | Self::StartAfresh => None,
        }
    }
}

impl KeyFolder {
    /// Makes a key that waits until [`KeyFolder::rotate`] takes it: it can be kept safe before it is used.
    ///
    /// # Errors
    /// When one waits already, or the folder cannot be written.
    pub fn stage(&self, role: Role, rng: &mut impl CryptoRng) -> Result<Created, KeysError> {
        let _lock = self.lock()?;
        let keyset = self.previous()?;
        if let Some(held) = staged(&keyset, &self.held()?, role) {
            return Err(KeysError::Staged { role, path: held.path });
        }
        self.write_second(role, rng)
    }

    /// Puts a new key, the staged one if there is one, in the place of each role's; the old one is accepted for `overlap`.
    /// `root` names the root key's file where it is not in the folder.
    ///
    /// # Errors
    /// Without the root key, or when the folder cannot be written. What was not signed has not happened.
    pub fn rotate(
        &self,
        roles: &[Role],
        overlap: Duration,
        root: Option<&Path>,
        rng: &mut impl CryptoRng,
        now: Timestamp,
    ) -> Result<Rotation, KeysError> {
        if !(MIN_OVERLAP..=MAX_OVERLAP).contains(&overlap) {
            return Err(KeysError::Overlap);
        }
        let _lock = self.lock()?;
        let root = self.root_at_hand(root)?;
        let mut draft = Draft::after(&self.previous()?, now);
        let mut keys = Vec::new();
        for role in roles {
            keys.push(self.supersede(&mut draft, &root, *role, overlap, rng)?);
        }
        self.publish(&draft, &root)?;
        let untidied = self.tidy_locked(now).err();
        Ok(Rotation { keys, untidied })
    }

    /// Says that a key does not count from `since` on, 0 being ever. If it is the one that signs, another takes its place
    /// at once. `root` names the root key's file where it is not in the folder.
    ///
    /// # Errors
    /// When no key is meant, or several; when it was revoked before, no later than that; when it is named by its role, and
    /// the one before it was revoked within the hour; without the root key, or when the folder cannot be written. What was not
    /// signed has not happened.
    pub fn revoke(
        &self,
        target: &Target,
        since: Seconds,
        root: Option<&Path>,
        rng: &mut impl CryptoRng,
        now: Timestamp,
    ) -> Result<Revocation, KeysError> {
        if since > now.seconds() {
            return Err(KeysError::SinceLater);
        }
        let _lock = self.lock()?;
        let root = self.root_at_hand(root)?;
        let mut draft = Draft::after(&self.previous()?, now);
        let (keyset, held) = (draft.keyset(&root.public()), self.held()?);
        let (key, role) = find(target, &keyset, &held, now)?;
        if let Target::Role(role) = *target
            && let Some((old, minutes)) = journal::lately(self, role, &keyset, now)?
        {
            return Err(KeysError::RevokedLately {
                role,
                old,
                minutes,
                signs: key,
            });
        }
        if let Some(known) = keyset.revoked_since(key).filter(|known| *known <= since) {
            return Err(KeysError::Already { key, since: known });
        }
        let signs = role.filter(|role| signer(&keyset, &held, *role, now).is_some_and(|held| held.id() == key));
        let replaced = match signs {
            Some(role) => {
                let rotated = self.supersede(&mut draft, &root, role, Duration::ZERO, rng)?;
                Some(Rotated { until: None, ..rotated })
            }
            None => None,
        };
        draft.revoke(key, since);
        if let Some(role) = role {
            self.note(journal::Entry::new(now.seconds(), role, key))?;
        }
        self.publish(&draft, &root)?;
        Ok(Revocation {
            key,
            role,
            since,
            replaced,
            revoked: draft.revoked(),
            untidied: self.tidy_locked(now).err(),
        })
    }

    /// Signs the keyset again, for [`Keys::LIFE`] from now. `root` names the root key's file where it is not in the folder.
    ///
    /// # Errors
    /// Without the root key, when the keyset cannot be read, when it is lost and `lost` says no more, or when the folder cannot
    /// be written.
    pub fn sign(&self, root: Option<&Path>, lost: IfLost<'_>, now: Timestamp) -> Result<Keyset, KeysError> {
        let root = self.root_at_hand(root)?;
        self.renew(&root, lost, now)?;
        self.keyset(&root.public()).map(|(keyset, _)| keyset)
    }

    /// Removes private keys that cannot be used again, and gives each role's only key its plain name.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn tidy(&self, now: Timestamp) -> Result<(), KeysError> {
        let _lock = self.lock()?;
        self.tidy_locked(now)
    }

    fn tidy_locked(&self, now: Timestamp) -> Result<(), KeysError> {
        let (keyset, held) = (self.previous()?, self.held()?);
        if super::holds(&keyset, now).is_err() {
            return Ok(());
        }
        for role in Role::ALL {
            // Nothing goes while there is no other to sign.
            let Some(signs) = signer(&keyset, &held, *role, now) else {
                continue;
            };
            for other in held.iter().filter(|held| held.role == *role && held.id() != signs.id()) {
                if is_over(&keyset, other, now) {
                    self.remove(&other.path)?;
                }
            }
            let plain = self.key_file(*role);
            if !plain.exists() {
                self.rename(&signs.path, &plain)?;
            }
        }
        Ok(())
    }

    /// Signs the keyset again; a key that was put in the place of a role's, and is in no keyset, is listed.
    pub(super) fn renew(&self, root: &SigningKey, lost: IfLost<'_>, now: Timestamp) -> Result<(), KeysError> {
        let _lock = self.lock()?;
        let held = self.held()?;
        let mut draft = match (self.keyset(&root.public()), lost) {
            (Ok((keyset, _)), _) => {
                if let Some(known) = lost.known() {
                    self.follows(&keyset, known)?;
                }
                Draft::after(&keyset, now)
            }
            (Err(error), IfLost::Continue(known)) if error.is_lost() && known.issuer == root.public().thumbprint() => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the keyset is lost, and another is made from the one in use"
                );
                Draft::after(known, now)
            }
            (Err(error), IfLost::StartAfresh) if error.is_lost() => Draft::first(now),
            (Err(error), _) => return Err(error.with_remedy()),
        };
        for role in Role::ALL {
            let keyset = draft.keyset(&root.public());
            if signer(&keyset, &held, *role, now).is_some() {
                continue;
            }
            let own = own(&held, *role).ok_or_else(|| KeysError::NoKey {
                role: *role,
                path: self.key_file(*role),
            })?;
            if keyset.revoked_since(own.id()).is_some() {
                return Err(KeysError::OnlyRevoked { role: *role });
            }
            draft.put_in(*role, own.key.public(), DEFAULT_OVERLAP);
        }
        self.publish(&draft, root)
    }

    /// Whether a keyset can take the place of the one in use: it takes nothing back.
    ///
    /// Another root's is no successor, but another beginning, which agents have to be told of in any case.
    pub(super) fn follows(&self, keyset: &Keyset, used: &Keyset) -> Result<(), KeysError> {
        if keyset.issuer != used.issuer || keyset == used {
            return Ok(());
        }
        if keyset.issued_at <= used.issued_at {
            return Err(KeysError::Older {
                path: self.keyset_file(),
                found: keyset.issued_at,
                used: used.issued_at,
            });
        }
        for revoked in &used.revoked {
            let key = Thumbprint::from_bytes(*revoked.key.as_bytes());
            if keyset.revoked_since(key).is_none_or(|since| since > revoked.since) {
                return Err(KeysError::Unrevoked {
                    path: self.keyset_file(),
                    key,
                    since: revoked.since,
                });
            }
        }
        Ok(())
    }

    pub(super) fn publish(&self, draft: &Draft, root: &SigningKey) -> Result<(), KeysError> {
        let bytes = draft.sign(root).map_err(|source| KeysError::Full { source })?;
        self.write_keyset(&bytes)
    }

    /// Lists another key for `role`, one that waits or a fresh one.
    fn supersede(
        &self,
        draft: &mut Draft,
        root: &SigningKey,
        role: Role,
        overlap: Duration,
        rng: &mut impl CryptoRng,
    ) -> Result<Rotated, KeysError> {
        let (keyset, held, now) = (draft.keyset(&root.public()), self.held()?, draft.now());
        let old = signer(&keyset, &held, role, now).map(Held::id);
        let (new, path) = match staged(&keyset, &held, role) {
            Some(held) => (held.key.public(), held.path),
            None => {
                let created = self.write_second(role, rng)?;
                (created.public, created.path)
            }
        };
        draft.put_in(role, new, overlap);
        Ok(Rotated {
            role,
            until: old.map(|_| now.plus(overlap).seconds().start()),
            old,
            new: new.thumbprint(),
            path,
        })
    }

    /// A fresh key beside the one that is there.
    fn write_second(&self, role: Role, rng: &mut impl CryptoRng) -> Result<Created, KeysError> {
        let key = SigningKey::generate(rng);
        let public = key.public();
        let path = self.second_file(role, public.thumbprint());
        self.write_key(&key, &path)?;
        Ok(Created { role, public, path })
    }

    /// The keyset that is there, whatever its age.
    fn previous(&self) -> Result<Keyset, KeysError> {
        let root = self.known_root()?;
        let keyset = self.keyset(&root).map_err(KeysError::with_remedy)?;
        Ok(keyset.0)
    }

    fn root_at_hand(&self, named: Option<&Path>) -> Result<SigningKey, KeysError> {
        let path = named.map_or_else(|| self.root_file(), Path::to_owned);
        if !path.exists() {
            return Err(KeysError::RootAway { path });
        }
        let root = self.root(Some(&path))?;
        root.ok_or(KeysError::RootAway { path })
    }
}

/// A held key of `role` that no keyset has named yet.
pub(super) fn staged(keyset: &Keyset, held: &[Held], role: Role) -> Option<Held> {
    let unknown = |held: &&Held| {
        let listed = keyset
            .keys
            .iter()
            .any(|entry| draft::thumbprint(entry) == Some(held.id()));
        held.role == role && !listed && keyset.revoked_since(held.id()).is_none()
    };
    held.iter().find(unknown).cloned()
}

/// Whether a key can never sign again: its entry has ended, or it is revoked. One that waits can.
fn is_over(keyset: &Keyset, held: &Held, now: Timestamp) -> bool {
    let of_it = |entry: &&proto::claims::KeyEntry| draft::thumbprint(entry) == Some(held.id());
    let ended = keyset.keys.iter().filter(of_it).map(|entry| entry.expires).max();
    keyset.revoked_since(held.id()).is_some() || ended.is_some_and(|end| end <= now.seconds())
}

/// Overlap of a rotation that nobody gave another for.
pub(super) const DEFAULT_OVERLAP: Duration = Duration::from_secs(DAY);
/// A probe under way still ends under the keys that it began with.
const MIN_OVERLAP: Duration = Duration::from_secs(60);
/// An entry that ends with the keyset would be renewed with it.
const MAX_OVERLAP: Duration = Duration::from_secs(Keys::LIFE.as_secs() - DAY);

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::unreachable, reason = "tests")]
mod tests;
