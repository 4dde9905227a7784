//! `peer-agent check-config`. It reads the file and nothing else; with `--machine` it looks at this machine as well.

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;
use proto::key::SigningKey;
use serde_json::{Value, json};

use super::{
    exit::Exit,
    problem::{FileError, Problem},
    settings::{Review, Settings},
};

#[derive(Debug, Args)]
pub(super) struct CheckConfig {
    /// The configuration file that `peer-agent init` wrote
    #[arg(long, value_name = "FILE", default_value = "peer-agent.toml")]
    config: PathBuf,
    /// Look at this machine too: the key file, the port, the addresses
    #[arg(long)]
    machine: bool,
    /// Take what is risky for a mistake
    #[arg(long)]
    strict: bool,
    /// One JSON object a line: each mistake and risk, each check of the machine, and the result
    #[arg(long)]
    json: bool,
}

/// One look at the machine.
struct Check {
    what: &'static str,
    found: Result<String, String>,
    exit: Exit,
}

impl CheckConfig {
    pub(super) fn run(&self) -> anyhow::Result<Exit> {
        let review = Settings::look_at(&self.config)?;
        let checks = match (&review.settings, self.machine) {
            (Some(settings), true) => look(settings),
            _ => Vec::new(),
        };
        let exit = if review.settings.is_none() || (self.strict && !review.risks.is_empty()) {
            Exit::Config
        } else {
            let failed = checks.iter().find(|check| check.found.is_err());
            failed.map_or(Exit::Done, |check| check.exit)
        };
        if self.json {
            for object in self.objects(&review, &checks, exit) {
                println!("{object}");
            }
        } else {
            self.tell(review, &checks);
        }
        Ok(exit)
    }

    fn tell(&self, review: Review, checks: &[Check]) {
        let file = self.config.display();
        if !review.risks.is_empty() {
            let risks: String = review.risks.iter().map(|risk| format!("\n  {risk}")).collect();
            eprintln!("peer-agent: {file} is risky:{risks}");
        }
        let Some(settings) = review.settings else {
            let path = self.config.clone();
            let problems = review.mistakes;
            eprintln!("peer-agent: {}", FileError::Mistakes { path, problems });
            return;
        };
        let word = if review.risks.is_empty() {
            "is in order"
        } else {
            "can be used"
        };
        println!(
            "{file} {word}: serves on {}, clients reach it at {}",
            settings.give.listen,
            settings.address()
        );
        for check in checks {
            match &check.found {
                Ok(found) => println!("  {:<14}fine        {found}", check.what),
                Err(found) => println!("  {:<14}in the way  {found}", check.what),
            }
        }
    }

    fn objects(&self, review: &Review, checks: &[Check], exit: Exit) -> Vec<Value> {
        let object = |kind: &'static str| move |problem: &Problem| json!({ "kind": kind, "line": problem.line, "key": problem.key, "what": problem.what });
        let mut objects: Vec<Value> = review.mistakes.iter().map(object("mistake")).collect();
        objects.extend(review.risks.iter().map(object("risk")));
        for check in checks {
            let (found, detail) = match &check.found {
                Ok(detail) => ("fine", detail),
                Err(detail) => ("in-the-way", detail),
            };
            objects.push(json!({ "kind": "machine", "check": check.what, "found": found, "detail": detail }));
        }
        objects.push(json!({
            "kind": "result",
            "file": self.config.display().to_string(),
            "usable": review.settings.is_some(),
            "mistakes": review.mistakes.len(),
            "risks": review.risks.len(),
            "exit": exit.code(),
        }));
        objects
    }
}

/// Looks at what the settings name; nothing is made or changed.
fn look(settings: &Settings) -> Vec<Check> {
    let check = |what, found, exit| Check { what, found, exit };
    let key = settings.identity();
    let identity = match SigningKey::read(&key) {
        Ok(key) => Ok(format!("this is peer {}", key.public().peer_id())),
        Err(_) if !key.exists() => Ok("there is none yet: the first run makes it".to_owned()),
        Err(error) => Err(format!("{:#}", anyhow::Error::new(error))),
    };
    let listen = settings.give.listen;
    let port = std::net::TcpListener::bind(listen);
    let port = port.map(|_| format!("{listen} is free"));
    let port = port.map_err(|error| format!("{listen}: {error}"));
    let mut checks = vec![
        check("identity", identity, Exit::Files),
        check("give.listen", port, Exit::Port),
    ];
    match settings.give.look_at_page() {
        Ok(None) => {}
        Ok(Some(length)) => checks.push(check("give.page", Ok(format!("it has {length} bytes")), Exit::Files)),
        Err(error) => {
            let found = Err(format!("{:#}", anyhow::Error::new(error)));
            checks.push(check("give.page", found, Exit::Files));
        }
    }
    if let Some(bind) = settings.give.bind {
        let bound = std::net::UdpSocket::bind(SocketAddr::from((bind, 0)));
        let bound = bound.map(|_| format!("{bind} is an address of this machine"));
        let bound = bound.map_err(|error| format!("{bind} is no address of this machine: {error}"));
        checks.push(check("give.bind", bound, Exit::Port));
    }
    checks
}
