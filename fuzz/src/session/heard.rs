//! One message of an attester to the agent, as bytes, in each state that a session can be in.

use peer_agent::fuzzing::{Deed, Session, Setting};
use prost::Message as _;
use proto::{
    attest::{Registered, ToAgent, to_agent::Message},
    claims::{Outcome, Verdict, Welcome},
    ids::{Address, ChannelBinding, Nonce, Pin},
    time::Clock,
};

use crate::{
    honest::{self, ADDRESS, ATTESTER, KEYSET, PEER, Probe, ROOT, at, key, parsed, second, signed, thumbprint},
    target::{Input, Property, Report, Target},
};

/// See the module.
pub const TARGET: Target = Target {
    name: "attester_messages",
    says: "one gRPC message of an attester to the agent, in each state of a session",
    input: Input::Bytes,
    properties: &[DECODED_AGAIN, ONLY_SIGNED, BOUNDED_WORDS],
    run,
};

const DECODED_AGAIN: Property = Property {
    name: "decoded-again",
    says: "a message that was decoded encodes to what decodes to it again",
};
const ONLY_SIGNED: Property = Property {
    name: "only-signed",
    says: "no claim has an effect but those few that the keys of this crate signed",
};
const BOUNDED_WORDS: Property = Property {
    name: "bounded-words",
    says: "why the session ended is told in bounded words without control characters",
};

/// Honest messages up to and with a verdict, in order.
pub(crate) fn honest() -> Vec<Message> {
    let challenge = signed(&Probe::default().challenge(), ATTESTER);
    let welcome = Welcome {
        issuer: thumbprint(ATTESTER),
        expires: second(60),
        issued_at: second(0),
        session: Nonce::from_bytes([2; 32]),
        channel_binding: BINDING,
        server_time: at(0),
        versions: vec![1],
    };
    let verdict = Verdict {
        issuer: thumbprint(ATTESTER),
        subject: thumbprint(PEER),
        expires: second(300),
        issued_at: second(0),
        probe: Probe::default().id(),
        outcome: Outcome::Proved,
        reason: String::new(),
        remedy: String::new(),
        standing: "verified".to_owned(),
        evidence: Default::default(),
        receipt_arrived: None,
        clock_offset: 0,
    };
    vec![
        Message::Keyset(KEYSET.clone().into()),
        Message::Welcome(signed(&welcome, ATTESTER).into()),
        Message::Registered(Registered {
            peer_id: thumbprint(PEER).peer_id().to_string(),
            own_name: "peer-x.example".to_owned(),
        }),
        Message::Announcement(signed(&Probe::default().announcement(&challenge), ATTESTER).into()),
        Message::Verdict(signed(&verdict, ATTESTER).into()),
    ]
}

fn run(input: &[u8], report: &mut Report) {
    let message = match ToAgent::decode(input) {
        Ok(message) => message,
        Err(error) => return report.note(|| format!("no message: {error}")),
    };
    let again = ToAgent::decode(message.encode_to_vec().as_slice());
    report.check(DECODED_AGAIN, again.as_ref() == Ok(&message), || {
        format!("{message:?} became {again:?}")
    });
    let honest = HONEST.with(Clone::clone);
    for steps in 0..4 {
        let mut session = begun();
        for before in honest.iter().take(steps) {
            // What is honest was accepted once already.
            let _ = session.hear(Some(before.clone()));
        }
        match session.hear(message.message.clone()) {
            Err(ended) => {
                let text = format!("{} {}", ended.code, ended.remedy);
                let fine = text.len() <= 2048 && !text.chars().any(char::is_control);
                report.check(BOUNDED_WORDS, fine, || format!("{text:?}"));
                report.note(|| format!("after {steps} honest messages: {}", ended.remedy));
            }
            Ok(deeds) => {
                let known = message.message.as_ref().is_some_and(|message| honest.contains(message));
                let registered = matches!(deeds.as_slice(), [] | [Deed::Registered(_)]);
                let named = matches!(&message.message, Some(Message::Registered(_)));
                let fine = known || (named && registered);
                report.check(ONLY_SIGNED, fine, || format!("after {steps}: {deeds:?}"));
                report.note(|| format!("after {steps} honest messages: {deeds:?}"));
            }
        }
    }
}

fn begun() -> Session {
    Session::new(Setting {
        key: key(PEER).clone(),
        root: key(ROOT).public(),
        address: Address(parsed(ADDRESS)),
        protocols: honest::protocols(),
        pin: Pin::from_bytes([4; 32]),
        binding: BINDING,
        connect_token: None,
        clock: Clock::manual(at(0)),
    })
}

const BINDING: ChannelBinding = ChannelBinding::from_bytes([3; 32]);

thread_local! {
    static HONEST: Vec<Message> = honest();
}
