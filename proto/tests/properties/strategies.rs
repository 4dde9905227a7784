//! Any claim that keeps its rules, with values of every size.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6},
};

use proptest::{collection::vec, prelude::*, sample::select};
use proto::{
    claims::*,
    ids::{Address, ChannelBinding, Destination, Digest, Nonce, Pin, ProbeId, Thumbprint},
    key::SigningKey,
    time::{Seconds, Timestamp},
};

/// A claim that can be made up.
pub(crate) trait Any: Claim + PartialEq + std::fmt::Debug + Clone + 'static {
    fn any() -> BoxedStrategy<Self>;
}

pub(crate) fn key() -> impl Strategy<Value = SigningKey> {
    any::<[u8; 32]>().prop_map(|seed| SigningKey::from_seed(&seed))
}

/// Small, large and middling numbers: each length of CBOR's heads.
fn number() -> BoxedStrategy<u64> {
    prop_oneof![
        0..30_u64,
        250..260_u64,
        65_530..65_540_u64,
        (1_u64 << 32) - 5..(1 << 32) + 5,
        any::<u64>()
    ]
    .boxed()
}

fn seconds() -> impl Strategy<Value = Seconds> {
    number().prop_map(Seconds::new)
}

fn time() -> impl Strategy<Value = Timestamp> {
    number().prop_map(Timestamp::from_micros)
}

fn thumbprint() -> impl Strategy<Value = Thumbprint> {
    any::<[u8; 32]>().prop_map(Thumbprint::from_bytes)
}

pub(crate) fn digest() -> impl Strategy<Value = Digest> {
    any::<[u8; 32]>().prop_map(Digest::from_bytes)
}

fn nonce() -> impl Strategy<Value = Nonce> {
    any::<[u8; 32]>().prop_map(Nonce::from_bytes)
}

fn pin() -> impl Strategy<Value = Pin> {
    any::<[u8; 32]>().prop_map(Pin::from_bytes)
}

fn binding() -> impl Strategy<Value = ChannelBinding> {
    any::<[u8; 32]>().prop_map(ChannelBinding::from_bytes)
}

fn probe() -> impl Strategy<Value = ProbeId> {
    any::<[u8; 16]>().prop_map(ProbeId::from_bytes)
}

pub(crate) fn destination() -> impl Strategy<Value = Destination> {
    ("[A-Za-z0-9._-]{1,100}", 1..=u16::MAX).prop_map(|(host, port)| format!("{host}:{port}").parse().unwrap())
}

fn address() -> BoxedStrategy<Address> {
    let v4 = any::<(u32, u16)>().prop_map(|(ip, port)| SocketAddr::from((Ipv4Addr::from(ip), port)));
    let groups = vec(prop_oneof![Just(0), any::<u16>()], 8);
    let v6 = (groups, any::<u16>()).prop_map(|(groups, port)| {
        let groups: [u16; 8] = groups.try_into().unwrap();
        SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::from(groups), port, 0, 0))
    });
    let plain = |address: &SocketAddr| !matches!(address, SocketAddr::V6(v6) if v6.ip().to_ipv4_mapped().is_some());
    prop_oneof![v4, v6]
        .prop_filter("an IPv4-mapped address is another's", plain)
        .prop_map(Address)
        .boxed()
}

/// Text of at most this many bytes, without control characters.
fn text(most: usize) -> impl Strategy<Value = String> {
    vec(any::<char>(), 0..=most).prop_map(move |chars| {
        let mut text: String = chars.into_iter().filter(|char| !char.is_control()).collect();
        text.truncate(text.floor_char_boundary(most));
        text
    })
}

fn key_bytes() -> impl Strategy<Value = KeyBytes> {
    key().prop_map(|key| KeyBytes(*key.public().as_bytes()))
}

fn one_of<T: Copy + std::fmt::Debug + 'static>(all: &'static [T]) -> impl Strategy<Value = T> {
    select(all)
}

impl Any for Keyset {
    fn any() -> BoxedStrategy<Self> {
        let entry = (one_of(Role::ALL), key_bytes(), seconds(), seconds());
        let entry = entry.prop_map(|(role, key, not_before, expires)| KeyEntry {
            role,
            key,
            not_before,
            expires,
        });
        let revoked = proptest::collection::btree_map(digest(), seconds(), 0..=Self::MAX_REVOKED);
        let times = (seconds(), seconds(), seconds());
        (thumbprint(), times, vec(entry, 1..=Self::MAX_KEYS), revoked)
            .prop_map(|(issuer, (expires, not_before, issued_at), keys, revoked)| Self {
                issuer,
                expires,
                not_before,
                issued_at,
                keys,
                revoked: revoked.into_iter().map(|(key, since)| Revoked { key, since }).collect(),
            })
            .boxed()
    }
}

impl Any for Welcome {
    fn any() -> BoxedStrategy<Self> {
        let versions = proptest::collection::btree_set(number(), 1..=16);
        (thumbprint(), seconds(), seconds(), nonce(), binding(), time(), versions)
            .prop_map(
                |(issuer, expires, issued_at, session, channel_binding, server_time, versions)| Self {
                    issuer,
                    expires,
                    issued_at,
                    session,
                    channel_binding,
                    server_time,
                    versions: versions.into_iter().collect(),
                },
            )
            .boxed()
    }
}

impl Any for Registration {
    fn any() -> BoxedStrategy<Self> {
        let protocols = proptest::collection::btree_set(one_of(Protocol::ALL), 1..=3);
        let reached = (address(), pin(), protocols);
        let reached = reached.prop_filter("port 0 is none", |(address, ..)| address.0.port() != 0);
        (
            key(),
            thumbprint(),
            seconds(),
            seconds(),
            nonce(),
            reached,
            binding(),
            text(64),
            time(),
        )
            .prop_map(
                |(key, audience, expires, issued_at, session, reached, channel_binding, software, peer_time)| Self {
                    issuer: key.public().thumbprint(),
                    subject: key.public().thumbprint(),
                    audience,
                    expires,
                    issued_at,
                    session,
                    key: KeyBytes(*key.public().as_bytes()),
                    address: reached.0,
                    protocols: Protocols::new(reached.2).unwrap(),
                    pin: reached.1,
                    channel_binding,
                    software,
                    peer_time,
                },
            )
            .boxed()
    }
}

impl Any for Succession {
    fn any() -> BoxedStrategy<Self> {
        let window = (0..u64::MAX - 120 * 86_400, 0..=120 * 86_400_u64);
        (key(), key(), window, seconds())
            .prop_filter("two keys", |(old, new, ..)| old.public() != new.public())
            .prop_map(|(old, new, (not_before, lasts), issued_at)| Self {
                issuer: old.public().thumbprint(),
                subject: new.public().thumbprint(),
                expires: Seconds::new(not_before + lasts),
                not_before: Seconds::new(not_before),
                issued_at,
                old: KeyBytes(*old.public().as_bytes()),
                new: KeyBytes(*new.public().as_bytes()),
            })
            .boxed()
    }
}

impl Any for Announcement {
    fn any() -> BoxedStrategy<Self> {
        let times = (seconds(), seconds(), seconds());
        let lengths = (1..=16_384_u64, 1..=16_777_216_u64);
        (
            thumbprint(),
            thumbprint(),
            times,
            probe(),
            destination(),
            digest(),
            lengths,
        )
            .prop_map(
                |(issuer, subject, times, probe, destination, challenge, (up, down))| Self {
                    issuer,
                    subject,
                    expires: times.0,
                    not_before: times.1,
                    issued_at: times.2,
                    probe,
                    destination,
                    challenge,
                    up,
                    down,
                },
            )
            .boxed()
    }
}

impl Any for Challenge {
    fn any() -> BoxedStrategy<Self> {
        let times = (seconds(), seconds(), seconds());
        (
            thumbprint(),
            thumbprint(),
            destination(),
            times,
            probe(),
            nonce(),
            0..=Self::MAX_BODY,
        )
            .prop_map(|(issuer, subject, audience, times, probe, nonce, body_length)| Self {
                issuer,
                subject,
                audience,
                expires: times.0,
                not_before: times.1,
                issued_at: times.2,
                probe,
                nonce,
                body_length,
            })
            .boxed()
    }
}

impl Any for Statement {
    fn any() -> BoxedStrategy<Self> {
        let parties = (destination(), thumbprint(), thumbprint());
        (
            parties,
            seconds(),
            seconds(),
            probe(),
            nonce(),
            (digest(), digest()),
            address(),
            time(),
            number(),
        )
            .prop_map(
                |(parties, expires, issued_at, probe, nonce, digests, source, arrived, body_length)| Self {
                    issuer: parties.0,
                    subject: parties.1,
                    audience: parties.2,
                    expires,
                    issued_at,
                    probe,
                    nonce,
                    challenge: digests.0,
                    source,
                    arrived,
                    body_length,
                    body_digest: digests.1,
                },
            )
            .boxed()
    }
}

impl Any for Observation {
    fn any() -> BoxedStrategy<Self> {
        let parties = (thumbprint(), thumbprint(), thumbprint());
        let way = (one_of(Path::ALL), one_of(Protocol::ALL), address(), pin());
        let lengths = (number(), number(), number());
        let digests = (digest(), digest(), digest(), digest());
        (
            parties,
            (seconds(), seconds()),
            probe(),
            nonce(),
            way,
            lengths,
            digests,
            time(),
            phases(),
        )
            .prop_map(
                |(parties, times, probe, nonce, way, lengths, digests, started, phases)| Self {
                    issuer: parties.0,
                    subject: parties.1,
                    audience: parties.2,
                    expires: times.0,
                    issued_at: times.1,
                    probe,
                    nonce,
                    path: way.0,
                    protocol: way.1,
                    address: way.2,
                    pin: way.3,
                    sent: lengths.0,
                    sent_digest: digests.0,
                    received: lengths.1,
                    received_digest: digests.1,
                    body: lengths.2,
                    body_digest: digests.2,
                    started,
                    phases,
                    head_digest: digests.3,
                },
            )
            .boxed()
    }
}

/// Some of the phases, with times that do not fall.
fn phases() -> impl Strategy<Value = BTreeMap<u64, u64>> {
    proptest::collection::btree_map(1..=7_u64, number(), 0..=7).prop_map(|phases| {
        let mut times: Vec<u64> = phases.values().copied().collect();
        times.sort_unstable();
        phases.into_keys().zip(times).collect()
    })
}

impl Any for Receipt {
    fn any() -> BoxedStrategy<Self> {
        let times = (seconds(), seconds(), time(), time());
        let counts = (number(), digest(), number(), digest());
        (
            thumbprint(),
            thumbprint(),
            times,
            probe(),
            nonce(),
            destination(),
            counts,
            one_of(FlowEnd::ALL),
        )
            .prop_map(
                |(issuer, audience, times, probe, nonce, destination, counts, end)| Self {
                    issuer,
                    subject: issuer,
                    audience,
                    expires: times.0,
                    issued_at: times.1,
                    probe,
                    nonce,
                    destination,
                    up: counts.0,
                    up_digest: counts.1,
                    down: counts.2,
                    down_digest: counts.3,
                    opened: times.2,
                    closed: times.3,
                    end,
                },
            )
            .boxed()
    }
}

impl Any for Verdict {
    fn any() -> BoxedStrategy<Self> {
        let evidence = proptest::collection::btree_map(1..=7_u64, digest(), 0..=7);
        let reason = text(64).prop_map(|reason| if reason.is_empty() { "other".to_owned() } else { reason });
        let why = (one_of(Outcome::ALL), reason, text(512), text(16));
        let clock = (proptest::option::of(time()), any::<i64>());
        (
            thumbprint(),
            thumbprint(),
            seconds(),
            seconds(),
            probe(),
            why,
            evidence,
            clock,
        )
            .prop_map(
                |(issuer, subject, expires, issued_at, probe, why, evidence, clock)| Self {
                    issuer,
                    subject,
                    expires,
                    issued_at,
                    probe,
                    outcome: why.0,
                    reason: if why.0 == Outcome::Proved { String::new() } else { why.1 },
                    remedy: why.2,
                    standing: why.3,
                    evidence,
                    receipt_arrived: clock.0,
                    clock_offset: clock.1,
                },
            )
            .boxed()
    }
}
