//! Each rule of deterministic CBOR, broken in the payload of a claim.

use proto::claims::EvidenceKind;

use super::{Cases, base, carried, verdict, welcome};
use crate::{
    envelope::{Draft, map_of},
    format::{Case, Item, head},
};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Cases::default();
    shortest(&mut cases);
    lengths(&mut cases);
    keys(&mut cases);
    values(&mut cases);
    bounds(&mut cases);
    ends(&mut cases);
    cases.0
}

const SHORTEST: &str = "an integer or length that is not in its shortest form";
const INDEFINITE: &str = "an indefinite length";
const RESERVED: &str = "a reserved length (28 to 30)";
const ASCENDING: &str =
    "map keys that are not in strictly ascending order of their encoded bytes, which excludes duplicates";
const UTF8: &str = "text that is not UTF-8";
const SIMPLE: &str = "any tag, float, null, undefined or simple value other than true and false";
const DEPTH: &str = "arrays and maps nested deeper than 4";
const BOMB: &str = "a string or a container longer than the rest of the input";
const AFTER: &str = "bytes after the item";
const NULL: &str = "an optional key with null";
const LONG: &str = "a claim with its envelope | 4,096 bytes";
const CBOR: (u8, &str) = (3, "cbor");

const BODY_LENGTH: i64 = -65_537;

fn raw(bytes: &[u8]) -> Item {
    Item::Raw(bytes.to_vec())
}

/// The base with another value for a key, which the CDDL describes or not.
fn value(cases: &mut Cases, name: &str, rule: &str, key: i64, bytes: &[u8], cddl: bool) {
    let draft = base().with(key, raw(bytes));
    cases.refuse(name, rule, &draft, draft.message(), CBOR).cddl = cddl;
}

/// The base with another payload.
fn payload(cases: &mut Cases, name: &str, rule: &str, bytes: Vec<u8>, cddl: bool) {
    let draft = base();
    let message = draft.parts_of(bytes).signed_by(draft.signer);
    cases.refuse(name, rule, &draft, message, CBOR).cddl = cddl;
}

/// The payload's entries, encoded, each by itself.
fn entries(draft: &Draft) -> Vec<Vec<u8>> {
    let encode = |entry: &crate::format::Entry| [Item::Int(entry.key).encode(), entry.value.encode()].concat();
    draft.entries.iter().map(encode).collect()
}

fn shortest(cases: &mut Cases) {
    for (name, bytes) in [
        ("number-of-24-in-a-wider-head", &[0x18, 0x05][..]),
        ("number-in-two-bytes-that-fits-one", &[0x19, 0x00, 0x05]),
        ("number-in-four-bytes-that-fits-two", &[0x1a, 0, 0, 0x05, 0x05]),
        (
            "number-in-eight-bytes-that-fits-four",
            &[0x1b, 0, 0, 0, 0, 0, 0x05, 0x05, 0x05],
        ),
    ] {
        value(cases, name, SHORTEST, BODY_LENGTH, bytes, true);
    }
    let nonce = base().entries[7].value.encode()[2..].to_vec();
    value(
        cases,
        "bytes-with-a-wide-length",
        SHORTEST,
        10,
        &[&[0x59, 0x00, 0x20], &nonce[..]].concat(),
        true,
    );
    value(
        cases,
        "text-with-a-wide-length",
        SHORTEST,
        3,
        b"\x79\x00\x11origin.example:80",
        true,
    );
    let rest = entries(&base()).concat();
    payload(
        cases,
        "map-with-a-wide-length",
        SHORTEST,
        [&[0xb8, 0x09], &rest[..]].concat(),
        true,
    );
    payload(
        cases,
        "key-in-a-wide-head",
        SHORTEST,
        map_of(9, &[&[0x18], &rest[..]].concat()),
        true,
    );
    let wide = [
        &entries(&base())[..8].concat()[..],
        &[0x3b, 0, 0, 0, 0, 0, 1, 0, 0],
        &[0x05],
    ]
    .concat();
    payload(cases, "negative-key-in-a-wide-head", SHORTEST, map_of(9, &wide), true);
    let draft = welcome().with(-65_539, raw(&[0x98, 0x01, 0x01]));
    cases
        .refuse("array-with-a-wide-length", SHORTEST, &draft, draft.message(), CBOR)
        .described();
}

fn lengths(cases: &mut Cases) {
    let nonce = base().entries[7].value.encode();
    value(
        cases,
        "bytes-in-chunks",
        INDEFINITE,
        10,
        &[&[0x5f], &nonce[..], &[0xff]].concat(),
        true,
    );
    value(
        cases,
        "text-in-chunks",
        INDEFINITE,
        3,
        b"\x7f\x67origin.\x6aexample:80\xff",
        true,
    );
    let rest = entries(&base()).concat();
    payload(
        cases,
        "map-without-a-length",
        INDEFINITE,
        [&[0xbf], &rest[..], &[0xff]].concat(),
        true,
    );
    let draft = welcome().with(-65_539, raw(&[0x9f, 0x01, 0xff]));
    cases
        .refuse("array-without-a-length", INDEFINITE, &draft, draft.message(), CBOR)
        .described();
    value(
        cases,
        "break-without-a-beginning",
        INDEFINITE,
        BODY_LENGTH,
        &[0xff],
        false,
    );
    for (name, first) in [
        ("number-28", 0x1c),
        ("number-29", 0x1d),
        ("number-30", 0x1e),
        ("negative-28", 0x3c),
    ] {
        value(
            cases,
            &format!("reserved-{name}"),
            RESERVED,
            BODY_LENGTH,
            &[first],
            false,
        );
    }
    for (name, key, first) in [
        ("bytes-28", 10, 0x5c),
        ("text-29", 3, 0x7d),
        ("array-30", BODY_LENGTH, 0x9e),
        ("map-28", BODY_LENGTH, 0xbc),
    ] {
        value(cases, &format!("reserved-{name}"), RESERVED, key, &[first], false);
    }
}

fn keys(cases: &mut Cases) {
    let all = entries(&base());
    let again = |index: usize| [&all[..=index].concat()[..], &all[index..].concat()[..]].concat();
    payload(
        cases,
        "key-twice-with-one-value",
        ASCENDING,
        map_of(10, &again(0)),
        true,
    );
    payload(cases, "private-key-twice", ASCENDING, map_of(10, &again(8)), true);
    let other = [&all[..5].concat()[..], &[5, 0], &all[5..].concat()[..]].concat();
    payload(cases, "key-twice-with-two-values", ASCENDING, map_of(10, &other), true);
    let mut swapped = all.clone();
    swapped.swap(3, 4);
    payload(cases, "keys-swapped", ASCENDING, map_of(9, &swapped.concat()), true);
    let mut numeric = all;
    numeric.rotate_right(1);
    payload(
        cases,
        "keys-by-their-numbers",
        ASCENDING,
        map_of(9, &numeric.concat()),
        true,
    );
    let observation = carried(EvidenceKind::Observation);
    for (name, phases) in [
        ("phase-twice", &[0xa2, 1, 5, 1, 5][..]),
        ("phases-swapped", &[0xa2, 2, 5, 1, 5]),
    ] {
        let draft = observation.clone().with(-65_548, raw(phases));
        cases.refuse(name, ASCENDING, &draft, draft.message(), CBOR).described();
    }
}

fn values(cases: &mut Cases) {
    for (name, text) in [
        ("text-with-a-byte-ff", &b"\x6forigin\xff.test:80"[..]),
        ("text-with-an-overlong-nul", b"\x6forigin\xc0\x80test:80"),
        ("text-with-a-surrogate", b"\x70origin\xed\xa0\x80test:80"),
        ("text-cut-in-a-character", b"\x6forigin.test:80\xc3"),
    ] {
        value(cases, name, UTF8, 3, text, false);
    }
    let exp = base().entries[3].value.encode();
    value(cases, "tagged-time", SIMPLE, 4, &[&[0xc1], &exp[..]].concat(), false);
    let nonce = base().entries[7].value.encode();
    value(
        cases,
        "tagged-bytes",
        SIMPLE,
        10,
        &[&[0xd8, 0x18], &nonce[..]].concat(),
        false,
    );
    payload(
        cases,
        "self-described-payload",
        SIMPLE,
        [&[0xd9, 0xd9, 0xf7], &base().payload()[..]].concat(),
        false,
    );
    payload(
        cases,
        "payload-tagged-as-a-cwt",
        SIMPLE,
        [&[0xd8, 0x3d], &base().payload()[..]].concat(),
        false,
    );
    for (name, bytes) in [
        ("half-float", &[0xf9, 0x64, 0x00][..]),
        ("single-float", &[0xfa, 0x44, 0x80, 0, 0]),
        ("double-float", &[0xfb, 0x40, 0x90, 0, 0, 0, 0, 0, 0]),
        ("not-a-number", &[0xf9, 0x7e, 0x00]),
        ("null", &[0xf6]),
        ("undefined", &[0xf7]),
        ("simple-0", &[0xe0]),
        ("simple-32", &[0xf8, 0x20]),
        ("false-in-two-bytes", &[0xf8, 0x14]),
    ] {
        value(cases, name, SIMPLE, BODY_LENGTH, bytes, false);
    }
    let draft = verdict().with(-65_542, raw(&[0xf6]));
    cases.refuse("optional-null", NULL, &draft, draft.message(), CBOR);
    // Those two simple values are good CBOR, and still no number.
    for (name, byte) in [("true-for-a-number", 0xf5), ("false-for-a-number", 0xf4)] {
        let draft = base().with(BODY_LENGTH, raw(&[byte]));
        cases.refuse(name, "-65537 => 0..4194304", &draft, draft.message(), (3, "shape"));
    }
}

fn bounds(cases: &mut Cases) {
    value(
        cases,
        "five-deep",
        DEPTH,
        BODY_LENGTH,
        &[0x81, 0x81, 0x81, 0x81, 0x00],
        false,
    );
    value(
        cases,
        "five-deep-in-maps",
        DEPTH,
        BODY_LENGTH,
        &[0xa1, 0, 0xa1, 0, 0xa1, 0, 0xa1, 0, 0],
        false,
    );
    value(
        cases,
        "two-thousand-deep",
        DEPTH,
        BODY_LENGTH,
        &[vec![0x81; 2000], vec![0]].concat(),
        false,
    );
    let draft = base().with(BODY_LENGTH, raw(&[0x81, 0x81, 0x81, 0x00]));
    cases.refuse(
        "four-deep",
        "-65537 => 0..4194304",
        &draft,
        draft.message(),
        (3, "shape"),
    );
    for (name, bytes) in [
        (
            "bytes-of-2-to-the-64",
            &[0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff][..],
        ),
        ("text-of-2-to-the-63", &[0x7b, 0x80, 0, 0, 0, 0, 0, 0, 0]),
        (
            "array-of-2-to-the-64",
            &[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        ),
        ("map-of-2-to-the-63", &[0xbb, 0x80, 0, 0, 0, 0, 0, 0, 0]),
        ("array-of-2-to-the-24", &[0x9a, 0x00, 0xff, 0xff, 0xff]),
        ("bytes-one-too-many", &[0x42, 0x00]),
    ] {
        value(cases, name, BOMB, BODY_LENGTH, bytes, false);
    }
    let all = entries(&base()).concat();
    payload(cases, "map-with-one-entry-too-few", BOMB, map_of(10, &all), false);
    let long = |length: usize| {
        let room = length - verdict().with(-65_539, Item::Tstr("x".repeat(256))).message().len() + 256;
        verdict().with(-65_539, Item::Tstr("x".repeat(room)))
    };
    let draft = long(4097);
    cases.refuse("message-of-4097-bytes", LONG, &draft, draft.message(), (1, "too-long"));
    let draft = long(4096);
    cases.refuse(
        "message-of-4096-bytes",
        "-65539 => tstr .size (0..512)",
        &draft,
        draft.message(),
        (3, "shape"),
    );
}

fn ends(cases: &mut Cases) {
    payload(
        cases,
        "byte-after-the-map",
        AFTER,
        [&base().payload()[..], &[0]].concat(),
        false,
    );
    payload(
        cases,
        "second-map",
        AFTER,
        [base().payload(), base().payload()].concat(),
        false,
    );
    payload(
        cases,
        "last-byte-missing",
        BOMB,
        base().payload()[..base().payload().len() - 1].to_vec(),
        false,
    );
    payload(cases, "empty-payload", BOMB, vec![], false);
    payload(cases, "head-alone", BOMB, head(5, 9), false);
    let draft = base();
    let longer = [draft.message(), vec![0]].concat();
    cases.refuse("byte-after-the-message", AFTER, &draft, longer, (1, "cbor"));
    let mut shorter = draft.message();
    shorter.pop();
    cases.refuse("message-without-its-last-byte", BOMB, &draft, shorter, (1, "cbor"));
}
