//! `attester rejections`: which registrations were refused.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::{
    super::{ConfigFile, Failure, show, with_store},
    bad_object,
    filter::{Network, is_asked, reasons},
    rejection_object, rejection_table, warn_of,
};
use crate::store::{RejectionRow, Store};

#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(in crate::cli) struct Rejections {
    #[command(flatten)]
    file: ConfigFile,
    /// One JSON object a line instead of a table
    #[arg(long)]
    json: bool,
    /// Only those for this reason (proto/README.md, "Reasons", lists the codes)
    #[arg(long, value_name = "CODE", value_delimiter = ',', value_parser = reasons(), hide_possible_values = true)]
    reason: Vec<String>,
    /// Only those from this address: an IP or a network such as 192.0.2.0/24
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',', value_parser = Network::parse)]
    source: Vec<Network>,
    /// The most to list
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Only how many there are
    #[arg(long, conflicts_with = "limit")]
    count: bool,
}

impl Rejections {
    pub(in crate::cli) fn run(&self) -> Result<ExitCode, Failure> {
        let config = self.file.load()?;
        let mut loaded = with_store(&config, async |store| store.rejections(Store::MOST_REJECTIONS).await)?;
        loaded.rows.retain(|rejection| self.wants(rejection));
        let count = loaded.rows.len();
        loaded.rows.truncate(self.limit.unwrap_or(usize::MAX));
        let text = match (self.count, self.json) {
            (true, true) => show::lines(&[json!({ "kind": "count", "rejections": count })]),
            (true, false) => format!("{count}\n"),
            (false, true) => {
                let rejections = loaded.rows.iter().map(rejection_object);
                let objects: Vec<_> = rejections.chain(loaded.bad.iter().map(bad_object)).collect();
                show::lines(&objects)
            }
            (false, false) => rejection_table(&loaded.rows),
        };
        show::print(&text)?;
        if !self.json {
            warn_of(&loaded.bad);
        }
        Ok(ExitCode::SUCCESS)
    }

    fn wants(&self, rejection: &RejectionRow) -> bool {
        let from = |network: &Network| network.holds(rejection.source, None);
        is_asked(&self.reason, Some(rejection.reason.code()))
            && (self.source.is_empty() || self.source.iter().any(from))
    }
}

const HELP: &str = "\
The last 1,000 are kept. Filters of different names must both hold; of one name, given more than once or \
with commas, any one is enough.

With --json: kind \"rejection\", at, source, peer, reason, remedy, detail; kind \"count\", rejections; \
kind \"bad-row\", id, why.";
