//! Envelopes built out of parts by another implementation, each part as it must be or otherwise, and signed over whatever
//! that gives: only the one form opens.

use ciborium::Value;
use coset::{
    CoseSign1, CoseSign1Builder, Header, Label, RegisteredLabelWithPrivate, TaggedCborSerializable,
    iana::{Algorithm, HeaderParameter},
};
use proto::{
    checked::Signed,
    claims::{Challenge, Claim, Statement},
};

use crate::{
    choices::Choices,
    cose::{TYP, header_of},
    honest::{ATTESTER, Probe, STRANGER, key},
    target::{Input, Property, Report, Target},
};

/// See the module.
pub const TARGET: Target = Target {
    name: "envelopes",
    says: "an envelope built out of parts, each as it must be or otherwise, with a good signature over them",
    input: Input::Choices,
    properties: &[ONE_FORM, HEADER_IS_SIGNED],
    run,
};

const ONE_FORM: Property = Property {
    name: "one-form",
    says: "an envelope opens if, and only if, every part of it is as the protocol says",
};
const HEADER_IS_SIGNED: Property = Property {
    name: "header-is-signed",
    says: "with another header, payload or context under the signature than in the envelope it does not open",
};

fn run(input: &[u8], report: &mut Report) {
    let mut choices = Choices::new(input);
    let claim = Probe::default().challenge();
    let Ok(payload) = proto::cbor::encode(&claim, Challenge::NAME) else {
        return;
    };
    let (header, mut honest) = header(&mut choices);
    let (payload, intact) = changed(payload, &mut choices);
    honest &= intact;
    let signer = if choices.twist() { STRANGER } else { ATTESTER };
    honest &= signer == ATTESTER;
    let sealed = CoseSign1Builder::new()
        .protected(header)
        .payload(payload)
        .create_signature(b"", |bytes| key(signer).sign(bytes).to_vec())
        .build();
    let (sealed, same) = after_signing(sealed, &mut choices);
    let Some((bytes, framed)) = framed(sealed, &mut choices) else {
        return;
    };
    let opened = Signed::<Challenge>::parse(&bytes).and_then(|signed| signed.verify(&key(ATTESTER).public()));
    let property = if same { ONE_FORM } else { HEADER_IS_SIGNED };
    report.check(
        property,
        opened.is_ok() == (honest && same && framed),
        || match &opened {
            Ok(_) => format!("opened: {bytes:02x?}"),
            Err(error) => format!("refused, {error}: {bytes:02x?}"),
        },
    );
    report.note(|| match opened {
        Ok(_) => "it opens".to_owned(),
        Err(error) => error.to_string(),
    });
}

/// A protected header, and whether it is the right one.
fn header(choices: &mut Choices<'_>) -> (Header, bool) {
    let right = header_of(key(ATTESTER).public().thumbprint().as_bytes(), Challenge::TYP);
    let mut header = right.clone();
    if choices.twist() {
        header.alg = match choices.below(4) {
            0 => None,
            1 => Some(RegisteredLabelWithPrivate::Assigned(Algorithm::ES256)),
            2 => Some(RegisteredLabelWithPrivate::PrivateUse(-70_000)),
            _ => Some(RegisteredLabelWithPrivate::Text("EdDSA".to_owned())),
        };
    }
    if choices.twist() {
        header.key_id = choices.bytes(40).to_vec();
    }
    if choices.twist() {
        let value = match choices.below(4) {
            0 => Value::Text(Statement::TYP.to_owned()),
            1 => Value::Text(choices.text(60)),
            2 => Value::Integer(choices.any::<u16>().into()),
            _ => Value::Bytes(Challenge::TYP.into()),
        };
        header.rest = vec![(Label::Int(TYP), value)];
    }
    if choices.twist() {
        match choices.below(5) {
            0 => header.rest.clear(),
            // Not one that is there: coset writes no label twice, and panics.
            1 => {
                let label = 100 + i64::from(choices.any::<u16>());
                header.rest.push((Label::Int(label), Value::Bool(true)));
            }
            2 => header.rest.push((Label::Text(choices.text(5)), Value::Null)),
            3 => header.crit = vec![RegisteredLabelWithPrivate::Assigned(HeaderParameter::Alg)],
            _ => header.iv = choices.bytes(8).to_vec(),
        }
    }
    let same = header == right;
    (header, same)
}

fn changed(payload: Vec<u8>, choices: &mut Choices<'_>) -> (Vec<u8>, bool) {
    if !choices.twist() {
        return (payload, true);
    }
    let other = choices.bytes(60).to_vec();
    let same = other == payload;
    (other, same)
}

/// Changes what the signature is over, after it was made. Whether it is still over what is there.
fn after_signing(mut sealed: CoseSign1, choices: &mut Choices<'_>) -> (CoseSign1, bool) {
    if !choices.twist() {
        return (sealed, true);
    }
    let before = sealed.clone();
    match choices.below(4) {
        0 => {
            sealed.protected.original_data = None;
            sealed.protected.header = self::header(choices).0;
        }
        1 => sealed.payload = sealed.payload.map(|payload| changed(payload, choices).0),
        2 => {
            // Over the same bytes in another context (RFC 9052, section 4.4: external data).
            sealed.signature = key(ATTESTER).sign(&sealed.tbs_data(b"x")).to_vec();
        }
        _ => {
            let flipped = usize::from(choices.byte()) % sealed.signature.len().max(1);
            if let Some(byte) = sealed.signature.get_mut(flipped) {
                *byte ^= 1 << (choices.byte() % 8);
            }
        }
    }
    let same = sealed.protected.header == before.protected.header
        && sealed.payload == before.payload
        && sealed.signature == before.signature;
    (sealed, same)
}

/// The bytes, with what no signature covers as it must be or otherwise; and whether it is.
fn framed(mut sealed: CoseSign1, choices: &mut Choices<'_>) -> Option<(Vec<u8>, bool)> {
    let mut right = true;
    if choices.twist() {
        right = false;
        match choices.below(3) {
            0 => sealed.unprotected.key_id = vec![choices.byte()],
            1 => sealed.payload = None,
            _ => sealed.signature.truncate(choices.below(64)),
        }
    }
    let mut bytes = sealed.to_tagged_vec().ok()?;
    if choices.twist() {
        right = false;
        match choices.below(4) {
            // Without its tag, with another one, with two, with something behind it.
            0 => drop(bytes.remove(0)),
            1 => bytes[0] = 0xd1,
            2 => bytes.insert(0, 0xd2),
            _ => bytes.push(choices.byte()),
        }
    }
    Some((bytes, right))
}
