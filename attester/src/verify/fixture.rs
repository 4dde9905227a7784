//! Signed evidence of a made-up probe, honest unless told otherwise. Tests reach a [`Verified`] by [`verify`] like everybody.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{collections::BTreeMap, net::SocketAddr};

use proto::{
    checked::sign,
    claims::*,
    evidence::{Blob, Evidence},
    ids::{Address, ChannelBinding, Digest, Nonce, Pin, ProbeId},
    key::{PublicKey, SigningKey},
    probe,
    time::{Seconds, Timestamp},
};

use super::{Case, Demands, Trust, Verified, verify};
use crate::model::{Finding, Route};

/// The claims of one probe, open for a test to bend before they are signed.
pub(crate) struct Probe {
    pub(crate) root: SigningKey,
    pub(crate) attester: SigningKey,
    pub(crate) origin: SigningKey,
    pub(crate) prober: SigningKey,
    pub(crate) peer: SigningKey,
    pub(crate) receipt_signer: SigningKey,
    pub(crate) registration: Registration,
    pub(crate) body: Vec<u8>,
    pub(crate) challenge: Challenge,
    pub(crate) bend_announcement: fn(&mut Announcement),
    pub(crate) bend_statement: fn(&mut Statement),
    pub(crate) bend_observation: fn(&mut Observation),
    pub(crate) bend_receipt: fn(&mut Receipt),
    pub(crate) protocol: Protocol,
    pub(crate) without_receipt: bool,
    pub(crate) nonce_seen: bool,
    pub(crate) arrived: Timestamp,
}

/// The second in which fixture probes happen.
pub(crate) const NOW: u64 = 1_700_000_000;

pub(crate) fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

pub(crate) fn at(seconds: u64, micros: u64) -> Timestamp {
    Timestamp::from_micros((NOW + seconds) * 1_000_000 + micros)
}

/// A proof of the peer `seed` at `address` by `protocol`, received `seconds` after [`NOW`].
pub(crate) fn proof(seed: u8, address: &str, protocol: Protocol, body: usize, seconds: u64) -> Verified {
    let mut probe = Probe::of(seed, address, seconds);
    probe.protocol = protocol;
    probe.with_body(body);
    probe.check().unwrap()
}

/// The same by any route.
pub(crate) fn proof_by(seed: u8, address: &str, route: Route, body: usize, seconds: u64) -> Verified {
    let mut probe = Probe::of(seed, address, seconds);
    probe.protocol = route.protocol;
    probe.with_body(body);
    if route.path == Path::Fronted {
        probe.bend_observation = behind_edge;
    }
    probe.check().unwrap()
}

/// What a prober sees of an edge: its address, and a key of its own.
pub(crate) fn behind_edge(observation: &mut Observation) {
    observation.path = Path::Fronted;
    observation.address = Address("198.51.100.9:443".parse().unwrap());
    observation.pin = Pin::from_bytes([9; 32]);
}

impl Probe {
    pub(crate) fn honest() -> Self {
        Self::of(50, "192.0.2.7:443", 0)
    }

    pub(crate) fn of(seed: u8, address: &str, seconds: u64) -> Self {
        let (attester, peer) = (key(2), key(seed));
        let now = Seconds::new(NOW + seconds);
        let mut unique = [seed; 32];
        unique[..8].copy_from_slice(&seconds.to_be_bytes());
        let registration = Registration {
            issuer: peer.public().thumbprint(),
            subject: peer.public().thumbprint(),
            audience: attester.public().thumbprint(),
            expires: Seconds::new(NOW - 40),
            issued_at: Seconds::new(NOW - 100),
            session: Nonce::from_bytes([1; 32]),
            key: KeyBytes(*peer.public().as_bytes()),
            address: Address(address.parse::<SocketAddr>().unwrap()),
            protocols: Protocols::new([Protocol::Enproxy, Protocol::Connect]).unwrap(),
            pin: Pin::from_bytes([3; 32]),
            channel_binding: ChannelBinding::from_bytes([4; 32]),
            software: "fixture".to_owned(),
            peer_time: at(0, 0),
        };
        let mut probe = [seed; 16];
        probe[..8].copy_from_slice(&seconds.to_be_bytes());
        let challenge = Challenge {
            issuer: attester.public().thumbprint(),
            subject: peer.public().thumbprint(),
            audience: "origin.example:80".parse().unwrap(),
            expires: Seconds::new(NOW + seconds + 15),
            not_before: now,
            issued_at: now,
            probe: ProbeId::from_bytes(probe),
            nonce: Nonce::from_bytes(unique),
            body_length: 1024,
        };
        Self {
            root: key(1),
            attester,
            origin: key(3),
            prober: key(4),
            receipt_signer: peer.clone(),
            peer,
            registration,
            body: vec![0xab; 1024],
            challenge,
            bend_announcement: |_| {},
            bend_statement: |_| {},
            bend_observation: |_| {},
            bend_receipt: |_| {},
            protocol: Protocol::Enproxy,
            without_receipt: false,
            nonce_seen: false,
            arrived: at(seconds, 900_000),
        }
    }

    pub(crate) fn with_body(&mut self, length: usize) {
        self.body = vec![0xab; length];
        self.challenge.body_length = length as u64;
    }

    fn keyset(&self) -> Vec<u8> {
        let entry = |role, key: &SigningKey| KeyEntry {
            role,
            key: KeyBytes(*key.public().as_bytes()),
            not_before: Seconds::new(NOW - 1000),
            expires: Seconds::new(NOW + 100_000),
        };
        let keyset = Keyset {
            issuer: self.root.public().thumbprint(),
            expires: Seconds::new(NOW + 100_000),
            not_before: Seconds::new(NOW - 1000),
            issued_at: Seconds::new(NOW - 1000),
            keys: vec![
                entry(Role::Attester, &key(2)),
                entry(Role::Origin, &key(3)),
                entry(Role::Prober, &key(4)),
            ],
            revoked: vec![],
        };
        sign(&keyset, &self.root).unwrap()
    }

    /// The signed claims of the probe, without a verdict.
    pub(crate) fn evidence(&self) -> Evidence {
        let challenge = sign(&self.challenge, &self.attester).unwrap();
        let request = probe::request(&challenge, &self.challenge.audience);
        let down = probe::ORIGIN_HEAD as u64 + self.challenge.body_length;
        let (subject, audience) = (self.peer.public().thumbprint(), self.attester.public().thumbprint());
        let (expires, issued_at) = (
            Seconds::new(self.arrived.seconds().as_u64() + 60),
            self.challenge.issued_at,
        );
        let (probe, nonce) = (self.challenge.probe, self.challenge.nonce);
        let mut announcement = Announcement {
            issuer: audience,
            subject,
            expires: self.challenge.expires,
            not_before: self.challenge.not_before,
            issued_at,
            probe,
            destination: self.challenge.audience.clone(),
            challenge: Digest::of(&challenge),
            up: request.len() as u64,
            down,
        };
        (self.bend_announcement)(&mut announcement);
        let mut statement = Statement {
            issuer: self.challenge.audience.clone(),
            subject,
            audience,
            expires,
            issued_at,
            probe,
            nonce,
            challenge: Digest::of(&challenge),
            source: Address(SocketAddr::new(self.registration.address.0.ip(), 50_000)),
            arrived: self.challenge.issued_at.start(),
            body_length: self.challenge.body_length,
            body_digest: Digest::of(&self.body),
        };
        (self.bend_statement)(&mut statement);
        let statement = sign(&statement, &self.origin).unwrap();
        let head = probe::answer_head(&statement, self.challenge.body_length).unwrap();
        let mut observation = Observation {
            issuer: self.prober.public().thumbprint(),
            subject,
            audience,
            expires,
            issued_at,
            probe,
            nonce,
            path: Path::Direct,
            protocol: self.protocol,
            address: self.registration.address,
            pin: self.registration.pin,
            sent: request.len() as u64,
            sent_digest: Digest::of(&request),
            received: down,
            received_digest: Digest::of(b"down"),
            body: self.challenge.body_length,
            body_digest: Digest::of(&self.body),
            started: self.challenge.issued_at.start(),
            phases: BTreeMap::from([(Phase::Tls.number(), 2_000), (Phase::Complete.number(), 102_000)]),
            head_digest: Digest::of(&head),
        };
        (self.bend_observation)(&mut observation);
        let mut receipt = Receipt {
            issuer: subject,
            subject,
            audience,
            expires,
            issued_at,
            probe,
            nonce,
            destination: self.challenge.audience.clone(),
            up: request.len() as u64,
            up_digest: Digest::of(&request),
            down,
            down_digest: Digest::of(b"down"),
            opened: self.challenge.issued_at.start(),
            closed: self.arrived,
            end: FlowEnd::Lengths,
        };
        (self.bend_receipt)(&mut receipt);
        let signed = |bytes: Vec<u8>| Some(Blob(bytes));
        Evidence {
            keyset: signed(self.keyset()),
            registration: signed(sign(&self.registration, &self.peer).unwrap()),
            announcement: signed(sign(&announcement, &self.attester).unwrap()),
            challenge: signed(challenge),
            statement: signed(statement),
            observation: signed(sign(&observation, &self.prober).unwrap()),
            receipt: if self.without_receipt {
                None
            } else {
                signed(sign(&receipt, &self.receipt_signer).unwrap())
            },
            verdict: None,
        }
    }

    /// The same with the attester's verdict that it was proved.
    pub(crate) fn with_verdict(&self, lease: u64) -> Evidence {
        self.concluded(Outcome::Proved, "", "verified", lease)
    }

    /// The same with any verdict, which stands for `lease` seconds.
    pub(crate) fn concluded(&self, outcome: Outcome, reason: &str, standing: &str, lease: u64) -> Evidence {
        let mut evidence = self.evidence();
        let verdict = Verdict {
            issuer: self.attester.public().thumbprint(),
            subject: self.peer.public().thumbprint(),
            expires: Seconds::new(self.arrived.seconds().as_u64() + lease),
            issued_at: self.arrived.seconds(),
            probe: self.challenge.probe,
            outcome,
            reason: reason.to_owned(),
            remedy: String::new(),
            standing: standing.to_owned(),
            evidence: evidence.digests(),
            receipt_arrived: (!self.without_receipt).then_some(self.arrived),
            clock_offset: 0,
        };
        evidence.verdict = Some(Blob(sign(&verdict, &self.attester).unwrap()));
        evidence
    }

    pub(crate) fn check(&self) -> Result<Verified, Finding> {
        self.check_evidence(&self.evidence(), &key(1).public())
    }

    pub(crate) fn check_evidence(&self, evidence: &Evidence, root: &PublicKey) -> Result<Verified, Finding> {
        let (receipt_arrived, nonce_seen, demands) = (self.arrived, self.nonce_seen, Demands::default());
        verify(&Case {
            trust: &Trust::of_root(*root),
            evidence,
            receipt_arrived,
            clock_offset: 0,
            nonce_seen,
            demands,
        })
    }
}

/// A proof of some peer at `address`.
pub(crate) fn member(address: std::net::IpAddr) -> Verified {
    proof(50, &SocketAddr::new(address, 443).to_string(), Protocol::Enproxy, 16, 0)
}
