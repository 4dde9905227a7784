//! The phases of a probe, each below the one before and as far to the right as it is late.

use std::time::Duration;

use proto::claims::Phase;

use super::super::show;
use crate::run::lone::Shown;

/// One phase of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) phase: Phase,
    pub(super) from: Duration,
    pub(super) to: Duration,
    pub(super) reached: bool,
}

impl Span {
    pub(super) fn took(&self) -> Duration {
        self.to.saturating_sub(self.from)
    }
}

/// The phases that a probe without an agent has, up to the one in which it broke off.
pub(super) fn spans(shown: &Shown) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut from = Duration::ZERO;
    for phase in phases() {
        let ended = shown.phases.0.get(&phase).copied();
        let to = ended.unwrap_or(shown.ended).max(from);
        spans.push(Span {
            phase,
            from,
            to,
            reached: ended.is_some(),
        });
        if ended.is_none() {
            break;
        }
        from = to;
    }
    spans
}

pub(super) fn phases() -> impl Iterator<Item = Phase> {
    let all = Phase::ALL.iter().copied();
    all.filter(|phase| *phase != Phase::Receipt)
}

/// Draws them, in lines of at most `columns`.
pub(super) fn drawn(shown: &Shown, columns: usize) -> String {
    let spans = spans(shown);
    let whole = spans.last().map_or(Duration::ZERO, |last| last.to);
    let room = columns.saturating_sub(NUMBERS).clamp(LEAST, MOST);
    let mut text = format!(
        "{}\n",
        show::bold(&format!("{:<12}{:>10}{:>10}{:>10}", "PHASE", "FROM", "TO", "TOOK (MS)"))
    );
    for span in &spans {
        let [from, to, took] = [span.from, span.to, span.took()].map(millis);
        let line = format!(
            "{:<12}{from:>10}{to:>10}{took:>10}  {}",
            span.phase,
            bar(span, whole, room)
        );
        let line = line.trim_end();
        match (span.reached, &shown.fault) {
            (false, Some(fault)) => {
                text += &show::painted(line, "failed");
                text += &format!(
                    "\n{:<12}{}",
                    "",
                    show::painted(&format!("broke off: {}", fault.finding.reason), "failed")
                );
            }
            _ => text += line,
        }
        text.push('\n');
    }
    for phase in phases().skip(spans.len()) {
        text += &format!("{phase:<12}not reached\n");
    }
    text
}

/// As long as the phase took, and at least one cell, so that none is overlooked.
fn bar(span: &Span, whole: Duration, room: usize) -> String {
    let cell = |time: Duration| {
        let part = time.as_secs_f64() / whole.as_secs_f64().max(f64::MIN_POSITIVE);
        ((part * room as f64).round() as usize).min(room)
    };
    let start = cell(span.from).min(room - 1);
    let end = cell(span.to).max(start + 1);
    let filled = if span.reached { "█" } else { "░" };
    format!("{}{}", " ".repeat(start), filled.repeat(end - start))
}

fn millis(time: Duration) -> String {
    format!("{:.3}", time.as_secs_f64() * 1000.0)
}

/// Columns in front of the bars.
const NUMBERS: usize = 44;
/// Columns of the bars.
const LEAST: usize = 8;
const MOST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{Blame, Finding, PhaseTimes, Reason},
        run::lone::Fault,
    };

    fn shown(ended: &[(Phase, u64)], fault: Option<Reason>) -> Shown {
        let mut phases = PhaseTimes::default();
        for (phase, millis) in ended {
            phases.note(*phase, Duration::from_millis(*millis));
        }
        Shown {
            phases,
            fault: fault.map(|reason| Fault {
                finding: Finding::from(reason),
                blame: Blame::Peer,
                advice: "",
            }),
            ..Shown::nothing(Duration::from_millis(100))
        }
    }

    const ALL: [(Phase, u64); 6] = [
        (Phase::Resolve, 0),
        (Phase::Connect, 10),
        (Phase::Tls, 30),
        (Phase::Tunnel, 60),
        (Phase::FirstByte, 60),
        (Phase::Complete, 100),
    ];

    #[test]
    fn bars_are_as_long_as_phases_took_and_begin_where_the_one_before_ends() {
        assert_eq!(
            drawn(&shown(&ALL, None), NUMBERS + 20),
            "\
PHASE             FROM        TO TOOK (MS)
resolve          0.000     0.000     0.000  █
connect          0.000    10.000    10.000  ██
tls             10.000    30.000    20.000    ████
tunnel          30.000    60.000    30.000        ██████
first-byte      60.000    60.000     0.000              █
complete        60.000   100.000    40.000              ████████
"
        );
    }

    #[test]
    fn the_phase_that_broke_off_is_marked_and_no_later_one_was_reached() {
        assert_eq!(
            drawn(&shown(&ALL[..2], Some(Reason::TlsTimeout)), NUMBERS + 20),
            "\
PHASE             FROM        TO TOOK (MS)
resolve          0.000     0.000     0.000  █
connect          0.000    10.000    10.000  ██
tls             10.000   100.000    90.000    ░░░░░░░░░░░░░░░░░░
            broke off: tls-timeout
tunnel      not reached
first-byte  not reached
complete    not reached
"
        );
    }

    /// Nothing took any time, and no terminal is too narrow or too wide.
    #[test]
    fn every_phase_has_a_bar_in_any_width() {
        let mut sudden = shown(&ALL.map(|(phase, _)| (phase, 0)), None);
        sudden.ended = Duration::ZERO;
        for columns in [0, 1, 40, NUMBERS + LEAST, 80, 1000] {
            for one in [&sudden, &shown(&ALL, None)] {
                let text = drawn(one, columns);
                let most = columns.clamp(NUMBERS + LEAST, NUMBERS + MOST);
                for line in text.lines().skip(1) {
                    assert!(line.contains('█') && line.chars().count() <= most, "{columns}: {line}");
                }
            }
        }
    }
}
