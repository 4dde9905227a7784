//! The table: what, measured, reference, ratio, spread, budget, met or missed.

use std::fmt;

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use crate::samples::{Samples, Spread};

/// One line of the report.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    bench: &'static str,
    what: String,
    unit: Unit,
    measured: Spread,
    reference: Option<Reference>,
    budget: Option<Budget>,
    met: Option<bool>,
    rounds: usize,
}

#[derive(Clone, Debug, Serialize)]
struct Reference {
    what: String,
    measured: Spread,
    /// Of the rounds' ratios, each of figures taken right after each other.
    ratio: Spread,
}

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Unit {
    PerSecond,
    Nanos,
    Micros,
    Seconds,
    Bytes,
    BytesPerSecond,
    PercentOfCore,
}

/// What STYLE.md allows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Budget {
    /// The ratio to the reference, at most.
    RatioAtMost(f64),
    /// The ratio to the reference, at least.
    RatioAtLeast(f64),
    /// The figure itself, at most.
    AtMost(f64),
}

impl Row {
    /// A figure beside its reference; `None` when nothing was measured.
    pub(crate) fn beside(
        bench: &'static str,
        what: impl Into<String>,
        unit: Unit,
        measured: &Samples,
        (reference_is, reference): (&str, &Samples),
    ) -> Option<Self> {
        let beside = Reference {
            what: reference_is.to_owned(),
            measured: reference.spread()?,
            ratio: measured.over(reference).spread()?,
        };
        Some(Self {
            reference: Some(beside),
            ..Self::alone(bench, what, unit, measured)?
        })
    }

    /// A figure that is no ratio.
    pub(crate) fn alone(bench: &'static str, what: impl Into<String>, unit: Unit, measured: &Samples) -> Option<Self> {
        Some(Self {
            bench,
            what: what.into(),
            unit,
            measured: measured.spread()?,
            reference: None,
            budget: None,
            met: None,
            rounds: measured.rounds(),
        })
    }

    /// The same with its budget.
    #[must_use]
    pub(crate) fn within(mut self, budget: Budget) -> Self {
        let ratio = self.reference.as_ref().map(|reference| reference.ratio.median);
        self.met = match budget {
            Budget::RatioAtMost(limit) => ratio.map(|ratio| ratio <= limit),
            Budget::RatioAtLeast(limit) => ratio.map(|ratio| ratio >= limit),
            Budget::AtMost(limit) => Some(self.measured.median <= limit),
        };
        self.budget = Some(budget);
        self
    }

    fn cells(&self) -> [String; 7] {
        let reference = self.reference.as_ref();
        let spread = match reference {
            Some(reference) => format!("{:.3}–{:.3} ×", reference.ratio.least, reference.ratio.most),
            None => format!(
                "{}–{}",
                self.unit.show(self.measured.least),
                self.unit.show(self.measured.most)
            ),
        };
        [
            self.what.clone(),
            self.unit.show(self.measured.median),
            reference.map_or_else(String::new, |reference| {
                format!("{}: {}", reference.what, self.unit.show(reference.measured.median))
            }),
            reference.map_or_else(String::new, |reference| format!("{:.3} ×", reference.ratio.median)),
            format!("{spread} ({})", self.rounds),
            self.budget.map_or_else(String::new, |budget| budget.show(self.unit)),
            match self.met {
                Some(true) => "met".to_owned(),
                Some(false) => "MISSED".to_owned(),
                None => String::new(),
            },
        ]
    }
}

impl Budget {
    fn show(self, unit: Unit) -> String {
        match self {
            Self::RatioAtMost(limit) => format!("≤ {limit} ×"),
            Self::RatioAtLeast(limit) => format!("≥ {limit} ×"),
            Self::AtMost(limit) => format!("≤ {}", unit.show(limit)),
        }
    }
}

impl Unit {
    fn show(self, figure: f64) -> String {
        match self {
            Self::PerSecond if figure >= 10_000.0 => format!("{:.1} k/s", figure / 1e3),
            Self::PerSecond => format!("{figure:.0} /s"),
            Self::Nanos if figure >= 10_000.0 => format!("{:.1} µs", figure / 1e3),
            Self::Nanos => format!("{figure:.1} ns"),
            Self::Micros if figure >= 10_000.0 => format!("{:.1} ms", figure / 1e3),
            Self::Micros => format!("{figure:.0} µs"),
            Self::Seconds => format!("{figure:.2} s"),
            Self::Bytes if figure >= 1e6 => format!("{:.1} MB", figure / 1e6),
            Self::Bytes if figure >= 10_000.0 => format!("{:.1} KB", figure / 1e3),
            Self::Bytes => format!("{figure:.0} B"),
            Self::BytesPerSecond => format!("{:.0} MB/s", figure / 1e6),
            Self::PercentOfCore => format!("{figure:.2} %"),
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cells().join(" | "))
    }
}

/// Collects rows and shows them.
pub(crate) struct Report {
    json: bool,
    rows: Vec<Row>,
}

impl Report {
    pub(crate) const fn new(json: bool) -> Self {
        Self { json, rows: Vec::new() }
    }

    /// Takes rows in. As JSON they are shown at once, as a table all together at the end.
    pub(crate) fn add(&mut self, rows: Vec<Row>) {
        if self.json {
            for row in &rows {
                println!("{}", serde_json::json!(row));
            }
        }
        self.rows.extend(rows);
    }

    pub(crate) fn finish(&self) {
        if self.json || self.rows.is_empty() {
            return;
        }
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN);
        table.set_header([
            "what",
            "measured",
            "reference",
            "ratio",
            "spread (rounds)",
            "budget",
            "",
        ]);
        for row in &self.rows {
            table.add_row(row.cells());
        }
        for column in [1, 3] {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        println!("{table}");
    }
}
