//! What the program's exit status says, and who must act on it: one list for the code, `--help`, the manual and README.md.

use std::process::ExitCode;

/// An exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Done = 0,
    /// There is nothing like what was asked for.
    NotFound = 1,
    /// The command line or the configuration says something wrong.
    Config = 2,
    /// Files, keys, sockets or the system do not allow it.
    System = 3,
    /// Evidence is authentic, and what it says is not that the peer was proved.
    NotProved = 4,
    /// Evidence does not verify.
    NotVerified = 5,
    /// A peer does not carry traffic as it must.
    NotCarried = 6,
    /// A probe broke off, and nobody can tell whether for the peer.
    Unclear = 7,
}

impl Exit {
    /// Every status, in order.
    pub(crate) const ALL: [Self; 8] = [
        Self::Done,
        Self::NotFound,
        Self::Config,
        Self::System,
        Self::NotProved,
        Self::NotVerified,
        Self::NotCarried,
        Self::Unclear,
    ];

    /// The status as the system has it.
    pub(crate) const fn code(self) -> u8 {
        self as u8
    }

    /// Who must act.
    pub(crate) const fn who(self) -> &'static str {
        match self {
            Self::Done | Self::NotProved => "nobody",
            Self::NotFound => "you",
            Self::Config => "operator",
            Self::System => "machine",
            Self::NotVerified => "its source",
            Self::NotCarried => "peer",
            Self::Unclear => "unknown",
        }
    }

    /// What happened.
    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::NotFound => "there is nothing like what was asked for: ask for something else",
            Self::Config => "a mistake in the command line or in the configuration: correct it",
            Self::System => "files, keys, sockets or the system do not allow it: see to this machine",
            Self::NotProved => "evidence verify: authentic, but not of a proof",
            Self::NotVerified => "evidence verify: it does not verify, so believe nothing in it",
            Self::NotCarried => "probe: the peer does not carry as it must: its owner should do what is told",
            Self::Unclear => "probe: it broke off, and nobody can tell whether at the peer: see what is told",
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

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Variables that the program obeys.
pub(crate) const ENVIRONMENT: [(&str, &str); 4] = [
    (
        "NO_COLOR",
        "no colour, when set and not empty; without it colour is used on terminals only",
    ),
    ("CLICOLOR_FORCE", "colour also where no terminal is, when set and not 0"),
    ("RUST_LOG", "what serve logs, in place of log.filter"),
    (
        "NOTIFY_SOCKET",
        "where serve tells a service manager that it is ready, and that it stops",
    ),
];

const ENVIRONMENT_HELP: &str = "\
Colour is used on terminals only: not with NO_COLOR, and everywhere with CLICOLOR_FORCE=1.
Progress is shown on terminals only, on standard error.";
