//! Since when a peer stands as it does, how many proofs it has in a row, and what it waits for next.

use proto::{claims::Outcome, time::Timestamp};
use serde_json::{Value, json};

use super::super::{evidence::said, show};
use crate::{
    app,
    config::Config,
    model::{Reason, Route},
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
        let proven = |route: Route| streak.iter().any(|probe| probe.route == route);
        let mut missing: Vec<String> = peer
            .protocols
            .iter()
            .filter(|protocol| !proven(Route::direct(*protocol)))
            .map(|protocol| protocol.to_string())
            .collect();
        if !streak.iter().any(|probe| probe.body >= config.admission.goodput_body) {
            missing.push("throughput".to_owned());
        }
        let (rules, identity) = (app::policy(config).rules, peer.identity());
        let fronted = rules.fronted.is_some_and(|fronted| fronted.required);
        let through_edge = rules.fronted_route(&identity).filter(|_| fronted);
        if through_edge.is_some_and(|route| !proven(route)) {
            missing.push("the way through the edge".to_owned());
        }
        let mut outlook = Self {
            streak: streak.len(),
            needed: usize::try_from(rules.proofs_for(&identity)).unwrap_or(usize::MAX),
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
                let proofs = show::counted(left, "more proof");
                format!("{proofs} in a row{missing}; the next probe comes about {spacing} after the last")
            }
            "verified" if peer.lease_until.is_some_and(|until| until <= now) => {
                "a proof: its lease has ended, and it is in no rotation (does the attester run?)".to_owned()
            }
            "verified" => format!("a proof before its lease ends; it is probed every {interval} or sooner"),
            "suspended" => {
                let proofs = show::counted(left, "proof");
                format!("{proofs} in a row, as for admission{missing}; failures push the next probe back")
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
        let admit = match self.needed {
            1 => "1 admits".to_owned(),
            more => format!("{more} admit"),
        };
        match (self.streak, self.failures) {
            (0, 0) => format!("no proof yet; {admit}"),
            (0, 1) => "one failure".to_owned(),
            (0, failures) => format!("{failures} failures in a row"),
            (proofs, _) => format!("{} in a row; {admit}", show::counted(proofs, "stored proof")),
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proto::{
        claims::{Protocol, Protocols},
        ids::Pin,
        key::SigningKey,
    };

    use super::*;
    use crate::config::{Initial, initial};

    fn peer(standing: &str) -> PeerRow {
        let key = SigningKey::from_seed(&[1; 32]).public();
        PeerRow {
            id: key.peer_id(),
            key,
            address: "127.77.1.1:8443".parse().unwrap(),
            pin: Pin::from_bytes([1; 32]),
            protocols: Protocols::new([Protocol::Connect]).unwrap(),
            standing: standing.to_owned(),
            reason: None,
            detail: String::new(),
            since: None,
            first_seen: Timestamp::from_secs(1),
            last_seen: Timestamp::from_secs(1),
            lease_until: None,
        }
    }

    #[test]
    fn one_proof_is_not_many() {
        let config = Config::parse(&initial(&Initial::default())).unwrap();
        let outlook = |streak, needed| Outlook {
            streak,
            needed,
            missing: Vec::new(),
            failures: 0,
            waits_for: String::new(),
        };
        let next = |standing, streak| outlook(streak, 3).next(&peer(standing), &config, Timestamp::from_secs(2));
        for (standing, streak, start) in [
            ("probing", 2, "1 more proof in a row; "),
            ("probing", 1, "2 more proofs in a row; "),
            ("suspended", 2, "1 proof in a row, as for admission; "),
            ("suspended", 0, "3 proofs in a row, as for admission; "),
        ] {
            let told = next(standing, streak);
            assert!(told.starts_with(start), "{told}");
        }
        for (streak, needed, told) in [
            (0, 1, "no proof yet; 1 admits"),
            (0, 3, "no proof yet; 3 admit"),
            (1, 3, "1 stored proof in a row; 3 admit"),
            (2, 3, "2 stored proofs in a row; 3 admit"),
        ] {
            assert_eq!(outlook(streak, needed).told(), told);
        }
    }
}
