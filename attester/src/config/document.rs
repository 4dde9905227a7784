//! A TOML document that knows the line of each key and collects what is wrong with it.

use std::{collections::BTreeMap, fmt};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Its line, from 1.
    pub line: usize,
    /// The key, with its section.
    pub key: String,
    /// What is wrong and what would be right.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key.as_str() {
            "" => write!(f, "line {}: {}", self.line, self.what),
            key => write!(f, "line {}, key {key}: {}", self.line, self.what),
        }
    }
}

/// The sections of a document, taken one after the other.
pub(super) struct Document<'t> {
    sections: BTreeMap<String, (usize, Spanned<DeValue<'t>>)>,
    /// The line of every section, and of every key under its section's name and its own.
    lines: BTreeMap<String, usize>,
    known: Vec<&'static str>,
    text: &'t str,
    problems: Vec<Problem>,
}

impl<'t> Document<'t> {
    /// Reads a document.
    ///
    /// # Errors
    /// What is not TOML.
    pub(super) fn parse(text: &'t str) -> Result<Self, Vec<Problem>> {
        let (table, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            return Err(errors.iter().map(|error| syntax(text, error)).collect());
        }
        let mut document = Self {
            sections: BTreeMap::new(),
            lines: BTreeMap::new(),
            known: Vec::new(),
            text,
            problems: Vec::new(),
        };
        for (key, value) in table.into_inner() {
            let line = line_of(text, key.span().start);
            for (inner, _) in value.get_ref().as_table().into_iter().flatten() {
                let line = line_of(text, inner.span().start);
                document
                    .lines
                    .insert(format!("{}.{}", key.get_ref(), inner.get_ref()), line);
            }
            document.lines.insert(key.get_ref().to_string(), line);
            document.sections.insert(key.into_inner().into_owned(), (line, value));
        }
        Ok(document)
    }

    /// Reads the section `name` with `read`, which asks for each of its keys; others are mistakes.
    pub(super) fn section<T>(&mut self, name: &'static str, read: impl FnOnce(&mut Section<'_, 't>) -> T) -> T {
        self.known.push(name);
        let (line, table) = match self
            .sections
            .remove(name)
            .map(|(line, value)| (line, value.into_inner()))
        {
            None => (1, DeTable::default()),
            Some((line, DeValue::Table(table))) => (line, table),
            Some((line, other)) => {
                let what = format!(
                    "expected a section [{name}], found a value of type {}",
                    other.type_str()
                );
                self.problems.push(Problem {
                    line,
                    key: name.to_owned(),
                    what,
                });
                (line, DeTable::default())
            }
        };
        let entries = table
            .into_iter()
            .map(|(key, value)| (key.into_inner().into_owned(), value))
            .collect();
        let mut section = Section {
            document: self,
            name,
            line,
            entries,
            known: Vec::new(),
        };
        let value = read(&mut section);
        section.finish();
        value
    }

    /// Whether nothing was wrong up to now.
    pub(super) fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }

    /// Notes that two settings contradict each other, at the first of `keys` that is written.
    pub(super) fn conflict(&mut self, keys: &[&str], what: String) {
        let first = keys.first().copied().unwrap_or_default();
        let section = first.split('.').next().unwrap_or_default();
        let written = keys.iter().find_map(|key| Some((*key, *self.lines.get(*key)?)));
        let (key, line) = written.unwrap_or((first, self.lines.get(section).copied().unwrap_or(1)));
        self.problems.push(Problem {
            line,
            key: key.to_owned(),
            what,
        });
    }

    /// Everything that was wrong, by line.
    pub(super) fn finish(mut self) -> Vec<Problem> {
        for (name, (line, _)) in std::mem::take(&mut self.sections) {
            let what = format!("there is no such section; {}", one_of(&name, &self.known));
            self.problems.push(Problem { line, key: name, what });
        }
        self.problems.sort_by_key(|problem| problem.line);
        self.problems
    }
}

/// A section whose keys are asked for.
pub(super) struct Section<'d, 't> {
    document: &'d mut Document<'t>,
    name: &'static str,
    line: usize,
    entries: BTreeMap<String, Spanned<DeValue<'t>>>,
    known: Vec<&'static str>,
}

impl Section<'_, '_> {
    /// The value of `key`; `default` when it is absent or, after noting why, wrong.
    pub(super) fn value<T>(
        &mut self,
        key: &'static str,
        default: T,
        parse: impl Fn(&DeValue<'_>) -> Result<T, String>,
    ) -> T {
        self.optional(key, parse).unwrap_or(default)
    }

    /// The value of `key`; `None` when it is absent or, after noting why, wrong.
    pub(super) fn optional<T>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&DeValue<'_>) -> Result<T, String>,
    ) -> Option<T> {
        self.known.push(key);
        let value = self.entries.remove(key)?;
        match parse(value.get_ref()) {
            Ok(value) => Some(value),
            Err(what) => {
                self.note(key, line_of(self.document.text, value.span().start), what);
                None
            }
        }
    }

    /// The value of `key`, which has no default.
    pub(super) fn required<T>(
        &mut self,
        key: &'static str,
        right: &str,
        parse: impl Fn(&DeValue<'_>) -> Result<T, String>,
    ) -> Option<T> {
        if !self.entries.contains_key(key) {
            self.note(key, self.line, format!("it has no default and must be set to {right}"));
        }
        self.optional(key, parse)
    }

    fn note(&mut self, key: &str, line: usize, what: String) {
        self.document.problems.push(Problem {
            line,
            key: format!("{}.{key}", self.name),
            what,
        });
    }

    fn finish(mut self) {
        for (key, _) in std::mem::take(&mut self.entries) {
            let line = self
                .document
                .lines
                .get(&format!("{}.{key}", self.name))
                .copied()
                .unwrap_or(self.line);
            self.note(
                &key,
                line,
                format!("there is no such key; {}", one_of(&key, &self.known)),
            );
        }
    }
}

/// What a misspelt word probably should be, or all that it could be.
fn one_of(word: &str, known: &[&str]) -> String {
    let near = known.iter().find(|known| distance(word, known) <= 2);
    match near {
        Some(near) => format!("did you mean {near}?"),
        None => format!("there are {}", known.join(", ")),
    }
}

/// Insertions, deletions and replacements between two words (Wagner and Fischer 1974); long words are far from all.
fn distance(word: &str, known: &str) -> usize {
    if word.len() > MOST_COMPARED {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=known.len()).collect();
    for (i, a) in word.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (b, above) in known.bytes().zip(row.iter_mut().skip(1)) {
            let cheapest = (diagonal + usize::from(a != b)).min(left + 1).min(*above + 1);
            diagonal = std::mem::replace(above, cheapest);
            left = cheapest;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(usize::MAX)
}

/// A mistake in the TOML itself, told with the key that its line seems to be about.
fn syntax(text: &str, error: &toml::de::Error) -> Problem {
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
    let hint = if own.contains('=') {
        " (texts, durations and addresses go in double quotes)"
    } else {
        ""
    };
    Problem {
        line,
        key,
        what: format!("this is not TOML: {}{hint}", error.message()),
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

const MOST_COMPARED: usize = 64;
