//! After a restart: standing is restored by verifying the stored evidence again, never from a row (P1, P5).

use std::collections::BTreeSet;

use proto::{
    ids::{PeerId, ProbeId},
    time::Timestamp,
};

use super::{Core, member::Member};
use crate::{
    decide::{self, Life},
    model::{Finding, Identity, Reason},
    store::{PeerRow, Retention, StoreError},
    verify::{Recheck, recheck},
};

impl Core {
    /// Loads every known peer. Whose evidence does not verify again starts over when it returns.
    pub(super) async fn load(&mut self) -> Result<(), StoreError> {
        let loaded = self.kit.store.peers().await?;
        for bad in &loaded.bad {
            tracing::warn!(peer = %bad.id, why = %bad.why, "a stored peer cannot be read back and is left out");
        }
        let now = self.kit.clock.now();
        for row in loaded.rows {
            let id = row.id.clone();
            let identity = Identity { key: row.key, address: row.address, pin: row.pin, protocols: row.protocols.clone() };
            if identity.id() != id {
                tracing::warn!(peer = %id, "a stored peer's key is not its own, so it is left out");
                continue;
            }
            let life = self.life_of(&row, identity, now).await?;
            let mut member = Member::new(life, row.first_seen);
            member.last_seen = row.last_seen;
            member.admitted = member.life.membership(now).is_some();
            self.addresses.insert(row.address, id.clone());
            self.members.insert(id.clone(), member);
            self.schedule(&id);
        }
        let verified = self.members.values().filter(|member| member.admitted).count();
        tracing::info!(peers = self.members.len(), verified, "state restored");
        Ok(())
    }

    async fn life_of(&self, row: &PeerRow, identity: Identity, now: Timestamp) -> Result<Life, StoreError> {
        if row.standing != decide::VERIFIED {
            return Ok(Life::registered(identity));
        }
        let evidence = match self.evidence_of(&row.id, &identity).await? {
            Ok(evidence) => evidence,
            Err(finding) => {
                tracing::warn!(peer = %row.id, %finding, "stored evidence does not verify again");
                return Ok(Life::registered(identity));
            }
        };
        Ok(Life::restored(identity, evidence, now).unwrap_or_else(|(life, finding)| {
            tracing::info!(peer = %row.id, reason = %finding.reason, "membership not restored");
            life
        }))
    }

    /// The newest proofs, as many as an admission takes and until they cover every protocol; the latest verdict must still
    /// speak of a member.
    async fn evidence_of(&self, id: &PeerId, identity: &Identity) -> Result<Result<Vec<Recheck>, Finding>, StoreError> {
        let invalid = |detail: String| Ok(Err(Finding::new(Reason::EvidenceInvalid, detail)));
        let stored = self.kit.store.recent_evidence(id, EVIDENCE_LOOKED_AT).await?;
        if let Some(bad) = stored.bad.first() {
            return invalid(format!("row {}: {}", bad.id, bad.why));
        }
        let needed = self.kit.policy.rules.proofs_for(identity) as usize;
        let mut proofs: Vec<Recheck> = Vec::new();
        for row in stored.rows {
            match recheck(&row.evidence, &self.kit.keys.root_public, self.kit.policy.demands) {
                Ok(found) if proofs.iter().any(|known| known.verdict.probe == found.verdict.probe) => {
                    return invalid("one probe is stored twice".to_owned());
                }
                Ok(found) => proofs.push(found),
                // A probe that failed or said nothing: it proves nothing, and takes nothing away by itself.
                Err(finding) if finding.reason != Reason::EvidenceInvalid => continue,
                Err(finding) => return Ok(Err(finding)),
            }
            if proofs.len() >= needed && covers(&proofs, identity) {
                break;
            }
        }
        Ok(Ok(proofs))
    }

    /// The probes whose evidence a live lease rests on.
    fn leaned_on(&self) -> BTreeSet<ProbeId> {
        let now = self.kit.clock.now();
        self.members.values().filter_map(|member| member.life.membership(now)).flat_map(|proof| proof.probes()).collect()
    }

    /// Drops evidence that is too old or too much, now and then; never what a live lease rests on.
    pub(super) async fn prune(&mut self) {
        let now = self.kit.clock.now();
        if now.since(self.pruned) < PRUNE_EVERY {
            return;
        }
        self.pruned = now;
        let pruned = self.kit.store.prune(now, &Retention::default(), &self.leaned_on()).await;
        self.note_store(pruned);
    }

    /// Forgets peers that were not heard of for as long as their own name is kept: nothing of a stranger stays for ever.
    pub(super) async fn forget_the_gone(&mut self) {
        let now = self.kit.clock.now();
        let kept = self.kit.policy.name_kept;
        let gone: Vec<PeerId> = self
            .members
            .iter()
            .filter(|(id, member)| {
                !member.busy && self.roster.by_peer(id).is_none() && now >= member.last_seen.plus(kept)
            })
            .map(|(id, _)| id.clone())
            .take(FORGOTTEN_AT_ONCE)
            .collect();
        if gone.is_empty() {
            return;
        }
        for id in &gone {
            self.transition(id, decide::Event::Goodbye).await;
            let Some(member) = self.members.remove(id) else { continue };
            if let Some(moment) = member.on_agenda {
                self.agenda.remove(&(moment, id.clone()));
            }
            let address = member.life.identity().address;
            if self.addresses.get(&address) == Some(id) {
                self.addresses.remove(&address);
            }
        }
        self.publish();
    }
}

fn covers(proofs: &[Recheck], identity: &Identity) -> bool {
    let proven = |protocol| {
        proofs.iter().any(|found| found.proof.routes().keys().any(|route| route.protocol == protocol))
    };
    identity.protocols.iter().all(proven) && proofs.iter().any(|found| found.proof.goodput().is_some())
}

/// Enough to find the last measurement of throughput, which is made every 20th probe.
const EVIDENCE_LOOKED_AT: usize = 64;
const PRUNE_EVERY: std::time::Duration = std::time::Duration::from_secs(60);
const FORGOTTEN_AT_ONCE: usize = 256;
