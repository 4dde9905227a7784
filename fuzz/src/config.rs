//! Configuration files: whatever is in them, nothing panics, every mistake is told with its place, and what is accepted
//! keeps the documented bounds.

use std::time::Duration;

use attester::config::{Config, ConfigError};

use crate::target::{Input, Property, Report, Target};

/// The program's own reading of its file, which is in no library.
#[path = "../../peer-agent/src/cli"]
#[expect(dead_code, reason = "the program reads files; here only texts are read")]
mod cli {
    use std::path::Path;

    use peer_agent::AgentConfig;

    mod problem;
    mod settings;

    /// A mistake: its line, what is wrong, and both in one sentence.
    pub(super) type Mistake = (usize, String, String);

    /// What the program makes of a file, if it has no mistakes; its mistakes and what should be meant.
    pub(super) fn review(text: &str) -> (Option<AgentConfig>, Vec<Mistake>, Vec<Mistake>) {
        let review = settings::Settings::review(text, Path::new("/etc/peer"));
        let told = |problems: &[problem::Problem]| problems.iter().map(mistake).collect();
        let (mistakes, risks) = (told(&review.mistakes), told(&review.risks));
        let agent = review
            .settings
            .map(|settings| settings.agent(proto::ids::Pin::from_bytes([0; 32])));
        (agent, mistakes, risks)
    }

    fn mistake(problem: &problem::Problem) -> Mistake {
        (problem.line, problem.what.clone(), problem.to_string())
    }
}

/// The attester's.
pub const ATTESTER: Target = Target {
    name: "attester_config",
    says: "attester.toml",
    input: Input::Bytes,
    properties: &[PLACED, PRINTABLE, WITHIN_BOUNDS],
    run: attester,
};

/// The agent's program's.
pub const AGENT: Target = Target {
    name: "agent_config",
    says: "peer-agent.toml",
    input: Input::Bytes,
    properties: &[PLACED, PRINTABLE, USABLE],
    run: agent,
};

const PLACED: Property = Property {
    name: "placed",
    says: "what is refused has a mistake, and every mistake is told with a line of the file",
};
const PRINTABLE: Property = Property {
    name: "printable",
    says: "every mistake says something, in at most 1,000 characters for each line of the file",
};
const WITHIN_BOUNDS: Property = Property {
    name: "within-bounds",
    says: "what is accepted keeps the bounds that the full sample and check-config tell",
};
const USABLE: Property = Property {
    name: "usable",
    says: "what is accepted is what an agent can start with: an attester, a public address, limits above zero",
};

fn attester(input: &[u8], report: &mut Report) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let config = match Config::parse(text) {
        Ok(config) => config,
        Err(ConfigError::Mistakes { problems, .. }) => {
            report.check(PLACED, !problems.is_empty(), || {
                "a refusal without a mistake".to_owned()
            });
            for problem in problems {
                place(problem.line, &problem.what, &problem.to_string(), text, report);
            }
            return;
        }
        Err(other) => return report.broken(PLACED, format!("{other}, though nothing was read from a file")),
    };
    report.note(|| "accepted".to_owned());
    bounds(&config, report);
}

fn bounds(config: &Config, report: &mut Report) {
    let seconds = Duration::from_secs;
    let tenth = Duration::from_millis(100);
    let (admission, probe) = (&config.admission, &config.probe);
    let durations = [
        ("spacing", admission.spacing, tenth, seconds(60)),
        ("interval", admission.interval, tenth, seconds(86_400)),
        ("lease", admission.lease, seconds(1), seconds(604_800)),
        ("keep_name", admission.keep_name, seconds(1), seconds(30 * 86_400)),
        ("connect", probe.connect, tenth, probe.total),
        ("tls", probe.tls, tenth, probe.total),
        ("total", probe.total, tenth, seconds(60)),
        ("receipt_within", probe.receipt_within, tenth, seconds(60)),
    ];
    for (key, value, least, most) in durations {
        report.check(WITHIN_BOUNDS, (least..=most).contains(&value), || {
            format!("{key} is {value:?}")
        });
    }
    let numbers = [
        ("proofs", admission.proofs as u64, 1, 16),
        ("liveness_body", admission.liveness_body, 1, admission.goodput_body),
        ("goodput_body", admission.goodput_body, 1, 4 << 20),
        ("goodput_floor", admission.goodput_floor, 1, 1 << 30),
        ("max_peers", admission.max_peers as u64, 1, 1_000_000),
        ("concurrency", probe.concurrency as u64, 1, 10_000),
        ("sample", config.dns.sample as u64, 1, 256),
        ("rotation_port", config.dns.rotation_port.into(), 1, 65_535),
    ];
    for (key, value, least, most) in numbers {
        report.check(WITHIN_BOUNDS, (least..=most).contains(&value), || {
            format!("{key} is {value}")
        });
    }
    let renews = admission.interval.max(admission.spacing) + probe.total + probe.receipt_within;
    report.check(WITHIN_BOUNDS, admission.lease >= renews, || {
        format!("a lease of {:?}", admission.lease)
    });
    report.check(WITHIN_BOUNDS, config.dns.rotation.is_within(&config.dns.zone), || {
        format!("{} in {}", config.dns.rotation, config.dns.zone)
    });
}

fn agent(input: &[u8], report: &mut Report) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let (agent, mistakes, risks) = cli::review(text);
    for (line, what, whole) in mistakes.iter().chain(&risks) {
        place(*line, what, whole, text, report);
    }
    report.check(PLACED, agent.is_some() == mistakes.is_empty(), || {
        format!("refused: {}, mistakes: {mistakes:?}", agent.is_none())
    });
    if let Some(agent) = agent {
        report.note(|| "accepted".to_owned());
        let fine = agent.check().is_ok() && !agent.attesters.is_empty() && agent.address.port() != 0;
        report.check(USABLE, fine, || format!("{agent:?}"));
    }
}

fn place(line: usize, what: &str, whole: &str, text: &str, report: &mut Report) {
    let lines = text.split('\n').count();
    report.check(PLACED, (1..=lines).contains(&line), || {
        format!("line {line} of {lines}: {whole}")
    });
    let most = 1000 * (lines + 1) + text.len();
    report.check(PRINTABLE, !what.trim().is_empty() && whole.len() <= most, || {
        whole.to_owned()
    });
    report.note(|| whole.to_owned());
}
