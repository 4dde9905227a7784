//! What to make of an evidence file: it verifies, it is authentic but proves nothing, or it does not verify.

use proto::{
    claims::{Outcome, Verdict},
    ids::Digest,
};

use super::{
    NOT_PROVED, NOT_VERIFIED,
    revocations::{Newest, Revocations},
};
use crate::{
    model::{Finding, Reason},
    verify::{
        Demands, Verified,
        account::{Account, Check, Line},
        audit,
    },
};

/// What files are measured by.
pub(super) struct Terms {
    pub(super) newest: Newest,
    pub(super) demands: Demands,
    /// The beginning of the thumbprint of the peer that they must be about.
    pub(super) peer: Option<String>,
}

/// A judged file.
pub(super) struct Judged {
    pub(super) bytes: usize,
    pub(super) digest: Digest,
    pub(super) lines: Vec<Line>,
    pub(super) revocations: Revocations,
    pub(super) judgement: Judgement,
}

/// What became of it.
pub(super) enum Judgement {
    /// It verifies and says proved.
    Proved(Box<Verdict>, Box<Verified>),
    /// The attester signed it, and it does not say proved. With what the evidence itself shows.
    Authentic(Box<Verdict>, String),
    /// It does not verify.
    Invalid(Option<Check>, Finding),
}

impl Judged {
    /// The exit code that it alone would give.
    pub(super) const fn code(&self) -> u8 {
        match self.judgement {
            Judgement::Proved(..) => 0,
            Judgement::Authentic(..) => NOT_PROVED,
            Judgement::Invalid(..) => NOT_VERIFIED,
        }
    }

    /// The verdict, when the attester signed it.
    pub(super) fn verdict(&self) -> Option<&Verdict> {
        match &self.judgement {
            Judgement::Proved(verdict, _) | Judgement::Authentic(verdict, _) => Some(verdict),
            Judgement::Invalid(..) => None,
        }
    }

    /// The proof, when there is one.
    pub(super) const fn proof(&self) -> Option<&Verified> {
        match &self.judgement {
            Judgement::Proved(_, proof) => Some(proof),
            _ => None,
        }
    }
}

/// Judges a file. `nonce_seen` is what the attester's store says, if somebody asked it.
pub(super) fn judge(bytes: &[u8], terms: &Terms, nonce_seen: Option<bool>) -> Judged {
    let mut account = Account::full();
    let audited = audit(bytes, terms.newest.trust(), terms.demands, nonce_seen, &mut account);
    let failed = account.failed().map(|(check, _)| check);
    let is_other = |verdict: &Verdict| {
        let subject = verdict.subject.to_string();
        terms.peer.as_ref().is_some_and(|peer| !subject.starts_with(peer))
    };
    let judgement = match audited {
        Err(finding) => Judgement::Invalid(failed, finding),
        Ok(audit) if is_other(&audit.verdict) => {
            let about = format!("it is about another peer: {}", audit.verdict.subject.peer_id());
            Judgement::Invalid(None, Finding::new(Reason::EvidenceInvalid, about))
        }
        Ok(audit) => match (audit.verdict.outcome, audit.found) {
            (Outcome::Proved, Ok(proof)) => Judgement::Proved(Box::new(audit.verdict), Box::new(proof)),
            (Outcome::Proved, Err(finding)) => Judgement::Invalid(failed, finding),
            (Outcome::Failed | Outcome::Inconclusive, found) => {
                let shown = agreement(&audit.verdict, found.err().as_ref(), &account);
                Judgement::Authentic(Box::new(audit.verdict), shown)
            }
        },
    };
    Judged {
        bytes: bytes.len(),
        digest: Digest::of(bytes),
        lines: account.lines(),
        revocations: terms.newest.about(bytes),
        judgement,
    }
}

/// Whether the evidence itself shows the reason that a verdict gives.
fn agreement(verdict: &Verdict, finding: Option<&Finding>, account: &Account) -> String {
    let signed = &verdict.reason;
    let word = format!("that the reason is {signed} is the attester's word");
    let Some(finding) = finding else {
        return format!("every check of the evidence holds; {word}");
    };
    let check = account.failed().map_or("a check", |(check, _)| check.name());
    if finding.reason.code() == signed {
        return format!("the evidence shows it: {check} is the first check that does not hold, for this reason");
    }
    match account.missing() {
        Some(kind) => format!("the evidence ends before the {kind}, which the probe did not come to; {word}"),
        None => format!(
            "the first check that does not hold is {check} ({}), which is not the verdict's reason; {word}",
            finding.reason
        ),
    }
}
