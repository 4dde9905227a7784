//! The tap: what it says of a flow does not depend on how the flow was cut into reads and writes, and is what a reader who
//! takes the flow byte by byte, by the protocol's text, would say.

use peer_agent::{
    FlowEnd as HostEnd,
    fuzzing::{Account, Observer},
};
use proto::{claims::FlowEnd, ids::Digest, probe, time::Clock};

use crate::{
    choices::{Choices, mutated},
    honest::{ATTESTER, DESTINATION, KEYSET, Probe, ROOT, STRANGER, at, key, signed},
    target::{Input, Property, Report, Target},
};

/// See the module.
pub const TARGET: Target = Target {
    name: "tap",
    says: "a flow past the agent's tap, cut anyhow: counts, digests and end",
    input: Input::Choices,
    properties: &[AS_THE_TEXT_SAYS, HOWEVER_CUT, ONE_ACCOUNT, NOT_ITS_BUSINESS],
    run,
};

const AS_THE_TEXT_SAYS: Property = Property {
    name: "as-the-text-says",
    says: "lengths, digests and end are those that the protocol's text gives for the whole",
};
const HOWEVER_CUT: Property = Property {
    name: "however-cut",
    says: "another way to cut the same bytes gives the same account",
};
const ONE_ACCOUNT: Property = Property {
    name: "one-account",
    says: "a flow has one account at most, and none is for a flow that did not bring its challenge",
};
const NOT_ITS_BUSINESS: Property = Property {
    name: "not-its-business",
    says: "a flow to another destination is not looked at",
};

/// What goes by, in order.
#[derive(Debug)]
enum Part {
    Up(Vec<u8>),
    Down(Vec<u8>),
}

/// A flow and how it ends.
#[derive(Debug)]
struct Plan {
    challenge: Vec<u8>,
    up: u64,
    down: u64,
    parts: Vec<Part>,
    end: Option<FlowEnd>,
    destination: String,
    honest: bool,
}

fn run(input: &[u8], report: &mut Report) {
    let mut choices = Choices::new(input);
    let plan = plan(&mut choices);
    let expected = by_the_text(&plan);
    let whole = observed(&plan, |bytes| vec![bytes]);
    let mut cuts = choices.rest().iter().copied().cycle();
    let cut = observed(&plan, |bytes| {
        let mut rest = bytes;
        let mut pieces = Vec::new();
        while !rest.is_empty() {
            // Short pieces and long ones; without choices, byte by byte.
            let length = match cuts.next() {
                None => 1,
                Some(byte) if byte < 200 => usize::from(byte % 20) + 1,
                Some(byte) => usize::from(byte - 199) * 97,
            };
            let (piece, after) = rest.split_at(length.min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        pieces
    });
    report.equal(HOWEVER_CUT, &cut, &whole);
    report.equal(AS_THE_TEXT_SAYS, &whole.first(), &expected.as_ref());
    report.check(
        ONE_ACCOUNT,
        whole.len() <= 1 && (plan.honest || whole.is_empty()),
        || format!("{whole:?} of {plan:?}"),
    );
    if plan.destination != DESTINATION {
        report.check(NOT_ITS_BUSINESS, whole.is_empty(), || format!("{whole:?}"));
    }
}

fn plan(choices: &mut Choices<'_>) -> Plan {
    let probe = Probe {
        number: choices.byte(),
        body: choices.below(64) as u64,
        ..Probe::default()
    };
    let signer = if choices.twist() { STRANGER } else { ATTESTER };
    let challenge = signed(&probe.challenge(), signer);
    let mut request = probe::request(&challenge, &crate::honest::destination());
    let (mut up, mut down) = (request.len() as u64, choices.any::<u16>() as u64 % 600 + 1);
    let line = request.iter().position(|byte| *byte == b'\n').unwrap_or_default() + 1;
    let mut honest = signer == ATTESTER;
    if choices.twist() {
        let mut first = request[..line].to_vec();
        if let Some(changed) = mutated(&first, choices) {
            first = changed;
            // Another line, or the same line with something after it.
            honest &= first.starts_with(&request[..line]);
        }
        first.extend_from_slice(&request[line..]);
        request = first;
    }
    if choices.twist() {
        up = up.saturating_add_signed(i64::from(choices.any::<i8>())).max(1);
    }
    if choices.twist() {
        down = down.saturating_add_signed(i64::from(choices.any::<i8>())).max(1);
    }
    let answer: Vec<u8> = (0..down.saturating_add_signed(slack(choices)))
        .map(|at| (at % 251) as u8)
        .collect();
    let extra = choices.bytes(40).to_vec();
    request.extend_from_slice(if choices.twist() { &extra } else { &[] });
    let parts = interleaved(&request, &answer, choices);
    let end = *choices.of(&[
        None,
        Some(FlowEnd::DestinationEof),
        Some(FlowEnd::DestinationError),
        Some(FlowEnd::Closed),
        Some(FlowEnd::Window),
    ]);
    let destination = if choices.twist() {
        "other.example:80"
    } else {
        DESTINATION
    };
    Plan {
        challenge,
        up,
        down,
        parts,
        end,
        destination: destination.to_owned(),
        honest: honest && destination == DESTINATION,
    }
}

/// By how many bytes the answer is not as announced; mostly by none.
fn slack(choices: &mut Choices<'_>) -> i64 {
    if choices.twist() { choices.any::<i8>().into() } else { 0 }
}

/// The two directions in turns, each in one to four parts.
fn interleaved(up: &[u8], down: &[u8], choices: &mut Choices<'_>) -> Vec<Part> {
    let (mut up, mut down) = (up, down);
    let mut parts = Vec::new();
    for _ in 0..choices.below(4) {
        let (head, rest) = up.split_at(usize::from(choices.any::<u16>()).min(up.len()));
        parts.push(Part::Up(head.to_vec()));
        up = rest;
        let (head, rest) = down.split_at(usize::from(choices.any::<u16>()).min(down.len()));
        parts.push(Part::Down(head.to_vec()));
        down = rest;
    }
    parts.push(Part::Up(up.to_vec()));
    parts.push(Part::Down(down.to_vec()));
    parts
}

/// What the tap says, when each part is cut by `cut`.
fn observed<'p>(plan: &'p Plan, mut cut: impl FnMut(&'p [u8]) -> Vec<&'p [u8]>) -> Vec<Account> {
    let mut observer = Observer::new(Clock::manual(at(1)));
    let mut announcement = Probe::default().announcement(&plan.challenge);
    let Ok(claim) = proto::checked::Signed::<proto::claims::Challenge>::parse(&plan.challenge) else {
        return Vec::new();
    };
    announcement.probe = claim.dangerously_unverified().probe;
    (announcement.up, announcement.down) = (plan.up, plan.down);
    let probe = announcement.probe;
    assert!(
        observer.arm(announcement, &KEYSET, &key(ROOT).public(), at(1)),
        "the tap is free"
    );
    if let Some(mut flow) = observer.tap().flow(&plan.destination) {
        for part in &plan.parts {
            match part {
                Part::Up(bytes) => cut(bytes).into_iter().for_each(|piece| flow.up(piece)),
                Part::Down(bytes) => cut(bytes).into_iter().for_each(|piece| flow.down(piece)),
            }
        }
        match plan.end {
            Some(FlowEnd::DestinationEof) => flow.end(HostEnd::DestinationEof),
            Some(FlowEnd::DestinationError) => flow.end(HostEnd::DestinationError),
            Some(FlowEnd::Window) => {
                observer.window_ended(probe);
                drop(flow);
            }
            // What the host forgets counts as closed by it.
            _ => drop(flow),
        }
    }
    std::iter::from_fn(|| observer.account()).collect()
}

/// README, "The tap" and "The flow's end", byte by byte.
fn by_the_text(plan: &Plan) -> Option<Account> {
    if !plan.honest {
        return None;
    }
    let challenge = proto::checked::Signed::<proto::claims::Challenge>::parse(&plan.challenge).ok()?;
    let (mut up, mut down) = (Vec::new(), Vec::new());
    let mut ended = None;
    let (mut line, mut early) = (Vec::new(), Vec::new());
    for part in &plan.parts {
        match part {
            Part::Up(bytes) => {
                for byte in bytes {
                    if ended.is_some() {
                        break;
                    }
                    if line.last() == Some(&b'\n') {
                        up.push(*byte);
                        ended = end_now(&up, &down, plan);
                        continue;
                    }
                    line.push(*byte);
                    if *byte == b'\n' {
                        down.append(&mut early);
                        ended = begin(&line, &mut up, &down, plan);
                    }
                }
            }
            Part::Down(bytes) => {
                for byte in bytes {
                    if ended.is_some() {
                        break;
                    }
                    if line.last() == Some(&b'\n') {
                        down.push(*byte);
                        ended = end_now(&up, &down, plan);
                    } else {
                        early.push(*byte);
                    }
                }
            }
        }
    }
    if line.last() != Some(&b'\n') {
        return None;
    }
    let claim = challenge.dangerously_unverified();
    Some(Account {
        probe: claim.probe,
        nonce: claim.nonce,
        up: up.len() as u64,
        up_digest: Digest::of(&up),
        down: down.len() as u64,
        down_digest: Digest::of(&down),
        end: ended.or(plan.end).unwrap_or(FlowEnd::Closed),
        opened: at(1),
        closed: at(1),
    })
}

/// The line is complete: it counts from its first byte on, and all that came down before does too, since nobody knew yet
/// how much of it was announced.
fn begin(line: &[u8], up: &mut Vec<u8>, down: &[u8], plan: &Plan) -> Option<FlowEnd> {
    let too_much = down.len() as u64 > plan.down;
    for byte in line {
        up.push(*byte);
        let ended = end_now(up, down, plan);
        if ended.is_some() && !(too_much && up.len() as u64 <= plan.up) {
            return ended;
        }
    }
    end_now(up, down, plan)
}

fn end_now(up: &[u8], down: &[u8], plan: &Plan) -> Option<FlowEnd> {
    let (up, down) = (up.len() as u64, down.len() as u64);
    if up > plan.up || down > plan.down {
        Some(FlowEnd::Overrun)
    } else if (up, down) == (plan.up, plan.down) {
        Some(FlowEnd::Lengths)
    } else {
        None
    }
}
