//! The CDDL against the vectors, by a CDDL validator of other people's: the crate cddl-cat.
//!
//! It lacks three things that RFC 8610 has, so what it reads is claims.cddl with these said in another way ([`understood`]):
//! it knows no tags, so the tag is taken off the messages, and looked at here; it does not anchor `.regexp` at both ends; and
//! it reads no integer below -(2^63 - 1). And it takes a byte string for `.cbor` that goes on after its item ([`TRAILING`]).

use cddl_cat::{cbor::validate_cbor, context::BasicContext, flatten::flatten_from_str};
use ciborium::Value;
use proto::{claims::EvidenceKind, evidence::Evidence};

use super::{
    fields::CLAIMS,
    format::{ClaimsFile, Item, committed, folder},
    read::cases,
};

/// claims.cddl as cddl-cat understands it.
fn understood() -> BasicContext {
    let mut cddl = std::fs::read_to_string(folder().join("../claims.cddl")).unwrap();
    let mut say = |written: &str, instead: &str, times: usize| {
        assert_eq!(cddl.matches(written).count(), times, "claims.cddl says {written}");
        cddl = cddl.replace(written, instead);
    };
    say("#6.18([\n", "[\n", 1);
    say("\n])\n", "\n]\n", 1);
    say("offset = -9223372036854775808..", "offset = -9223372036854775807..", 1);
    say(".regexp \"", ".regexp \"^(?:", 3);
    let mut anchored = String::new();
    for line in cddl.lines() {
        let closed = match line.split_once(".regexp \"") {
            Some((before, rest)) => {
                let (pattern, after) = rest.split_once('"').unwrap();
                format!("{before}.regexp \"{pattern})$\"{after}")
            }
            None => line.to_owned(),
        };
        anchored.push_str(&closed);
        anchored.push('\n');
    }
    BasicContext::new(flatten_from_str(&anchored).unwrap())
}

/// Whether the rule describes a value.
fn describes(cddl: &BasicContext, rule: &str, value: &Value) -> bool {
    let rule = cddl.rules.get(rule).unwrap_or_else(|| panic!("no rule {rule}"));
    validate_cbor(rule, value, cddl).is_ok()
}

/// A message without its tag, which must be 18; `None` when it is no single CBOR item, or has another tag or none.
fn untagged(message: &[u8]) -> Option<Value> {
    let mut rest = message;
    match ciborium::from_reader(&mut rest) {
        Ok(Value::Tag(18, value)) if rest.is_empty() => Some(*value),
        _ => None,
    }
}

fn describes_message(cddl: &BasicContext, claim: &str, message: &[u8]) -> bool {
    untagged(message).is_some_and(|value| describes(cddl, &format!("signed-{claim}"), &value))
}

#[test]
fn every_claim_is_described_by_its_own_rule_and_by_no_other() {
    let cddl = understood();
    let file: ClaimsFile = committed("claims.json");
    for vector in &file.claims {
        for claim in CLAIMS {
            let own = *claim == vector.claim;
            let found = describes_message(&cddl, claim, &vector.message.0);
            // The one value that cddl-cat cannot read as the CDDL means it.
            let lowest = vector.fields.iter().any(|entry| entry.value == Item::Int(i64::MIN));
            assert_eq!(found, own && !lowest, "{} as a {claim}", vector.name);
        }
    }
}

#[test]
fn the_rules_refuse_what_breaks_a_shape() {
    let cddl = understood();
    let mut broken = 0;
    let mut others = Vec::new();
    for (file, case) in cases() {
        let found = describes_message(&cddl, &case.claim, &case.message.0);
        if found != case.cddl && !TRAILING.contains(&case.name.as_str()) {
            others.push(format!("{file}: {}: described {}", case.name, !case.cddl));
        }
        broken += usize::from(!case.cddl);
    }
    assert!(others.is_empty(), "{others:#?}");
    assert!(broken >= 60, "{broken} cases break a shape");
}

/// Cases with bytes after the item in a byte string, which cddl-cat does not look at.
const TRAILING: &[&str] = &["byte-after-the-map", "second-map", "header-with-a-byte-after"];

/// Without any one of its keys, a claim is another thing, unless the key is optional; with one more it always is.
#[test]
fn the_rules_know_every_key() {
    let cddl = understood();
    let file: ClaimsFile = committed("claims.json");
    for vector in &file.claims {
        let Ok(Value::Map(entries)) = ciborium::from_reader(vector.payload.0.as_slice()) else {
            panic!("{}: a map", vector.name);
        };
        let described = |entries: Vec<(Value, Value)>| describes(&cddl, &vector.claim, &Value::Map(entries));
        for (index, field) in vector.fields.iter().enumerate() {
            let mut without = entries.clone();
            without.remove(index);
            let optional = matches!(
                (vector.claim.as_str(), field.key),
                ("verdict", -65_542) | ("keyset", -65_538)
            );
            let lowest = vector
                .fields
                .iter()
                .any(|entry| entry.value == Item::Int(i64::MIN) && entry.key != field.key);
            assert_eq!(
                described(without),
                optional && !lowest,
                "{} without {}",
                vector.name,
                field.key
            );
        }
        for key in [0, 8, 99, -1, -65_536, -65_560] {
            let mut with = entries.clone();
            with.push((Value::Integer(key.into()), Value::Integer(0.into())));
            assert!(!described(with), "{} with {key}", vector.name);
        }
    }
}

#[test]
fn evidence_files_are_described_with_every_claim_in_its_place() {
    let cddl = understood();
    let scene = super::scene::Scene::honest();
    let evidence = scene.with_verdict(proto::claims::Outcome::Proved, "");
    let numbered = |evidence: &Evidence| {
        let claims = EvidenceKind::ALL
            .iter()
            .map(|kind| (kind.number(), evidence.claim(*kind)));
        let verdict = (8, evidence.verdict.as_ref().map(|blob| blob.0.as_slice()));
        claims
            .chain([verdict])
            .map(|(number, claim)| (number, claim.map(<[u8]>::to_vec)))
            .collect::<Vec<_>>()
    };
    // The tags inside are taken off as well.
    let file = |claims: &[(u64, Option<Vec<u8>>)]| {
        let entry = |(number, claim): &(u64, Option<Vec<u8>>)| {
            let claim = claim.as_ref()?;
            assert_eq!(claim[0], 0xd2);
            Some((Value::Integer((*number).into()), Value::Bytes(claim[1..].to_vec())))
        };
        Value::Map(claims.iter().filter_map(entry).collect())
    };
    let good = numbered(&evidence);
    assert!(describes(&cddl, "evidence", &file(&good)));
    for left_out in 0..good.len() {
        let mut fewer = good.clone();
        fewer.remove(left_out);
        assert!(describes(&cddl, "evidence", &file(&fewer)));
        let mut misplaced = good.clone();
        misplaced[left_out].1 = good[(left_out + 1) % good.len()].1.clone();
        assert!(!describes(&cddl, "evidence", &file(&misplaced)), "{left_out}");
        let mut cut = good.clone();
        cut[left_out].1.as_mut().unwrap().pop();
        assert!(!describes(&cddl, "evidence", &file(&cut)), "{left_out}");
    }
    assert!(!describes(&cddl, "evidence", &file(&[(9, good[0].1.clone())])));
}
