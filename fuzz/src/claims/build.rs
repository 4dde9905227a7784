//! Builds claims from choices. Most keep their rules; some break one, and must then not be signed.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use proto::{
    claims::*,
    ids::{Address, ChannelBinding, Destination, Digest, Nonce, Pin, ProbeId, Thumbprint},
    time::{Seconds, Timestamp},
};

use crate::{
    choices::Choices,
    honest::{self, NOW, parsed},
};

/// A claim that can be built from choices.
pub trait Build: Claim + PartialEq + Debug {
    /// Builds one.
    fn build(choices: &mut Choices<'_>) -> Self;
}

impl Build for Keyset {
    fn build(choices: &mut Choices<'_>) -> Self {
        let entry = |choices: &mut Choices<'_>| KeyEntry {
            role: *choices.of(Role::ALL),
            key: key_bytes(choices),
            not_before: seconds(choices),
            expires: seconds(choices),
        };
        let length = if choices.twist() {
            choices.below(27)
        } else {
            1 + choices.below(4)
        };
        let keys = (0..length).map(|_| entry(choices)).collect();
        let length = if choices.twist() {
            choices.below(27)
        } else {
            choices.below(4)
        };
        let mut revoked: Vec<Revoked> = (0..length)
            .map(|_| Revoked {
                key: digest(choices),
                since: seconds(choices),
            })
            .collect();
        if !choices.twist() {
            revoked.sort_by_key(|revoked| revoked.key);
            revoked.dedup_by_key(|revoked| revoked.key);
        }
        Self {
            issuer: thumbprint(choices),
            expires: seconds(choices),
            not_before: seconds(choices),
            issued_at: seconds(choices),
            keys,
            revoked,
        }
    }
}

impl Build for Welcome {
    fn build(choices: &mut Choices<'_>) -> Self {
        let mut versions: Vec<u64> = (0..=choices.below(4)).map(|_| choices.number()).collect();
        if choices.twist() {
            versions.truncate(choices.below(2));
        } else {
            versions.sort_unstable();
            versions.dedup();
        }
        Self {
            issuer: thumbprint(choices),
            expires: seconds(choices),
            issued_at: seconds(choices),
            session: nonce(choices),
            channel_binding: ChannelBinding::from_bytes(choices.any()),
            server_time: timestamp(choices),
            versions,
        }
    }
}

impl Build for Registration {
    fn build(choices: &mut Choices<'_>) -> Self {
        let key = key_bytes(choices);
        let own = Thumbprint::from_bytes(proto::key::sha256(&key.0));
        Self {
            issuer: if choices.twist() { thumbprint(choices) } else { own },
            subject: if choices.twist() { thumbprint(choices) } else { own },
            audience: thumbprint(choices),
            expires: seconds(choices),
            issued_at: seconds(choices),
            session: nonce(choices),
            key,
            address: address(choices),
            protocols: protocols(choices),
            pin: Pin::from_bytes(choices.any()),
            channel_binding: ChannelBinding::from_bytes(choices.any()),
            software: text(choices, 80),
            peer_time: timestamp(choices),
        }
    }
}

impl Build for Announcement {
    fn build(choices: &mut Choices<'_>) -> Self {
        Self {
            issuer: thumbprint(choices),
            subject: thumbprint(choices),
            expires: seconds(choices),
            not_before: seconds(choices),
            issued_at: seconds(choices),
            probe: probe(choices),
            destination: destination(choices),
            challenge: digest(choices),
            up: choices.number().saturating_add(1),
            down: choices.number().saturating_add(1),
        }
    }
}

impl Build for Challenge {
    fn build(choices: &mut Choices<'_>) -> Self {
        Self {
            issuer: thumbprint(choices),
            subject: thumbprint(choices),
            audience: destination(choices),
            expires: seconds(choices),
            not_before: seconds(choices),
            issued_at: seconds(choices),
            probe: probe(choices),
            nonce: nonce(choices),
            body_length: choices.number(),
        }
    }
}

impl Build for Statement {
    fn build(choices: &mut Choices<'_>) -> Self {
        Self {
            issuer: destination(choices),
            subject: thumbprint(choices),
            audience: thumbprint(choices),
            expires: seconds(choices),
            issued_at: seconds(choices),
            probe: probe(choices),
            nonce: nonce(choices),
            challenge: digest(choices),
            source: address(choices),
            arrived: timestamp(choices),
            body_length: choices.number(),
            body_digest: digest(choices),
        }
    }
}

impl Build for Observation {
    fn build(choices: &mut Choices<'_>) -> Self {
        let mut phases = BTreeMap::new();
        let mut elapsed = 0;
        for _ in 0..choices.below(8) {
            elapsed = if choices.twist() {
                choices.number()
            } else {
                choices.number().saturating_add(elapsed)
            };
            phases.insert(choices.below(9) as u64, elapsed);
        }
        Self {
            issuer: thumbprint(choices),
            subject: thumbprint(choices),
            audience: thumbprint(choices),
            expires: seconds(choices),
            issued_at: seconds(choices),
            probe: probe(choices),
            nonce: nonce(choices),
            path: *choices.of(Path::ALL),
            protocol: *choices.of(Protocol::ALL),
            address: address(choices),
            pin: Pin::from_bytes(choices.any()),
            sent: choices.number(),
            sent_digest: digest(choices),
            received: choices.number(),
            received_digest: digest(choices),
            body: choices.number(),
            body_digest: digest(choices),
            started: timestamp(choices),
            phases,
            head_digest: digest(choices),
        }
    }
}

impl Build for Receipt {
    fn build(choices: &mut Choices<'_>) -> Self {
        let issuer = thumbprint(choices);
        Self {
            issuer,
            subject: if choices.twist() { thumbprint(choices) } else { issuer },
            audience: thumbprint(choices),
            expires: seconds(choices),
            issued_at: seconds(choices),
            probe: probe(choices),
            nonce: nonce(choices),
            destination: destination(choices),
            up: choices.number(),
            up_digest: digest(choices),
            down: choices.number(),
            down_digest: digest(choices),
            opened: timestamp(choices),
            closed: timestamp(choices),
            end: *choices.of(FlowEnd::ALL),
        }
    }
}

impl Build for Verdict {
    fn build(choices: &mut Choices<'_>) -> Self {
        let outcome = *choices.of(Outcome::ALL);
        let reason = if (outcome == Outcome::Proved) != choices.twist() {
            String::new()
        } else {
            text(choices, 70)
        };
        let kinds = choices.below(9) as u64;
        Self {
            issuer: thumbprint(choices),
            subject: thumbprint(choices),
            expires: seconds(choices),
            issued_at: seconds(choices),
            probe: probe(choices),
            outcome,
            reason,
            remedy: text(choices, 255),
            standing: text(choices, 18),
            evidence: (1..=kinds).map(|kind| (kind, digest(choices))).collect(),
            receipt_arrived: choices.any::<bool>().then(|| timestamp(choices)),
            clock_offset: choices.any(),
        }
    }
}

impl Build for Succession {
    fn build(choices: &mut Choices<'_>) -> Self {
        let (old, new) = (key_bytes(choices), key_bytes(choices));
        let of = |key: &KeyBytes| Thumbprint::from_bytes(proto::key::sha256(&key.0));
        Self {
            issuer: if choices.twist() { thumbprint(choices) } else { of(&old) },
            subject: if choices.twist() { thumbprint(choices) } else { of(&new) },
            expires: seconds(choices),
            not_before: seconds(choices),
            issued_at: seconds(choices),
            old,
            new,
        }
    }
}

fn key_bytes(choices: &mut Choices<'_>) -> KeyBytes {
    if choices.twist() {
        KeyBytes(choices.any())
    } else {
        KeyBytes(*honest::key(choices.byte()).public().as_bytes())
    }
}

fn thumbprint(choices: &mut Choices<'_>) -> Thumbprint {
    if choices.twist() {
        Thumbprint::from_bytes(choices.any())
    } else {
        honest::thumbprint(choices.byte())
    }
}

fn seconds(choices: &mut Choices<'_>) -> Seconds {
    if choices.twist() {
        Seconds::new(choices.any())
    } else {
        Seconds::new(NOW + choices.number() % 1_000_000)
    }
}

fn timestamp(choices: &mut Choices<'_>) -> Timestamp {
    Timestamp::from_micros(choices.any())
}

fn probe(choices: &mut Choices<'_>) -> ProbeId {
    ProbeId::from_bytes(choices.any())
}

fn nonce(choices: &mut Choices<'_>) -> Nonce {
    Nonce::from_bytes(choices.any())
}

fn digest(choices: &mut Choices<'_>) -> Digest {
    Digest::from_bytes(choices.any())
}

/// A destination of any form that there is.
pub(crate) fn destination(choices: &mut Choices<'_>) -> Destination {
    const HOST: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
    let host: String = choices
        .bytes(100)
        .iter()
        .map(|byte| char::from(HOST[usize::from(*byte) % HOST.len()]))
        .collect();
    let port = choices.any::<u16>().max(1);
    format!("{host}:{port}")
        .parse()
        .unwrap_or_else(|_| parsed(honest::DESTINATION))
}

/// An address in its one form: a mapped IPv4 address is that IPv4 address.
fn address(choices: &mut Choices<'_>) -> Address {
    let ip: IpAddr = if choices.any::<bool>() {
        Ipv6Addr::from_bits(choices.any()).into()
    } else {
        Ipv4Addr::from_bits(choices.any()).into()
    };
    Address(SocketAddr::new(ip.to_canonical(), choices.any()))
}

fn protocols(choices: &mut Choices<'_>) -> Protocols {
    let which = choices.byte();
    let listed = Protocol::ALL
        .iter()
        .enumerate()
        .filter(|(bit, _)| which >> bit & 1 == 1);
    Protocols::new(listed.map(|(_, protocol)| *protocol)).unwrap_or_else(honest::protocols)
}

/// Text as it may be, or with control characters, or too long.
fn text(choices: &mut Choices<'_>, most: usize) -> String {
    let text = choices.text(most);
    if choices.twist() {
        text
    } else {
        text.chars().filter(|character| !character.is_control()).collect()
    }
}
