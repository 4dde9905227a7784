//! A hold on an identity's file: agents share it, a move to another key has it alone.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

/// What came of it.
pub(super) enum Hold {
    /// The file by this name is held for as long as this is open.
    Held(File),
    /// Somebody else has it.
    Busy,
    /// Not every file system has locks: there it is for the owner to see to it.
    Unlockable(File),
}

/// Opens the file and takes a lock on it by `lock`.
///
/// A move gives the name to another file. Opened before that and locked after it, it is the old key's file that would be held,
/// which nobody cares for, and the one in use would be free to be moved.
///
/// # Errors
/// When the file cannot be opened.
pub(super) fn hold(path: &Path, mut lock: impl FnMut(&File) -> Result<(), TryLockError>) -> io::Result<Hold> {
    for _ in 0..TRIES {
        let file = File::open(path)?;
        match lock(&file) {
            Err(TryLockError::WouldBlock) => return Ok(Hold::Busy),
            Err(TryLockError::Error(_)) => return Ok(Hold::Unlockable(file)),
            Ok(()) if has_name(&file, path)? => return Ok(Hold::Held(file)),
            Ok(()) => {}
        }
    }
    Ok(Hold::Busy)
}

/// The file that an identity really is. A link that leads to it stays one: a move works beside the file and puts the new key
/// into *its* place.
pub(super) fn resolved(identity: &Path) -> PathBuf {
    let is_link = identity.symlink_metadata().is_ok_and(|found| found.is_symlink());
    let target = is_link.then(|| fs::canonicalize(identity).ok()).flatten();
    target.unwrap_or_else(|| identity.to_owned())
}

#[cfg(unix)]
fn has_name(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;

    let (held, named) = (file.metadata()?, fs::metadata(path)?);
    Ok((held.dev(), held.ino()) == (named.dev(), named.ino()))
}

/// A file that is open keeps its name there.
#[cfg(not(unix))]
fn has_name(_file: &File, _path: &Path) -> io::Result<bool> {
    Ok(true)
}

/// A move takes a moment, and there is hardly a second one right after it.
const TRIES: usize = 8;
