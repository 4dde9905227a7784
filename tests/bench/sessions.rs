//! Memory and idle processor time of an attester with 10,000 sessions after three reconnect churns.
//!
//! The peers are real: each serves at an address of its own, is registered, named, probed and verified, so that the memory holds all
//! that the attester knows of a verified peer. A churn kills all their processes, which closes every socket without a goodbye, and
//! starts them again with the same keys. Interval and lease are a day: once all are verified again nobody is probed while idle
//! time is measured.

use std::time::Duration;

use anyhow::ensure;
use tokio::time::Instant;

use crate::{
    Scale,
    report::{Budget, Row, Unit},
    rig::{Figures, Rig},
    samples::Samples,
};

pub(crate) fn measure(scale: Scale, sessions: u32) -> anyhow::Result<Vec<Row>> {
    let sessions = scale.pick(sessions, 40);
    let (processes, churns) = (scale.pick(4, 2), scale.pick(3, 1));
    let sessions = sessions / processes * processes;
    let window = Duration::from_millis(scale.pick(60_000, 300));
    let day = Duration::from_secs(24 * 3600);
    let mut rig = Rig::start(&Figures {
        lease: 7 * day,
        ..Figures::liveness_every(day)
    })?;
    let before = rig.look()?;
    let mut memory = Samples::default();
    let (mut arrivals, mut idle) = (Samples::default(), Samples::default());
    for churn in 0..=churns {
        eprintln!("bench: sessions: {sessions} peers come, {churn} of {churns} churns behind them");
        let start = Instant::now();
        for process in 0..processes {
            let share = sessions / processes;
            let settings = rig.peers(process * share, share);
            rig.add(&settings)?;
        }
        let seen = progress(&mut rig, sessions, start)?;
        arrivals.push(f64::from(sessions) / start.elapsed().as_secs_f64());
        let each = seen.resident.saturating_sub(before.resident) as f64 / f64::from(sessions);
        eprintln!("bench: sessions: {each:.0} B each after {churn} churns");
        if churn < churns {
            rig.kill_peers();
            rig.wait_sessions(0, PATIENCE)?;
        }
    }
    eprintln!("bench: sessions: idle for {:.0?}", 3 * window);
    for _ in 0..3 {
        let (start, before) = (Instant::now(), rig.look()?);
        std::thread::sleep(window);
        let after = rig.look()?;
        ensure!(
            after.sessions == sessions as usize,
            "{} sessions are left",
            after.sessions
        );
        let spent = Duration::from_micros(after.cpu_micros - before.cpu_micros);
        idle.push(100.0 * spent.as_secs_f64() / start.elapsed().as_secs_f64());
    }
    let after = rig.look()?;
    memory.push(after.resident.saturating_sub(before.resident) as f64 / f64::from(sessions));
    let what = format!("attester's memory for each of {sessions} verified peers' sessions, {churns} churns");
    Ok([
        Row::alone("sessions", what, Unit::Bytes, &memory).map(|row| row.within(Budget::AtMost(40.0 * 1024.0))),
        Row::alone(
            "sessions",
            "idle, with the default keepalives",
            Unit::PercentOfCore,
            &idle,
        )
        .map(|row| row.within(Budget::AtMost(2.0))),
        Row::alone(
            "sessions",
            "peers that come and are verified, a second",
            Unit::PerSecond,
            &arrivals,
        ),
    ]
    .into_iter()
    .flatten()
    .collect())
}

/// Waits until all are verified; told every few seconds.
fn progress(rig: &mut Rig, sessions: u32, start: Instant) -> anyhow::Result<crate::roles::attester::Seen> {
    loop {
        let told = Instant::now();
        loop {
            let seen = rig.look()?;
            if seen.sessions == sessions as usize && seen.verified == sessions as usize {
                return Ok(seen);
            }
            if told.elapsed() > Duration::from_secs(5) {
                let standings = rig.standings()?;
                eprintln!(
                    "bench: sessions: after {:.0} s the attester has {} sessions and {} verified; agents: {:?}",
                    start.elapsed().as_secs_f64(),
                    seen.sessions,
                    seen.verified,
                    standings.by_state
                );
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        ensure!(
            start.elapsed() < PATIENCE,
            "not all peers are verified after {PATIENCE:?}"
        );
    }
}

const PATIENCE: Duration = Duration::from_secs(1800);
