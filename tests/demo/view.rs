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
            Self::Live(live) => live.end(step, took, ok),
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
        "Peer verification, on loopback: real sockets, real TLS, real DNS.\n\
        \n  attester   sessions (gRPC over TLS) at {}, origin at {}, DNS at {}\
        \n  state      {}\
        \n  peers      {honest} honest, {hostile} hostile, of which {turning} only once they were admitted; each with a proxy and an agent at \
        an\
        \n             address of its own, port {}\
        \n  rotation   {}: who has proved {} times in a row that it proxies, and goes on proving it\n",
        at.session,
        at.origin,
        at.dns,
        cluster.state_file().display(),
        cluster.port(),
        cluster.options().rotation(),
        cluster.options().proofs,
    )
}

fn closing(stage: &Stage, summary: &Summary) -> String {
    let (verified, refused) = summary.counts();
    let rotation = stage.cluster().options().rotation();
    let took = stage.elapsed().as_secs_f64();
    match summary.ok {
        true => format!(
            "All as it must be: {verified} peers proved that they proxy and are in {rotation}; {refused} did not, and each was found \
            out for what it does. ({took:.1} s)"
        ),
        false => format!(
            "Not as it must be: {verified} peers are verified, {} are in {rotation}, {refused} are refused. ({took:.1} s)",
            stage.rotation().len(),
        ),
    }
}
