//! What a probe asks, and what an answer to it is worth: the same for a probe of the service, for its control probe and for one
//! from the command line.

use std::{net::SocketAddr, time::Duration};

use proto::{
    ClaimError,
    checked::sign,
    claims::{Challenge, Keyset, Protocol, Statement},
    ids::{Destination, Digest},
    key::SigningKey,
    probe,
    time::Timestamp,
};

use crate::{
    flashlight::{Exchange, Job, Prober, Stopwatch, answer::Answer},
    model::{Finding, Reason},
    verify::Answered,
};

/// A challenge as it is sent, and what was agreed about it.
pub(super) struct Question {
    pub(super) claim: Challenge,
    pub(super) bytes: Vec<u8>,
}

impl Question {
    /// Signs a challenge with an attester's key.
    pub(super) fn sign(claim: Challenge, key: &SigningKey) -> Result<Self, ClaimError> {
        let bytes = sign(&claim, key)?;
        Ok(Self { claim, bytes })
    }

    /// The request that carries it, to be sent through a tunnel of this protocol.
    pub(super) fn job(&self, protocol: Protocol) -> Job {
        let destination = &self.claim.audience;
        Job {
            protocol,
            destination: destination.clone(),
            request: probe::request(&self.bytes, destination),
            expected_down: probe::ORIGIN_HEAD as u64 + self.claim.body_length,
        }
    }

    /// The origin's statement in an answer that came back whole, with head and body as the origin sent them.
    pub(super) fn statement(
        &self,
        answer: &Answer,
        keyset: &Keyset,
        at: Timestamp,
        tolerance: Duration,
    ) -> Result<Statement, Finding> {
        let statement = answer.statement.as_deref();
        let statement = statement.map_err(|why| Finding::new(Reason::StatementInvalid, why.to_string()))?;
        let answered = Answered {
            statement,
            challenge: &self.claim,
            challenge_digest: Digest::of(&self.bytes),
            body: answer.body_length,
            body_digest: answer.body_digest,
            head_digest: answer.head_digest,
            at,
            tolerance,
        };
        answered.statement(keyset)
    }
}

/// The control probe's way: the same client without a tunnel, from the same address.
pub(super) struct Control<'a> {
    pub(super) prober: &'a Prober,
    /// Where it goes; where the destination resolves to, as peers' traffic does, when `None`: whatever breaks on that way
    /// breaks the control probe too.
    pub(super) address: Option<SocketAddr>,
}

impl Control<'_> {
    /// What comes back for a question.
    pub(super) async fn answer(&self, question: &Question) -> Result<Answer, Finding> {
        let job = question.job(Protocol::Connect);
        let carried = async {
            let address = self.address_of(&job.destination).await?;
            Ok(self.prober.direct(address, &job, Stopwatch::start()).await)
        };
        let exchange = tokio::time::timeout(CONTROL_WITHIN, carried)
            .await
            .map_err(|_| unwell("the origin did not answer within 2 s"))?
            .map_err(|trouble: String| unwell(&trouble))?;
        match exchange.failure {
            Some(finding) => Err(unwell(&finding.to_string())),
            None => Ok(Answer::of(&exchange.received)),
        }
    }

    async fn address_of(&self, destination: &Destination) -> Result<SocketAddr, String> {
        if let Some(address) = self.address {
            return Ok(address);
        }
        let mut found = tokio::net::lookup_host(destination.as_str())
            .await
            .map_err(|error| format!("{destination}: {error}"))?;
        found.next().ok_or_else(|| format!("{destination} has no address"))
    }
}

/// As a control probe that did not succeed.
pub(super) fn unwell(trouble: &str) -> Finding {
    Finding::new(Reason::ControlFailed, trouble)
}

/// A failed exchange said more clearly: did the request reach its destination at all?
pub(super) fn explained(finding: Finding, arrived: bool, exchange: &Exchange) -> Finding {
    match finding.reason {
        Reason::Truncated | Reason::Overlong | Reason::CompleteTimeout if !arrived && exchange.sent > 0 => {
            Finding::new(
                Reason::NotForwarded,
                format!("{} bytes came back", exchange.received.len()),
            )
        }
        // What is no enproxy server, such as a web server that has a page for everything, knows of no tunnel at all.
        Reason::TunnelLost if !arrived && exchange.sent > 0 => Finding::new(Reason::NotForwarded, finding.detail()),
        _ => finding,
    }
}

/// A failure counts only when a control probe succeeded this shortly before the verdict (DESIGN 10).
const CONTROL_WITHIN: Duration = Duration::from_secs(2);
