//! The attester's own keys, and the keyset by which the root vouches for them.
//!
//! `root.key` signs keysets and nothing else; it may be kept elsewhere, since `root.pub` beside it says which root the
//! agents pin. The keyset is signed again when half its life has passed and the root key is at hand.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use proto::{
    ClaimError,
    checked::{Signed, sign},
    claims::{Claim, KeyBytes, KeyEntry, Keyset, Role},
    key::{KeyError, PublicKey, SigningKey},
    time::{Seconds, Timestamp},
};
use rand::CryptoRng;

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
        let files = [ROOT, ROOT_PUBLIC, ATTESTER, ORIGIN, PROBER, KEYSET].map(|name| folder.join(name));
        if let Some(path) = files.into_iter().find(|path| path.exists()) {
            return Err(KeysError::Exists { path });
        }
        create_folder(folder)?;
        let [root, attester, origin, prober] = std::array::from_fn(|_| SigningKey::generate(rng));
        for (name, key) in [
            (ROOT, &root),
            (ATTESTER, &attester),
            (ORIGIN, &origin),
            (PROBER, &prober),
        ] {
            key.write_new(&folder.join(name)).map_err(KeysError::key)?;
        }
        write(&folder.join(ROOT_PUBLIC), format!("{}\n", root.public()).as_bytes())?;
        let unsigned = Unsigned {
            root_public: root.public(),
            attester,
            origin,
            prober,
        };
        unsigned.sign(folder, &root, now)
    }

    /// Reads the keys and the keyset, which is signed again when it is old, damaged or not there, as long as the root
    /// key is at hand. A long-running attester calls this daily and sends new sessions the newer keyset.
    ///
    /// # Errors
    /// When a file is missing, can be read by others or is damaged; or when the keyset is not valid at `now` and the
    /// root key is not there to sign another.
    pub fn load(folder: &Path, now: Timestamp) -> Result<Self, KeysError> {
        let [attester, origin, prober] = [ATTESTER, ORIGIN, PROBER].map(|name| SigningKey::read(&folder.join(name)));
        let root = optional_key(&folder.join(ROOT))?;
        let unsigned = Unsigned {
            root_public: root_public(folder, root.as_ref())?,
            attester: attester.map_err(KeysError::key)?,
            origin: origin.map_err(KeysError::key)?,
            prober: prober.map_err(KeysError::key)?,
        };
        match (unsigned.stored(folder, now), root) {
            (Ok((keyset, bytes)), Some(root)) if is_old(&keyset, now) => {
                // A folder that cannot be written now is no reason to stop while the old keyset holds.
                let spare = unsigned.clone().with(keyset, bytes);
                Ok(unsigned.sign(folder, &root, now).unwrap_or_else(|error| {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the keyset is old and was not renewed"
                    );
                    spare
                }))
            }
            (Ok((keyset, bytes)), _) => Ok(unsigned.with(keyset, bytes)),
            (Err(_), Some(root)) => unsigned.sign(folder, &root, now),
            (Err(why), None) => Err(KeysError::NoRoot {
                keyset: folder.join(KEYSET),
                root: folder.join(ROOT),
                source: Box::new(why),
            }),
        }
    }

    /// When the keyset ends; agents believe nothing after that.
    pub fn expires(&self) -> Timestamp {
        self.keyset.expires.start()
    }

    /// How long a keyset is valid.
    pub const LIFE: Duration = Duration::from_secs(30 * DAY);
}

/// The keys without a keyset.
#[derive(Clone)]
struct Unsigned {
    root_public: PublicKey,
    attester: SigningKey,
    origin: SigningKey,
    prober: SigningKey,
}

impl Unsigned {
    fn with(self, keyset: Keyset, keyset_bytes: Vec<u8>) -> Keys {
        let Self {
            root_public,
            attester,
            origin,
            prober,
        } = self;
        Keys {
            root_public,
            attester,
            origin,
            prober,
            keyset,
            keyset_bytes,
        }
    }

    /// The keyset on the disk, if the root signed it, it holds at `now` and lists these keys.
    fn stored(&self, folder: &Path, now: Timestamp) -> Result<(Keyset, Vec<u8>), KeysError> {
        let path = folder.join(KEYSET);
        let bytes = fs::read(&path).map_err(|source| KeysError::Read {
            path: path.clone(),
            source,
        })?;
        let refused = |source| KeysError::Keyset {
            path: path.clone(),
            source,
        };
        let signed = Signed::<Keyset>::parse(&bytes).and_then(|signed| signed.verify(&self.root_public));
        let keyset = signed
            .and_then(|timely| timely.at(now, Duration::ZERO))
            .map_err(refused)?;
        for (role, key) in self.roles() {
            keyset.key(role, key.public().thumbprint(), now).map_err(refused)?;
        }
        Ok((keyset, bytes))
    }

    fn sign(self, folder: &Path, root: &SigningKey, now: Timestamp) -> Result<Keys, KeysError> {
        // Agents read the keyset before they learn the attester's time, and their clocks may be behind.
        let not_before = now.minus(Duration::from_secs(DAY)).seconds();
        let expires = now.plus(Keys::LIFE).seconds();
        let entry = |(role, key): (Role, &SigningKey)| {
            let key = KeyBytes(*key.public().as_bytes());
            KeyEntry {
                role,
                key,
                not_before,
                expires,
            }
        };
        let keys = self.roles().into_iter().map(entry).collect();
        let issuer = root.public().thumbprint();
        let keyset = Keyset {
            issuer,
            expires,
            not_before,
            issued_at: now.seconds(),
            keys,
        };
        let path = folder.join(KEYSET);
        let bytes = sign(&keyset, root).map_err(|source| KeysError::Keyset {
            path: path.clone(),
            source,
        })?;
        replace(&path, &bytes)?;
        Ok(self.with(keyset, bytes))
    }

    fn roles(&self) -> [(Role, &SigningKey); 3] {
        [
            (Role::Attester, &self.attester),
            (Role::Origin, &self.origin),
            (Role::Prober, &self.prober),
        ]
    }
}

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
    /// A key file is missing, open to others or damaged.
    #[error("cannot use a key of the attester (`attester init` makes them)")]
    Key {
        /// Which and why.
        source: KeyError,
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
    /// A keyset that is not the root's, not valid now or not of these keys.
    #[error("the keyset {} cannot be used", path.display())]
    Keyset {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ClaimError,
    },
    /// No valid keyset, and no root key to sign one.
    #[error(
        "there is no valid keyset at {} and no root key to sign a new one: put the root key at {} and start again (it may be taken away afterwards)",
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
}

impl KeysError {
    const fn key(source: KeyError) -> Self {
        Self::Key { source }
    }
}

/// Whether less than half of a keyset's life remains.
fn is_old(keyset: &Keyset, now: Timestamp) -> bool {
    let (_, expires) = keyset.window();
    let (start, end): (Seconds, Seconds) = (keyset.issued_at, expires);
    end.start().since(now) * 2 < end.start().since(start.start())
}

fn optional_key(path: &Path) -> Result<Option<SigningKey>, KeysError> {
    if !path.exists() {
        return Ok(None);
    }
    SigningKey::read(path).map(Some).map_err(KeysError::key)
}

/// The root's public key, from its file or from the private key.
fn root_public(folder: &Path, root: Option<&SigningKey>) -> Result<PublicKey, KeysError> {
    let path = folder.join(ROOT_PUBLIC);
    let text = match (fs::read_to_string(&path), root) {
        (Ok(text), _) => text,
        (Err(error), Some(root)) if error.kind() == io::ErrorKind::NotFound => return Ok(root.public()),
        (Err(source), _) => return Err(KeysError::Read { path, source }),
    };
    match text.trim().parse::<PublicKey>() {
        Ok(key) if root.is_none_or(|root| root.public() == key) => Ok(key),
        _ => Err(KeysError::RootPublic { path }),
    }
}

fn create_folder(folder: &Path) -> Result<(), KeysError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(|source| KeysError::Write {
        path: folder.to_owned(),
        source,
    })
}

/// Writes a file of mode 0600 that must not exist.
fn write(path: &Path, bytes: &[u8]) -> Result<(), KeysError> {
    use io::Write;

    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options
        .open(path)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
    written.map_err(|source| KeysError::Write {
        path: path.to_owned(),
        source,
    })
}

/// Writes a file beside `path` and renames it, so that a crash leaves the old one or the new one.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), KeysError> {
    let beside = path.with_extension("new");
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(KeysError::Write {
                path: beside,
                source: error,
            });
        }
        _ => {}
    }
    write(&beside, bytes)?;
    fs::rename(&beside, path).map_err(|source| KeysError::Write {
        path: path.to_owned(),
        source,
    })
}

const ROOT: &str = "root.key";
const ROOT_PUBLIC: &str = "root.pub";
const ATTESTER: &str = "attester.key";
const ORIGIN: &str = "origin.key";
const PROBER: &str = "prober.key";
const KEYSET: &str = "keyset.cose";
const DAY: u64 = 24 * 3600;

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests;
