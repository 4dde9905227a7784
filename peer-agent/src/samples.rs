//! Claims as an honest attester signs them, for tests.
#![expect(clippy::unwrap_used, reason = "tests")]

use data_encoding::BASE64URL_NOPAD;
use proto::{
    checked::sign,
    claims::{Announcement, Challenge, Claim, KeyBytes, KeyEntry, Keyset, Outcome, Role, Verdict, Welcome},
    ids::{ChannelBinding, Digest, Nonce, ProbeId, Thumbprint},
    key::SigningKey,
    time::{Seconds, Timestamp},
};

/// When the samples were signed.
pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
pub(crate) const DESTINATION: &str = "origin.example:80";

pub(crate) fn root() -> SigningKey {
    SigningKey::from_seed(&[1; 32])
}

pub(crate) fn attester() -> SigningKey {
    SigningKey::from_seed(&[2; 32])
}

pub(crate) fn peer() -> SigningKey {
    SigningKey::from_seed(&[3; 32])
}

pub(crate) fn stranger() -> SigningKey {
    SigningKey::from_seed(&[4; 32])
}

pub(crate) fn me() -> Thumbprint {
    peer().public().thumbprint()
}

pub(crate) fn probe(number: u8) -> ProbeId {
    ProbeId::from_bytes([number; 16])
}

/// The second that is `seconds` after [`NOW`].
pub(crate) fn after(seconds: i64) -> Seconds {
    Seconds::new(NOW.seconds().as_u64().checked_add_signed(seconds).unwrap())
}

pub(crate) fn signed(claim: &impl Claim, key: &SigningKey) -> Vec<u8> {
    sign(claim, key).unwrap()
}

pub(crate) fn keyset() -> Keyset {
    let entry = |role, key: &SigningKey| KeyEntry {
        role,
        key: KeyBytes(*key.public().as_bytes()),
        not_before: after(-3600),
        expires: after(3600),
    };
    Keyset {
        issuer: root().public().thumbprint(),
        expires: after(3600),
        not_before: after(-3600),
        issued_at: after(-3600),
        keys: vec![entry(Role::Attester, &attester()), entry(Role::Origin, &stranger())],
        revoked: vec![],
    }
}

pub(crate) fn welcome(channel_binding: ChannelBinding) -> Welcome {
    Welcome {
        issuer: attester().public().thumbprint(),
        expires: after(60),
        issued_at: after(0),
        session: Nonce::from_bytes([5; 32]),
        channel_binding,
        server_time: NOW,
        versions: vec![1],
    }
}

pub(crate) fn challenge(number: u8) -> Challenge {
    Challenge {
        issuer: attester().public().thumbprint(),
        subject: me(),
        audience: DESTINATION.parse().unwrap(),
        expires: after(20),
        not_before: after(0),
        issued_at: after(0),
        probe: probe(number),
        nonce: Nonce::from_bytes([number; 32]),
        body_length: 1024,
    }
}

/// The announcement of a flow that opens with `challenge` and carries so many bytes.
pub(crate) fn announcement(number: u8, challenge: &[u8], up: u64, down: u64) -> Announcement {
    Announcement {
        issuer: attester().public().thumbprint(),
        subject: me(),
        expires: after(20),
        not_before: after(0),
        issued_at: after(0),
        probe: probe(number),
        destination: DESTINATION.parse().unwrap(),
        challenge: Digest::of(challenge),
        up,
        down,
    }
}

pub(crate) fn verdict(outcome: Outcome, reason: &str, standing: &str) -> Verdict {
    Verdict {
        issuer: attester().public().thumbprint(),
        subject: me(),
        expires: after(300),
        issued_at: after(0),
        probe: probe(1),
        outcome,
        reason: reason.to_owned(),
        remedy: if reason.is_empty() {
            String::new()
        } else {
            format!("{reason}: forward the port")
        },
        standing: standing.to_owned(),
        evidence: std::collections::BTreeMap::new(),
        receipt_arrived: None,
        clock_offset: 0,
    }
}

/// The finished request that carries `challenge`.
pub(crate) fn request(challenge: &[u8]) -> Vec<u8> {
    let text = BASE64URL_NOPAD.encode(challenge);
    format!("GET /c/{text} HTTP/1.1\r\nHost: {DESTINATION}\r\nConnection: close\r\n\r\n").into_bytes()
}
