//! What a stranger is admitted by: the messages of an agent as bytes, and registrations built to bend one rule each.

use std::time::Duration;

use attester::session::{
    admission::{Admitted, Beside, Refused, Terms, admit},
    reserved,
};
use proto::{
    checked::{Signed, sign},
    claims::{KeyBytes, Protocol, Protocols, Receipt, Registration, Succession, SuccessionPair},
    ids::{Address, ChannelBinding, Nonce, Pin},
    time::Seconds,
};

use crate::{
    choices::{Choices, mutated},
    honest::{self, ADDRESS, ATTESTER, NOW, OTHER_PEER, PEER, STRANGER, at, key, parsed, thumbprint},
    target::{Input, Property, Report, Target},
};

/// See the module.
pub const TARGET: Target = Target {
    name: "registration",
    says: "a registration and its CONNECT token, held against a session's terms, one rule or another bent",
    input: Input::Choices,
    properties: &[BY_THE_RULES, WHO, TOKEN],
    run,
};

const BY_THE_RULES: Property = Property {
    name: "by-the-rules",
    says: "it is admitted if, and only if, every rule of the protocol's table holds; else the first broken one is the reason",
};
const WHO: Property = Property {
    name: "who",
    says: "a refusal names a peer only if that peer's own key signed",
};
const TOKEN: Property = Property {
    name: "token",
    says: "an admitted CONNECT token is 1 to 256 printable characters without a space at either end",
};

/// The terms of the session that seeds are made for.
pub(crate) fn terms() -> Terms {
    Terms {
        attester: thumbprint(ATTESTER),
        session: Nonce::from_bytes([2; 32]),
        channel_binding: ChannelBinding::from_bytes([3; 32]),
        source: parsed("8.8.8.8"),
        allow_private: false,
        now: at(0),
    }
}

/// A registration that meets [`terms`].
pub(crate) fn honest() -> Registration {
    Registration {
        issuer: thumbprint(PEER),
        subject: thumbprint(PEER),
        audience: thumbprint(ATTESTER),
        expires: Seconds::new(NOW + 60),
        issued_at: Seconds::new(NOW),
        session: Nonce::from_bytes([2; 32]),
        key: KeyBytes(*key(PEER).public().as_bytes()),
        address: Address(parsed(ADDRESS)),
        protocols: honest::protocols(),
        pin: Pin::from_bytes([4; 32]),
        channel_binding: ChannelBinding::from_bytes([3; 32]),
        software: "fuzz".to_owned(),
        peer_time: at(0),
    }
}

fn run(input: &[u8], report: &mut Report) {
    let mut choices = Choices::new(input);
    let mut claim = honest();
    let mut terms = terms();
    let bent = bend(&mut claim, &mut terms, &mut choices);
    let signer = if choices.twist() { STRANGER } else { PEER };
    let Ok(bytes) = sign(&claim, key(signer)) else { return };
    let token = if choices.twist() {
        choices.text(255).repeat(1 + choices.below(3))
    } else {
        choices.text(20)
    };
    let changed = if choices.twist() {
        mutated(&bytes, &mut choices)
    } else {
        None
    };
    let raw = changed.as_deref().unwrap_or(&bytes);

    let (successions, holds) = chain(&mut choices);
    let expected = if changed.is_some() || signer != PEER {
        Some("registration-invalid")
    } else {
        bent.or_else(|| (!is_token(&token)).then_some("registration-invalid"))
            .or_else(|| (!holds).then_some("succession-invalid"))
    };
    let beside = Beside {
        connect_token: token,
        successions,
    };
    let decided = admit(raw, beside, &terms);
    let found = decided.as_ref().err().map(|refused| refused.finding.reason.code());
    report.check(BY_THE_RULES, found == expected, || {
        format!("expected {expected:?}, found {decided:?} for {claim:?} under {terms:?}")
    });
    judge(raw, &decided, report);
}

/// What holds of every decision, whatever it was about.
pub(crate) fn judge(raw: &[u8], decided: &Result<Admitted, Refused>, report: &mut Report) {
    let verified = || {
        let signed = Signed::<Registration>::parse(raw).ok()?;
        Some(signed.verify_with_own_key().ok()?.dangerously_at_any_time())
    };
    match decided {
        Ok(admitted) => {
            report.check(WHO, verified().as_ref() == Some(&admitted.registration), || {
                "admitted is something else than was signed".to_owned()
            });
            if let Some(token) = &admitted.connect_token {
                report.check(TOKEN, is_token(token) && !token.is_empty(), || format!("{token:?}"));
            }
        }
        Err(refused) => {
            let signer = verified().map(|claim| claim.issuer.peer_id());
            report.check(WHO, refused.peer.is_none() || refused.peer == signer, || {
                format!("{:?} is named, {signer:?} signed", refused.peer)
            });
        }
    }
}

/// How the identity came to the peer's key, and whether it holds.
fn chain(choices: &mut Choices<'_>) -> (Vec<SuccessionPair>, bool) {
    if !choices.twist() {
        return (Vec::new(), true);
    }
    let days = choices.byte() % 120;
    let signed_at = at(0).minus(Duration::from_secs(u64::from(days) * 24 * 3600));
    let pair = Succession::sign_pair(key(OTHER_PEER), key(PEER), signed_at).ok();
    let Some(mut pair) = pair else {
        return (Vec::new(), true);
    };
    // It holds for 90 days from its signing.
    let mut holds = signed_at.plus(Succession::WINDOW).plus(LEEWAY) > at(0);
    match choices.byte() % 6 {
        1 => {
            std::mem::swap(&mut pair.by_old, &mut pair.by_new);
            holds = false;
        }
        2 => {
            if let Some(changed) = mutated(&pair.by_old, choices) {
                pair.by_old = changed;
                holds = false;
            }
        }
        3 => {
            // To somebody else's key.
            let other = Succession::sign_pair(key(PEER), key(STRANGER), at(0));
            return (other.into_iter().collect(), false);
        }
        _ => {}
    }
    (vec![pair], holds)
}

/// Bends the claim or the session. The reason that the first broken rule gives, in the protocol's order.
fn bend(claim: &mut Registration, terms: &mut Terms, choices: &mut Choices<'_>) -> Option<&'static str> {
    let mut reasons = Vec::new();
    if choices.twist() {
        let shift = choices.any::<i16>();
        claim.issued_at = Seconds::new((NOW).saturating_add_signed(shift.into()));
        claim.expires = Seconds::new(claim.issued_at.as_u64() + u64::from(choices.byte()));
        // Two seconds of leeway at both ends.
        let (start, end) = (claim.issued_at.as_u64(), claim.expires.as_u64());
        let holds = NOW + 2 >= start && NOW - 2 < end;
        reasons.push((!holds).then_some("registration-session"));
    }
    if choices.twist() {
        claim.audience = thumbprint(STRANGER);
        reasons.push(Some("registration-session"));
    }
    if choices.twist() {
        claim.session = Nonce::from_bytes(choices.any());
        reasons.push((claim.session != terms.session).then_some("registration-session"));
    }
    if choices.twist() {
        claim.channel_binding = ChannelBinding::from_bytes(choices.any());
        reasons.push((claim.channel_binding != terms.channel_binding).then_some("relay"));
    }
    let mut claimed = claim.address.0.ip();
    if choices.twist() {
        let octets: [u8; 4] = choices.any();
        claimed = octets.into();
        claim.address = Address((claimed, 443).into());
    }
    terms.source = claimed;
    if choices.twist() {
        terms.source = std::net::IpAddr::from(choices.any::<[u8; 16]>());
    }
    reasons.push((claimed != terms.source.to_canonical()).then_some("address-not-source"));
    terms.allow_private = choices.twist();
    let reserved = !terms.allow_private && !reserved::is_public(claimed);
    reasons.push(reserved.then_some("address-reserved"));
    let listed = Protocols::new([*choices.of(Protocol::ALL)]);
    claim.protocols = listed.unwrap_or_else(honest::protocols);
    reasons.into_iter().flatten().next()
}

fn is_token(token: &str) -> bool {
    token.len() <= 256
        && token.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
        && !token.starts_with(' ')
        && !token.ends_with(' ')
}

/// A message of an agent, decoded from its bytes and handled.
pub const MESSAGES: Target = Target {
    name: "agent_messages",
    says: "one gRPC message of an agent to the attester, and what it carries",
    input: Input::Bytes,
    properties: &[DECODED_AGAIN, ONLY_HONEST, WHO, TOKEN, RECEIPT],
    run: messages,
};

const DECODED_AGAIN: Property = Property {
    name: "decoded-again",
    says: "a message that was decoded encodes to what decodes to it again",
};
const ONLY_HONEST: Property = Property {
    name: "only-honest",
    says: "nothing is admitted but the registration that the peer's key signed for this session",
};
const RECEIPT: Property = Property {
    name: "receipt",
    says: "a receipt that can be read is at most 4,096 bytes and does not open with a stranger's key",
};

fn messages(input: &[u8], report: &mut Report) {
    use prost::Message;
    use proto::attest::{ToAttester, to_attester::Message as Said};

    let message = match ToAttester::decode(input) {
        Ok(message) => message,
        Err(error) => return report.note(|| format!("no message: {error}")),
    };
    let again = ToAttester::decode(message.encode_to_vec().as_slice());
    report.check(DECODED_AGAIN, again.as_ref() == Ok(&message), || {
        format!("{message:?} became {again:?}")
    });
    match message.message {
        Some(Said::Register(register)) => {
            let pair = |succession: &proto::attest::Succession| SuccessionPair {
                by_old: succession.by_old.to_vec(),
                by_new: succession.by_new.to_vec(),
            };
            let beside = Beside {
                connect_token: register.connect_token.clone(),
                successions: register.successions.iter().map(pair).collect(),
            };
            let decided = admit(&register.registration, beside, &terms());
            judge(&register.registration, &decided, report);
            match decided {
                Ok(admitted) => {
                    let session = admitted.registration.session == terms().session;
                    let here = admitted.registration.address.0.ip() == terms().source;
                    report.check(ONLY_HONEST, session && here, || format!("{admitted:?}"));
                    report.note(|| format!("admitted: {admitted:?}"));
                }
                Err(refused) => report.note(|| refused.finding.to_string()),
            }
        }
        Some(Said::Receipt(receipt)) => {
            if let Ok(signed) = Signed::<Receipt>::parse(&receipt.receipt) {
                let opened = signed.verify(&key(STRANGER).public());
                let small = receipt.receipt.len() <= proto::cbor::MAX_BYTES;
                report.check(RECEIPT, small && opened.is_err(), || format!("{opened:?}"));
            }
        }
        Some(Said::Ack(_) | Said::Goodbye(_) | Said::Retest(_)) | None => {}
    }
}

/// What the attester grants a claim's window.
const LEEWAY: Duration = Duration::from_secs(2);
