//! The origin's word for an answer (V2): for evidence, for a control probe and for a probe without an agent alike.

use std::time::Duration;

use proto::{
    ClaimError,
    checked::Signed,
    claims::{Challenge, Keyset, Role, Statement},
    ids::Digest,
    key::PublicKey,
    probe,
    time::Timestamp,
};

use super::{account::Look, checks::chain};
use crate::model::{Finding, Reason};

/// An answer as the prober saw it, and the challenge that it must answer.
#[derive(Clone, Copy, Debug)]
pub struct Answered<'a> {
    /// The signed statement in it.
    pub statement: &'a [u8],
    /// What was asked.
    pub challenge: &'a Challenge,
    /// Digest of the signed challenge.
    pub challenge_digest: Digest,
    /// Bytes of the body.
    pub body: u64,
    /// Their digest.
    pub body_digest: Digest,
    /// Digest of the head.
    pub head_digest: Digest,
    /// When it was there.
    pub at: Timestamp,
    /// How far the origin's clock may be off.
    pub tolerance: Duration,
}

impl Answered<'_> {
    /// The statement, if an origin of `keyset` made it about this challenge, and head and body are what it sent.
    ///
    /// # Errors
    /// What is wrong, as V2 says it.
    pub fn statement(&self, keyset: &Keyset) -> Result<Statement, Finding> {
        let key = |signed: &Signed<Statement>, _: &mut Look| {
            keyset.key(Role::Origin, signed.key_id(), self.at).map_err(invalid)
        };
        self.examined(key, &mut Look::default())
    }

    /// The same with a key that is found otherwise, and told.
    pub(super) fn examined(
        &self,
        key: impl FnOnce(&Signed<Statement>, &mut Look) -> Result<PublicKey, Finding>,
        look: &mut Look,
    ) -> Result<Statement, Finding> {
        let signed = Signed::<Statement>::parse(self.statement).map_err(invalid)?;
        let key = key(&signed, look)?;
        let statement = signed
            .verify(&key)
            .map_err(invalid)?
            .at(self.at, self.tolerance)
            .map_err(|error| Finding::new(Reason::StatementReplayed, error.to_string()))?;
        look.window(&statement);
        let challenge = self.challenge;
        let this_probe = look.equal("nonce", &statement.nonce, &challenge.nonce)
            & look.equal("probe", &statement.probe, &challenge.probe)
            & look.equal("subject", &statement.subject, &challenge.subject)
            & look.equal("audience", &statement.audience, &challenge.issuer)
            & look.equal("challenge", &statement.challenge, &self.challenge_digest)
            & look.equal("issuer", &statement.issuer, &challenge.audience);
        if !this_probe {
            return Err(Reason::StatementReplayed.into());
        }
        if !look.equal("body length", &statement.body_length, &challenge.body_length) {
            return Err(Finding::new(
                Reason::OriginFailed,
                "the origin answered with a body of another length",
            ));
        }
        if !look.equal("body length received", &self.body, &statement.body_length)
            | !look.equal("body SHA-256", &self.body_digest, &statement.body_digest)
        {
            return Err(Reason::BodyAltered.into());
        }
        // The statement cannot sign the head that it stands in; but there is only one head that it may stand in.
        let head = probe::answer_head(self.statement, statement.body_length).map(|head| Digest::of(&head));
        if head.is_none_or(|head| !look.equal("head SHA-256", &self.head_digest, &head)) {
            return Err(Finding::new(Reason::HeadAltered, "another head than the destination's"));
        }
        Ok(statement)
    }
}

/// As a statement that is none.
pub(super) fn invalid(error: ClaimError) -> Finding {
    Finding::new(Reason::StatementInvalid, chain(&error))
}
