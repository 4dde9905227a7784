//! What the programs cost, each figure beside a reference measured in the same run and beside its budget.
//!
//! A figure alone says more about the machine and its neighbours than about the program, so each is a ratio: the program and its
//! reference take turns, round after round, and the median of the rounds' ratios is told with its spread. Nothing is asserted
//! about time. Whoever measures has the machine to themselves, or reads the spread.
//!
//! Attester, peers and references run in processes of their own (this program again, in another role), so that processor time
//! and memory can be told apart.

mod admission;
mod bare;
mod capi;
mod child;
mod claims;
mod foreign;
mod mint;
mod report;
mod rig;
mod roles;
mod samples;
mod sessions;
mod streams;
mod tally;
mod tap;
mod throughput;
mod usage;
mod verification;
mod wire;

use std::process::ExitCode;

use clap::{Parser, ValueEnum};

use crate::{
    report::{Report, Row},
    roles::Role,
};

/// Measures the programs beside references and prints the figures beside their budgets.
///
/// Built without --release the figures mean nothing. Progress goes to standard error.
#[derive(Debug, Parser)]
#[command(name = "bench", after_help = NOTES, max_term_width = 100)]
struct Command {
    /// What to measure; everything by default
    #[arg(value_enum, value_name = "NAME")]
    names: Vec<Bench>,
    /// One JSON object a line instead of a table
    #[arg(long)]
    json: bool,
    /// As little as can be, to see that everything works; the figures mean nothing
    #[arg(long)]
    quick: bool,
    /// How many sessions, of those of which memory and idle time are measured
    #[arg(long, value_name = "COUNT", default_value_t = 10_000)]
    sessions: u32,
    /// How often all of these are killed and come back before that; without, memory is what it is at first
    #[arg(long, value_name = "COUNT", default_value_t = 3)]
    churns: u32,
    /// A part that another process of this program plays
    #[arg(long, value_enum, hide = true)]
    role: Option<Role>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Bench {
    /// Claims a second: signed, read and verified, rechecked, beside bare Ed25519
    Claims,
    /// The tap in the byte path, armed and not, beside a plain copy
    Tap,
    /// The flow calls of the C interface, in nanoseconds, beside the same in Rust
    Capi,
    /// One verification's latency, processor time and bytes, beside a bare handshake with a GET
    Verification,
    /// Verifications a second on one core, beside the bare loop
    Throughput,
    /// From a peer's start to its place in the rotation, with the default configuration
    Admission,
    /// Probes through a real Go server beside peerscanner's check (needs tests/setup.sh foreign)
    Foreign,
    /// A Go peer with the agent beside the same without (needs tests/setup.sh foreign)
    Bundled,
    /// Memory of 10,000 sessions after three reconnect churns beside bare tonic streams, and their idle processor time
    Sessions,
}

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    Full,
    Quick,
}

impl Scale {
    /// One of two values.
    pub(crate) fn pick<T>(self, full: T, quick: T) -> T {
        match self {
            Self::Full => full,
            Self::Quick => quick,
        }
    }
}

fn main() -> ExitCode {
    let command = Command::parse();
    harness::logs();
    if let Some(role) = command.role {
        return roles::play(role);
    }
    let scale = if command.quick { Scale::Quick } else { Scale::Full };
    let mut names = command.names;
    if names.is_empty() {
        names = Bench::value_variants().to_vec();
    }
    let mut report = Report::new(command.json);
    if cfg!(debug_assertions) || scale == Scale::Quick {
        eprintln!("bench: unoptimised or --quick: the figures mean nothing");
    }
    let mut well = true;
    for bench in names {
        match bench.run(scale, command.sessions, command.churns) {
            Ok(rows) => report.add(rows),
            Err(error) => {
                well = false;
                eprintln!("bench: {}: {error:#}", bench.name());
            }
        }
    }
    report.finish();
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Bench {
    fn run(self, scale: Scale, sessions: u32, churns: u32) -> anyhow::Result<Vec<Row>> {
        match self {
            Self::Claims => claims::measure(scale),
            Self::Tap => tap::measure(scale),
            Self::Capi => capi::measure(scale),
            Self::Verification => verification::measure(scale),
            Self::Throughput => throughput::measure(scale),
            Self::Admission => admission::measure(scale),
            Self::Foreign => foreign::measure(scale),
            Self::Bundled => foreign::bundled::measure(scale),
            Self::Sessions => sessions::measure(scale, sessions, churns),
        }
    }

    fn name(self) -> String {
        self.to_possible_value()
            .map(|value| value.get_name().to_owned())
            .unwrap_or_default()
    }
}

const NOTES: &str = "\
Exit status:
  0  all that was asked for was measured, whether its budgets are met or missed
  1  something could not be measured: what, is on standard error
  2  a mistake in the command line

tests/bench/README.md says what each figure is. RUST_LOG shows the log lines of all parts on standard error.";
