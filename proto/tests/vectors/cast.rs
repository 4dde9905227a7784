//! Who signs the vectors, and the values that they share. Every seed is written here: the same bytes come out everywhere.

use proto::{
    ids::{Address, ChannelBinding, Destination, Digest, Nonce, Pin, ProbeId, Thumbprint},
    key::SigningKey,
    time::{Seconds, Timestamp},
};

/// The parties, each with the byte that fills its seed.
pub(crate) const CAST: &[(&str, u8)] = &[
    ("root", 1),
    ("attester", 2),
    ("origin", 3),
    ("prober", 4),
    ("next-attester", 5),
    ("peer", 50),
    ("next-peer", 51),
    ("stranger", 9),
];

/// The zone of the own names in `keys.json`.
pub(crate) const ZONE: &str = "peers.example";
/// The second in which everything happens.
pub(crate) const NOW: u64 = 1_800_000_000;

/// The key of a party.
pub(crate) fn key(name: &str) -> SigningKey {
    let (_, fill) = CAST.iter().find(|(party, _)| *party == name).expect(name);
    SigningKey::from_seed(&[*fill; 32])
}

pub(crate) fn public(name: &str) -> [u8; 32] {
    *key(name).public().as_bytes()
}

pub(crate) fn thumbprint(name: &str) -> Thumbprint {
    key(name).public().thumbprint()
}

/// A second, counted from [`NOW`].
pub(crate) fn second(after: i64) -> Seconds {
    Seconds::new(NOW.saturating_add_signed(after))
}

/// A time, counted from [`NOW`] in microseconds.
pub(crate) fn micros(after: i64) -> Timestamp {
    second(0).start().shifted(after)
}

pub(crate) fn destination() -> Destination {
    "origin.example:80".parse().unwrap()
}

pub(crate) fn address() -> Address {
    "192.0.2.7:443".parse().unwrap()
}

pub(crate) const PROBE: ProbeId = ProbeId::from_bytes(*b"probe-0123456789");
pub(crate) const NONCE: Nonce = Nonce::from_bytes(*b"the nonce of the probe, 32 bytes");
pub(crate) const SESSION: Nonce = Nonce::from_bytes(*b"the nonce of the session 32 byte");
pub(crate) const PIN: Pin = Pin::from_bytes(*b"pin: SHA-256 of a SubjectPublicK");
pub(crate) const BINDING: ChannelBinding = ChannelBinding::from_bytes(*b"EXPORTER-Channel-Binding 32 byte");

/// A digest of something that is in no vector.
pub(crate) fn digest(of: &str) -> Digest {
    Digest::of(of.as_bytes())
}
