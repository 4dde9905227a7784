//! Logs: to standard error, plain or JSON, filtered. Set up once, by the binary.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// Sends this process's traces to standard error. The variable `RUST_LOG`, when set, takes the place of the configured
/// filter.
///
/// # Errors
/// When a filter cannot be read, or the process has a subscriber already.
pub fn start(log: &Log) -> Result<(), TelemetryError> {
    let filter = match std::env::var(VARIABLE) {
        Ok(filter) if !filter.is_empty() => filter.parse::<EnvFilter>().map_err(|source| TelemetryError::Filter {
            whence: VARIABLE,
            source,
        })?,
        _ => log.filter.parse().map_err(|source| TelemetryError::Filter {
            whence: "log.filter",
            source,
        })?,
    };
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colour);
    let started = match log.format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(|source| TelemetryError::Started { source })
}

/// Why there are no logs.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// A filter that is none.
    #[error("{whence} is no filter of log lines: try \"info\" or \"info,attester::session=debug\"")]
    Filter {
        /// The key or variable.
        whence: &'static str,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
    /// Something else takes the traces.
    #[error("cannot start logging")]
    Started {
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

const VARIABLE: &str = "RUST_LOG";
