//! Memory and idle processor time of an attester with 10,000 sessions after three reconnect churns.
//!
//! The peers are real: each serves at an address of its own, is registered, named, probed and verified, so that the memory holds all
//! that the attester knows of a verified peer. A churn kills all their processes, which closes every socket without a goodbye, and
//! starts them again with the same keys. Interval and lease are days: once they are verified nobody is probed while idle time is
//! measured.

use std::time::Duration;

use anyhow::ensure;
use tokio::time::Instant;

use crate::{
    Scale,
    report::{Budget, Row, Unit},
    rig::{Figures, Rig},
    roles::attester::Seen,
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
        rig.wait_sessions(sessions as usize, PATIENCE)?;
        arrivals.push(f64::from(sessions) / start.elapsed().as_secs_f64());
        let seen = settled(&mut rig, sessions, start)?;
        let each = seen.resident.saturating_sub(before.resident) as f64 / f64::from(sessions);
        eprintln!(
            "bench: sessions: {each:.0} B each after {churn} churns, {} of {sessions} verified",
            seen.verified
        );
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
    let what = format!(
        "attester's memory for each of {sessions} sessions, {} verified, after {churns} churns",
        after.verified
    );
    Ok([
        Row::alone("sessions", what, Unit::Bytes, &memory).map(|row| row.within(Budget::AtMost(40_000.0))),
        Row::alone(
            "sessions",
            "idle, with the default keepalives",
            Unit::PercentOfCore,
            &idle,
        )
        .map(|row| row.within(Budget::AtMost(2.0))),
        Row::alone("sessions", "registrations a second", Unit::PerSecond, &arrivals),
    ]
    .into_iter()
    .flatten()
    .collect())
}

/// Waits until all have sessions and nobody is about to be verified any more, and tells how it goes every few seconds. Who failed
/// its way out because nobody was there to be probed is asked again a day later: a few may be left suspended.
fn settled(rig: &mut Rig, sessions: u32, start: Instant) -> anyhow::Result<Seen> {
    let all = sessions as usize;
    let (mut told, mut last, mut verified) = (Instant::now(), Instant::now(), 0);
    loop {
        let seen = rig.look()?;
        if seen.verified != verified || seen.sessions != all {
            (last, verified) = (Instant::now(), seen.verified);
        }
        if seen.sessions == all && (verified == all || (last.elapsed() > QUIET && verified > 0)) {
            return Ok(seen);
        }
        if told.elapsed() > TELL {
            told = Instant::now();
            eprintln!(
                "bench: sessions: after {:.0} s the attester has {} sessions and {verified} verified; agents: {:?}",
                start.elapsed().as_secs_f64(),
                seen.sessions,
                rig.standings()?.by_state
            );
        }
        ensure!(
            start.elapsed() < PATIENCE,
            "not all peers are verified after {PATIENCE:?}"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Without a change in who is verified, longer than the pauses between an admission's proofs.
const QUIET: Duration = Duration::from_secs(15);
const TELL: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(1800);
