//! The stand-alone program: a give mode proxy server and its agent, for a volunteer's machine.

use std::process::ExitCode;

use clap::Parser;

mod cli;

fn main() -> ExitCode {
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(told) => return cli::tell(&told),
    };
    match cli.run() {
        Ok(exit) => ExitCode::from(exit.code()),
        Err(error) => {
            eprintln!("peer-agent: {error:#}");
            ExitCode::from(cli::exit_code(&error))
        }
    }
}
