//! Moving an identity to a new key: `peer-agent keys rotate`, in steps of which each leaves something to start with.
//!
//! The new key is written first, beside the old one; then what both signed; then the new key is put into the old one's
//! place. Killed in between, the agent starts with whichever key is in that place and with the moves that end at it, and
//! the next try goes on with the new key that is there.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use proto::{
    ClaimError,
    claims::{Chain, Succession, SuccessionPair},
    key::{KeyError, PublicKey, SigningKey},
    time::Timestamp,
};
use rand::CryptoRng;

use super::{
    chain::{self, ChainError, beside, sync_folder},
    hold::{Hold, hold, resolved},
};

#[cfg(test)]
mod tests;

/// What a rotation did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotated {
    /// The key that the identity had.
    pub old: PublicKey,
    /// The key that it has now.
    pub new: PublicKey,
    /// Where the old key is kept.
    pub kept: PathBuf,
    /// Moves that the attester is told of.
    pub moves: usize,
    /// Whether it finished what an earlier try had begun.
    pub resumed: bool,
}

/// Why an identity could not be moved. It is as it was, or the next try finishes it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RotateError {
    /// There is nothing to move.
    #[error("there is no identity at {}: `peer-agent init` or the first start makes one", path.display())]
    Missing {
        /// The key file.
        path: PathBuf,
    },
    /// An agent or another rotation has it open.
    #[error("the identity {} is in use: stop the peer first, move it, and start the peer again", path.display())]
    InUse {
        /// The key file.
        path: PathBuf,
    },
    /// A key file cannot be used.
    #[error("cannot move the identity")]
    Key(#[source] KeyError),
    /// The file of moves cannot be used.
    #[error("cannot move the identity")]
    Chain(#[source] ChainError),
    /// The move cannot be signed.
    #[error("cannot sign the succession")]
    Sign(#[source] ClaimError),
    /// A file cannot be moved into its place.
    #[error("cannot put {} in its place", path.display())]
    Place {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Moves the identity in the file `identity` to a new key. The old key is kept beside it, as `<identity>.<old id>.old`. Of a
/// link, it is the file that it leads to.
///
/// # Errors
/// When the identity is in use, or a file cannot be read or written.
pub fn rotate(identity: &Path, now: Timestamp, rng: &mut impl CryptoRng) -> Result<Rotated, RotateError> {
    let rotation = Rotation::begin(&resolved(identity), now, rng)?;
    rotation.write_chain()?;
    rotation.keep_old()?;
    rotation.put_new_in_place()
}

/// Whether a move of the identity in the file `identity` was begun and not finished. It is as good as before; another
/// [`rotate`] finishes it.
pub fn is_moving(identity: &Path) -> bool {
    new_file(&resolved(identity)).exists()
}

/// A rotation whose new key is on the disk.
struct Rotation {
    identity: PathBuf,
    old: SigningKey,
    new: SigningKey,
    pairs: Vec<SuccessionPair>,
    resumed: bool,
    /// Nobody else moves the identity, and no agent uses it.
    _held: File,
}

impl Rotation {
    /// Takes the identity, and makes the new key or finds the one that an earlier try has made.
    fn begin(identity: &Path, now: Timestamp, rng: &mut impl CryptoRng) -> Result<Self, RotateError> {
        let held = hold_alone(identity)?;
        let old = SigningKey::read(identity).map_err(RotateError::Key)?;
        let path = new_file(identity);
        let found = SigningKey::read(&path).ok().filter(|new| new.public() != old.public());
        let resumed = found.is_some();
        let new = match found {
            Some(new) => new,
            None => {
                // What is there was not finished, so nobody has ever seen it; or it is in its place already.
                let _ = std::fs::remove_file(&path);
                let new = SigningKey::generate(rng);
                new.write_new(&path).map_err(RotateError::Key)?;
                sync_folder(&path);
                new
            }
        };
        let links = chain::read(identity, &old.public()).map_err(RotateError::Chain)?;
        let mut pairs: Vec<_> = links.into_iter().map(|link| link.pair).collect();
        pairs.push(Succession::sign_pair(&old, &new, now).map_err(RotateError::Sign)?);
        pairs.drain(..pairs.len().saturating_sub(Chain::MAX_LINKS));
        Ok(Self {
            identity: identity.to_owned(),
            old,
            new,
            pairs,
            resumed,
            _held: held,
        })
    }

    fn write_chain(&self) -> Result<(), RotateError> {
        chain::write(&self.identity, &self.pairs).map_err(RotateError::Chain)
    }

    /// Gives the old key a second name, for the first will be the new key's.
    fn keep_old(&self) -> Result<(), RotateError> {
        let kept = self.kept();
        if SigningKey::read(&kept).is_ok_and(|key| key.public() == self.old.public()) {
            return Ok(());
        }
        match std::fs::hard_link(&self.identity, &kept) {
            // Not every file system has them.
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                self.old.write_new(&kept).map_err(RotateError::Key)?;
            }
            linked => linked.map_err(|source| RotateError::Place {
                path: kept.clone(),
                source,
            })?,
        }
        sync_folder(&kept);
        Ok(())
    }

    fn put_new_in_place(self) -> Result<Rotated, RotateError> {
        std::fs::rename(new_file(&self.identity), &self.identity).map_err(|source| RotateError::Place {
            path: self.identity.clone(),
            source,
        })?;
        sync_folder(&self.identity);
        Ok(Rotated {
            old: self.old.public(),
            new: self.new.public(),
            kept: self.kept(),
            moves: self.pairs.len(),
            resumed: self.resumed,
        })
    }

    fn kept(&self) -> PathBuf {
        beside(&self.identity, &format!(".{}.old", self.old.public().peer_id()))
    }
}

/// Where the new key is until it is put into its place.
fn new_file(identity: &Path) -> PathBuf {
    beside(identity, ".new")
}

fn hold_alone(identity: &Path) -> Result<File, RotateError> {
    let path = || identity.to_owned();
    match hold(identity, File::try_lock) {
        Ok(Hold::Held(file) | Hold::Unlockable(file)) => Ok(file),
        Ok(Hold::Busy) => Err(RotateError::InUse { path: path() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(RotateError::Missing { path: path() }),
        Err(source) => Err(RotateError::Key(KeyError::Read { path: path(), source })),
    }
}
