//! Whether what the program says is coloured.

use std::{ffi::OsString, io::IsTerminal};

/// One rule for logs, help and mistakes in a command line, so that one program is of one mind: never with `NO_COLOR`
/// (<https://no-color.org>); always with `CLICOLOR_FORCE` (<https://bixense.com/clicolors>); else on terminals that are not
/// dumb, unless `CLICOLOR` is 0.
pub(super) fn is_coloured(stream: &impl IsTerminal) -> bool {
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
