//! One probe from end to end, honest unless it is bent: the claims that belong together.

use std::{collections::BTreeMap, net::SocketAddr};

use proto::{
    checked::sign,
    claims::{
        Announcement, Challenge, FlowEnd, KeyBytes, KeyEntry, Keyset, Observation, Outcome, Path, Phase, Protocol,
        Protocols, Receipt, Registration, Role, Statement, Verdict,
    },
    evidence::{Blob, Evidence},
    ids::{Address, Digest},
    probe,
};

use super::cast::{BINDING, NONCE, PIN, PROBE, SESSION, address, destination, key, micros, public, second, thumbprint};

/// A change to a claim before it is signed.
type Bend<T> = Box<dyn Fn(&mut T)>;

/// A probe. Who signs is named by the cast.
pub(crate) struct Scene {
    pub(crate) keyset: Keyset,
    pub(crate) registration: Registration,
    pub(crate) challenge: Challenge,
    pub(crate) announcement: Bend<Announcement>,
    pub(crate) statement: Bend<Statement>,
    pub(crate) observation: Bend<Observation>,
    pub(crate) receipt: Bend<Receipt>,
    pub(crate) verdict: Bend<Verdict>,
    /// Replaces or removes claims between the probe and the verdict.
    pub(crate) tamper: Bend<Evidence>,
    pub(crate) attester: &'static str,
    pub(crate) origin: &'static str,
    pub(crate) prober: &'static str,
    pub(crate) signs_receipt: &'static str,
    /// When the receipt arrived, in microseconds after the scene's second.
    pub(crate) arrived: i64,
    pub(crate) clock_offset: i64,
}

impl Scene {
    pub(crate) fn honest() -> Self {
        Self {
            keyset: keyset(),
            registration: registration(),
            challenge: challenge(1024),
            announcement: Box::new(|_| {}),
            statement: Box::new(|_| {}),
            observation: Box::new(|_| {}),
            receipt: Box::new(|_| {}),
            verdict: Box::new(|_| {}),
            tamper: Box::new(|_| {}),
            attester: "attester",
            origin: "origin",
            prober: "prober",
            signs_receipt: "peer",
            arrived: 900_000,
            clock_offset: 250_000,
        }
    }

    /// The claims that it consists of, signed, without a verdict.
    pub(crate) fn evidence(&self) -> Evidence {
        let blob = |bytes: Vec<u8>| Some(Blob(bytes));
        let challenge = sign(&self.challenge, &key(self.attester)).unwrap();
        let mut announcement = announcement(&self.challenge, &challenge);
        (self.announcement)(&mut announcement);
        let request = probe::request(&challenge, &self.challenge.audience);
        let body = body(self.challenge.body_length);
        let mut statement = statement(
            &self.challenge,
            &challenge,
            Digest::of(&body),
            self.registration.address,
        );
        (self.statement)(&mut statement);
        let statement = sign(&statement, &key(self.origin)).unwrap();
        let head = probe::answer_head(&statement, self.challenge.body_length).unwrap();
        let mut observation = observation(&self.challenge, &request, &head, &body);
        observation.address = self.registration.address;
        (self.observation)(&mut observation);
        let mut receipt = receipt(&self.challenge, &observation);
        (self.receipt)(&mut receipt);
        let mut evidence = Evidence {
            keyset: blob(sign(&self.keyset, &key("root")).unwrap()),
            registration: blob(sign(&self.registration, &key("peer")).unwrap()),
            announcement: blob(sign(&announcement, &key(self.attester)).unwrap()),
            challenge: blob(challenge),
            statement: blob(statement),
            observation: blob(sign(&observation, &key(self.prober)).unwrap()),
            receipt: blob(sign(&receipt, &key(self.signs_receipt)).unwrap()),
            verdict: None,
        };
        (self.tamper)(&mut evidence);
        evidence
    }

    /// The same with the attester's verdict.
    pub(crate) fn with_verdict(&self, outcome: Outcome, reason: &str) -> Evidence {
        let mut evidence = self.evidence();
        let mut verdict = Verdict {
            issuer: thumbprint(self.attester),
            subject: thumbprint("peer"),
            expires: second(300),
            issued_at: second(1),
            probe: self.challenge.probe,
            outcome,
            reason: reason.to_owned(),
            remedy: String::new(),
            standing: if reason.is_empty() { "verified" } else { "probing" }.to_owned(),
            evidence: evidence.digests(),
            receipt_arrived: Some(micros(self.arrived)),
            clock_offset: self.clock_offset,
        };
        (self.verdict)(&mut verdict);
        evidence.verdict = Some(Blob(sign(&verdict, &key(self.attester)).unwrap()));
        evidence
    }
}

/// A key of the keyset, valid for thirty days around the scene.
pub(crate) fn key_entry(role: Role, name: &str) -> KeyEntry {
    KeyEntry {
        role,
        key: KeyBytes(public(name)),
        not_before: second(-DAY),
        expires: second(29 * DAY),
    }
}

pub(crate) fn keyset() -> Keyset {
    Keyset {
        issuer: thumbprint("root"),
        expires: second(29 * DAY),
        not_before: second(-DAY),
        issued_at: second(-DAY),
        keys: vec![
            key_entry(Role::Attester, "attester"),
            key_entry(Role::Origin, "origin"),
            key_entry(Role::Prober, "prober"),
        ],
        revoked: vec![],
    }
}

pub(crate) fn registration() -> Registration {
    Registration {
        issuer: thumbprint("peer"),
        subject: thumbprint("peer"),
        audience: thumbprint("attester"),
        expires: second(-40),
        issued_at: second(-100),
        session: SESSION,
        key: KeyBytes(public("peer")),
        address: address(),
        protocols: Protocols::new([Protocol::Enproxy, Protocol::Connect]).unwrap(),
        pin: PIN,
        channel_binding: BINDING,
        software: "peer-agent 0.1.0".to_owned(),
        peer_time: micros(-100_250_000),
    }
}

pub(crate) fn challenge(body_length: u64) -> Challenge {
    Challenge {
        issuer: thumbprint("attester"),
        subject: thumbprint("peer"),
        audience: destination(),
        expires: second(18),
        not_before: second(0),
        issued_at: second(0),
        probe: PROBE,
        nonce: NONCE,
        body_length,
    }
}

fn announcement(challenge: &Challenge, signed: &[u8]) -> Announcement {
    Announcement {
        issuer: challenge.issuer,
        subject: challenge.subject,
        expires: challenge.expires,
        not_before: challenge.not_before,
        issued_at: challenge.issued_at,
        probe: challenge.probe,
        destination: challenge.audience.clone(),
        challenge: Digest::of(signed),
        up: probe::request(signed, &challenge.audience).len() as u64,
        down: probe::ORIGIN_HEAD as u64 + challenge.body_length,
    }
}

fn statement(challenge: &Challenge, signed: &[u8], body: Digest, source: Address) -> Statement {
    Statement {
        issuer: challenge.audience.clone(),
        subject: challenge.subject,
        audience: challenge.issuer,
        expires: second(300),
        issued_at: second(0),
        probe: challenge.probe,
        nonce: challenge.nonce,
        challenge: Digest::of(signed),
        source: Address(SocketAddr::new(source.0.ip(), 50_123)),
        arrived: micros(420_000),
        body_length: challenge.body_length,
        body_digest: body,
    }
}

fn observation(challenge: &Challenge, request: &[u8], head: &[u8], body: &[u8]) -> Observation {
    Observation {
        issuer: thumbprint("prober"),
        subject: challenge.subject,
        audience: challenge.issuer,
        expires: second(60),
        issued_at: second(0),
        probe: challenge.probe,
        nonce: challenge.nonce,
        path: Path::Direct,
        protocol: Protocol::Enproxy,
        address: address(),
        pin: PIN,
        sent: request.len() as u64,
        sent_digest: Digest::of(request),
        received: (head.len() + body.len()) as u64,
        received_digest: Digest::of(&[head, body].concat()),
        body: body.len() as u64,
        body_digest: Digest::of(body),
        started: micros(400_000),
        phases: (1..)
            .zip([1_100, 2_500, 5_000, 5_600, 22_000, 23_500, 31_000])
            .collect(),
        head_digest: Digest::of(head),
    }
}

fn receipt(challenge: &Challenge, seen: &Observation) -> Receipt {
    Receipt {
        issuer: challenge.subject,
        subject: challenge.subject,
        audience: challenge.issuer,
        expires: second(60),
        issued_at: second(0),
        probe: challenge.probe,
        nonce: challenge.nonce,
        destination: challenge.audience.clone(),
        up: seen.sent,
        up_digest: seen.sent_digest,
        down: seen.received,
        down_digest: seen.received_digest,
        opened: micros(155_000),
        closed: micros(172_000),
        end: FlowEnd::Lengths,
    }
}

/// The body that the origin answers with: its bytes count up, modulo 251.
fn body(length: u64) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

/// An observation that measured throughput: the handshake ended at the first, the last byte came at the second.
pub(crate) fn measured(seen: &mut Observation, tls: u64, complete: u64) {
    seen.phases = BTreeMap::from([(Phase::Tls.number(), tls), (Phase::Complete.number(), complete)]);
}

pub(crate) const DAY: i64 = 24 * 3600;
