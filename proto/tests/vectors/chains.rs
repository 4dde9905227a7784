//! Successions: two envelopes over one payload, and several of them in a row.

use std::time::Duration;

use proto::{
    checked::sign,
    claims::{Chain, KeyBytes, Succession, SuccessionPair},
    key::SigningKey,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use super::{
    accepted::succession,
    cast::{key, micros, second},
    fields::{kind, public_key},
    format::{Hex, committed, written},
    scene::DAY,
};

/// `successions.json`.
#[derive(Debug, Serialize, Deserialize)]
struct ChainsFile {
    about: String,
    chains: Vec<ChainVector>,
}

#[derive(Debug, Serialize, Deserialize)]
struct ChainVector {
    name: String,
    rule: String,
    /// The key that the chain must end at.
    key: Hex,
    links: Vec<Pair>,
    at: u64,
    error: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Pair {
    by_old: Hex,
    by_new: Hex,
}

const BOTH: &str =
    "two envelopes over the same payload, one signed by the old key and one by the new. It holds if both do";
const CHAIN: &str =
    "each succession begins with the key that the one before ended with, no key comes twice, and there are at most 4";

pub(crate) fn file() -> String {
    let keys: Vec<SigningKey> = (60..66).map(|fill| SigningKey::from_seed(&[fill; 32])).collect();
    let links = |from: usize, to: usize| (from..to).map(|at| link(&keys[at], &keys[at + 1])).collect::<Vec<_>>();
    let one = link(&key("peer"), &key("next-peer"));
    let [by_old, by_new] = [&one.by_old.0, &one.by_new.0];
    let other = Succession {
        issued_at: second(1),
        ..succession()
    };
    let differing = Pair {
        by_old: Hex(by_old.clone()),
        by_new: Hex(sign(&other, &key("next-peer")).unwrap()),
    };
    let pair = |old: &[u8], new: &[u8]| {
        vec![Pair {
            by_old: Hex(old.to_vec()),
            by_new: Hex(new.to_vec()),
        }]
    };
    let by_stranger = sign(&succession(), &key("stranger")).unwrap();
    let next = key("next-peer");
    let mut chains = vec![
        vector("one", BOTH, &next, pair(by_old, by_new), ""),
        vector("none", CHAIN, &next, vec![], ""),
        vector("by-the-new-key-alone", BOTH, &next, pair(by_new, by_new), "wrong-key"),
        vector("by-the-old-key-alone", BOTH, &next, pair(by_old, by_old), "wrong-key"),
        vector("signatures-swapped", BOTH, &next, pair(by_new, by_old), "wrong-key"),
        vector(
            "by-a-stranger-for-the-old-key",
            BOTH,
            &next,
            pair(&by_stranger, by_new),
            "wrong-key",
        ),
        vector("two-different-payloads", BOTH, &next, vec![differing], "succession"),
        vector("four", CHAIN, &keys[4], links(0, 4), ""),
        vector("five", CHAIN, &keys[5], links(0, 5), "succession"),
        vector("ending-elsewhere", CHAIN, &keys[2], links(0, 3), "succession"),
        vector(
            "with-a-gap",
            CHAIN,
            &keys[4],
            joined(links(0, 1), links(2, 4)),
            "succession",
        ),
        vector(
            "backwards",
            CHAIN,
            &keys[1],
            joined(links(1, 2), links(0, 1)),
            "succession",
        ),
        vector(
            "coming-back",
            CHAIN,
            &keys[0],
            vec![link(&keys[0], &keys[1]), link(&keys[1], &keys[0])],
            "succession",
        ),
    ];
    for (name, after, error) in [
        ("too-early", -DAY * 1_000_000 - 1, "not-yet"),
        ("too-late", 90 * DAY * 1_000_000, "expired"),
    ] {
        let mut late = vector(name, "A window is half open", &next, pair(by_old, by_new), error);
        late.at = micros(after).as_micros();
        chains.push(late);
    }
    let about = "Successions of keys, in chains that end at a key. Each has two envelopes.".to_owned();
    written(&ChainsFile { about, chains })
}

fn vector(name: &str, rule: &str, key: &SigningKey, links: Vec<Pair>, error: &str) -> ChainVector {
    ChainVector {
        name: name.to_owned(),
        rule: rule.to_owned(),
        key: Hex(key.public().as_bytes().to_vec()),
        links,
        at: micros(0).as_micros(),
        error: error.to_owned(),
    }
}

fn joined(first: Vec<Pair>, second: Vec<Pair>) -> Vec<Pair> {
    first.into_iter().chain(second).collect()
}

fn link(old: &SigningKey, new: &SigningKey) -> Pair {
    let claim = Succession {
        issuer: old.public().thumbprint(),
        subject: new.public().thumbprint(),
        old: KeyBytes(*old.public().as_bytes()),
        new: KeyBytes(*new.public().as_bytes()),
        ..succession()
    };
    let [by_old, by_new] = [old, new].map(|key| Hex(sign(&claim, key).unwrap()));
    Pair { by_old, by_new }
}

#[test]
fn chains_hold_or_do_not_as_their_file_says() {
    let file: ChainsFile = committed("successions.json");
    assert!(!file.chains.is_empty() && !file.about.is_empty());
    for vector in file.chains {
        let links = vector.links.into_iter();
        let pairs = links.map(|pair| SuccessionPair {
            by_old: pair.by_old.0,
            by_new: pair.by_new.0,
        });
        let key = public_key(&vector.key.0).unwrap();
        let found = Chain::verify(pairs.collect(), &key)
            .and_then(|chain| chain.at(Timestamp::from_micros(vector.at), Duration::ZERO))
            .map_or_else(|error| kind(&error), |_| "");
        assert_eq!(found, vector.error, "{}: {}", vector.name, vector.rule);
    }
}
