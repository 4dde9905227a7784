//! The command line. What it prints is for people, or with `--json` for programs: one object a line.

use std::{
    error::Error,
    fmt,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, CommandFactory, Parser, Subcommand};
use tokio::runtime::Runtime;

use crate::{
    config::{Config, ConfigError},
    store::{Store, StoreError},
    telemetry::is_coloured,
};

mod check_config;
mod evidence;
pub(crate) mod exit;
mod explain;
mod init;
mod keys;
mod listing;
mod manual;
mod notify;
mod probe;
mod progress;
mod serve;
mod show;

use exit::Exit;

#[derive(Debug, Parser)]
#[command(name = "attester", version, about = ABOUT, after_help = Exit::help(), max_term_width = 100)]
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
    Peers(listing::Peers),
    /// Tell how a peer stands, why, what to do, and what its probes and registrations showed
    Explain(explain::Explain),
    /// Probe a peer once, agent or not, and tell each phase, what was wrong and what to do
    Probe(Box<probe::Probe>),
    /// Export what a verdict rests on, and check it again anywhere
    Evidence(evidence::Evidence),
    /// List, create, rotate and revoke the attester's own keys, and sign the keyset
    Keys(keys::Keys),
    /// List the registrations refused last, newest first
    Rejections(listing::Rejections),
    /// Read the configuration and tell every mistake and risk with its line and key
    CheckConfig(check_config::CheckConfig),
    /// Print a script that completes this program's command lines in a shell
    Completions(manual::Completions),
    /// Print the manual page, or write one for each command
    Man(manual::Pages),
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
    let command = match Command::try_parse() {
        Ok(command) => command,
        Err(told) => return tell(&told),
    };
    let done = match command.action {
        Action::Init(init) => init.run(),
        Action::Serve(file) => serve::serve(&file.config),
        Action::Peers(peers) => peers.run(),
        Action::Explain(explain) => explain.run(),
        Action::Probe(probe) => probe.run(),
        Action::Evidence(evidence) => evidence.run(),
        Action::Keys(keys) => keys.run(),
        Action::Rejections(rejections) => rejections.run(),
        Action::CheckConfig(check) => check.run(),
        Action::Completions(completions) => completions.run(Command::command()),
        Action::Man(pages) => pages.run(Command::command()),
    };
    match done {
        Ok(code) => code,
        Err(failure) => {
            show::say(&failure.to_string());
            failure.code()
        }
    }
}

/// Prints help, or what is wrong with a command line, by the program's own rule of colours (clap's would colour a dumb
/// terminal on a machine that says it is CI).
fn tell(told: &clap::Error) -> ExitCode {
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
    let text = show::honest(&text);
    // Whoever closed the stream does not want to know.
    let (_, exit) = match told.use_stderr() {
        true => (io::stderr().write_all(text.as_bytes()), Exit::Config),
        false => (io::stdout().write_all(text.as_bytes()), Exit::Done),
    };
    exit.into()
}

impl ConfigFile {
    fn load(&self) -> Result<Config, Failure> {
        Config::load(&self.config).map_err(Failure::config)
    }
}

/// Runs `read` over the state file of `config`, opened for reading.
fn with_store<T>(config: &Config, read: impl AsyncFnOnce(&Store) -> Result<T, StoreError>) -> Result<T, Failure> {
    let read = async {
        let store = Store::open_read_only(&config.state_file()).await?;
        let read = read(&store).await;
        store.close().await;
        read
    };
    let read = runtime()?.block_on(progress::patiently("reading the state file", read));
    read.map_err(|source| Failure::State { source: source.into() })
}

/// What a command waits with. One thread is enough: only `serve` does several things at once.
fn runtime() -> Result<Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|source| Failure::state("the program's runtime cannot start", source))
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
        match self {
            Self::NotFound(_) => Exit::NotFound,
            Self::Config { .. } => Exit::Config,
            Self::State { .. } => Exit::System,
        }
        .into()
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
