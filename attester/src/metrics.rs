//! What an attester counts and measures, for the operator's monitoring: one [`Metrics`] a process, handed down to every part.
//!
//! Nothing of a stranger's choosing becomes a label: values are those of enums, or names that are fixed in the source, so
//! that nobody can make a time series. No peer and no address is ever among them. Each series is documented where it is
//! declared (`metrics/series.rs`), and `METRICS.md` is made from that.

use std::{fmt, time::Duration};

use proto::{claims::Outcome, time::Timestamp};

use crate::model::{PhaseTimes, Reason, Route};

mod document;
mod kinds;
mod labels;
mod series;

pub use document::{document, list};
pub use labels::{Change, Door, Forgotten, Full, Handshake, Part, Queue, Rcode, SessionEnd, Step, Transport};
pub use series::{Label, Metrics, SERIES, Series, Values};

/// Levels of the loop, set together once a second.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Levels {
    /// Live sessions of registered agents.
    pub sessions: usize,
    /// How many peers have each standing; those that are not listed have none.
    pub standings: Vec<(&'static str, usize)>,
    /// Peers whose addresses are in the rotation.
    pub rotation: usize,
    /// What is left of the shortest lease; `None` when there is no lease.
    pub shortest_lease: Option<Duration>,
    /// Probes under way.
    pub in_flight: usize,
    /// Members whose probe is due and has no place yet.
    pub members_waiting: usize,
    /// Everybody else in the same case.
    pub others_waiting: usize,
}

impl Metrics {
    /// When the process began its work, and what it is.
    pub fn started(&self, at: Timestamp) {
        self.start.set([], seconds(at));
        self.build.set([env!("CARGO_PKG_VERSION")], 1);
    }

    /// Whether new work is taken: what `/readyz` says.
    pub fn ready(&self, ready: bool) {
        self.ready.set([], i64::from(ready));
    }

    /// Whether a part is well: what `/healthz` says.
    pub fn part(&self, part: Part, well: bool) {
        self.well.set([part.as_str()], i64::from(well));
    }

    /// When the keyset that is handed out ends, and how many keys it revokes.
    pub fn keyset(&self, until: Timestamp, revoked: usize) {
        self.keyset_until.set([], seconds(until));
        self.keyset_revoked.set([], count(revoked));
    }

    /// Whether what the key folder says is in use.
    pub fn key_folder_used(&self, used: bool) {
        self.key_folder_used.set([], i64::from(used));
    }

    /// A stranger's TLS handshake at the session port came to its end.
    pub fn handshake(&self, how: Handshake) {
        self.handshakes.add([how.as_str()]);
    }

    /// A connection was closed for want of a place.
    pub fn turned_away(&self, door: Door, full: Full) {
        self.turned_away.add([door.as_str(), full.as_str()]);
    }

    /// A registration was accepted.
    pub fn registered(&self) {
        self.registrations.add([NONE]);
    }

    /// A registration was refused.
    pub fn rejected(&self, reason: Reason) {
        self.registrations.add([reason.code()]);
    }

    /// A registered agent's session ended.
    pub fn session_ended(&self, how: SessionEnd) {
        self.session_ends.add([how.as_str()]);
    }

    /// A probe came to its end.
    pub fn probe(&self, route: Route, outcome: Outcome, reason: Option<Reason>, phases: &PhaseTimes) {
        self.probes.add([
            outcome.as_str(),
            reason.map_or(NONE, Reason::code),
            route.path.as_str(),
            route.protocol.as_str(),
        ]);
        let mut before = Duration::ZERO;
        for (phase, ended) in &phases.0 {
            self.phases.note([phase.as_str()], ended.saturating_sub(before));
            before = *ended;
        }
    }

    /// A probe's TLS handshake was finished.
    pub fn probe_handshake(&self, resumed: bool) {
        self.probe_handshakes.add([if resumed { "resumed" } else { "full" }]);
    }

    /// A control probe came to its end.
    pub fn control_probe(&self, reached: bool) {
        self.control_probes.add([if reached { "reached" } else { "failed" }]);
    }

    /// A verdict was written down, for a peer that stands so from now on.
    pub fn verdict(&self, outcome: Outcome, standing: &'static str) {
        self.verdicts.add([outcome.as_str(), standing]);
    }

    /// How things stand.
    pub fn levels(&self, levels: &Levels) {
        self.sessions.set([], count(levels.sessions));
        for standing in labels::STANDINGS {
            let known = levels.standings.iter().find(|(name, _)| name == standing);
            self.peers.set([*standing], known.map_or(0, |(_, peers)| count(*peers)));
        }
        self.rotation.set([], count(levels.rotation));
        match levels.shortest_lease {
            Some(left) => self.shortest_lease.set([], left.as_secs_f64()),
            None => self.shortest_lease.clear(),
        }
        self.in_flight.set([], count(levels.in_flight));
        self.waiting
            .set([Queue::Members.as_str()], count(levels.members_waiting));
        self.waiting.set([Queue::Others.as_str()], count(levels.others_waiting));
    }

    /// A DNS question was answered.
    pub fn dns_query(&self, transport: Transport, rcode: Rcode) {
        self.dns_queries.add([transport.as_str(), rcode.as_str()]);
    }

    /// Records were added to what DNS shows, or removed.
    pub fn records_changed(&self, change: Change, records: usize) {
        self.records_changed.add_many([change.as_str()], records as u64);
    }

    /// The reconciler compared what is shown with what is desired, and made it so.
    pub fn reconciled(&self) {
        self.reconciled.add([]);
    }

    /// It could not.
    pub fn reconcile_failed(&self, step: Step) {
        self.reconcile_failures.add([step.as_str()]);
    }

    /// The origin answered a request.
    pub fn origin_request(&self, status: u16) {
        self.origin_requests.add([labels::status(status)]);
    }

    /// A transaction of this name was committed.
    pub fn transaction(&self, name: &'static str, took: Duration) {
        self.transactions.note([name], took);
    }

    /// A transaction of this name failed.
    pub fn transaction_failed(&self, name: &'static str) {
        self.transaction_failures.add([name]);
    }

    /// Evidence of a probe was stored.
    pub fn evidence_stored(&self, bytes: usize) {
        self.evidence_stored.add_many([], bytes as u64);
    }

    /// How much evidence is stored in all.
    pub fn evidence_bytes(&self, bytes: u64) {
        self.evidence_bytes.set([], i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// How large the state file is.
    pub fn state_file_bytes(&self, bytes: u64) {
        self.state_file_bytes.set([], i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// What was forgotten for its age or for want of room.
    pub fn pruned(&self, what: Forgotten, how_many: u64) {
        self.pruned.add_many([what.as_str()], how_many);
    }

    /// All of it in the text format of OpenMetrics 1.0.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }

    /// The media type of [`Metrics::text`].
    pub const MEDIA_TYPE: &'static str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
}

impl Default for Metrics {
    fn default() -> Self {
        let metrics = Self::all();
        // There is no lease yet, which is not the same as one that ends now.
        metrics.shortest_lease.clear();
        metrics
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

fn seconds(at: Timestamp) -> f64 {
    at.as_micros() as f64 / 1e6
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The label of a reason that there is none.
const NONE: &str = "none";

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests;
