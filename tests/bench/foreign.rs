//! Probes through a real Go enproxy server beside what peerscanner did: its check, by the real Go client, through the same server.
//!
//! One at a time for latency and processor time; then 64 at a time against a server that has one core to itself, clients and
//! destinations on another. A check is a connection that is closed again, then fresh TLS connections (two, as the client has it) and
//! a HEAD request: it carries less than a probe, whose answer has a body, and nothing in it is signed.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, ensure};
use attester::flashlight::{Limits, Prober, Stopwatch, Target};
use proto::{claims::Phase, ids::Pin};
use rand::{SeedableRng, rngs::StdRng};
use tokio::{runtime::Runtime, task::JoinSet, time::Instant};

use crate::{
    Scale,
    report::{Budget, Row, Unit},
    samples::Samples,
    usage,
};

pub(crate) mod bundled;
mod destinations;
mod programs;

use destinations::{Destinations, Probes};
use programs::{Checks, Server};

pub(crate) fn measure(scale: Scale) -> anyhow::Result<Vec<Row>> {
    let mut rows = one_by_one(scale)?;
    rows.extend(saturated(scale)?);
    Ok(rows)
}

/// Figures of rounds: fresh, resumed, and peerscanner's.
#[derive(Default)]
struct Ways([Samples; 3]);

impl Ways {
    fn rows(&self, what: &str, limits: [f64; 2]) -> Vec<Row> {
        let [fresh, resumed, checks] = &self.0;
        [("fresh", fresh, limits[0]), ("resumed", resumed, limits[1])]
            .into_iter()
            .filter_map(|(how, own, limit)| {
                let what = format!("{what} through a Go server, {how} TLS");
                let row = Row::beside("foreign", what, Unit::Micros, own, (REFERENCE, checks));
                row.map(|row| row.within(Budget::RatioAtMost(limit)))
            })
            .collect()
    }
}

fn one_by_one(scale: Scale) -> anyhow::Result<Vec<Row>> {
    // Fewer would not show beside what the Go program takes to start, which is taken off.
    let (rounds, probes) = (scale.pick(7, 1), scale.pick(60, 30));
    let beside = Runtime::new()?;
    let server = Server::start(None)?;
    let destinations = beside.block_on(Destinations::start())?;
    // The prober has this thread to itself, so that its processor time can be told.
    let own = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut latency, mut cpu) = (Ways::default(), Ways::default());
    let probers = [fresh(), fresh().resuming()];
    for round in 1..=rounds {
        eprintln!("bench: foreign: round {round} of {rounds}, {probes} probes three times");
        // One never resumes, the other has nothing to resume at first.
        for (way, (prober, full)) in probers.iter().zip([probes, usize::from(round == 1)]).enumerate() {
            let work = destinations.probes(probes)?;
            let began = usage::thread_cpu()?;
            let took = own.block_on(all_in_turn(prober, full, &target(&server), &work))?;
            let spent = usage::thread_cpu()?.saturating_sub(began);
            latency.0[way].push(took);
            cpu.0[way].push(spent.as_secs_f64() * 1e6 / probes as f64);
            destinations.check(&work)?;
        }
        // What the process takes to start is taken off.
        let one = Checks::of(&server, destinations.site(), 1, 1).run()?;
        let many = Checks::of(&server, destinations.site(), probes, 1).run()?;
        latency.0[2].push(many.median_micros);
        cpu.0[2].push((many.cpu.as_secs_f64() - one.cpu.as_secs_f64()) * 1e6 / (probes as f64 - 1.0));
    }
    let mut rows = latency.rows("latency of a probe", [0.07, 0.03]);
    rows.extend(cpu.rows("prober's CPU for a probe", [0.2, 0.15]));
    Ok(rows)
}

/// The median of the times until the answer was complete, in microseconds.
///
/// The first `full` of them must shake hands in full, and all others resume.
async fn all_in_turn(prober: &Prober, full: usize, target: &Target, work: &Probes) -> anyhow::Result<f64> {
    let mut rng = StdRng::from_rng(&mut rand::rng());
    let mut times = Samples::default();
    for (number, job) in work.jobs.iter().enumerate() {
        let exchange = prober.exchange(target, job, Stopwatch::start(), &mut rng).await;
        ensure!(exchange.failure.is_none(), "a probe failed: {:?}", exchange.failure);
        ensure!(
            exchange.resumed == (number >= full),
            "handshake {number}, of which the first {full} are full, was {}",
            if exchange.resumed { "resumed" } else { "full" }
        );
        times.push(exchange.watch.times().0[&Phase::Complete].as_secs_f64() * 1e6);
    }
    Ok(times.spread().context("there are probes")?.median)
}

fn saturated(scale: Scale) -> anyhow::Result<Vec<Row>> {
    let (rounds, probes) = (scale.pick(5, 1), scale.pick(1280, 64));
    let (mut rate, mut server_cpu) = (<[Samples; 2]>::default(), <[Samples; 2]>::default());
    let beside = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(2)
        .on_thread_start(|| {
            // Where there is one core only, all share it.
            let _ = usage::pin(CLIENTS);
        })
        .build()?;
    let destinations = beside.block_on(Destinations::start())?;
    for round in 1..=rounds {
        eprintln!("bench: foreign: {AT_ONCE} at once, round {round} of {rounds}, {probes} probes twice");
        // The server keeps each destination's socket for more than a minute: a new one has its file descriptors free.
        let server = Server::start(Some(SERVER))?;
        let work = destinations.probes(probes)?;
        let (start, cpu) = (Instant::now(), server.cpu()?);
        beside.block_on(all_at_once(target(&server), work.clone()))?;
        let (elapsed, spent) = (start.elapsed(), server.cpu()?.saturating_sub(cpu));
        destinations.check(&work)?;
        rate[0].push(probes as f64 / elapsed.as_secs_f64());
        server_cpu[0].push(spent.as_secs_f64() * 1e6 / probes as f64);

        let (start, cpu) = (Instant::now(), server.cpu()?);
        Checks::of(&server, destinations.site(), probes, AT_ONCE)
            .on(CLIENTS)
            .run()?;
        let (elapsed, spent) = (start.elapsed(), server.cpu()?.saturating_sub(cpu));
        rate[1].push(probes as f64 / elapsed.as_secs_f64());
        server_cpu[1].push(spent.as_secs_f64() * 1e6 / probes as f64);
    }
    let beside = |what: &str, unit, figures: &[Samples; 2], budget| {
        let what = format!("{what}, {AT_ONCE} at once through one saturated Go server");
        let row = Row::beside("foreign", what, unit, &figures[0], (REFERENCE, &figures[1]));
        row.map(|row| row.within(budget))
    };
    Ok([
        beside("probes a second", Unit::PerSecond, &rate, Budget::RatioAtLeast(1.8)),
        beside(
            "the server's CPU for a probe",
            Unit::Micros,
            &server_cpu,
            Budget::RatioAtMost(0.55),
        ),
    ]
    .into_iter()
    .flatten()
    .collect())
}

async fn all_at_once(target: Target, work: Probes) -> anyhow::Result<()> {
    let prober = std::sync::Arc::new(fresh());
    let mut workers = JoinSet::new();
    for jobs in work.jobs.chunks(work.jobs.len().div_ceil(AT_ONCE)) {
        let (prober, target, jobs) = (prober.clone(), target.clone(), jobs.to_vec());
        workers.spawn(async move {
            let mut rng = StdRng::from_rng(&mut rand::rng());
            for job in &jobs {
                let exchange = prober.exchange(&target, job, Stopwatch::start(), &mut rng).await;
                ensure!(exchange.failure.is_none(), "a probe failed: {:?}", exchange.failure);
            }
            Ok(())
        });
    }
    while let Some(worker) = workers.join_next().await {
        worker??;
    }
    Ok(())
}

fn fresh() -> Prober {
    Prober::new(None, Limits::default())
}

fn target(server: &Server) -> Target {
    let (address, pin): (SocketAddr, Pin) = (server.address, server.pin);
    Target {
        host: Some("peer-a.bench.test".to_owned()),
        ..Target::pinned(address, pin)
    }
}

/// The Go client that checks as peerscanner did.
const REFERENCE: &str = "peerscanner's check";
const AT_ONCE: usize = 64;
/// Cores of the saturated server, and of all others.
const SERVER: usize = 1;
const CLIENTS: usize = 0;
/// For a foreign program's first word.
const PATIENCE: Duration = Duration::from_secs(30);
