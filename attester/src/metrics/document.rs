//! `METRICS.md` and the golden list, made from the declarations.

use std::fmt::Write;

use super::series::{Label, SERIES, Series, Values};

/// The document for operators.
pub fn document() -> String {
    let mut text = String::from(INTRODUCTION);
    for series in SERIES {
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} | {} |",
            written(series),
            series.kind,
            labels(series.labels),
            series.help,
            if series.alert.is_empty() { "-" } else { series.alert },
        );
    }
    text
}

/// One line a series: what monitoring may rely on. Whoever changes it breaks somebody's dashboard.
pub fn list() -> String {
    let mut text = String::new();
    for series in SERIES {
        let names: Vec<&str> = series.labels.iter().map(|label| label.name).collect();
        let _ = writeln!(text, "{} {} {{{}}}", written(series), series.kind, names.join(","));
    }
    text
}

fn written(series: &Series) -> String {
    match series.kind {
        "counter" => format!("{}_total", series.name),
        _ => series.name.to_owned(),
    }
}

fn labels(labels: &[Label]) -> String {
    let each = labels.iter().map(|label| match label.values {
        Values::Listed(values) => format!("`{}`: {}", label.name, values().join(", ")),
        Values::Described(words) => format!("`{}`: {words}", label.name),
    });
    let each: Vec<String> = each.collect();
    if each.is_empty() {
        "-".to_owned()
    } else {
        each.join("; ")
    }
}

const INTRODUCTION: &str = "\
# Metrics of an attester

<!-- Generated from src/metrics/series.rs: UPDATE_GENERATED=1 cargo test -p attester --lib metrics:: -->

`GET /metrics` on the admin listener (`admin.listen`) answers in the text format of OpenMetrics 1.0, which Prometheus reads.
Label values are fixed by the program: no peer, address or other text of a stranger is among them, so that the number of
time series is bounded. A histogram `NAME` comes as `NAME_bucket`, `NAME_sum` and `NAME_count`. In the last column `…` stands
for the series of the row, written out.

| series | type | labels | says | look when |
| --- | --- | --- | --- | --- |
";
