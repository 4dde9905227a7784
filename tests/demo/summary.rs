//! How it ended, in the attester's own words: the records in its state file and the answer of its DNS.

use std::{collections::BTreeSet, net::IpAddr};

use attester::decide::VERIFIED;
use serde::Serialize;

use crate::stage::Stage;

/// The last line of `--json`.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename = "summary")]
pub(crate) struct Summary {
    /// Peers that the records call verified.
    verified: Vec<IpAddr>,
    /// Peers that the records call refused, suspended or rejected.
    refused: Vec<Refused>,
    /// What DNS answered.
    rotation: BTreeSet<IpAddr>,
    /// Whether everything became as it must be, in every step.
    pub(crate) ok: bool,
}

#[derive(Clone, Debug, Serialize)]
struct Refused {
    peer: IpAddr,
    behaviour: &'static str,
    reason: Option<&'static str>,
}

impl Summary {
    /// The summary of what was seen last.
    pub(crate) fn new(stage: &Stage, ok: bool) -> Self {
        let mut summary = Self {
            verified: Vec::new(),
            refused: Vec::new(),
            rotation: stage.rotation().clone(),
            ok,
        };
        for (role, record) in stage.seen() {
            let Some(record) = record else { continue };
            match record.standing.as_str() {
                VERIFIED => summary.verified.push(role.ip()),
                standing if is_out(standing) => summary.refused.push(Refused {
                    peer: role.ip(),
                    behaviour: role.behaviour.name(),
                    reason: record.reason.map(|reason| reason.code()),
                }),
                _ => {}
            }
        }
        summary
    }

    /// How many are verified, and how many are refused, suspended or rejected.
    pub(crate) const fn counts(&self) -> (usize, usize) {
        (self.verified.len(), self.refused.len())
    }
}

/// Whether a standing is that of somebody with whom something is wrong.
pub(crate) fn is_out(standing: &str) -> bool {
    ["refused", "suspended", "rejected"].contains(&standing)
}
