//! Lies about whose identity a key has.

use proto::{
    checked::sign,
    claims::{Succession, SuccessionPair},
    key::{SigningKey, sha256},
};

use super::{now, other_key};
use crate::behaviour::Lie;

/// The key that a rogue registers with, and the moves that it tells of. `prepared`: it has had a session before, in which it
/// set the stage.
pub(super) fn claims(lie: Lie, me: &SigningKey, prepared: bool) -> anyhow::Result<(SigningKey, Vec<SuccessionPair>)> {
    let (heir, ancestor) = (kin(me, "heir"), kin(me, "ancestor"));
    let moved = |old: &SigningKey, new: &SigningKey| Succession::sign_pair(old, new, now());
    Ok(match (lie, prepared) {
        (Lie::ForgedSuccession, _) => {
            let good = moved(&other_key(), me)?;
            let claim = Succession::verify_pair(&good.by_old, &good.by_new)?.dangerously_at_any_time();
            let by_old = sign(&claim, me)?;
            (me.clone(), vec![SuccessionPair { by_old, ..good }])
        }
        (Lie::OthersSuccession, _) => (me.clone(), vec![moved(&ancestor, &other_key())?]),
        (Lie::LeftKey, false) => (heir.clone(), vec![moved(me, &heir)?]),
        (Lie::SecondSuccessor, false) => (heir.clone(), vec![moved(&ancestor, &heir)?]),
        (Lie::SecondSuccessor, true) => (me.clone(), vec![moved(&ancestor, me)?]),
        _ => (me.clone(), Vec::new()),
    })
}

/// Whether the first registration only sets the stage.
pub(super) const fn prepares(lie: Lie) -> bool {
    matches!(lie, Lie::LeftKey | Lie::SecondSuccessor)
}

/// Another key of the same rogue.
fn kin(me: &SigningKey, name: &str) -> SigningKey {
    let mut seed = me.public().as_bytes().to_vec();
    seed.extend_from_slice(name.as_bytes());
    SigningKey::from_seed(&sha256(&seed))
}
