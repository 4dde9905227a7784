//! An object for each event, one a line; the last one is the summary.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use attester::model::{PhaseTimes, Reason};
use harness::Record;
use serde::{Serialize, Serializer};

use crate::{
    cast::Role,
    script::{Step, UNKNOWN},
    stage::Stage,
    summary::Summary,
    table,
};

/// What was printed about each peer last, by its number.
#[derive(Debug, Default)]
pub(crate) struct Json {
    last: BTreeMap<u8, Record>,
}

/// One line. `at` is in seconds since the beginning.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Event<'a> {
    Start {
        sessions: SocketAddr,
        origin: SocketAddr,
        dns: SocketAddr,
        state: PathBuf,
        rotation: String,
        port: u16,
        peers: Vec<Player>,
    },
    Step {
        at: f64,
        step: u8,
        title: String,
    },
    Peer {
        at: f64,
        #[serde(flatten)]
        player: Player,
        standing: &'a str,
        reason: Option<&'static str>,
        detail: &'a str,
        #[serde(serialize_with = "millis")]
        phases_ms: &'a PhaseTimes,
        in_rotation: bool,
    },
    StepEnd {
        at: f64,
        step: u8,
        seconds: f64,
        ok: bool,
    },
    Hold {
        at: f64,
        commands: &'a [String],
    },
    End {
        at: f64,
    },
}

#[derive(Serialize)]
struct Player {
    peer: IpAddr,
    behaviour: &'static str,
}

impl Json {
    /// Where everything is.
    pub(crate) fn open(&self, stage: &Stage) -> io::Result<()> {
        let cluster = stage.cluster();
        let at = cluster.addresses();
        print(&Event::Start {
            sessions: at.session,
            origin: at.origin,
            dns: at.dns,
            state: cluster.state_file(),
            rotation: cluster.options().rotation(),
            port: cluster.port(),
            peers: stage.cast().iter().map(player).collect(),
        })
    }

    /// A step begins.
    pub(crate) fn begin(&self, stage: &Stage, step: Step) -> io::Result<()> {
        print(&Event::Step {
            at: at(stage),
            step: step.number(),
            title: step.title(stage),
        })
    }

    /// Prints what has changed; a new probe is a change.
    pub(crate) fn show(&mut self, stage: &Stage) -> io::Result<()> {
        for (role, record) in stage.seen() {
            let Some(record) = record.filter(|record| record.standing != UNKNOWN) else {
                continue;
            };
            if self.last.get(&role.number) == Some(record) {
                continue;
            }
            self.last.insert(role.number, record.clone());
            print(&Event::Peer {
                at: at(stage),
                player: player(role),
                standing: &record.standing,
                reason: record.reason.map(Reason::code),
                detail: &record.detail,
                phases_ms: &record.phases,
                in_rotation: record.in_rotation,
            })?;
        }
        Ok(())
    }

    /// A step is over.
    pub(crate) fn end(&self, stage: &Stage, step: Step, took: Duration, ok: bool) -> io::Result<()> {
        print(&Event::StepEnd {
            at: at(stage),
            step: step.number(),
            seconds: rounded(took),
            ok,
        })
    }

    /// The summary, and before it what there is to try.
    pub(crate) fn close(&self, stage: &Stage, summary: &Summary, commands: &[String]) -> io::Result<()> {
        if !commands.is_empty() {
            print(&Event::Hold {
                at: at(stage),
                commands,
            })?;
        }
        print(&Event::End { at: at(stage) })?;
        print(summary)
    }
}

const fn player(role: &Role) -> Player {
    Player {
        peer: role.ip(),
        behaviour: role.behaviour.name(),
    }
}

fn millis<S: Serializer>(phases: &PhaseTimes, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(table::apart(phases).map(|(phase, took)| (phase.as_str(), rounded(took * 1000))))
}

fn at(stage: &Stage) -> f64 {
    rounded(stage.elapsed())
}

/// To three places.
fn rounded(time: Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}

fn print(object: &impl Serialize) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let line = serde_json::to_string(object)?;
    writeln!(out, "{line}")?;
    out.flush()
}
