//! The checks V0 to V7 themselves: prober, origin and peer must agree about one nonce.

use proto::{
    ClaimError,
    checked::Signed,
    claims::{EvidenceKind, FlowEnd, Keyset, Observation, Path, Receipt, Role, Statement},
    ids::Address,
};

use super::{
    account::Look,
    answered::{Answered, invalid},
    checks::{Case, Plan, chain, key_of, own_claim, own_fault},
};
use crate::model::{Finding, Identity, Reason};

/// On the direct route. An edge ends TLS itself: that the peer carried the bytes its receipt and its address show (V1 to V4).
pub(super) fn v0_pin(identity: &Identity, seen: &Observation, look: &mut Look) -> Result<(), Finding> {
    if seen.path == Path::Fronted {
        look.note("edge", &seen.address);
        return Ok(());
    }
    if !look.equal("address dialled", &seen.address, &Address(identity.address)) {
        return Err(own_fault("the prober dialled another address than the registered one"));
    }
    if look.equal("TLS key", &seen.pin, &identity.pin) {
        Ok(())
    } else {
        Err(Reason::PinMismatch.into())
    }
}

pub(super) fn v1_receipt(
    case: &Case<'_>,
    plan: &Plan,
    identity: &Identity,
    look: &mut Look,
) -> Result<Receipt, Finding> {
    let Some(bytes) = case.evidence.claim(EvidenceKind::Receipt) else {
        look.missing(EvidenceKind::Receipt);
        return Err(Reason::ReceiptMissing.into());
    };
    let signature = |error: ClaimError| Finding::new(Reason::ReceiptSignature, chain(&error));
    let signed = Signed::<Receipt>::parse(bytes).map_err(signature)?;
    look.equal("signed by the peer", &signed.key_id(), &plan.peer);
    let timely = signed.verify(&identity.key).map_err(signature)?;
    look.note("arrived", &case.receipt_arrived);
    let receipt = timely
        .at(case.receipt_arrived, case.demands.clock_tolerance)
        .map_err(|error| Finding::new(Reason::ClockSkew, error.to_string()))?;
    look.window(&receipt);
    let mismatch = |what| Err(Finding::new(Reason::ReceiptMismatch, what));
    if !look.equal("issuer", &receipt.issuer, &plan.peer) | !look.equal("audience", &receipt.audience, &plan.attester) {
        return mismatch("it names another peer or attester");
    }
    if !look.equal("probe", &receipt.probe, &plan.challenge.probe) {
        return mismatch("it names another probe");
    }
    if !look.equal("nonce", &receipt.nonce, &plan.challenge.nonce) {
        return mismatch("it carries another nonce");
    }
    if !look.equal("destination", &receipt.destination, &plan.announcement.destination) {
        return mismatch("it names another destination");
    }
    Ok(receipt)
}

pub(super) fn v2_statement(
    case: &Case<'_>,
    keyset: &Keyset,
    plan: &Plan,
    seen: &Observation,
    look: &mut Look,
) -> Result<Statement, Finding> {
    let Some(bytes) = case.evidence.claim(EvidenceKind::Statement) else {
        look.missing(EvidenceKind::Statement);
        return Err(Finding::new(Reason::StatementInvalid, "there is none"));
    };
    // The plan's claims belong together: the challenge names its peer and attester.
    let answered = Answered {
        statement: bytes,
        challenge: &plan.challenge,
        challenge_digest: plan.announcement.challenge,
        body: seen.body,
        body_digest: seen.body_digest,
        head_digest: seen.head_digest,
        at: case.receipt_arrived,
        tolerance: case.demands.clock_tolerance,
    };
    let key = |signed: &Signed<Statement>, look: &mut Look| {
        key_of(signed, keyset, Role::Origin, case, look).map_err(|error| match error {
            ClaimError::Revoked { .. } => own_claim(error),
            _ => invalid(error),
        })
    };
    answered.examined(key, look)
}

pub(super) fn v3_bytes(plan: &Plan, seen: &Observation, receipt: &Receipt, look: &mut Look) -> Result<(), Finding> {
    let differ = |what| Err(Finding::new(Reason::BytesDiffer, what));
    if !look.unequal("flow's end", &receipt.end, &FlowEnd::Overrun) {
        return differ("the agent saw more bytes than were announced");
    }
    let up = look.equal("bytes up", &receipt.up, &seen.sent)
        & look.equal("their SHA-256", &receipt.up_digest, &seen.sent_digest)
        & look.equal("announced up", &receipt.up, &plan.announcement.up);
    if !up {
        return differ("the bytes up");
    }
    let down = look.equal("bytes down", &receipt.down, &seen.received)
        & look.equal("their SHA-256", &receipt.down_digest, &seen.received_digest);
    if !down {
        return differ("the bytes down");
    }
    Ok(())
}

pub(super) fn v4_egress(identity: &Identity, statement: &Statement, look: &mut Look) -> Result<(), Finding> {
    if look.same_host("traffic left from", &statement.source, &Address(identity.address)) {
        Ok(())
    } else {
        Err(Reason::Egress.into())
    }
}

pub(super) fn v5_times(
    case: &Case<'_>,
    plan: &Plan,
    statement: &Statement,
    receipt: &Receipt,
    look: &mut Look,
) -> Result<(), Finding> {
    let (start, end) = (plan.announcement.not_before.start(), plan.announcement.expires.start());
    if !look.below("receipt arrived", &case.receipt_arrived, &end) {
        return Err(Reason::ReceiptLate.into());
    }
    if !look.at_least("receipt arrived", &case.receipt_arrived, &start) {
        return Err(own_fault(
            "the receipt arrived before its window: the attester's clock jumped",
        ));
    }
    let tolerance = case.demands.clock_tolerance;
    if !look.at_least("reached the origin", &statement.arrived, &start.minus(tolerance))
        | !look.below("reached the origin", &statement.arrived, &end.plus(tolerance))
    {
        return Err(Finding::new(Reason::OriginFailed, "the origin's clock is off"));
    }
    let opened = receipt.opened.shifted(case.clock_offset);
    let closed = receipt.closed.shifted(case.clock_offset);
    let in_order = look.at_least("flow opened", &opened, &start.minus(tolerance))
        & look.at_most("flow opened", &opened, &closed.plus(tolerance))
        & look.at_most("flow closed", &closed, &case.receipt_arrived.plus(tolerance));
    if in_order {
        Ok(())
    } else {
        Err(Reason::ClockSkew.into())
    }
}

pub(super) fn v6_nonce(plan: &Plan, seen: Option<bool>, look: &mut Look) -> Result<(), Finding> {
    look.note("nonce", &plan.challenge.nonce);
    match seen {
        Some(true) => Err(Reason::Replayed.into()),
        Some(false) => Ok(()),
        None => {
            look.taken("only the attester's store can tell whether another probe has this nonce");
            Ok(())
        }
    }
}

pub(super) fn v7_goodput(
    case: &Case<'_>,
    plan: &Plan,
    seen: &Observation,
    look: &mut Look,
) -> Result<Option<u64>, Finding> {
    if !look.at_least("body", &plan.challenge.body_length, &case.demands.goodput_body) {
        look.left_out("the body is too short to measure throughput");
        return Ok(None);
    }
    let rate = seen
        .goodput()
        .ok_or_else(|| own_fault("the observation of a measurement lacks its times"))?;
    if look.at_least("bytes a second", &rate, &case.demands.goodput_floor) {
        return Ok(Some(rate));
    }
    let seen = format!(
        "{} KiB/s, at least {} KiB/s are needed",
        rate >> 10,
        case.demands.goodput_floor >> 10
    );
    Err(Finding::new(Reason::Goodput, seen))
}
