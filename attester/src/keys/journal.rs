//! The last revocations, in a file beside the keyset: which role's key each was about, and when it was asked for.
//!
//! The keyset says neither. Whoever is not sure whether `attester keys revoke attester` has done its work runs it once more,
//! and must not lose the key that has just taken the old one's place: it would be revoked for all time, and so every member
//! would be proved anew a second time.

use std::{io, time::Duration};

use proto::{
    claims::{Keyset, Role},
    ids::Thumbprint,
    time::{Seconds, Timestamp},
};

use super::{KeysError, folder::KeyFolder};

/// A revocation that was asked for; the keyset knows whether it was signed.
pub(super) struct Entry {
    at: Seconds,
    role: Role,
    key: Thumbprint,
}

impl Entry {
    pub(super) const fn new(at: Seconds, role: Role, key: Thumbprint) -> Self {
        Self { at, role, key }
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let (at, role, key) = (words.next()?, words.next()?, words.next()?);
        Some(Self {
            at: Seconds::new(at.parse().ok()?),
            role: role.parse().ok()?,
            key: key.parse().ok()?,
        })
    }
}

/// The key of `role` that the keyset revokes since less than an hour, and how many minutes it is ago.
pub(super) fn lately(
    folder: &KeyFolder,
    role: Role,
    keyset: &Keyset,
    now: Timestamp,
) -> Result<Option<(Thumbprint, u64)>, KeysError> {
    let ago = |entry: &Entry| now.since(entry.at.start());
    let entries = folder.journal()?;
    let mut of_role = entries.iter().rev().filter(|entry| entry.role == role);
    let found = of_role.find(|entry| keyset.revoked_since(entry.key).is_some() && ago(entry) < LATELY);
    Ok(found.map(|entry| (entry.key, ago(entry).as_secs() / 60)))
}

impl KeyFolder {
    /// What was written down; lines that are no revocations are passed over.
    fn journal(&self) -> Result<Vec<Entry>, KeysError> {
        let path = self.journal_file();
        match super::folder::read_bounded(&path) {
            Ok(bytes) => Ok(String::from_utf8_lossy(&bytes)
                .lines()
                .filter_map(Entry::parse)
                .collect()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(source) => Err(KeysError::Read { path, source }),
        }
    }

    /// Writes down one more.
    pub(super) fn note(&self, entry: Entry) -> Result<(), KeysError> {
        let mut entries = self.journal()?;
        entries.push(entry);
        let first = entries.len().saturating_sub(MOST);
        let line = |Entry { at, role, key }: &Entry| format!("{} {role} {key}\n", at.as_u64());
        let text: String = entries.iter().skip(first).map(line).collect();
        self.replace(&self.journal_file(), text.as_bytes())
    }
}

/// For so long the same command is taken for the same wish.
const LATELY: Duration = Duration::from_secs(3600);
/// As many as are written down: more than a keyset revokes.
const MOST: usize = 32;
