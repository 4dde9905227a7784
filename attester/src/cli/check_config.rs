//! `attester check-config`. It reads the file and nothing else, so that it can be run anywhere, before the file is put in place
//! and beside an attester that runs; with `--machine` it looks at this machine as well.

use std::{path::Path, process::ExitCode};

use clap::Args;
use serde_json::{Value, json};

use super::{ConfigFile, Failure, exit::Exit, show};
use crate::config::{Config, Problem, Review};

mod machine;

use machine::Check;

#[derive(Debug, Args)]
pub(super) struct CheckConfig {
    #[command(flatten)]
    file: ConfigFile,
    /// Look at this machine too: keys, state file, ports, addresses, limits
    #[arg(long)]
    machine: bool,
    /// Take what is risky for a mistake
    #[arg(long)]
    strict: bool,
    /// One JSON object a line: each mistake and risk, each check of the machine, and the result
    #[arg(long)]
    json: bool,
}

impl CheckConfig {
    pub(super) fn run(&self) -> Result<ExitCode, Failure> {
        let file = &self.file.config;
        let review = Config::look_at(file).map_err(Failure::config)?;
        let checks = match (&review.config, self.machine) {
            (Some(config), true) => machine::look(config)?,
            _ => Vec::new(),
        };
        let exit = self.exit(&review, &checks);
        if self.json {
            show::print(&show::lines(&objects(file, &review, &checks, exit)))?;
        } else {
            self.tell(&review, &checks)?;
        }
        Ok(exit.into())
    }

    fn exit(&self, review: &Review, checks: &[Check]) -> Exit {
        if review.config.is_none() || (self.strict && !review.risks.is_empty()) {
            Exit::Config
        } else if checks.iter().any(Check::is_in_the_way) {
            Exit::System
        } else {
            Exit::Done
        }
    }

    /// For people: what is wrong to standard error, as every command tells it, the rest to standard output.
    fn tell(&self, review: &Review, checks: &[Check]) -> Result<(), Failure> {
        let file = self.file.config.display();
        if !review.mistakes.is_empty() {
            eprintln!("attester: {file} cannot be used:{}", list(&review.mistakes));
        }
        if !review.risks.is_empty() {
            eprintln!("attester: {file} is risky:{}", list(&review.risks));
        }
        let Some(config) = &review.config else { return Ok(()) };
        let mut text = format!(
            "{file} {}: zone {}, rotation {}, state in {}\n",
            if review.risks.is_empty() {
                "is in order"
            } else {
                "can be used"
            },
            config.dns.zone,
            config.dns.rotation,
            config.attester.state.display()
        );
        for check in checks {
            text += &format!("{check}\n");
        }
        show::print(&text)
    }
}

fn list(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("\n  {problem}")).collect()
}

fn objects(file: &Path, review: &Review, checks: &[Check], exit: Exit) -> Vec<Value> {
    let problem = |kind: &'static str| {
        move |problem: &Problem| {
            let also: Vec<Value> = problem
                .also
                .iter()
                .map(|(key, line)| json!({ "key": key, "line": line }))
                .collect();
            json!({ "kind": kind, "line": problem.line, "key": problem.key, "what": problem.what, "also": also })
        }
    };
    let mut objects: Vec<Value> = review.mistakes.iter().map(problem("mistake")).collect();
    objects.extend(review.risks.iter().map(problem("risk")));
    objects.extend(checks.iter().map(Check::object));
    objects.push(json!({
        "kind": "result",
        "file": file.display().to_string(),
        "usable": review.config.is_some(),
        "mistakes": review.mistakes.len(),
        "risks": review.risks.len(),
        "exit": exit.code(),
    }));
    objects
}
