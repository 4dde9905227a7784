//! The command line, and what its exit codes mean.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use peer_agent::{AgentError, give::GiveError};

mod init;
mod problem;
mod report;
mod run;
mod settings;

/// Serve as a give mode peer, and prove to an attester that it works.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES)]
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
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Init(init) => init::init(&init),
            Command::Run(run) => run::run(&run),
        }
    }
}

/// The exit code of a failure.
pub(crate) fn exit_code(error: &anyhow::Error) -> u8 {
    if error.is::<problem::FileError>() {
        return 2;
    }
    match (error.downcast_ref(), error.downcast_ref()) {
        (Some(AgentError::Identity(_) | AgentError::Folder { .. }), _) | (_, Some(GiveError::Tls(_))) => 3,
        (_, Some(GiveError::Listen { .. })) => 4,
        _ => 1,
    }
}

const EXIT_CODES: &str = "\
Exit codes:
  0  stopped as asked
  1  anything that is not listed here
  2  a mistake on the command line or in the configuration file, or no such file
  3  a key file that cannot be used
  4  the port cannot be listened on";
