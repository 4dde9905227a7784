//! The agent's end: the real machine and the real tap, against a model that follows the tables of the protocol's text.
//!
//! Every step is made by an honest attester or bends one thing. The model says beforehand what a step must lead to.

use std::{collections::BTreeMap, time::Duration};

use peer_agent::fuzzing::{Deed, Ended, Session, Setting};
use proto::{
    attest::{Register, to_attester},
    checked::Signed,
    claims::{Announcement, Challenge, Claim, Keyset, Receipt, Registration, Role},
    ids::{Address, ChannelBinding, Digest, Nonce, Pin, ProbeId},
    probe,
    time::{Clock, Timestamp},
};

use crate::{
    choices::Choices,
    honest::{self, ADDRESS, ATTESTER, PEER, ROOT, at, destination, key, parsed, thumbprint},
    target::{Input, Property, Report, Target},
};

mod steps;

/// See the module.
pub const TARGET: Target = Target {
    name: "agent_session",
    says: "the agent's end of a session: what an attester, honest or not, says and the host does, step by step",
    input: Input::Choices,
    properties: &[
        AS_MODELLED,
        SAYS_NOTHING_UNWELCOMED,
        TRUE_REGISTRATION,
        ARMS_FOR_ITSELF,
        ONE_RECEIPT,
        TRUE_RECEIPT,
        STAYS_ENDED,
        BOUNDED_WORDS,
    ],
    run,
};

const AS_MODELLED: Property = Property {
    name: "as-modelled",
    says: "each step has the outcome that the protocol's tables give: what it says, or that the session ends",
};
const SAYS_NOTHING_UNWELCOMED: Property = Property {
    name: "says-nothing-unwelcomed",
    says: "nothing is sent before a welcome by an attester key over this very connection",
};
const TRUE_REGISTRATION: Property = Property {
    name: "true-registration",
    says: "the registration is signed by the peer's key, for this session, connection, address and TLS key",
};
const ARMS_FOR_ITSELF: Property = Property {
    name: "arms-for-itself",
    says: "the tap is armed only by a timely announcement about this peer, signed by an attester key, once a probe",
};
const ONE_RECEIPT: Property = Property {
    name: "one-receipt",
    says: "an announcement yields one receipt at most, and none unless its challenge came by",
};
const TRUE_RECEIPT: Property = Property {
    name: "true-receipt",
    says: "a receipt is signed by the peer's key and says what the flow carried",
};
const STAYS_ENDED: Property = Property {
    name: "stays-ended",
    says: "after an error or the goodbye nothing more is said, and no flow is looked at after an error",
};
const BOUNDED_WORDS: Property = Property {
    name: "bounded-words",
    says: "what the host is told is bounded and has no control characters",
};

/// Where the model stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    AwaitKeyset,
    AwaitWelcome,
    Registering,
    Registered,
    Left,
    Over,
}

/// What a step must lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// The session ends with an error.
    End,
    /// Nothing is said.
    Silence,
    /// The registration is sent.
    Register,
    /// The session is registered.
    Registered,
    /// The tap is armed and an acknowledgement without refusal sent.
    Armed,
    /// An acknowledgement with a refusal is sent.
    Refused,
    /// A verdict is noted.
    Concluded,
    /// A goodbye is sent.
    Goodbye,
    /// A probe is asked for.
    Retest,
    /// This many receipts are sent.
    Receipts(usize),
}

struct World {
    session: Session,
    clock: Clock,
    state: State,
    /// The keyset that is believed: when it was signed, and until when it holds.
    keyset: Option<Keyset>,
    /// What to add to the agent's clock.
    offset: i64,
    probes: BTreeMap<u8, Probe>,
    seen: Vec<ProbeId>,
}

/// A probe that was announced in this session.
struct Probe {
    challenge: Vec<u8>,
    claim: Challenge,
    keyset: Keyset,
    announcement: Announcement,
    armed: bool,
    receipts: usize,
}

fn run(input: &[u8], report: &mut Report) {
    let mut choices = Choices::new(input);
    let skew = if choices.twist() {
        i64::from(choices.any::<i16>()) * 1_000_000
    } else {
        0
    };
    let clock = Clock::manual(at(0).shifted(-skew));
    let session = Session::new(Setting {
        key: key(PEER).clone(),
        root: key(ROOT).public(),
        address: Address(parsed(ADDRESS)),
        protocols: honest::protocols(),
        pin: Pin::from_bytes([4; 32]),
        binding: BINDING,
        connect_token: None,
        clock: clock.clone(),
    });
    let mut world = World {
        session,
        clock,
        state: State::AwaitKeyset,
        keyset: None,
        offset: 0,
        probes: BTreeMap::new(),
        seen: Vec::new(),
    };
    for _ in 0..MOST_STEPS {
        if choices.is_over() {
            break;
        }
        step(&mut world, &mut choices, report);
    }
}

fn step(world: &mut World, choices: &mut Choices<'_>, report: &mut Report) {
    let kind = choices.below(13);
    let (expected, outcome) = match kind {
        // What comes next in an honest session, so that most lists get somewhere.
        0 => match world.state {
            State::AwaitKeyset => steps::keyset(world, choices),
            State::AwaitWelcome => steps::welcome(world, choices),
            State::Registering => steps::registered(world, choices),
            State::Registered | State::Left | State::Over => steps::announcement(world, choices),
        },
        1 => steps::keyset(world, choices),
        2 => steps::welcome(world, choices),
        3 => steps::registered(world, choices),
        4 => steps::announcement(world, choices),
        5 => steps::verdict(world, choices),
        6 | 7 => steps::flow(world, choices, report),
        8 => steps::goodbye(world, choices),
        9 => steps::rejected(world, choices),
        10 => steps::nonsense(world, choices),
        12 => steps::retest(world),
        _ => {
            let by = if choices.twist() {
                choices.any::<u16>()
            } else {
                choices.byte().into()
            };
            world.clock.advance(Duration::from_secs(by.into()));
            return;
        }
    };
    report.note(|| format!("step {kind} in {:?}: {expected:?}, {outcome:?}", world.state));
    judge(world, expected, outcome, report);
}

/// Compares what happened with what had to, and moves the model on.
fn judge(world: &mut World, expected: Expected, outcome: Result<Vec<Deed>, Ended>, report: &mut Report) {
    let before = world.state;
    let found = match &outcome {
        Err(ended) => {
            let words = [(ended.code.as_str(), 64), (ended.remedy.as_str(), 2048)];
            for (text, most) in words {
                let fine = text.len() <= most && !text.chars().any(char::is_control);
                report.check(BOUNDED_WORDS, fine, || format!("{text:?}"));
            }
            Expected::End
        }
        Ok(deeds) => found(deeds),
    };
    report.check(AS_MODELLED, found == expected, || {
        format!("in {before:?} expected {expected:?}, found {found:?}: {outcome:?}")
    });
    for deed in outcome.iter().flatten() {
        look_at(world, deed, report);
    }
    let quiet = !matches!(before, State::Over | State::Left) || outcome.as_ref().is_ok_and(Vec::is_empty);
    report.check(STAYS_ENDED, quiet, || format!("in {before:?}: {outcome:?}"));
    world.state = match found {
        Expected::End => State::Over,
        Expected::Register => State::Registering,
        Expected::Registered => State::Registered,
        Expected::Goodbye => State::Left,
        _ => world.state,
    };
}

fn found(deeds: &[Deed]) -> Expected {
    use to_attester::Message as Said;

    match deeds {
        [] => Expected::Silence,
        [Deed::Welcomed, Deed::Sent(Said::Register(_))] => Expected::Register,
        [Deed::Registered(_)] => Expected::Registered,
        [Deed::Armed(_), Deed::Sent(Said::Ack(ack))] if ack.refusal.is_empty() => Expected::Armed,
        [Deed::Sent(Said::Ack(ack))] if !ack.refusal.is_empty() => Expected::Refused,
        [Deed::Concluded { .. }] => Expected::Concluded,
        [Deed::Sent(Said::Goodbye(_))] => Expected::Goodbye,
        [Deed::Sent(Said::Retest(_))] => Expected::Retest,
        receipts => Expected::Receipts(receipts.len()),
    }
}

/// What must be true of a deed, whatever led to it.
fn look_at(world: &mut World, deed: &Deed, report: &mut Report) {
    let welcomed = matches!(world.state, State::Registering | State::Registered);
    match deed {
        Deed::Sent(to_attester::Message::Register(register)) => {
            report.check(SAYS_NOTHING_UNWELCOMED, world.state == State::AwaitWelcome, String::new);
            true_registration(world, register, report);
        }
        Deed::Sent(message) => {
            report.check(SAYS_NOTHING_UNWELCOMED, welcomed, || {
                format!("{message:?} in {:?}", world.state)
            });
            if let to_attester::Message::Receipt(receipt) = message {
                count_receipt(world, &receipt.receipt, report);
            }
        }
        Deed::Armed(announcement) => {
            let again = world.seen.contains(&announcement.probe);
            let mine = announcement.subject == thumbprint(PEER);
            report.check(ARMS_FOR_ITSELF, mine && !again, || {
                format!("{announcement:?}, seen: {again}")
            });
            world.seen.push(announcement.probe);
        }
        Deed::Concluded { reason, remedy, .. } => {
            for text in [reason, remedy].into_iter().flatten() {
                let fine = text.len() <= 512 && !text.chars().any(char::is_control);
                report.check(BOUNDED_WORDS, fine, || format!("{text:?}"));
            }
        }
        Deed::Registered(name) => {
            let fine = name.len() <= 253 && !name.chars().any(char::is_control);
            report.check(BOUNDED_WORDS, fine, || format!("{name:?}"));
        }
        Deed::Welcomed => {}
    }
}

fn true_registration(world: &World, register: &Register, report: &mut Report) {
    let opened = Signed::<Registration>::parse(&register.registration).and_then(Signed::verify_with_own_key);
    let claim = match opened {
        Ok(timely) => timely.dangerously_at_any_time(),
        Err(error) => return report.broken(TRUE_REGISTRATION, error.to_string()),
    };
    let right = claim.issuer == thumbprint(PEER)
        && claim.audience == thumbprint(ATTESTER)
        && claim.session == SESSION
        && claim.channel_binding == BINDING
        && claim.address.0 == parsed(ADDRESS)
        && claim.pin == Pin::from_bytes([4; 32])
        && claim.peer_time == world.clock.now();
    report.check(TRUE_REGISTRATION, right, || format!("{claim:?}"));
}

fn count_receipt(world: &mut World, bytes: &[u8], report: &mut Report) {
    let opened = Signed::<Receipt>::parse(bytes).and_then(|signed| signed.verify(&key(PEER).public()));
    let receipt = match opened {
        Ok(timely) => timely.dangerously_at_any_time(),
        Err(error) => return report.broken(TRUE_RECEIPT, error.to_string()),
    };
    let probe = world
        .probes
        .values_mut()
        .find(|probe| probe.announcement.probe == receipt.probe);
    let Some(probe) = probe else {
        return report.broken(ONE_RECEIPT, "a receipt of a probe that was not announced");
    };
    probe.receipts += 1;
    report.check(ONE_RECEIPT, probe.receipts == 1 && probe.armed, || {
        format!("{} receipts, armed: {}", probe.receipts, probe.armed)
    });
    let request = probe::request(&probe.challenge, &destination());
    let nonce = Nonce::from_bytes([probe.announcement.probe.as_bytes()[0]; 32]);
    let right = receipt.issuer == thumbprint(PEER)
        && receipt.audience == probe.announcement.issuer
        && receipt.nonce == nonce
        && receipt.destination == destination()
        && (receipt.up, receipt.up_digest) == (request.len() as u64, Digest::of(&request))
        && (receipt.down, receipt.down_digest) == (DOWN.len() as u64, Digest::of(DOWN));
    report.check(TRUE_RECEIPT, right, || format!("{receipt:?}"));
}

impl World {
    fn attester_time(&self) -> Timestamp {
        self.clock.now().shifted(self.offset)
    }

    fn end_unless_over(&self) -> Expected {
        match self.state {
            State::Over | State::Left => Expected::Silence,
            _ => Expected::End,
        }
    }

    fn is_attester(&self, signer: u8, now: Timestamp) -> bool {
        is_attester(self.keyset.as_ref(), signer, now)
    }
}

/// Whether the believed keyset lists the key as an attester's now, give or take the leeway.
fn is_attester(keyset: Option<&Keyset>, signer: u8, now: Timestamp) -> bool {
    let Some(keyset) = keyset else { return false };
    let listed = |time: Timestamp| keyset.key(Role::Attester, thumbprint(signer), time).is_ok();
    let revoked = keyset.revoked_since(thumbprint(signer)).is_some();
    !revoked && holds(keyset, now) && [now, now.minus(LEEWAY), now.plus(LEEWAY)].into_iter().any(listed)
}

/// Whether a claim's window holds, give or take the leeway.
fn holds(claim: &impl Claim, now: Timestamp) -> bool {
    let (start, end) = claim.window();
    now.plus(LEEWAY) >= start.start() && now.minus(LEEWAY) < end.start()
}

const BINDING: ChannelBinding = ChannelBinding::from_bytes([3; 32]);
const SESSION: Nonce = Nonce::from_bytes([2; 32]);
const DOWN: &[u8] = &[7; 100];
const LEEWAY: Duration = Duration::from_secs(10);
const MOST_STEPS: usize = 40;
