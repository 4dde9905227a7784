//! Our one form of COSE_Sign1 against coset, an implementation that we did not write.

use ciborium::Value;
use coset::{
    CoseSign1, Header, Label, ProtectedHeader, RegisteredLabelWithPrivate, TaggedCborSerializable, iana::Algorithm,
};
use proto::fuzzing::Envelope;

use crate::target::{Input, Property, Report, Target};

/// See the module.
pub const TARGET: Target = Target {
    name: "cose",
    says: "an envelope (tagged COSE_Sign1), strictly: against coset",
    input: Input::Bytes,
    properties: &[
        ACCEPTED_IS_COSE,
        SAME_FIELDS,
        SAME_SIGNED_BYTES,
        SAME_BYTES,
        REFUSED_FOR_A_REASON,
    ],
    run,
};

const ACCEPTED_IS_COSE: Property = Property {
    name: "accepted-is-cose",
    says: "what we accept, coset parses as a tagged COSE_Sign1",
};
const SAME_FIELDS: Property = Property {
    name: "same-fields",
    says: "algorithm, key id, typ, payload and signature are the same to coset, and there is nothing else",
};
const SAME_SIGNED_BYTES: Property = Property {
    name: "same-signed-bytes",
    says: "the bytes under the signature are the same to coset",
};
const SAME_BYTES: Property = Property {
    name: "same-bytes",
    says: "coset writes the same bytes for these fields",
};
const REFUSED_FOR_A_REASON: Property = Property {
    name: "refused-for-a-reason",
    says: "what coset parses and we refuse has other headers, other lengths or another spelling than ours",
};

fn run(input: &[u8], report: &mut Report) {
    let ours = proto::fuzzing::envelope(input);
    let theirs = CoseSign1::from_tagged_slice(input);
    match (ours, theirs) {
        (Ok(ours), Ok(theirs)) => compare(input, &ours, &theirs, report),
        (Ok(_), Err(error)) => report.broken(ACCEPTED_IS_COSE, error.to_string()),
        (Err(refusal), Ok(theirs)) => report.check(REFUSED_FOR_A_REASON, !is_ours(input, &theirs), || {
            format!("refused as {refusal}, though it is an envelope of our form")
        }),
        (Err(_), Err(_)) => {}
    }
}

fn compare(input: &[u8], ours: &Envelope, theirs: &CoseSign1, report: &mut Report) {
    report.check(ACCEPTED_IS_COSE, true, String::new);
    let header = &theirs.protected.header;
    let expected = header_of(ours.key_id.as_bytes(), &ours.typ);
    report.equal(SAME_FIELDS, header, &expected);
    report.check(SAME_FIELDS, theirs.unprotected == Header::default(), || {
        format!("an unprotected header: {:?}", theirs.unprotected)
    });
    report.equal(SAME_FIELDS, &theirs.payload.as_deref(), &Some(ours.payload.as_slice()));
    report.equal(SAME_FIELDS, &theirs.signature.as_slice(), &ours.signature.as_slice());
    report.equal(SAME_SIGNED_BYTES, &theirs.tbs_data(b""), &ours.signed_bytes);
    report.equal(SAME_BYTES, &rewritten(theirs).as_deref(), &Some(input));
    report.note(|| format!("typ {}, signed by {}", ours.typ, ours.key_id));
}

/// The protected header of our envelopes, as coset has it.
pub(crate) fn header_of(key_id: &[u8], typ: &str) -> Header {
    Header {
        alg: Some(RegisteredLabelWithPrivate::Assigned(Algorithm::EdDSA)),
        key_id: key_id.to_vec(),
        rest: vec![(Label::Int(TYP), Value::Text(typ.to_owned()))],
        ..Header::default()
    }
}

/// Whether coset's reading is of the one form that we accept, and spelt in its one spelling.
fn is_ours(input: &[u8], theirs: &CoseSign1) -> bool {
    let header = &theirs.protected.header;
    let [(Label::Int(TYP), Value::Text(typ))] = header.rest.as_slice() else {
        return false;
    };
    *header == header_of(&header.key_id, typ)
        && header.key_id.len() == 32
        && theirs.unprotected == Header::default()
        && theirs.payload.is_some()
        && theirs.signature.len() == 64
        && input.len() <= proto::cbor::MAX_BYTES
        && rewritten(theirs).as_deref() == Some(input)
}

/// The envelope as coset writes it from the fields alone, without the header's bytes that it keeps.
fn rewritten(theirs: &CoseSign1) -> Option<Vec<u8>> {
    let protected = ProtectedHeader {
        original_data: None,
        header: theirs.protected.header.clone(),
    };
    let fresh = CoseSign1 {
        protected,
        ..theirs.clone()
    };
    fresh.to_tagged_vec().ok()
}

pub(crate) const TYP: i64 = 16;
