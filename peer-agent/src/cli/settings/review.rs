//! Every mistake in a configuration file at once: each key is tried by itself, among others that are known to be right.

use peer_agent::{AgentSection, give};
use serde::Deserialize;
use toml::{Table, Value};

use super::{
    super::problem::{Problem, nearest},
    check_give,
};

/// Everything that is wrong with single keys, by line. Whether they contradict each other can be asked when there is nothing.
pub(super) fn mistakes(text: &str) -> Vec<Problem> {
    let (whole, mut problems) = readable(text);
    let torn = problems.iter().any(|problem| problem.key.is_empty());
    let left_out: Vec<String> = problems.iter().map(|problem| problem.key.clone()).collect();
    let table: Table = toml::from_str(&whole).unwrap_or_default();
    let none = Table::new();
    for (name, value) in &table {
        match name.as_str() {
            "agent" | "give" if value.is_table() => {}
            "agent" | "give" => problems.push(Problem::at_key(&whole, name, format!("it must be a section, [{name}]"))),
            _ => problems.push(Problem::unknown(&whole, name, &["agent", "give"])),
        }
    }
    let section = |name: &str| table.get(name).and_then(Value::as_table).unwrap_or(&none);
    let agent = section("agent");
    for (key, value) in agent {
        let mut tried = good_agent();
        tried.insert(key.clone(), value.clone());
        if value.is_datetime() {
            problems.push(Problem::of_key(&whole, &format!("agent.{key}"), A_DATE));
        } else if let Err(error) = AgentSection::deserialize(tried) {
            problems.push(Problem::of_key(&whole, &format!("agent.{key}"), error.message()));
        }
    }
    let misspelt = |table: &Table, key: &str| table.keys().any(|written| nearest(written, &[key]).is_some());
    if agent.is_empty() && !torn && left_out.is_empty() && !misspelt(&table, "agent") {
        problems.push(Problem::missing(&whole, "agent"));
    }
    for key in REQUIRED.into_iter().filter(|_| !agent.is_empty() && !torn) {
        let full = format!("agent.{key}");
        if !misspelt(agent, key) && !left_out.contains(&full) {
            problems.push(Problem::missing(&whole, &full));
        }
    }
    let give = section("give");
    for (key, value) in give {
        match (key.as_str(), value) {
            ("limits", Value::Table(limits)) => {
                for (key, value) in limits {
                    let tried = Table::from_iter([(key.clone(), value.clone())]);
                    let tried = Table::from_iter([("limits".to_owned(), Value::Table(tried))]);
                    problems.extend(try_give(&whole, &format!("give.limits.{key}"), value, tried));
                }
            }
            _ => {
                let tried = Table::from_iter([(key.clone(), value.clone())]);
                problems.extend(try_give(&whole, &format!("give.{key}"), value, tried));
            }
        }
    }
    problems.sort_by_key(|problem| problem.line);
    problems
}

fn try_give(text: &str, key: &str, value: &Value, tried: Table) -> Option<Problem> {
    if value.is_datetime() {
        return Some(Problem::of_key(text, key, A_DATE));
    }
    match give::Config::deserialize(tried) {
        Err(error) => Some(Problem::of_key(text, key, error.message())),
        Ok(config) => check_give(text, &config).err(),
    }
}

/// The text without the lines that are not TOML, which stay as empty ones, and what is wrong with these.
fn readable(text: &str) -> (String, Vec<Problem>) {
    let (mut text, mut problems) = (text.to_owned(), Vec::<Problem>::new());
    while let Err(error) = toml::from_str::<Table>(&text) {
        let problem = Problem::syntax(&text, &error);
        let line = problem.line;
        // A list or a table that spans lines takes along who knows what.
        let own = text.lines().nth(line - 1).unwrap_or_default().trim();
        let section = own.starts_with('[');
        let spans = !section && (error.message().contains("array") || error.message().contains("table,"));
        let again = problems.iter().any(|known| known.line == line);
        if !again {
            problems.push(problem);
        }
        if again || spans || problems.len() >= MOST {
            return (String::new(), problems);
        }
        let mut in_it = false;
        let blanked = text.split_inclusive('\n').enumerate().map(|(index, text)| {
            in_it = match index + 1 == line {
                true => section,
                false => in_it && !text.trim_start().starts_with('['),
            };
            match index + 1 == line || in_it {
                true if text.ends_with('\n') => "\n",
                true => "",
                false => text,
            }
        });
        text = blanked.collect();
    }
    (text, problems)
}

/// A section in which nothing is wrong.
fn good_agent() -> Table {
    let text = |text: &str| Value::String(text.to_owned());
    Table::from_iter([
        (
            "attesters".to_owned(),
            Value::Array(vec![text("attester.example:7443")]),
        ),
        (
            "root".to_owned(),
            text("ed25519:rkeohxlubhyzl7ks3mwtzos5olfgocn7dwkbeg7toseadnapn5oa"),
        ),
        ("address".to_owned(), text("203.0.113.7:443")),
    ])
}

/// Which serde would take for its text.
const A_DATE: &str = "invalid type: a date";
/// What has no default.
const REQUIRED: [&str; 3] = ["attesters", "root", "address"];
/// Whoever made so many needs no longer list.
const MOST: usize = 50;
