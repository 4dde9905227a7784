//! Memory and idle processor time of an attester with 10,000 sessions after three reconnect churns, and beside it those of a
//! bare tonic server with as many idle streams and the same keepalives after as many churns.
//!
//! The peers are real: each serves at an address of its own, is registered, named, probed and verified, so that the memory holds all
//! that the attester knows of a verified peer. A churn kills all their processes, which closes every socket without a goodbye, and
//! starts them again with the same keys. Meanwhile most of them failed their way out, and who did so is asked again a quarter of an
//! interval later. The interval is long enough that nobody is probed while idle time is measured.

use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::time::Instant;

use crate::{
    Scale,
    child::Child,
    report::{Budget, Row, Unit},
    rig::{Figures, Rig},
    roles::{Role, attester::Seen},
    samples::Samples,
    streams::{self, Held},
};

pub(crate) fn measure(scale: Scale, sessions: u32, churns: u32) -> anyhow::Result<Vec<Row>> {
    let processes = scale.pick(4, 2);
    let course = Course {
        sessions: scale.pick(sessions, 40) / processes * processes,
        processes,
        churns: scale.pick(churns, 1),
        interval: Duration::from_secs(scale.pick(1200, 8)),
        window: Duration::from_millis(scale.pick(60_000, 300)),
    };
    ensure!(course.sessions > 0, "at least {processes} sessions are needed");
    let own = course.attester()?;
    let (bare, bare_idle) = course.tonic()?;
    let what = format!(
        "attester's memory for each of {} sessions, {} of them verified, after {} churns",
        course.sessions, own.verified, course.churns
    );
    let idle = match own.probes {
        0 => format!("{} sessions idle, with the default keepalives", course.sessions),
        probes => format!(
            "{} sessions idle but for {probes} probes, with the default keepalives",
            course.sessions
        ),
    };
    Ok([
        Row::beside(
            "sessions",
            what,
            Unit::Bytes,
            &own.memory,
            ("bare tonic, its defaults", &bare),
        )
        .map(|row| match course.churns {
            // The budget is for memory that has been used before.
            0 => row,
            _ => row.within(Budget::AtMost(40_000.0)),
        }),
        // It grows with the sessions, and the budget is for so many.
        Row::beside(
            "sessions",
            idle,
            Unit::PercentOfCore,
            &own.idle,
            ("bare tonic, as many keepalives", &bare_idle),
        )
        .map(|row| match course.sessions {
            ..BUDGETED => row,
            _ => row.within(Budget::AtMost(2.0)),
        }),
        Row::alone("sessions", "registrations a second", Unit::PerSecond, &own.arrivals),
    ]
    .into_iter()
    .flatten()
    .collect())
}

/// Who comes how often.
struct Course {
    sessions: u32,
    /// Of peers: one has too few file descriptors for all.
    processes: u32,
    churns: u32,
    /// Between the probes of a verified peer.
    interval: Duration,
    /// In which idle time is measured, three times.
    window: Duration,
}

#[derive(Default)]
struct Own {
    /// Bytes for a session at the end.
    memory: Samples,
    verified: usize,
    idle: Samples,
    /// Concluded in idle time.
    probes: usize,
    arrivals: Samples,
}

impl Course {
    fn attester(&self) -> anyhow::Result<Own> {
        let (sessions, churns) = (self.sessions, self.churns);
        let mut rig = Rig::start(&Figures::liveness_every(self.interval))?;
        let before = rig.look()?.resident;
        let mut own = Own::default();
        for churn in 0..=churns {
            eprintln!("bench: sessions: {sessions} peers come, {churn} of {churns} churns behind them");
            let start = Instant::now();
            for first in self.firsts() {
                let settings = rig.peers(first, self.share());
                rig.add(&settings)?;
            }
            rig.wait_sessions(sessions as usize, PATIENCE)?;
            own.arrivals.push(f64::from(sessions) / start.elapsed().as_secs_f64());
            let seen = self.settled(&mut rig, start)?;
            eprintln!(
                "bench: sessions: {:.0} B each after {churn} churns, {} of {sessions} verified",
                self.each(before, seen.resident),
                seen.verified
            );
            if churn < churns {
                rig.kill_peers();
                rig.wait_sessions(0, PATIENCE)?;
            }
        }
        let tally = rig.tally()?;
        let place = tally.after(0)?.last;
        own.idle = self.idle(|| {
            let seen = rig.look()?;
            Ok((seen.sessions, seen.cpu_micros))
        })?;
        let probes = tally.after(place)?;
        own.probes = probes.proved + probes.others.values().sum::<usize>();
        let after = rig.look()?;
        own.memory.push(self.each(before, after.resident));
        own.verified = after.verified;
        Ok(own)
    }

    /// Waits until all have sessions and are verified, and tells how it goes every few seconds. A few may fail once more and be
    /// asked much later: they are left out, which the figure's label tells. Were they many, it would be a figure of something else.
    fn settled(&self, rig: &mut Rig, start: Instant) -> anyhow::Result<Seen> {
        let all = self.sessions as usize;
        // Longer than those wait who failed their way out.
        let quiet = self.interval / 4 + QUIET;
        let (mut told, mut last, mut verified) = (Instant::now(), Instant::now(), 0);
        loop {
            let seen = rig.look()?;
            if seen.verified != verified || seen.sessions != all {
                (last, verified) = (Instant::now(), seen.verified);
            }
            if seen.sessions == all && verified == all {
                return Ok(seen);
            }
            if seen.sessions == all && last.elapsed() > quiet {
                let others = rig.tally()?.after(0)?.others;
                eprintln!("bench: sessions: probes that did not prove: {others:?}");
                ensure!(
                    verified * 100 >= all * MOST,
                    "only {verified} of {all} are verified, and nobody was in the last {quiet:?}"
                );
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

    /// Per cent of a core, of each window; `look` tells the sessions and the processor time so far.
    fn idle(&self, mut look: impl FnMut() -> anyhow::Result<(usize, u64)>) -> anyhow::Result<Samples> {
        eprintln!("bench: sessions: idle for {:.0?}", 3 * self.window);
        let mut idle = Samples::default();
        for _ in 0..3 {
            let (start, (_, before)) = (Instant::now(), look()?);
            std::thread::sleep(self.window);
            let (sessions, after) = look()?;
            ensure!(sessions == self.sessions as usize, "{sessions} sessions are left");
            let spent = Duration::from_micros(after - before);
            idle.push(100.0 * spent.as_secs_f64() / start.elapsed().as_secs_f64());
        }
        Ok(idle)
    }

    /// Bytes for a stream of a bare server at the end, and its idle processor time.
    fn tonic(&self) -> anyhow::Result<(Samples, Samples)> {
        let (mut server, address) = Child::start(Role::StreamServer, &())?;
        let before: Held = server.ask(&streams::Look)?;
        let (mut last, mut idle) = (before, Samples::default());
        for churn in 0..=self.churns {
            let mut clients = Vec::new();
            for first in self.firsts() {
                let settings = streams::Settings {
                    server: address,
                    first,
                    count: self.share(),
                    at_once: 16,
                };
                let (child, ()) = Child::start(Role::StreamClients, &settings)?;
                clients.push(child);
            }
            last = wait_streams(&mut server, self.sessions as usize)?;
            eprintln!(
                "bench: sessions: {:.0} B each in bare tonic after {churn} churns",
                self.each(before.resident, last.resident)
            );
            if churn == self.churns {
                idle = self.idle(|| {
                    let held: Held = server.ask(&streams::Look)?;
                    Ok((held.streams, held.cpu_micros))
                })?;
            }
            drop(clients);
            if churn < self.churns {
                wait_streams(&mut server, 0)?;
            }
        }
        let memory = [self.each(before.resident, last.resident)].into_iter().collect();
        Ok((memory, idle))
    }

    /// The first peer of each process.
    fn firsts(&self) -> impl Iterator<Item = u32> + use<> {
        let share = self.share();
        (0..self.processes).map(move |process| process * share)
    }

    const fn share(&self) -> u32 {
        self.sessions / self.processes
    }

    fn each(&self, before: u64, after: u64) -> f64 {
        after.saturating_sub(before) as f64 / f64::from(self.sessions)
    }
}

fn wait_streams(server: &mut Child, count: usize) -> anyhow::Result<Held> {
    let waited = server.wait(&streams::Look, PATIENCE, |held: &Held| held.streams == count);
    waited.with_context(|| format!("there are not {count} bare streams"))
}

const BUDGETED: u32 = 10_000;
/// Without a change in who is verified, longer than the pauses between an admission's proofs and what a busy machine adds.
const QUIET: Duration = Duration::from_secs(15);
/// Of a hundred, so many must be verified.
const MOST: usize = 95;
const TELL: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(1800);
