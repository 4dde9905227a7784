//! Evidence of probes that really were proved, changed: in its bytes, in its claims, and by parties who lie under their
//! own good signature. None of it proves anything, and nobody is blamed for what another has done.

use attester::{
    model::{Blame, Reason},
    verify::{Demands, Trust, account::Account, audit, recheck},
};
use proto::{
    claims::{EvidenceKind, FlowEnd, KeyBytes, Outcome, Revoked},
    evidence::{Blob, Evidence},
    ids::{Address, Digest, Pin, ProbeId},
};

use super::proved;
use crate::{
    choices::{Choices, mutated},
    honest::{ATTESTER, Draft, ORIGIN, PROBER, Probe, ROOT, STRANGER, key, parsed, thumbprint},
    target::{Input, Property, Report, Target},
};

/// See the module.
pub const TARGET: Target = Target {
    name: "evidence_built",
    says: "evidence of an honest probe, then changed in its bytes, its claims, or by a party that lies",
    input: Input::Choices,
    properties: &[
        HONEST_PROVES,
        CHANGED_PROVES_NOTHING,
        LIES_PROVE_NOTHING,
        BLAME,
        SAME_STORY,
    ],
    run,
};

const HONEST_PROVES: Property = Property {
    name: "honest-proves",
    says: "the evidence of an honest probe proves its peer, address, route and probe",
};
const CHANGED_PROVES_NOTHING: Property = Property {
    name: "changed-proves-nothing",
    says: "with any byte changed, or any claim replaced by another probe's, left out or doubled, it proves nothing",
};
const LIES_PROVE_NOTHING: Property = Property {
    name: "lies-prove-nothing",
    says: "one claim that says otherwise than the others, or is signed by another key, and there is no proof",
};
const BLAME: Property = Property {
    name: "blame",
    says: "what the attester's own side got wrong is never the peer's fault",
};
const SAME_STORY: Property = Property {
    name: "same-story",
    says: "the audit that explains every check comes to the conclusion that the attester itself does",
};

fn run(input: &[u8], report: &mut Report) {
    let mut choices = Choices::new(input);
    let probe = probe(&mut choices);
    match choices.below(3) {
        0 => lie(&probe, &mut choices, report),
        1 => change_claims(&probe, &mut choices, report),
        _ => change_bytes(&probe, &mut choices, report),
    }
}

fn probe(choices: &mut Choices<'_>) -> Probe {
    let probes = proved();
    let probe = choices.of(&probes).clone();
    Probe {
        number: choices.byte(),
        at: choices.any::<u16>().into(),
        body: [1024, 0, 256 << 10, 4 << 20][choices.below(4)],
        ..probe
    }
}

fn change_bytes(probe: &Probe, choices: &mut Choices<'_>, report: &mut Report) {
    let file = probe.file();
    proves(probe, &file, report);
    if let Some(changed) = mutated(&file, choices) {
        proves_nothing(CHANGED_PROVES_NOTHING, &changed, "bytes changed", report);
    }
}

/// Claims of another honest probe in place of this one's, or none.
fn change_claims(probe: &Probe, choices: &mut Choices<'_>, report: &mut Report) {
    let other = self::probe(choices);
    let honest = |probe: &Probe| probe.evidence(&mut |_, _| {});
    let (Some(own), Some(others)) = (honest(probe), honest(&other)) else {
        return;
    };
    let mut changed = own.clone();
    for _ in 0..=choices.below(4) {
        let (to, from) = (choices.below(8), choices.below(8));
        let blob = match choices.below(4) {
            0 => claim(&mut others.clone(), to).take(),
            1 => None,
            2 => claim(&mut own.clone(), from).take(),
            _ => {
                let bytes = claim(&mut changed, to).take().map(|blob| blob.0).unwrap_or_default();
                Some(Blob(mutated(&bytes, choices).unwrap_or(bytes)))
            }
        };
        *claim(&mut changed, to) = blob;
    }
    if changed == own || changed == others {
        return;
    }
    if let Ok(bytes) = changed.encode() {
        proves_nothing(CHANGED_PROVES_NOTHING, &bytes, "claims changed", report);
    }
}

fn claim(evidence: &mut Evidence, number: usize) -> &mut Option<Blob> {
    match number {
        0 => &mut evidence.keyset,
        1 => &mut evidence.registration,
        2 => &mut evidence.announcement,
        3 => &mut evidence.challenge,
        4 => &mut evidence.statement,
        5 => &mut evidence.observation,
        6 => &mut evidence.receipt,
        _ => &mut evidence.verdict,
    }
}

/// One party signs something else than what was.
fn lie(probe: &Probe, choices: &mut Choices<'_>, report: &mut Report) {
    let lie = LIES[(usize::from(choices.any::<u16>())) % LIES.len()];
    let amount = 1 + u64::from(choices.any::<u16>());
    let Some(evidence) = probe.evidence(&mut |draft, signer| (lie.tell)(draft, signer, amount)) else {
        return;
    };
    let Ok(bytes) = evidence.encode() else { return };
    report.note(|| format!("the lie: {}, by {amount}", lie.name));
    let Some(finding) = proves_nothing(LIES_PROVE_NOTHING, &bytes, lie.name, report) else {
        return;
    };
    if lie.side == Side::Own {
        report.check(BLAME, finding.reason.blame() != Blame::Peer, || {
            format!("{}: {finding}", lie.name)
        });
    }
}

fn proves(probe: &Probe, file: &[u8], report: &mut Report) {
    match recheck(file, &root(), Demands::default()) {
        Err(finding) => report.broken(HONEST_PROVES, finding.to_string()),
        Ok(found) => {
            let proof = found.proof.as_ref();
            let identity = proof.map(attester::verify::Verified::identity);
            let right = identity
                .is_some_and(|identity| identity.address == probe.address && identity.key == key(probe.peer).public())
                && proof.is_some_and(|proof| proof.probes().into_iter().eq([probe.id()]));
            report.check(HONEST_PROVES, right, || format!("it proves {proof:?}"));
        }
    }
}

/// The finding, when there is no proof.
fn proves_nothing(
    property: Property,
    bytes: &[u8],
    how: &str,
    report: &mut Report,
) -> Option<attester::model::Finding> {
    let checked = recheck(bytes, &root(), Demands::default());
    let audited = audit(bytes, &root(), Demands::default(), None, &mut Account::silent());
    let finding = match checked {
        Ok(found) => {
            report.check(property, found.proof.is_none(), || {
                format!("{how}, and still a proof: {:?}", found.proof)
            });
            None
        }
        Err(finding) => {
            report.check(property, true, String::new);
            Some(finding)
        }
    };
    let told = match &audited {
        Err(finding) => Some(finding),
        Ok(audit) => audit.found.as_ref().err(),
    };
    if let Some(finding) = &finding {
        report.check(SAME_STORY, told == Some(finding), || {
            format!("{finding}, but the audit: {told:?}")
        });
    }
    finding
}

fn root() -> Trust {
    Trust::of_root(key(ROOT).public())
}

/// Whose claim is bent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Peer,
    /// The attester, its prober or its origin. Those of their claims that record what the peer did are the peer's side.
    Own,
}

#[derive(Clone, Copy)]
struct Lie {
    name: &'static str,
    side: Side,
    tell: fn(Draft<'_>, &mut u8, u64),
}

macro_rules! lies {
    ($($side:ident $claim:ident $name:literal: |$draft:ident, $signer:pat_param, $amount:pat_param| $body:expr,)+) => {
        &[$(Lie {
            name: concat!(stringify!($claim), ": ", $name),
            side: Side::$side,
            tell: |draft, signer, amount| {
                let ($signer, $amount) = (signer, amount);
                if let Draft::$claim($draft) = draft { $body }
            },
        },)+]
    };
}

/// Each of these must cost the proof, whatever the amount.
const LIES: &[Lie] = lies! {
    Peer Receipt "another nonce": |it, _, n| it.nonce = proto::ids::Nonce::from_bytes(bytes32(it.nonce.as_bytes(), n)),
    Peer Receipt "another probe": |it, _, n| it.probe = other_probe(it.probe, n),
    Peer Receipt "more bytes up": |it, _, n| it.up += n,
    Peer Receipt "other bytes up": |it, _, n| it.up_digest = other(it.up_digest, n),
    Peer Receipt "more bytes down": |it, _, n| it.down += n,
    Peer Receipt "other bytes down": |it, _, n| it.down_digest = other(it.down_digest, n),
    Peer Receipt "another destination": |it, _, _| it.destination = parsed("other.example:80"),
    Peer Receipt "another attester": |it, _, _| it.audience = thumbprint(STRANGER),
    Peer Receipt "another peer's": |it, _, _| { it.issuer = thumbprint(STRANGER); it.subject = it.issuer; },
    Peer Receipt "an overrun": |it, _, _| it.end = FlowEnd::Overrun,
    Peer Receipt "opened too early": |it, _, n| it.opened = it.opened.minus(seconds(11 + n)),
    Peer Receipt "closed too late": |it, _, n| it.closed = it.closed.plus(seconds(11 + n)),
    Peer Receipt "expired": |it, _, n| it.expires = proto::time::Seconds::new(it.issued_at.as_u64().saturating_sub(11 + n)),
    Peer Receipt "another signer": |it, signer, _| { let _ = it; *signer = STRANGER; },
    Peer Statement "another nonce": |it, _, n| it.nonce = proto::ids::Nonce::from_bytes(bytes32(it.nonce.as_bytes(), n)),
    Peer Statement "another probe": |it, _, n| it.probe = other_probe(it.probe, n),
    Peer Statement "another challenge": |it, _, n| it.challenge = other(it.challenge, n),
    Peer Statement "another subject": |it, _, _| it.subject = thumbprint(STRANGER),
    Peer Statement "another audience": |it, _, _| it.audience = thumbprint(STRANGER),
    Peer Statement "another origin": |it, _, _| it.issuer = parsed("other.example:80"),
    Peer Statement "another source": |it, _, _| it.source = Address(parsed("9.9.9.9:1")),
    Peer Statement "another body": |it, _, n| it.body_digest = other(it.body_digest, n),
    Own Statement "a longer body": |it, _, n| it.body_length += n,
    Own Statement "arrived too late": |it, _, n| it.arrived = it.arrived.plus(seconds(26 + n)),
    Own Statement "arrived too early": |it, _, n| it.arrived = it.arrived.minus(seconds(11 + n)),
    Peer Statement "a peer's key": |it, signer, _| { let _ = it; *signer = STRANGER; },
    Peer Statement "the attester's key": |it, signer, _| { let _ = it; *signer = ATTESTER; },
    Peer Observation "another TLS key": |it, _, n| it.pin = Pin::from_bytes(bytes32(it.pin.as_bytes(), n)),
    Peer Observation "fewer bytes": |it, _, n| it.received = it.received.saturating_sub(n),
    Peer Observation "more bytes": |it, _, n| it.received += n,
    Peer Observation "other bytes down": |it, _, n| it.received_digest = other(it.received_digest, n),
    Peer Observation "another body": |it, _, n| it.body_digest = other(it.body_digest, n),
    Peer Observation "a longer body": |it, _, n| it.body += n,
    Peer Observation "another head": |it, _, n| it.head_digest = other(it.head_digest, n),
    Own Observation "another nonce": |it, _, n| it.nonce = proto::ids::Nonce::from_bytes(bytes32(it.nonce.as_bytes(), n)),
    Own Observation "another probe": |it, _, n| it.probe = other_probe(it.probe, n),
    Own Observation "another address": |it, _, _| it.address = Address(parsed("9.9.9.9:443")),
    Own Observation "another request": |it, _, n| it.sent_digest = other(it.sent_digest, n),
    Own Observation "a longer request": |it, _, n| it.sent += n,
    Own Observation "another peer": |it, _, _| it.subject = thumbprint(STRANGER),
    Own Observation "another attester": |it, _, _| it.audience = thumbprint(STRANGER),
    Own Observation "another prober": |it, _, _| it.issuer = thumbprint(STRANGER),
    Own Observation "the origin's key": |it, signer, _| { let _ = it; *signer = ORIGIN; },
    Own Announcement "more up": |it, _, n| it.up += n,
    Own Announcement "more down": |it, _, n| it.down += n,
    Own Announcement "another challenge": |it, _, n| it.challenge = other(it.challenge, n),
    Own Announcement "another destination": |it, _, _| it.destination = parsed("other.example:80"),
    Own Announcement "another probe": |it, _, n| it.probe = other_probe(it.probe, n),
    Own Announcement "another peer": |it, _, _| it.subject = thumbprint(STRANGER),
    Own Announcement "another issuer": |it, _, _| it.issuer = thumbprint(STRANGER),
    Own Announcement "the prober's key": |it, signer, _| { let _ = it; *signer = PROBER; },
    Own Announcement "a window to come": |it, _, n| it.not_before = proto::time::Seconds::new(it.not_before.as_u64() + n),
    Own Challenge "another nonce": |it, _, n| it.nonce = proto::ids::Nonce::from_bytes(bytes32(it.nonce.as_bytes(), n)),
    Own Challenge "another probe": |it, _, n| it.probe = other_probe(it.probe, n),
    Own Challenge "another peer": |it, _, _| it.subject = thumbprint(STRANGER),
    Own Challenge "another origin": |it, _, _| it.audience = parsed("other.example:80"),
    Own Challenge "another body": |it, _, n| it.body_length ^= n,
    Own Challenge "another issuer": |it, _, _| it.issuer = thumbprint(STRANGER),
    Own Challenge "a stranger's key": |it, signer, _| { let _ = it; *signer = STRANGER; },
    Own Registration "another attester": |it, _, _| it.audience = thumbprint(STRANGER),
    Own Registration "another peer's": |it, signer, _| {
        (it.issuer, it.subject) = (thumbprint(STRANGER), thumbprint(STRANGER));
        (it.key, *signer) = (KeyBytes(*key(STRANGER).public().as_bytes()), STRANGER);
    },
    Own Registration "another address": |it, _, _| it.address = Address(parsed("9.9.9.9:443")),
    Peer Registration "another TLS key": |it, _, n| it.pin = Pin::from_bytes(bytes32(it.pin.as_bytes(), n)),
    Own Registration "a stranger's key": |it, signer, _| { let _ = it; *signer = STRANGER; },
    Own Keyset "another root": |it, signer, _| { let _ = it; *signer = STRANGER; },
    Own Keyset "expired": |it, _, n| it.expires = proto::time::Seconds::new(it.not_before.as_u64().saturating_sub(n)),
    Own Keyset "without an attester": |it, _, _| { it.keys.remove(0); },
    Peer Keyset "without an origin": |it, _, _| { it.keys.remove(1); },
    Own Keyset "without a prober": |it, _, _| { it.keys.remove(2); },
    Own Keyset "the attester's key revoked": |it, _, _| it.revoked = vec![revoked(ATTESTER)],
    Peer Keyset "the origin's key revoked": |it, _, _| it.revoked = vec![revoked(ORIGIN)],
    Own Keyset "the prober's key revoked": |it, _, _| it.revoked = vec![revoked(PROBER)],
    Own Verdict "another peer": |it, _, _| it.subject = thumbprint(STRANGER),
    Own Verdict "another probe": |it, _, n| it.probe = other_probe(it.probe, n),
    Own Verdict "another issuer": |it, _, _| it.issuer = thumbprint(STRANGER),
    Own Verdict "without an arrival": |it, _, _| it.receipt_arrived = None,
    Own Verdict "without the receipt": |it, _, _| { it.evidence.remove(&EvidenceKind::Receipt.number()); },
    Own Verdict "another keyset": |it, _, n| {
        let kind = EvidenceKind::Keyset.number();
        if let Some(digest) = it.evidence.get(&kind).copied() {
            it.evidence.insert(kind, other(digest, n));
        }
    },
    Own Verdict "the origin's key": |it, signer, _| { let _ = it; *signer = ORIGIN; },
    Own Verdict "failed": |it, _, _| {
        it.outcome = Outcome::Failed;
        Reason::Truncated.code().clone_into(&mut it.reason);
    },
};

fn revoked(number: u8) -> Revoked {
    Revoked {
        key: Digest::from_bytes(*thumbprint(number).as_bytes()),
        since: proto::time::Seconds::new(0),
    }
}

fn seconds(count: u64) -> std::time::Duration {
    std::time::Duration::from_secs(count)
}

fn other(digest: Digest, amount: u64) -> Digest {
    Digest::from_bytes(bytes32(digest.as_bytes(), amount))
}

/// The same bytes but for the first eight, which differ: the amount is never 0.
fn bytes32(bytes: &[u8; 32], amount: u64) -> [u8; 32] {
    let mut changed = *bytes;
    for (byte, change) in changed.iter_mut().zip(amount.to_be_bytes()) {
        *byte ^= change;
    }
    changed
}

fn other_probe(probe: ProbeId, amount: u64) -> ProbeId {
    let mut changed = *probe.as_bytes();
    for (byte, change) in changed.iter_mut().zip(amount.to_be_bytes()) {
        *byte ^= change;
    }
    ProbeId::from_bytes(changed)
}
