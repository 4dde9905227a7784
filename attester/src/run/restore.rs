//! After a restart: standing is restored by verifying the stored evidence again, never from a row (P1, P5).

use std::collections::BTreeSet;

use proto::{
    ids::{PeerId, ProbeId},
    key::PublicKey,
    time::Timestamp,
};

use super::{Core, member::Member};
use crate::{
    decide::{self, Life, Rules},
    model::{Finding, Identity, Reason},
    store::{Loaded, PeerRow, Store, StoreError, StoredEvidence},
    verify::{Demands, Recheck, recheck},
};

impl Core {
    /// Loads every known peer. One whose evidence does not verify again starts over when it returns.
    pub(super) async fn load(&mut self) -> Result<(), StoreError> {
        let loaded = self.kit.store.peers().await?;
        for bad in &loaded.bad {
            tracing::warn!(peer = %bad.id, why = %bad.why, "a stored peer cannot be read back and is left out");
        }
        let now = self.kit.clock.now();
        for row in loaded.rows {
            let id = row.id.clone();
            if now >= row.last_seen.plus(self.kit.policy.name_kept) || self.members.len() >= self.kit.policy.max_peers {
                continue;
            }
            let Some(life) = life_of(&self.kit.store, &row, &self.terms(), now).await? else {
                continue;
            };
            let mut member = Member::new(life, row.first_seen);
            member.last_seen = row.last_seen;
            member.probed = now;
            member.admitted = member.life.membership(now).is_some();
            if member.admitted {
                self.addresses.insert(row.address, id.clone());
            }
            self.members.insert(id.clone(), member);
            self.schedule(&id);
        }
        let verified = self.members.values().filter(|member| member.admitted).count();
        tracing::info!(peers = self.members.len(), verified, "state restored");
        Ok(())
    }

    fn terms(&self) -> Terms {
        let policy = &self.kit.policy;
        Terms {
            root: self.kit.keys().root_public,
            demands: policy.demands,
            rules: policy.rules,
        }
    }

    /// The probes whose evidence a live lease rests on.
    fn leaned_on(&self) -> BTreeSet<ProbeId> {
        let now = self.kit.clock.now();
        self.members
            .values()
            .filter_map(|member| member.life.membership(now))
            .flat_map(|proof| proof.probes())
            .collect()
    }

    /// Drops evidence that is too old or too much, now and then; never what a live lease rests on.
    pub(super) async fn prune(&mut self) {
        let now = self.kit.clock.now();
        if now.since(self.pruned) < PRUNE_EVERY {
            return;
        }
        self.pruned = now;
        let pruned = self
            .kit
            .store
            .prune(now, &self.kit.policy.retention, &self.leaned_on())
            .await;
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
                member.busy.is_none() && self.roster.by_peer(id).is_none() && now >= member.last_seen.plus(kept)
            })
            .map(|(id, _)| id.clone())
            .take(FORGOTTEN_AT_ONCE)
            .collect();
        if gone.is_empty() {
            return;
        }
        for id in &gone {
            self.transition(id, decide::Event::Forgotten).await;
            self.drop_member(id);
        }
        self.publish();
    }
}

/// What stored evidence is measured by.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// The key that signs keysets.
    pub root: PublicKey,
    /// What proofs must show.
    pub demands: Demands,
    /// Admission.
    pub rules: Rules,
}

/// A peer's life after a restart: a member only if the store's evidence proves it anew, whatever the row says; nobody at all
/// when the row's key is not that of its id.
///
/// # Errors
/// When the store cannot be read.
pub async fn life_of(store: &Store, row: &PeerRow, terms: &Terms, now: Timestamp) -> Result<Option<Life>, StoreError> {
    let identity = Identity {
        key: row.key,
        address: row.address,
        pin: row.pin,
        protocols: row.protocols.clone(),
    };
    if identity.id() != row.id {
        tracing::warn!(peer = %row.id, "a stored peer's key is not its own, so it is left out");
        return Ok(None);
    }
    if row.standing != decide::VERIFIED {
        return Ok(Some(Life::registered(identity)));
    }
    let stored = store.recent_evidence(&row.id, EVIDENCE_LOOKED_AT).await?;
    let proofs = match proofs(stored, &identity, terms) {
        Ok(proofs) => proofs,
        Err(finding) => {
            tracing::warn!(peer = %row.id, %finding, "stored evidence does not verify again");
            return Ok(Some(Life::registered(identity)));
        }
    };
    let life = Life::restored(identity, proofs, now);
    if let Some(finding) = life.last() {
        tracing::info!(peer = %row.id, reason = %finding.reason, "membership not restored");
    }
    Ok(Some(life))
}

/// The newest proofs, as many as an admission takes and until they cover every protocol. One bad file among them and there
/// are none: whoever changed it may have changed more.
fn proofs(stored: Loaded<StoredEvidence>, identity: &Identity, terms: &Terms) -> Result<Vec<Recheck>, Finding> {
    let invalid = |detail: String| Finding::new(Reason::EvidenceInvalid, detail);
    if let Some(bad) = stored.bad.first() {
        return Err(invalid(format!("row {}: {}", bad.id, bad.why)));
    }
    let needed = usize::try_from(terms.rules.proofs_for(identity)).unwrap_or(usize::MAX);
    let mut proofs: Vec<Recheck> = Vec::new();
    for (age, row) in stored.rows.into_iter().enumerate() {
        let found = recheck(&row.evidence, &terms.root, terms.demands)?;
        // The newest signed word decides, not the row.
        if age == 0 && found.verdict.standing != decide::VERIFIED {
            return Err(invalid(format!("the latest verdict says {}", found.verdict.standing)));
        }
        if proofs.iter().any(|known| known.verdict.probe == found.verdict.probe) {
            return Err(invalid("one probe is stored twice".to_owned()));
        }
        if found.proof.is_some() {
            proofs.push(found);
        }
        if proofs.len() >= needed && covers(&proofs, identity) {
            return Ok(proofs);
        }
    }
    Err(invalid("fewer proofs are stored than an admission takes".to_owned()))
}

fn covers(proofs: &[Recheck], identity: &Identity) -> bool {
    let proofs = || proofs.iter().filter_map(|found| found.proof.as_ref());
    let proven = |protocol| proofs().any(|proof| proof.routes().keys().any(|route| route.protocol == protocol));
    identity.protocols.iter().all(proven) && proofs().any(|proof| proof.goodput().is_some())
}

/// Enough to find the last measurement of throughput, which is made every 20th probe.
const EVIDENCE_LOOKED_AT: usize = 64;
const PRUNE_EVERY: std::time::Duration = std::time::Duration::from_secs(60);
const FORGOTTEN_AT_ONCE: usize = 256;
