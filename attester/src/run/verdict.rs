//! A probe's report becomes a decision: life, store, zone, verdict, in that order, so that nothing is shown or said that a
//! crash could take back (P5).

use proto::{
    checked::sign,
    claims::{Outcome, Path, Phase, Verdict},
    evidence::{Blob, Evidence},
    ids::{PeerId, ProbeId, Thumbprint},
    time::Timestamp,
};

use super::{Core, grounds::Ground, member::Member, probe::Probed};
use crate::{
    decide::{Event, Life},
    model::{Blame, Finding, Reason},
    store::{ProbeRow, StoreError},
};

impl Core {
    /// Concludes a probe.
    pub(super) async fn conclude(&mut self, probed: Probed) {
        let now = self.kit.clock.now();
        let probed = self.unless_revoked(probed);
        let id = probed.peer.clone();
        // A proof came from the origin too; without this the origin would stay unwell after one control probe that failed, until the next failure.
        let proved = probed.result.is_ok().then_some(true);
        self.origin_well = probed.origin_well.or(proved).unwrap_or(self.origin_well);
        let Some(mut member) = self.members.remove(&id) else {
            return;
        };
        member.busy = None;
        member.probed = now;
        if probed.receipt_arrived.is_some() {
            member.last_seen = now;
        }
        let before = member.admitted && member.life.membership(now).is_some();
        let (outcome, finding) = outcome_of(&probed);
        let resumed = probed.resumed;
        // As the life sees it: what renews a lease is worth nothing when that has ended meanwhile.
        let counts = !resumed || member.life.membership(now).is_some();
        let proof = probed.result.as_ref().ok().filter(|_| counts);
        let ground = proof.map(|proof| Ground::of(probed.probe, proof));
        let metrics = &self.kit.metrics;
        if let Some(reached) = probed.origin_well {
            metrics.control_probe(reached);
        }
        metrics.probe(
            probed.route,
            outcome,
            finding.as_ref().map(|finding| finding.reason),
            &probed.phases,
        );
        if probed.phases.0.contains_key(&Phase::Tls) {
            metrics.probe_handshake(resumed);
        }
        let Probed {
            probe,
            nonce,
            at,
            route,
            body,
            phases,
            mut evidence,
            receipt_arrived,
            clock_offset,
            checked_with: keys,
            result,
            ..
        } = probed;
        let event = match result {
            Ok(proof) if resumed => Event::Renewed(Box::new(proof)),
            Ok(proof) => Event::Proved(Box::new(proof)),
            Err(finding) if outcome == Outcome::Failed => match route.path {
                Path::Direct => Event::Failed(finding),
                Path::Fronted => Event::FailedBehindEdge(finding),
            },
            Err(finding) => Event::Inconclusive(finding),
        };
        member.life = member.life.after(event, now, &self.kit.policy.rules);

        let draft = Draft {
            outcome,
            finding: finding.as_ref(),
            receipt_arrived,
            clock_offset,
        };
        let issuer = keys.attester.public().thumbprint();
        let claim = self.draft(&member.life, issuer, probe, &evidence, draft, now);
        let signed = sign(&claim, &keys.attester).and_then(|bytes| {
            evidence.verdict = Some(Blob(bytes));
            evidence.encode()
        });
        let evidence_bytes = signed.unwrap_or_else(|error| {
            // Without evidence there is no membership: nothing could be checked again.
            tracing::error!(%error, "a verdict cannot be written down");
            member.life = Life::registered(member.life.identity().clone());
            Vec::new()
        });
        let row = ProbeRow {
            probe,
            peer: id.clone(),
            at,
            route,
            body,
            outcome,
            reason: finding.as_ref().map(|finding| finding.reason),
            detail: finding
                .as_ref()
                .map(|finding| finding.detail().to_owned())
                .unwrap_or_default(),
            phases,
            nonce,
            evidence: evidence_bytes,
        };
        let stored = self.keep(&mut member, &row).await;
        if stored {
            self.kit.metrics.verdict(outcome, member.life.standing().name());
            self.kit.metrics.evidence_stored(row.evidence.len());
            let identity = member.life.identity();
            member
                .grounds
                .concluded(probe, ground, identity, &self.kit.policy.rules);
        }
        let changed = before != member.admitted;
        let admitted = member.admitted;
        self.members.insert(id.clone(), member);
        if changed && admitted {
            self.take_address(&id).await;
        }
        if changed {
            self.publish();
        }
        if stored {
            self.tell(&id, evidence.verdict);
        }
        self.schedule(&id);
    }

    /// A key that was revoked while a probe ran may have been at work in it: then it says nothing, whatever came out (P4).
    fn unless_revoked(&self, probed: Probed) -> Probed {
        let keys = self.kit.keys();
        if probed.asked_with.keyset.revoked == keys.keyset.revoked {
            return probed;
        }
        let said = match &probed.result {
            Ok(_) => Outcome::Proved.as_str(),
            Err(finding) => finding.reason.code(),
        };
        let detail = format!("a key was revoked during the probe, which had said {said}");
        Probed {
            result: Err(Finding::new(Reason::KeyRevoked, detail)),
            evidence: Evidence {
                keyset: Some(Blob(keys.keyset_bytes.clone())),
                ..probed.evidence
            },
            checked_with: keys,
            ..probed
        }
    }

    /// Writes a decision. What cannot be written is not shown; a nonce that was seen before is worth nothing.
    async fn keep(&mut self, member: &mut Member, row: &ProbeRow) -> bool {
        let kept = self
            .kit
            .store
            .record_verdict(&member.row(self.kit.clock.now()), row)
            .await;
        if let Err(StoreError::NonceSeen { .. } | StoreError::ProbeSeen { .. }) = &kept {
            tracing::warn!(probe = %row.probe, "a nonce came twice: is the random generator sound?");
            member.life = Life::registered(member.life.identity().clone());
            member.admitted = false;
            return false;
        }
        // A membership stays shown while its renewal waits for the store, but a new one is not shown before it is kept.
        let stored = self.note_store(kept);
        let member_now = member.life.membership(self.kit.clock.now()).is_some();
        member.admitted = member_now && (stored || member.admitted);
        stored
    }

    fn draft(
        &self,
        life: &Life,
        issuer: Thumbprint,
        probe: ProbeId,
        evidence: &Evidence,
        draft: Draft<'_>,
        now: Timestamp,
    ) -> Verdict {
        let lasting = now.plus(self.kit.policy.rules.lease).seconds();
        Verdict {
            issuer,
            subject: life.identity().key.thumbprint(),
            expires: life.lease().map_or(lasting, Timestamp::seconds),
            issued_at: now.seconds(),
            probe,
            outcome: draft.outcome,
            reason: draft
                .finding
                .map(|finding| finding.reason.code().to_owned())
                .unwrap_or_default(),
            remedy: self.remedy(life, draft.finding),
            standing: life.standing().name().to_owned(),
            evidence: evidence.digests(),
            receipt_arrived: draft.receipt_arrived,
            clock_offset: draft.clock_offset,
        }
    }

    /// What the peer's owner can do (P9); also for a verified peer that no rotation can hold.
    fn remedy(&self, life: &Life, finding: Option<&Finding>) -> String {
        let bounded = |mut text: String| {
            text.truncate(text.floor_char_boundary(MAX_REMEDY));
            text
        };
        match finding {
            Some(finding) => bounded(finding.remedy()),
            None if life.lease().is_some() => self
                .kit
                .policy
                .zone
                .keeps_out(life)
                .map(|reason: Reason| reason.remedy().to_owned())
                .unwrap_or_default(),
            None => String::new(),
        }
    }

    fn tell(&self, id: &PeerId, verdict: Option<Blob>) {
        if let (Some(session), Some(verdict)) = (self.roster.by_peer(id), verdict)
            && let Err(finding) = session.send_verdict(verdict.0)
        {
            tracing::debug!(peer = %id, %finding, "the verdict could not be sent");
        }
    }
}

struct Draft<'a> {
    outcome: Outcome,
    finding: Option<&'a Finding>,
    receipt_arrived: Option<Timestamp>,
    clock_offset: i64,
}

/// Failed only when the peer is to blame (P4).
fn outcome_of(probed: &Probed) -> (Outcome, Option<Finding>) {
    match &probed.result {
        Ok(_) => (Outcome::Proved, None),
        Err(finding) if finding.reason.blame() == Blame::Peer => (Outcome::Failed, Some(finding.clone())),
        Err(finding) => (Outcome::Inconclusive, Some(finding.clone())),
    }
}

/// What the verdict claim holds, in bytes.
const MAX_REMEDY: usize = 512;
