//! The files: one private key a file, the keyset, the root's public key.
//!
//! `<role>.key` is the key that signs. While a second key of a role is there (it waits, or the older one is still
//! accepted) it is `<role>.<begin of its thumbprint>.key`. Which of them signs is the keyset's word, never a name's, so
//! that each change is one rename: whatever a crash leaves behind is a state that works.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use proto::{
    checked::Signed,
    claims::{Keyset, Role},
    ids::Thumbprint,
    key::{KeyError, PublicKey, SigningKey},
};

use super::KeysError;

/// The folder of an attester's keys.
#[derive(Clone, Debug)]
pub struct KeyFolder {
    path: PathBuf,
}

/// A private key and where it is.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) role: Role,
    pub(super) key: SigningKey,
    pub(super) path: PathBuf,
}

impl Held {
    pub(super) fn id(&self) -> Thumbprint {
        self.key.public().thumbprint()
    }
}

/// Held while the files are changed, so that two programs do not change them at once.
pub(super) struct Lock {
    _file: fs::File,
}

impl KeyFolder {
    /// A folder, which need not be there yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where the keyset is.
    pub fn keyset_file(&self) -> PathBuf {
        self.file(KEYSET)
    }

    /// Where the root key is looked for.
    pub fn root_file(&self) -> PathBuf {
        self.file(ROOT)
    }

    /// Where the last revocations are.
    pub(super) fn journal_file(&self) -> PathBuf {
        self.file(JOURNAL)
    }

    /// Where a role's key is.
    pub(super) fn key_file(&self, role: Role) -> PathBuf {
        self.file(&format!("{role}.key"))
    }

    /// Where a second key of a role is.
    pub(super) fn second_file(&self, role: Role, key: Thumbprint) -> PathBuf {
        let mut short = key.to_string();
        short.truncate(SHORT);
        self.file(&format!("{role}.{short}.key"))
    }

    /// Makes the folder, with mode 0700. Nothing may be in it that a new attester writes.
    pub(super) fn create(&self) -> Result<(), KeysError> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&self.path).map_err(|source| KeysError::Write {
            path: self.path.clone(),
            source,
        })
    }

    /// The first file of a new attester that is there already.
    pub(super) fn occupied(&self) -> Option<PathBuf> {
        let keys = Role::ALL.iter().map(|role| self.key_file(*role));
        let others = [ROOT, ROOT_PUBLIC, KEYSET].map(|name| self.file(name));
        others.into_iter().chain(keys).find(|path| path.exists())
    }

    /// Waits until nobody else changes the files.
    pub(super) fn lock(&self) -> Result<Lock, KeysError> {
        let path = self.file(LOCK);
        let failed = |source| KeysError::Write {
            path: path.clone(),
            source,
        };
        // A file that is made is given to the folder's owner; one that is there is left as it is, whatever it leads to.
        let file = match self.new_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                fs::OpenOptions::new().write(true).open(&path)
            }
            made => made,
        };
        let file = file.map_err(failed)?;
        file.lock().map_err(failed)?;
        Ok(Lock { _file: file })
    }

    /// Every private key but the root's, by role and file name.
    pub(super) fn held(&self) -> Result<Vec<Held>, KeysError> {
        // Somebody who tidies up may rename a file between the listing and the reading.
        self.read_keys().or_else(|_| self.read_keys())
    }

    fn read_keys(&self) -> Result<Vec<Held>, KeysError> {
        let failed = |source| KeysError::Read {
            path: self.path.clone(),
            source,
        };
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            if let Some(role) = name.to_str().and_then(role_of) {
                files.push((role, self.path.join(&name)));
            }
            if files.len() > MOST_FILES {
                return Err(KeysError::TooMany {
                    path: self.path.clone(),
                });
            }
        }
        files.sort();
        let read = |(role, path): (Role, PathBuf)| {
            let key = SigningKey::read(&path).map_err(KeysError::key)?;
            Ok(Held { role, key, path })
        };
        files.into_iter().map(read).collect()
    }

    /// The root key: the one named, or the one in the folder if it is there. It must be that of `root.pub`.
    pub(super) fn root(&self, named: Option<&Path>) -> Result<Option<SigningKey>, KeysError> {
        let path = named.map_or_else(|| self.root_file(), Path::to_owned);
        if named.is_none() && !path.exists() {
            return Ok(None);
        }
        let root = SigningKey::read(&path).map_err(KeysError::key)?;
        if self.root_public(Some(&root))? == root.public() {
            Ok(Some(root))
        } else if named.is_some() {
            Err(KeysError::OtherRoot { path })
        } else {
            Err(KeysError::RootPublic {
                path: self.file(ROOT_PUBLIC),
            })
        }
    }

    /// The root's public key, from its file or, if there is none, from the private key.
    pub(super) fn root_public(&self, root: Option<&SigningKey>) -> Result<PublicKey, KeysError> {
        let path = self.file(ROOT_PUBLIC);
        let text = match (fs::read_to_string(&path), root) {
            (Ok(text), _) => text,
            (Err(error), Some(root)) if error.kind() == io::ErrorKind::NotFound => return Ok(root.public()),
            (Err(source), _) => return Err(KeysError::Read { path, source }),
        };
        text.trim()
            .parse::<PublicKey>()
            .map_err(|_| KeysError::RootPublic { path })
    }

    /// The root's public key, from its file or from the private key if that is in the folder.
    pub(super) fn known_root(&self) -> Result<PublicKey, KeysError> {
        self.root_public(self.root(None)?.as_ref())
    }

    /// The keyset on the disk, if the root signed it; it may have ended.
    pub(super) fn keyset(&self, root: &PublicKey) -> Result<(Keyset, Vec<u8>), KeysError> {
        let path = self.keyset_file();
        let bytes = read_bounded(&path).map_err(|source| KeysError::NoKeyset {
            path: path.clone(),
            source,
        })?;
        let keyset = Signed::<Keyset>::parse(&bytes)
            .and_then(|signed| signed.verify(root))
            .map_err(|source| KeysError::Damaged { path, source })?;
        Ok((keyset.dangerously_at_any_time(), bytes))
    }

    /// Writes a private key where none is; a crash leaves nothing or all of it.
    pub(super) fn write_key(&self, key: &SigningKey, path: &Path) -> Result<(), KeysError> {
        if path.exists() {
            return Err(KeysError::Exists { path: path.to_owned() });
        }
        let beside = beside(path);
        clear(&beside)?;
        let failed = |source| {
            KeysError::key(KeyError::Write {
                path: path.to_owned(),
                source,
            })
        };
        let pem = key.to_pem().map_err(KeysError::key)?;
        self.write_new(&beside, pem.as_bytes()).map_err(failed)?;
        self.rename(&beside, path)
    }

    /// Writes the root's public key, and the private one.
    pub(super) fn write_root(&self, root: &SigningKey) -> Result<(), KeysError> {
        self.write_key(root, &self.root_file())?;
        self.replace(&self.file(ROOT_PUBLIC), format!("{}\n", root.public()).as_bytes())?;
        self.sync().map_err(|source| self.unwritten(source))
    }

    /// Puts a keyset in the place of the one that is there; a crash leaves one of them. This is the moment from which on it
    /// is in use, so that nothing after it is an error.
    pub(super) fn write_keyset(&self, bytes: &[u8]) -> Result<(), KeysError> {
        self.replace(&self.keyset_file(), bytes)?;
        if let Err(error) = self.sync() {
            tracing::warn!(%error, folder = %self.path.display(), "a new keyset may not outlast a loss of power");
        }
        Ok(())
    }

    /// Renames a file, and sees to it that this is on the disk before anything else is.
    pub(super) fn rename(&self, from: &Path, to: &Path) -> Result<(), KeysError> {
        let renamed = fs::rename(from, to).and_then(|()| self.sync());
        renamed.map_err(|source| KeysError::Write {
            path: to.to_owned(),
            source,
        })
    }

    /// Removes a file that is not needed any more.
    pub(super) fn remove(&self, path: &Path) -> Result<(), KeysError> {
        clear(path)
    }

    /// Puts a file in the place of the one that is there, if there is one.
    pub(super) fn replace(&self, path: &Path, bytes: &[u8]) -> Result<(), KeysError> {
        let beside = beside(path);
        clear(&beside)?;
        let written = self.write_new(&beside, bytes).and_then(|()| fs::rename(&beside, path));
        written.map_err(|source| KeysError::Write {
            path: path.to_owned(),
            source,
        })
    }

    /// Writes a file of mode 0600 that must not exist.
    fn write_new(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        use io::Write;

        let mut file = self.new_file(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    /// Makes a file of mode 0600 that belongs to whoever has the folder: an attester that runs as a user of its own could not
    /// read what an operator writes with sudo.
    fn new_file(&self, path: &Path) -> io::Result<fs::File> {
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path)?;
        #[cfg(unix)]
        give(&file, &fs::metadata(&self.path)?)?;
        Ok(file)
    }

    fn unwritten(&self, source: io::Error) -> KeysError {
        KeysError::Write {
            path: self.path.clone(),
            source,
        }
    }

    #[cfg(unix)]
    fn sync(&self) -> io::Result<()> {
        fs::File::open(&self.path)?.sync_all()
    }

    /// Folders cannot be synced there.
    #[cfg(not(unix))]
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

/// The role of a private key's file: `<role>.key` or `<role>.<anything>.key`.
fn role_of(name: &str) -> Option<Role> {
    let name = name.strip_suffix(".key")?;
    let (role, rest) = name.split_once('.').unwrap_or((name, ""));
    let plain = rest.bytes().all(|byte| byte.is_ascii_alphanumeric());
    role.parse().ok().filter(|_| plain)
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

pub(super) fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    use io::Read;

    let mut bytes = Vec::new();
    // One byte more than a claim may have, so that a longer file is told as too long.
    let most = proto::cbor::MAX_BYTES as u64 + 1;
    fs::File::open(path)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Removes what may be there.
fn clear(path: &Path) -> Result<(), KeysError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(KeysError::Write {
            path: path.to_owned(),
            source: error,
        }),
        _ => Ok(()),
    }
}

/// Gives a file that root has just made to the folder's owner. Nobody else can give files away, nor needs to: by an open
/// file, since whoever has the folder can put another in its place.
#[cfg(unix)]
fn give(file: &fs::File, folder: &fs::Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, fchown};

    let made = file.metadata()?;
    if made.uid() == SUPERUSER && folder.uid() != SUPERUSER {
        fchown(file, Some(folder.uid()), Some(folder.gid()))?;
    }
    Ok(())
}

const ROOT: &str = "root.key";
const ROOT_PUBLIC: &str = "root.pub";
const KEYSET: &str = "keyset.cose";
const LOCK: &str = "keys.lock";
const JOURNAL: &str = "revoked.log";
#[cfg(unix)]
const SUPERUSER: u32 = 0;
/// How much of a thumbprint is in a file's name.
const SHORT: usize = 10;
/// Far more keys than a keyset lists.
const MOST_FILES: usize = 100;
