//! The steps: what an attester says and what the host does, each with what it must lead to.

use std::{collections::BTreeMap, time::Duration};

use peer_agent::{
    FlowEnd as HostEnd,
    fuzzing::{Deed, Ended},
};
use proto::{
    attest::{Registered, Rejected, goodbye, to_agent::Message},
    checked::sign,
    claims::{Announcement, Challenge, Claim, KeyBytes, KeyEntry, Outcome, Revoked, Role, Verdict, Welcome},
    ids::{ChannelBinding, Digest, Nonce, ProbeId},
    probe,
    time::Seconds,
};

use super::{BINDING, DOWN, Expected, Probe, SESSION, STAYS_ENDED, State, World, holds, is_attester};
use crate::{
    choices::{Choices, mutated},
    honest::{self, ATTESTER, NOW, ORIGIN, PEER, ROOT, STRANGER, at, destination, key, thumbprint},
    target::Report,
};

/// What a step must lead to, and what it led to.
type Step = (Expected, Result<Vec<Deed>, Ended>);

pub(super) fn keyset(world: &mut World, choices: &mut Choices<'_>) -> Step {
    let mut keyset = honest::keyset();
    keyset.issued_at = Seconds::new(NOW - 1000 + u64::from(choices.byte()));
    if choices.twist() {
        keyset.not_before = near(choices);
        keyset.expires = Seconds::new(keyset.not_before.as_u64() + u64::from(choices.byte()));
    }
    if choices.twist() {
        // Without the attester's key, or with it for another role, or with a window of its own.
        match choices.below(3) {
            0 => keyset.keys.retain(|entry| entry.role != Role::Attester),
            1 => keyset.keys[0].role = Role::Prober,
            _ => {
                keyset.keys[0] = KeyEntry {
                    role: Role::Attester,
                    key: KeyBytes(*key(ATTESTER).public().as_bytes()),
                    not_before: near(choices),
                    expires: near(choices),
                };
            }
        }
    }
    if choices.twist() {
        keyset.issuer = thumbprint(STRANGER);
    }
    if choices.twist() {
        // The attester's key does not count any more, or another one.
        keyset.revoked = vec![Revoked {
            key: Digest::from_bytes(*thumbprint(*choices.of(&[ATTESTER, STRANGER])).as_bytes()),
            since: near(choices),
        }];
    }
    let signer = if choices.twist() { STRANGER } else { ROOT };
    let Some((bytes, intact)) = sealed(&keyset, signer, choices) else {
        return (Expected::Silence, Ok(Vec::new()));
    };
    let now = match world.state {
        State::Registering | State::Registered => world.attester_time(),
        _ => world.clock.now(),
    };
    let believed = intact && signer == ROOT && keyset.issuer == thumbprint(ROOT) && holds(&keyset, now);
    let later = world.keyset.as_ref().is_none_or(|old| keyset.issued_at > old.issued_at);
    // A session that a revoked key has begun is with whoever has that key.
    let begun = matches!(world.state, State::Registering | State::Registered);
    let revoked = begun && later && keyset.revoked_since(thumbprint(ATTESTER)).is_some();
    let expected = match world.state {
        State::Over | State::Left => Expected::Silence,
        _ if !believed || revoked => Expected::End,
        _ => {
            if later {
                world.keyset = Some(keyset);
            }
            Expected::Silence
        }
    };
    if world.state == State::AwaitKeyset && expected == Expected::Silence {
        world.state = State::AwaitWelcome;
    }
    (expected, world.session.hear(Some(Message::Keyset(bytes.into()))))
}

pub(super) fn welcome(world: &mut World, choices: &mut Choices<'_>) -> Step {
    let server_time = if choices.twist() { near(choices).start() } else { at(0) };
    let mut welcome = Welcome {
        issuer: thumbprint(ATTESTER),
        expires: server_time.plus(Duration::from_secs(60)).seconds(),
        issued_at: server_time.seconds(),
        session: SESSION,
        channel_binding: BINDING,
        server_time,
        versions: vec![1],
    };
    if choices.twist() {
        welcome.channel_binding = ChannelBinding::from_bytes(choices.any());
    }
    if choices.twist() {
        welcome.issuer = thumbprint(STRANGER);
    }
    if choices.twist() {
        welcome.versions = vec![u64::from(choices.below(3) as u8), 7];
    }
    if choices.twist() {
        (welcome.issued_at, welcome.expires) = (near(choices), near(choices));
    }
    let signer = signer(choices);
    let Some((bytes, intact)) = sealed(&welcome, signer, choices) else {
        return (Expected::Silence, Ok(Vec::new()));
    };
    let believed = intact
        && world.state == State::AwaitWelcome
        && world.is_attester(signer, world.clock.now())
        && welcome.issuer == thumbprint(ATTESTER)
        && holds(&welcome, welcome.server_time)
        && welcome.channel_binding == BINDING
        && welcome.versions.contains(&1);
    let expected = match world.state {
        State::Over | State::Left => Expected::Silence,
        State::AwaitWelcome if believed => {
            world.offset = welcome.server_time.offset_from(world.clock.now());
            Expected::Register
        }
        _ => Expected::End,
    };
    (expected, world.session.hear(Some(Message::Welcome(bytes.into()))))
}

pub(super) fn registered(world: &mut World, choices: &mut Choices<'_>) -> Step {
    let right = !choices.twist();
    let peer_id = if right {
        thumbprint(PEER).peer_id().to_string()
    } else {
        choices.text(40)
    };
    let own_name = choices.text(255);
    let expected = match world.state {
        State::Over | State::Left => Expected::Silence,
        State::Registering if peer_id == thumbprint(PEER).peer_id().as_str() => Expected::Registered,
        _ => Expected::End,
    };
    let message = Message::Registered(Registered { peer_id, own_name });
    (expected, world.session.hear(Some(message)))
}

/// An honest announcement of now, and its challenge.
fn announced(number: u8, world: &World) -> Option<(Challenge, Vec<u8>, Announcement)> {
    let time = world.attester_time();
    let (from, until) = (time.seconds(), time.plus(Duration::from_secs(20)).seconds());
    let challenge = Challenge {
        issuer: thumbprint(ATTESTER),
        subject: thumbprint(PEER),
        audience: destination(),
        expires: until,
        not_before: from,
        issued_at: from,
        probe: ProbeId::from_bytes([number; 16]),
        nonce: Nonce::from_bytes([number; 32]),
        body_length: 0,
    };
    let bytes = sign(&challenge, key(ATTESTER)).ok()?;
    let announcement = Announcement {
        issuer: thumbprint(ATTESTER),
        subject: thumbprint(PEER),
        expires: until,
        not_before: from,
        issued_at: from,
        probe: challenge.probe,
        destination: destination(),
        challenge: Digest::of(&bytes),
        up: probe::request(&bytes, &destination()).len() as u64,
        down: DOWN.len() as u64,
    };
    Some((challenge, bytes, announcement))
}

pub(super) fn announcement(world: &mut World, choices: &mut Choices<'_>) -> Step {
    let number = choices.byte() % 16;
    let time = world.attester_time();
    let Some((challenge, challenge_bytes, mut announcement)) = announced(number, world) else {
        return (Expected::Silence, Ok(Vec::new()));
    };
    if choices.twist() {
        announcement.subject = thumbprint(honest::OTHER_PEER);
    }
    if choices.twist() {
        announcement.issuer = thumbprint(STRANGER);
    }
    if choices.twist() {
        (announcement.not_before, announcement.expires) = (near(choices), near(choices));
    }
    let signer = signer(choices);
    let Some((bytes, intact)) = sealed(&announcement, signer, choices) else {
        return (Expected::Silence, Ok(Vec::new()));
    };
    let believed = intact
        && world.is_attester(signer, time)
        && announcement.issuer == thumbprint(ATTESTER)
        && announcement.subject == thumbprint(PEER);
    let waiting = world
        .probes
        .values()
        .filter(|probe| probe.armed && probe.receipts == 0)
        .count();
    let expected = match world.state {
        State::Over | State::Left => Expected::Silence,
        State::Registered if believed && holds(&announcement, time) => {
            if world.seen.contains(&announcement.probe) || waiting >= 8 {
                Expected::Refused
            } else {
                let probe = Probe {
                    challenge: challenge_bytes,
                    claim: challenge,
                    keyset: world.keyset.clone().unwrap_or_else(honest::keyset),
                    announcement,
                    armed: true,
                    receipts: 0,
                };
                world.probes.insert(number, probe);
                Expected::Armed
            }
        }
        State::Registered if believed => Expected::Refused,
        _ => Expected::End,
    };
    (expected, world.session.hear(Some(Message::Announcement(bytes.into()))))
}

pub(super) fn verdict(world: &mut World, choices: &mut Choices<'_>) -> Step {
    let time = world.attester_time();
    let mut verdict = Verdict {
        issuer: thumbprint(ATTESTER),
        subject: thumbprint(PEER),
        expires: time.plus(Duration::from_secs(300)).seconds(),
        issued_at: time.seconds(),
        probe: ProbeId::from_bytes([choices.byte(); 16]),
        outcome: Outcome::Proved,
        reason: String::new(),
        remedy: choices.text(100).chars().filter(|c| !c.is_control()).collect(),
        standing: "verified".to_owned(),
        evidence: BTreeMap::new(),
        receipt_arrived: None,
        clock_offset: 0,
    };
    if choices.twist() {
        verdict.subject = thumbprint(honest::OTHER_PEER);
    }
    if choices.twist() {
        verdict.issuer = thumbprint(STRANGER);
    }
    if choices.twist() {
        (verdict.issued_at, verdict.expires) = (near(choices), near(choices));
    }
    let signer = signer(choices);
    let Some((bytes, intact)) = sealed(&verdict, signer, choices) else {
        return (Expected::Silence, Ok(Vec::new()));
    };
    let believed = intact
        && world.is_attester(signer, time)
        && verdict.issuer == thumbprint(ATTESTER)
        && verdict.subject == thumbprint(PEER)
        && holds(&verdict, time);
    let expected = match world.state {
        State::Over | State::Left => Expected::Silence,
        State::Registered if believed => Expected::Concluded,
        _ => Expected::End,
    };
    (expected, world.session.hear(Some(Message::Verdict(bytes.into()))))
}

/// A flow goes by that brings the challenge of a probe, announced or not.
pub(super) fn flow(world: &mut World, choices: &mut Choices<'_>, report: &mut Report) -> Step {
    let number = choices.byte() % 16;
    let early = choices.twist();
    let Some(probe) = world.probes.get(&number) else {
        return (Expected::Silence, Ok(Vec::new()));
    };
    let waits = probe.armed && probe.receipts == 0;
    let time = world.attester_time();
    // By the keyset under which it was announced.
    let believed = holds(&probe.claim, time) && is_attester(Some(&probe.keyset), ATTESTER, time);
    let challenge = probe.challenge.clone();
    let opened = world.session.tap().flow(honest::DESTINATION);
    if world.state == State::Over {
        report.check(STAYS_ENDED, opened.is_none(), || "a flow is looked at".to_owned());
    }
    let mut recognised = false;
    if let Some(mut flow) = opened {
        if early {
            flow.down(DOWN);
        }
        for piece in probe::request(&challenge, &destination()).chunks(1 + choices.below(256)) {
            flow.up(piece);
        }
        if !early {
            flow.down(DOWN);
        }
        flow.end(HostEnd::DestinationEof);
        recognised = waits && believed;
    }
    let expected = match world.state {
        State::Registered if recognised => Expected::Receipts(1),
        _ => Expected::Silence,
    };
    (expected, world.session.settle())
}

pub(super) fn goodbye(world: &mut World, choices: &mut Choices<'_>) -> Step {
    let reason = *choices.of(&[goodbye::Reason::Stopping, goodbye::Reason::Paused]);
    let expected = match world.state {
        State::Registering | State::Registered => Expected::Goodbye,
        _ => Expected::Silence,
    };
    if matches!(world.state, State::AwaitKeyset | State::AwaitWelcome) {
        world.state = State::Left;
    }
    (expected, world.session.goodbye(reason))
}

pub(super) fn retest(world: &mut World) -> Step {
    let expected = match world.state {
        State::Registered => Expected::Retest,
        _ => Expected::Silence,
    };
    (expected, world.session.retest())
}

pub(super) fn rejected(world: &mut World, choices: &mut Choices<'_>) -> Step {
    let message = Message::Rejected(Rejected {
        code: choices.text(100),
        remedy: choices.text(255),
        retry: choices.any(),
    });
    (world.end_unless_over(), world.session.hear(Some(message)))
}

/// Bytes that nobody signed, or no message at all.
pub(super) fn nonsense(world: &mut World, choices: &mut Choices<'_>) -> Step {
    let bytes = choices.bytes(60).to_vec();
    let message = match choices.below(5) {
        0 => None,
        1 => Some(Message::Keyset(bytes.into())),
        2 => Some(Message::Welcome(bytes.into())),
        3 => Some(Message::Announcement(bytes.into())),
        _ => Some(Message::Verdict(bytes.into())),
    };
    (world.end_unless_over(), world.session.hear(message))
}

/// The claim signed, and whether it was left as it was; `None` when it cannot be signed.
fn sealed(claim: &impl Claim, signer: u8, choices: &mut Choices<'_>) -> Option<(Vec<u8>, bool)> {
    let bytes = sign(claim, key(signer)).ok()?;
    let changed = if choices.twist() {
        mutated(&bytes, choices)
    } else {
        None
    };
    let intact = changed.is_none();
    Some((changed.unwrap_or(bytes), intact))
}

fn signer(choices: &mut Choices<'_>) -> u8 {
    if choices.twist() {
        *choices.of(&[STRANGER, ORIGIN, ROOT, PEER])
    } else {
        ATTESTER
    }
}

/// A second near now.
fn near(choices: &mut Choices<'_>) -> Seconds {
    Seconds::new(NOW.saturating_add_signed(i64::from(choices.any::<i8>())))
}
