//! The main job on one machine: an attester and its peers, honest and hostile, on loopback, with real sockets, real TLS and real
//! DNS. It shows who gets into the rotation and who does not, and ends with status 0 only when all became as it must be.

mod cast;
mod guide;
mod json;
mod lines;
mod live;
mod script;
mod stage;
mod summary;
mod table;
mod view;

use std::{io, process::ExitCode};

use anyhow::Context;
use clap::Parser;
use tokio_util::sync::CancellationToken;

use crate::{cast::Swap, stage::Stage, summary::Summary, view::View};

/// Starts an attester and peers on loopback, honest and hostile ones, and shows who gets into the rotation.
#[derive(Debug, Parser)]
#[command(name = "demo", after_help = NOTES, max_term_width = 100)]
struct Command {
    /// One JSON object a line instead of a table; the last one is the summary
    #[arg(long)]
    json: bool,
    /// Keep everything running at the end, with commands to look around with, until Ctrl-C
    #[arg(long)]
    hold: bool,
    /// Let the peer that is announced as the first behave as the second, for the test that this is found out
    #[arg(long, value_name = "BEHAVIOUR=BEHAVIOUR", hide = true)]
    swap: Vec<Swap>,
}

fn main() -> ExitCode {
    let command = Command::parse();
    harness::logs();
    let run = || tokio::runtime::Runtime::new()?.block_on(Box::pin(run(&command)));
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Plays everything; whether all became as it must be.
async fn run(command: &Command) -> anyhow::Result<bool> {
    // First, so that no signal finds folders that it would leave behind.
    let stop = stop_token()?;
    let mut view = View::new(command.json);
    let mut stage = Stage::open(cast::cast(&command.swap)).await?;
    let ended = Box::pin(perform(&mut stage, &mut view, &stop, command.hold)).await;
    // The cursor is back before anything else is said.
    drop(view);
    stage.close().await;
    ended
}

async fn perform(stage: &mut Stage, view: &mut View, stop: &CancellationToken, hold: bool) -> anyhow::Result<bool> {
    let played = stop.run_until_cancelled(Box::pin(script::play(stage, view))).await;
    let mut faults = match played {
        Some(Ok(faults)) => faults,
        Some(Err(error)) => vec![format!("{error:#}")],
        None => vec!["it was stopped before its end".to_owned()],
    };
    faults.extend(stage.intruders().await);
    let summary = Summary::new(stage, faults.is_empty());
    let hold = hold && !stop.is_cancelled();
    let shown = match stop.is_cancelled() {
        true => view.abandon(stage, &summary),
        false => {
            let commands = if hold { guide::commands(stage)? } else { Vec::new() };
            view.close(stage, &summary, &commands)
        }
    };
    for fault in &faults {
        eprintln!("demo: {fault}");
    }
    // Whoever could not be shown the end was perhaps not shown the rest either, which has been said.
    if let (Err(error), true) = (shown, faults.is_empty()) {
        return Err(error).context("cannot write the output");
    }
    if hold {
        stop.cancelled().await;
    }
    Ok(faults.is_empty())
}

/// Cancelled by the first SIGINT or SIGTERM.
fn stop_token() -> io::Result<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};

    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let token = CancellationToken::new();
    let stop = token.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        stop.cancel();
    });
    Ok(token)
}

const NOTES: &str = "\
Exit status:
  0  the rotation was exactly the honest peers, then lacked the stopped one, then had it again, and
     each hostile peer was refused for the reason that its behaviour deserves
  1  it was not so: what was not is on standard error
  2  a mistake in the command line

In a terminal the table updates in place; elsewhere each change is a line. Colour is used on
terminals only, and not when NO_COLOR is set. RUST_LOG shows the log lines of all parts on standard
error.";
