//! The probes that a restart would need to restore a membership: more than the membership itself leans on, since a restart
//! asks for as many proofs as an admission takes. Retention leaves them alone.

use std::collections::BTreeSet;

use proto::{
    claims::{Path, Protocol},
    ids::ProbeId,
    time::Timestamp,
};

use crate::{
    decide::{Life, Rules, Streak},
    model::Identity,
    verify::{Recheck, Verified},
};

/// What one peer's membership would be restored from.
#[derive(Debug, Default)]
pub(super) struct Grounds {
    /// The newest probe, whatever it showed: its verdict must still say that the peer is a member.
    latest: Option<ProbeId>,
    /// Proofs, oldest first: the newest ones, and older ones of what these do not show.
    proofs: Vec<Ground>,
}

/// What one proof showed.
#[derive(Debug)]
pub(super) struct Ground {
    probe: ProbeId,
    protocols: Vec<Protocol>,
    measured: bool,
}

impl Ground {
    pub(super) fn of(probe: ProbeId, proof: &Verified) -> Self {
        Self {
            probe,
            // An edge's are kept for their own sake, and stand in for no other.
            protocols: proof
                .routes()
                .keys()
                .filter(|route| route.path == Path::Direct)
                .map(|route| route.protocol)
                .collect(),
            measured: proof.goodput().is_some(),
        }
    }
}

impl Grounds {
    /// After a restart: the proofs that it was made from, newest first.
    pub(super) fn restored(latest: Option<ProbeId>, proofs: &[Recheck]) -> Self {
        let ground = |found: &Recheck| Some(Ground::of(found.verdict.probe, found.proof.as_ref()?));
        Self {
            latest,
            proofs: proofs.iter().rev().filter_map(ground).collect(),
        }
    }

    /// Adds a probe that was just written down. Older proofs that say nothing that newer ones do not say are let go.
    pub(super) fn concluded(&mut self, probe: ProbeId, proof: Option<Ground>, identity: &Identity, rules: &Rules) {
        self.latest = Some(probe);
        self.proofs.extend(proof);
        let needed = usize::try_from(rules.proofs_for(identity)).unwrap_or(usize::MAX);
        let (mut newer, mut proven, mut measured) = (0, BTreeSet::new(), false);
        let mut is_needed = |ground: &Ground| {
            newer += 1;
            let news = ground
                .protocols
                .iter()
                .filter(|protocol| proven.insert(**protocol))
                .count()
                > 0;
            let measures = ground.measured && !measured;
            measured |= ground.measured;
            newer <= needed || news || measures
        };
        let mut kept: Vec<Ground> = std::mem::take(&mut self.proofs)
            .into_iter()
            .rev()
            .filter(&mut is_needed)
            .collect();
        kept.reverse();
        self.proofs = kept;
    }

    /// The probes that must be kept for this life: those that its lease rests on, those that a restart would ask for, and
    /// those of a streak, on which a lease may rest soon.
    pub(super) fn leaned_on(&self, life: &Life, now: Timestamp) -> BTreeSet<ProbeId> {
        let streak = life.standing().streak().and_then(Streak::proof);
        let Some(proof) = life.membership(now).or(streak) else {
            return BTreeSet::new();
        };
        let proofs = self.proofs.iter().map(|ground| ground.probe);
        self.latest.into_iter().chain(proofs).chain(proof.probes()).collect()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests;
