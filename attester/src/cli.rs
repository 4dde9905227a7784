//! The command line. What it prints is for people, or with `--json` for programs: one object a line.

use std::{error::Error, fmt, io, path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};

use crate::{
    config::{Config, ConfigError},
    store::{Store, StoreError},
};

mod explain;
mod init;
mod listing;
mod serve;
mod show;

#[derive(Debug, Parser)]
#[command(name = "attester", version, about = ABOUT, after_help = EXIT_CODES, max_term_width = 100)]
struct Command {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Write a commented attester.toml and new keys; nothing that exists is overwritten
    Init(init::Init),
    /// Verify peers and answer DNS, until SIGTERM or SIGINT
    Serve(ConfigFile),
    /// List the peers: standing, address, lease, reason
    Peers(Listing),
    /// Tell how a peer stands, why, what to do, and what its probes and registrations showed
    Explain(explain::Explain),
    /// List the registrations refused last, newest first
    Rejections(Listing),
    /// Read the configuration and tell each mistake with its line and key
    CheckConfig(ConfigFile),
}

/// Where the configuration is.
#[derive(Debug, Args)]
struct ConfigFile {
    /// The configuration; a relative state folder in it is taken from its folder
    #[arg(long, value_name = "FILE", default_value = "attester.toml")]
    config: PathBuf,
}

#[derive(Debug, Args)]
struct Listing {
    #[command(flatten)]
    file: ConfigFile,
    /// One JSON object a line instead of a table
    #[arg(long)]
    json: bool,
}

/// Reads the command line, does what it says and tells how it went.
pub fn main() -> ExitCode {
    let done = match Command::parse().action {
        Action::Init(init) => init.run(),
        Action::Serve(file) => serve::serve(&file.config),
        Action::Peers(listing) => listing::peers(&listing),
        Action::Explain(explain) => explain.run(),
        Action::Rejections(listing) => listing::rejections(&listing),
        Action::CheckConfig(file) => check_config(&file),
    };
    match done {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("attester: {failure}");
            failure.code()
        }
    }
}

fn check_config(file: &ConfigFile) -> Result<ExitCode, Failure> {
    let config = file.load()?;
    let text = format!(
        "{} is in order: zone {}, rotation {}, state in {}\n",
        file.config.display(),
        config.dns.zone,
        config.dns.rotation,
        config.attester.state.display()
    );
    show::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

impl ConfigFile {
    fn load(&self) -> Result<Config, Failure> {
        Config::load(&self.config).map_err(Failure::config)
    }
}

/// Runs `read` over the state file of `config`, opened for reading.
fn with_store<T>(config: &Config, read: impl AsyncFnOnce(&Store) -> Result<T, StoreError>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|source| Failure::state("the program's runtime cannot start", source))?;
    let read = runtime.block_on(async {
        let store = Store::open_read_only(&config.state_file()).await?;
        let read = read(&store).await;
        store.close().await;
        read
    });
    read.map_err(|source| Failure::State { source: source.into() })
}

/// Why a command did not do what it was asked.
#[derive(Debug)]
enum Failure {
    /// What was asked for is not there.
    NotFound(String),
    /// The command line or the configuration says something wrong.
    Config { source: anyhow::Error },
    /// Files, keys, sockets or the system do not allow it.
    State { source: anyhow::Error },
}

impl Failure {
    fn config(source: ConfigError) -> Self {
        Self::Config { source: source.into() }
    }

    fn state(what: &'static str, source: impl Error + Send + Sync + 'static) -> Self {
        Self::State {
            source: anyhow::Error::new(source).context(what),
        }
    }

    fn output(source: io::Error) -> Self {
        Self::state("cannot write the output", source)
    }

    fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::NotFound(_) => 1,
            Self::Config { .. } => 2,
            Self::State { .. } => 3,
        })
    }
}

/// The whole chain of causes, on one line.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound(what) => f.write_str(what),
            Self::Config { source } | Self::State { source } => write!(f, "{source:#}"),
        }
    }
}

const ABOUT: &str = "Verifies Flashlight give mode peers end to end and keeps DNS to what was proven.";
const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  what was asked for is not there
  2  a mistake in the command line or the configuration
  3  files, keys, sockets or the system do not allow it

Colour is used on terminals only, and not when NO_COLOR is set.";
