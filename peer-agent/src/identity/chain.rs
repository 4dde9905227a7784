//! The file beside an identity that says how it came to its key: a line a move, oldest first, signed by both keys.
//!
//! Nothing in it is secret, and nothing of it is believed: the attester checks both signatures of each line. Without it the
//! attester takes a peer with a new key for a new peer.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use data_encoding::BASE64URL_NOPAD;
use proto::{
    ClaimError,
    claims::{Chain, Link, SuccessionPair},
    key::PublicKey,
};

use super::hold::resolved;

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// It cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line is not what `peer-agent keys rotate` wrote.
    #[error("line {line} of {} is no succession: restore the file from a copy, or remove it and be a new peer to the attester", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        source: ClaimError,
    },
    /// The lines do not belong together.
    #[error("the lines of {} do not belong together: restore it from a copy, or remove it and be a new peer to the attester", path.display())]
    Chain {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: ClaimError,
    },
    /// It cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The file of the identity at `identity`: beside the key's file, not beside a link to it.
pub fn file(identity: &Path) -> PathBuf {
    beside(&resolved(identity), ".successions")
}

/// How the identity at `identity` came to `key`: the moves that end there, oldest first, at most [`Chain::MAX_LINKS`].
/// None when there is no file, or it is about other keys.
///
/// A move away from `key` is left out: `keys rotate` was interrupted before it put the new key into its place.
///
/// # Errors
/// When the file cannot be read, or is not as it was written.
pub fn read(identity: &Path, key: &PublicKey) -> Result<Vec<Link>, ChainError> {
    let path = file(identity);
    let mut pairs = Vec::new();
    let mut end = 0;
    for (number, line) in text(&path)?.lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let link = link(line).map_err(|source| ChainError::Line {
            path: path.clone(),
            line: number + 1,
            source,
        })?;
        pairs.push(link.pair);
        if link.new == *key {
            end = pairs.len();
        }
    }
    let unused = pairs.split_off(end);
    if end == 0 && !unused.is_empty() {
        tracing::debug!(file = %path.display(), "the successions are not about this identity's key");
    }
    pairs.drain(..end.saturating_sub(Chain::MAX_LINKS));
    let chain = Chain::verify(pairs, key).map_err(|source| ChainError::Chain { path, source })?;
    Ok(chain.dangerously_at_any_time())
}

/// Writes the moves, in one go: whoever reads the file finds the old ones or the new ones.
pub(super) fn write(identity: &Path, pairs: &[SuccessionPair]) -> Result<(), ChainError> {
    let path = file(identity);
    let mut text = HEAD.to_owned();
    for pair in pairs {
        let [by_old, by_new] = [&pair.by_old, &pair.by_new].map(|bytes| BASE64URL_NOPAD.encode(bytes));
        text.push_str(&format!("{by_old} {by_new}\n"));
    }
    write_whole(&path, &text).map_err(|source| ChainError::Write { path, source })
}

/// A file whose name is that of `path` with `suffix` after it.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Makes what was done to the names in `path`'s folder last. Best effort: not every system can.
pub(super) fn sync_folder(path: &Path) {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
}

fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let unfinished = beside(path, ".tmp");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&unfinished)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&unfinished, path)?;
    sync_folder(path);
    Ok(())
}

fn text(path: &Path) -> Result<String, ChainError> {
    let failed = |source| ChainError::Read {
        path: path.to_owned(),
        source,
    };
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        opened => opened.map_err(failed)?,
    };
    let mut text = String::new();
    file.take(MOST_BYTES + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > MOST_BYTES {
        return Err(failed(io::Error::other("it is longer than 64 KiB")));
    }
    Ok(text)
}

fn link(line: &str) -> Result<Link, ClaimError> {
    let form = || ClaimError::Succession("expected two signed claims in base64url with a space between them");
    let (by_old, by_new) = line.split_once(' ').ok_or_else(form)?;
    let decode = |text: &str| BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| form());
    Link::dangerously_at_any_time(SuccessionPair {
        by_old: decode(by_old)?,
        by_new: decode(by_new)?,
    })
}

const HEAD: &str = "\
# How this peer's identity came to its key: a line a move, oldest first, signed by the old key and by the new one.
# `peer-agent keys rotate` writes it. Keep it beside the key: the attester moves the peer's history by it.
";
/// A few moves are a few thousand bytes.
const MOST_BYTES: u64 = 64 << 10;
