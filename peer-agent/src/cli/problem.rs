//! A mistake in a configuration file, told with its line, its key and what would be right.

use std::{fmt, io, ops::Range, path::PathBuf};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// One mistake.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Problem {
    /// Its line, from 1.
    pub(super) line: usize,
    /// The key with its section; empty when the file is no TOML.
    pub(super) key: String,
    /// What is wrong.
    pub(super) what: String,
}

/// A configuration file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    /// It cannot be read.
    #[error("cannot read {} (`peer-agent init` writes one)", path.display())]
    Read { path: PathBuf, source: io::Error },
    /// There is a mistake in it.
    #[error("{}, {problem}", path.display())]
    Mistake { path: PathBuf, problem: Problem },
}

impl Problem {
    /// The mistake that a deserializer found.
    pub(super) fn found(text: &str, error: &toml::de::Error) -> Self {
        let (span, message) = (error.span().unwrap_or_default(), error.message());
        let start = span.start;
        let missing = message
            .strip_prefix("missing field `")
            .and_then(|rest| rest.split('`').next());
        let mut key = Keys::of(text).at(start);
        if key.is_empty() && message.starts_with("duplicate key") {
            key = text.get(span).unwrap_or_default().to_owned();
        }
        if let Some(missing) = missing {
            key = if key.is_empty() {
                missing.to_owned()
            } else {
                format!("{key}.{missing}")
            };
        }
        let what = match (missing, hint(&key)) {
            (Some(_), Some(right)) => format!("it is missing; write {right}"),
            (Some(_), None) => "it is missing".to_owned(),
            (None, Some(right)) => format!("{message}; write {right}"),
            (None, None) => message.to_owned(),
        };
        Self {
            line: line_of(text, start),
            key,
            what,
        }
    }

    /// The mistake that the value of `key` cannot work.
    pub(super) fn at_key(text: &str, key: &str, what: String) -> Self {
        Self {
            line: Keys::of(text).line(text, key),
            key: key.to_owned(),
            what,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, key, what } = self;
        if key.is_empty() {
            write!(f, "line {line}: {what}")
        } else {
            write!(f, "line {line}, key {key}: {what}")
        }
    }
}

/// Every key of a document with where it and its value are.
struct Keys {
    keys: Vec<(String, Range<usize>, Range<usize>)>,
    /// Whether the text is TOML: else the values end who knows where.
    whole: bool,
}

impl Keys {
    fn of(text: &str) -> Self {
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut keys = Self {
            keys: Vec::new(),
            whole: errors.is_empty(),
        };
        keys.add("", table.get_ref());
        keys
    }

    fn add(&mut self, prefix: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let path = if prefix.is_empty() {
                key.get_ref().to_string()
            } else {
                format!("{prefix}.{}", key.get_ref())
            };
            if let DeValue::Table(inner) = Spanned::get_ref(value) {
                self.add(&path, inner);
            }
            self.keys.push((path, key.span(), value.span()));
        }
    }

    /// The innermost key that holds the byte `offset`.
    fn at(&self, offset: usize) -> String {
        let holds = |(_, key, value): &&(String, Range<usize>, Range<usize>)| {
            key.contains(&offset) || (self.whole && value.contains(&offset))
        };
        self.keys
            .iter()
            .find(holds)
            .map(|(path, ..)| path.clone())
            .unwrap_or_default()
    }

    /// The line of a key; that of its section when the key is not written.
    fn line(&self, text: &str, key: &str) -> usize {
        let place = |key: &str| {
            self.keys
                .iter()
                .find(|(path, ..)| path == key)
                .map(|(_, span, _)| line_of(text, span.start))
        };
        let section = key.rsplit_once('.').and_then(|(section, _)| place(section));
        place(key).or(section).unwrap_or(1)
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

/// What would be right, for the keys that a volunteer has to fill in.
fn hint(key: &str) -> Option<&'static str> {
    let example = match key {
        "agent" => "a section [agent]; `peer-agent init` writes a commented one",
        "agent.attesters" => "the attester's endpoints, like attesters = [\"attester.example:7443\"]",
        "agent.root" => "the key that the attester's operator publishes, like root = \"ed25519:…\" (52 characters)",
        "agent.address" => "the public address that clients reach, like address = \"203.0.113.7:443\"",
        "agent.bind" | "give.bind" => "one of this machine's addresses, like bind = \"192.0.2.7\"",
        "give.listen" => "where clients connect, like listen = \"0.0.0.0:443\"",
        _ => return None,
    };
    Some(example)
}
