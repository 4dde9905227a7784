use std::path::Path;

use proto::claims::{Phase, Protocol};

use super::*;

/// Compares with a committed file; writes it when UPDATE_GENERATED is set.
fn compare(file: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        committed, text,
        "{file} is not what the source says: set UPDATE_GENERATED=1 once"
    );
}

/// `name`, `labels in braces or nothing`, `value` of each sample.
fn samples(text: &str) -> Vec<(String, String, f64)> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let sample = |line: &str| {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap();
        (
            name.to_owned(),
            labels.strip_suffix('}').unwrap().to_owned(),
            value.parse().unwrap(),
        )
    };
    lines.map(sample).collect()
}

fn value(metrics: &Metrics, name: &str, labels: &str) -> Option<f64> {
    let all = samples(&metrics.text());
    all.into_iter()
        .find(|sample| sample.0 == name && sample.1 == labels)
        .map(|sample| sample.2)
}

#[test]
fn the_document_and_the_list_are_those_of_the_source() {
    compare("METRICS.md", &document());
    compare("tests/golden/metrics.txt", &list());
}

#[test]
fn names_are_unique_and_in_the_form_that_prometheus_asks_for() {
    for (index, series) in SERIES.iter().enumerate() {
        let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        assert!(
            plain(series.name) && !series.name.ends_with("_total"),
            "{}",
            series.name
        );
        assert!(series.labels.iter().all(|label| plain(label.name)), "{}", series.name);
        assert!(
            !series.help.is_empty() && !series.help.ends_with('.'),
            "{}",
            series.name
        );
        assert!(
            SERIES.iter().skip(index + 1).all(|other| other.name != series.name),
            "{}",
            series.name
        );
        // A table's cell.
        assert!(
            !series.help.contains('|') && !series.alert.contains('|'),
            "{}",
            series.name
        );
    }
}

#[test]
fn what_is_exposed_is_what_is_declared() {
    let metrics = Metrics::default();
    happen(&metrics);
    let text = metrics.text();
    assert!(text.ends_with("# EOF\n"));
    for series in SERIES {
        assert!(
            text.contains(&format!("# TYPE {} {}\n", series.name, series.kind)),
            "{text}"
        );
        assert!(
            text.contains(&format!("# HELP {} {}.\n", series.name, series.help)),
            "{}",
            series.name
        );
    }
    let types = text.lines().filter(|line| line.starts_with("# TYPE ")).count();
    assert_eq!(types, SERIES.len());
    for (name, labels, _) in samples(&text) {
        let series = SERIES.iter().filter(|series| name.starts_with(series.name));
        let series = series.max_by_key(|series| series.name.len()).unwrap();
        let found: Vec<(&str, &str)> = labels
            .split(',')
            .filter(|label| !label.is_empty())
            .map(|label| label.split_once('=').unwrap())
            .filter(|(name, _)| *name != "le")
            .collect();
        assert_eq!(found.len(), series.labels.len(), "{name}{{{labels}}}");
        for ((name, value), label) in found.iter().zip(series.labels) {
            assert_eq!(*name, label.name);
            if let Values::Listed(values) = label.values {
                assert!(values().contains(&value.trim_matches('"')), "{}: {value}", series.name);
            }
        }
    }
}

/// Each method once.
fn happen(metrics: &Metrics) {
    metrics.started(Timestamp::from_secs(7));
    metrics.ready(true);
    metrics.part(Part::Dns, true);
    metrics.keyset(Timestamp::from_secs(9), 2);
    metrics.handshake(Handshake::Failed);
    metrics.turned_away(Door::Origin, Full::ForSource);
    metrics.registered();
    metrics.rejected(Reason::Relay);
    metrics.session_ended(SessionEnd::Silent);
    let mut phases = PhaseTimes::default();
    phases.note(Phase::Resolve, Duration::from_millis(2));
    phases.note(Phase::Connect, Duration::from_millis(5));
    metrics.probe(
        Route::direct(Protocol::Connect),
        Outcome::Failed,
        Some(Reason::TlsTimeout),
        &phases,
    );
    metrics.probe_handshake(true);
    metrics.control_probe(true);
    metrics.verdict(Outcome::Failed, "suspended");
    metrics.levels(&Levels {
        sessions: 3,
        standings: vec![("verified", 2), ("probing", 1)],
        rotation: 2,
        shortest_lease: Some(Duration::from_millis(1500)),
        in_flight: 4,
        members_waiting: 5,
        others_waiting: 6,
    });
    metrics.dns_query(Transport::Udp, Rcode::NxDomain);
    metrics.records_changed(Change::Added, 4);
    metrics.reconciled();
    metrics.reconcile_failed(Step::Apply);
    metrics.origin_request(409);
    metrics.origin_request(418);
    metrics.transaction("record-verdict", Duration::from_millis(3));
    metrics.transaction_failed("record-verdict");
    metrics.evidence_stored(100);
    metrics.evidence_bytes(1000);
    metrics.state_file_bytes(5000);
    metrics.pruned(Forgotten::Probes, 8);
}

#[test]
fn what_happens_is_counted() {
    let metrics = Metrics::default();
    assert_eq!(value(&metrics, "attester_lease_remaining_min_seconds", ""), None);
    assert_eq!(value(&metrics, "attester_sessions", ""), Some(0.0));
    assert_eq!(
        value(&metrics, "attester_session_ends_total", "how=\"silent\""),
        Some(0.0)
    );
    happen(&metrics);
    for (name, labels, expected) in [
        ("process_start_time_seconds", "", 7.0),
        ("attester_ready", "", 1.0),
        ("attester_part_well", "part=\"dns\"", 1.0),
        ("attester_part_well", "part=\"store\"", 0.0),
        ("attester_keyset_expires_time_seconds", "", 9.0),
        ("attester_keyset_revoked_keys", "", 2.0),
        ("attester_session_handshakes_total", "result=\"failed\"", 1.0),
        (
            "attester_connections_turned_away_total",
            "door=\"origin\",limit=\"source\"",
            1.0,
        ),
        ("attester_registrations_total", "reason=\"none\"", 1.0),
        ("attester_registrations_total", "reason=\"relay\"", 1.0),
        ("attester_sessions", "", 3.0),
        ("attester_session_ends_total", "how=\"silent\"", 1.0),
        (
            "attester_probes_total",
            "outcome=\"failed\",reason=\"tls-timeout\",path=\"direct\",protocol=\"connect\"",
            1.0,
        ),
        ("attester_probe_phase_seconds_sum", "phase=\"resolve\"", 0.002),
        ("attester_probe_phase_seconds_sum", "phase=\"connect\"", 0.003),
        ("attester_probe_phase_seconds_count", "phase=\"tls\"", 0.0),
        ("attester_probe_handshakes_total", "handshake=\"full\"", 0.0),
        ("attester_probe_handshakes_total", "handshake=\"resumed\"", 1.0),
        ("attester_control_probes_total", "result=\"reached\"", 1.0),
        (
            "attester_verdicts_total",
            "outcome=\"failed\",standing=\"suspended\"",
            1.0,
        ),
        ("attester_peers", "standing=\"verified\"", 2.0),
        ("attester_peers", "standing=\"retired\"", 0.0),
        ("attester_rotation_peers", "", 2.0),
        ("attester_lease_remaining_min_seconds", "", 1.5),
        ("attester_probes_in_flight", "", 4.0),
        ("attester_probes_waiting", "queue=\"others\"", 6.0),
        (
            "attester_dns_queries_total",
            "transport=\"udp\",rcode=\"nxdomain\"",
            1.0,
        ),
        ("attester_dns_records_changed_total", "change=\"added\"", 4.0),
        ("attester_reconciliations_total", "", 1.0),
        ("attester_reconcile_failures_total", "step=\"apply\"", 1.0),
        ("attester_origin_requests_total", "status=\"409\"", 1.0),
        ("attester_origin_requests_total", "status=\"other\"", 1.0),
        (
            "attester_store_transaction_seconds_count",
            "transaction=\"record-verdict\"",
            1.0,
        ),
        ("attester_store_failures_total", "transaction=\"record-verdict\"", 1.0),
        ("attester_evidence_stored_bytes_total", "", 100.0),
        ("attester_evidence_bytes", "", 1000.0),
        ("attester_state_file_bytes", "", 5000.0),
        ("attester_pruned_total", "what=\"probes\"", 8.0),
    ] {
        assert_eq!(value(&metrics, name, labels), Some(expected), "{name}{{{labels}}}");
    }
    metrics.levels(&Levels::default());
    assert_eq!(value(&metrics, "attester_lease_remaining_min_seconds", ""), None);
    assert_eq!(value(&metrics, "attester_peers", "standing=\"verified\""), Some(0.0));
    // One struct a process: another one knows nothing of this.
    assert_eq!(value(&Metrics::default(), "attester_ready", ""), Some(0.0));
}

#[test]
fn every_standing_has_its_label() {
    use crate::decide::{Life, Standing};

    // A new standing would have to be added here, and to the list.
    let name = |standing: &Standing| match standing {
        Standing::Registered => "registered",
        Standing::Named => "named",
        Standing::Probing(_) => "probing",
        Standing::Verified { .. } => "verified",
        Standing::Suspended(_) => "suspended",
        Standing::Refused(_) => "refused",
        Standing::Retired => "retired",
    };
    for standing in [Standing::Registered, Standing::Named, Standing::Retired] {
        assert_eq!(standing.name(), name(&standing));
        assert!(labels::STANDINGS.contains(&standing.name()));
    }
    assert_eq!(labels::STANDINGS.len(), 7);
    let _: fn(&Life) -> &Standing = Life::standing;
}
