//! Evidence checked again, from its bytes and the root key alone: after a restart, or offline by anyone.

use proto::{
    checked::Signed,
    claims::{Outcome, Role, Verdict},
    evidence::Evidence,
    key::PublicKey,
};

use super::{Case, Demands, Verified, verify};
use crate::model::{Finding, Reason};

/// What a stored or exported evidence file shows.
#[derive(Debug)]
pub struct Recheck {
    /// The attester's signed conclusion. Until `verdict.expires` it stands.
    pub verdict: Verdict,
    /// The proof, made anew from the evidence; `None` when the verdict says that there was none.
    pub proof: Option<Verified>,
}

/// Verifies one probe's evidence again at its recorded times, which the signed verdict carries.
///
/// # Errors
/// When anything about the file is not as it was when it was written: [`Reason::EvidenceInvalid`], or the check that a
/// claimed proof does not pass.
pub fn recheck(bytes: &[u8], root: &PublicKey, demands: Demands) -> Result<Recheck, Finding> {
    let invalid = |detail: String| Finding::new(Reason::EvidenceInvalid, detail);
    let evidence = Evidence::decode(bytes).map_err(|error| invalid(error.to_string()))?;
    let verdict = verdict(&evidence, root).map_err(&invalid)?;
    if verdict.evidence != evidence.digests() {
        return Err(invalid("the verdict rests on other claims than these".to_owned()));
    }
    if verdict.outcome != Outcome::Proved {
        return Ok(Recheck { verdict, proof: None });
    }
    let Some(receipt_arrived) = verdict.receipt_arrived else {
        return Err(invalid("the verdict does not say when the receipt arrived".to_owned()));
    };
    let case = Case {
        root,
        evidence: &evidence,
        receipt_arrived,
        clock_offset: verdict.clock_offset,
        nonce_seen: false,
        demands,
    };
    let proof = verify(&case)?;
    let probe = proof.probes().into_iter().next();
    if verdict.subject != proof.identity().key.thumbprint() || probe != Some(verdict.probe) {
        return Err(invalid("the verdict is about another peer or probe".to_owned()));
    }
    Ok(Recheck {
        verdict,
        proof: Some(proof),
    })
}

/// The verdict, signed by an attester key that was valid when it was signed.
fn verdict(evidence: &Evidence, root: &PublicKey) -> Result<Verdict, String> {
    let bytes = evidence.verdict.as_ref().ok_or("there is no verdict")?;
    let keyset = evidence.keyset.as_ref().ok_or("there is no keyset")?;
    let keyset = Signed::<proto::claims::Keyset>::parse(&keyset.0)
        .and_then(|signed| signed.verify(root))
        .map_err(|error| error.to_string())?
        .dangerously_at_any_time();
    let signed = Signed::<Verdict>::parse(&bytes.0).map_err(|error| error.to_string())?;
    let at = signed.dangerously_unverified().issued_at.start();
    let key = keyset
        .key(Role::Attester, signed.key_id(), at)
        .map_err(|error| error.to_string())?;
    let verdict = signed
        .verify(&key)
        .map_err(|error| error.to_string())?
        .dangerously_at_any_time();
    if verdict.issuer == key.thumbprint() {
        Ok(verdict)
    } else {
        Err("the verdict names another attester".to_owned())
    }
}
