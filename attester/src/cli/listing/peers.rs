//! `attester peers`: which peers, in which order.

use std::{cmp::Reverse, process::ExitCode, time::Duration};

use clap::{Args, ValueEnum};
use proto::{
    claims::Protocol,
    time::{Clock, Timestamp},
};
use serde_json::json;

use super::{
    super::{ConfigFile, Failure, show, with_store},
    bad_object,
    filter::{Network, duration, is_asked, reasons},
    peer_object, peer_table, warn_of,
};
use crate::store::PeerRow;

#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(in crate::cli) struct Peers {
    #[command(flatten)]
    file: ConfigFile,
    /// One JSON object a line instead of a table
    #[arg(long)]
    json: bool,
    /// Only peers that stand so
    #[arg(long, value_delimiter = ',', value_parser = STANDINGS)]
    standing: Vec<String>,
    /// Only peers that stand so for this reason (proto/README.md, "Reasons", lists the codes)
    #[arg(long, value_name = "CODE", value_delimiter = ',', value_parser = reasons(), hide_possible_values = true)]
    reason: Vec<String>,
    /// Only peers that list this protocol
    #[arg(long, value_delimiter = ',', value_parser = PROTOCOLS)]
    protocol: Vec<String>,
    /// Only peers at this address: an IP, an ip:port or a network such as 192.0.2.0/24
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',', value_parser = Network::parse)]
    address: Vec<Network>,
    /// Only peers that were heard of within this time, such as 90s, 5m, 24h or 30d
    #[arg(long, value_name = "TIME", value_parser = duration)]
    seen_within: Option<Duration>,
    /// Only peers that were not heard of within this time
    #[arg(long, value_name = "TIME", value_parser = duration)]
    not_seen_within: Option<Duration>,
    /// Only peers whose lease still runs and ends within this time
    #[arg(long, value_name = "TIME", value_parser = duration)]
    lease_within: Option<Duration>,
    /// The order; for times the most urgent or latest first
    #[arg(long, value_name = "KEY", default_value = "id")]
    sort: Sort,
    /// The other way round
    #[arg(long)]
    reverse: bool,
    /// The most peers to list
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Only how many there are
    #[arg(long, conflicts_with_all = ["limit", "reverse"])]
    count: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Sort {
    Id,
    /// From registered to retired
    Standing,
    Address,
    /// The lease that ends first, first
    Lease,
    /// Heard of latest, first
    Seen,
    /// Changed its standing latest, first
    Since,
    /// First seen latest, first
    FirstSeen,
    Reason,
}

impl Peers {
    pub(in crate::cli) fn run(&self) -> Result<ExitCode, Failure> {
        let config = self.file.load()?;
        let mut loaded = with_store(&config, async |store| store.peers().await)?;
        let now = Clock::system().now();
        loaded.rows.retain(|peer| self.wants(peer, now));
        if self.count {
            let count = loaded.rows.len();
            let text = match self.json {
                true => show::lines(&[json!({ "kind": "count", "peers": count })]),
                false => format!("{count}\n"),
            };
            show::print(&text)?;
            warn_of(&loaded.bad);
            return Ok(ExitCode::SUCCESS);
        }
        self.sort(&mut loaded.rows);
        loaded.rows.truncate(self.limit.unwrap_or(usize::MAX));
        if self.json {
            let peers = loaded.rows.iter().map(|row| peer_object(row, &config.dns.zone));
            let objects: Vec<_> = peers.chain(loaded.bad.iter().map(bad_object)).collect();
            show::print(&show::lines(&objects))?;
        } else {
            show::print(&peer_table(&loaded.rows, now))?;
            warn_of(&loaded.bad);
        }
        Ok(ExitCode::SUCCESS)
    }

    fn wants(&self, peer: &PeerRow, now: Timestamp) -> bool {
        let unseen = now.since(peer.last_seen);
        let ends = peer
            .lease_until
            .filter(|until| *until > now)
            .map(|until| until.since(now));
        let (ip, port) = (peer.address.ip(), Some(peer.address.port()));
        is_asked(&self.standing, Some(&peer.standing))
            && is_asked(&self.reason, peer.reason.map(|reason| reason.code()))
            && (self.protocol.is_empty()
                || peer
                    .protocols
                    .iter()
                    .any(|one| is_asked(&self.protocol, Some(one.as_str()))))
            && (self.address.is_empty() || self.address.iter().any(|network| network.holds(ip, port)))
            && self.seen_within.is_none_or(|within| unseen <= within)
            && self.not_seen_within.is_none_or(|within| unseen > within)
            && self
                .lease_within
                .is_none_or(|within| ends.is_some_and(|ends| ends <= within))
    }

    fn sort(&self, rows: &mut [PeerRow]) {
        // The rows come by id, and equal ones keep that order.
        match self.sort {
            Sort::Id => {}
            Sort::Standing => rows.sort_by_key(|peer| STANDINGS.iter().position(|name| *name == peer.standing)),
            Sort::Address => rows.sort_by_key(|peer| peer.address),
            Sort::Lease => rows.sort_by_key(|peer| (peer.lease_until.is_none(), peer.lease_until)),
            Sort::Seen => rows.sort_by_key(|peer| Reverse(peer.last_seen)),
            Sort::Since => rows.sort_by_key(|peer| Reverse(peer.since)),
            Sort::FirstSeen => rows.sort_by_key(|peer| Reverse(peer.first_seen)),
            Sort::Reason => rows.sort_by_key(|peer| (peer.reason.is_none(), peer.reason)),
        }
        if self.reverse {
            rows.reverse();
        }
    }
}

/// Where a peer may stand, in the order of its life.
const STANDINGS: [&str; 7] = [
    "registered",
    "named",
    "probing",
    "verified",
    "suspended",
    "refused",
    "retired",
];
const PROTOCOLS: [&str; 3] = [
    Protocol::Enproxy.as_str(),
    Protocol::EnproxyPath.as_str(),
    Protocol::Connect.as_str(),
];
const HELP: &str = "\
Filters of different names must all hold; of one name, given more than once or with commas, any one is \
enough: `--standing suspended,refused --seen-within 1h` lists whoever is suspended or refused and was \
heard of in the last hour.
--limit cuts what --sort has ordered; --count counts what the filters leave.

With --json: kind \"peer\", peer, name, key, address, pin, protocols, standing, since, reason, remedy, \
detail, first_seen, last_seen, lease_until; kind \"count\", peers; kind \"bad-row\", id, why. Times are \
RFC 3339, UTC; absent ones null.";
