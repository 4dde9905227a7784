//! What the agent costs a Go peer that serves: the same program with a session to an attester, and without an agent. Nothing is announced
//! at the destination, as nearly always.

use std::time::Duration;

use tokio::time::Instant;

use super::{AT_ONCE, CLIENTS, Destinations, SERVER, Server, all_at_once, target};
use crate::{
    Scale,
    report::{Budget, Row, Unit},
    samples::Samples,
    tap::session::Session,
    usage,
};

pub(crate) fn measure(scale: Scale) -> anyhow::Result<Vec<Row>> {
    let (rounds, fetches) = (scale.pick(15, 1), scale.pick(1024, 512));
    let beside = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(2)
        .on_thread_start(|| {
            // Where there is one core only, all share it.
            let _ = usage::pin(CLIENTS);
        })
        .build()?;
    let destinations = beside.block_on(Destinations::start())?;
    let (mut rate, mut cpu) = (<[Samples; 2]>::default(), <[Samples; 2]>::default());
    for round in 1..=rounds {
        eprintln!(
            "bench: bundled: round {round} of {rounds}, {fetches} answers of {} KiB twice",
            BODY >> 10
        );
        // The server keeps each destination's socket for more than a minute: new ones have their file descriptors free.
        let bare = Server::bundled(Some(SERVER), None)?;
        let session = beside.block_on(Session::with(|attester, root, key| {
            Server::bundled(Some(SERVER), Some((attester, root, key)))
        }))?;
        let mut took = [Duration::ZERO; 2];
        let before = [session.agent().cpu()?, bare.cpu()?];
        for turn in 0..TURNS {
            // What a neighbour takes meanwhile it takes from both; and whichever comes first meets a machine that is a little colder.
            let order = if (round + turn) % 2 == 0 { [0, 1] } else { [1, 0] };
            for way in order {
                let server = [session.agent(), &bare][way];
                let work = destinations.probes_of(fetches / TURNS, BODY)?;
                let start = Instant::now();
                beside.block_on(all_at_once(target(server), work.clone()))?;
                took[way] += start.elapsed();
                destinations.check(&work)?;
            }
        }
        let after = [session.agent().cpu()?, bare.cpu()?];
        for way in [0, 1] {
            let spent = after[way].saturating_sub(before[way]);
            rate[way].push(fetches as f64 * BODY as f64 / took[way].as_secs_f64());
            cpu[way].push(spent.as_secs_f64() * 1e6 / fetches as f64);
        }
    }
    let row = |what: &str, unit, figures: &[Samples; 2], budget| {
        let what = format!("{what} of a Go peer with the agent, {AT_ONCE} at once");
        let row = Row::beside("bundled", what, unit, &figures[0], ("without", &figures[1]));
        row.map(|row| row.within(budget))
    };
    Ok([
        row("throughput", Unit::BytesPerSecond, &rate, Budget::RatioAtLeast(0.99)),
        row("CPU for an answer", Unit::Micros, &cpu, Budget::RatioAtMost(1.01)),
    ]
    .into_iter()
    .flatten()
    .collect())
}

/// Of each in a round.
const TURNS: usize = 8;
/// Long enough that handshakes are the smaller part.
const BODY: u64 = 256 << 10;
