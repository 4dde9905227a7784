//! V0 to V7, in order. The first failing check names the reason.

use std::collections::BTreeMap;

use proto::{
    ClaimError,
    checked::Signed,
    claims::{
        Announcement, Challenge, Claim, EvidenceKind, FlowEnd, Keyset, Observation, Receipt, Registration, Role,
        Statement,
    },
    evidence::Evidence,
    ids::{Digest, Thumbprint},
    key::PublicKey,
    probe,
    time::Timestamp,
};

use super::{Demands, Measured, Proof, Verified, same_host};
use crate::model::{Finding, Identity, Reason, Route};

/// One probe's evidence and what the signed claims cannot say themselves.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// The key that signs keysets.
    pub root: &'a PublicKey,
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
    let keyset = keyset(case)?;
    let plan = Plan::open(case, &keyset)?;
    let seen = observation(case, &keyset, &plan)?;
    let identity = Identity::of(&plan.registration).map_err(|error| own_fault(error.to_string()))?;

    v0_pin(&identity, &seen)?;
    let receipt = v1_receipt(case, &plan, &identity)?;
    let statement = v2_statement(case, &keyset, &plan, &seen)?;
    v3_bytes(&plan, &seen, &receipt)?;
    v4_egress(&identity, &statement)?;
    v5_times(case, &plan, &statement, &receipt)?;
    if case.nonce_seen {
        return Err(Reason::Replayed.into());
    }
    let proof = Proof {
        probe: plan.challenge.probe,
        at: case.receipt_arrived,
    };
    let goodput = v7_goodput(case, &plan, &seen)?.map(|rate| Measured { proof, rate });
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
struct Plan {
    registration: Registration,
    announcement: Announcement,
    challenge: Challenge,
    challenge_bytes: Vec<u8>,
    attester: Thumbprint,
    peer: Thumbprint,
}

impl Plan {
    /// Opens them and checks that they belong together. What is wrong here is never the peer's fault.
    fn open(case: &Case<'_>, keyset: &Keyset) -> Result<Self, Finding> {
        let registration = signed::<Registration>(case, EvidenceKind::Registration)?
            .verify_with_own_key()
            .map_err(own_claim)?
            .dangerously_at_any_time();
        let signed_challenge = signed::<Challenge>(case, EvidenceKind::Challenge)?;
        let (attester, challenge_digest) = (signed_challenge.key_id(), signed_challenge.digest());
        let key = keyset
            .key(Role::Attester, attester, case.receipt_arrived)
            .map_err(own_claim)?;
        let challenge = signed_challenge
            .verify(&key)
            .map_err(own_claim)?
            .dangerously_at_any_time();
        let announcement = signed::<Announcement>(case, EvidenceKind::Announcement)?
            .verify(&key)
            .map_err(own_claim)?
            .dangerously_at_any_time();
        let peer = registration.subject;
        let challenge_bytes = case
            .evidence
            .claim(EvidenceKind::Challenge)
            .unwrap_or_default()
            .to_vec();
        let request = probe::request(&challenge_bytes, &announcement.destination);
        let consistent = registration.issued_at.start() <= case.receipt_arrived.plus(case.demands.clock_tolerance)
            && registration.audience == attester
            && challenge.issuer == attester
            && announcement.issuer == attester
            && challenge.subject == peer
            && announcement.subject == peer
            && challenge.probe == announcement.probe
            && announcement.challenge == challenge_digest
            && challenge.audience == announcement.destination
            && announcement.up == request.len() as u64
            && announcement.down == probe::ORIGIN_HEAD as u64 + challenge.body_length;
        if consistent {
            Ok(Self {
                registration,
                announcement,
                challenge,
                challenge_bytes,
                attester,
                peer,
            })
        } else {
            Err(own_fault(
                "registration, announcement and challenge do not belong together",
            ))
        }
    }
}

fn keyset(case: &Case<'_>) -> Result<Keyset, Finding> {
    signed::<Keyset>(case, EvidenceKind::Keyset)?
        .verify(case.root)
        .and_then(|keyset| keyset.at(case.receipt_arrived, case.demands.clock_tolerance))
        .map_err(own_claim)
}

fn observation(case: &Case<'_>, keyset: &Keyset, plan: &Plan) -> Result<Observation, Finding> {
    let signed = signed::<Observation>(case, EvidenceKind::Observation)?;
    let key = keyset
        .key(Role::Prober, signed.key_id(), case.receipt_arrived)
        .map_err(own_claim)?;
    let signer = signed.key_id();
    let seen = signed.verify(&key).map_err(own_claim)?.dangerously_at_any_time();
    let request = probe::request(&plan.challenge_bytes, &plan.announcement.destination);
    let consistent = seen.issuer == signer
        && seen.subject == plan.peer
        && seen.audience == plan.attester
        && seen.probe == plan.challenge.probe
        && seen.nonce == plan.challenge.nonce
        && seen.sent == plan.announcement.up
        && seen.sent_digest == Digest::of(&request);
    if !consistent {
        return Err(own_fault("the observation is of another probe"));
    }
    match seen.received.cmp(&plan.announcement.down) {
        std::cmp::Ordering::Less => Err(Reason::Truncated.into()),
        std::cmp::Ordering::Greater => Err(Reason::Overlong.into()),
        std::cmp::Ordering::Equal => Ok(seen),
    }
}

fn v0_pin(identity: &Identity, seen: &Observation) -> Result<(), Finding> {
    if seen.address.0 != identity.address {
        return Err(own_fault("the prober dialled another address than the registered one"));
    }
    if seen.pin == identity.pin {
        Ok(())
    } else {
        Err(Reason::PinMismatch.into())
    }
}

fn v1_receipt(case: &Case<'_>, plan: &Plan, identity: &Identity) -> Result<Receipt, Finding> {
    let bytes = case
        .evidence
        .claim(EvidenceKind::Receipt)
        .ok_or(Reason::ReceiptMissing)?;
    let receipt = Signed::<Receipt>::parse(bytes)
        .and_then(|signed| signed.verify(&identity.key))
        .map_err(|error| Finding::new(Reason::ReceiptSignature, chain(&error)))?
        .at(case.receipt_arrived, case.demands.clock_tolerance)
        .map_err(|error| Finding::new(Reason::ClockSkew, error.to_string()))?;
    let mismatch = |what| Err(Finding::new(Reason::ReceiptMismatch, what));
    if receipt.issuer != plan.peer || receipt.audience != plan.attester {
        return mismatch("it names another peer or attester");
    }
    if receipt.probe != plan.challenge.probe {
        return mismatch("it names another probe");
    }
    if receipt.nonce != plan.challenge.nonce {
        return mismatch("it carries another nonce");
    }
    if receipt.destination != plan.announcement.destination {
        return mismatch("it names another destination");
    }
    Ok(receipt)
}

fn v2_statement(case: &Case<'_>, keyset: &Keyset, plan: &Plan, seen: &Observation) -> Result<Statement, Finding> {
    let bytes = case
        .evidence
        .claim(EvidenceKind::Statement)
        .ok_or_else(|| Finding::new(Reason::StatementInvalid, "there is none"))?;
    let invalid = |error: ClaimError| Finding::new(Reason::StatementInvalid, chain(&error));
    let signed = Signed::<Statement>::parse(bytes).map_err(invalid)?;
    let key = keyset
        .key(Role::Origin, signed.key_id(), case.receipt_arrived)
        .map_err(invalid)?;
    let statement = signed
        .verify(&key)
        .map_err(invalid)?
        .at(case.receipt_arrived, case.demands.clock_tolerance)
        .map_err(|error| Finding::new(Reason::StatementReplayed, error.to_string()))?;
    let challenge = &plan.challenge;
    let this_probe = statement.nonce == challenge.nonce
        && statement.probe == challenge.probe
        && statement.subject == plan.peer
        && statement.audience == plan.attester
        && statement.challenge == plan.announcement.challenge
        && statement.issuer == challenge.audience;
    if !this_probe {
        return Err(Reason::StatementReplayed.into());
    }
    if statement.body_length != challenge.body_length {
        return Err(Finding::new(
            Reason::OriginFailed,
            "the origin answered with a body of another length",
        ));
    }
    if statement.body_length != seen.body || statement.body_digest != seen.body_digest {
        return Err(Reason::BodyAltered.into());
    }
    // The statement cannot sign the head that it stands in; but there is only one head that it may stand in.
    let head = probe::answer_head(bytes, statement.body_length);
    if head.is_none_or(|head| Digest::of(&head) != seen.head_digest) {
        return Err(Finding::new(Reason::HeadAltered, "another head than the destination's"));
    }
    Ok(statement)
}

fn v3_bytes(plan: &Plan, seen: &Observation, receipt: &Receipt) -> Result<(), Finding> {
    let differ = |what| Err(Finding::new(Reason::BytesDiffer, what));
    if receipt.end == FlowEnd::Overrun {
        return differ("the agent saw more bytes than were announced");
    }
    if (receipt.up, receipt.up_digest) != (seen.sent, seen.sent_digest) || receipt.up != plan.announcement.up {
        return differ("the bytes up");
    }
    if (receipt.down, receipt.down_digest) != (seen.received, seen.received_digest) {
        return differ("the bytes down");
    }
    Ok(())
}

fn v4_egress(identity: &Identity, statement: &Statement) -> Result<(), Finding> {
    if same_host(identity.address.ip(), statement.source.0.ip()) {
        Ok(())
    } else {
        Err(Reason::Egress.into())
    }
}

fn v5_times(case: &Case<'_>, plan: &Plan, statement: &Statement, receipt: &Receipt) -> Result<(), Finding> {
    let (start, end) = plan.announcement.window();
    let (start, end) = (start.start(), end.start());
    if case.receipt_arrived >= end {
        return Err(Reason::ReceiptLate.into());
    }
    if case.receipt_arrived < start {
        return Err(own_fault(
            "the receipt arrived before its window: the attester's clock jumped",
        ));
    }
    let tolerance = case.demands.clock_tolerance;
    if statement.arrived < start.minus(tolerance) || statement.arrived >= end.plus(tolerance) {
        return Err(Finding::new(Reason::OriginFailed, "the origin's clock is off"));
    }
    let opened = receipt.opened.shifted(case.clock_offset);
    let closed = receipt.closed.shifted(case.clock_offset);
    let in_order = start.minus(tolerance) <= opened
        && opened <= closed.plus(tolerance)
        && closed <= case.receipt_arrived.plus(tolerance);
    if in_order {
        Ok(())
    } else {
        Err(Reason::ClockSkew.into())
    }
}

fn v7_goodput(case: &Case<'_>, plan: &Plan, seen: &Observation) -> Result<Option<u64>, Finding> {
    if plan.challenge.body_length < case.demands.goodput_body {
        return Ok(None);
    }
    let rate = seen
        .goodput()
        .ok_or_else(|| own_fault("the observation of a measurement lacks its times"))?;
    if rate >= case.demands.goodput_floor {
        return Ok(Some(rate));
    }
    let seen = format!(
        "{} KiB/s, at least {} KiB/s are needed",
        rate >> 10,
        case.demands.goodput_floor >> 10
    );
    Err(Finding::new(Reason::Goodput, seen))
}

fn signed<T: Claim>(case: &Case<'_>, kind: EvidenceKind) -> Result<Signed<T>, Finding> {
    let bytes = case
        .evidence
        .claim(kind)
        .ok_or_else(|| own_fault(format!("the {kind} is missing")))?;
    Signed::parse(bytes).map_err(own_claim)
}

fn own_claim(error: ClaimError) -> Finding {
    own_fault(chain(&error))
}

fn own_fault(detail: impl AsRef<str>) -> Finding {
    Finding::new(Reason::EvidenceInvalid, detail)
}

fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
