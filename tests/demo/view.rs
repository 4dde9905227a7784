//! What is shown, and how: a table that updates in a terminal, a line for each change elsewhere, or JSON.

use std::{io, time::Duration};

use crate::{json::Json, lines::Lines, live::Live, script::Step, stage::Stage, summary::Summary};

/// Where everything is shown.
pub(crate) enum View {
    /// A table that updates.
    Live(Live),
    /// A line for each change.
    Lines(Lines),
    /// An object for each change.
    Json(Json),
}

impl View {
    /// Chooses: JSON when it is wanted, a table where there is room for one.
    pub(crate) fn new(json: bool) -> Self {
        match Live::new() {
            _ if json => Self::Json(Json::default()),
            Some(live) => Self::Live(live),
            None => Self::Lines(Lines::default()),
        }
    }

    /// Says what is going on.
    pub(crate) fn open(&mut self, stage: &Stage) -> io::Result<()> {
        match self {
            Self::Live(live) => live.say(&opening(stage)),
            Self::Lines(lines) => lines.open(&opening(stage)),
            Self::Json(json) => json.open(stage),
        }
    }

    /// A step begins.
    pub(crate) fn begin(&mut self, stage: &Stage, step: Step) -> io::Result<()> {
        match self {
            Self::Live(live) => live.begin(stage, step),
            Self::Lines(lines) => lines.begin(stage, step),
            Self::Json(json) => json.begin(stage, step),
        }
    }

    /// Shows what was seen last; `waiting` things are not yet as they must become.
    pub(crate) fn show(&mut self, stage: &Stage, waiting: usize) -> io::Result<()> {
        match self {
            Self::Live(live) => live.show(stage, waiting),
            Self::Lines(lines) => lines.show(stage),
            Self::Json(json) => json.show(stage),
        }
    }

    /// A step is over.
    pub(crate) fn end(&mut self, stage: &Stage, step: Step, took: Duration, ok: bool) -> io::Result<()> {
        match self {
            Self::Live(live) => live.end(took, ok),
            Self::Lines(lines) => lines.end(stage, step, took, ok),
            Self::Json(json) => json.end(stage, step, took, ok),
        }
    }

    /// The end: how everybody stands, one sentence, and commands to look around with, if it goes on.
    pub(crate) fn close(&mut self, stage: &Stage, summary: &Summary, commands: &[String]) -> io::Result<()> {
        match self {
            Self::Live(live) => live.close(stage, &closing(stage, summary), commands),
            Self::Lines(lines) => lines.close(stage, &closing(stage, summary), commands),
            Self::Json(json) => json.close(stage, summary, commands),
        }
    }

    /// The end when somebody did not want to see it; programs get their last line all the same.
    pub(crate) fn abandon(&self, stage: &Stage, summary: &Summary) -> io::Result<()> {
        match self {
            Self::Json(json) => json.close(stage, summary, &[]),
            Self::Live(_) | Self::Lines(_) => Ok(()),
        }
    }
}

/// `  12.3 s`.
pub(crate) fn seconds(time: Duration) -> String {
    format!("{:6.1} s", time.as_secs_f64())
}

/// The commands, with what they are for.
pub(crate) fn guide(commands: &[String]) -> String {
    if commands.is_empty() {
        return String::new();
    }
    let commands: String = commands.iter().map(|command| format!("  {command}\n")).collect();
    format!("\nEverything keeps running until Ctrl-C. To look around, from another terminal:\n\n{commands}")
}

fn opening(stage: &Stage) -> String {
    let cluster = stage.cluster();
    let at = cluster.addresses();
    let honest = stage.cast().iter().filter(|role| role.behaviour.is_honest()).count();
    let turning = stage.cast().iter().filter(|role| role.may_enter()).count() - honest;
    let hostile = stage.cast().len() - honest;
    format!(
        "Peer verification on loopback: real sockets, real TLS, real DNS.
  attester  sessions at {} (gRPC over TLS), DNS at {},
            origin at {}, state in {}
  peers     {honest} honest, {hostile} hostile ({turning} of them only once they were admitted);
            each a proxy and an agent at an address of its own, port {}
  rotation  {}: those who have proved {} times in a row that
            they proxy, and go on proving it

",
        at.session,
        at.dns,
        at.origin,
        cluster.config().attester.state.display(),
        cluster.port(),
        cluster.options().rotation(),
        cluster.options().proofs,
    )
}

fn closing(stage: &Stage, summary: &Summary) -> String {
    let (verified, refused) = summary.counts();
    let shown = stage.rotation().len();
    let took = stage.elapsed().as_secs_f64();
    match summary.ok {
        true => format!(
            "All as it must be, in {took:.1} s: {verified} peers proved that they proxy and are in the\n\
            rotation; {refused} were found out, each for what it does."
        ),
        false => format!(
            "Not as it must be, after {took:.1} s: {verified} peers are verified, {refused} refused or suspended,\n\
            and the rotation has {shown}."
        ),
    }
}
