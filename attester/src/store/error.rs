//! What can be wrong with the state file, and what to do about it.

use std::{error::Error, io, path::PathBuf};

use proto::ids::ProbeId;

/// A state file that cannot be used, or an operation on it that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The folder or the file cannot be created.
    #[error("cannot create {}: check that the folder may be written by this user", path.display())]
    Create {
        /// What was to be created.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The lock beside the file cannot be opened or taken.
    #[error("cannot lock {}", path.display())]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another attester has the file open.
    #[error("another attester has {} open: stop it first, or give this one a state folder of its own", path.display())]
    InUse {
        /// The state file.
        path: PathBuf,
    },
    /// There is no state file to read.
    #[error("there is no state file at {}: start `attester serve` first, or check the state folder of the configuration", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The file cannot be opened as a database.
    #[error("cannot open the state file {}", path.display())]
    Open {
        /// The state file.
        path: PathBuf,
        /// What SQLite said.
        source: Cause,
    },
    /// The file is a database of another program, or none.
    #[error("{} is not an attester's state file: check the state folder of the configuration", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The schema is of a later version of this program.
    #[error("the state file {} has schema {found}, and this program knows up to {known}: use the newer attester that wrote it", path.display())]
    Newer {
        /// The state file.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The newest schema that this program knows.
        known: i64,
    },
    /// The schema is of an earlier version, and opening for reading does not migrate.
    #[error("the state file {} has schema {found}, and this program reads {known}: start `attester serve` once, which migrates it", path.display())]
    Older {
        /// The state file.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The schema that this program reads.
        known: i64,
    },
    /// The schema could not be brought up to date.
    #[error("cannot bring the schema of {} up to date", path.display())]
    Migrate {
        /// The state file.
        path: PathBuf,
        /// What SQLite said.
        source: Cause,
    },
    /// The file is damaged.
    #[error("the state file {} is damaged ({detail}): stop the attester, move the file away, and peers are proved anew", path.display())]
    Damaged {
        /// The state file.
        path: PathBuf,
        /// What the check found.
        detail: String,
    },
    /// A transaction failed, and nothing of it was written.
    #[error("the transaction {name:?} on the state file failed")]
    Transaction {
        /// Its name.
        name: &'static str,
        /// What SQLite said.
        source: Cause,
    },
    /// The nonce belongs to a probe that was stored before. Nothing was written.
    #[error("the nonce of probe {probe} was already used for probe {earlier}")]
    NonceSeen {
        /// The probe to be recorded.
        probe: ProbeId,
        /// The probe that has the nonce.
        earlier: String,
    },
    /// The id belongs to another probe that was stored before. Nothing was written.
    #[error("another probe was already stored with the id {probe}")]
    ProbeSeen {
        /// The id.
        probe: ProbeId,
    },
    /// More evidence than a probe can have. Nothing was written.
    #[error("the evidence of probe {probe} has {length} bytes, more than any probe can have")]
    TooLarge {
        /// The probe.
        probe: ProbeId,
        /// Bytes of evidence.
        length: usize,
    },
}

/// An error of the database library, of which only the message leaves the store.
type Cause = Box<dyn Error + Send + Sync>;

impl StoreError {
    pub(super) fn transaction(name: &'static str, source: sqlx::Error) -> Self {
        Self::Transaction {
            name,
            source: source.into(),
        }
    }
}
