//! The `attester` program: see [`attester::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    attester::cli::main()
}
