//! After a restart: standing is restored by verifying the stored evidence again, never from a row (P1, P5).

use std::{cmp::Reverse, collections::BTreeSet};

use proto::{
    checked::Signed,
    claims::Verdict,
    evidence::Evidence,
    ids::{PeerId, ProbeId},
    time::Timestamp,
};
use tokio::sync::watch;

use super::{Core, Starting, grounds::Grounds, member::Member};
use crate::{
    decide::{self, Life, Rules},
    metrics::Forgotten,
    model::{Finding, Identity, Reason, Route},
    store::{Loaded, PeerRow, Pruned, Store, StoreError, StoredEvidence},
    verify::{Demands, Recheck, Trust, recheck},
};

impl Core {
    /// Loads every known peer. One whose evidence does not verify again starts over when it returns.
    pub(super) async fn load(&mut self, progress: &watch::Sender<Starting>) -> Result<(), StoreError> {
        let loaded = self.kit.store.peers().await?;
        for bad in &loaded.bad {
            tracing::warn!(peer = %bad.id, why = %bad.why, "a stored peer cannot be read back and is left out");
        }
        self.load_successions().await?;
        let now = self.kit.clock.now();
        let of = loaded.rows.len();
        let mut rows = loaded.rows;
        // Whoever may be a member first, then who was here last: strangers that are gone crowd nobody out.
        rows.sort_by_key(|row| Reverse((may_be_member(row, now), row.last_seen)));
        for (done, row) in rows.into_iter().enumerate() {
            progress.send_replace(Starting::Restoring { done, of });
            let id = row.id.clone();
            let crowded = self.members.len() >= self.kit.policy.max_peers && !may_be_member(&row, now);
            if now >= row.last_seen.plus(self.kit.policy.name_kept) || crowded {
                continue;
            }
            if self.successions.has_left(&id) || row.reason == Some(Reason::KeySucceeded) {
                continue;
            }
            let Some((life, grounds)) = restored(&self.kit.store, &row, &self.terms(), now).await? else {
                continue;
            };
            let mut member = Member::new(life, row.first_seen);
            member.grounds = grounds;
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

    pub(super) fn terms(&self) -> Terms {
        let (policy, keys) = (&self.kit.policy, self.kit.keys());
        Terms {
            trust: Trust::with_revoked(keys.root_public, keys.keyset.revoked.clone()),
            demands: policy.demands,
            rules: policy.rules,
        }
    }

    /// The probes whose evidence live leases rest on, and those that a restart would ask for.
    fn leaned_on(&self) -> BTreeSet<ProbeId> {
        let now = self.kit.clock.now();
        let of = |member: &Member| member.grounds.leaned_on(&member.life, now);
        self.members.values().flat_map(of).collect()
    }

    /// Drops evidence that is too old or too much, now and then; never what a live lease rests on.
    pub(super) async fn prune(&mut self) {
        let now = self.kit.clock.now();
        if now.since(self.pruned) < PRUNE_EVERY {
            return;
        }
        let leaned_on = self.leaned_on();
        let pruned = self.kit.store.prune(now, &self.kit.policy.retention, &leaned_on).await;
        // A run is bounded: the rest is the next second's.
        let more = pruned.as_ref().is_ok_and(|pruned| pruned.more);
        self.pruned = if more { Timestamp::default() } else { now };
        let metrics = &self.kit.metrics;
        if let Ok(pruned) = &pruned {
            metrics.pruned(Forgotten::Probes, pruned.probes);
            metrics.pruned(Forgotten::Peers, pruned.peers);
            if pruned.probes + pruned.peers > 0 {
                let Pruned {
                    probes, bytes, peers, ..
                } = pruned;
                tracing::info!(probes, bytes, peers, kept = leaned_on.len(), "evidence was pruned");
            }
        }
        let strangers = self.kit.store.forget_strangers(self.members.keys()).await;
        if let Ok(strangers) = &strangers {
            metrics.pruned(Forgotten::Peers, *strangers);
        }
        let stored = self.kit.store.stored().await;
        if let Ok(stored) = &stored {
            metrics.evidence_bytes(stored.bytes);
            metrics.state_file_bytes(stored.file_bytes);
        }
        self.note_store(stored);
        self.note_store(strangers);
        self.note_store(pruned);
        self.prune_successions().await;
    }

    /// Forgets peers that were not heard of for as long as their own name is kept: nothing of a stranger stays for ever.
    pub(super) async fn forget_the_gone(&mut self) {
        let now = self.kit.clock.now();
        let kept = self.kit.policy.name_kept;
        let gone: Vec<PeerId> = self
            .members
            .iter()
            .filter(|(id, member)| {
                now >= member.last_seen.plus(kept) && member.busy.is_none() && self.roster.by_peer(id).is_none()
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

/// What a row says; whether it is so, its evidence must show.
fn may_be_member(row: &PeerRow, now: Timestamp) -> bool {
    row.standing == decide::VERIFIED && row.lease_until.is_some_and(|until| now < until)
}

/// What stored evidence is measured by.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The key that signs keysets, and the keys that do not count.
    pub trust: Trust,
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
    Ok(restored(store, row, terms, now).await?.map(|(life, _)| life))
}

/// [`life_of`], and what it was made from.
pub(super) async fn restored(
    store: &Store,
    row: &PeerRow,
    terms: &Terms,
    now: Timestamp,
) -> Result<Option<(Life, Grounds)>, StoreError> {
    let without = |life| Ok(Some((life, Grounds::default())));
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
        return without(Life::registered(identity));
    }
    let mut looked_at = EVIDENCE_LOOKED_AT;
    let (latest, found) = loop {
        let stored = store.recent_evidence(&row.id, looked_at).await?;
        let is_all = stored.rows.len() < looked_at;
        let latest = stored.rows.first().map(|row| row.probe);
        match proofs(stored, &identity, terms) {
            // Of what it rests on there may be more behind many probes that said nothing.
            Err(finding) if finding.detail() == TOO_FEW && !is_all && looked_at < MOST_EVIDENCE_LOOKED_AT => {
                looked_at *= 8;
            }
            found => break (latest, found),
        }
    };
    let (proofs, revoked) = match found {
        Ok(found) => found,
        Err(finding) => {
            if finding.reason != Reason::KeyRevoked {
                tracing::warn!(peer = %row.id, %finding, "stored evidence does not verify again");
            }
            return without(Life::starting_over(identity, finding));
        }
    };
    let grounds = Grounds::restored(latest, &proofs);
    let life = Life::restored(identity, proofs, now);
    if let (Some(finding), None) = (revoked, life.lease()) {
        return without(Life::starting_over(life.identity().clone(), finding));
    }
    if let Some(finding) = life.last() {
        tracing::info!(peer = %row.id, reason = %finding.reason, "membership not restored");
    }
    Ok(Some((life, grounds)))
}

/// The newest proofs, as many as an admission takes and until they cover every protocol. One bad file among them and there
/// are none: whoever changed it may have changed more. What rests on a revoked key is left out, and named beside them.
fn proofs(
    stored: Loaded<StoredEvidence>,
    identity: &Identity,
    terms: &Terms,
) -> Result<(Vec<Recheck>, Option<Finding>), Finding> {
    let invalid = |detail: String| Finding::new(Reason::EvidenceInvalid, detail);
    if let Some(bad) = stored.bad.first() {
        return Err(invalid(format!("row {}: {}", bad.id, bad.why)));
    }
    let needed = usize::try_from(terms.rules.proofs_for(identity)).unwrap_or(usize::MAX);
    let mut proofs: Vec<Recheck> = Vec::new();
    let (mut newest, mut revoked) = (true, None);
    for row in stored.rows {
        let found = recheck(&row.evidence, &terms.trust, terms.demands);
        // The newest signed word decides, not the row: and against a peer also one that does not count any more.
        let standing = match &found {
            Ok(found) => found.verdict.standing.clone(),
            Err(_) => standing_said(&row.evidence).unwrap_or_default(),
        };
        let found = match found {
            Err(finding) if finding.reason == Reason::KeyRevoked => {
                if newest && standing != decide::VERIFIED {
                    return Err(finding);
                }
                revoked = revoked.or(Some(finding));
                continue;
            }
            found => found?,
        };
        if newest && standing != decide::VERIFIED {
            return Err(invalid(format!("the latest verdict says {standing}")));
        }
        newest = false;
        if proofs.iter().any(|known| known.verdict.probe == found.verdict.probe) {
            return Err(invalid("one probe is stored twice".to_owned()));
        }
        if found.proof.is_some() {
            proofs.push(found);
        }
        if proofs.len() >= needed && covers(&proofs, identity) {
            return Ok((proofs, revoked));
        }
    }
    Err(revoked.unwrap_or_else(|| invalid(TOO_FEW.to_owned())))
}

/// What a verdict says of the standing, though nobody may answer for it.
fn standing_said(evidence: &[u8]) -> Option<String> {
    let verdict = Evidence::decode(evidence).ok()?.verdict?;
    let signed = Signed::<Verdict>::parse(&verdict.0).ok()?;
    Some(signed.dangerously_unverified().standing.clone())
}

fn covers(proofs: &[Recheck], identity: &Identity) -> bool {
    let proofs = || proofs.iter().filter_map(|found| found.proof.as_ref());
    let proven = |protocol| proofs().any(|proof| proof.routes().contains_key(&Route::direct(protocol)));
    identity.protocols.iter().all(proven) && proofs().any(|proof| proof.goodput().is_some())
}

const TOO_FEW: &str = "fewer proofs are stored than an admission takes";
/// Enough, as a rule, to find the last measurement of throughput, which is made every 20th probe.
const EVIDENCE_LOOKED_AT: usize = 64;
/// More than anybody keeps of one peer by default.
const MOST_EVIDENCE_LOOKED_AT: usize = 4096;
const PRUNE_EVERY: std::time::Duration = std::time::Duration::from_secs(60);
const FORGOTTEN_AT_ONCE: usize = 256;
