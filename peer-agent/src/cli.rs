//! The command line, and what its exit codes mean.
//!
//! The rule of colours, the table of exit statuses, the manual and the search for a misspelt key's neighbour are in the
//! attester's program as well, in its own words. Neither crate may see the other, and the one that both see, `proto`, is what
//! two parties must agree on, which is not how either of them talks to its user. So they are there twice; no third crate is
//! worth a few dozen lines each.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, CommandFactory, Parser, Subcommand};
use proto::text::is_deceptive;

mod check_config;
mod colour;
mod exit;
mod init;
mod keys;
mod manual;
mod problem;
mod report;
mod run;
mod settings;
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
#[path = "cli/settings/tests.rs"]
mod settings_tests;

use colour::is_coloured;
use exit::Exit;

/// Serve as a give mode peer, and prove to an attester that it works.
#[derive(Debug, Parser)]
#[command(name = "peer-agent", version, after_help = Exit::help(), max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a commented peer-agent.toml and the peer's identity key; existing files are kept
    Init(Box<Init>),
    /// Serve, and tell what the attester finds, until SIGTERM or Ctrl-C
    Run(Run),
    /// Show the peer's identity, or move it to a new key
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Read the configuration file and tell every mistake and risk with its line and key
    CheckConfig(check_config::CheckConfig),
    /// Print a script that completes this program's command lines in a shell
    Completions(manual::Completions),
    /// Print the manual page, or write one for each command
    Man(manual::Pages),
}

#[derive(Debug, Args)]
struct Init {
    /// Folder of the peer's keys
    #[arg(long, value_name = "DIR", default_value = ".")]
    state: PathBuf,
    /// Attester to register with, as host:port; repeat it for several endpoints of the same attester
    #[arg(long, value_name = "HOST:PORT")]
    attester: Vec<peer_agent::Endpoint>,
    /// The attester's root key, as its operator publishes it
    #[arg(long, value_name = "ed25519:KEY")]
    root: Option<proto::key::PublicKey>,
    /// Public address and port at which clients reach this peer
    #[arg(long, value_name = "IP:PORT")]
    address: Option<std::net::SocketAddr>,
    /// The file to write [default: peer-agent.toml in the state folder]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Run {
    /// The configuration file that `peer-agent init` wrote
    #[arg(long, value_name = "FILE", default_value = "peer-agent.toml")]
    config: PathBuf,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

impl Cli {
    /// Does what the command line says.
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        match self.command {
            Command::CheckConfig(check) => return check.run(),
            Command::Completions(completions) => completions.run(Self::command()),
            Command::Man(pages) => pages.run(Self::command()),
            Command::Init(init) => init::init(&init),
            Command::Run(run) => run::run(&run),
            Command::Keys(keys) => keys.run(),
        }?;
        Ok(Exit::Done)
    }
}

/// Prints help, or what is wrong with a command line, by the program's own rule of colours (clap's would colour a dumb
/// terminal on a machine that says it is CI).
pub(crate) fn tell(told: &clap::Error) -> ExitCode {
    let coloured = match told.use_stderr() {
        true => is_coloured(&io::stderr()),
        false => is_coloured(&io::stdout()),
    };
    let text = told.render();
    let text = if coloured {
        text.ansi().to_string()
    } else {
        text.to_string()
    };
    // It quotes what was typed, or pasted from somewhere.
    let text: String = text.chars().filter(|letter| !is_deceptive(*letter)).collect();
    // Whoever closed the stream does not want to know.
    let (_, exit) = match told.use_stderr() {
        true => (io::stderr().write_all(text.as_bytes()), Exit::Config),
        false => (io::stdout().write_all(text.as_bytes()), Exit::Done),
    };
    ExitCode::from(exit.code())
}

/// The exit code of a failure.
pub(crate) fn exit_code(error: &anyhow::Error) -> u8 {
    Exit::of(error).code()
}
