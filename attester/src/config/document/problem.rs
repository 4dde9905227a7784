//! What is wrong with a configuration, or risky in it.

use std::fmt;

/// One mistake or one risk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Its line, from 1.
    pub line: usize,
    /// The key, with its section; empty when it is no key's.
    pub key: String,
    /// What is wrong and what would be right.
    pub what: String,
    /// Other keys that it takes part in, with their lines.
    pub also: Vec<(String, usize)>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key.as_str() {
            "" => write!(f, "line {}: {}", self.line, self.what)?,
            key => write!(f, "line {}, key {key}: {}", self.line, self.what)?,
        }
        for (index, (key, line)) in self.also.iter().enumerate() {
            let before = if index == 0 { " (" } else { ", " };
            write!(f, "{before}{key} is on line {line}")?;
        }
        if self.also.is_empty() { Ok(()) } else { f.write_str(")") }
    }
}
