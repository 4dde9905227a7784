//! Evidence checked again, from its bytes and the root key alone (and what a newer keyset revokes): after a restart, or
//! offline by anyone.

use proto::{
    checked::Signed,
    claims::{Keyset, Outcome, Role, Verdict},
    evidence::Evidence,
    ids::Digest,
};

use super::{
    Case, Demands, Trust, Verified,
    account::{Account, Check, Look},
    checks::{chain, own_claim, own_fault, verify_telling},
};
use crate::model::Finding;

/// What a stored or exported evidence file shows.
#[derive(Debug)]
pub struct Recheck {
    /// The attester's signed conclusion. Until `verdict.expires` it stands.
    pub verdict: Verdict,
    /// The proof, made anew from the evidence; `None` when the verdict says that there was none.
    pub proof: Option<Verified>,
}

/// What an evidence file shows to an auditor, who also looks into those that prove nothing.
#[derive(Debug)]
pub struct Audit {
    /// The attester's signed conclusion.
    pub verdict: Verdict,
    /// What the evidence itself shows: a proof, or the first check that does not hold.
    pub found: Result<Verified, Finding>,
}

/// Verifies one probe's evidence again at its recorded times, which the signed verdict carries.
///
/// # Errors
/// When anything about the file is not as it was when it was written:
/// [`EvidenceInvalid`](crate::model::Reason::EvidenceInvalid); when it rests on a key that does not count:
/// [`KeyRevoked`](crate::model::Reason::KeyRevoked); or the check that a claimed proof does not pass.
pub fn recheck(bytes: &[u8], trust: &Trust, demands: Demands) -> Result<Recheck, Finding> {
    let file = File::open(bytes, trust, &mut Account::silent())?;
    let proof = match file.verdict.outcome {
        Outcome::Proved => Some(file.prove(trust, demands, Some(false), &mut Account::silent())?),
        Outcome::Failed | Outcome::Inconclusive => None,
    };
    Ok(Recheck {
        verdict: file.verdict,
        proof,
    })
}

/// The same, with an account of every check, and also for what the verdict does not call proved. `nonce_seen` is whether
/// the attester's store has the nonce in another probe, if somebody has looked.
///
/// # Errors
/// When the file is not what an attester under this root signed. Whether its evidence proves anything is in
/// [`Audit::found`].
pub fn audit(
    bytes: &[u8],
    trust: &Trust,
    demands: Demands,
    nonce_seen: Option<bool>,
    account: &mut Account,
) -> Result<Audit, Finding> {
    let file = File::open(bytes, trust, account)?;
    let found = file.prove(trust, demands, nonce_seen, account);
    Ok(Audit {
        verdict: file.verdict,
        found,
    })
}

/// An evidence file whose verdict was checked.
struct File {
    evidence: Evidence,
    verdict: Verdict,
}

impl File {
    fn open(bytes: &[u8], trust: &Trust, account: &mut Account) -> Result<Self, Finding> {
        let evidence = account.check(Check::File, |look| {
            let evidence = Evidence::decode(bytes).map_err(|error| own_fault(chain(&error)))?;
            look.note("bytes", &(bytes.len() as u64));
            look.note("SHA-256", &Digest::of(bytes));
            Ok(evidence)
        })?;
        let keyset = account.check(Check::Keyset, |look| keyset(&evidence, trust, look))?;
        let verdict = account.check(Check::Verdict, |look| {
            let verdict = verdict(&evidence, &keyset, trust, look)?;
            lists_exactly(&verdict, &evidence, look)?;
            Ok(verdict)
        })?;
        Ok(Self { evidence, verdict })
    }

    /// Makes the proof anew, and checks that it is what the verdict is about.
    fn prove(
        &self,
        trust: &Trust,
        demands: Demands,
        nonce_seen: Option<bool>,
        account: &mut Account,
    ) -> Result<Verified, Finding> {
        let verdict = &self.verdict;
        let receipt_arrived = match verdict.receipt_arrived {
            Some(arrived) => arrived,
            None if verdict.outcome == Outcome::Proved => {
                return Err(own_fault("the verdict does not say when the receipt arrived"));
            }
            // Without a receipt nothing is proved, but the other claims can be looked at: at the time of the verdict.
            None => verdict.issued_at.start(),
        };
        let case = Case {
            trust,
            evidence: &self.evidence,
            receipt_arrived,
            clock_offset: verdict.clock_offset,
            nonce_seen: nonce_seen.unwrap_or(false),
            demands,
        };
        let proof = verify_telling(&case, nonce_seen, account)?;
        account.check(Check::Subject, |look| {
            let probe = proof.probes().into_iter().next();
            let same = look.equal("peer", &verdict.subject, &proof.identity().key.thumbprint())
                & probe.is_some_and(|probe| look.equal("probe", &verdict.probe, &probe));
            if same {
                Ok(())
            } else {
                Err(own_fault("the verdict is about another peer or probe"))
            }
        })?;
        Ok(proof)
    }
}

/// The keyset, signed by the root; its window is looked at when it is used.
fn keyset(evidence: &Evidence, trust: &Trust, look: &mut Look) -> Result<Keyset, Finding> {
    let keyset = evidence
        .keyset
        .as_ref()
        .ok_or_else(|| own_fault("there is no keyset"))?;
    let signed = Signed::<Keyset>::parse(&keyset.0).map_err(own_claim)?;
    look.equal("signed by the root", &signed.key_id(), &trust.root().thumbprint());
    let timely = signed.verify(trust.root()).map_err(own_claim)?;
    Ok(timely.dangerously_at_any_time())
}

/// The verdict, signed by an attester key that was valid when it was signed.
fn verdict(evidence: &Evidence, keyset: &Keyset, trust: &Trust, look: &mut Look) -> Result<Verdict, Finding> {
    let bytes = evidence
        .verdict
        .as_ref()
        .ok_or_else(|| own_fault("there is no verdict"))?;
    let signed = Signed::<Verdict>::parse(&bytes.0).map_err(own_claim)?;
    let at = signed.dangerously_unverified().issued_at.start();
    look.note("signed by", &signed.key_id());
    look.note("role", Role::Attester.as_str());
    let key = trust
        .key(keyset, Role::Attester, signed.key_id(), at)
        .map_err(own_claim)?;
    let verdict = signed.verify(&key).map_err(own_claim)?.dangerously_at_any_time();
    look.window(&verdict);
    look.note("outcome", verdict.outcome.as_str());
    look.note("standing", verdict.standing.as_str());
    if look.equal("issuer", &verdict.issuer, &key.thumbprint()) {
        Ok(verdict)
    } else {
        Err(own_fault("the verdict names another attester"))
    }
}

/// Whether the verdict rests on exactly the claims that are there.
fn lists_exactly(verdict: &Verdict, evidence: &Evidence, look: &mut Look) -> Result<(), Finding> {
    let (listed, there) = (&verdict.evidence, evidence.digests());
    let mut same = look.equal("claims listed", &(listed.len() as u64), &(there.len() as u64));
    for kind in proto::claims::EvidenceKind::ALL {
        same &= match (listed.get(&kind.number()), there.get(&kind.number())) {
            (None, None) => true,
            (Some(listed), Some(there)) => look.equal(kind.as_str(), there, listed),
            (Some(_), None) | (None, Some(_)) => {
                look.note("not in both", kind.as_str());
                false
            }
        };
    }
    if same {
        Ok(())
    } else {
        Err(own_fault("the verdict rests on other claims than these"))
    }
}
