//! How everybody stands, as a table: with a column for each phase where there is room, with one for all of them elsewhere.

use std::time::Duration;

use attester::{decide::VERIFIED, model::PhaseTimes};
use comfy_table::{CellAlignment, Table, presets};
use console::Style;
use harness::Record;
use proto::claims::Phase;

use crate::{cast::Role, script::UNKNOWN, stage::Stage, summary::is_out};

/// A table, line by line, each with its colour; its widest line is no longer than `width` where that can be had.
pub(crate) fn lines(stage: &Stage, width: usize) -> Vec<(Style, String)> {
    let wide = render(stage, Form::Wide);
    let longest = wide.iter().map(String::len).max().unwrap_or_default();
    let (lines, legend) = if longest <= width {
        (wide, None)
    } else {
        (render(stage, Form::Narrow), Some(legend()))
    };
    let rows = stage.seen().map(|(_, record)| tone(record));
    let tones = std::iter::once(Style::new().bold()).chain(rows);
    let legend = legend.map(|line| (Style::new().dim(), line));
    tones.zip(lines).chain(legend).collect()
}

/// Lines that [`lines`] makes at most.
pub(crate) const fn height(peers: usize) -> usize {
    peers + 2
}

/// The milliseconds of each phase by itself: `0.3 0.1 2.4`.
pub(crate) fn millis(phases: &PhaseTimes) -> String {
    let times: Vec<String> = apart(phases).map(|(_, time)| figure(time)).collect();
    times.join(" ")
}

/// The phases in order with the time that each took by itself.
pub(crate) fn apart(phases: &PhaseTimes) -> impl Iterator<Item = (Phase, Duration)> {
    let mut before = Duration::ZERO;
    phases.0.iter().map(move |(phase, end)| {
        let took = end.saturating_sub(before);
        before = *end;
        (*phase, took)
    })
}

/// What the figures of the narrow form are.
pub(crate) fn legend() -> String {
    let phases: Vec<&str> = Phase::ALL.iter().map(|phase| phase.as_str()).collect();
    format!("MS = milliseconds of the last probe's phases: {}", phases.join(", "))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Wide,
    Narrow,
}

fn render(stage: &Stage, form: Form) -> Vec<String> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header(form));
    for (role, record) in stage.seen() {
        table.add_row(row(stage, role, record, form));
    }
    let gap = match form {
        Form::Wide => 2,
        Form::Narrow => 1,
    };
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, gap));
        if form == Form::Wide && PHASES.contains(&index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect()
}

fn header(form: Form) -> Vec<String> {
    let phases: Vec<String> = match form {
        Form::Wide => Phase::ALL.iter().map(|phase| phase.as_str().to_uppercase()).collect(),
        Form::Narrow => vec!["MS".to_owned()],
    };
    let first = ["PEER", "BEHAVIOUR", "STANDING"].map(str::to_owned);
    first
        .into_iter()
        .chain(phases)
        .chain(["REASON", "ROTATION"].map(str::to_owned))
        .collect()
}

fn row(stage: &Stage, role: &Role, record: Option<&Record>, form: Form) -> Vec<String> {
    let peer = match form {
        Form::Wide => format!("{role:<7}  {}", role.ip()),
        Form::Narrow => role.ip().to_string(),
    };
    let off = if stage.is_away(role) { " (off)" } else { "" };
    let standing = record.map_or("", |record| record.standing.as_str());
    let none = PhaseTimes::default();
    let phases = record.map_or(&none, |record| &record.phases);
    let phases = match form {
        Form::Narrow => vec![millis(phases)],
        Form::Wide => {
            let mut cells = vec![String::new(); Phase::ALL.len()];
            for (phase, took) in apart(phases) {
                if let Some(cell) = cells.get_mut(phase as usize) {
                    *cell = figure(took);
                }
            }
            cells
        }
    };
    let reason = record
        .and_then(|record| record.reason)
        .map_or("-", |reason| reason.code());
    let place = if record.is_some_and(|record| record.in_rotation) {
        "in"
    } else {
        "-"
    };
    let standing = if standing == UNKNOWN { "" } else { standing };
    let first = [peer, format!("{}{off}", role.behaviour), standing.to_owned()];
    first
        .into_iter()
        .chain(phases)
        .chain([reason.to_owned(), place.to_owned()])
        .collect()
}

fn figure(time: Duration) -> String {
    let millis = time.as_secs_f64() * 1000.0;
    match millis < 9.95 {
        true => format!("{millis:.1}"),
        false => format!("{millis:.0}"),
    }
}

fn tone(record: Option<&Record>) -> Style {
    match record {
        None => Style::new().dim(),
        Some(record) if record.standing == UNKNOWN => Style::new().dim(),
        Some(record) if record.standing == VERIFIED => Style::new().green(),
        Some(record) if is_out(&record.standing) => Style::new().red(),
        Some(_) => Style::new(),
    }
}

/// Where the wide form has its phases.
const PHASES: std::ops::Range<usize> = 3..3 + Phase::ALL.len();
