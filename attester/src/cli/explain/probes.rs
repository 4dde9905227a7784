//! Stored probes as `explain` shows them: phases, times, and the digests of what was signed.

use std::fmt::Write;

use proto::{claims::EvidenceKind, evidence::Evidence, ids::Digest};
use serde_json::{Map, Value, json};

use super::super::{evidence::said, show};
use crate::{
    model::{Finding, PhaseTimes},
    store::ProbeRow,
};

/// Probes for people, a few lines each.
pub(super) fn table(probes: &[ProbeRow]) -> String {
    let mut text = show::bold(&format!(
        "{:<21}{:<14}{:<21}{:<9}{:<14}REASON",
        "WHEN (UTC)", "PROBE", "ROUTE", "BODY", "OUTCOME"
    ));
    text.push('\n');
    for probe in probes {
        let reason = probe.reason.map_or_else(|| "-".to_owned(), |reason| reason.to_string());
        let line = format!(
            "{:<21}{:<14}{:<21}{:<9}{:<14}{reason}",
            show::clock_time(probe.at),
            short(probe),
            probe.route,
            probe.body,
            probe.outcome.as_str(),
        );
        text += &show::painted(&line, probe.outcome.as_str());
        text.push('\n');
        if !probe.phases.0.is_empty() {
            let words: Vec<String> = format!("{} ms", probe.phases).split(' ').map(str::to_owned).collect();
            for line in show::wrapped(&words, show::WIDTH - INDENT.len()) {
                let _ = writeln!(text, "{INDENT}{line}");
            }
        }
        if !probe.detail.is_empty() {
            let words: Vec<String> = probe.detail.split(' ').map(str::to_owned).collect();
            for line in show::wrapped(&words, show::WIDTH - INDENT.len()) {
                let _ = writeln!(text, "{INDENT}{line}");
            }
        }
        let _ = match probe.evidence.len() {
            0 => writeln!(text, "{INDENT}no evidence"),
            bytes => writeln!(
                text,
                "{INDENT}evidence {bytes} bytes, SHA-256 {}",
                Digest::of(&probe.evidence)
            ),
        };
    }
    text
}

/// One probe for people, with every claim.
pub(super) fn at_length(probe: &ProbeRow) -> String {
    let mut text = String::new();
    let mut fields = vec![
        ("probe", probe.probe.to_string()),
        ("peer", probe.peer.to_string()),
        ("began", show::clock_time_millis(probe.at)),
        ("route", format!("{}, body of {} bytes", probe.route, probe.body)),
        ("outcome", show::toned(probe.outcome.as_str())),
    ];
    if let Some(reason) = probe.reason {
        fields.push(("reason", format!("{reason} (phase {})", reason.phase())));
        fields.push(("what to do", Finding::new(reason, &probe.detail).remedy()));
    }
    fields.push(("nonce", probe.nonce.to_string()));
    fields.push((
        "evidence",
        match probe.evidence.len() {
            0 => "none".to_owned(),
            bytes => format!("{bytes} bytes, SHA-256 {}", Digest::of(&probe.evidence)),
        },
    ));
    for (name, value) in fields {
        text += &show::field(name, &value);
    }
    text += &show::heading("Phases");
    text += &phase_table(&probe.phases);
    text += &show::heading("Signed claims");
    let rows = claims(probe).into_iter().map(|claim| {
        let digest = claim
            .digest
            .map_or_else(|| "not there".to_owned(), |digest| digest.to_string());
        let listed = if claim.listed { "yes" } else { "-" };
        ("", [claim.name.to_owned(), digest, listed.to_owned()])
    });
    text += &show::table(["CLAIM", "SHA-256", "IN THE VERDICT"], rows.collect());
    if let Some(verdict) = said(&probe.evidence) {
        text += &show::heading("The verdict, as it was signed");
        for (name, value) in [
            ("outcome", verdict.outcome.to_string()),
            ("standing", verdict.standing.clone()),
            ("issued", show::clock_time(verdict.issued_at.start())),
            ("until", show::clock_time(verdict.expires.start())),
            (
                "receipt",
                verdict
                    .receipt_arrived
                    .map_or_else(|| "none arrived".to_owned(), show::clock_time_millis),
            ),
            ("peer clock", format!("{:+} ms", -verdict.clock_offset / 1000)),
            ("signed by", verdict.issuer.to_string()),
        ] {
            text += &show::field(name, &value);
        }
    }
    let _ = writeln!(
        text,
        "\nattester evidence export {} --probe {} writes it to a file that anybody can check.",
        probe.peer,
        short(probe)
    );
    text
}

fn phase_table(phases: &PhaseTimes) -> String {
    let mut before = std::time::Duration::ZERO;
    let mut rows = Vec::new();
    for (phase, elapsed) in &phases.0 {
        let millis = |time: std::time::Duration| format!("{:.3}", time.as_secs_f64() * 1000.0);
        rows.push((
            "",
            [
                phase.to_string(),
                millis(elapsed.saturating_sub(before)),
                millis(*elapsed),
            ],
        ));
        before = *elapsed;
    }
    if rows.is_empty() {
        return "None was reached.\n".to_owned();
    }
    show::table(["PHASE", "TOOK (MS)", "ENDED (MS)"], rows)
}

/// One claim of a probe.
struct ClaimSeen {
    name: &'static str,
    digest: Option<Digest>,
    listed: bool,
}

/// The claims of a probe as its verdict lists them, and the verdict itself.
fn claims(probe: &ProbeRow) -> Vec<ClaimSeen> {
    let evidence = Evidence::decode(&probe.evidence).unwrap_or(Evidence::EMPTY);
    let listed = said(&probe.evidence)
        .map(|verdict| verdict.evidence)
        .unwrap_or_default();
    let mut claims: Vec<ClaimSeen> = EvidenceKind::ALL
        .iter()
        .map(|kind| {
            let digest = evidence.claim(*kind).map(Digest::of);
            ClaimSeen {
                name: kind.as_str(),
                listed: digest.is_some() && listed.get(&kind.number()) == digest.as_ref(),
                digest,
            }
        })
        .collect();
    claims.push(ClaimSeen {
        name: "verdict",
        digest: evidence.verdict.as_ref().map(|verdict| Digest::of(&verdict.0)),
        listed: false,
    });
    claims
}

/// Enough of a probe's id to name it.
fn short(probe: &ProbeRow) -> String {
    let mut id = probe.probe.to_string();
    id.truncate(12);
    id
}

/// A probe for programs; phases in microseconds from its start.
pub(super) fn object(probe: &ProbeRow) -> Value {
    let micros = |elapsed: &std::time::Duration| u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
    let phases: Map<String, Value> = probe
        .phases
        .0
        .iter()
        .map(|(phase, elapsed)| (phase.to_string(), micros(elapsed).into()))
        .collect();
    let claims: Map<String, Value> = claims(probe)
        .into_iter()
        .filter_map(|claim| Some((claim.name.to_owned(), json!(claim.digest?.to_string()))))
        .collect();
    let digest = (!probe.evidence.is_empty()).then(|| Digest::of(&probe.evidence).to_string());
    json!({
        "kind": "probe",
        "probe": probe.probe.to_string(),
        "peer": probe.peer.as_str(),
        "at": show::rfc3339(probe.at),
        "path": probe.route.path,
        "protocol": probe.route.protocol,
        "body": probe.body,
        "outcome": probe.outcome,
        "standing": said(&probe.evidence).map(|verdict| verdict.standing),
        "phase": probe.reason.map(|reason| reason.phase()),
        "reason": probe.reason.map(|reason| reason.code()),
        "remedy": probe.reason.map(|reason| reason.remedy()),
        "detail": probe.detail,
        "phases_us": phases,
        "nonce": probe.nonce.to_string(),
        "evidence_bytes": probe.evidence.len(),
        "evidence_sha256": digest,
        "claims_sha256": claims,
    })
}

const INDENT: &str = "  ";
