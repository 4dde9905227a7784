//! What the program's exit status says, and who must act on it: one list for the code, `--help`, the manual and README.md.

use peer_agent::{AgentError, give::GiveError, identity::RotateError};

use super::{init::Exists, problem::FileError};

/// An exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done, or stopped as asked.
    Done = 0,
    /// Something that is not listed here.
    Other = 1,
    /// The command line or the configuration file says something wrong.
    Config = 2,
    /// A file cannot be used.
    Files = 3,
    /// The port cannot be listened on.
    Port = 4,
}

impl Exit {
    /// Every status, in order.
    pub(crate) const ALL: [Self; 5] = [Self::Done, Self::Other, Self::Config, Self::Files, Self::Port];

    /// The status of a failure.
    pub(crate) fn of(error: &anyhow::Error) -> Self {
        if error.is::<FileError>() {
            return Self::Config;
        }
        if error.is::<RotateError>() || error.is::<Exists>() {
            return Self::Files;
        }
        match (error.downcast_ref(), error.downcast_ref()) {
            (
                Some(
                    AgentError::Identity(_)
                    | AgentError::Folder { .. }
                    | AgentError::Successions(_)
                    | AgentError::Moving { .. },
                ),
                _,
            )
            | (_, Some(GiveError::Tls(_) | GiveError::Page { .. })) => Self::Files,
            (_, Some(GiveError::Listen { .. })) => Self::Port,
            _ => Self::Other,
        }
    }

    /// The status as the system has it.
    pub(crate) const fn code(self) -> u8 {
        self as u8
    }

    /// Who must act.
    pub(crate) const fn who(self) -> &'static str {
        match self {
            Self::Done => "nobody",
            Self::Other | Self::Config | Self::Files => "you",
            Self::Port => "machine",
        }
    }

    /// What happened.
    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done, or stopped as asked",
            Self::Other => "anything that is not listed here: standard error says what to see to",
            Self::Config => "a mistake on the command line or in the configuration, or no such file: correct it",
            Self::Files => "a key or other file cannot be used, is in use or in the way: move or restore it",
            Self::Port => "the port cannot be listened on: another program has it, or you may not",
        }
    }

    /// The table of `--help`.
    pub(crate) fn help() -> String {
        let rows = Self::ALL.map(|exit| format!("  {}  {:<10} {}\n", exit.code(), exit.who(), exit.meaning()));
        format!(
            "Exit status, who must act, and why:\n{}\n{ENVIRONMENT_HELP}",
            rows.concat()
        )
    }
}

/// Variables that the program obeys.
pub(crate) const ENVIRONMENT: [(&str, &str); 3] = [
    (
        "NO_COLOR",
        "no colour, when set and not empty; without it colour is used on terminals only",
    ),
    ("CLICOLOR_FORCE", "colour also where no terminal is, when set and not 0"),
    ("RUST_LOG", "what run logs on standard error: warn when not set"),
];

const ENVIRONMENT_HELP: &str = "\
Colour is used on terminals only: not with NO_COLOR, and everywhere with CLICOLOR_FORCE=1.";
