//! What happens, step by step, and how things must stand at the end of each step. A step waits for that, for no longer than the
//! harness's deadline.

use std::time::Duration;

use anyhow::Context;
use attester::{decide::VERIFIED, model::Reason};
use harness::{DEADLINE, Fate, Record};
use tokio::time::{Instant, sleep_until};

use crate::{cast::Role, stage::Stage, view::View};

/// Plays all steps; says what was not as it must be. After a step that did not end well there is no other.
pub(crate) async fn play(stage: &mut Stage, view: &mut View) -> anyhow::Result<Vec<String>> {
    view.open(stage).context(OUTPUT)?;
    for step in Step::ALL {
        view.begin(stage, *step).context(OUTPUT)?;
        let began = Instant::now();
        Box::pin(step.act(stage, view)).await?;
        let faults = settle(*step, stage, view).await?;
        view.end(stage, *step, began.elapsed(), faults.is_empty())
            .context(OUTPUT)?;
        if !faults.is_empty() {
            let late = |fault| format!("after {} s of step {}: {fault}", DEADLINE.as_secs(), step.number());
            return Ok(faults.into_iter().map(late).collect());
        }
    }
    Ok(Vec::new())
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Everybody starts and registers.
    Register,
    /// The honest get in, the hostile are found out.
    FindOut,
    /// An honest one vanishes.
    SwitchOff,
    /// It comes back.
    SwitchOn,
}

impl Step {
    /// All of them.
    pub(crate) const ALL: &'static [Self] = &[Self::Register, Self::FindOut, Self::SwitchOff, Self::SwitchOn];

    /// From 1.
    pub(crate) const fn number(self) -> u8 {
        self as u8 + 1
    }

    /// What happens in it.
    pub(crate) fn title(self, stage: &Stage) -> String {
        let peers = stage.cast().len();
        let switched = stage
            .cast()
            .get(stage.switched())
            .map(|role| role.number)
            .unwrap_or_default();
        match self {
            Self::Register => format!("{peers} peers start and register"),
            Self::FindOut => "The honest prove themselves and get in; the hostile are found out".to_owned(),
            Self::SwitchOff => format!("Peer {switched} is switched off without goodbye, and leaves"),
            Self::SwitchOn => format!("Peer {switched} is started again, proves itself anew and returns"),
        }
    }

    async fn act(self, stage: &mut Stage, view: &mut View) -> anyhow::Result<()> {
        match self {
            Self::Register => {
                while stage.enter().await? {
                    // What cannot be seen now is looked at again below.
                    let _ = stage.look().await;
                    view.show(stage, stage.cast().len() - stage.peers().len())
                        .context(OUTPUT)?;
                }
                Ok(())
            }
            Self::FindOut => Ok(()),
            Self::SwitchOff => {
                stage.switch_off().await;
                Ok(())
            }
            Self::SwitchOn => stage.switch_on().await,
        }
    }

    /// What is not yet as it must be at the end of this step.
    fn faults(self, stage: &Stage) -> Vec<String> {
        match self {
            Self::Register => stage
                .seen()
                .filter_map(|(role, record)| unregistered(role, record))
                .collect(),
            _ => {
                let members = stage.seen().filter_map(|(role, record)| misplaced(stage, role, record));
                let known = |ip| stage.cast().iter().any(|role| role.ip() == ip);
                let strangers = stage.rotation().iter().filter(|ip| !known(**ip));
                members
                    .chain(strangers.map(|ip| format!("the rotation has {ip}, which is nobody's")))
                    .collect()
            }
        }
    }
}

/// Looks until a step's faults are gone or its time is over; returns those that are left.
async fn settle(step: Step, stage: &mut Stage, view: &mut View) -> anyhow::Result<Vec<String>> {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let next = Instant::now() + LOOK;
        let faults = match stage.look().await {
            Ok(()) => step.faults(stage),
            // A busy machine may not answer once.
            Err(error) => vec![format!("{error:#}")],
        };
        view.show(stage, faults.len()).context(OUTPUT)?;
        if faults.is_empty() || next > deadline {
            return Ok(faults);
        }
        sleep_until(next).await;
    }
}

fn unregistered(role: &Role, record: Option<&Record>) -> Option<String> {
    let known = record.is_some_and(|record| record.standing != UNKNOWN);
    (!known).then(|| format!("{role} ({}) has not registered", role.behaviour))
}

/// Why a peer is not where it should be by now.
fn misplaced(stage: &Stage, role: &Role, record: Option<&Record>) -> Option<String> {
    let Some(record) = record else {
        return Some(format!("{role} ({}) has not started", role.behaviour));
    };
    let fate = role.fate();
    let who = format!("{role} ({})", role.behaviour);
    if stage.is_away(role) {
        let gone = !record.in_rotation && record.standing != VERIFIED;
        return (!gone).then(|| format!("{who} is switched off, and is still {}", told(record)));
    }
    let fits = fate.standing() == Some(record.standing.as_str())
        && record.reason == fate.reason()
        && record.in_rotation == (fate == Fate::Admitted);
    if !fits {
        return Some(format!("{who} should be {}, and is {}", deserved(fate), told(record)));
    }
    match fate {
        Fate::Suspended(_) if !stage.was_shown(role) => Some(format!("{who} was never in the rotation before it left")),
        Fate::Refused(_) | Fate::Rejected(_) if stage.was_shown(role) => Some(format!("{who} was in the rotation")),
        _ => None,
    }
}

fn deserved(fate: Fate) -> String {
    told_as(fate.standing().unwrap_or("out"), fate.reason(), fate == Fate::Admitted)
}

fn told(record: &Record) -> String {
    told_as(&record.standing, record.reason, record.in_rotation)
}

fn told_as(standing: &str, reason: Option<Reason>, in_rotation: bool) -> String {
    let reason = reason.map(|reason| format!(" for {reason}")).unwrap_or_default();
    let place = if in_rotation { "in" } else { "not in" };
    format!("{standing}{reason} and {place} the rotation")
}

/// What failed when something cannot be shown.
const OUTPUT: &str = "cannot write the output";
/// How often is looked: more often than anything is probed.
const LOOK: Duration = Duration::from_millis(200);
/// The standing of who is not in the records.
pub(crate) const UNKNOWN: &str = "unknown";
