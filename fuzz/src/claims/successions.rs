//! How an identity moves from key to key: chains of successions, some of them bent.

use proto::{
    claims::{Chain, Succession, SuccessionPair},
    time::Timestamp,
};

use crate::{
    choices::{Choices, mutated},
    honest::{self, NOW},
    target::{Input, Property, Report, Target},
};

/// See the module.
pub const TARGET: Target = Target {
    name: "successions",
    says: "a chain of moves from key to key, signed by both keys each, some bent",
    input: Input::Choices,
    properties: &[HONEST_CHAIN, NOBODY_ELSES, PRESENTABLE],
    run,
};

const HONEST_CHAIN: Property = Property {
    name: "honest-chain",
    says: "a chain is believed if, and only if, each move is signed by both keys, begins where the one before ends, never comes back, and the last ends at the peer's key",
};
const NOBODY_ELSES: Property = Property {
    name: "nobody-elses",
    says: "a chain that is believed says of each link the keys that really signed it",
};
const PRESENTABLE: Property = Property {
    name: "presentable",
    says: "what can be presented is the chain's end, and holds then",
};

fn run(input: &[u8], report: &mut Report) {
    let mut choices = Choices::new(input);
    let mut keys = vec![choices.byte() % 16];
    let (mut pairs, mut honest) = (Vec::new(), true);
    for _ in 0..choices.below(6) {
        let old = if choices.twist() {
            choices.byte() % 16
        } else {
            keys[keys.len() - 1]
        };
        if pairs.is_empty() {
            // Nothing comes before the first: it begins wherever it begins.
            keys[0] = old;
        }
        let new = (old + 1 + choices.byte() % 15) % 16;
        honest &= old == keys[keys.len() - 1] && !keys.contains(&new);
        let signed_at = Timestamp::from_secs(NOW + choices.number() % 10_000_000);
        let Ok(mut pair) = Succession::sign_pair(honest::key(old), honest::key(new), signed_at) else {
            return;
        };
        honest &= bent(&mut pair, old, new, signed_at, &mut choices);
        keys.push(new);
        pairs.push(pair);
    }
    honest &= pairs.len() <= Chain::MAX_LINKS;
    let mut ends_at = keys[keys.len() - 1];
    if choices.twist() {
        ends_at = choices.byte() % 16;
        honest &= pairs.is_empty() || ends_at == keys[keys.len() - 1];
    }
    let verified = Chain::verify(pairs.clone(), &honest::key(ends_at).public());
    report.check(HONEST_CHAIN, verified.is_ok() == honest, || match &verified {
        Ok(_) => "a bent chain was believed".to_owned(),
        Err(error) => format!("an honest chain was refused: {error}"),
    });
    if let Ok(chain) = verified {
        links(chain, &keys, &pairs, &mut choices, report);
    }
}

/// Bends a pair, perhaps; whether it is still honest.
fn bent(pair: &mut SuccessionPair, old: u8, new: u8, signed_at: Timestamp, choices: &mut Choices<'_>) -> bool {
    if !choices.twist() {
        return true;
    }
    let before = pair.clone();
    match choices.below(4) {
        0 => std::mem::swap(&mut pair.by_old, &mut pair.by_new),
        1 => pair.by_new = pair.by_old.clone(),
        2 => {
            // Both keys signed, but of two moves.
            let later = signed_at.plus(std::time::Duration::from_secs(1));
            if let Ok(other) = Succession::sign_pair(honest::key(old), honest::key(new), later) {
                pair.by_new = other.by_new;
            }
        }
        _ => {
            let side = if choices.any() {
                &mut pair.by_old
            } else {
                &mut pair.by_new
            };
            if let Some(changed) = mutated(side, choices) {
                *side = changed;
            }
        }
    }
    *pair == before
}

fn links(chain: Chain, keys: &[u8], pairs: &[SuccessionPair], choices: &mut Choices<'_>, report: &mut Report) {
    let now = Timestamp::from_secs(NOW + choices.number() % 30_000_000);
    let presentable = chain.presentable(now);
    let kept = pairs.len() - presentable.len().min(pairs.len());
    for (index, link) in presentable.iter().enumerate() {
        let (old, new) = (keys[kept + index], keys[kept + index + 1]);
        let same = link.old == honest::key(old).public() && link.new == honest::key(new).public();
        report.check(NOBODY_ELSES, same && link.pair == pairs[kept + index], || {
            format!("link {index} is from {} to {}", link.old, link.new)
        });
    }
    let again: Vec<SuccessionPair> = presentable.into_iter().map(|link| link.pair).collect();
    let end = honest::key(keys[keys.len() - 1]).public();
    let holds = Chain::verify(again, &end).and_then(|chain| chain.at(now, std::time::Duration::ZERO));
    report.check(PRESENTABLE, pairs.is_empty() || holds.is_ok(), || {
        format!("what was presentable is refused: {holds:?}")
    });
}
