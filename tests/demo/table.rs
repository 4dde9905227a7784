//! How everybody stands, as a table: with a column for each phase where there is room, with one for all of them elsewhere.

use std::time::Duration;

use attester::{
    decide::VERIFIED,
    model::{PhaseTimes, Reason},
};
use comfy_table::{CellAlignment, Table, presets};
use console::{Style, truncate_str};
use harness::Record;
use proto::claims::Phase;

use crate::{cast::Role, script::UNKNOWN, stage::Stage, summary::is_out};

/// A table, line by line, each with its colour: the widest of its forms that fits into `width` columns.
pub(crate) fn lines(stage: &Stage, width: usize) -> Vec<(Style, String)> {
    let fits = |lines: &Vec<String>| lines.iter().all(|line| line.len() <= width);
    let (lines, legend) = match Some(render(stage, Form::Wide)).filter(fits) {
        Some(wide) => (wide, None),
        None => {
            let medium = Some(render(stage, Form::Medium)).filter(fits);
            (
                medium.unwrap_or_else(|| render(stage, Form::Narrow)),
                Some((Style::new().dim(), legend())),
            )
        }
    };
    let tones = stage.seen().map(|(_, record)| tone(record));
    std::iter::once(Style::new().bold())
        .chain(tones)
        .zip(lines)
        .chain(legend)
        .collect()
}

/// Lines that [`lines`] makes at most.
pub(crate) const fn height(peers: usize) -> usize {
    peers + 2
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

/// The milliseconds of each phase: `0.3 0.1 2.4`.
pub(crate) fn millis(phases: &PhaseTimes) -> String {
    joined(phases, tenths)
}

/// What the figures in one column are.
pub(crate) fn legend() -> String {
    let phases: Vec<&str> = Phase::ALL.iter().map(|phase| phase.as_str()).collect();
    format!("MS: last probe's {}", phases.join(", "))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// With a column for each phase.
    Wide,
    /// With one column for all phases.
    Medium,
    /// With whole milliseconds, and long names cut.
    Narrow,
}

fn render(stage: &Stage, form: Form) -> Vec<String> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header(form));
    for (role, record) in stage.seen() {
        table.add_row(row(stage, role, record, form));
    }
    for (index, column) in table.column_iter_mut().enumerate() {
        let is_phase = form == Form::Wide && PHASES.contains(&index);
        let is_roomy = form == Form::Wide && index < PHASES.start - 1;
        column.set_padding((0, if is_roomy { 2 } else { 1 }));
        if is_phase {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect()
}

fn header(form: Form) -> Vec<String> {
    let phases: Vec<String> = match form {
        Form::Wide => Phase::ALL.iter().map(|phase| phase.as_str().to_uppercase()).collect(),
        Form::Medium | Form::Narrow => vec!["MS".to_owned()],
    };
    let place = if form == Form::Narrow { "IN" } else { "ROTATION" };
    let first = ["PEER", "BEHAVIOUR", "STANDING"].map(str::to_owned);
    first
        .into_iter()
        .chain(phases)
        .chain(["REASON", place].map(str::to_owned))
        .collect()
}

fn row(stage: &Stage, role: &Role, record: Option<&Record>, form: Form) -> Vec<String> {
    let record = record.filter(|record| record.standing != UNKNOWN);
    let peer = match form {
        Form::Wide => format!("{role:<7}  {}", role.ip()),
        Form::Medium | Form::Narrow => role.ip().to_string(),
    };
    let off = if stage.is_away(role) { " (off)" } else { "" };
    let behaviour = format!("{}{off}", role.behaviour);
    let behaviour = match form {
        Form::Narrow => truncate_str(&behaviour, MOST_OF_A_NAME, ".").into_owned(),
        Form::Wide | Form::Medium => behaviour,
    };
    let standing = record.map(|record| record.standing.clone()).unwrap_or_default();
    let reason = record
        .and_then(|record| record.reason)
        .map_or("-", Reason::code)
        .to_owned();
    let place = match record {
        Some(record) if record.in_rotation => "in",
        _ => "-",
    };
    let phases = record.map(|record| record.phases.clone()).unwrap_or_default();
    let first = [peer, behaviour, standing];
    first
        .into_iter()
        .chain(figures(&phases, form))
        .chain([reason, place.to_owned()])
        .collect()
}

/// The cells for the phases.
fn figures(phases: &PhaseTimes, form: Form) -> Vec<String> {
    match form {
        Form::Wide => {
            let mut cells = vec![String::new(); Phase::ALL.len()];
            for (phase, took) in apart(phases) {
                if let Some(cell) = cells.get_mut(phase as usize) {
                    *cell = tenths(took);
                }
            }
            cells
        }
        Form::Medium => vec![millis(phases)],
        Form::Narrow => vec![joined(phases, |took| format!("{:.0}", took.as_secs_f64() * 1000.0))],
    }
}

fn joined(phases: &PhaseTimes, figure: impl Fn(Duration) -> String) -> String {
    let times: Vec<String> = apart(phases).map(|(_, took)| figure(took)).collect();
    times.join(" ")
}

/// Milliseconds, with a tenth where that says something.
fn tenths(time: Duration) -> String {
    let millis = time.as_secs_f64() * 1000.0;
    let places = usize::from(millis < 9.95);
    format!("{millis:.places$}")
}

fn tone(record: Option<&Record>) -> Style {
    match record {
        Some(record) if record.standing == VERIFIED => Style::new().green(),
        Some(record) if is_out(&record.standing) => Style::new().red(),
        Some(record) if record.standing != UNKNOWN => Style::new(),
        _ => Style::new().dim(),
    }
}

/// Where the wide form has its phases.
const PHASES: std::ops::Range<usize> = 3..3 + Phase::ALL.len();
/// So that the narrow form fits into 80 columns.
const MOST_OF_A_NAME: usize = 17;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_the_phases_apart() {
        let mut phases = PhaseTimes::default();
        phases.note(Phase::Resolve, Duration::from_micros(320));
        phases.note(Phase::Connect, Duration::from_micros(9_920));
        phases.note(Phase::Tls, Duration::from_micros(3_009_920));
        assert_eq!(figures(&phases, Form::Medium), ["0.3 9.6 3000"]);
        assert_eq!(figures(&phases, Form::Narrow), ["0 10 3000"]);
        assert_eq!(figures(&phases, Form::Wide), ["0.3", "9.6", "3000", "", "", "", ""]);
        assert_eq!(figures(&PhaseTimes::default(), Form::Medium), [""]);
    }

    #[test]
    fn a_row_has_a_cell_for_each_heading() {
        assert_eq!(header(Form::Wide).len(), PHASES.end + 2);
        for form in [Form::Wide, Form::Medium, Form::Narrow] {
            assert_eq!(header(form).len(), 3 + figures(&PhaseTimes::default(), form).len() + 2);
        }
    }
}
