//! Several probes of one peer: how many went through, what was wrong, and how long each phase took.

use std::{collections::BTreeMap, time::Duration};

use proto::claims::Phase;
use serde_json::{Map, Value, json};

use super::{
    super::{exit::Exit, show},
    exit, told,
    waterfall::{phases, spans},
};
use crate::{
    model::Reason,
    run::lone::{Fault, Lone, Shown},
};

/// The probes so far.
#[derive(Default)]
pub(super) struct Repeated {
    exits: Vec<Exit>,
    carried: usize,
    /// How long each phase took, where it was reached.
    took: BTreeMap<Phase, Vec<Duration>>,
    whole: Vec<Duration>,
    faults: BTreeMap<Reason, (usize, Fault)>,
    last: Option<Shown>,
}

/// The least, the median and the greatest.
struct Spread([Duration; 3]);

impl Spread {
    fn of(times: &[Duration]) -> Option<Self> {
        let mut sorted = times.to_vec();
        sorted.sort_unstable();
        let (least, greatest) = (*sorted.first()?, *sorted.last()?);
        let (below, above) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
        Some(Self([least, (below + above) / 2, greatest]))
    }
}

/// One probe in a line.
pub(super) fn line(number: u32, shown: &Shown) -> String {
    let word = told::outcome(shown);
    // Padded before it is coloured: escape sequences have a length too.
    let word = show::painted(&format!("{word:<12}"), word);
    let reason = shown.fault.as_ref().map(|fault| format!("  {}", fault.finding.reason));
    let resumed = if shown.resumed == Some(true) { "  resumed" } else { "" };
    let times = format!("{} ms{resumed}{}", shown.phases, reason.unwrap_or_default());
    format!(
        "{number:>4}  {word}  {:>9.1} ms  {times}\n",
        shown.ended.as_secs_f64() * 1000.0
    )
}

impl Repeated {
    pub(super) fn add(&mut self, shown: Shown) {
        self.exits.push(exit(&shown));
        for span in spans(&shown).iter().filter(|span| span.reached) {
            self.took.entry(span.phase).or_default().push(span.took());
        }
        match &shown.fault {
            None => {
                self.carried += 1;
                self.whole.extend(shown.phases.0.get(&Phase::Complete));
            }
            Some(fault) => {
                let known = self.faults.entry(fault.finding.reason);
                known.or_insert_with(|| (0, fault.clone())).0 += 1;
            }
        }
        self.last = Some(shown);
    }

    /// The worst decides.
    pub(super) fn exit(&self) -> Exit {
        let worst = [Exit::NotCarried, Exit::System, Exit::Unclear];
        let worst = worst.into_iter().find(|exit| self.exits.contains(exit));
        worst.unwrap_or(Exit::Done)
    }

    /// For people.
    pub(super) fn told(&self, lone: &Lone) -> String {
        let mut text = format!("\n{}", self.table());
        text.push('\n');
        let count = format!("{} of {}", self.carried, show::counted(self.exits.len(), "probe"));
        text += &show::field("carried", &count);
        for (count, fault) in self.faults.values() {
            for (name, value) in told::fault_fields(fault) {
                let value = if name == "reason" {
                    format!("{value}, {}", times(*count))
                } else {
                    value
                };
                text += &show::field(name, &value);
            }
        }
        text += &self
            .last
            .as_ref()
            .map_or_else(String::new, |shown| told::seen(lone, shown));
        text
    }

    fn table(&self) -> String {
        let row = |name: String, times: &[Duration]| {
            let Spread(times) = Spread::of(times)?;
            let [least, median, greatest] = times.map(|time| format!("{:.3}", time.as_secs_f64() * 1000.0));
            Some(("", [name, least, median, greatest]))
        };
        let mut rows: Vec<_> = phases()
            .filter_map(|phase| row(phase.to_string(), self.took.get(&phase)?))
            .collect();
        rows.extend(row("whole".to_owned(), &self.whole));
        show::table(["PHASE", "LEAST (MS)", "MEDIAN", "GREATEST"], rows)
    }

    /// For programs.
    pub(super) fn object(&self) -> Value {
        let spread = |times: &[Duration]| {
            let Spread([least, median, greatest]) = Spread::of(times)?;
            Some(json!({
                "min": told::micros(least),
                "median": told::micros(median),
                "max": told::micros(greatest),
            }))
        };
        let phases: Map<String, Value> = phases()
            .filter_map(|phase| Some((phase.to_string(), spread(self.took.get(&phase)?)?)))
            .collect();
        let reasons: Map<String, Value> = self
            .faults
            .iter()
            .map(|(reason, (count, _))| (reason.to_string(), (*count).into()))
            .collect();
        json!({
            "kind": "summary",
            "probes": self.exits.len(),
            "carried": self.carried,
            "reasons": reasons,
            "phases_us": phases,
            "whole_us": spread(&self.whole),
            "exit": self.exit().code(),
        })
    }
}

fn times(count: usize) -> String {
    match count {
        1 => "once".to_owned(),
        more => format!("{more} times"),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let of = |millis: &[u64]| {
            let times: Vec<Duration> = millis.iter().copied().map(Duration::from_millis).collect();
            Spread::of(&times).map(|Spread(times)| times.map(|time| u64::try_from(time.as_millis()).unwrap()))
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[7]), Some([7, 7, 7]));
        assert_eq!(of(&[9, 1, 4]), Some([1, 4, 9]));
        assert_eq!(of(&[8, 2, 4, 100]), Some([2, 6, 100]));
    }
}
