//! What a peer was before it moved to another key, and what it is now.

use proto::{ids::PeerId, time::Timestamp};
use serde_json::{Value, json};

use super::super::show;
use crate::store::{ProbeRow, Store, StoreError};

/// The moves that a peer is part of.
pub(super) struct Moves {
    /// Those that led to it, oldest first, with the latest probes of the identity that was left.
    before: Vec<(Move, Vec<ProbeRow>)>,
    /// Those that came after, oldest first.
    after: Vec<Move>,
}

struct Move {
    old: PeerId,
    new: PeerId,
    at: Timestamp,
}

impl Moves {
    /// Looks them up, with at most `limit` probes of each earlier identity.
    pub(super) async fn of(store: &Store, peer: &PeerId, limit: usize) -> Result<Self, StoreError> {
        let (mut before, mut after) = (Vec::new(), Vec::new());
        for row in store.moves(peer).await?.rows {
            let step = Move {
                old: row.link.old.peer_id(),
                new: row.link.new.peer_id(),
                at: row.at,
            };
            if step.old == *peer || !after.is_empty() {
                after.push(step);
            } else {
                let probes = store.probes(&step.old, limit).await?.rows;
                before.push((step, probes));
            }
        }
        Ok(Self { before, after })
    }

    /// Names and values, for people.
    pub(super) fn fields(&self) -> Vec<(&'static str, String)> {
        let before = self.before.iter().rev().map(|(step, _)| {
            let until = show::clock_time(step.at);
            ("earlier", format!("{}, until {until}", step.old))
        });
        let after = self.after.iter().map(|step| {
            let since = show::clock_time(step.at);
            ("moved to", format!("{}, {since}", step.new))
        });
        before.chain(after).collect()
    }

    /// The earlier identities with their probes, newest first.
    pub(super) fn earlier(&self) -> impl Iterator<Item = (&PeerId, &[ProbeRow])> {
        let newest_first = self.before.iter().rev();
        newest_first.map(|(step, probes)| (&step.old, probes.as_slice()))
    }

    /// The moves for programs, oldest first.
    pub(super) fn objects(&self) -> Vec<Value> {
        let steps = self.before.iter().map(|(step, _)| step).chain(&self.after);
        let object = |step: &Move| {
            json!({
                "kind": "move", "old_peer": step.old.as_str(), "peer": step.new.as_str(), "at": show::rfc3339(step.at),
            })
        };
        steps.map(object).collect()
    }
}
