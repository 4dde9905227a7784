//! What the attester itself has written down about a peer: read from its state file, as its command line does.

use std::{collections::BTreeSet, fmt, net::IpAddr};

use attester::{
    model::{PhaseTimes, Reason},
    store::{ProbeRow, Store},
};
use proto::{checked::Signed, claims::Verdict, evidence::Evidence, ids::PeerId};

use crate::peer::Peer;

/// A peer in the attester's records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its standing, in the attester's word; `rejected` when its registration was, and `unknown` when there is nothing about it.
    pub standing: String,
    /// Why, if there is a reason.
    pub reason: Option<Reason>,
    /// What was seen.
    pub detail: String,
    /// The phases of its last probe.
    pub phases: PhaseTimes,
    /// Whether DNS shows it in the rotation (an address; who shares one is taken for the other).
    pub in_rotation: bool,
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = self.reason.map_or("-", Reason::code);
        let place = if self.in_rotation { "in" } else { "not in" };
        write!(
            f,
            "{} ({reason}: {}), {place} the rotation, last probe: {}",
            self.standing, self.detail, self.phases
        )
    }
}

/// Looks peers up.
pub(crate) async fn look_up(
    store: &Store,
    rotation: &BTreeSet<IpAddr>,
    peers: &[&Peer],
) -> anyhow::Result<Vec<Record>> {
    let rows = store.peers().await?;
    if let Some(bad) = rows.bad.first() {
        anyhow::bail!("the attester wrote a row that cannot be read: {bad}");
    }
    let rejections = store.rejections(Store::MOST_REJECTIONS).await?.rows;
    let mut records = Vec::with_capacity(peers.len());
    for peer in peers {
        let in_rotation = rotation.contains(&peer.address().ip());
        let known = rows.rows.iter().find(|row| row.id == *peer.id());
        // Who signed a rejected registration is only known when its signature holds.
        let is_its =
            |id: &Option<PeerId>, source| id.as_ref().map_or(source == peer.address().ip(), |id| id == peer.id());
        let rejected = rejections.iter().find(|row| is_its(&row.peer, row.source));
        let (standing, reason, detail) = match (known, rejected) {
            (Some(row), _) => (row.standing.clone(), row.reason, row.detail.clone()),
            (None, Some(row)) => ("rejected".to_owned(), Some(row.reason), row.detail.clone()),
            (None, None) => ("unknown".to_owned(), None, String::new()),
        };
        let last = store.probes(peer.id(), 1).await?.rows.into_iter().next();
        let phases = last.map(|probe| probe.phases).unwrap_or_default();
        records.push(Record {
            standing,
            reason,
            detail,
            phases,
            in_rotation,
        });
    }
    Ok(records)
}

/// The standings that the signed verdicts in `probes` state, oldest first.
pub(crate) fn standings(probes: &[ProbeRow]) -> anyhow::Result<Vec<String>> {
    let mut standings = Vec::with_capacity(probes.len());
    for probe in probes.iter().rev() {
        let evidence = Evidence::decode(&probe.evidence)?;
        let verdict = evidence
            .verdict
            .ok_or_else(|| anyhow::anyhow!("probe {} has no verdict", probe.probe))?;
        standings.push(
            Signed::<Verdict>::parse(&verdict.0)?
                .dangerously_unverified()
                .standing
                .clone(),
        );
    }
    Ok(standings)
}
