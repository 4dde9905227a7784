//! The text of a configuration, freed of the lines that are not TOML, so that the rest can be looked at all the same.

use toml::de::{DeTable, Error};

use super::{Problem, line_of};

/// A text that is TOML, and what had to be left out to make it so.
pub(in crate::config) struct Source {
    pub(super) text: String,
    pub(super) problems: Vec<Problem>,
    /// The keys on lines that were left out, where they could be told.
    pub(super) left_out: Vec<String>,
    /// Whether it is not known what else was left out with them.
    pub(super) torn: bool,
}

impl Source {
    /// Reads a text. Each line that is no TOML is told and blanked, so that the lines of all others stay the same.
    pub(in crate::config) fn of(text: &str) -> Self {
        let mut source = Self {
            text: text.to_owned(),
            problems: Vec::new(),
            left_out: Vec::new(),
            torn: false,
        };
        while let Some(error) = first_error(&source.text) {
            let problem = syntax(&source.text, &error);
            let line = problem.line;
            let own = source.text.lines().nth(line - 1).unwrap_or_default().trim().to_owned();
            let is_key = !problem.key.is_empty();
            // A table or list that spans lines would take all that follows along.
            let spans = error.message().contains("array") || error.message().contains("table,");
            if is_key {
                source.left_out.push(problem.key.clone());
            }
            let again = source.problems.iter().any(|known| known.line == line);
            if !again {
                source.problems.push(problem);
            }
            if again || source.problems.len() >= MOST || (spans && !own.starts_with('[')) || own.is_empty() {
                source.torn = true;
                source.text.clear();
            } else {
                source.torn |= !is_key;
                source.blank(line, own.starts_with('['));
            }
        }
        source
    }

    /// Blanks a line; with the keys below it when it is a section's.
    fn blank(&mut self, line: usize, section: bool) {
        let mut in_it = false;
        let blanked = self.text.split_inclusive('\n').enumerate().map(|(index, text)| {
            in_it = match index + 1 == line {
                true => section,
                false => in_it && !text.trim_start().starts_with('['),
            };
            if index + 1 == line || in_it {
                if text.ends_with('\n') { "\n" } else { "" }
            } else {
                text
            }
        });
        self.text = blanked.collect();
    }
}

fn first_error(text: &str) -> Option<Error> {
    let (_, errors) = DeTable::parse_recoverable(text);
    errors
        .into_iter()
        .min_by_key(|error| error.span().map_or(0, |span| span.start))
}

/// A mistake in the TOML itself, told with the key that its line seems to be about.
fn syntax(text: &str, error: &Error) -> Problem {
    let offset = error.span().map_or(0, |span| span.start);
    let line = line_of(text, offset);
    let before: Vec<&str> = text.lines().take(line).collect();
    let own = before.last().copied().unwrap_or_default();
    let header = |line: &str| {
        Some(
            line.trim()
                .strip_prefix('[')?
                .split(']')
                .next()?
                .trim_matches('[')
                .trim()
                .to_owned(),
        )
    };
    let section = before.iter().rev().skip(1).find_map(|line| header(line));
    let key = own
        .split_once('=')
        .map(|(key, _)| key.trim())
        .filter(|key| !key.is_empty() && !key.starts_with('#'));
    let key = match (section, key) {
        (Some(section), Some(key)) => format!("{section}.{key}"),
        (None, Some(key)) => key.to_owned(),
        (_, None) => String::new(),
    };
    let what = match error.message() {
        "duplicate key" => "this is the second time that it is set: remove one of the two".to_owned(),
        message if own.contains('=') => {
            format!("this is not TOML: {message} (texts, durations and addresses go in double quotes)")
        }
        message => format!("this is not TOML: {message}"),
    };
    Problem {
        line,
        key,
        what,
        also: Vec::new(),
    }
}

/// Whoever made so many needs no longer list.
const MOST: usize = 50;
