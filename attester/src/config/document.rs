//! A TOML document that knows the line of each key and collects what is wrong with it.

use std::collections::BTreeMap;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

mod nearest;
mod problem;
mod source;

pub use problem::Problem;
pub(super) use source::Source;

use nearest::nearest;

/// The sections of a document, taken one after the other.
pub(super) struct Document<'t> {
    sections: BTreeMap<String, (usize, Spanned<DeValue<'t>>)>,
    /// The line of every section, and of every key under its section's name and its own.
    lines: BTreeMap<String, usize>,
    /// Each section that was asked for, with the keys that were asked for in it.
    known: Vec<(&'static str, Vec<&'static str>)>,
    unknown: Vec<Unknown>,
    text: &'t str,
    mistakes: Vec<Problem>,
    risks: Vec<Problem>,
    /// Keys that read as their defaults for a mistake's sake.
    mistaken: Vec<String>,
    torn: bool,
}

/// A key that was not asked for.
struct Unknown {
    section: &'static str,
    key: String,
    line: usize,
}

/// What was found in a document.
pub(super) struct Found {
    /// Mistakes, by line.
    pub(super) mistakes: Vec<Problem>,
    /// Risks, by line.
    pub(super) risks: Vec<Problem>,
}

impl<'t> Document<'t> {
    /// Reads a document.
    pub(super) fn of(source: &'t Source) -> Self {
        let (table, _) = DeTable::parse_recoverable(&source.text);
        let mut document = Self {
            sections: BTreeMap::new(),
            lines: BTreeMap::new(),
            known: Vec::new(),
            unknown: Vec::new(),
            text: &source.text,
            mistakes: source.problems.clone(),
            risks: Vec::new(),
            mistaken: source.left_out.clone(),
            torn: source.torn,
        };
        for (key, value) in table.into_inner() {
            let line = line_of(document.text, key.span().start);
            for (inner, _) in value.get_ref().as_table().into_iter().flatten() {
                let line = line_of(document.text, inner.span().start);
                document
                    .lines
                    .insert(format!("{}.{}", key.get_ref(), inner.get_ref()), line);
            }
            document.lines.insert(key.get_ref().to_string(), line);
            document.sections.insert(key.into_inner().into_owned(), (line, value));
        }
        document
    }

    /// Reads the section `name` with `read`, which asks for each of its keys; others are mistakes.
    pub(super) fn section<T>(&mut self, name: &'static str, read: impl FnOnce(&mut Section<'_, 't>) -> T) -> T {
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
                self.mistake(line, name.to_owned(), what);
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

    /// Notes that settings contradict each other, at the first of `keys` that is written, with the lines of the others.
    pub(super) fn conflict(&mut self, keys: &[&str], what: String) {
        let problem = self.about(keys, what);
        self.mistakes.extend(problem);
    }

    /// Notes that settings are allowed, but risky.
    pub(super) fn risk(&mut self, keys: &[&str], what: String) {
        let problem = self.about(keys, what);
        self.risks.extend(problem);
    }

    /// A problem of several keys; none when one of them is mistaken itself, and so reads as something nobody wrote.
    fn about(&self, keys: &[&str], what: String) -> Option<Problem> {
        let is_mistaken = |key: &&str| {
            let section = key.split('.').next().unwrap_or_default();
            self.mistaken
                .iter()
                .any(|mistaken| mistaken == key || mistaken == section)
        };
        if self.torn || keys.iter().any(is_mistaken) {
            return None;
        }
        let mut written = keys
            .iter()
            .filter_map(|key| Some(((*key).to_owned(), *self.lines.get(*key)?)));
        let first = keys.first().copied().unwrap_or_default();
        let section = first.split('.').next().unwrap_or_default();
        let unwritten = || (first.to_owned(), self.lines.get(section).copied().unwrap_or(1));
        let (key, line) = written.next().unwrap_or_else(unwritten);
        let also = written.collect();
        Some(Problem { line, key, what, also })
    }

    /// Everything that was found.
    pub(super) fn finish(mut self) -> Found {
        for (name, (line, value)) in std::mem::take(&mut self.sections) {
            let what = self.no_such_section(&name, value.get_ref());
            self.mistake(line, name, what);
        }
        for unknown in std::mem::take(&mut self.unknown) {
            let what = self.no_such_key(&unknown);
            self.mistake(unknown.line, format!("{}.{}", unknown.section, unknown.key), what);
        }
        self.mistakes.sort_by_key(|problem| problem.line);
        self.risks.sort_by_key(|problem| problem.line);
        Found {
            mistakes: self.mistakes,
            risks: self.risks,
        }
    }

    fn no_such_section(&self, name: &str, value: &DeValue<'_>) -> String {
        let owners = self.owners(name);
        if value.as_table().is_none() && !owners.is_empty() {
            return format!("it stands in no section: put it under {owners}");
        }
        let names: Vec<&str> = self.known.iter().map(|(name, _)| *name).collect();
        match nearest(name, &names) {
            Some(near) => format!("there is no such section; did you mean {near}?"),
            None => format!("there is no such section; there are {}", names.join(", ")),
        }
    }

    fn no_such_key(&self, unknown: &Unknown) -> String {
        let siblings = self.known.iter().find(|(name, _)| *name == unknown.section);
        let siblings = siblings.map(|(_, keys)| keys.as_slice()).unwrap_or_default();
        let owners = self.owners(&unknown.key);
        match nearest(&unknown.key, siblings) {
            Some(near) => format!("there is no such key; did you mean {near}?"),
            None if !owners.is_empty() => format!("there is no such key here; {owners} has one"),
            None => format!("there is no such key; there are {}", siblings.join(", ")),
        }
    }

    /// The sections that have a key of this name.
    fn owners(&self, key: &str) -> String {
        let owners = self.known.iter().filter(|(_, keys)| keys.contains(&key));
        let owners: Vec<String> = owners.map(|(name, _)| format!("[{name}]")).collect();
        owners.join(" or ")
    }

    fn mistake(&mut self, line: usize, key: String, what: String) {
        self.mistaken.push(key.clone());
        self.mistakes.push(Problem {
            line,
            key,
            what,
            also: Vec::new(),
        });
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

    /// Whether nothing is written in it.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
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
        let full = format!("{}.{key}", self.name);
        let left_out = self.document.torn || self.document.mistaken.contains(&full);
        if !self.entries.contains_key(key) && !left_out {
            self.note(key, self.line, format!("it has no default and must be set to {right}"));
        }
        self.optional(key, parse)
    }

    fn note(&mut self, key: &str, line: usize, what: String) {
        let key = format!("{}.{key}", self.name);
        self.document.mistake(line, key, what);
    }

    fn finish(mut self) {
        for (key, _) in std::mem::take(&mut self.entries) {
            let full = format!("{}.{key}", self.name);
            // What it should have been reads as its default.
            let meant = nearest(&key, &self.known).map(|near| format!("{}.{near}", self.name));
            self.document.mistaken.extend(meant);
            let line = self.document.lines.get(&full).copied().unwrap_or(self.line);
            self.document.unknown.push(Unknown {
                section: self.name,
                key,
                line,
            });
        }
        self.document.known.push((self.name, self.known));
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}
