//! `attester explain <peer>`: how a peer stands, why, what to do, and what that rests on.

use std::{fmt::Write, net::IpAddr, process::ExitCode};

use clap::Args;
use proto::time::{Clock, Timestamp};
use serde_json::{Value, json};

use super::{
    ConfigFile, Failure,
    evidence::{no_probe, probe_id, several_probes},
    listing::{bad_object, lease, not_one, peer_object, rejection_object, warn_of},
    show, with_store,
};
use crate::{
    model::Finding,
    records::Name,
    store::{BadRow, Loaded, Lookup, PeerRow, ProbeRow, RejectionRow, Store, StoreError},
};

mod moves;
mod outlook;
mod probes;

use moves::Moves;
use outlook::Outlook;

#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(super) struct Explain {
    /// Its id or the beginning of it, its own name, its public key, its ip:port or its ip
    peer: String,
    #[command(flatten)]
    file: ConfigFile,
    /// One JSON object a line instead of tables: the peer, then its moves to other keys, its probes, its rejections
    #[arg(long)]
    json: bool,
    /// The most probes to show, newest first
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
    /// One probe at length: its phases, each of its claims, its verdict; the beginning of its id is enough
    #[arg(long, value_name = "ID", conflicts_with = "limit", value_parser = probe_id)]
    probe: Option<String>,
}

/// What the state file says about what was asked for.
enum Answer {
    /// One peer.
    Peer {
        peer: Box<PeerRow>,
        probes: Loaded<ProbeRow>,
        moves: Moves,
        rejections: Vec<RejectionRow>,
    },
    /// The probes whose id was asked for.
    Probes(Box<PeerRow>, Loaded<ProbeRow>),
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
                moves,
                rejections,
            } => {
                let story = Story {
                    outlook: Outlook::of(&peer, &probes.rows, &config, now),
                    peer: &peer,
                    zone: &config.dns.zone,
                    probes: probes.rows.get(..self.limit).unwrap_or(&probes.rows),
                    moves: &moves,
                    rejections: &rejections,
                };
                if self.json {
                    let mut all = story.objects();
                    all.extend(probes.bad.iter().map(bad_object));
                    show::print(&show::lines(&all))?;
                } else {
                    show::print(&story.told(now))?;
                    warn_of(&probes.bad);
                }
                Ok(ExitCode::SUCCESS)
            }
            Answer::Probes(peer, found) => self.one_probe(&peer, &found),
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
            Answer::Several(peers) => Err(not_one(&self.peer, Lookup::Several(peers))),
            Answer::Unreadable(bad) => Err(not_one(&self.peer, Lookup::Bad(bad))),
            Answer::Nobody => Err(Failure::NotFound(format!(
                "no peer and no refused registration is known by {:?}; `attester peers` lists the peers",
                self.peer
            ))),
        }
    }

    fn one_probe(&self, peer: &PeerRow, found: &Loaded<ProbeRow>) -> Result<ExitCode, Failure> {
        warn_of(&found.bad);
        let asked = self.probe.as_deref().unwrap_or_default();
        match found.rows.as_slice() {
            [probe] if self.json => show::print(&show::lines(&[probes::object(probe)]))?,
            [probe] => show::print(&probes::at_length(probe))?,
            [] => return Err(no_probe(&peer.id, asked)),
            _ => return Err(several_probes(&peer.id, asked)),
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn ask(&self, store: &Store) -> Result<Answer, StoreError> {
        let rejections = store.rejections(Store::MOST_REJECTIONS).await?.rows;
        Ok(match store.find(&self.peer).await? {
            Lookup::One(peer) => {
                if let Some(id) = &self.probe {
                    let found = store.probes_named(&peer.id, id, 2).await?;
                    return Ok(Answer::Probes(peer, found));
                }
                let probes = store.probes(&peer.id, self.limit.max(OF_A_STREAK)).await?;
                let of_it = |rejection: &RejectionRow| match &rejection.peer {
                    Some(id) => *id == peer.id,
                    None => rejection.source == peer.address.ip(),
                };
                Answer::Peer {
                    probes,
                    moves: Moves::of(store, &peer.id, self.limit).await?,
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

/// Everything about one peer.
struct Story<'a> {
    peer: &'a PeerRow,
    zone: &'a Name,
    outlook: Outlook,
    probes: &'a [ProbeRow],
    moves: &'a Moves,
    rejections: &'a [RejectionRow],
}

impl Story<'_> {
    /// For people.
    fn told(&self, now: Timestamp) -> String {
        let Self { peer, outlook, .. } = self;
        let ago = |time: Timestamp| format!("{} ({} ago)", show::clock_time(time), show::length(now.since(time)));
        let mut text = String::new();
        for (name, value) in [
            ("peer", peer.id.to_string()),
            ("name", peer.id.own_name(self.zone.as_str())),
            ("address", peer.address.to_string()),
            ("protocols", peer.protocols.to_string()),
            ("standing", show::toned(&peer.standing)),
        ] {
            text += &show::field(name, &value);
        }
        if let Some(since) = peer.since {
            text += &show::field("since", &ago(since));
        }
        if let Some(until) = peer.lease_until {
            let left = lease(peer, now);
            text += &show::field("lease", &format!("{left}, until {}", show::clock_time(until)));
        }
        if let Some(reason) = peer.reason {
            text += &show::field("reason", reason.code());
            text += &show::field("what to do", &Finding::new(reason, &peer.detail).remedy());
        }
        text += &show::field("streak", &outlook.told());
        text += &show::field("waits for", &outlook.waits_for);
        text += &show::field("first seen", &ago(peer.first_seen));
        text += &show::field("last seen", &ago(peer.last_seen));
        for (name, value) in self.moves.fields() {
            text += &show::field(name, &value);
        }
        if self.probes.is_empty() {
            text.push_str("\nNo probe of it is stored.\n");
        } else {
            text += &show::heading("Probes, newest first");
            text += &probes::table(self.probes);
        }
        for (earlier, probes) in self.moves.earlier().filter(|(_, probes)| !probes.is_empty()) {
            text += &show::heading(&format!("Probes of {earlier}, newest first"));
            text += &probes::table(probes);
        }
        if !self.rejections.is_empty() {
            text += &show::heading("Refused registrations, newest first");
            text += &rejection_lines(self.rejections);
        }
        text
    }

    /// For programs.
    fn objects(&self) -> Vec<Value> {
        let mut peer = peer_object(self.peer, self.zone);
        if let Some(fields) = peer.as_object_mut() {
            fields.insert("streak".to_owned(), self.outlook.object());
            fields.insert("waits_for".to_owned(), json!(self.outlook.waits_for));
        }
        let mut all = vec![peer];
        all.extend(self.moves.objects());
        all.extend(self.probes.iter().map(probes::object));
        all.extend(
            self.moves
                .earlier()
                .flat_map(|(_, probes)| probes.iter().map(probes::object)),
        );
        all.extend(self.rejections.iter().map(rejection_object));
        all
    }
}

/// Somebody who was never accepted, for people.
fn stranger(rejections: &[RejectionRow]) -> String {
    let mut text = "Not a peer: each registration was refused, the latest because\n".to_owned();
    if let Some(latest) = rejections.first() {
        let _ = writeln!(text, "  {}", Finding::new(latest.reason, &latest.detail));
    }
    text.push_str(&show::heading("Refused registrations, newest first"));
    text.push_str(&rejection_lines(rejections));
    text
}

/// Refused registrations, a line or two each.
fn rejection_lines(rejections: &[RejectionRow]) -> String {
    let mut text = String::new();
    for rejection in rejections {
        let when = show::clock_time(rejection.at);
        // Writing to a string does not fail.
        let _ = writeln!(text, "{when}  {:<40}{}", rejection.source.to_string(), rejection.reason);
        let words: Vec<String> = rejection.detail.split_whitespace().map(str::to_owned).collect();
        for line in show::wrapped(&words, show::WIDTH - 2) {
            let _ = writeln!(text, "  {line}");
        }
    }
    text
}

/// Probes that are looked at for a streak, at least.
const OF_A_STREAK: usize = 64;
const HELP: &str = "\
With --json, one object a line. kind \"peer\": as `attester peers --json`, and streak (proofs, needed, \
missing, failures), waits_for. kind \"move\": old_peer, peer, at. kind \"probe\": probe, peer, at, path, \
protocol, body, outcome, standing (after it), phase, reason, remedy, detail, phases_us (microseconds from \
the start to each phase's end), nonce, evidence_bytes, evidence_sha256, claims_sha256 (by the claim's \
name). kind \"rejection\": as `attester rejections --json`. kind \"bad-row\": id, why. Times are RFC 3339, \
UTC.";
