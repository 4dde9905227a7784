//! V0 to V7, in order. The first failing check names the reason.

use std::collections::BTreeMap;

use proto::{
    ClaimError,
    checked::Signed,
    claims::{Announcement, Challenge, Claim, EvidenceKind, Keyset, Observation, Registration, Role},
    evidence::Evidence,
    ids::{Digest, Thumbprint},
    key::PublicKey,
    probe,
    time::Timestamp,
};

use super::{
    Demands, Measured, Proof, Trust, Verified,
    account::{Account, Check, Look},
    witnesses,
};
use crate::model::{Finding, Identity, Reason, Route};

/// One probe's evidence and what the signed claims cannot say themselves.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// The key that signs keysets, and the keys that do not count.
    pub trust: &'a Trust,
    /// The signed claims.
    pub evidence: &'a Evidence,
    /// When the receipt arrived, on the attester's clock.
    pub receipt_arrived: Timestamp,
    /// Microseconds to add to the peer's clock to get the attester's.
    pub clock_offset: i64,
    /// Whether the nonce is in another stored probe's evidence.
    pub nonce_seen: bool,
    /// What is demanded beyond the protocol.
    pub demands: Demands,
}

/// Checks a probe that went through: all of V0 to V7, or the reason of the first that fails.
///
/// # Errors
/// The finding. Its reason's blame says whether it counts against the peer.
pub fn verify(case: &Case<'_>) -> Result<Verified, Finding> {
    verify_telling(case, Some(case.nonce_seen), &mut Account::silent())
}

/// [`verify`], with an account of what each check compared. `nonce_seen` is `None` where nobody has looked: V6 is then taken
/// as held.
pub(super) fn verify_telling(
    case: &Case<'_>,
    nonce_seen: Option<bool>,
    account: &mut Account,
) -> Result<Verified, Finding> {
    let keyset = account.check(Check::Keyset, |look| keyset(case, look))?;
    let plan = Plan::open(case, &keyset, account)?;
    let seen = account.check(Check::Observation, |look| observation(case, &keyset, &plan, look))?;
    let identity = Identity::of(&plan.registration).map_err(|error| own_fault(error.to_string()))?;

    account.check(Check::V0, |look| witnesses::v0_pin(&identity, &seen, look))?;
    let receipt = account.check(Check::V1, |look| witnesses::v1_receipt(case, &plan, &identity, look))?;
    let statement = account.check(Check::V2, |look| {
        witnesses::v2_statement(case, &keyset, &plan, &seen, look)
    })?;
    account.check(Check::V3, |look| witnesses::v3_bytes(&plan, &seen, &receipt, look))?;
    account.check(Check::V4, |look| witnesses::v4_egress(&identity, &statement, look))?;
    account.check(Check::V5, |look| {
        witnesses::v5_times(case, &plan, &statement, &receipt, look)
    })?;
    account.check(Check::V6, |look| witnesses::v6_nonce(&plan, nonce_seen, look))?;
    let proof = Proof {
        probe: plan.challenge.probe,
        at: case.receipt_arrived,
    };
    let rate = account.check(Check::V7, |look| witnesses::v7_goodput(case, &plan, &seen, look))?;
    let goodput = rate.map(|rate| Measured { proof, rate });
    let route = Route {
        path: seen.path,
        protocol: seen.protocol,
    };
    Ok(Verified {
        identity,
        routes: BTreeMap::from([(route, proof)]),
        goodput,
    })
}

/// The claims that the attester itself made, and the registration that they rest on.
pub(super) struct Plan {
    pub(super) registration: Registration,
    pub(super) announcement: Announcement,
    pub(super) challenge: Challenge,
    pub(super) attester: Thumbprint,
    pub(super) peer: Thumbprint,
    request: Vec<u8>,
    challenge_digest: Digest,
}

impl Plan {
    /// Opens them and checks that they belong together. What is wrong here is never the peer's fault.
    fn open(case: &Case<'_>, keyset: &Keyset, account: &mut Account) -> Result<Self, Finding> {
        let registration = account.check(Check::Registration, |look| {
            let signed = signed::<Registration>(case, EvidenceKind::Registration, look)?;
            look.note("signed by", &signed.key_id());
            let registration = signed
                .verify_with_own_key()
                .map_err(own_claim)?
                .dangerously_at_any_time();
            look.window(&registration);
            look.note("address", &registration.address);
            look.note("TLS key", &registration.pin);
            Ok(registration)
        })?;
        let (challenge, key, challenge_digest) = account.check(Check::Challenge, |look| {
            let signed = signed::<Challenge>(case, EvidenceKind::Challenge, look)?;
            let digest = signed.digest();
            let key = key_of(&signed, keyset, Role::Attester, case, look).map_err(own_claim)?;
            let challenge = signed.verify(&key).map_err(own_claim)?.dangerously_at_any_time();
            look.window(&challenge);
            look.note("probe", &challenge.probe);
            look.note("nonce", &challenge.nonce);
            Ok((challenge, key, digest))
        })?;
        let attester = key.thumbprint();
        let announcement = account.check(Check::Announcement, |look| {
            let signed = signed::<Announcement>(case, EvidenceKind::Announcement, look)?;
            look.equal("signed by", &signed.key_id(), &attester);
            look.note("role", Role::Attester.as_str());
            let announcement = signed.verify(&key).map_err(own_claim)?.dangerously_at_any_time();
            look.window(&announcement);
            look.note("destination", &announcement.destination);
            Ok(announcement)
        })?;
        let challenge_bytes = case.evidence.claim(EvidenceKind::Challenge).unwrap_or_default();
        let plan = Self {
            request: probe::request(challenge_bytes, &announcement.destination),
            peer: registration.subject,
            registration,
            announcement,
            challenge,
            attester,
            challenge_digest,
        };
        account.check(Check::Together, |look| plan.belongs_together(case, keyset, look))?;
        Ok(plan)
    }

    fn belongs_together(&self, case: &Case<'_>, keyset: &Keyset, look: &mut Look) -> Result<(), Finding> {
        let (registration, announcement, challenge) = (&self.registration, &self.announcement, &self.challenge);
        let latest = case.receipt_arrived.plus(case.demands.clock_tolerance);
        let down = probe::ORIGIN_HEAD as u64 + challenge.body_length;
        // Sessions outlive keys: the one of the welcome may not be the one of the challenge.
        look.note("registered for", &registration.audience);
        let registered = registration.issued_at.start();
        case.trust
            .key(keyset, Role::Attester, registration.audience, registered)
            .map_err(own_claim)?;
        let consistent = look.at_most("registered", &registration.issued_at.start(), &latest)
            & look.equal("challenge issuer", &challenge.issuer, &self.attester)
            & look.equal("announcement issuer", &announcement.issuer, &self.attester)
            & look.equal("challenge subject", &challenge.subject, &self.peer)
            & look.equal("announcement subject", &announcement.subject, &self.peer)
            & look.equal("announced probe", &announcement.probe, &challenge.probe)
            & look.equal("announced challenge", &announcement.challenge, &self.challenge_digest)
            & look.equal("challenge audience", &challenge.audience, &announcement.destination)
            & look.equal("announced bytes up", &announcement.up, &(self.request.len() as u64))
            & look.equal("announced bytes down", &announcement.down, &down);
        if consistent {
            Ok(())
        } else {
            Err(own_fault(
                "registration, announcement and challenge do not belong together",
            ))
        }
    }
}

fn keyset(case: &Case<'_>, look: &mut Look) -> Result<Keyset, Finding> {
    let signed = signed::<Keyset>(case, EvidenceKind::Keyset, look)?;
    look.equal("signed by the root", &signed.key_id(), &case.trust.root().thumbprint());
    let timely = signed.verify(case.trust.root()).map_err(own_claim)?;
    look.note("used at", &case.receipt_arrived);
    let keyset = timely
        .at(case.receipt_arrived, case.demands.clock_tolerance)
        .map_err(own_claim)?;
    look.window(&keyset);
    look.note("keys", &(keyset.keys.len() as u64));
    Ok(keyset)
}

fn observation(case: &Case<'_>, keyset: &Keyset, plan: &Plan, look: &mut Look) -> Result<Observation, Finding> {
    let signed = signed::<Observation>(case, EvidenceKind::Observation, look)?;
    let signer = signed.key_id();
    let key = key_of(&signed, keyset, Role::Prober, case, look).map_err(own_claim)?;
    let seen = signed.verify(&key).map_err(own_claim)?.dangerously_at_any_time();
    look.window(&seen);
    look.note("path", seen.path.as_str());
    look.note("protocol", seen.protocol.as_str());
    let consistent = look.equal("issuer", &seen.issuer, &signer)
        & look.equal("subject", &seen.subject, &plan.peer)
        & look.equal("audience", &seen.audience, &plan.attester)
        & look.equal("probe", &seen.probe, &plan.challenge.probe)
        & look.equal("nonce", &seen.nonce, &plan.challenge.nonce);
    if !consistent {
        return Err(own_fault("the observation is of another probe"));
    }
    // An exchange that broke off is told by what came back, before anything is said about what was sent.
    let (received, announced) = (seen.received, plan.announcement.down);
    if !look.equal("bytes received", &received, &announced) {
        let reason = if received < announced {
            Reason::Truncated
        } else {
            Reason::Overlong
        };
        return Err(Finding::new(reason, format!("{received} of {announced} bytes")));
    }
    let whole = look.equal("bytes sent", &seen.sent, &plan.announcement.up)
        & look.equal("their SHA-256", &seen.sent_digest, &Digest::of(&plan.request));
    if whole {
        Ok(seen)
    } else {
        Err(own_fault("the observation is of another request"))
    }
}

/// The key of `role` that is said to have signed, if the keyset lists it and it was valid when the receipt arrived.
pub(super) fn key_of<T: Claim>(
    signed: &Signed<T>,
    keyset: &Keyset,
    role: Role,
    case: &Case<'_>,
    look: &mut Look,
) -> Result<PublicKey, ClaimError> {
    look.note("signed by", &signed.key_id());
    look.note("role", role.as_str());
    case.trust.key(keyset, role, signed.key_id(), case.receipt_arrived)
}

fn signed<T: Claim>(case: &Case<'_>, kind: EvidenceKind, look: &mut Look) -> Result<Signed<T>, Finding> {
    let Some(bytes) = case.evidence.claim(kind) else {
        look.missing(kind);
        return Err(own_fault(format!("the {kind} is missing")));
    };
    Signed::parse(bytes).map_err(own_claim)
}

pub(super) fn own_claim(error: ClaimError) -> Finding {
    match error {
        ClaimError::Revoked { .. } => Finding::new(Reason::KeyRevoked, error.to_string()),
        _ => own_fault(chain(&error)),
    }
}

pub(super) fn own_fault(detail: impl AsRef<str>) -> Finding {
    Finding::new(Reason::EvidenceInvalid, detail)
}

pub(super) fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
