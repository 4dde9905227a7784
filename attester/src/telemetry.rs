//! Logs: to standard error, plain or JSON, filtered. Set up once, by the binary.

use std::{ffi::OsString, io::IsTerminal};

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
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(is_coloured(&std::io::stderr()));
    let started = match log.format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(|source| TelemetryError::Started { source })
}

/// Whether what goes to `stream` is coloured.
///
/// The rule is that of clap's own help, so that one program is of one mind: never with `NO_COLOR` (<https://no-color.org>);
/// always with `CLICOLOR_FORCE` (<https://bixense.com/clicolors>); else on terminals that are not dumb, unless `CLICOLOR` is 0.
pub fn is_coloured(stream: &impl IsTerminal) -> bool {
    colour(stream.is_terminal(), |name| std::env::var_os(name))
}

fn colour(is_terminal: bool, variable: impl Fn(&str) -> Option<OsString>) -> bool {
    if variable("NO_COLOR").is_some_and(|value| !value.is_empty()) {
        return false;
    }
    if variable("CLICOLOR_FORCE").is_some_and(|value| value != "0") {
        return true;
    }
    let unwanted = variable("CLICOLOR").is_some_and(|value| value == "0");
    let able = !cfg!(unix) || variable("TERM").is_some_and(|value| value != "dumb");
    is_terminal && able && !unwanted
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_is_for_terminals_unless_somebody_says_otherwise() {
        type Variables = &'static [(&'static str, &'static str)];
        let cases: [(bool, Variables, bool); 12] = [
            (true, &[("TERM", "xterm")], true),
            (false, &[("TERM", "xterm")], false),
            (true, &[("TERM", "dumb")], false),
            (true, &[], !cfg!(unix)),
            (true, &[("TERM", "xterm"), ("NO_COLOR", "1")], false),
            (true, &[("TERM", "xterm"), ("NO_COLOR", "")], true),
            (true, &[("TERM", "xterm"), ("CLICOLOR", "0")], false),
            (true, &[("TERM", "xterm"), ("CLICOLOR", "1")], true),
            (false, &[("CLICOLOR", "1"), ("TERM", "xterm")], false),
            (false, &[("CLICOLOR_FORCE", "1")], true),
            (false, &[("CLICOLOR_FORCE", "0")], false),
            (
                true,
                &[("TERM", "xterm"), ("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")],
                false,
            ),
        ];
        for (terminal, variables, expected) in cases {
            let variable = |name: &str| {
                let set = variables.iter().find(|(set, _)| *set == name);
                set.map(|(_, value)| OsString::from(value))
            };
            assert_eq!(colour(terminal, variable), expected, "{terminal} {variables:?}");
        }
    }
}
