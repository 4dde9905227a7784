//! The vectors read back from their files: the library is held to each of them.

use std::{collections::BTreeSet, fs};

use proto::{checked::Signed, ids::Digest, key::PublicKey};

use super::{
    cast::{ZONE, key},
    fields::{CLAIMS, Golden, fields_of, for_claim, key_kind, open, public_key, signed_again, window_of},
    format::{Case, CasesFile, ClaimVector, ClaimsFile, Item, KeysFile, committed, folder},
};

/// The files with cases.
pub(crate) const CASES: &[&str] = &[
    "refused-encodings.json",
    "refused-envelopes.json",
    "refused-types.json",
    "refused-texts.json",
    "refused-claims.json",
    "refused-signatures.json",
    "windows.json",
    "roles.json",
];

pub(crate) fn cases() -> impl Iterator<Item = (&'static str, Case)> {
    let of_file = |name: &&'static str| {
        let name = *name;
        let file: CasesFile = committed(name);
        file.cases.into_iter().map(move |case| (name, case))
    };
    CASES.iter().flat_map(of_file)
}

#[test]
fn keys_are_named_as_their_seeds_say() {
    let file: KeysFile = committed("keys.json");
    for vector in &file.keys {
        let seed = vector.seed.0.as_slice().try_into().unwrap();
        let public = proto::key::SigningKey::from_seed(&seed).public();
        let thumbprint = public.thumbprint();
        assert_eq!(public.as_bytes(), vector.public.0.as_slice(), "{}", vector.name);
        assert_eq!(thumbprint.as_bytes(), vector.key_id.0.as_slice());
        assert_eq!(vector.text.parse::<PublicKey>().unwrap(), public);
        assert_eq!(thumbprint.to_string(), vector.thumbprint);
        assert_eq!(public.peer_id().as_str(), vector.peer_id);
        assert_eq!(public.peer_id().own_name(ZONE), vector.own_name);
    }
    for refused in &file.refused {
        let error = public_key(&refused.public.0).expect_err(&refused.name);
        assert_eq!(key_kind(&error), refused.error, "{}", refused.name);
    }
    for refused in &file.refused_texts {
        let error = refused.text.parse::<PublicKey>().expect_err(&refused.name);
        assert_eq!(key_kind(&error), refused.error, "{}", refused.name);
    }
}

#[test]
fn claims_hold_to_the_byte() {
    let file: ClaimsFile = committed("claims.json");
    for vector in &file.claims {
        let claim = vector.claim.as_str();
        for_claim!(claim, holds(vector));
        assert_eq!(
            Item::Map(vector.fields.clone()).encode(),
            vector.payload.0,
            "{}",
            vector.name
        );
    }
    let kinds: BTreeSet<_> = file.claims.iter().map(|vector| vector.claim.as_str()).collect();
    assert_eq!(kinds, CLAIMS.iter().copied().collect(), "each claim has a vector");
}

fn holds<T: Golden>(vector: &ClaimVector) {
    let name = &vector.name;
    let message = &vector.message.0;
    let signer = key(&vector.signed_by);
    let signed = Signed::<T>::parse(message).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(signed.digest().as_bytes(), vector.digest.0.as_slice(), "{name}");
    assert_eq!(signed.key_id(), signer.public().thumbprint(), "{name}");
    signed
        .verify(&signer.public())
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(T::TYP, vector.typ, "{name}");
    assert_eq!(fields_of::<T>(message), vector.fields, "{name}");
    assert_eq!(window_of::<T>(message), vector.window, "{name}");
    assert_eq!(&signed_again::<T>(message, &signer), message, "{name}");
    assert_eq!(
        signer.sign(&vector.to_be_signed.0).as_slice(),
        vector.signature.0,
        "{name}"
    );
    for part in [&vector.protected, &vector.payload, &vector.signature] {
        assert!(message.windows(part.0.len()).any(|window| window == part.0), "{name}");
    }
    assert_eq!(Digest::of(message).as_bytes(), vector.digest.0.as_slice(), "{name}");
}

#[test]
fn every_case_comes_out_as_its_file_says() {
    let (mut refused, mut others) = (0, Vec::new());
    for (file, case) in cases() {
        let claim = case.claim.as_str();
        let found = for_claim!(claim, open(&case)).err().unwrap_or((0, ""));
        // A broken encoding does not tell whether it was found in the envelope or in the payload.
        let step = if found.0 == 0 && !found.1.is_empty() {
            case.step
        } else {
            found.0
        };
        if (step, found.1) != (case.step, case.error.as_str()) {
            others.push(format!(
                "{file}: {}: {found:?}, not {:?}",
                case.name,
                (case.step, &case.error)
            ));
        }
        refused += usize::from(!case.error.is_empty());
    }
    assert!(others.is_empty(), "{others:#?}");
    assert!(refused >= 60, "{refused} negative cases");
}

#[test]
fn no_two_cases_of_a_file_have_one_name_or_one_content() {
    for file in CASES {
        let cases: CasesFile = committed(file);
        let mut names = BTreeSet::new();
        let mut contents = BTreeSet::new();
        for case in &cases.cases {
            assert!(names.insert(&case.name), "{file}: {}", case.name);
            let keyset = case.keyset.as_ref().map(|keyset| &keyset.0);
            let key = case.key.as_ref().map(|key| &key.0);
            let content = (&case.claim, &case.message.0, key, keyset, case.at, case.leeway);
            assert!(contents.insert(content), "{file}: {} is another one again", case.name);
        }
    }
}

/// Rules are quoted: whoever changes one in the README comes by here.
#[test]
fn every_rule_is_a_quotation_of_the_readme() {
    let readme = one_line(&readme());
    let keys: KeysFile = committed("keys.json");
    let of_keys = keys.refused.into_iter().map(|key| key.rule);
    let of_texts = keys.refused_texts.into_iter().map(|text| text.rule);
    let of_cases = cases().map(|(_, case)| case.rule);
    let rules: BTreeSet<String> = of_keys.chain(of_texts).chain(of_cases).collect();
    let strange: Vec<_> = rules.iter().filter(|rule| !readme.contains(&one_line(rule))).collect();
    assert!(strange.is_empty(), "not in README.md: {strange:#?}");
}

/// And the other way round: what the README says that a decoder must refuse, a vector has it refuse.
#[test]
fn everything_that_a_decoder_of_cbor_must_refuse_has_a_vector() {
    let readme = readme();
    let section = readme.split("\n### CBOR\n").nth(1).unwrap();
    let section = section.split("\n### ").next().unwrap();
    let bullets: Vec<String> = section.split("\n* ").skip(1).map(first_paragraph).collect();
    assert_eq!(bullets.len(), 5, "{bullets:#?}");
    let clauses = bullets.iter().flat_map(|bullet| bullet.split(';'));
    let clauses: BTreeSet<&str> = clauses.map(|clause| clause.trim_matches([' ', '.'])).collect();
    let clauses: BTreeSet<&str> = clauses.into_iter().filter(|clause| !clause.is_empty()).collect();
    let refused: BTreeSet<String> = cases()
        .filter(|(_, case)| !case.error.is_empty())
        .map(|(_, case)| one_line(&case.rule))
        .collect();
    let without: Vec<_> = clauses.iter().filter(|clause| !refused.contains(**clause)).collect();
    assert!(without.is_empty(), "no vector is refused for {without:#?}");
    assert!(clauses.len() >= 12, "{clauses:#?}");
}

fn readme() -> String {
    fs::read_to_string(folder().join("../README.md")).unwrap()
}

/// A text however it is broken into lines.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn first_paragraph(text: &str) -> String {
    one_line(text.split("\n\n").next().unwrap())
}
