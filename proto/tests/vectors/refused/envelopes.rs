//! Envelopes that are COSE, or nearly, and not of the one form.

use super::{Cases, base};
use crate::{
    cast::{key, thumbprint},
    envelope::{Parts, bstr, header, tstr},
    format::{Case, Item},
};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Cases::default();
    tags(&mut cases);
    arrays(&mut cases);
    headers(&mut cases);
    cases.0
}

const FORM: &str = "one COSE_Sign1 (RFC 9052, section 4.2) in one form only: tagged, with an attached payload, nothing in the \
    unprotected header and exactly three parameters in the protected one";
const ALG: &str = "alg: -8, EdDSA; always Ed25519";
const KID: &str = "kid: SHA-256 of the signer's 32-byte public key";
const TYP: &str = "typ (RFC 9596): the claim's type, text";
const ENVELOPE: (u8, &str) = (1, "envelope");
const CBOR: (u8, &str) = (1, "cbor");

fn tags(cases: &mut Cases) {
    let draft = base();
    let good = draft.message();
    let untagged = good[1..].to_vec();
    for (name, bytes) in [
        ("untagged", untagged.clone()),
        ("tag-18-in-two-bytes", [&[0xd8, 0x12], &untagged[..]].concat()),
        ("tagged-as-mac0", [&[0xd1], &untagged[..]].concat()),
        ("tagged-as-sign", [&[0xd8, 0x62], &untagged[..]].concat()),
        ("tagged-as-a-cwt", [&[0xd8, 0x3d], &good[..]].concat()),
        ("self-described", [&[0xd9, 0xd9, 0xf7], &good[..]].concat()),
        ("empty-message", vec![]),
        ("in-a-byte-string", bstr(&good).encode()),
    ] {
        cases.refuse(name, FORM, &draft, bytes, ENVELOPE).cddl = name == "tag-18-in-two-bytes";
    }
    cases.refuse("tagged-twice", FORM, &draft, [&[0xd2], &good[..]].concat(), CBOR);
    cases.refuse("tag-alone", FORM, &draft, vec![0xd2], CBOR);
}

/// The four parts as they are in the base.
fn parts() -> [Item; 4] {
    let Parts { protected, payload } = base().parts();
    let signature = key("attester").sign(&base().parts().to_be_signed());
    [bstr(&protected), Item::Map(vec![]), bstr(&payload), bstr(&signature)]
}

fn message(parts: &[Item]) -> Vec<u8> {
    [vec![0xd2], Item::Array(parts.to_vec()).encode()].concat()
}

fn arrays(cases: &mut Cases) {
    let draft = base();
    let with = |index: usize, part: Item| {
        let mut parts = parts();
        parts[index] = part;
        message(&parts)
    };
    let key_id = bstr(thumbprint("attester").as_bytes());
    let payload = Item::Raw(draft.payload());
    let in_clear = Item::Raw(draft.parts().protected);
    for (name, bytes, fault) in [
        ("three-parts", message(&parts()[..3]), ENVELOPE),
        ("five-parts", message(&[&parts()[..], &[bstr(b"")]].concat()), ENVELOPE),
        (
            "parts-in-a-map",
            [vec![0xd2], Item::Map(vec![]).encode()].concat(),
            ENVELOPE,
        ),
        (
            "parts-without-a-length",
            [&[0xd2, 0x9f], &message(&parts())[2..], &[0xff]].concat(),
            CBOR,
        ),
        ("detached-payload", with(2, Item::Raw(vec![0xf6])), CBOR),
        ("payload-not-in-a-byte-string", with(2, payload), ENVELOPE),
        ("payload-in-a-text", with(2, tstr("payload")), ENVELOPE),
        (
            "unprotected-key-id",
            with(1, Item::Raw(header(vec![(4, key_id)]))),
            ENVELOPE,
        ),
        ("unprotected-null", with(1, Item::Raw(vec![0xf6])), CBOR),
        ("unprotected-array", with(1, Item::Array(vec![])), ENVELOPE),
        ("unprotected-byte-string", with(1, bstr(&[0xa0])), ENVELOPE),
        ("protected-not-in-a-byte-string", with(0, in_clear), ENVELOPE),
        ("signature-of-63-bytes", with(3, bstr(&[7; 63])), ENVELOPE),
        ("signature-of-65-bytes", with(3, bstr(&[7; 65])), ENVELOPE),
        ("signature-empty", with(3, bstr(b"")), ENVELOPE),
        ("signature-null", with(3, Item::Raw(vec![0xf6])), CBOR),
        ("signature-in-a-text", with(3, tstr(&"s".repeat(64))), ENVELOPE),
    ] {
        cases.refuse(name, FORM, &draft, bytes, fault).cddl = name == "parts-without-a-length";
    }
    let mut chunked = vec![0x5f, 0x58, 0x40];
    chunked.extend_from_slice(&[7; 64]);
    chunked.push(0xff);
    cases
        .refuse(
            "signature-in-chunks",
            "an indefinite length",
            &draft,
            with(3, Item::Raw(chunked)),
            CBOR,
        )
        .described();
}

fn headers(cases: &mut Cases) {
    let (alg, typ) = (Item::Int(-8), tstr(&base().typ));
    let key_id = bstr(thumbprint("attester").as_bytes());
    let own =
        |alg: &Item, key_id: &Item, typ: &Item| header(vec![(1, alg.clone()), (4, key_id.clone()), (16, typ.clone())]);
    let more = |key: i64, value: Item| {
        let mut entries = vec![(1, alg.clone()), (4, key_id.clone()), (16, typ.clone()), (key, value)];
        entries.sort_by_key(|(key, _)| Item::Int(*key).encode());
        header(entries)
    };
    let short = bstr(&thumbprint("attester").as_bytes()[..31]);
    let rows = [
        ("alg-es256", ALG, own(&Item::Int(-7), &key_id, &typ)),
        ("alg-ed25519-fully-specified", ALG, own(&Item::Int(-19), &key_id, &typ)),
        ("alg-hmac", ALG, own(&Item::Int(5), &key_id, &typ)),
        ("alg-in-a-text", ALG, own(&tstr("EdDSA"), &key_id, &typ)),
        ("alg-missing", ALG, header(vec![(4, key_id.clone()), (16, typ.clone())])),
        ("key-id-missing", KID, header(vec![(1, alg.clone()), (16, typ.clone())])),
        ("key-id-of-31-bytes", KID, own(&alg, &short, &typ)),
        ("key-id-of-33-bytes", KID, own(&alg, &bstr(&[7; 33]), &typ)),
        (
            "key-id-in-base32",
            KID,
            own(&alg, &tstr(&thumbprint("attester").to_string()), &typ),
        ),
        ("typ-missing", TYP, header(vec![(1, alg.clone()), (4, key_id.clone())])),
        ("typ-as-a-number", TYP, own(&alg, &key_id, &Item::Uint(61))),
        ("typ-as-bytes", TYP, own(&alg, &key_id, &bstr(base().typ.as_bytes()))),
        ("critical-parameters", FORM, more(2, Item::Array(vec![Item::Int(16)]))),
        ("content-type", FORM, more(3, tstr("application/cwt"))),
        ("x5chain", FORM, more(33, bstr(&[7; 16]))),
        (
            "cwt-claims-in-the-header",
            FORM,
            more(15, Item::Raw(header(vec![(1, tstr("issuer"))]))),
        ),
        ("private-parameter", FORM, more(-65_537, Item::Uint(1))),
        ("header-empty-map", FORM, header(vec![])),
        ("header-array", FORM, Item::Array(vec![]).encode()),
    ];
    for (name, rule, protected) in rows {
        refuse_header(cases, name, rule, protected, ENVELOPE);
    }
    encodings(cases, own(&alg, &key_id, &typ));
}

/// The header is deterministic CBOR as well.
fn encodings(cases: &mut Cases, good: Vec<u8>) {
    let shortest = "an integer or length that is not in its shortest form";
    let ascending =
        "map keys that are not in strictly ascending order of their encoded bytes, which excludes duplicates";
    let (alg, rest) = (&good[1..3], &good[3..]);
    let refuse_encoding = |cases: &mut Cases, name: &str, rule: &str, protected: Vec<u8>| {
        refuse_header(cases, name, rule, protected, CBOR).described();
    };
    refuse_encoding(
        cases,
        "header-alg-in-two-bytes",
        shortest,
        [&[0xa3, 0x01, 0x38, 0x07], rest].concat(),
    );
    refuse_encoding(
        cases,
        "header-of-a-wide-length",
        shortest,
        [&[0xb8, 0x03], &good[1..]].concat(),
    );
    refuse_encoding(cases, "header-alg-last", ascending, [&[0xa3], rest, alg].concat());
    refuse_encoding(cases, "header-alg-twice", ascending, [&[0xa4], alg, alg, rest].concat());
    refuse_header(
        cases,
        "header-with-a-byte-after",
        "bytes after the item",
        [&good[..], &[0]].concat(),
        CBOR,
    );
    refuse_header(cases, "header-of-no-bytes", FORM, vec![], CBOR);
    let mut wide = base().parts();
    wide.protected = good;
    let signature = key("attester").sign(&wide.to_be_signed());
    let length = wide.protected.len() as u8;
    let protected = [&[0x59, 0x00, length], &wide.protected[..]].concat();
    let parts = [
        Item::Raw(protected),
        Item::Map(vec![]),
        bstr(&wide.payload),
        bstr(&signature),
    ];
    let draft = base();
    cases
        .refuse(
            "header-string-of-a-wide-length",
            shortest,
            &draft,
            message(&parts),
            CBOR,
        )
        .described();
    let [protected, unprotected, payload, signature] = self::parts();
    let swapped = message(&[payload, unprotected, protected, signature]);
    cases.refuse("header-and-payload-swapped", FORM, &draft, swapped, ENVELOPE);
}

fn refuse_header<'a>(
    cases: &'a mut Cases,
    name: &str,
    rule: &str,
    protected: Vec<u8>,
    fault: (u8, &str),
) -> &'a mut Case {
    let draft = base();
    let parts = Parts {
        protected,
        payload: draft.payload(),
    };
    cases.refuse(name, rule, &draft, parts.signed_by(draft.signer), fault)
}
