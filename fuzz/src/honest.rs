//! What honest parties sign: keys, and all claims of one probe, open to be bent before they are signed.

use std::{collections::BTreeMap, net::SocketAddr, sync::LazyLock};

use proto::{
    checked::sign,
    claims::{
        Announcement, Challenge, Claim, FlowEnd, KeyBytes, KeyEntry, Keyset, Observation, Outcome, Path, Phase,
        Protocol, Protocols, Receipt, Registration, Role, Statement, Verdict,
    },
    evidence::{Blob, Evidence},
    ids::{Address, ChannelBinding, Destination, Digest, Nonce, Pin, ProbeId, Thumbprint},
    key::SigningKey,
    probe,
    time::{Seconds, Timestamp},
};

/// One of sixteen keys.
pub fn key(number: u8) -> &'static SigningKey {
    &KEYS[usize::from(number) % KEYS.len()]
}

/// The thumbprint of one of sixteen keys.
pub fn thumbprint(number: u8) -> Thumbprint {
    key(number).public().thumbprint()
}

/// The seed of key 0 is 32 of these bytes, that of key 1 is 32 of the next. No party of the golden vectors has them.
const FIRST_SEED: u8 = 0xa0;

/// The second in which everything happens.
pub const NOW: u64 = 1_800_000_000;
/// The root's key.
pub const ROOT: u8 = 1;
/// The attester's.
pub const ATTESTER: u8 = 2;
/// The origin's.
pub const ORIGIN: u8 = 3;
/// The prober's.
pub const PROBER: u8 = 4;
/// A key that nobody vouches for.
pub const STRANGER: u8 = 5;
/// A peer's.
pub const PEER: u8 = 6;
/// Another peer's.
pub const OTHER_PEER: u8 = 7;
/// Where peers register, unless they say otherwise.
pub const ADDRESS: &str = "8.8.8.8:443";
/// Where probes go.
pub const DESTINATION: &str = "origin.example:80";

/// The instant this many seconds after [`NOW`].
pub const fn at(seconds: u64) -> Timestamp {
    Timestamp::from_secs(NOW + seconds)
}

/// The second this many seconds after [`NOW`].
pub const fn second(seconds: u64) -> Seconds {
    Seconds::new(NOW + seconds)
}

/// A text that was written to be an address, a destination and so on.
///
/// # Panics
/// When it is none.
#[expect(clippy::expect_used, reason = "constants of this crate")]
pub fn parsed<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("a text of this crate")
}

/// The keyset of honest probes.
pub fn keyset() -> Keyset {
    let entry = |role, number: u8| KeyEntry {
        role,
        key: KeyBytes(*key(number).public().as_bytes()),
        not_before: Seconds::new(NOW - 1000),
        expires: Seconds::new(NOW + 100_000),
    };
    Keyset {
        issuer: thumbprint(ROOT),
        expires: Seconds::new(NOW + 100_000),
        not_before: Seconds::new(NOW - 1000),
        issued_at: Seconds::new(NOW - 1000),
        keys: vec![
            entry(Role::Attester, ATTESTER),
            entry(Role::Origin, ORIGIN),
            entry(Role::Prober, PROBER),
        ],
        revoked: Vec::new(),
    }
}

/// The same, signed.
pub static KEYSET: LazyLock<Vec<u8>> = LazyLock::new(|| signed(&keyset(), ROOT));

/// A claim that keeps its rules, signed.
///
/// # Panics
/// When it does not keep them.
#[expect(clippy::expect_used, reason = "claims of this crate")]
pub fn signed(claim: &impl Claim, signer: u8) -> Vec<u8> {
    sign(claim, key(signer)).expect("a claim that keeps its rules")
}

/// All protocols.
#[expect(clippy::expect_used, reason = "constants of this crate")]
pub fn protocols() -> Protocols {
    Protocols::new(Protocol::ALL.iter().copied()).expect("there are protocols")
}

/// What one honest probe was about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Probe {
    /// Tells it from others.
    pub number: u8,
    /// The peer's key.
    pub peer: u8,
    /// The peer's address.
    pub address: SocketAddr,
    /// By which protocol it was reached.
    pub protocol: Protocol,
    /// Length of the body.
    pub body: u64,
    /// When it began, in seconds after [`NOW`].
    pub at: u64,
}

/// A claim about to be signed.
#[derive(Debug)]
pub enum Draft<'a> {
    /// By the root.
    Keyset(&'a mut Keyset),
    /// By the peer.
    Registration(&'a mut Registration),
    /// By the attester.
    Challenge(&'a mut Challenge),
    /// By the attester.
    Announcement(&'a mut Announcement),
    /// By the origin.
    Statement(&'a mut Statement),
    /// By the prober.
    Observation(&'a mut Observation),
    /// By the peer.
    Receipt(&'a mut Receipt),
    /// By the attester.
    Verdict(&'a mut Verdict),
}

/// Changes a claim, or who signs it, before it is signed.
pub type Bend<'a> = &'a mut dyn FnMut(Draft<'_>, &mut u8);

impl Default for Probe {
    fn default() -> Self {
        Self {
            number: 0,
            peer: PEER,
            address: parsed(ADDRESS),
            protocol: Protocol::Enproxy,
            body: 1024,
            at: 0,
        }
    }
}

impl Probe {
    /// Its id.
    pub fn id(&self) -> ProbeId {
        let mut id = [self.number; 16];
        id[..8].copy_from_slice(&self.at.to_be_bytes());
        id[8] = self.peer;
        ProbeId::from_bytes(id)
    }

    /// Its nonce.
    pub fn nonce(&self) -> Nonce {
        Nonce::from_bytes(*Digest::of(self.id().as_bytes()).as_bytes())
    }

    /// When its receipt arrived.
    pub fn receipt_arrived(&self) -> Timestamp {
        Timestamp::from_micros(at(self.at).as_micros() + 900_000)
    }

    /// The peer's registration.
    pub fn registration(&self) -> Registration {
        Registration {
            issuer: thumbprint(self.peer),
            subject: thumbprint(self.peer),
            audience: thumbprint(ATTESTER),
            expires: Seconds::new(NOW - 40),
            issued_at: Seconds::new(NOW - 100),
            session: Nonce::from_bytes([1; 32]),
            key: KeyBytes(*key(self.peer).public().as_bytes()),
            address: Address(self.address),
            protocols: protocols(),
            pin: Pin::from_bytes([3; 32]),
            channel_binding: ChannelBinding::from_bytes([4; 32]),
            software: "fuzz".to_owned(),
            peer_time: at(0),
        }
    }

    /// The challenge that it carries.
    pub fn challenge(&self) -> Challenge {
        Challenge {
            issuer: thumbprint(ATTESTER),
            subject: thumbprint(self.peer),
            audience: destination(),
            expires: second(self.at + 15),
            not_before: second(self.at),
            issued_at: second(self.at),
            probe: self.id(),
            nonce: self.nonce(),
            body_length: self.body,
        }
    }

    /// What the agent is told of a challenge.
    pub fn announcement(&self, challenge: &[u8]) -> Announcement {
        Announcement {
            issuer: thumbprint(ATTESTER),
            subject: thumbprint(self.peer),
            expires: second(self.at + 15),
            not_before: second(self.at),
            issued_at: second(self.at),
            probe: self.id(),
            destination: destination(),
            challenge: Digest::of(challenge),
            up: probe::request(challenge, &destination()).len() as u64,
            down: probe::ORIGIN_HEAD as u64 + self.body,
        }
    }

    /// Everything that was signed, its verdict included; `None` when a bent claim cannot be signed.
    pub fn evidence(&self, bend: Bend<'_>) -> Option<Evidence> {
        let keyset = finish(keyset(), ROOT, |it, signer| bend(Draft::Keyset(it), signer))?;
        let registration = finish(self.registration(), self.peer, |it, signer| {
            bend(Draft::Registration(it), signer)
        })?;
        let challenge = finish(self.challenge(), ATTESTER, |it, signer| {
            bend(Draft::Challenge(it), signer)
        })?;
        let announcement = finish(self.announcement(&challenge), ATTESTER, |it, signer| {
            bend(Draft::Announcement(it), signer)
        })?;
        let statement = finish(self.statement(&challenge), ORIGIN, |it, signer| {
            bend(Draft::Statement(it), signer)
        })?;
        let observation = finish(self.observation(&challenge, &statement), PROBER, |it, signer| {
            bend(Draft::Observation(it), signer)
        })?;
        let receipt = finish(self.receipt(&challenge), self.peer, |it, signer| {
            bend(Draft::Receipt(it), signer)
        })?;
        let mut evidence = Evidence {
            keyset: Some(Blob(keyset)),
            registration: Some(Blob(registration)),
            announcement: Some(Blob(announcement)),
            challenge: Some(Blob(challenge)),
            statement: Some(Blob(statement)),
            observation: Some(Blob(observation)),
            receipt: Some(Blob(receipt)),
            verdict: None,
        };
        let verdict = finish(self.verdict(&evidence), ATTESTER, |it, signer| {
            bend(Draft::Verdict(it), signer)
        })?;
        evidence.verdict = Some(Blob(verdict));
        Some(evidence)
    }

    /// The same with nothing bent, as a file.
    ///
    /// # Panics
    /// Never: nothing is bent.
    #[expect(clippy::expect_used, reason = "claims of this crate")]
    pub fn file(&self) -> Vec<u8> {
        let evidence = self.evidence(&mut |_, _| {}).expect("claims that keep their rules");
        evidence.encode().expect("claims of ordinary size")
    }

    fn statement(&self, challenge: &[u8]) -> Statement {
        Statement {
            issuer: destination(),
            subject: thumbprint(self.peer),
            audience: thumbprint(ATTESTER),
            expires: second(self.at + 300),
            issued_at: second(self.at),
            probe: self.id(),
            nonce: self.nonce(),
            challenge: Digest::of(challenge),
            source: Address(SocketAddr::new(self.address.ip(), 50_000)),
            arrived: at(self.at),
            body_length: self.body,
            body_digest: Digest::of(b"body"),
        }
    }

    fn observation(&self, challenge: &[u8], statement: &[u8]) -> Observation {
        let request = probe::request(challenge, &destination());
        Observation {
            issuer: thumbprint(PROBER),
            subject: thumbprint(self.peer),
            audience: thumbprint(ATTESTER),
            expires: second(self.at + 60),
            issued_at: second(self.at),
            probe: self.id(),
            nonce: self.nonce(),
            path: Path::Direct,
            protocol: self.protocol,
            address: Address(self.address),
            pin: Pin::from_bytes([3; 32]),
            sent: request.len() as u64,
            sent_digest: Digest::of(&request),
            received: probe::ORIGIN_HEAD as u64 + self.body,
            received_digest: Digest::of(b"down"),
            body: self.body,
            body_digest: Digest::of(b"body"),
            started: at(self.at),
            phases: BTreeMap::from([(Phase::Tls.number(), 2_000), (Phase::Complete.number(), 102_000)]),
            head_digest: Digest::of(&probe::answer_head(statement, self.body).unwrap_or_default()),
        }
    }

    fn receipt(&self, challenge: &[u8]) -> Receipt {
        let request = probe::request(challenge, &destination());
        Receipt {
            issuer: thumbprint(self.peer),
            subject: thumbprint(self.peer),
            audience: thumbprint(ATTESTER),
            expires: second(self.at + 60),
            issued_at: second(self.at),
            probe: self.id(),
            nonce: self.nonce(),
            destination: destination(),
            up: request.len() as u64,
            up_digest: Digest::of(&request),
            down: probe::ORIGIN_HEAD as u64 + self.body,
            down_digest: Digest::of(b"down"),
            opened: at(self.at),
            closed: self.receipt_arrived(),
            end: FlowEnd::Lengths,
        }
    }

    fn verdict(&self, evidence: &Evidence) -> Verdict {
        Verdict {
            issuer: thumbprint(ATTESTER),
            subject: thumbprint(self.peer),
            expires: second(self.at + 300),
            issued_at: second(self.at),
            probe: self.id(),
            outcome: Outcome::Proved,
            reason: String::new(),
            remedy: String::new(),
            standing: "verified".to_owned(),
            evidence: evidence.digests(),
            receipt_arrived: Some(self.receipt_arrived()),
            clock_offset: 0,
        }
    }
}

/// Where probes go.
pub fn destination() -> Destination {
    parsed(DESTINATION)
}

fn finish<T: Claim>(mut claim: T, mut signer: u8, bend: impl FnOnce(&mut T, &mut u8)) -> Option<Vec<u8>> {
    bend(&mut claim, &mut signer);
    sign(&claim, key(signer)).ok()
}

static KEYS: LazyLock<Vec<SigningKey>> = LazyLock::new(|| {
    (0..16_u8)
        .map(|number| SigningKey::from_seed(&[FIRST_SEED + number; 32]))
        .collect()
});
