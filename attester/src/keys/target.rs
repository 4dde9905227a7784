//! Which key an operator means.

use proto::{
    claims::{Keyset, Role},
    ids::Thumbprint,
    key::PublicKey,
    time::Timestamp,
};

use super::{KeysError, draft, folder::Held, signer};

/// Which key is meant.
#[derive(Clone, Debug)]
pub enum Target {
    /// The key of this role that signs.
    Role(Role),
    /// The key with this thumbprint, or the only one whose thumbprint begins so.
    Key(String),
}

impl std::str::FromStr for Target {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text.parse::<Role>() {
            Ok(role) => Self::Role(role),
            Err(_) => Self::Key(text.to_owned()),
        })
    }
}

/// The key that is meant, and its role if that is known.
pub(super) fn find(
    target: &Target,
    keyset: &Keyset,
    held: &[Held],
    now: Timestamp,
) -> Result<(Thumbprint, Option<Role>), KeysError> {
    let listed = keyset
        .keys
        .iter()
        .filter_map(|entry| Some((draft::thumbprint(entry)?, entry.role)));
    let mut known: Vec<(Thumbprint, Role)> = listed.chain(held.iter().map(|held| (held.id(), held.role))).collect();
    known.sort();
    known.dedup();
    let role_of = |key| known.iter().find(|(known, _)| *known == key).map(|(_, role)| *role);
    let name = match target {
        Target::Role(role) => {
            let signs = signer(keyset, held, *role, now).ok_or(KeysError::OnlyRevoked { role: *role })?;
            return Ok((signs.id(), Some(*role)));
        }
        Target::Key(name) => name,
    };
    let whole = name.parse::<Thumbprint>().ok();
    if let Some(key) = whole.or_else(|| Some(name.parse::<PublicKey>().ok()?.thumbprint())) {
        return Ok((key, role_of(key)));
    }
    let revoked = keyset
        .revoked
        .iter()
        .map(|revoked| Thumbprint::from_bytes(*revoked.key.as_bytes()));
    let mut keys: Vec<Thumbprint> = known.iter().map(|(key, _)| *key).chain(revoked).collect();
    keys.retain(|key| name.len() >= MIN_PREFIX && key.to_string().starts_with(name.as_str()));
    keys.sort();
    keys.dedup();
    match keys[..] {
        [key] => Ok((key, role_of(key))),
        [] => Err(KeysError::NotFound { name: name.clone() }),
        _ => Err(KeysError::Ambiguous {
            name: name.clone(),
            count: keys.len(),
        }),
    }
}

/// Fewer characters of a thumbprint are a slip of the hand.
const MIN_PREFIX: usize = 4;
