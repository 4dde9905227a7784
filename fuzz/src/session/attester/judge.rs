//! What must hold of a session, whatever was sent in it.

use std::time::Duration;

use attester::{
    model::{Finding, Reason},
    session::{SessionHandle, Ticket},
};
use proto::{
    attest::to_agent::Message,
    checked::Signed,
    claims::{Receipt, Welcome},
    ids::ProbeId,
};

use super::{BINDING, Told, World, at_once, message_of, model};
use crate::{
    honest::{ATTESTER, KEYSET, at, key},
    target::{Property, Report},
};

pub(super) const PROPERTIES: &[Property] = &[
    GREETING,
    ONE_HONEST_REGISTRATION,
    ENDS_ONCE,
    LAST_WORD,
    TICKETS,
    EIGHT_PENDING,
    ASKED_FOR,
    ENDS,
    model::AS_MODELLED,
    model::LAST_WORDS,
    model::REACHES_THE_CORE,
];

const GREETING: Property = Property {
    name: "greeting",
    says: "the agent first hears the keyset, then a welcome that is signed for this connection, and nothing else unasked",
};
const ONE_HONEST_REGISTRATION: Property = Property {
    name: "one-honest-registration",
    says: "the core is told of one registration at most, and only of one that the peer signed for this very session",
};
const ENDS_ONCE: Property = Property {
    name: "ends-once",
    says: "after a registration the core hears of exactly one end or goodbye, unless it refused it itself or the server stopped",
};
const LAST_WORD: Property = Property {
    name: "last-word",
    says: "after a rejection or a status the agent hears nothing more",
};
const TICKETS: Property = Property {
    name: "tickets",
    says: "a probe is acknowledged only by an ack of that probe, and its receipt is a readable one of that probe that was sent",
};
const EIGHT_PENDING: Property = Property {
    name: "eight-pending",
    says: "at most eight probes are announced at a time, each once; an announcement fails only for that, or when the session is over",
};
const ASKED_FOR: Property = Property {
    name: "asked-for",
    says: "the core is told that the host asks for a probe as often as a registered agent says so, or less",
};
const ENDS: Property = Property {
    name: "ends",
    says: "when the agent is gone the session's task ends within a minute, and the connection with it",
};

pub(super) fn greeting(world: &mut World, report: &mut Report) {
    let keyset = world.heard.first().and_then(message_of);
    let first = matches!(keyset, Some(Message::Keyset(bytes)) if bytes[..] == KEYSET[..]);
    let welcome = match world.heard.get(1).and_then(message_of) {
        Some(Message::Welcome(bytes)) => Signed::<Welcome>::parse(bytes)
            .and_then(|signed| signed.verify(&key(ATTESTER).public()))
            .and_then(|timely| timely.at(at(0), Duration::ZERO))
            .ok(),
        _ => None,
    };
    let bound = welcome
        .as_ref()
        .is_some_and(|welcome| welcome.channel_binding == BINDING);
    report.check(GREETING, first && bound && world.heard.len() == 2, || {
        format!("{:?}", world.heard)
    });
    world.welcome = welcome;
}

pub(super) fn sent_while_live(handle: &SessionHandle, sent: &Result<(), Finding>, report: &mut Report) {
    report.check(LAST_WORD, sent.is_ok() == handle.is_live(), || {
        format!("{sent:?}, live: {}", handle.is_live())
    });
}

pub(super) fn announced(pending: &[ProbeId], probe: ProbeId, ticket: &Result<Ticket, Finding>, report: &mut Report) {
    let free = pending.len() < 8 && !pending.contains(&probe);
    let fine = match ticket {
        Ok(_) => free,
        Err(finding) if finding.reason == Reason::AttesterFailed => !free,
        Err(finding) => finding.reason == Reason::NoSession,
    };
    report.check(EIGHT_PENDING, fine, || format!("{} pending, {ticket:?}", pending.len()));
}

/// Looks at every ticket, without waiting; when it is the last time, at their receipts too.
pub(super) async fn tickets(world: &mut World, last: bool, report: &mut Report) {
    let mut kept = Vec::new();
    for (probe, mut ticket) in std::mem::take(&mut world.tickets) {
        let acked = ticket.acked(at_once()).await;
        let said = world.acks.iter().filter(|(of, _)| *of == probe);
        let fine = match &acked {
            Ok(()) => world.garbled || said.clone().any(|(_, refusal)| refusal.is_empty()),
            Err(finding) if finding.reason == Reason::AckRefused => {
                world.garbled || said.clone().any(|(_, refusal)| !refusal.is_empty())
            }
            Err(finding) => matches!(finding.reason, Reason::AckMissing | Reason::NoSession),
        };
        report.check(TICKETS, fine, || format!("{acked:?}, said {:?}", world.acks));
        if !last {
            kept.push((probe, ticket));
            continue;
        }
        let receipt = ticket.receipt(at_once()).await;
        let fine = match &receipt {
            Ok((bytes, _)) => {
                let of = Signed::<Receipt>::parse(bytes).map(|signed| signed.dangerously_unverified().probe);
                world.receipts.contains(bytes) && of.ok() == Some(probe)
            }
            Err(finding) => matches!(finding.reason, Reason::ReceiptMissing | Reason::NoSession),
        };
        report.check(TICKETS, fine, || format!("{receipt:?}"));
    }
    world.tickets = kept;
}

/// The agent goes, and the core does nothing more.
pub(super) async fn end(world: &mut World, report: &mut Report) {
    tickets(world, true, report).await;
    // Dropped undecided, the core's answer says that nobody could decide.
    world.answer = None;
    world.talk.say = None;
    world.talk.lose_connection();
    let ended = tokio::time::timeout(Duration::from_secs(60), &mut world.talk.task).await;
    report.check(ENDS, matches!(ended, Ok(Ok(()))) && world.talk.is_aborted(), || {
        format!("{ended:?}, aborted: {}", world.talk.is_aborted())
    });
    world.settle().await;
    registrations(world, report);
    last_word(world, report);
}

fn registrations(world: &World, report: &mut Report) {
    let registered: Vec<&Vec<u8>> = world
        .events
        .iter()
        .filter_map(|event| match event {
            Told::Register(raw) => Some(raw),
            _ => None,
        })
        .collect();
    let genuine = |raw: &&Vec<u8>| {
        world
            .registrations
            .iter()
            .any(|(sent, genuine)| sent == *raw && *genuine)
    };
    report.check(
        ONE_HONEST_REGISTRATION,
        registered.len() <= 1 && registered.iter().all(genuine),
        || format!("{:?}", world.events),
    );
    let ends = world
        .events
        .iter()
        .filter(|event| matches!(event, Told::Goodbye | Told::Ended))
        .count();
    let retests = world.events.iter().filter(|event| **event == Told::Retest).count();
    let registered_first = retests == 0 || registered.len() == 1;
    report.check(
        ASKED_FOR,
        world.garbled || retests <= world.retests && registered_first,
        || format!("said {} times: {:?}", world.retests, world.events),
    );
    let goodbyes = world.events.iter().filter(|event| **event == Told::Goodbye).count();
    let fine = match registered.len() {
        0 => ends == 0,
        _ if world.refused || world.stopped => ends <= 1,
        _ => ends == 1,
    };
    report.check(ENDS_ONCE, fine && (goodbyes <= world.goodbyes || world.garbled), || {
        format!("refused by the core: {}, {:?}", world.refused, world.events)
    });
}

fn last_word(world: &World, report: &mut Report) {
    let last = world
        .heard
        .iter()
        .position(|heard| heard.is_err() || matches!(message_of(heard), Some(Message::Rejected(_))));
    let fine = last.is_none_or(|index| index + 1 == world.heard.len());
    report.check(LAST_WORD, fine, || format!("{:?}", world.heard));
}
