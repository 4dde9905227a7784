//! Why keys cannot be made, read or changed, and what would help.

use std::{io, path::PathBuf};

use proto::{ClaimError, claims::Role, ids::Thumbprint, key::KeyError, time::Seconds};

/// Keys that cannot be made or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// There are keys already.
    #[error("{} exists, and keys are never overwritten: choose another state folder, or move the old one away", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A key file is open to others or damaged.
    #[error("cannot use a key of the attester (`attester init` makes them)")]
    Key {
        /// Which and why.
        source: KeyError,
    },
    /// A role has no key.
    #[error("there is no {role} key at {}: `attester init` makes the keys of a new attester, `attester keys rotate {role}` another {role} key", path.display())]
    NoKey {
        /// The role.
        role: Role,
        /// Where it should be.
        path: PathBuf,
    },
    /// More files than any keyset lists keys.
    #[error("{} holds more than 100 key files: move away those that are not listed by `attester keys list`", path.display())]
    TooMany {
        /// The folder.
        path: PathBuf,
    },
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file or folder cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// `root.pub` is no public key, or not that of the root key beside it.
    #[error("{} does not hold the root's public key: copy it from where the agents have it, or put root.key beside it and remove this file", path.display())]
    RootPublic {
        /// The file.
        path: PathBuf,
    },
    /// The root key that was named is another one.
    #[error("{} is not the root key of this attester: its public half is not what root.pub says", path.display())]
    OtherRoot {
        /// The file.
        path: PathBuf,
    },
    /// The root key is needed and not there.
    #[error("this needs the root key, which is not at {}: say where it is with --root FILE (it is only read)", path.display())]
    RootAway {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The keyset cannot be read. It may be whole all the same, so that nothing is signed in its place.
    #[error("cannot read the keyset {}{}", path.display(), unreadable(source))]
    NoKeyset {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What is in the keyset's place is none, or another root signed it.
    #[error("{} is not a keyset that the root signed", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ClaimError,
    },
    /// There is no telling what the keyset revoked, and nobody said that it does not matter.
    #[error(
        "the keyset {} is lost, and with it which keys were revoked: put it back from a copy, or run attester keys sign --afresh and then revoke again what was revoked",
        path.display()
    )]
    Lost {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<KeysError>,
    },
    /// The keyset in the folder is older than the one in use: somebody put a copy back.
    #[error(
        "the keyset {} was signed at second {found}, and the one in use at second {used}; agents take no older one: put the newer one back, or run attester keys sign",
        path.display()
    )]
    Older {
        /// The file.
        path: PathBuf,
        /// When it was signed.
        found: Seconds,
        /// When the one in use was.
        used: Seconds,
    },
    /// The keyset in the folder lets a key count that the one in use revokes.
    #[error(
        "the keyset {} does not revoke {key}, which the one in use revokes: run attester keys revoke {key}{}",
        path.display(), since_option(*since)
    )]
    Unrevoked {
        /// The file.
        path: PathBuf,
        /// The key.
        key: Thumbprint,
        /// First second at which it does not count; 0 when it never did.
        since: Seconds,
    },
    /// A keyset that is not valid now or not of these keys.
    #[error("the keyset {} cannot be used", path.display())]
    Keyset {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ClaimError,
    },
    /// The keyset revokes the only key of a role.
    #[error("the {role} key is revoked, and there is no other: run attester keys rotate {role}")]
    OnlyRevoked {
        /// The role.
        role: Role,
    },
    /// A keyset that cannot be signed.
    #[error(
        "a keyset with these keys cannot be signed: it lists at most 24 and revokes at most 24; wait until keys that were rotated have ended, or change to a new root (attester/README.md)"
    )]
    Full {
        /// What the claim says.
        source: ClaimError,
    },
    /// No valid keyset, and no root key to sign one.
    #[error(
        "there is no valid keyset at {} and no root key to sign a new one: run attester keys sign --root FILE, or put the root key at {} and start again (it may be taken away afterwards)",
        keyset.display(), root.display()
    )]
    NoRoot {
        /// The keyset.
        keyset: PathBuf,
        /// Where the root key is looked for.
        root: PathBuf,
        /// What is wrong with the keyset.
        source: Box<KeysError>,
    },
    /// A second key of a role is staged already.
    #[error("{} waits already: attester keys rotate {role} takes it", path.display())]
    Staged {
        /// The role.
        role: Role,
        /// The file.
        path: PathBuf,
    },
    /// An overlap that is too short for a probe under way, or that outlives the keyset.
    #[error("an overlap is from one minute to 29 days")]
    Overlap,
    /// A revocation whose time has not come: it would not hold yet.
    #[error("a key can be revoked from the past or from now on, not from a time to come")]
    SinceLater,
    /// Nothing by that name.
    #[error(
        "no key is called {name:?}: attester keys list shows them; a key that is not listed is named by its whole thumbprint or public key"
    )]
    NotFound {
        /// What was asked for.
        name: String,
    },
    /// Several by that name.
    #[error("{name:?} is the beginning of {count} keys: write more of it")]
    Ambiguous {
        /// What was asked for.
        name: String,
        /// How many.
        count: usize,
    },
    /// Revoked before, and no later.
    #[error("{key} is revoked already{}", since_text(*since))]
    Already {
        /// The key.
        key: Thumbprint,
        /// First second at which it does not count; 0 when it never did.
        since: Seconds,
    },
    /// The role's key was revoked a moment ago, so that this is the same command once more, or its mistake.
    #[error(
        "the {role} key {old} was revoked {minutes} minutes ago, and {signs} has taken its place; if that is to be revoked too, name it: attester keys revoke {signs}"
    )]
    RevokedLately {
        /// The role.
        role: Role,
        /// The key that was revoked.
        old: Thumbprint,
        /// How long ago.
        minutes: u64,
        /// The key that signs now.
        signs: Thumbprint,
    },
}

impl KeysError {
    pub(super) const fn key(source: KeyError) -> Self {
        Self::Key { source }
    }

    /// Whether another keyset is the remedy, made from the one that is there.
    pub(super) const fn is_cured_by_signing(&self) -> bool {
        matches!(self, Self::Keyset { .. })
    }

    /// Whether there is no keyset any more that another could be made from. One that cannot be read now is still there.
    pub(super) fn is_lost(&self) -> bool {
        match self {
            Self::NoKeyset { source, .. } => source.kind() == io::ErrorKind::NotFound,
            Self::Damaged { .. } => true,
            _ => false,
        }
    }

    /// The same, and what a person can do about a keyset that is lost.
    pub(super) fn with_remedy(self) -> Self {
        match &self {
            Self::NoKeyset { path, .. } | Self::Damaged { path, .. } if self.is_lost() => Self::Lost {
                path: path.clone(),
                source: Box::new(self),
            },
            _ => self,
        }
    }
}

/// What would help against an error of the system.
fn unreadable(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => ": it must belong to the user that the attester runs as (chown)",
        _ => "",
    }
}

fn since_text(since: Seconds) -> String {
    match since.as_u64() {
        0 => " for all time".to_owned(),
        second => format!(", from second {second} on: an earlier --since would change that"),
    }
}

fn since_option(since: Seconds) -> String {
    match since.as_u64() {
        0 => String::new(),
        second => format!(" --since {second}"),
    }
}
