//! A line for each change, for files and pipes.

use std::{
    collections::BTreeMap,
    fmt::Display,
    io::{self, Write},
    time::Duration,
};

use attester::model::Reason;
use harness::Record;

use crate::{
    cast::Role,
    script::{Step, UNKNOWN},
    stage::Stage,
    table,
    view::{guide, seconds},
};

/// What was printed about each peer last, by its number.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    last: BTreeMap<u8, Told>,
}

/// What a line tells; when any of it changes, there is another line.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Told {
    standing: String,
    reason: Option<Reason>,
    in_rotation: bool,
}

impl Lines {
    /// Prints what is going on, and how to read the lines.
    pub(crate) fn open(&self, opening: &str) -> io::Result<()> {
        let note = "A line for each change: time, peer, behaviour, standing, reason, place in the rotation, MS.";
        print(format_args!("{opening}{note}\n{}\n", table::legend()))
    }

    /// A step begins.
    pub(crate) fn begin(&self, stage: &Stage, step: Step) -> io::Result<()> {
        print(format_args!("\n{}. {}\n", step.number(), step.title(stage)))
    }

    /// Prints what has changed.
    pub(crate) fn show(&mut self, stage: &Stage) -> io::Result<()> {
        for (role, record) in stage.seen() {
            let Some(record) = record.filter(|record| record.standing != UNKNOWN) else {
                continue;
            };
            let told = Told {
                standing: record.standing.clone(),
                reason: record.reason,
                in_rotation: record.in_rotation,
            };
            let before = self.last.insert(role.number, told.clone());
            if before.as_ref() != Some(&told) {
                let was_in = before.is_some_and(|before| before.in_rotation);
                print(format_args!(
                    "{}  {}\n",
                    seconds(stage.elapsed()),
                    line(role, record, was_in)
                ))?;
            }
        }
        Ok(())
    }

    /// A step is over.
    pub(crate) fn end(&self, stage: &Stage, step: Step, took: Duration, ok: bool) -> io::Result<()> {
        let how = if ok { "done" } else { "not done" };
        let took = took.as_secs_f64();
        print(format_args!(
            "{}  step {} {how} after {took:.1} s\n",
            seconds(stage.elapsed()),
            step.number()
        ))
    }

    /// The table, the last words, and the commands.
    pub(crate) fn close(&self, stage: &Stage, closing: &str, commands: &[String]) -> io::Result<()> {
        let table: String = table::lines(stage, usize::MAX)
            .iter()
            .map(|(_, line)| format!("{line}\n"))
            .collect();
        print(format_args!("\n{table}\n{closing}\n{}", guide(commands)))
    }
}

fn line(role: &Role, record: &Record, was_in: bool) -> String {
    let place = match (was_in, record.in_rotation) {
        (false, true) => "enters",
        (true, false) => "leaves",
        (true, true) => "in",
        (false, false) => "-",
    };
    let reason = record.reason.map_or("-", Reason::code);
    let text = format!(
        "{role:<7} {:<11}  {:<22} {:<10} {reason:<18} {place:<6} {}",
        role.ip().to_string(),
        role.behaviour,
        record.standing,
        table::millis(&record.phases)
    );
    text.trim_end().to_owned()
}

fn print(text: impl Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    write!(out, "{text}")?;
    out.flush()
}
