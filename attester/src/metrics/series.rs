//! The series themselves: name, kind, labels, meaning and what to alert on, each once.

use prometheus_client::registry::Registry;
use proto::claims::{Outcome, Path, Phase, Protocol};

use super::{
    kinds::{Counts, Levels, Seconds, Times},
    labels::{self, Change, Door, Forgotten, Full, Handshake, Part, Queue, Rcode, SessionEnd, Step, Transport},
};

/// One series as it is documented.
#[derive(Debug)]
pub struct Series {
    /// Its name; counters are written with `_total` behind it.
    pub name: &'static str,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// Its labels, in order.
    pub labels: &'static [Label],
    /// What it says.
    pub help: &'static str,
    /// When an operator should look, as an expression and why; empty when never by itself.
    pub alert: &'static str,
}

/// One label.
#[derive(Debug)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// Its values.
    pub values: Values,
}

/// Which values a label has.
#[derive(Clone, Copy, Debug)]
pub enum Values {
    /// These.
    Listed(fn() -> Vec<&'static str>),
    /// Those that these words describe: too many to list, but fixed in the source.
    Described(&'static str),
}

macro_rules! series {
    ($($field:ident: $family:ident<$n:literal> = $name:literal [$($label:ident),*], $help:literal, alert: $alert:literal;)+) => {
        /// Everything that an attester counts and measures. See the [module](super).
        pub struct Metrics {
            pub(super) registry: Registry,
            $(pub(super) $field: $family<$n>,)+
        }

        /// Every series, in the order in which they are written.
        pub static SERIES: &[Series] = &[$(Series {
            name: $name,
            kind: $family::<$n>::KIND,
            labels: &[$($label),*],
            help: $help,
            alert: $alert,
        }),+];

        impl Metrics {
            /// All at zero. The process has one; it belongs to nobody else.
            pub(super) fn all() -> Self {
                let mut registry = Registry::default();
                let mut series = SERIES.iter();
                // Declared and listed by one macro, so there are as many of the ones as of the others.
                $(let $field = $family::new(
                    series.next().expect("the list has every series in this order"),
                    &mut registry,
                );)+
                Self { registry, $($field,)+ }
            }
        }
    };
}

const fn listed(name: &'static str, values: fn() -> Vec<&'static str>) -> Label {
    Label {
        name,
        values: Values::Listed(values),
    }
}

const fn described(name: &'static str, values: &'static str) -> Label {
    Label {
        name,
        values: Values::Described(values),
    }
}

const VERSION: Label = described("version", "this program's version");
const PART: Label = listed("part", || Part::TEXTS.to_vec());
const RESULT: Label = listed("result", || Handshake::TEXTS.to_vec());
const DOOR: Label = listed("door", || Door::TEXTS.to_vec());
const LIMIT: Label = listed("limit", || Full::TEXTS.to_vec());
const REASON: Label = described(
    "reason",
    "`none`, or a reason of the protocol (`proto/README.md`, section 11)",
);
const HOW: Label = listed("how", || SessionEnd::TEXTS.to_vec());
const OUTCOME: Label = listed("outcome", || {
    Outcome::ALL.iter().map(|outcome| outcome.as_str()).collect()
});
const PATH: Label = listed("path", || Path::ALL.iter().map(|path| path.as_str()).collect());
const PROTOCOL: Label = listed("protocol", || {
    Protocol::ALL.iter().map(|protocol| protocol.as_str()).collect()
});
const PHASE: Label = listed("phase", || Phase::ALL.iter().map(|phase| phase.as_str()).collect());
const HANDSHAKE: Label = listed("handshake", || vec!["full", "resumed"]);
const CONTROL: Label = listed("result", || vec!["reached", "failed"]);
const STANDING: Label = listed("standing", || labels::STANDINGS.to_vec());
const QUEUE: Label = listed("queue", || Queue::TEXTS.to_vec());
const TRANSPORT: Label = listed("transport", || Transport::TEXTS.to_vec());
const RCODE: Label = listed("rcode", || Rcode::TEXTS.to_vec());
const CHANGE: Label = listed("change", || Change::TEXTS.to_vec());
const STEP: Label = listed("step", || Step::TEXTS.to_vec());
const STATUS: Label = listed("status", || labels::STATUSES.to_vec());
const TRANSACTION: Label = described(
    "transaction",
    "the transaction's name in `src/store`, such as `record-verdict`",
);
const WHAT: Label = listed("what", || Forgotten::TEXTS.to_vec());

series! {
    start: Seconds<0> = "process_start_time_seconds" [],
        "When this attester began its work, in seconds since 1970",
        alert: "";
    build: Levels<1> = "attester_build_info" [VERSION],
        "1, and the version of the program",
        alert: "";
    ready: Levels<0> = "attester_ready" [],
        "Whether it takes new work, as /readyz says: state restored, DNS answered, sessions accepted, not draining, the keyset valid",
        alert: "`attester_ready == 0` for 2 minutes: it hangs while it starts or stops";
    well: Levels<1> = "attester_part_well" [PART],
        "Whether a part is well, as /healthz says",
        alert: "`attester_part_well == 0` for 1 minute. store: nothing new is decided (disk full?); dns: DNS lags behind; \
            origin: probes are inconclusive and leases lapse; keyset: it has ended, and nothing can be proved";
    keyset_until: Seconds<0> = "attester_keyset_expires_time_seconds" [],
        "When the keyset that agents are given ends, in seconds since 1970",
        alert: "`attester_keyset_expires_time_seconds - time() < 7 * 86400`: without a new one every agent turns away";
    keyset_revoked: Levels<0> = "attester_keyset_revoked_keys" [],
        "Keys that the keyset revokes; there is place for 24, for the life of a root",
        alert: "`attester_keyset_revoked_keys >= 20`: plan a new root";
    key_folder_used: Levels<0> = "attester_key_folder_used" [],
        "Whether what the key folder says is in use",
        alert: "`attester_key_folder_used == 0` for 5 minutes: a rotation or a revocation has no effect, and the log says why \
            (an older keyset was put back, a file cannot be read)";

    handshakes: Counts<1> = "attester_session_handshakes" [RESULT],
        "TLS handshakes at the session port",
        alert: "";
    turned_away: Counts<2> = "attester_connections_turned_away" [DOOR, LIMIT],
        "Connections that found no place, or at the door of DNS lost it to a newer one",
        alert: "`rate(…{limit=\"everywhere\"}[5m]) > 0`: too many agents, or a flood";
    registrations: Counts<1> = "attester_registrations" [REASON],
        "Registrations that were accepted (reason none) or rejected",
        alert: "`rate(…{reason=\"attester-full\"}[10m]) > 0`: raise admission.max_peers or add an attester";
    sessions: Levels<0> = "attester_sessions" [],
        "Live sessions of registered agents",
        alert: "a fall by half within 5 minutes: a network between you and many peers broke";
    session_ends: Counts<1> = "attester_session_ends" [HOW],
        "Sessions of registered agents that ended",
        alert: "`rate(…{how=\"silent\"}[5m])` far above its usual: as above";

    probes: Counts<4> = "attester_probes" [OUTCOME, REASON, PATH, PROTOCOL],
        "Probes that ended, by what they showed; path and protocol are the route",
        alert: "`sum(rate(…{outcome=\"inconclusive\"}[5m])) > 0.1 * sum(rate(attester_probes_total[5m]))`: the attester's own \
            trouble";
    phases: Times<1> = "attester_probe_phase_seconds" [PHASE],
        "How long each phase of a probe took, for the phases that were reached",
        alert: "";
    probe_handshakes: Counts<1> = "attester_probe_handshakes" [HANDSHAKE],
        "TLS handshakes of probes that were finished, with peers and with the edge",
        alert: "";
    control_probes: Counts<1> = "attester_control_probes" [CONTROL],
        "Probes without a peer, made before a failure counts",
        alert: "`increase(…{result=\"failed\"}[5m]) > 0`: the attester does not reach its own origin";
    in_flight: Levels<0> = "attester_probes_in_flight" [],
        "Probes under way",
        alert: "";
    waiting: Levels<1> = "attester_probes_waiting" [QUEUE],
        "Peers whose probe is due and has no place",
        alert: "`…{queue=\"members\"} > 0` for 1 minute: raise probe.concurrency, or leases will lapse";
    verdicts: Counts<2> = "attester_verdicts" [OUTCOME, STANDING],
        "Verdicts written down, by outcome and the peer's standing after it",
        alert: "";

    peers: Levels<1> = "attester_peers" [STANDING],
        "Peers known, by standing",
        alert: "`attester_peers{standing=\"suspended\"}` above a third of all: look at the attester before the peers";
    rotation: Levels<0> = "attester_rotation_peers" [],
        "Peers in the rotation",
        alert: "`attester_rotation_peers < N` for the least N that your clients need";
    shortest_lease: Seconds<0> = "attester_lease_remaining_min_seconds" [],
        "What is left of the lease that ends first; absent when there is none",
        alert: "below the time of one probe (probe.total) for 1 minute: leases are not renewed in time";

    dns_queries: Counts<2> = "attester_dns_queries" [TRANSPORT, RCODE],
        "DNS questions, by the answer's response code",
        alert: "`rate(…{rcode=\"servfail\"}[5m]) > 0` while ready; a sudden rise of refused or unanswered is somebody else's noise";
    records_changed: Counts<1> = "attester_dns_records_changed" [CHANGE],
        "Records added to what DNS shows, or removed",
        alert: "";
    reconciled: Counts<0> = "attester_reconciliations" [],
        "Comparisons of what DNS shows with what it should, that ended with both equal",
        alert: "`rate(attester_reconciliations_total[5m]) == 0`: the reconciler hangs";
    reconcile_failures: Counts<1> = "attester_reconcile_failures" [STEP],
        "Comparisons that failed and are tried again",
        alert: "`increase(…[10m]) > 3`: the publisher refuses or is away";

    origin_requests: Counts<1> = "attester_origin_requests" [STATUS],
        "Requests that the origin answered",
        alert: "`rate(…{status=\"503\"}[5m]) > 0`: the origin is full, and probes are inconclusive";

    transactions: Times<1> = "attester_store_transaction_seconds" [TRANSACTION],
        "How long transactions took from their beginning to their being on the disk",
        alert: "99th percentile of record-verdict above 0.5 s: the disk is too slow";
    transaction_failures: Counts<1> = "attester_store_failures" [TRANSACTION],
        "Transactions that failed and were undone",
        alert: "`increase(…[5m]) > 0`: the disk is full or broken";

    evidence_stored: Counts<0> = "attester_evidence_stored_bytes" [],
        "Bytes of signed evidence written",
        alert: "";
    evidence_bytes: Levels<0> = "attester_evidence_bytes" [],
        "Bytes of signed evidence kept, as of the last pruning",
        alert: "above evidence.total_bytes: live leases rest on more than may be kept";
    state_file_bytes: Levels<0> = "attester_state_file_bytes" [],
        "Bytes of the state file, free pages in it included, as of the last pruning",
        alert: "half of what the disk has left";
    pruned: Counts<1> = "attester_pruned" [WHAT],
        "Probes, with their evidence, and peers that were forgotten for their age or for want of room",
        alert: "";
}
