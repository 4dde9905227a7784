//! `attester explain <peer>`: how a peer stands, why, what to do, and what that rests on.

use std::{fmt::Write, net::IpAddr, process::ExitCode};

use clap::Args;
use proto::time::{Clock, Timestamp};
use serde_json::{Value, json};

use super::{
    ConfigFile, Failure,
    listing::{lease, objects, peer_object, peer_table, rejection_object, rejection_table, warn_of},
    show, with_store,
};
use crate::{
    model::Finding,
    records::Name,
    store::{BadRow, Loaded, Lookup, PeerRow, ProbeRow, RejectionRow, Store, StoreError},
};

#[derive(Debug, Args)]
pub(super) struct Explain {
    /// Its id or the beginning of it, its own name, its public key, its ip:port or its ip
    peer: String,
    #[command(flatten)]
    file: ConfigFile,
    /// One JSON object a line instead of tables: the peer, then its probes, then its rejections
    #[arg(long)]
    json: bool,
    /// The most probes to show, newest first
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
}

/// What the state file says about what was asked for.
enum Answer {
    /// One peer.
    Peer {
        peer: Box<PeerRow>,
        probes: Loaded<ProbeRow>,
        rejections: Vec<RejectionRow>,
    },
    /// No peer that was ever accepted, but refused registrations.
    Stranger(Vec<RejectionRow>),
    Several(Vec<PeerRow>),
    Unreadable(Vec<BadRow>),
    Nobody,
}

impl Explain {
    pub(super) fn run(&self) -> Result<ExitCode, Failure> {
        let config = self.file.load()?;
        let now = Clock::system().now();
        match with_store(&config, async |store| self.ask(store).await)? {
            Answer::Peer {
                peer,
                probes,
                rejections,
            } => {
                let zone = &config.dns.zone;
                if self.json {
                    let mut all = vec![peer_object(&peer, zone)];
                    all.extend(objects(&probes, probe_object));
                    all.extend(rejections.iter().map(rejection_object));
                    show::print(&show::lines(&all))?;
                } else {
                    show::print(&told(&peer, zone, &probes.rows, &rejections, now))?;
                    warn_of(&probes.bad);
                }
                Ok(ExitCode::SUCCESS)
            }
            Answer::Stranger(rejections) => {
                if self.json {
                    show::print(&show::lines(
                        &rejections.iter().map(rejection_object).collect::<Vec<_>>(),
                    ))?;
                } else {
                    show::print(&stranger(&rejections))?;
                }
                Ok(ExitCode::SUCCESS)
            }
            Answer::Several(peers) => {
                let table = peer_table(&peers, now);
                Err(Failure::NotFound(format!(
                    "{:?} names more than one peer; choose one of them:\n{table}",
                    self.peer
                )))
            }
            Answer::Unreadable(bad) => {
                let rows: Vec<String> = bad.iter().map(ToString::to_string).collect();
                Err(Failure::NotFound(rows.join("\n")))
            }
            Answer::Nobody => Err(Failure::NotFound(format!(
                "no peer and no refused registration is known by {:?}; `attester peers` lists the peers",
                self.peer
            ))),
        }
    }

    async fn ask(&self, store: &Store) -> Result<Answer, StoreError> {
        let rejections = store.rejections(Store::MOST_REJECTIONS).await?.rows;
        Ok(match store.find(&self.peer).await? {
            Lookup::One(peer) => {
                let probes = store.probes(&peer.id, self.limit).await?;
                let of_it = |rejection: &RejectionRow| match &rejection.peer {
                    Some(id) => *id == peer.id,
                    None => rejection.source == peer.address.ip(),
                };
                Answer::Peer {
                    probes,
                    rejections: rejections.into_iter().filter(of_it).collect(),
                    peer,
                }
            }
            Lookup::Several(peers) => Answer::Several(peers),
            Lookup::Bad(bad) => Answer::Unreadable(bad),
            Lookup::None => {
                let asked = self.peer.trim().to_ascii_lowercase();
                let id = asked
                    .strip_prefix("peer-")
                    .unwrap_or(&asked)
                    .split('.')
                    .next()
                    .unwrap_or_default();
                let source: Option<IpAddr> = asked.parse().ok();
                let of_it = |rejection: &RejectionRow| {
                    let named = rejection
                        .peer
                        .as_ref()
                        .is_some_and(|peer| !id.is_empty() && peer.as_str().starts_with(id));
                    named || source == Some(rejection.source)
                };
                let of_it: Vec<RejectionRow> = rejections.into_iter().filter(of_it).collect();
                if of_it.is_empty() {
                    Answer::Nobody
                } else {
                    Answer::Stranger(of_it)
                }
            }
        })
    }
}

/// A peer for people.
fn told(peer: &PeerRow, zone: &Name, probes: &[ProbeRow], rejections: &[RejectionRow], now: Timestamp) -> String {
    let ago = |time: Timestamp| format!("{} ({} ago)", show::clock_time(time), show::length(now.since(time)));
    let mut fields = vec![
        ("peer", peer.id.to_string()),
        ("name", peer.id.own_name(zone.as_str())),
        ("address", peer.address.to_string()),
        ("protocols", peer.protocols.to_string()),
        ("standing", show::toned(&peer.standing)),
    ];
    if peer.lease_until.is_some() {
        fields.push(("lease", lease(peer, now)));
    }
    if let Some(reason) = peer.reason {
        fields.push(("reason", reason.to_string()));
        fields.push(("what to do", Finding::new(reason, &peer.detail).remedy()));
    }
    fields.push(("first seen", ago(peer.first_seen)));
    fields.push(("last seen", ago(peer.last_seen)));
    let mut text = String::new();
    for (name, value) in fields {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{name:<12}{value}");
    }
    if probes.is_empty() {
        text.push_str("\nNo probe of it is stored.\n");
    } else {
        text.push_str(&show::heading("Probes, newest first"));
        text.push_str(&probe_table(probes));
    }
    if !rejections.is_empty() {
        text.push_str(&show::heading("Refused registrations, newest first"));
        text.push_str(&rejection_table(rejections));
    }
    text
}

/// Somebody who was never accepted, for people.
fn stranger(rejections: &[RejectionRow]) -> String {
    let mut text = "Not a peer: each registration was refused, the latest because\n".to_owned();
    if let Some(latest) = rejections.first() {
        let _ = writeln!(text, "  {}", Finding::new(latest.reason, &latest.detail));
    }
    text.push_str(&show::heading("Refused registrations, newest first"));
    text.push_str(&rejection_table(rejections));
    text
}

fn probe_table(probes: &[ProbeRow]) -> String {
    let dash = || "-".to_owned();
    let rows = probes.iter().map(|probe| {
        let cells = [
            show::clock_time(probe.at),
            probe.route.to_string(),
            probe.body.to_string(),
            probe.outcome.to_string(),
            probe.reason.map_or_else(dash, |reason| reason.phase().to_owned()),
            probe.reason.map_or_else(dash, |reason| reason.to_string()),
            probe.phases.to_string(),
            probe.detail.clone(),
        ];
        (probe.outcome.as_str(), cells)
    });
    let header = [
        "WHEN (UTC)",
        "ROUTE",
        "BODY",
        "OUTCOME",
        "PHASE",
        "REASON",
        "TIMES (MS)",
        "DETAIL",
    ];
    show::table(header, rows.collect())
}

/// A probe for programs; phases in microseconds from its start.
fn probe_object(probe: &ProbeRow) -> Value {
    let phases: serde_json::Map<String, Value> = probe
        .phases
        .0
        .iter()
        .map(|(phase, elapsed)| {
            (
                phase.to_string(),
                u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX).into(),
            )
        })
        .collect();
    json!({
        "kind": "probe",
        "probe": probe.probe.to_string(),
        "peer": probe.peer.as_str(),
        "at": show::rfc3339(probe.at),
        "path": probe.route.path,
        "protocol": probe.route.protocol,
        "body": probe.body,
        "outcome": probe.outcome,
        "phase": probe.reason.map(|reason| reason.phase()),
        "reason": probe.reason.map(|reason| reason.code()),
        "remedy": probe.reason.map(|reason| reason.remedy()),
        "detail": probe.detail,
        "phases_us": phases,
        "nonce": probe.nonce.to_string(),
        "evidence_bytes": probe.evidence.len(),
    })
}
