//! The shape of each claim, and its rules beyond the shape.

use proto::claims::EvidenceKind;

use super::{Cases, base, carried, succession, types, verdict, welcome};
use crate::{
    cast::{public, thumbprint},
    envelope::{Draft, bstr, header, tstr},
    format::{Case, Item},
    scene::DAY,
};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Cases::default();
    maps(&mut cases);
    numbers(&mut cases);
    keysets(&mut cases);
    revocations(&mut cases);
    sessions(&mut cases);
    probes(&mut cases);
    verdicts(&mut cases);
    successions(&mut cases);
    cases.0
}

const UNKNOWN: &str = "a key that its map does not define";
const MISSING: &str = "a missing key that is not optional";
const SHAPE: (u8, &str) = (3, "shape");

/// Breaks the shape.
fn shape(cases: &mut Cases, name: &str, rule: &str, draft: Draft) {
    cases.refuse(name, rule, &draft, draft.message(), SHAPE);
}

/// Keeps the shape, and breaks a rule beyond it.
fn beyond(cases: &mut Cases, name: &str, rule: &str, draft: Draft) {
    cases.refuse(name, rule, &draft, draft.message(), SHAPE).described();
}

fn maps(cases: &mut Cases) {
    for draft in types::all() {
        // An optional key may be missing; the last one of each claim that may not, is.
        let last = draft.entries.last().expect("fields").key;
        let name = format!("{}-without-key{last}", draft.claim);
        shape(cases, &name, MISSING, draft.clone().without(last));
        let name = format!("{}-without-key-1", draft.claim);
        shape(cases, &name, MISSING, draft.clone().without(1));
        let name = format!("{}-with-key-99", draft.claim);
        shape(cases, &name, UNKNOWN, draft.and(99, Item::Uint(0)));
    }
    for (name, key) in [
        ("key-0", 0),
        ("key-8", 8),
        ("key-minus-1", -1),
        ("key-minus-65536", -65_536),
        ("next-private-key", -65_538),
    ] {
        shape(cases, name, UNKNOWN, base().and(key, Item::Uint(0)));
    }
    let entries = base().entries.len() as u64;
    for (name, key) in [
        ("text-key", tstr("x").encode()),
        ("bytes-key", bstr(b"x").encode()),
        (
            "key-of-64-bits",
            vec![0x3b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        ),
    ] {
        let draft = base();
        let mut payload = draft.payload();
        payload.extend([key, vec![0]].concat());
        payload[0] = 0xa0 | u8::try_from(entries + 1).expect("few");
        let message = draft.parts_of(payload).signed_by(draft.signer);
        cases.refuse(name, UNKNOWN, &draft, message, SHAPE);
    }
    for (name, payload) in [
        ("payload-number", vec![0x00]),
        ("payload-array", vec![0x80]),
        ("payload-text", tstr("claim").encode()),
        ("payload-bytes", bstr(&base().payload()).encode()),
        ("payload-empty-map", vec![0xa0]),
    ] {
        let draft = base();
        let message = draft.parts_of(payload).signed_by(draft.signer);
        cases.refuse(name, MISSING, &draft, message, SHAPE);
    }
}

fn numbers(cases: &mut Cases) {
    for (name, rule, key, value) in [
        ("negative-time", "seconds = uint .size 8", 4, Item::Int(-1)),
        ("time-as-text", "seconds = uint .size 8", 4, tstr("1800000000")),
        (
            "time-as-bytes",
            "seconds = uint .size 8",
            4,
            bstr(&[0x6b, 0x49, 0xd2, 0x00]),
        ),
        ("nonce-of-31-bytes", "nonce = bstr .size 32", 10, bstr(&[7; 31])),
        ("nonce-of-33-bytes", "nonce = bstr .size 32", 10, bstr(&[7; 33])),
        (
            "nonce-as-numbers",
            "nonce = bstr .size 32",
            10,
            Item::Array(vec![Item::Uint(7); 32]),
        ),
        ("probe-id-of-15-bytes", "probe-id = bstr .size 16", 7, bstr(&[7; 15])),
        (
            "thumbprint-as-bytes",
            "thumbprint = tstr .regexp",
            1,
            bstr(thumbprint("attester").as_bytes()),
        ),
        ("body-too-long", "-65537 => 0..4194304", -65_537, Item::Uint(4_194_305)),
        ("body-negative", "-65537 => 0..4194304", -65_537, Item::Int(-1)),
    ] {
        shape(cases, name, rule, base().with(key, value));
    }
    // A lenient decoder takes one kind of string for the other; what it would write is not what is there.
    let text = base().with(10, tstr(&"n".repeat(32)));
    cases.refuse(
        "nonce-as-text",
        "decode, encode again, compare",
        &text,
        text.message(),
        (3, "not-canonical"),
    );
}

fn keysets(cases: &mut Cases) {
    let keyset = || carried(EvidenceKind::Keyset);
    let entry = |role: &str, key: &[u8]| {
        let window = [Item::Uint(1), Item::Uint(2)];
        Item::Raw(header(vec![
            (1, tstr(role)),
            (2, bstr(key)),
            (3, window[0].clone()),
            (4, window[1].clone()),
        ]))
    };
    let listing = |keys: Vec<Item>| keyset().with(-65_537, Item::Array(keys));
    let good = entry("attester", &public("attester"));
    let mut identity = [0; 32];
    identity[0] = 1;
    let weak = "Every key is a point of the curve and not of small order";
    shape(
        cases,
        "keyset-of-no-keys",
        "-65537 => [1*24 key-entry]",
        listing(vec![]),
    );
    shape(
        cases,
        "keyset-of-25-keys",
        "-65537 => [1*24 key-entry]",
        listing(vec![good.clone(); 25]),
    );
    beyond(
        cases,
        "keyset-with-a-weak-key",
        weak,
        listing(vec![good.clone(), entry("origin", &identity)]),
    );
    beyond(
        cases,
        "keyset-with-no-point",
        weak,
        listing(vec![good, entry("origin", &NO_POINT)]),
    );
    shape(
        cases,
        "keyset-key-of-31-bytes",
        "public-key = bstr .size 32",
        listing(vec![entry("origin", &[7; 31])]),
    );
    shape(
        cases,
        "keyset-role-of-the-root",
        "role = \"attester\" / \"origin\" / \"prober\"",
        listing(vec![entry("root", &public("root"))]),
    );
    shape(
        cases,
        "keyset-role-in-capitals",
        "role = \"attester\" / \"origin\" / \"prober\"",
        listing(vec![entry("Origin", &public("origin"))]),
    );
    let short = header(vec![
        (1, tstr("origin")),
        (2, bstr(&public("origin"))),
        (3, Item::Uint(1)),
    ]);
    shape(
        cases,
        "keyset-entry-without-an-end",
        MISSING,
        listing(vec![Item::Raw(short)]),
    );
    let wide = header(vec![
        (1, tstr("origin")),
        (2, bstr(&public("origin"))),
        (3, Item::Uint(1)),
        (4, Item::Uint(2)),
        (5, Item::Uint(3)),
    ]);
    shape(
        cases,
        "keyset-entry-with-key-5",
        UNKNOWN,
        listing(vec![Item::Raw(wide)]),
    );
    let array = Item::Array(vec![
        tstr("origin"),
        bstr(&public("origin")),
        Item::Uint(1),
        Item::Uint(2),
    ]);
    shape(cases, "keyset-entry-in-an-array", "key-entry = {", listing(vec![array]));
}

fn revocations(cases: &mut Cases) {
    let entry = |id: &[u8]| Item::Raw(header(vec![(1, bstr(id)), (2, Item::Uint(0))]));
    let revoking = |entries: Vec<Item>| carried(EvidenceKind::Keyset).and(-65_538, Item::Array(entries));
    let ids = |count: u8| (0..count).map(|id| entry(&[id; 32])).collect::<Vec<_>>();
    let list = "? -65538 => [1*24 revoked]";
    let none = revoking(vec![]);
    cases.refuse(
        "keyset-revoking-nothing",
        list,
        &none,
        none.message(),
        (3, "not-canonical"),
    );
    shape(cases, "keyset-revoking-25-keys", list, revoking(ids(25)));
    shape(
        cases,
        "keyset-revoking-no-id",
        "revoked = {",
        revoking(vec![entry(&[7; 20])]),
    );
    let ascending = "Revoked keys are in strictly ascending order of their ids";
    beyond(
        cases,
        "keyset-revoking-twice",
        ascending,
        revoking(vec![entry(&[1; 32]), entry(&[1; 32])]),
    );
    beyond(
        cases,
        "keyset-revoking-descending",
        ascending,
        revoking(vec![entry(&[2; 32]), entry(&[1; 32])]),
    );
}

fn sessions(cases: &mut Cases) {
    let offering = |versions: &[u64]| {
        welcome().with(
            -65_539,
            Item::Array(versions.iter().map(|version| Item::Uint(*version)).collect()),
        )
    };
    let ascending = "Versions are in strictly ascending order";
    shape(
        cases,
        "welcome-of-no-version",
        "-65539 => [1*16 uint .size 8]",
        offering(&[]),
    );
    shape(
        cases,
        "welcome-of-17-versions",
        "-65539 => [1*16 uint .size 8]",
        offering(&(1..=17).collect::<Vec<_>>()),
    );
    beyond(cases, "welcome-descending", ascending, offering(&[2, 1]));
    beyond(cases, "welcome-repeating", ascending, offering(&[1, 1]));
    shape(
        cases,
        "welcome-binding-of-48-bytes",
        "channel-binding = bstr .size 32",
        welcome().with(-65_537, bstr(&[7; 48])),
    );

    let registration = || carried(EvidenceKind::Registration);
    let own = "`iss` and `sub` are the thumbprint of the key that it carries; the key is not weak; the port is not 0";
    let stranger = tstr(&thumbprint("stranger").to_string());
    beyond(
        cases,
        "registration-by-another-issuer",
        own,
        registration().with(1, stranger.clone()),
    );
    beyond(
        cases,
        "registration-of-another-subject",
        own,
        registration().with(2, stranger.clone()),
    );
    beyond(
        cases,
        "registration-for-another",
        own,
        registration().with(1, stranger.clone()).with(2, stranger),
    );
    beyond(
        cases,
        "registration-of-another-key",
        own,
        registration().with(-65_537, bstr(&public("stranger"))),
    );
    beyond(
        cases,
        "registration-of-no-point",
        own,
        registration().with(-65_537, bstr(&NO_POINT)),
    );
    beyond(
        cases,
        "registration-at-port-0",
        own,
        registration().with(-65_538, tstr("192.0.2.7:0")),
    );
    let software = "registration's `software`; verdict's `reason`, `remedy`, `standing` | 64; 64, 512, 16 bytes, no control characters";
    shape(
        cases,
        "registration-software-of-65-bytes",
        software,
        registration().with(-65_542, tstr(&"s".repeat(65))),
    );
    for (name, text) in [
        ("line-end", "a\nb"),
        ("escape", "\u{1b}[2J"),
        ("nul", "a\0"),
        ("next-line", "a\u{85}b"),
    ] {
        let name = format!("registration-software-with-a-{name}");
        beyond(cases, &name, software, registration().with(-65_542, tstr(text)));
    }
    let listing = |protocols: &[&str]| {
        registration().with(
            -65_539,
            Item::Array(protocols.iter().map(|protocol| tstr(protocol)).collect()),
        )
    };
    let order = "Protocols are listed once each, in the order above";
    shape(
        cases,
        "registration-of-no-protocol",
        "protocols = [1*3 protocol]",
        listing(&[]),
    );
    shape(
        cases,
        "registration-of-an-unknown-protocol",
        "protocol = \"enproxy\" / \"enproxy-path\" / \"connect\"",
        listing(&["enproxy", "socks"]),
    );
    for (name, protocols) in [
        ("out-of-order", ["connect", "enproxy"]),
        ("twice", ["enproxy", "enproxy"]),
    ] {
        let draft = listing(&protocols);
        let name = format!("registration-protocols-{name}");
        cases
            .refuse(&name, order, &draft, draft.message(), (3, "not-canonical"))
            .described();
    }
}

fn probes(cases: &mut Cases) {
    let announcement = |key: i64, value: u64| carried(EvidenceKind::Announcement).with(key, Item::Uint(value));
    shape(
        cases,
        "announcement-of-nothing-up",
        "-65539 => 1..16384",
        announcement(-65_539, 0),
    );
    shape(
        cases,
        "announcement-of-too-much-up",
        "-65539 => 1..16384",
        announcement(-65_539, 16_385),
    );
    shape(
        cases,
        "announcement-of-nothing-down",
        "-65540 => 1..16777216",
        announcement(-65_540, 0),
    );
    shape(
        cases,
        "announcement-of-too-much-down",
        "-65540 => 1..16777216",
        announcement(-65_540, 16_777_217),
    );

    let observation = |key: i64, value: Item| carried(EvidenceKind::Observation).with(key, value);
    let phases = |entries: Vec<(i64, u64)>| {
        let entries = entries.into_iter().map(|(phase, micros)| (phase, Item::Uint(micros)));
        observation(-65_548, Item::Raw(header(entries.collect())))
    };
    let falling = "Phases end in their order: the times do not fall from one number to the next";
    beyond(
        cases,
        "observation-phases-falling",
        falling,
        phases(vec![(1, 5), (2, 4)]),
    );
    let numbered = "phase = 1..7";
    shape(cases, "observation-phase-0", numbered, phases(vec![(0, 5)]));
    shape(cases, "observation-phase-8", numbered, phases(vec![(8, 5)]));
    shape(cases, "observation-phase-negative", numbered, phases(vec![(-1, 5)]));
    shape(
        cases,
        "observation-path-unknown",
        "path = \"direct\" / \"fronted\"",
        observation(-65_537, tstr("tor")),
    );
    shape(
        cases,
        "observation-protocol-unknown",
        "protocol = \"enproxy\" / \"enproxy-path\" / \"connect\"",
        observation(-65_538, tstr("http")),
    );
    shape(
        cases,
        "observation-digest-of-20-bytes",
        "digest = bstr .size 32",
        observation(-65_542, bstr(&[7; 20])),
    );

    let receipt = |key: i64, value: Item| carried(EvidenceKind::Receipt).with(key, value);
    let stranger = tstr(&thumbprint("stranger").to_string());
    beyond(
        cases,
        "receipt-about-another",
        "`iss` and `sub` are equal",
        receipt(2, stranger),
    );
    shape(
        cases,
        "receipt-end-unknown",
        "flow-end = \"lengths\"",
        receipt(-65_544, tstr("timeout")),
    );
    shape(
        cases,
        "receipt-end-as-a-number",
        "flow-end = \"lengths\"",
        receipt(-65_544, Item::Uint(0)),
    );
}

fn verdicts(cases: &mut Cases) {
    let texts = "registration's `software`; verdict's `reason`, `remedy`, `standing` | 64; 64, 512, 16 bytes, no control characters";
    let failed = || verdict().with(-65_537, tstr("failed")).with(-65_538, tstr("truncated"));
    shape(
        cases,
        "verdict-reason-of-65-bytes",
        texts,
        failed().with(-65_538, tstr(&"r".repeat(65))),
    );
    shape(
        cases,
        "verdict-remedy-of-513-bytes",
        texts,
        failed().with(-65_539, tstr(&"r".repeat(513))),
    );
    shape(
        cases,
        "verdict-standing-of-17-bytes",
        texts,
        failed().with(-65_540, tstr(&"s".repeat(17))),
    );
    beyond(
        cases,
        "verdict-remedy-with-a-line-end",
        texts,
        failed().with(-65_539, tstr("a\r\nb")),
    );
    let reason = "The reason is empty when, and only when, the outcome is `proved`";
    beyond(
        cases,
        "verdict-proved-for-a-reason",
        reason,
        verdict().with(-65_538, tstr("truncated")),
    );
    beyond(
        cases,
        "verdict-failed-for-no-reason",
        reason,
        verdict().with(-65_537, tstr("failed")),
    );
    shape(
        cases,
        "verdict-outcome-unknown",
        "outcome = \"proved\" / \"failed\" / \"inconclusive\"",
        failed().with(-65_537, tstr("verified")),
    );
    for kind in [0, 8] {
        let listed = Item::Raw(header(vec![(kind, bstr(&[7; 32]))]));
        shape(
            cases,
            &format!("verdict-on-evidence-{kind}"),
            "evidence-kind = 1..7",
            failed().with(-65_541, listed),
        );
    }
    let offset = "offset = -9223372036854775808..9223372036854775807";
    shape(
        cases,
        "verdict-offset-too-large",
        offset,
        failed().with(-65_543, Item::Uint(1 << 63)),
    );
    let small = Item::Raw(vec![0x3b, 0x80, 0, 0, 0, 0, 0, 0, 0]);
    shape(cases, "verdict-offset-too-small", offset, failed().with(-65_543, small));
}

fn successions(cases: &mut Cases) {
    let keys = "`iss` and `sub` are the thumbprints of the two keys; these are not weak, and differ; `exp` is at most 120 days after `nbf`";
    let stranger = tstr(&thumbprint("stranger").to_string());
    beyond(
        cases,
        "succession-from-another",
        keys,
        succession().with(1, stranger.clone()),
    );
    beyond(cases, "succession-to-another", keys, succession().with(2, stranger));
    let mut identity = [0; 32];
    identity[0] = 1;
    beyond(
        cases,
        "succession-to-a-weak-key",
        keys,
        succession().with(-65_538, bstr(&identity)),
    );
    let same = succession()
        .with(2, succession().entries[0].value.clone())
        .with(-65_538, bstr(&public("peer")));
    beyond(cases, "succession-to-the-same-key", keys, same);
    let end = crate::cast::second(119 * DAY + 1).as_u64();
    beyond(
        cases,
        "succession-of-more-than-120-days",
        keys,
        succession().with(4, Item::Uint(end)),
    );
}

/// 32 bytes that are no point of the curve: there is no x for y = 2.
pub(super) const NO_POINT: [u8; 32] = {
    let mut bytes = [0; 32];
    bytes[0] = 2;
    bytes
};
