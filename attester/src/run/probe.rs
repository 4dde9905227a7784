//! One probe of one peer, from the announcement to the verifier's answer. Runs beside the loop and decides nothing.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use proto::{
    ClaimError,
    checked::sign,
    claims::{Announcement, Challenge, Observation, Path, Phase},
    evidence::{Blob, Evidence},
    ids::{Address, Digest, Nonce, PeerId, ProbeId, Thumbprint},
    time::{Seconds, Timestamp},
};
use rand::rngs::StdRng;
use tokio::time::Instant;

use super::{
    Kit,
    question::{Control, Question, explained, unwell},
};
use crate::{
    flashlight::{End, Exchange, Job, Stopwatch, Target, answer::Answer, same_name},
    keys::Keys,
    model::{Blame, Finding, Identity, PhaseTimes, Reason, Route},
    records::Name,
    session::{SessionHandle, Ticket},
    verify::{Case, Trust, Verified, verify},
};

/// What a probe needs to know of its peer.
pub(super) struct Errand {
    pub(super) identity: Identity,
    pub(super) own_name: Name,
    pub(super) registration: Vec<u8>,
    pub(super) clock_offset: i64,
    pub(super) connect_token: Option<String>,
    pub(super) session: Option<SessionHandle>,
    pub(super) route: Route,
    pub(super) body: u64,
    /// Whether its handshake must be a full one.
    pub(super) fresh: bool,
    pub(super) rng: StdRng,
}

/// What a probe brought back.
pub(super) struct Probed {
    pub(super) peer: PeerId,
    pub(super) probe: ProbeId,
    pub(super) nonce: Nonce,
    pub(super) at: Timestamp,
    pub(super) route: Route,
    pub(super) body: u64,
    /// Whether its handshake was a resumed one.
    pub(super) resumed: bool,
    pub(super) phases: PhaseTimes,
    pub(super) evidence: Evidence,
    pub(super) receipt_arrived: Option<Timestamp>,
    pub(super) clock_offset: i64,
    /// The keys that the probe was asked with.
    pub(super) asked_with: Arc<Keys>,
    /// The keys that it was checked with: the newest keyset lists every key that had a part in it.
    pub(super) checked_with: Arc<Keys>,
    /// What a control probe showed, if one was made.
    pub(super) origin_well: Option<bool>,
    pub(super) result: Result<Verified, Finding>,
}

/// Probes one peer.
pub(super) async fn run(kit: &Kit, mut errand: Errand) -> Probed {
    let at = kit.clock.now();
    let (probe, nonce) = (ProbeId::random(&mut errand.rng), Nonce::random(&mut errand.rng));
    let subject = errand.identity.key.thumbprint();
    let keys = kit.keys();
    let mut trial = Trial {
        watch: Stopwatch::start(),
        keys: Arc::clone(&keys),
        evidence: Evidence {
            keyset: Some(Blob(keys.keyset_bytes.clone())),
            registration: Some(Blob(errand.registration.clone())),
            ..Evidence::EMPTY
        },
        receipt_arrived: None,
        resumed: false,
        started: at,
    };
    let mut result = match challenge(kit, &keys, subject, probe, nonce, errand.body, at) {
        Ok(challenge) => trial.carry(kit, &mut errand, &challenge).await,
        Err(error) => Err(Finding::new(Reason::AttesterFailed, error.to_string())),
    };
    let mut origin_well = None;
    if let Err(finding) = &result
        && finding.reason.blame() == Blame::Peer
    {
        let control = control(kit, &mut errand.rng).await;
        origin_well = Some(control.is_ok());
        if let Err(trouble) = control {
            // P4: what fails while the attester itself is unwell is not held against anybody.
            let detail = format!("{}; the probe had said {}", trouble.detail(), finding.reason);
            result = Err(Finding::new(trouble.reason, detail));
        }
    }
    Probed {
        peer: errand.identity.id(),
        probe,
        nonce,
        at,
        route: errand.route,
        body: errand.body,
        resumed: trial.resumed,
        phases: trial.watch.times().clone(),
        evidence: trial.evidence,
        receipt_arrived: trial.receipt_arrived,
        clock_offset: errand.clock_offset,
        asked_with: keys,
        checked_with: trial.keys,
        origin_well,
        result,
    }
}

/// What one probe gathers.
struct Trial {
    watch: Stopwatch,
    keys: Arc<Keys>,
    evidence: Evidence,
    receipt_arrived: Option<Timestamp>,
    resumed: bool,
    started: Timestamp,
}

impl Trial {
    async fn carry(&mut self, kit: &Kit, errand: &mut Errand, question: &Question) -> Result<Verified, Finding> {
        let job = question.job(errand.route.protocol);
        self.evidence.challenge = Some(Blob(question.bytes.clone()));
        let ticket = self.announce(errand, question, &job).await?;
        // The announcement's way is not the client's: the phases begin here.
        self.watch = Stopwatch::start();
        self.started = kit.clock.now();
        let target = self.find(kit, errand).await?;
        let mut exchange = kit
            .prober
            .exchange(&target, &job, self.watch.clone(), &mut errand.rng)
            .await;
        self.watch = exchange.watch.clone();
        self.resumed = exchange.resumed;
        let failure = exchange.failure.take().or_else(|| misnamed(kit, errand, &exchange));
        let result = self.weigh(kit, errand, question, &exchange, failure, ticket).await;
        let result = result.map_err(|finding| match errand.route.path {
            Path::Direct => finding,
            Path::Fronted => behind_edge(finding),
        });
        // What broke off is signed as well, as far as it came, for whoever looks into the failure later. Without a finished
        // handshake there is no key to name.
        let reached = self.watch.times().0.contains_key(&Phase::Tls);
        if result.is_err() && self.evidence.observation.is_none() && reached {
            let signed = self.observe(kit, errand, question, &exchange);
            signed.unwrap_or_else(|finding| tracing::warn!(%finding, "a failed probe's observation cannot be signed"));
        }
        result
    }

    /// What an exchange shows together with the origin's statement and the peer's receipt.
    async fn weigh(
        &mut self,
        kit: &Kit,
        errand: &Errand,
        question: &Question,
        exchange: &Exchange,
        failure: Option<Finding>,
        ticket: Option<Ticket>,
    ) -> Result<Verified, Finding> {
        if let Some(finding) = failure {
            let arrived = kit.arrivals.redeemed(&question.claim.nonce).is_some();
            return Err(explained(finding, arrived, exchange));
        }
        let answered_by_itself = Answer::of(&exchange.received).statement.is_err();
        if answered_by_itself && kit.arrivals.redeemed(&question.claim.nonce).is_none() {
            return Err(Finding::new(
                Reason::NotForwarded,
                "the answer is not the destination's",
            ));
        }
        let Some(ticket) = ticket else {
            return Err(Finding::new(
                Reason::NoSession,
                "it still carries traffic, but nobody can sign for it",
            ));
        };
        let (receipt, arrived) = ticket.receipt(Instant::now() + kit.policy.receipt_within).await?;
        self.watch.note(Phase::Receipt);
        self.evidence.receipt = Some(Blob(receipt));
        self.receipt_arrived = Some(arrived);
        self.observe(kit, errand, question, exchange)?;
        let nonce_seen = kit
            .store
            .nonce_seen(&question.claim.nonce)
            .await
            .map_err(|error| Finding::new(Reason::AttesterFailed, error.to_string()))?;
        // Keys may have been rotated meanwhile: the origin's statement can be by a key that only the newer keyset lists.
        self.keys = kit.keys();
        self.evidence.keyset = Some(Blob(self.keys.keyset_bytes.clone()));
        let revoked = self.keys.keyset.revoked.clone();
        verify(&Case {
            trust: &Trust::with_revoked(self.keys.root_public, revoked),
            evidence: &self.evidence,
            receipt_arrived: arrived,
            clock_offset: errand.clock_offset,
            nonce_seen,
            demands: kit.policy.demands,
        })
    }

    /// Tells the agent, when there is one. Without a session the probe can only count against the peer (P3).
    async fn announce(&mut self, errand: &Errand, question: &Question, job: &Job) -> Result<Option<Ticket>, Finding> {
        let Some(session) = &errand.session else {
            return Ok(None);
        };
        let claim = &question.claim;
        let announcement = Announcement {
            issuer: claim.issuer,
            subject: claim.subject,
            expires: claim.expires,
            not_before: claim.not_before,
            issued_at: claim.issued_at,
            probe: claim.probe,
            destination: claim.audience.clone(),
            challenge: Digest::of(&question.bytes),
            up: job.request.len() as u64,
            down: job.expected_down,
        };
        let bytes = sign(&announcement, &self.keys.attester).map_err(own_claim)?;
        self.evidence.announcement = Some(Blob(bytes.clone()));
        let mut ticket = session.announce(claim.probe, bytes)?;
        ticket.acked(Instant::now() + ACK_WITHIN).await?;
        Ok(Some(ticket))
    }

    /// The peer's address, by its own name, as a client finds it.
    async fn resolve(&mut self, kit: &Kit, errand: &Errand) -> Result<SocketAddr, Finding> {
        let registered = errand.identity.address;
        let addresses = kit
            .resolver
            .addresses_like(&errand.own_name, registered.ip())
            .await
            .map_err(|error| Finding::new(Reason::ResolveFailed, error.to_string()))?;
        if !addresses.contains(&registered.ip()) {
            return Err(Finding::new(
                Reason::ResolveFailed,
                format!("{} does not show the peer", errand.own_name),
            ));
        }
        Ok(registered)
    }

    /// Whom to dial: the peer, or the edge in front of it, which finds it by the same name.
    async fn find(&mut self, kit: &Kit, errand: &Errand) -> Result<Target, Finding> {
        let registered = self.resolve(kit, errand).await?;
        let direct = Target {
            connect_token: errand.connect_token.clone(),
            host: Some(errand.own_name.to_string()),
            fresh: errand.fresh,
            ..Target::pinned(registered, errand.identity.pin)
        };
        let target = match (errand.route.path, &kit.front) {
            (Path::Direct, _) => direct,
            (Path::Fronted, Some(front)) => Target {
                address: front.address(kit.prober.source()).await?,
                end: End::Edge(front.edge.clone()),
                connect_token: None,
                ..direct
            },
            (Path::Fronted, None) => return Err(Finding::new(Reason::AttesterFailed, "no edge is known")),
        };
        self.watch.note(Phase::Resolve);
        Ok(target)
    }

    /// Signs what the prober saw, and takes the origin's statement out of the answer.
    fn observe(&mut self, kit: &Kit, errand: &Errand, question: &Question, exchange: &Exchange) -> Result<(), Finding> {
        let answer = Answer::of(&exchange.received);
        let pin = exchange
            .pin
            .ok_or_else(|| Finding::new(Reason::AttesterFailed, "an exchange without a TLS key"))?;
        let now = kit.clock.now().seconds();
        let observation = Observation {
            issuer: self.keys.prober.public().thumbprint(),
            subject: question.claim.subject,
            audience: question.claim.issuer,
            expires: Seconds::new(now.as_u64() + OBSERVATION_LASTS),
            issued_at: now,
            probe: question.claim.probe,
            nonce: question.claim.nonce,
            path: errand.route.path,
            protocol: errand.route.protocol,
            address: Address(exchange.address),
            pin,
            sent: exchange.sent,
            sent_digest: exchange.sent_digest,
            received: exchange.received.len() as u64,
            received_digest: exchange.received_digest,
            body: answer.body_length,
            body_digest: answer.body_digest,
            started: self.started,
            phases: self.watch.times().numbered(),
            head_digest: answer.head_digest,
        };
        self.evidence.observation = Some(Blob(sign(&observation, &self.keys.prober).map_err(own_claim)?));
        // A missing statement is the verifier's to name, after V0 and V1.
        self.evidence.statement = answer
            .statement
            .ok()
            .filter(|bytes| bytes.len() <= proto::cbor::MAX_BYTES)
            .map(Blob);
        Ok(())
    }
}

/// What a failed probe through an edge says of the peer: almost always nothing. Whoever holds the edge may refuse, cut, delay, alter,
/// repeat and answer by itself; it reads the challenge, can dial the origin with it, and can use the peer as any client can. So it can
/// bring about each of these with an honest peer behind it:
///
/// * whatever ends an exchange before its last byte, and the throughput (V7) and lateness (V5) of one that went through;
/// * no statement, another one, another head or body (V2), by writing what it likes;
/// * a missing receipt, by fetching the answer itself, or through the peer under another name of the origin (its address), for which
///   no tap is armed. Even traffic that left from the peer's own address shows no more than that;
/// * a receipt of other bytes (V3), by the same, and letting the peer carry the challenge second, to which the origin says no.
///
/// What is left is the peer's own, by whichever way its clients come. Receipts do not pass the edge: the agent makes and sends them
/// in its own session, and names in them what was announced there and the nonce of the very challenge whose digest was; so
/// another signature or another probe, nonce or destination (V1) is the agent's. And V4 is looked at only after V3: the peer has
/// signed that the bytes which the prober holds came to it from the announced destination. The origin gives them once, to one
/// connection, so that was the peer's, and from where it left is the peer's affair: to give it the bytes of another one, somebody
/// must sit between the peer and the origin, who could do the same to the direct route.
///
/// The rest is held against nobody. A peer that fails so on purpose, and only for clients of the edge, gets no proof through it; its direct
/// route has just been proven, and is proven again before the edge is asked again.
fn behind_edge(finding: Finding) -> Finding {
    let seen = match (finding.reason.blame(), finding.reason) {
        (Blame::Attester | Blame::Unknown, _)
        | (_, Reason::ReceiptSignature | Reason::ReceiptMismatch | Reason::Egress) => return finding,
        // Without the remedy: it is for a peer's owner, and would leave no room for what was seen.
        (Blame::Peer, reason) if finding.detail().is_empty() => reason.to_string(),
        (Blame::Peer, reason) => format!("{reason}: {}", finding.detail()),
    };
    Finding::new(Reason::Edge, seen)
}

/// Whether a peer that is to be reached through an edge gave itself another name than its own, to which the edge would send its
/// clients. On the direct route, where nobody but the peer can have said it.
fn misnamed(kit: &Kit, errand: &Errand, exchange: &Exchange) -> Option<Finding> {
    let reached = kit.policy.rules.fronted_route(&errand.identity).is_some();
    let told = exchange.proxy_host.as_deref();
    let other = told.filter(|_| reached && errand.route.path == Path::Direct)?;
    let own = errand.own_name.to_string();
    (!same_name(other, &own)).then(|| Finding::new(Reason::ProxyHost, format!("it calls itself {other}, not {own}")))
}

/// The control probe. Its success says that origin, network and clock of the attester are well.
async fn control(kit: &Kit, rng: &mut StdRng) -> Result<(), Finding> {
    let keys = kit.keys();
    let subject = keys.prober.public().thumbprint();
    let (probe, nonce) = (ProbeId::random(rng), Nonce::random(rng));
    let body = kit.policy.pace.liveness_body;
    let question = challenge(kit, &keys, subject, probe, nonce, body, kit.clock.now());
    let question = question.map_err(|error| unwell(&error.to_string()))?;
    let way = Control {
        prober: &kit.prober,
        address: kit.control,
    };
    let answer = way.answer(&question).await?;
    // Keys may have been rotated meanwhile.
    let keys = kit.keys();
    question
        .statement(
            &answer,
            &keys.keyset,
            kit.clock.now(),
            kit.policy.demands.clock_tolerance,
        )
        .map(|_| ())
        .map_err(|trouble| unwell(&trouble.to_string()))
}

fn challenge(
    kit: &Kit,
    keys: &Keys,
    subject: Thumbprint,
    probe: ProbeId,
    nonce: Nonce,
    body_length: u64,
    now: Timestamp,
) -> Result<Question, ClaimError> {
    let issued_at = now.seconds();
    let window = ACK_WITHIN + kit.policy.probe_total + kit.policy.receipt_within + MARGIN;
    let claim = Challenge {
        issuer: keys.attester.public().thumbprint(),
        subject,
        audience: kit.destination.clone(),
        expires: now.plus(window).seconds(),
        not_before: issued_at,
        issued_at,
        probe,
        nonce,
        body_length,
    };
    Question::sign(claim, &keys.attester)
}

fn own_claim(error: ClaimError) -> Finding {
    Finding::new(Reason::AttesterFailed, error.to_string())
}

/// How long an agent may take to acknowledge an announcement.
const ACK_WITHIN: Duration = Duration::from_secs(3);
/// Windows are whole seconds; a probe that uses up all its limits must still end inside.
const MARGIN: Duration = Duration::from_secs(2);
const OBSERVATION_LASTS: u64 = 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_takes_the_blame_for_all_that_it_could_do() {
        let own = [Reason::ReceiptSignature, Reason::ReceiptMismatch, Reason::Egress];
        for reason in Reason::ALL {
            let kept = reason.blame() != Blame::Peer || own.contains(reason);
            let found = behind_edge(Finding::new(*reason, "seen"));
            let (expected, told) = match kept {
                true => (*reason, "seen".to_owned()),
                false => (Reason::Edge, format!("{reason}: seen")),
            };
            assert_eq!((found.reason, found.detail()), (expected, told.as_str()));
        }
        assert_eq!(behind_edge(Reason::Goodput.into()).detail(), "goodput");
    }
}
