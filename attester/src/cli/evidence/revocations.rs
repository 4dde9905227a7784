//! What the operator has revoked since: the newest keyset at hand, and whether it can tell about a file.
//!
//! The keyset in an evidence file cannot say that a key was stolen afterwards. Whoever checks a file without a newer one must
//! read so, or the silence looks like an answer.

use std::path::Path;

use anyhow::{Context, anyhow};
use proto::{checked::Signed, claims::Keyset, evidence::Evidence, key::PublicKey, time::Seconds};

use super::{
    super::{Failure, show},
    verify::read,
};
use crate::verify::Trust;

/// The root, and what the newest keyset at hand revokes.
pub(super) struct Newest {
    trust: Trust,
    signed: Option<Seconds>,
}

/// Whether it is known what was revoked since a file was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Revocations {
    /// No keyset was named.
    Unknown,
    /// The keyset of this time says so.
    Known(Seconds),
    /// The keyset that was named is of this time, and older than the file's own, which is of the other one.
    Older(Seconds, Seconds),
}

impl Newest {
    /// The newer one of the keyset that was named and of the one in an attester's state folder, like an agent that is shown
    /// two. The latter must be there if no other was named: that it cannot be read says nothing about what was revoked.
    pub(super) fn of(root: PublicKey, named: Option<&Path>, in_state: Option<&Path>) -> Result<Self, Failure> {
        let mut keysets = Vec::new();
        if let Some(path) = named {
            keysets.push(keyset(&root, path)?);
        }
        if let Some(path) = in_state.filter(|path| named.is_none() || path.exists()) {
            keysets.push(keyset(&root, path)?);
        }
        let newest = keysets.into_iter().max_by_key(|keyset| keyset.issued_at);
        Ok(Self {
            signed: newest.as_ref().map(|keyset| keyset.issued_at),
            trust: newest.map_or_else(
                || Trust::of_root(root),
                |keyset| Trust::with_revoked(root, keyset.revoked),
            ),
        })
    }

    pub(super) const fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Whether anybody has been asked.
    pub(super) const fn is_known(&self) -> bool {
        self.signed.is_some()
    }

    /// What it can tell about a file.
    pub(super) fn about(&self, file: &[u8]) -> Revocations {
        let Some(signed) = self.signed else {
            return Revocations::Unknown;
        };
        let evidence = Evidence::decode(file).ok();
        let own = evidence.and_then(|evidence| evidence.keyset);
        let own = own.and_then(|own| keyset_of(self.trust.root(), &own.0).ok());
        match own {
            Some(own) if own.issued_at > signed => Revocations::Older(signed, own.issued_at),
            _ => Revocations::Known(signed),
        }
    }
}

impl Revocations {
    /// For people, beside what a file proves.
    pub(super) fn told(self) -> String {
        let time = |second: Seconds| show::clock_time(second.start());
        match self {
            Self::Unknown => "unknown since then: --keyset names the operator's newest keyset".to_owned(),
            Self::Known(signed) => format!("as the keyset of {} has them", time(signed)),
            Self::Older(signed, own) => format!(
                "unknown since then: the keyset that was looked at is of {}, older than the file's own of {}",
                time(signed),
                time(own)
            ),
        }
    }

    /// For programs: a word, and the time of the keyset that was looked at.
    pub(super) const fn word(self) -> (&'static str, Option<Seconds>) {
        match self {
            Self::Unknown => ("unknown", None),
            Self::Known(signed) => ("known", Some(signed)),
            Self::Older(signed, _) => ("older", Some(signed)),
        }
    }
}

fn keyset(root: &PublicKey, path: &Path) -> Result<Keyset, Failure> {
    let name = show::plain(path);
    let bytes = read(path).map_err(|error| Failure::State {
        source: anyhow!("the keyset {name} {error:#}; --keyset names another one"),
    })?;
    keyset_of(root, &bytes)
        .with_context(|| format!("{name} is no keyset of this root"))
        .map_err(|source| Failure::State { source })
}

/// A keyset that the root signed. Its window may have ended: revocations stay.
fn keyset_of(root: &PublicKey, bytes: &[u8]) -> anyhow::Result<Keyset> {
    let keyset = Signed::<Keyset>::parse(bytes)?.verify(root)?;
    Ok(keyset.dangerously_at_any_time())
}
