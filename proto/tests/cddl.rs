//! README.md, claims.cddl and the code say the same about the claims. The README's `cddl` blocks are the source:
//! `UPDATE_GENERATED=1 cargo test -p proto --test cddl` writes claims.cddl anew from them.
//!
//! What the code does is found out by encoding a sample of each claim: its keys, and by leaving each of them out, which
//! are optional. Plain string handling; a validator that we did not write is another test's.
#![expect(clippy::unwrap_used, clippy::panic, clippy::unreachable, reason = "tests")]

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::Path,
};

use proto::{
    cbor,
    checked::sign,
    claims::{
        Announcement, Challenge, Claim, EvidenceKind, FlowEnd, KeyBytes, KeyEntry, Keyset, Observation, Outcome,
        Path as Way, Phase, Protocol, Protocols, Receipt, Registration, Revoked, Role, Statement, Succession, Verdict,
        Welcome,
    },
    evidence::{Blob, Evidence},
    ids::{Address, ChannelBinding, Destination, Digest, Nonce, Pin, ProbeId, Thumbprint},
    key::SigningKey,
    probe,
    time::{Seconds, Timestamp},
};
use serde_cbor::Value;

/// The keys of a CBOR map, each with whether it is optional.
type Keys = BTreeMap<i64, bool>;

#[test]
fn claims_cddl_is_what_the_readme_quotes() {
    let quoted = quoted();
    let committed = root().join("claims.cddl");
    if env::var_os("UPDATE_GENERATED").is_some() {
        fs::write(&committed, &quoted).unwrap();
    }
    assert!(
        file("claims.cddl") == quoted,
        "claims.cddl differs from README.md: run UPDATE_GENERATED=1 cargo test -p proto --test cddl"
    );
}

#[test]
fn each_claim_has_the_keys_and_the_type_of_its_rule() {
    let cddl = quoted();
    agrees(&cddl, &keyset());
    agrees(&cddl, &welcome());
    agrees(&cddl, &registration());
    agrees(&cddl, &succession());
    agrees(&cddl, &announcement());
    agrees(&cddl, &challenge());
    agrees(&cddl, &statement());
    agrees(&cddl, &observation());
    agrees(&cddl, &receipt());
    agrees(&cddl, &verdict());
    let types = cddl.matches("+cose\"").count();
    assert_eq!(types, 10, "one type for each claim, and no other");
}

#[test]
fn the_maps_around_and_inside_the_claims_have_the_keys_of_their_rules() {
    let cddl = quoted();
    assert_eq!(keys_of(&evidence()), rule_keys(&cddl, "evidence"));
    assert_eq!(keys_of(&key_entry()), rule_keys(&cddl, "key-entry"));
    assert_eq!(keys_of(&revoked()), rule_keys(&cddl, "revoked"));

    let envelope = sign(&challenge(), &key()).unwrap();
    let Value::Array(parts) = serde_cbor::from_slice(&envelope[1..]).unwrap() else {
        unreachable!("an array")
    };
    let Value::Bytes(protected) = &parts[0] else {
        unreachable!("bytes")
    };
    let header: Value = serde_cbor::from_slice(protected).unwrap();
    let written: BTreeSet<i64> = map(&header).keys().copied().collect();
    assert_eq!(
        written,
        rule_keys(&cddl, "protected-header<typ>").keys().copied().collect()
    );
    assert_eq!(map(&header)[&16], Value::Text(Challenge::TYP.to_owned()));
}

#[test]
fn the_words_and_numbers_of_the_code_are_those_of_the_rules() {
    let cddl = quoted();
    let words = |words: Vec<&str>| {
        words
            .iter()
            .map(|word| format!("\"{word}\""))
            .collect::<Vec<_>>()
            .join(" / ")
    };
    for (rule, wanted) in [
        ("role", words(Role::ALL.iter().map(|word| word.as_str()).collect())),
        (
            "protocol",
            words(Protocol::ALL.iter().map(|word| word.as_str()).collect()),
        ),
        ("path", words(Way::ALL.iter().map(|word| word.as_str()).collect())),
        (
            "flow-end",
            words(FlowEnd::ALL.iter().map(|word| word.as_str()).collect()),
        ),
        (
            "outcome",
            words(Outcome::ALL.iter().map(|word| word.as_str()).collect()),
        ),
        (
            "phase",
            numbered(Phase::ALL.iter().map(|word| (word.number(), word.as_str()))),
        ),
        (
            "evidence-kind",
            numbered(EvidenceKind::ALL.iter().map(|word| (word.number(), word.as_str()))),
        ),
    ] {
        assert_eq!(rule_line(&cddl, rule), format!("{rule} = {wanted}"));
    }
    for part in [
        format!("[1*{} key-entry]", Keyset::MAX_KEYS),
        format!("[1*{} revoked]", Keyset::MAX_REVOKED),
        format!("[1*{} protocol]", Protocol::ALL.len()),
        format!("-65537 => 0..{},", Challenge::MAX_BODY),
    ] {
        assert!(cddl.contains(&part), "{part}");
    }
}

/// The sentences of the README that state a length.
#[test]
fn the_lengths_in_the_text_are_those_of_the_code() {
    let readme = file("README.md");
    let says = |sentence: &str| assert!(readme.contains(sentence), "README.md does not say: {sentence}");
    says(&format!("{} bytes |", thousands(cbor::MAX_BYTES)));
    says(&format!(
        "| an evidence file | {} bytes |",
        thousands(Evidence::MAX_BYTES)
    ));
    says(&format!(
        "| depth of arrays and maps in one CBOR item | {} |",
        cbor::MAX_DEPTH
    ));
    says(&format!(
        "a head of exactly **{} bytes**",
        thousands(probe::ORIGIN_HEAD)
    ));
    let (challenge, destination) = (sign(&challenge(), &key()).unwrap(), destination());
    let fixed = 47;
    says(&format!("its length, {fixed} + ⌈4*n*/3⌉ + the length of *d*"));
    let up = fixed + (4 * challenge.len()).div_ceil(3) + destination.as_str().len();
    assert_eq!(probe::request(&challenge, &destination).len(), up);
}

/// The README shows the one form of the answer's head.
#[test]
fn the_head_in_the_text_is_the_codes() {
    let statement = [0xa5; 300];
    let head = String::from_utf8(probe::answer_head(&statement, 123_456).unwrap()).unwrap();
    let encoded = data_encoding::BASE64URL_NOPAD.encode(&statement);
    let hyphens = head.split("x-pad: ").nth(1).unwrap().trim_end();
    let shown = head
        .replace(&encoded, "‹statement›")
        .replace("123456", "‹length›")
        .replace(hyphens, "‹hyphens›")
        .replace("\r\n", "␍␊\n");
    assert!(file("README.md").contains(&shown), "README.md does not show:\n{shown}");
}

/// The CDDL of a claim names the keys that the code writes, with the same optionality, under the claim's type.
fn agrees<T: Claim>(cddl: &str, sample: &T) {
    sign(sample, &key()).unwrap();
    assert_eq!(keys_of(sample), rule_keys(cddl, T::NAME), "{}", T::NAME);
    let signed = format!("signed-{0} = sign1<\"{1}\", {0}>", T::NAME, T::TYP);
    assert_eq!(rule_line(cddl, &format!("signed-{}", T::NAME)), signed);
}

/// The keys that the code writes for a sample with everything in it; those are optional that it can be read without.
fn keys_of<T: serde::Serialize + serde::de::DeserializeOwned>(sample: &T) -> Keys {
    let whole: Value = serde_cbor::from_slice(&serde_cbor::to_vec(sample).unwrap()).unwrap();
    let optional = |key: &i64| {
        let mut rest = map(&whole);
        rest.remove(key);
        let rest = Value::Map(
            rest.into_iter()
                .map(|(key, value)| (Value::Integer(key.into()), value))
                .collect(),
        );
        serde_cbor::from_slice::<T>(&serde_cbor::to_vec(&rest).unwrap()).is_ok()
    };
    map(&whole).into_keys().map(|key| (key, optional(&key))).collect()
}

fn map(value: &Value) -> BTreeMap<i64, Value> {
    let Value::Map(entries) = value else {
        unreachable!("a map")
    };
    let entry = |(key, value): (&Value, &Value)| match key {
        Value::Integer(key) => (i64::try_from(*key).unwrap(), value.clone()),
        _ => unreachable!("integer keys"),
    };
    entries.iter().map(entry).collect()
}

/// The keys of the map that `rule` is in the CDDL: one entry a line.
fn rule_keys(cddl: &str, rule: &str) -> Keys {
    let start = format!("{rule} = {{\n");
    let body = cddl
        .split_once(&start)
        .unwrap_or_else(|| panic!("no rule {rule}"))
        .1
        .split_once("\n}")
        .unwrap()
        .0;
    let mut keys = Keys::new();
    for line in body.lines() {
        let entry = line.trim();
        let (entry, optional) = entry.strip_prefix("? ").map_or((entry, false), |rest| (rest, true));
        let key = entry.split_once(" => ").unwrap_or_else(|| panic!("{rule}: {line}")).0;
        assert_eq!(keys.insert(key.parse().unwrap(), optional), None, "{rule}: {key} twice");
    }
    keys
}

/// The line that defines `rule`.
fn rule_line(cddl: &str, rule: &str) -> String {
    let start = format!("{rule} = ");
    let mut lines = cddl.lines().filter(|line| line.starts_with(&start));
    let line = lines.next().unwrap_or_else(|| panic!("no rule {rule}"));
    assert_eq!(lines.next(), None, "{rule} twice");
    line.to_owned()
}

/// `1..7  ; first, second, …`
fn numbered<'a>(words: impl Iterator<Item = (u64, &'a str)>) -> String {
    let (numbers, words): (Vec<u64>, Vec<&str>) = words.unzip();
    assert!(numbers.iter().copied().eq(1..=numbers.len() as u64));
    format!("1..{}  ; {}", numbers.len(), words.join(", "))
}

/// The `cddl` blocks of the README, a blank line between them.
fn quoted() -> String {
    let readme = file("README.md");
    let blocks = readme.split("```cddl\n").skip(1);
    let blocks: Vec<&str> = blocks.map(|rest| rest.split_once("```").unwrap().0).collect();
    blocks.join("\n")
}

fn thousands(number: usize) -> String {
    if number < 1000 {
        number.to_string()
    } else {
        format!("{},{:03}", number / 1000, number % 1000)
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn file(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_default()
}

fn key() -> SigningKey {
    SigningKey::from_seed(&[7; 32])
}

fn me() -> Thumbprint {
    key().public().thumbprint()
}

fn destination() -> Destination {
    "origin.example:80".parse().unwrap()
}

fn address() -> Address {
    "192.0.2.7:443".parse().unwrap()
}

const EXPIRES: Seconds = Seconds::new(1_800_000_060);
const NOW: Seconds = Seconds::new(1_800_000_000);
const TIME: Timestamp = Timestamp::from_secs(1_800_000_000);
const NONCE: Nonce = Nonce::from_bytes([1; 32]);
const PROBE: ProbeId = ProbeId::from_bytes([2; 16]);
const DIGEST: Digest = Digest::from_bytes([3; 32]);
const PIN: Pin = Pin::from_bytes([4; 32]);
const BINDING: ChannelBinding = ChannelBinding::from_bytes([5; 32]);

fn key_entry() -> KeyEntry {
    KeyEntry {
        role: Role::Origin,
        key: KeyBytes(*key().public().as_bytes()),
        not_before: NOW,
        expires: EXPIRES,
    }
}

fn keyset() -> Keyset {
    Keyset {
        issuer: me(),
        expires: EXPIRES,
        not_before: NOW,
        issued_at: NOW,
        keys: vec![key_entry()],
        revoked: vec![revoked()],
    }
}

fn revoked() -> Revoked {
    Revoked {
        key: DIGEST,
        since: NOW,
    }
}

fn welcome() -> Welcome {
    Welcome {
        issuer: me(),
        expires: EXPIRES,
        issued_at: NOW,
        session: NONCE,
        channel_binding: BINDING,
        server_time: TIME,
        versions: proto::version::SPOKEN.to_vec(),
    }
}

fn registration() -> Registration {
    Registration {
        issuer: me(),
        subject: me(),
        audience: me(),
        expires: EXPIRES,
        issued_at: NOW,
        session: NONCE,
        key: KeyBytes(*key().public().as_bytes()),
        address: address(),
        protocols: Protocols::new(Protocol::ALL.iter().copied()).unwrap(),
        pin: PIN,
        channel_binding: BINDING,
        software: "test".to_owned(),
        peer_time: TIME,
    }
}

fn succession() -> Succession {
    let new = SigningKey::from_seed(&[8; 32]).public();
    Succession {
        issuer: me(),
        subject: new.thumbprint(),
        expires: EXPIRES,
        not_before: NOW,
        issued_at: NOW,
        old: KeyBytes(*key().public().as_bytes()),
        new: KeyBytes(*new.as_bytes()),
    }
}

fn announcement() -> Announcement {
    Announcement {
        issuer: me(),
        subject: me(),
        expires: EXPIRES,
        not_before: NOW,
        issued_at: NOW,
        probe: PROBE,
        destination: destination(),
        challenge: DIGEST,
        up: 1,
        down: 1,
    }
}

fn challenge() -> Challenge {
    Challenge {
        issuer: me(),
        subject: me(),
        audience: destination(),
        expires: EXPIRES,
        not_before: NOW,
        issued_at: NOW,
        probe: PROBE,
        nonce: NONCE,
        body_length: 1,
    }
}

fn statement() -> Statement {
    Statement {
        issuer: destination(),
        subject: me(),
        audience: me(),
        expires: EXPIRES,
        issued_at: NOW,
        probe: PROBE,
        nonce: NONCE,
        challenge: DIGEST,
        source: address(),
        arrived: TIME,
        body_length: 1,
        body_digest: DIGEST,
    }
}

fn observation() -> Observation {
    Observation {
        issuer: me(),
        subject: me(),
        audience: me(),
        expires: EXPIRES,
        issued_at: NOW,
        probe: PROBE,
        nonce: NONCE,
        path: Way::Direct,
        protocol: Protocol::Connect,
        address: address(),
        pin: PIN,
        sent: 1,
        sent_digest: DIGEST,
        received: 1,
        received_digest: DIGEST,
        body: 1,
        body_digest: DIGEST,
        started: TIME,
        phases: Phase::ALL.iter().map(|phase| (phase.number(), 1)).collect(),
        head_digest: DIGEST,
    }
}

fn receipt() -> Receipt {
    Receipt {
        issuer: me(),
        subject: me(),
        audience: me(),
        expires: EXPIRES,
        issued_at: NOW,
        probe: PROBE,
        nonce: NONCE,
        destination: destination(),
        up: 1,
        up_digest: DIGEST,
        down: 1,
        down_digest: DIGEST,
        opened: TIME,
        closed: TIME,
        end: FlowEnd::Lengths,
    }
}

fn verdict() -> Verdict {
    Verdict {
        issuer: me(),
        subject: me(),
        expires: EXPIRES,
        issued_at: NOW,
        probe: PROBE,
        outcome: Outcome::Failed,
        reason: "truncated".to_owned(),
        remedy: "test".to_owned(),
        standing: "probing".to_owned(),
        evidence: EvidenceKind::ALL.iter().map(|kind| (kind.number(), DIGEST)).collect(),
        receipt_arrived: Some(TIME),
        clock_offset: -1,
    }
}

fn evidence() -> Evidence {
    let blob = || Some(Blob(vec![0]));
    Evidence {
        keyset: blob(),
        registration: blob(),
        announcement: blob(),
        challenge: blob(),
        statement: blob(),
        observation: blob(),
        receipt: blob(),
        verdict: blob(),
    }
}
