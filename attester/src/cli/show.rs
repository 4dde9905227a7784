//! How things look: tables, JSON lines, times.

use std::{
    fmt::Write as _,
    io::{self, Write},
    time::Duration,
};

use comfy_table::{Table, presets};
use console::{Style, Term, measure_text_width};
use proto::{
    text::{is_deceptive, is_plain},
    time::Timestamp,
};

use super::Failure;
use crate::telemetry;

/// Writes to standard output. A reader that has gone away (`| head`) is no failure.
///
/// Much of it was written by peers and other strangers, some of it long ago and into files: none of it turns the direction of
/// a line or hides a part of it.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let text = honest(text);
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::output(error)),
        _ => Ok(()),
    }
}

/// Says something about the work to standard error.
pub(super) fn say(text: &str) {
    eprintln!("attester: {}", honest(text));
}

/// A text that neither turns nor hides a part of itself.
pub(super) fn honest(text: &str) -> String {
    text.chars().filter(|letter| !is_deceptive(*letter)).collect()
}

/// Objects, one a line. What a terminal might obey or be deceived by is escaped, so that programs read what was written.
pub(super) fn lines(objects: &[serde_json::Value]) -> String {
    let mut lines = String::new();
    for object in objects {
        for letter in object.to_string().chars() {
            if is_plain(letter) {
                lines.push(letter);
            } else {
                // Only in texts: everything else in JSON is ASCII, and its control characters are escaped already. All are in
                // the first plane. Writing to a string does not fail.
                let _ = write!(lines, "\\u{:04x}", u32::from(letter));
            }
        }
        lines.push('\n');
    }
    lines
}

/// A plain table. Each row comes with the standing or outcome that gives it its colour, on a terminal.
pub(super) fn table<const N: usize>(header: [&str; N], rows: Vec<(&str, [String; N])>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header.to_vec());
    let mut styles = vec![Style::new().bold()];
    for (tone, row) in rows {
        styles.push(tone_of(tone));
        table.add_row(row.to_vec());
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let colour = is_coloured();
    // Cells hold no line breaks, so that each row is one line.
    let painted = table.lines().zip(styles).map(|(line, style)| {
        let line = line.trim_end();
        format!("{}\n", style.force_styling(colour).apply_to(line))
    });
    painted.collect()
}

/// A heading in front of a table.
pub(super) fn heading(text: &str) -> String {
    format!(
        "\n{}\n",
        Style::new()
            .bold()
            .underlined()
            .force_styling(is_coloured())
            .apply_to(text)
    )
}

/// A text in the colour of a standing or outcome.
pub(super) fn painted(text: &str, tone: &str) -> String {
    tone_of(tone).force_styling(is_coloured()).apply_to(text).to_string()
}

/// The header of a table that is written line by line.
pub(super) fn bold(text: &str) -> String {
    Style::new()
        .bold()
        .force_styling(is_coloured())
        .apply_to(text)
        .to_string()
}

/// A name and its value, which may go on in further lines.
pub(super) fn field(name: &str, value: &str) -> String {
    debug_assert!(name.len() < FIELD, "no space is left after {name:?}");
    let words: Vec<String> = value.split(' ').map(str::to_owned).collect();
    let mut text = String::new();
    for (at, line) in wrapped(&words, WIDTH - FIELD).iter().enumerate() {
        let name = if at == 0 { name } else { "" };
        text.push_str(format!("{name:<FIELD$}{line}").trim_end());
        text.push('\n');
    }
    text
}

/// Words in lines of at most `width` characters, unless a word is longer.
pub(super) fn wrapped(words: &[String], width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in words {
        match lines.last_mut() {
            Some(line) if measure_text_width(line) + 1 + measure_text_width(word) <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.clone()),
        }
    }
    lines
}

/// A file's name without what a terminal might obey.
pub(super) fn plain(name: &std::path::Path) -> String {
    let name = name.display().to_string();
    name.chars()
        .map(|letter| if is_plain(letter) { letter } else { '?' })
        .collect()
}

/// `1 file`, `2 files`.
pub(super) fn counted(count: usize, thing: &str) -> String {
    match count {
        1 => format!("1 {thing}"),
        more => format!("{more} {thing}s"),
    }
}

/// A standing or outcome in its colour.
pub(super) fn toned(word: &str) -> String {
    tone_of(word).force_styling(is_coloured()).apply_to(word).to_string()
}

fn tone_of(word: &str) -> Style {
    match word {
        "verified" | "proved" | "carried" => Style::new().green(),
        "suspended" | "refused" | "failed" => Style::new().red(),
        "inconclusive" => Style::new().yellow(),
        "retired" => Style::new().dim(),
        _ => Style::new(),
    }
}

/// Columns that a drawing may take: those of the terminal, if standard output is one.
pub(super) fn columns() -> usize {
    let out = Term::stdout();
    let size = out.size_checked().filter(|_| out.is_term());
    size.map_or(WIDTH, |(_, columns)| usize::from(columns))
}

fn is_coloured() -> bool {
    telemetry::is_coloured(&io::stdout())
}

/// A time as people read it: UTC, to the second.
pub(super) fn clock_time(time: Timestamp) -> String {
    let (date, seconds) = split(time);
    format!("{date} {}", time_of_day(seconds))
}

/// A time as people read it, to the millisecond if it is not a whole second.
pub(super) fn clock_time_millis(time: Timestamp) -> String {
    match time.as_micros() % 1_000_000 / 1000 {
        0 => clock_time(time),
        millis => format!("{}.{millis:03}", clock_time(time)),
    }
}

/// A time as programs read it: RFC 3339, UTC, to the microsecond.
pub(super) fn rfc3339(time: Timestamp) -> String {
    let (date, seconds) = split(time);
    format!("{date}T{}.{:06}Z", time_of_day(seconds), time.as_micros() % 1_000_000)
}

/// A length of time, to two units: `4m 12s`.
pub(super) fn length(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let [days, hours, minutes] = [seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60];
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, _, _) => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}

/// A setting's length of time: `2s`, `500ms`, `5m`.
pub(super) fn short_length(duration: Duration) -> String {
    match (duration.as_secs(), duration.subsec_millis()) {
        (0, millis) => format!("{millis}ms"),
        (seconds, 0) if seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
        (seconds, 0) => format!("{seconds}s"),
        _ => format!("{:.1}s", duration.as_secs_f64()),
    }
}

fn time_of_day(seconds: u64) -> String {
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// The date of a time in the Gregorian calendar, and the seconds since its midnight.
fn split(time: Timestamp) -> (String, u64) {
    let seconds = time.seconds().as_u64();
    let days = seconds / 86_400;
    // The calendar repeats after 400 years, wherever one begins to count.
    let mut year = 1970 + days / DAYS_IN_400_YEARS * 400;
    let mut day = days % DAYS_IN_400_YEARS;
    let is_leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    while day >= 365 + u64::from(is_leap(year)) {
        day -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let mut month = 1;
    for length in [31, 28 + u64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if day < length {
            break;
        }
        day -= length;
        month += 1;
    }
    (format!("{year:04}-{month:02}-{:02}", day + 1), seconds % 86_400)
}

const DAYS_IN_400_YEARS: u64 = 146_097;
/// Columns that a text is readable in.
pub(super) const WIDTH: usize = 100;
const FIELD: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01 00:00:00"),
            (951_782_400, "2000-02-29 00:00:00"),
            (951_868_799, "2000-02-29 23:59:59"),
            (978_307_199, "2000-12-31 23:59:59"),
            (1_709_164_800, "2024-02-29 00:00:00"),
            (1_767_225_600, "2026-01-01 00:00:00"),
            (4_107_542_400, "2100-03-01 00:00:00"),
            (13_574_563_200, "2400-02-29 00:00:00"),
        ] {
            assert_eq!(clock_time(Timestamp::from_secs(seconds)), expected, "{seconds}");
        }
        assert_eq!(
            rfc3339(Timestamp::from_micros(951_782_400_000_042)),
            "2000-02-29T00:00:00.000042Z"
        );
        assert!(clock_time(Timestamp::from_micros(u64::MAX)).starts_with("586524-"));
    }

    #[test]
    fn lengths_have_two_units() {
        let of = |seconds| length(Duration::from_secs(seconds));
        assert_eq!(
            [of(0), of(59), of(252), of(7260), of(183_600)],
            ["0s", "59s", "4m 12s", "2h 1m", "2d 3h"]
        );
    }

    #[test]
    fn what_deceives_is_left_out_for_people_and_escaped_for_programs() {
        let text = "port \u{202e}344\u{200b}\u{2066}\u{feff}";
        assert_eq!(honest(text), "port 344");
        let object = serde_json::json!({ "detail": format!("{text}\u{9b}\u{1b}\u{7f}é") });
        let line = lines(std::slice::from_ref(&object));
        assert_eq!(
            line,
            "{\"detail\":\"port \\u202e344\\u200b\\u2066\\ufeff\\u009b\\u001b\\u007fé\"}\n"
        );
        assert_eq!(serde_json::from_str::<serde_json::Value>(&line).ok(), Some(object));
        assert_eq!(plain(std::path::Path::new("a\u{202e}b\u{1b}c")), "a?b?c");
    }

    #[test]
    fn one_thing_is_not_many() {
        assert_eq!(
            [0, 1, 2].map(|count| counted(count, "file")),
            ["0 files", "1 file", "2 files"]
        );
    }

    #[test]
    fn a_table_has_a_line_for_each_row() {
        let rows = vec![
            ("verified", ["a".to_owned(), "long cell".to_owned()]),
            ("", ["bcd".to_owned(), String::new()]),
        ];
        assert_eq!(table(["ONE", "TWO"], rows), "ONE  TWO\na    long cell\nbcd\n");
        assert_eq!(table(["ONE"], vec![]), "ONE\n");
    }
}
