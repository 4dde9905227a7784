//! Since when a peer stands as it does, how many proofs it has in a row, and what it waits for next.

use proto::{
    claims::{Outcome, Protocol},
    time::Timestamp,
};
use serde_json::{Value, json};

use super::super::{evidence::said, show};
use crate::{
    config::Config,
    model::Reason,
    store::{PeerRow, ProbeRow},
};

/// What the stored probes say of a peer's way.
pub(super) struct Outlook {
    /// Proofs in a row, up to now, that count for the standing.
    pub(super) streak: usize,
    /// How many an admission takes.
    pub(super) needed: usize,
    /// What the streak has not proven yet.
    missing: Vec<String>,
    /// Counted failures in a row, up to now.
    failures: usize,
    /// What happens next.
    pub(super) waits_for: String,
}

impl Outlook {
    /// From the newest probes (newest first), which the rows show and nothing checks here.
    pub(super) fn of(peer: &PeerRow, probes: &[ProbeRow], config: &Config, now: Timestamp) -> Self {
        let told = |probe: &&ProbeRow| probe.outcome != Outcome::Inconclusive;
        let counts = |probe: &ProbeRow| {
            let standing = said(&probe.evidence).map(|verdict| verdict.standing);
            // Proofs from before a membership ended do not count towards the next one.
            peer.standing == crate::decide::VERIFIED || standing.as_deref() == Some(&peer.standing)
        };
        let streak: Vec<&ProbeRow> = probes
            .iter()
            .filter(told)
            .take_while(|probe| probe.outcome == Outcome::Proved && counts(probe))
            .collect();
        let failures = probes
            .iter()
            .filter(told)
            .take_while(|probe| probe.outcome == Outcome::Failed);
        let proven = |protocol: Protocol| streak.iter().any(|probe| probe.route.protocol == protocol);
        let mut missing: Vec<String> = peer
            .protocols
            .iter()
            .filter(|protocol| !proven(*protocol))
            .map(|protocol| protocol.to_string())
            .collect();
        if !streak.iter().any(|probe| probe.body >= config.admission.goodput_body) {
            missing.push("throughput".to_owned());
        }
        let mut outlook = Self {
            streak: streak.len(),
            needed: config.admission.proofs.max(peer.protocols.iter().count()),
            missing,
            failures: failures.count(),
            waits_for: String::new(),
        };
        outlook.waits_for = outlook.next(peer, config, now);
        outlook
    }

    fn next(&self, peer: &PeerRow, config: &Config, now: Timestamp) -> String {
        let admission = &config.admission;
        let (spacing, interval) = (
            show::short_length(admission.spacing),
            show::short_length(admission.interval),
        );
        let left = self.needed.saturating_sub(self.streak).max(1);
        let missing = match self.missing.as_slice() {
            [] => String::new(),
            missing => format!(", among them {}", missing.join(", ")),
        };
        match peer.standing.as_str() {
            "registered" => "its session, and DNS showing its own name: then it is probed at once".to_owned(),
            "named" => "its first probe, which comes at once while it has a session".to_owned(),
            "probing" => {
                format!("{left} more proofs in a row{missing}; the next probe comes about {spacing} after the last")
            }
            "verified" if peer.lease_until.is_some_and(|until| until <= now) => {
                "a proof: its lease has ended, and it is in no rotation (does the attester run?)".to_owned()
            }
            "verified" => format!("a proof before its lease ends; it is probed every {interval} or sooner"),
            "suspended" => {
                format!("{left} proofs in a row, as for admission{missing}; failures push the next probe back")
            }
            "refused" => "a proof, which makes it probing again; failures push the next probe back".to_owned(),
            "retired" if peer.reason == Some(Reason::KeySucceeded) => {
                "nothing: it moved to another key for good".to_owned()
            }
            "retired" => "its return: it starts again when it registers".to_owned(),
            other => format!("nothing that this program knows of ({other})"),
        }
    }

    /// The streak for people.
    pub(super) fn told(&self) -> String {
        match (self.streak, self.failures) {
            (0, 0) => format!("no proof yet; {} in a row admit", self.needed),
            (0, 1) => "one failure".to_owned(),
            (0, failures) => format!("{failures} failures in a row"),
            (proofs, _) => format!("{proofs} of the stored proofs in a row; {} admit", self.needed),
        }
    }

    /// For programs: part of the peer's object.
    pub(super) fn object(&self) -> Value {
        json!({
            "proofs": self.streak,
            "needed": self.needed,
            "missing": self.missing,
            "failures": self.failures,
        })
    }
}
