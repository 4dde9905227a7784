//! What keys there are and what each is for, as the keyset and the files say.

use std::path::PathBuf;

use proto::{
    claims::{KeyEntry, Keyset, Role},
    ids::Thumbprint,
    key::PublicKey,
    time::{Seconds, Timestamp},
};

use super::{
    KeysError,
    draft::thumbprint,
    folder::{Held, KeyFolder},
    holds, signer,
};

/// Everything that is known of an attester's keys.
#[derive(Debug)]
pub struct Listing {
    /// What agents pin.
    pub root: PublicKey,
    /// Whether the root key is in the folder.
    pub root_at_hand: bool,
    /// The keyset, whether or not its window holds.
    pub keyset: Keyset,
    /// Whether it holds now.
    pub holds: bool,
    /// Each key: by role those that sign, are accepted, wait, ended; then the revoked ones that are nothing else.
    pub keys: Vec<Listed>,
}

/// One key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its role; `None` for one that is only known to be revoked.
    pub role: Option<Role>,
    /// Its id.
    pub key: Thumbprint,
    /// Its public half, where the keyset or a file has it.
    pub public: Option<PublicKey>,
    /// What it is now.
    pub state: KeyState,
    /// Its private key's file.
    pub path: Option<PathBuf>,
}

/// What a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyState {
    /// The key of its role that signs.
    Signing,
    /// Another took its place; it is accepted until then.
    AcceptedUntil(Seconds),
    /// It is listed to the keyset's end, and does not sign here: its private key is not in the folder, or a newer one signs.
    Listed,
    /// It is listed from then on.
    From(Seconds),
    /// It waits for [`KeyFolder::rotate`].
    Waiting,
    /// It was accepted until then.
    Ended(Seconds),
    /// It does not count from then on; 0 for all time.
    Revoked(Seconds),
}

impl KeyFolder {
    /// Lists the keys. Changes nothing.
    ///
    /// # Errors
    /// When a file cannot be read, or the keyset is not the root's.
    pub fn list(&self, now: Timestamp) -> Result<Listing, KeysError> {
        let root = self.known_root()?;
        let (keyset, _) = self.keyset(&root).map_err(KeysError::with_remedy)?;
        let keys = listed(&keyset, &self.held()?, now);
        Ok(Listing {
            root,
            root_at_hand: self.root_file().exists(),
            holds: holds(&keyset, now).is_ok(),
            keyset,
            keys,
        })
    }
}

/// What each key is.
fn listed(keyset: &Keyset, held: &[Held], now: Timestamp) -> Vec<Listed> {
    let mut keys: Vec<Listed> = Vec::new();
    for entry in &keyset.keys {
        let Some(key) = thumbprint(entry) else { continue };
        keys.push(Listed {
            role: Some(entry.role),
            key,
            public: PublicKey::from_bytes(&entry.key.0).ok(),
            state: state_of(keyset, held, entry, key, now),
            path: path_of(held, key),
        });
    }
    for held in held {
        if keys.iter().all(|listed| listed.key != held.id()) {
            keys.push(Listed {
                role: Some(held.role),
                key: held.id(),
                public: Some(held.key.public()),
                state: keyset
                    .revoked_since(held.id())
                    .map_or(KeyState::Waiting, KeyState::Revoked),
                path: Some(held.path.clone()),
            });
        }
    }
    for revoked in &keyset.revoked {
        let key = Thumbprint::from_bytes(*revoked.key.as_bytes());
        if keys.iter().all(|listed| listed.key != key) {
            keys.push(Listed {
                role: None,
                key,
                public: None,
                state: KeyState::Revoked(revoked.since),
                path: None,
            });
        }
    }
    keys.sort_by_key(|listed| (listed.role.is_none(), listed.role, listed.state, listed.key));
    keys
}

fn state_of(keyset: &Keyset, held: &[Held], entry: &KeyEntry, key: Thumbprint, now: Timestamp) -> KeyState {
    let second = now.seconds();
    if let Some(since) = keyset.revoked_since(key) {
        KeyState::Revoked(since)
    } else if entry.expires <= second {
        KeyState::Ended(entry.expires)
    } else if second < entry.not_before {
        KeyState::From(entry.not_before)
    } else if signer(keyset, held, entry.role, now).is_some_and(|signs| signs.id() == key) {
        KeyState::Signing
    } else if super::draft::is_open(keyset, entry) {
        KeyState::Listed
    } else {
        KeyState::AcceptedUntil(entry.expires)
    }
}

fn path_of(held: &[Held], key: Thumbprint) -> Option<PathBuf> {
    held.iter().find(|held| held.id() == key).map(|held| held.path.clone())
}
