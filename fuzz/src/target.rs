//! What a fuzz target is: named properties, and one function that holds them against an input.
//!
//! A property is a value with a name and a sentence, so that a person can be told which of them held. The fuzzer only
//! wants to know whether one was broken, and is told by a panic.

use std::{
    collections::BTreeMap,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// One thing to fuzz.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name: that of the fuzzer's program and of its corpus.
    pub name: &'static str,
    /// What it does, in a line.
    pub says: &'static str,
    /// What its input is.
    pub input: Input,
    /// What must hold. [`NO_PANIC`] holds for every target and is not listed.
    pub properties: &'static [Property],
    /// Holds the properties against an input.
    pub run: fn(&[u8], &mut Report),
}

/// What the input of a target is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// Bytes as they are on the wire or in a file: those of another implementation will do.
    Bytes,
    /// Choices, a byte each, from which an honest input is built and then bent.
    Choices,
}

/// Something that must hold for every input that it applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Property {
    /// Its name.
    pub name: &'static str,
    /// What it says.
    pub says: &'static str,
}

/// How a property fared with one input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was checked, and holds.
    Held,
    /// It does not hold, and why.
    Broken(String),
    /// The input gave no occasion to check it.
    DidNotApply,
}

/// What became of each property of a target with one input.
#[derive(Debug, Default)]
pub struct Report {
    verdicts: BTreeMap<&'static str, Verdict>,
    notes: Vec<String>,
}

impl Report {
    /// Notes whether `property` holds; `why` is asked only if it does not. Once broken, it stays broken.
    pub fn check(&mut self, property: Property, holds: bool, why: impl FnOnce() -> String) {
        let verdict = self.verdicts.entry(property.name).or_insert(Verdict::Held);
        if !holds && *verdict == Verdict::Held {
            *verdict = Verdict::Broken(why());
        }
    }

    /// Notes whether two values are equal.
    pub fn equal<T: PartialEq + fmt::Debug>(&mut self, property: Property, found: &T, expected: &T) {
        self.check(property, found == expected, || {
            format!("found {found:?}, expected {expected:?}")
        });
    }

    /// Notes that a property is broken.
    pub fn broken(&mut self, property: Property, why: impl Into<String>) {
        self.check(property, false, || why.into());
    }

    /// Says something about the input itself, for people.
    pub fn note(&mut self, note: impl FnOnce() -> String) {
        if self.notes.len() < MOST_NOTES {
            self.notes.push(note());
        }
    }

    /// How `property` fared.
    pub fn verdict(&self, property: Property) -> Verdict {
        self.verdicts
            .get(property.name)
            .cloned()
            .unwrap_or(Verdict::DidNotApply)
    }

    /// What is broken, and why.
    pub fn broken_ones(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.verdicts.iter().filter_map(|(name, verdict)| match verdict {
            Verdict::Broken(why) => Some((*name, why.as_str())),
            _ => None,
        })
    }

    /// What was said about the input.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The names of all properties that were checked.
    pub fn checked(&self) -> impl Iterator<Item = &'static str> {
        self.verdicts.keys().copied()
    }
}

impl Target {
    /// Holds the properties against an input. A panic is a broken property like others.
    pub fn examine(&self, input: &[u8]) -> Report {
        let mut report = Report::default();
        let ran = catch_unwind(AssertUnwindSafe(|| (self.run)(input, &mut report)));
        report.check(NO_PANIC, ran.is_ok(), || {
            let payload = ran.err();
            let text = payload.as_ref().and_then(|payload| {
                let text = payload.downcast_ref::<String>().map(String::as_str);
                text.or_else(|| payload.downcast_ref::<&str>().copied())
            });
            text.unwrap_or("a panic without words").to_owned()
        });
        report
    }

    /// The same for a fuzzer: panics when a property is broken.
    ///
    /// # Panics
    /// With the names of the broken properties, and why.
    pub fn fuzz(&self, input: &[u8]) {
        let mut report = Report::default();
        (self.run)(input, &mut report);
        let broken: Vec<String> = report
            .broken_ones()
            .map(|(name, why)| format!("{name}: {why}"))
            .collect();
        assert!(broken.is_empty(), "{}: {}", self.name, broken.join("; "));
    }
}

/// Holds for every target.
pub const NO_PANIC: Property = Property {
    name: "no-panic",
    says: "nothing in it panics",
};

/// A page is enough.
const MOST_NOTES: usize = 40;
