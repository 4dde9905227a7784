//! The newest keyset that was ever believed, kept between sessions and starts of the program.
//!
//! A keyset that leaves a key out, or revokes it, would be worth nothing if whoever stole the key could show an older one
//! that still runs. So none is believed that is older than one that was; what was is told by the root's signature and its
//! `iat` alone, whatever any clock says (proto/README.md, "Keyset and roles").

use std::{
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use proto::{ClaimError, cbor, checked::Signed, claims::Keyset, ids::Digest, key::PublicKey, time::Seconds};

use crate::trust::Trust;

/// Which keyset is the newest that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Newest {
    pub(crate) issued_at: Seconds,
    pub(crate) digest: Digest,
}

impl Newest {
    /// Whether a keyset is this one or a later one.
    pub(crate) fn allows(&self, trust: &Trust) -> bool {
        trust.issued_at() > self.issued_at || trust.digest() == self.digest
    }

    /// Whether this one is the later. Of two that were signed at the same second neither is.
    fn is_after(&self, other: &Self) -> bool {
        self.issued_at > other.issued_at
    }
}

/// The memory of one agent.
#[derive(Debug)]
pub(crate) struct Remembered {
    newest: Option<Newest>,
    root: PublicKey,
    path: Option<PathBuf>,
    /// Whether the last write failed: that is told once.
    unwritten: bool,
}

impl Remembered {
    /// What `path` remembers of the root's keysets; nothing if there is no file, or it is about another root.
    ///
    /// # Errors
    /// When the file cannot be read, or is no keyset: it is never taken for an empty one.
    pub(crate) fn open(path: Option<PathBuf>, root: &PublicKey) -> Result<Self, KeysetFileError> {
        let newest = match &path {
            Some(path) => read(path, root)?,
            None => None,
        };
        Ok(Self {
            newest,
            root: *root,
            path,
            unwritten: false,
        })
    }

    pub(crate) const fn newest(&self) -> Option<Newest> {
        self.newest
    }

    /// Remembers a keyset that is believed, if it is a newer one than this agent has believed, and than another agent of the
    /// same identity has written down meanwhile. A disk that is full is no reason not to work: the memory then ends with the
    /// program.
    pub(crate) fn note(&mut self, trust: &Trust) {
        let newest = Newest {
            issued_at: trust.issued_at(),
            digest: trust.digest(),
        };
        if self.newest.is_some_and(|known| known.is_after(&newest)) || (self.newest == Some(newest) && !self.unwritten)
        {
            return;
        }
        self.newest = Some(newest);
        let Some(path) = &self.path else { return };
        match keep(path, trust, &self.root, newest) {
            Ok(kept) => {
                self.newest = Some(kept);
                self.unwritten = false;
            }
            Err(error) => {
                if !self.unwritten {
                    tracing::warn!(%error, file = %path.display(), "the attester's newest keyset cannot be kept");
                }
                self.unwritten = true;
            }
        }
    }
}

/// A file of the newest keyset that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeysetFileError {
    /// It cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is no keyset.
    #[error("{} is damaged: remove it, and the next keyset of the attester takes its place", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ClaimError,
    },
}

fn read(path: &Path, root: &PublicKey) -> Result<Option<Newest>, KeysetFileError> {
    let failed = |source| KeysetFileError::Read {
        path: path.to_owned(),
        source,
    };
    let file = match fs::File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(failed)?,
    };
    let mut bytes = Vec::new();
    // One byte more than a claim may have, so that a longer file is told as too long.
    file.take(cbor::MAX_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    let damaged = |source| KeysetFileError::Damaged {
        path: path.to_owned(),
        source,
    };
    let signed = Signed::<Keyset>::parse(&bytes).map_err(damaged)?;
    // The operator has a new root, or the peer another attester.
    if signed.key_id() != root.thumbprint() {
        return Ok(None);
    }
    let digest = signed.digest();
    let keyset = signed.verify(root).map_err(damaged)?.dangerously_at_any_time();
    Ok(Some(Newest {
        issued_at: keyset.issued_at,
        digest,
    }))
}

/// Writes the keyset down, unless `path` remembers a newer one by now, and tells which is the newest.
fn keep(path: &Path, trust: &Trust, root: &PublicKey, newest: Newest) -> io::Result<Newest> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    // Between the look and the writing nobody else writes; where there are no locks, that is a moment.
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    // For its owner alone: whoever can open it can hold it.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let lock = options.open(beside(path, ".lock"))?;
    await_lock(&lock)?;
    match read(path, root) {
        Ok(Some(known)) if known.is_after(&newest) || known == newest => return Ok(known),
        Err(KeysetFileError::Read { source, .. }) => return Err(source),
        // What is damaged by now remembers nothing any more.
        Ok(_) | Err(KeysetFileError::Damaged { .. }) => write(path, trust.bytes())?,
    }
    Ok(newest)
}

/// Takes the lock, which others hold for a moment. Whoever holds it longer must not hold up the agent: it writes the next time.
fn await_lock(lock: &fs::File) -> io::Result<()> {
    for _ in 0..TRIES {
        match lock.try_lock() {
            Ok(()) | Err(fs::TryLockError::Error(_)) => return Ok(()),
            Err(fs::TryLockError::WouldBlock) => thread::sleep(MOMENT),
        }
    }
    Err(io::Error::new(
        io::ErrorKind::WouldBlock,
        "another program holds its lock",
    ))
}

/// How often the lock is asked for, and how long it is waited for in between.
const TRIES: u32 = 20;
const MOMENT: Duration = Duration::from_millis(5);

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Writes a file beside `path` and renames it, so that a crash leaves the old one or the new one.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = beside(path, ".new");
    let mut file = fs::File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::samples::{self, NOW, after, root, signed, stranger};

    fn trust(seconds: i64) -> Trust {
        let keyset = Keyset {
            issued_at: after(seconds),
            ..samples::keyset()
        };
        Trust::open(&signed(&keyset, &root()), &root().public(), NOW).unwrap()
    }

    fn open(path: &Path) -> Result<Remembered, KeysetFileError> {
        Remembered::open(Some(path.to_owned()), &root().public())
    }

    #[test]
    fn what_was_believed_is_remembered_and_nothing_older_is_believed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/peer.keyset");
        let mut remembered = open(&path).unwrap();
        assert_eq!(remembered.newest(), None);
        remembered.note(&trust(-100));
        remembered.note(&trust(-50));
        let newest = open(&path).unwrap().newest().unwrap();
        assert_eq!(Some(newest), remembered.newest());
        for (seconds, allowed) in [(-100, false), (-51, false), (-50, true), (-49, true)] {
            assert_eq!(newest.allows(&trust(seconds)), allowed, "{seconds}");
        }
        // Two of one second are not taken for each other.
        let mut other = samples::keyset();
        other.issued_at = after(-50);
        other.keys.pop();
        let other = Trust::open(&signed(&other, &root()), &root().public(), NOW).unwrap();
        assert!(!newest.allows(&other));
    }

    /// Two agents of one identity, of which one was shown an older keyset than the other has believed since it started.
    #[test]
    fn an_older_keyset_takes_the_place_of_no_newer_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("peer.keyset");
        let (mut first, mut second) = (open(&path).unwrap(), open(&path).unwrap());
        first.note(&trust(-50));
        let newest = first.newest();
        second.note(&trust(-100));
        assert_eq!(open(&path).unwrap().newest(), newest);
        // And it has learnt of it.
        assert_eq!(second.newest(), newest);
        first.note(&trust(-100));
        assert_eq!((first.newest(), open(&path).unwrap().newest()), (newest, newest));
        second.note(&trust(-10));
        assert_eq!(open(&path).unwrap().newest(), second.newest());
        assert!(second.newest().unwrap().is_after(&newest.unwrap()));
    }

    #[test]
    fn a_damaged_file_is_told_and_one_of_another_root_is_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("peer.keyset");
        open(&path).unwrap().note(&trust(-100));
        let good = fs::read(&path).unwrap();
        let mut forged = good.clone();
        *forged.last_mut().unwrap() ^= 1;
        for damaged in [&good[1..], &[], &vec![0xd2; 10_000], &forged] {
            fs::write(&path, damaged).unwrap();
            let error = open(&path).unwrap_err();
            assert!(error.to_string().contains("remove it"), "{error}");
        }
        fs::write(&path, &good).unwrap();
        let other = Remembered::open(Some(path.clone()), &stranger().public()).unwrap();
        assert_eq!(other.newest(), None);
        assert!(open(&path).unwrap().newest().is_some());
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(matches!(open(&path), Err(KeysetFileError::Read { .. })));
    }

    #[test]
    fn whoever_holds_the_lock_does_not_hold_up_the_agent() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("peer.keyset");
        let held = fs::File::create(beside(&path, ".lock")).unwrap();
        held.lock().unwrap();
        let (done, returned) = std::sync::mpsc::channel();
        let mut remembered = open(&path).unwrap();
        thread::spawn(move || {
            remembered.note(&trust(-50));
            done.send(remembered).unwrap();
        });
        let mut remembered = returned.recv_timeout(Duration::from_secs(60)).unwrap();
        assert!(!remembered.newest().unwrap().allows(&trust(-51)));
        assert_eq!(open(&path).unwrap().newest(), None);
        drop(held);
        remembered.note(&trust(-50));
        assert_eq!(open(&path).unwrap().newest(), remembered.newest());
    }

    #[cfg(unix)]
    #[test]
    fn only_its_owner_can_open_the_lock() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("peer.keyset");
        open(&path).unwrap().note(&trust(-50));
        let mode = fs::metadata(beside(&path, ".lock")).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{mode:o}");
    }

    #[test]
    fn a_memory_that_cannot_be_written_lasts_as_long_as_the_program() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("peer.keyset");
        let mut remembered = open(&path).unwrap();
        fs::create_dir(&path).unwrap();
        remembered.note(&trust(-50));
        assert!(!remembered.newest().unwrap().allows(&trust(-51)));
        fs::remove_dir(&path).unwrap();
        remembered.note(&trust(-50));
        assert_eq!(open(&path).unwrap().newest(), remembered.newest());
    }
}
