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
    /// There are mistakes in it.
    #[error("{} cannot be used:{}", path.display(), list(problems))]
    Mistakes { path: PathBuf, problems: Vec<Problem> },
}

impl Problem {
    /// A line that is not TOML, with the key that it seems to be about.
    pub(super) fn syntax(text: &str, error: &toml::de::Error) -> Self {
        let span = error.span().unwrap_or_default();
        let line = line_of(text, span.start);
        let own = text.lines().nth(line - 1).unwrap_or_default();
        let written = own.split_once('=').map(|(key, _)| key.trim());
        let written = written
            .filter(|key| !key.is_empty() && !key.starts_with('#'))
            .unwrap_or_default();
        let before = text
            .lines()
            .take(line - 1)
            .filter_map(|line| line.trim().strip_prefix('['));
        let section = before
            .last()
            .and_then(|rest| rest.split(']').next())
            .unwrap_or_default();
        let key = match (section.trim(), written) {
            (_, "") => String::new(),
            ("", key) => key.to_owned(),
            (section, key) => format!("{section}.{key}"),
        };
        let what = match error.message() {
            message if message.starts_with("duplicate key") => {
                "this is the second time that it is set (duplicate): remove one of the two".to_owned()
            }
            message if own.contains('=') => format!("this is not TOML: {message} (texts go in double quotes)"),
            message => format!("this is not TOML: {message}"),
        };
        Self { line, key, what }
    }

    /// What is wrong with the value of `key`, in serde's words, and what would be right.
    pub(super) fn of_key(text: &str, key: &str, message: &str) -> Self {
        if message.starts_with("unknown field ") {
            let known: Vec<&str> = message.split('`').skip(3).step_by(2).collect();
            return Self::unknown(text, key, &known);
        }
        let what = match hint(key) {
            Some(right) => format!("{message}; write {right}"),
            None => message.to_owned(),
        };
        Self::at_key(text, key, what)
    }

    /// A key or section that means nothing.
    pub(super) fn unknown(text: &str, key: &str, known: &[&str]) -> Self {
        let own = key.rsplit('.').next().unwrap_or_default();
        let what = match nearest(own, known) {
            Some(near) => format!("there is no such key; did you mean {near}?"),
            None => format!("there is no such key; there are {}", known.join(", ")),
        };
        Self::at_key(text, key, what)
    }

    /// A key that has no default and is not written.
    pub(super) fn missing(text: &str, key: &str) -> Self {
        let what = match hint(key) {
            Some(right) => format!("it is missing; write {right}"),
            None => "it is missing".to_owned(),
        };
        Self::at_key(text, key, what)
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

fn list(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("\n  {problem}")).collect()
}

/// Every key of a document with where it and its value are.
struct Keys {
    keys: Vec<(String, Range<usize>)>,
}

impl Keys {
    fn of(text: &str) -> Self {
        let (table, _) = DeTable::parse_recoverable(text);
        let mut keys = Self { keys: Vec::new() };
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
            self.keys.push((path, key.span()));
        }
    }

    /// The line of a key; that of its section when the key is not written.
    fn line(&self, text: &str, key: &str) -> usize {
        let place = |key: &str| {
            self.keys
                .iter()
                .find(|(path, _)| path == key)
                .map(|(_, span)| line_of(text, span.start))
        };
        let section = key.rsplit_once('.').and_then(|(section, _)| place(section));
        place(key).or(section).unwrap_or(1)
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

/// The nearest of `known`, if one is near enough to be meant.
pub(super) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let near = known.iter().map(|known| (distance(word, known), *known)).min()?;
    let enough = (word.len() / 3).max(2);
    (near.0 <= enough && near.0 < near.1.len()).then_some(near.1)
}

/// Insertions, deletions and replacements between two words (Wagner and Fischer 1974); long words are far from all.
fn distance(word: &str, known: &str) -> usize {
    if word.len() > MOST_COMPARED {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=known.len()).collect();
    for (i, a) in word.bytes().enumerate() {
        let mut next = vec![i + 1];
        for ((b, above), diagonal) in known.bytes().zip(row.iter().skip(1)).zip(&row) {
            let left = next.last().copied().unwrap_or_default();
            next.push((diagonal + usize::from(a != b)).min(left + 1).min(above + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or(usize::MAX)
}

/// What would be right.
fn hint(key: &str) -> Option<&'static str> {
    let example = match key {
        "agent" => "a section [agent]; `peer-agent init` writes a commented one",
        "agent.attesters" => "the attester's endpoints, like attesters = [\"attester.example:7443\"]",
        "agent.root" => "the key that the attester's operator publishes, like root = \"ed25519:…\" (52 characters)",
        "agent.address" => "the public address that clients reach, like address = \"203.0.113.7:443\"",
        "agent.identity" => "the key's file, like identity = \"peer.key\"",
        "agent.bind" | "give.bind" => "one of this machine's addresses, like bind = \"192.0.2.7\"",
        "give.listen" => "where clients connect, like listen = \"0.0.0.0:443\"",
        "give.state" => "a folder, like state = \".\"",
        "give.proxy_host" => "this peer's DNS name, like proxy_host = \"peer.example\"",
        "give.allow_private" => "true or false",
        "give.ports" => "a list of ports from 0 to 65535, like ports = [80, 443]",
        "give.page" => "a file with a page in HTML, like page = \"page.html\"",
        "give.token" => "a text, like token = \"…\"",
        "give.rate" => "bytes a second, a whole number from 1, like rate = 131072",
        "give.limits" => "a section [give.limits]",
        "give.limits.connections"
        | "give.limits.connections_per_source"
        | "give.limits.tunnels"
        | "give.limits.tunnels_per_source" => "a whole number from 1",
        _ if key.starts_with("give.limits.") => "seconds, a number above 0 such as 10 or 0.035",
        _ => return None,
    };
    Some(example)
}

const MOST_COMPARED: usize = 64;
