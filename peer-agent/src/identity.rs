//! Who the peer is: an Ed25519 key in a file that only its owner can read, made at the first start.
//!
//! An identity can move to a new key ([`rotate`]) and keep its history: what both keys signed is in a file beside it
//! ([`successions`]).
//!
//! On Windows the file has whatever rights its folder grants: keep it in the user's profile.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use proto::{
    claims::{Link, SuccessionPair},
    key::{KeyError, PublicKey, SigningKey},
};
use rand::CryptoRng;

use crate::error::AgentError;

mod chain;
mod hold;
mod rotation;

use hold::{Hold, hold, resolved};

pub use self::{
    chain::{ChainError, file as successions_file, read as successions},
    rotation::{RotateError, Rotated, is_moving, rotate},
};

/// Where an agent's key comes from.
#[derive(Clone, Debug)]
pub enum Identity {
    /// A PKCS#8 PEM file, or a link to one, created with a fresh key when there is none. How it came to that key is read from
    /// the file beside it.
    File(PathBuf),
    /// A key that the host keeps.
    Key(SigningKey),
}

/// An identity in use.
pub(crate) struct Opened {
    pub(crate) key: SigningKey,
    pub(crate) successions: Vec<SuccessionPair>,
    /// As long as it is open the identity is not moved to another key.
    pub(crate) held: Option<File>,
}

impl Identity {
    /// Reads the key, or makes it.
    ///
    /// # Errors
    /// When the file cannot be read or written, others can read it, or it holds no key.
    pub fn key(&self, rng: &mut impl CryptoRng) -> Result<SigningKey, AgentError> {
        match self {
            Self::File(path) => read_or_create(path, rng),
            Self::Key(key) => Ok(key.clone()),
        }
    }

    /// Where the newest keyset of the attester is kept unless the host says otherwise: beside the key's file. `None` for a key
    /// that the host keeps.
    pub fn keyset_file(&self) -> Option<PathBuf> {
        let Self::File(path) = self else { return None };
        let file = path.with_extension(KEYSET);
        // The key's own file may be called so.
        Some(if file == *path {
            chain::beside(path, ".kept")
        } else {
            file
        })
    }

    /// The key, how the identity came to it, and a hold on its file.
    ///
    /// # Errors
    /// As [`Identity::key`], when the file beside it cannot be used, and while the identity is moved to another key.
    pub(crate) fn open(&self, rng: &mut impl CryptoRng) -> Result<Opened, AgentError> {
        let key = self.key(rng)?;
        let Self::File(path) = self else {
            return Ok(Opened {
                key,
                successions: Vec::new(),
                held: None,
            });
        };
        let path = resolved(path);
        // Several agents may use an identity, if only one at a time has a session; but none while it is moved.
        let held = match hold(&path, File::try_lock_shared) {
            Ok(Hold::Held(file)) => Some(file),
            Ok(Hold::Busy) => return Err(AgentError::Moving { path }),
            Ok(Hold::Unlockable(_)) | Err(_) => None,
        };
        // Only what is held stays as it is.
        let key = SigningKey::read(&path).map_err(AgentError::Identity)?;
        let links = links(&path, &key.public())?;
        Ok(Opened {
            key,
            successions: links.into_iter().map(|link| link.pair).collect(),
            held,
        })
    }
}

fn links(path: &Path, key: &PublicKey) -> Result<Vec<Link>, AgentError> {
    successions(path, key).map_err(AgentError::Successions)
}

fn read_or_create(path: &Path, rng: &mut impl CryptoRng) -> Result<SigningKey, AgentError> {
    if exists(path) {
        return SigningKey::read(path).map_err(AgentError::Identity);
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|source| AgentError::Folder {
            path: path.to_owned(),
            source,
        })?;
    }
    let key = SigningKey::generate(rng);
    match key.write_new(path) {
        Ok(()) => Ok(key),
        // Another process may have been quicker: what it wrote is the identity.
        Err(KeyError::Write { .. }) if exists(path) => SigningKey::read(path).map_err(AgentError::Identity),
        Err(error) => Err(AgentError::Identity(error)),
    }
}

/// How the file of the newest keyset ends.
const KEYSET: &str = "keyset";

/// Whether there is anything: a key that cannot be looked at is still not replaced.
fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn the_key_is_made_once_and_read_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let identity = Identity::File(folder.path().join("state/peer.key"));
        let first = identity.key(&mut StdRng::seed_from_u64(1)).unwrap();
        let second = identity.key(&mut StdRng::seed_from_u64(2)).unwrap();
        assert_eq!(first.public(), second.public());
    }

    #[cfg(unix)]
    #[test]
    fn a_key_that_others_can_read_is_refused_with_the_cure() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("peer.key");
        let identity = Identity::File(path.clone());
        identity.key(&mut StdRng::seed_from_u64(1)).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o604)).unwrap();
        let AgentError::Identity(error) = identity.key(&mut StdRng::seed_from_u64(1)).unwrap_err() else {
            panic!()
        };
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }

    #[test]
    fn the_keyset_is_kept_beside_the_key_and_never_in_its_place() {
        let kept = |name: &str| Identity::File(name.into()).keyset_file().unwrap();
        assert_eq!(kept("state/peer.key"), PathBuf::from("state/peer.keyset"));
        assert_eq!(kept("state/peer"), PathBuf::from("state/peer.keyset"));
        assert_eq!(kept("peer.keyset"), PathBuf::from("peer.keyset.kept"));
        assert!(Identity::Key(SigningKey::from_seed(&[1; 32])).keyset_file().is_none());
    }

    #[test]
    fn a_file_that_is_no_key_is_neither_used_nor_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("peer.key");
        std::fs::write(&path, "not a key").unwrap();
        #[cfg(unix)]
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        assert!(Identity::File(path.clone()).key(&mut StdRng::seed_from_u64(1)).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "not a key");
    }
}
