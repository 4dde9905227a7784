//! An object for each event, one a line; the last one is the summary.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    time::Duration,
};

use harness::Record;
use serde::Serialize;
use serde_json::{Value, json};

use crate::{cast::Role, script::Step, stage::Stage, summary::Summary, table};

/// What was printed about each peer last, by its number.
#[derive(Debug, Default)]
pub(crate) struct Json {
    last: BTreeMap<u8, Record>,
}

impl Json {
    /// Where everything is.
    pub(crate) fn open(&self, stage: &Stage) -> io::Result<()> {
        let cluster = stage.cluster();
        let at = cluster.addresses();
        let cast = stage
            .cast()
            .iter()
            .map(|role| json!({ "peer": role.ip(), "behaviour": role.behaviour.name() }));
        print(&json!({
            "event": "start",
            "sessions": at.session,
            "origin": at.origin,
            "dns": at.dns,
            "state": cluster.state_file(),
            "rotation": cluster.options().rotation(),
            "port": cluster.port(),
            "peers": cast.collect::<Vec<_>>(),
        }))
    }

    /// A step begins.
    pub(crate) fn begin(&self, stage: &Stage, step: Step) -> io::Result<()> {
        let title = step.title(stage);
        print(&json!({ "event": "step", "at": at(stage), "step": step.number(), "title": title }))
    }

    /// Prints what has changed; a new probe is a change.
    pub(crate) fn show(&mut self, stage: &Stage) -> io::Result<()> {
        for (role, record) in stage.seen() {
            let Some(record) = record else { continue };
            if self.last.get(&role.number) != Some(record) {
                self.last.insert(role.number, record.clone());
                print(&peer(stage, role, record))?;
            }
        }
        Ok(())
    }

    /// A step is over.
    pub(crate) fn end(&self, stage: &Stage, step: Step, took: Duration, ok: bool) -> io::Result<()> {
        let took = rounded(took);
        print(&json!({ "event": "step-end", "at": at(stage), "step": step.number(), "seconds": took, "ok": ok }))
    }

    /// The summary, and before it what there is to try.
    pub(crate) fn close(&self, stage: &Stage, summary: &Summary, commands: &[String]) -> io::Result<()> {
        print(&json!({ "event": "end", "at": at(stage) }))?;
        if !commands.is_empty() {
            print(&json!({ "event": "hold", "commands": commands }))?;
        }
        print(summary)
    }
}

fn peer(stage: &Stage, role: &Role, record: &Record) -> Value {
    let phases: BTreeMap<&str, f64> = table::apart(&record.phases)
        .map(|(phase, took)| (phase.as_str(), rounded(took * 1000)))
        .collect();
    json!({
        "event": "peer",
        "at": at(stage),
        "peer": role.ip(),
        "behaviour": role.behaviour.name(),
        "standing": record.standing,
        "reason": record.reason.map(|reason| reason.code()),
        "detail": record.detail,
        "phases_ms": phases,
        "in_rotation": record.in_rotation,
    })
}

/// Seconds since the beginning.
fn at(stage: &Stage) -> f64 {
    rounded(stage.elapsed())
}

/// To three places.
fn rounded(time: Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}

fn print(object: &impl Serialize) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let line = serde_json::to_string(object)?;
    writeln!(out, "{line}")?;
    out.flush()
}
