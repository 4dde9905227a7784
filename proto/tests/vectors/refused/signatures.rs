//! Keys and signatures: another key's, weak ones, malleable ones. A lenient verifier takes several of these for good.

use curve25519_dalek::scalar::Scalar;
use proto::{claims::EvidenceKind, ids::Digest};
use ring::digest::{SHA512, digest};

use super::{Cases, base, carried, rules::NO_POINT};
use crate::{
    cast::{key, public, thumbprint},
    envelope::{Draft, Parts, bstr, protected, tstr},
    format::{Case, Hex, Item, RefusedKey, RefusedText},
};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Cases::default();
    others(&mut cases);
    spoilt(&mut cases);
    small_order(&mut cases);
    malleable(&mut cases);
    contexts(&mut cases);
    cases.0
}

const KEY_ID: &str = "The key id names the key that must sign";
const SIGNATURE: &str = "The signature.";
const STRICT: &str = "no small-order point for key or R, S below the group order";
const WEAK: &str = "A public key of small order, or one that is no point of the curve or not its one encoding (RFC 8032, section 5.1.3), \
    must be refused wherever it is read";
const WRONG: (u8, &str) = (4, "wrong-key");
const BAD: (u8, &str) = (5, "signature");

fn refuse<'a>(cases: &'a mut Cases, name: &str, rule: &str, message: Vec<u8>, fault: (u8, &str)) -> &'a mut Case {
    let case = cases.refuse(name, rule, &base(), message, fault);
    case.described();
    case
}

fn others(cases: &mut Cases) {
    let by_stranger = Draft {
        signer: "stranger",
        ..base()
    };
    refuse(cases, "signed-by-a-stranger", KEY_ID, by_stranger.message(), WRONG);
    let stranger_named = Parts {
        protected: protected(thumbprint("stranger"), &base().typ),
        ..base().parts()
    };
    refuse(
        cases,
        "stranger-named-attester-signed",
        KEY_ID,
        stranger_named.signed_by("attester"),
        WRONG,
    );
    refuse(
        cases,
        "attester-named-stranger-signed",
        SIGNATURE,
        base().parts().signed_by("stranger"),
        BAD,
    );
    let hashed_twice = Digest::of(thumbprint("attester").as_bytes());
    let kid = proto::ids::Thumbprint::from_bytes(*hashed_twice.as_bytes());
    let parts = Parts {
        protected: protected(kid, &base().typ),
        ..base().parts()
    };
    refuse(cases, "key-id-hashed-twice", KEY_ID, parts.signed_by("attester"), WRONG);
    let bare = proto::ids::Thumbprint::from_bytes(public("attester"));
    let parts = Parts {
        protected: protected(bare, &base().typ),
        ..base().parts()
    };
    refuse(cases, "key-for-a-key-id", KEY_ID, parts.signed_by("attester"), WRONG);

    // A registration carries its key: nobody else may sign it, and a receipt must be by the registered key.
    let registration = Draft {
        signer: "stranger",
        ..carried(EvidenceKind::Registration)
    };
    let case = refuse(
        cases,
        "registration-signed-by-another",
        KEY_ID,
        registration.message(),
        WRONG,
    );
    (case.claim, case.key) = ("registration".to_owned(), None);
    case.at = crate::cast::second(-100).start().as_micros();
    let registration = carried(EvidenceKind::Registration).parts().signed_by("stranger");
    let case = refuse(
        cases,
        "registration-with-anothers-signature",
        SIGNATURE,
        registration,
        BAD,
    );
    (case.claim, case.key) = ("registration".to_owned(), None);
    case.at = crate::cast::second(-100).start().as_micros();
    let receipt = Draft {
        signer: "next-peer",
        ..carried(EvidenceKind::Receipt)
    };
    let case = refuse(cases, "receipt-signed-by-another", KEY_ID, receipt.message(), WRONG);
    (case.claim, case.key) = ("receipt".to_owned(), Some(Hex(public("peer").to_vec())));
}

fn spoilt(cases: &mut Cases) {
    let parts = base().parts();
    let good = key("attester").sign(&parts.to_be_signed());
    let flipped = |byte: usize, mask: u8| {
        let mut signature = good;
        signature[byte] ^= mask;
        parts.message(&signature)
    };
    for (name, message) in [
        ("first-bit-of-R-flipped", flipped(0, 0x01)),
        ("sign-of-R-flipped", flipped(31, 0x80)),
        ("first-bit-of-S-flipped", flipped(32, 0x01)),
        ("last-bit-of-S-flipped", flipped(63, 0x10)),
        ("signature-of-zeros", parts.message(&[0; 64])),
        ("signature-of-ones", parts.message(&[0xff; 64])),
        (
            "signature-halves-swapped",
            parts.message(&[&good[32..], &good[..32]].concat()),
        ),
        ("signature-of-another-claim", {
            let other = carried(EvidenceKind::Announcement).parts();
            parts.message(&key("attester").sign(&other.to_be_signed()))
        }),
    ] {
        refuse(cases, name, SIGNATURE, message, BAD);
    }
    let changed = base().with(-65_537, Item::Uint(1025)).parts();
    refuse(
        cases,
        "payload-changed-after-signing",
        SIGNATURE,
        changed.message(&good),
        BAD,
    );
}

/// The group's order L, little endian (RFC 8032, section 5.1).
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

/// Encodings of the eight points of small order, the identity first, and then the same points written in other ways.
const SMALL: &[(&str, &str)] = &[
    (
        "order-1",
        "0100000000000000000000000000000000000000000000000000000000000000",
    ),
    (
        "order-2",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ),
    (
        "order-4",
        "0000000000000000000000000000000000000000000000000000000000000000",
    ),
    (
        "order-4-negative",
        "0000000000000000000000000000000000000000000000000000000000000080",
    ),
    (
        "order-8-first",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    ),
    (
        "order-8-second",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    ),
    (
        "order-8-third",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    ),
    (
        "order-8-fourth",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    ),
    (
        "order-1-with-a-sign",
        "0100000000000000000000000000000000000000000000000000000000000080",
    ),
    (
        "order-2-with-a-sign",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    ),
    (
        "order-4-as-p",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ),
    (
        "order-4-negative-as-p",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    ),
    (
        "order-1-as-p-plus-1",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ),
    (
        "order-1-as-p-plus-1-with-a-sign",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    ),
];

fn bytes_of(hex: &str) -> [u8; 32] {
    data_encoding::HEXLOWER
        .decode(hex.as_bytes())
        .unwrap()
        .try_into()
        .unwrap()
}

/// k = SHA-512(R, A, M) modulo L.
fn challenge_scalar(r: &[u8; 32], a: &[u8; 32], message: &[u8]) -> Scalar {
    let hash = digest(&SHA512, &[r, a, message].concat());
    Scalar::from_bytes_mod_order_wide(hash.as_ref().try_into().unwrap())
}

fn small_order(cases: &mut Cases) {
    let identity = bytes_of(SMALL[0].1);
    // R = B and S = 1: with A of order 1 the equation S B = R + k A holds for any message.
    let forged = [
        &curve25519_dalek::constants::ED25519_BASEPOINT_COMPRESSED.0[..],
        Scalar::ONE.as_bytes(),
    ]
    .concat();
    for (name, hex) in SMALL {
        let weak = bytes_of(hex);
        let kid = proto::ids::Thumbprint::from_bytes(proto::key::sha256(&weak));
        let parts = Parts {
            protected: protected(kid, &base().typ),
            ..base().parts()
        };
        let case = refuse(
            cases,
            &format!("forged-for-a-key-of-{name}"),
            WEAK,
            parts.message(&forged),
            (4, "weak-key"),
        );
        case.key = Some(Hex(weak.to_vec()));
    }
    let kid = proto::ids::Thumbprint::from_bytes(proto::key::sha256(&NO_POINT));
    let parts = Parts {
        protected: protected(kid, &base().typ),
        ..base().parts()
    };
    let case = refuse(
        cases,
        "key-that-is-no-point",
        WEAK,
        parts.message(&forged),
        (4, "not-a-point"),
    );
    case.key = Some(Hex(NO_POINT.to_vec()));

    // A registration with a weak key, which anyone can sign.
    let kid = proto::ids::Thumbprint::from_bytes(proto::key::sha256(&identity));
    let draft = carried(EvidenceKind::Registration)
        .with(1, tstr(&kid.to_string()))
        .with(2, tstr(&kid.to_string()))
        .with(-65_537, bstr(&identity));
    let parts = Parts {
        protected: protected(kid, &draft.typ),
        payload: draft.payload(),
    };
    let case = refuse(
        cases,
        "registration-of-a-weak-key",
        WEAK,
        parts.message(&forged),
        (3, "shape"),
    );
    (case.claim, case.key) = ("registration".to_owned(), None);
    case.at = crate::cast::second(-100).start().as_micros();

    // With R of order 1 and S = k a, whoever has a key can make a signature that binds no random number: the equation
    // holds, with the cofactor and without.
    let parts = base().parts();
    let secret = ed25519_dalek::SigningKey::from_bytes(&[2; 32]).to_scalar();
    let s = challenge_scalar(&identity, &public("attester"), &parts.to_be_signed()) * secret;
    let message = parts.message(&[&identity[..], s.as_bytes()].concat());
    refuse(cases, "small-order-R", STRICT, message, BAD);
    // With the others it holds only where both sides are multiplied by the cofactor first.
    for (name, hex) in &SMALL[1..8] {
        let r = bytes_of(hex);
        let s = challenge_scalar(&r, &public("attester"), &parts.to_be_signed()) * secret;
        let message = parts.message(&[&r[..], s.as_bytes()].concat());
        refuse(cases, &format!("small-order-R-of-{name}"), STRICT, message, BAD);
    }
}

fn malleable(cases: &mut Cases) {
    let parts = base().parts();
    let good = key("attester").sign(&parts.to_be_signed());
    let mut signature = good;
    for round in 1..=2 {
        let mut carry = 0;
        for (byte, add) in signature[32..].iter_mut().zip(ORDER) {
            let sum = u16::from(*byte) + u16::from(add) + carry;
            (*byte, carry) = (sum.to_le_bytes()[0], sum >> 8);
        }
        refuse(
            cases,
            &format!("S-plus-{round}-L"),
            STRICT,
            parts.message(&signature),
            BAD,
        );
    }
    for bit in [0x20, 0x40, 0x80] {
        let mut signature = good;
        signature[63] |= bit;
        refuse(
            cases,
            &format!("S-with-bit-{bit:x}"),
            STRICT,
            parts.message(&signature),
            BAD,
        );
    }
}

/// Signatures over other bytes than the Sig_structure.
fn contexts(cases: &mut Cases) {
    let parts = base().parts();
    let structure = |context: &str, protected: &[u8], external: &[u8]| {
        let items = vec![tstr(context), bstr(protected), bstr(external), bstr(&parts.payload)];
        parts.message(&key("attester").sign(&Item::Array(items).encode()))
    };
    for (name, message) in [
        (
            "signed-over-the-payload-alone",
            parts.message(&key("attester").sign(&parts.payload)),
        ),
        (
            "signed-in-the-context-of-many-signers",
            structure("Signature", &parts.protected, b""),
        ),
        (
            "signed-in-the-context-of-a-mac",
            structure("MAC0", &parts.protected, b""),
        ),
        (
            "signed-with-external-data",
            structure("Signature1", &parts.protected, b"external"),
        ),
        ("signed-without-the-header", structure("Signature1", b"", b"")),
    ] {
        refuse(cases, name, SIGNATURE, message, BAD);
    }
}

/// Public keys that must be refused wherever they are read.
pub(crate) fn refused_keys() -> Vec<RefusedKey> {
    let refused = |name: &str, public: [u8; 32], error: &str| RefusedKey {
        name: name.to_owned(),
        rule: WEAK.to_owned(),
        public: Hex(public.to_vec()),
        error: error.to_owned(),
    };
    let mut keys: Vec<_> = SMALL
        .iter()
        .map(|(name, hex)| refused(name, bytes_of(hex), "weak-key"))
        .collect();
    keys.push(refused("no-point", NO_POINT, "not-a-point"));
    for above in [3, 4, 18] {
        let mut bytes = [0xff; 32];
        (bytes[0], bytes[31]) = (0xed + above, 0x7f);
        keys.push(refused(&format!("point-as-p-plus-{above}"), bytes, "not-a-point"));
    }
    keys
}

/// Texts that are no public key.
pub(crate) fn refused_texts() -> Vec<RefusedText> {
    let good = key("peer").public().to_string();
    let identity = data_encoding::BASE32_NOPAD
        .encode(&bytes_of(SMALL[0].1))
        .to_ascii_lowercase();
    let rule = "A public key in text is `ed25519:` and its base32, likewise 52 characters";
    [
        ("in-capitals", good.to_ascii_uppercase(), rule, "text"),
        ("without-a-prefix", good[8..].to_owned(), rule, "text"),
        ("of-51-characters", good[..59].to_owned(), rule, "text"),
        ("with-padding", format!("{good}===="), rule, "text"),
        ("with-a-space", format!("{good} "), rule, "text"),
        ("of-another-algorithm", good.replace("ed25519", "ed448"), rule, "text"),
        ("weak", format!("ed25519:{identity}"), WEAK, "weak-key"),
    ]
    .into_iter()
    .map(|(name, text, rule, error)| RefusedText {
        name: name.to_owned(),
        rule: rule.to_owned(),
        text,
        error: error.to_owned(),
    })
    .collect()
}

/// The forgeries are real: the permissive equation holds for them. So it is the strict one that refuses them.
#[test]
fn a_lenient_verifier_takes_the_forgeries_of_small_order() {
    use ed25519_dalek::{Signature, Verifier, VerifyingKey};

    let lenient = |name: &str| {
        let all = cases();
        let case = all.iter().find(|case| case.name == name).unwrap();
        let message = &case.message.0;
        let signature: [u8; 64] = message[message.len() - 64..].try_into().unwrap();
        let kid = proto::ids::Thumbprint::from_bytes(proto::key::sha256(&case.key.as_ref().unwrap().0));
        let parts = Parts {
            protected: protected(kid, &base().typ),
            payload: base().payload(),
        };
        let key = VerifyingKey::from_bytes(case.key.as_ref().unwrap().0.as_slice().try_into().unwrap()).unwrap();
        key.verify(&parts.to_be_signed(), &Signature::from_bytes(&signature))
            .is_ok()
    };
    assert!(lenient("forged-for-a-key-of-order-1"));
    assert!(lenient("small-order-R"));
    assert!(!lenient("first-bit-of-S-flipped"));
}
