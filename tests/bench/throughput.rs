//! Verifications a second with one core for the attester, its peers on another, beside the bare loop on the same cores.

use std::time::Duration;

use anyhow::ensure;
use tokio::time::Instant;

use crate::{
    Scale,
    bare::{Bare, Run},
    report::{Budget, Row, Unit},
    rig::{Figures, Rig},
    samples::Samples,
};

pub(crate) fn measure(scale: Scale) -> anyhow::Result<Vec<Row>> {
    let rounds = scale.pick(5, 1);
    let window = Duration::from_secs(scale.pick(5, 1));
    // More than one core can do.
    let peers = scale.pick(300, 20);
    let mut bare = Bare::start(Some((PEERS, ATTESTER)))?;
    let (mut rate, mut bare_rate) = (Samples::default(), Samples::default());
    let (mut cpu, mut bare_cpu) = (Samples::default(), Samples::default());
    for round in 1..=rounds {
        eprintln!("bench: throughput: round {round} of {rounds}, with {peers} peers");
        let done = bare.run(Run {
            at_once: AT_ONCE,
            millis: u64::try_from(window.as_millis())? / 2,
        })?;
        bare_rate.push(done.rate());
        bare_cpu.push(done.cpu());
        let (per_second, cpu_each) = saturated(peers, window)?;
        rate.push(per_second);
        cpu.push(cpu_each);
    }
    let at_once = format!("bare, {AT_ONCE} at once");
    Ok([
        Row::beside(
            "throughput",
            "verifications a second, one core for the attester",
            Unit::PerSecond,
            &rate,
            (&at_once, &bare_rate),
        )
        .map(|row| row.within(Budget::RatioAtLeast(0.5))),
        Row::beside(
            "throughput",
            "attester's CPU for each of them",
            Unit::Micros,
            &cpu,
            (&at_once, &bare_cpu),
        )
        .map(|row| row.within(Budget::RatioAtMost(2.0))),
    ]
    .into_iter()
    .flatten()
    .collect())
}

/// Verifications a second, and the attester's microseconds for each, when more are due than it can do.
fn saturated(peers: u32, window: Duration) -> anyhow::Result<(f64, f64)> {
    let mut rig = Rig::start(&Figures {
        core: Some(ATTESTER),
        ..Figures::liveness_every(Duration::from_millis(300))
    })?;
    let mut settings = rig.peers(0, peers);
    settings.core = Some(PEERS);
    rig.add(&settings)?;
    wait_full(&mut rig, peers as usize)?;
    let tally = rig.tally()?;
    let place = tally.after(0)?.last;
    let start = Instant::now();
    let cpu = rig.look()?.cpu_micros;
    std::thread::sleep(window);
    let (cpu, elapsed) = (rig.look()?.cpu_micros - cpu, start.elapsed());
    let probes = tally.after(place)?;
    ensure!(probes.proved > 0, "there was no verification in {window:?}");
    let others: usize = probes.others.values().sum();
    ensure!(
        others * 100 <= probes.proved,
        "too many probes did not prove: {:?}",
        probes.others
    );
    Ok((
        probes.proved as f64 / elapsed.as_secs_f64(),
        cpu as f64 / probes.proved as f64,
    ))
}

/// Waits until the core is full: members go before strangers, so that once there are enough members the last strangers have to
/// wait. How many are enough, the machine says.
fn wait_full(rig: &mut Rig, peers: usize) -> anyhow::Result<()> {
    let start = Instant::now();
    let (mut changed, mut verified) = (start, 0);
    loop {
        let seen = rig.look()?;
        if seen.verified != verified {
            (changed, verified) = (Instant::now(), seen.verified);
        }
        if verified >= peers / 2 || (verified >= peers / 20 && changed.elapsed() > STILL) {
            return Ok(());
        }
        ensure!(
            start.elapsed() < ADMITTED,
            "only {verified} of {peers} peers were verified"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Without a new member.
const STILL: Duration = Duration::from_secs(3);
/// Cores of the attester (and the bare client), and of its peers (and the bare server).
const ATTESTER: usize = 0;
const PEERS: usize = 1;
/// As many as the attester probes by default.
const AT_ONCE: usize = 64;
const ADMITTED: Duration = Duration::from_secs(180);
