//! `attester peers` and `attester rejections`.

use proto::time::{Clock, Timestamp};
use serde_json::{Value, json};

use super::{Failure, show};
use crate::{
    records::Name,
    store::{BadRow, Lookup, PeerRow, RejectionRow},
};

mod filter;
mod peers;
mod rejections;

pub(super) use peers::Peers;
pub(super) use rejections::Rejections;

/// Peers, a row each.
pub(super) fn peer_table(peers: &[PeerRow], now: Timestamp) -> String {
    let rows = peers.iter().map(|peer| {
        let cells = [
            peer.id.to_string(),
            peer.standing.clone(),
            peer.address.to_string(),
            peer.protocols.to_string(),
            lease(peer, now),
            format!("{} ago", show::length(now.since(peer.last_seen))),
            peer.reason.map_or_else(|| "-".to_owned(), |reason| reason.to_string()),
        ];
        (peer.standing.as_str(), cells)
    });
    show::table(
        ["PEER", "STANDING", "ADDRESS", "PROTOCOLS", "LEASE", "SEEN", "REASON"],
        rows.collect(),
    )
}

/// Rejections, a row each.
pub(super) fn rejection_table(rejections: &[RejectionRow]) -> String {
    let rows = rejections.iter().map(|rejection| {
        let cells = [
            show::clock_time(rejection.at),
            rejection.source.to_string(),
            rejection
                .peer
                .as_ref()
                .map_or_else(|| "-".to_owned(), |peer| peer.to_string()),
            rejection.reason.to_string(),
            rejection.detail.clone(),
        ];
        ("", cells)
    });
    show::table(["WHEN (UTC)", "SOURCE", "PEER", "REASON", "DETAIL"], rows.collect())
}

/// What is left of a peer's lease.
pub(super) fn lease(peer: &PeerRow, now: Timestamp) -> String {
    match peer.lease_until {
        None => "-".to_owned(),
        Some(until) if until <= now => "over".to_owned(),
        Some(until) => show::length(until.since(now)),
    }
}

/// A peer for programs.
pub(super) fn peer_object(peer: &PeerRow, zone: &Name) -> Value {
    json!({
        "kind": "peer",
        "peer": peer.id.as_str(),
        "name": peer.id.own_name(zone.as_str()),
        "key": peer.key.to_string(),
        "address": peer.address,
        "pin": peer.pin.to_string(),
        "protocols": peer.protocols,
        "standing": peer.standing,
        "since": peer.since.map(show::rfc3339),
        "reason": peer.reason.map(|reason| reason.code()),
        "remedy": peer.reason.map(|reason| reason.remedy()),
        "detail": peer.detail,
        "first_seen": show::rfc3339(peer.first_seen),
        "last_seen": show::rfc3339(peer.last_seen),
        "lease_until": peer.lease_until.map(show::rfc3339),
    })
}

/// A rejection for programs.
pub(super) fn rejection_object(rejection: &RejectionRow) -> Value {
    json!({
        "kind": "rejection",
        "at": show::rfc3339(rejection.at),
        "source": rejection.source,
        "peer": rejection.peer.as_ref().map(|peer| peer.as_str()),
        "reason": rejection.reason.code(),
        "remedy": rejection.reason.remedy(),
        "detail": rejection.detail,
    })
}

/// Tells of rows that could not be read, beside the listing.
pub(super) fn warn_of(bad: &[BadRow]) {
    for row in bad {
        show::say(&row.to_string());
    }
}

/// An unreadable row for programs.
pub(super) fn bad_object(row: &BadRow) -> Value {
    json!({ "kind": "bad-row", "id": row.id, "why": row.why })
}

/// Why a text that was to name one peer does not.
pub(super) fn not_one(text: &str, lookup: Lookup) -> Failure {
    Failure::NotFound(match lookup {
        Lookup::Several(peers) => format!(
            "{text:?} names more than one peer; choose one of them:\n{}",
            peer_table(&peers, Clock::system().now())
        ),
        Lookup::Bad(bad) => {
            let rows: Vec<String> = bad.iter().map(ToString::to_string).collect();
            rows.join("\n")
        }
        Lookup::None | Lookup::One(_) => {
            format!("no peer is known by {text:?}; `attester peers` lists the peers")
        }
    })
}
