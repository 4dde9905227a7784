//! What the tap costs in the byte path: a copy loop as the give mode server has it, without a tap, with one that is not armed, and
//! with one that is armed by a real session and hashes all that goes through.
//!
//! The loop has a thread of its own. Where the bytes come from and go to are sockets that other threads serve; once the loop
//! writes to a TLS client, as a give mode server does, once to a bare socket.

use std::time::Duration;

use peer_agent::{Flow, FlowEnd, Tap};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    runtime::Runtime,
    time::Instant,
};

use crate::{
    Scale,
    report::{Budget, Row, Unit},
    samples::Samples,
    usage,
};

mod ends;
pub(crate) mod session;

use ends::Ends;
use session::Session;

pub(crate) fn measure(scale: Scale) -> anyhow::Result<Vec<Row>> {
    let rounds = scale.pick(15, 2);
    let flows = scale.pick(12, 1);
    let beside = Runtime::new()?;
    let mut session = beside.block_on(Session::start())?;
    let ends = beside.block_on(Ends::start())?;
    let digest = ends::digest(LENGTH);
    let own = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut rows = Vec::new();
    for (over, secured) in [("a socket", false), ("TLS", true)] {
        eprintln!("bench: tap: {rounds} rounds of {flows} × 16 MiB three times, to {over}");
        let mut figures = Figures::default();
        for round in 0..rounds {
            let mut sums = [Took::default(); 3];
            for turn in 0..flows {
                // Whatever one leaves behind in caches and sockets meets each of the others as often.
                for way in ORDERS[(turn + round) % ORDERS.len()] {
                    let looks = [Looks::NotAtAll, Looks::NotArmed, Looks::Armed][way];
                    let armed = match looks {
                        Looks::Armed => Some(beside.block_on(session.arm(LENGTH))?),
                        _ => None,
                    };
                    let request = armed.as_ref().map(session::Armed::request);
                    sums[way].add(own.block_on(flow(&ends, &session.tap(), looks, request, secured))?);
                    if let Some(armed) = armed {
                        beside.block_on(session.check(armed, digest))?;
                    }
                }
            }
            figures.take(&sums, flows);
        }
        rows.extend(figures.rows(over));
    }
    beside.block_on(session.stop());
    Ok(rows)
}

/// How the tap looks at a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Looks {
    NotAtAll,
    NotArmed,
    Armed,
}

/// What copying took.
#[derive(Clone, Copy, Debug, Default)]
struct Took {
    time: Duration,
    cpu: Duration,
}

impl Took {
    fn add(&mut self, other: Self) {
        self.time += other.time;
        self.cpu += other.cpu;
    }
}

/// Bytes a second in each round: of time, and of the loop's processor time.
#[derive(Default)]
struct Figures {
    time: [Samples; 3],
    cpu: [Samples; 3],
}

impl Figures {
    fn take(&mut self, sums: &[Took; 3], flows: usize) {
        let bytes = flows as f64 * LENGTH as f64;
        for (way, took) in sums.iter().enumerate() {
            self.time[way].push(bytes / took.time.as_secs_f64().max(1e-9));
            self.cpu[way].push(bytes / took.cpu.as_secs_f64().max(1e-9));
        }
    }

    fn rows(&self, over: &str) -> Vec<Row> {
        let mut rows = Vec::new();
        for (way, word, budget) in [(1, "not armed", 0.99), (2, "armed", 0.8)] {
            let row = |what, figures: &[Samples; 3]| {
                let plain = ("plain copy", &figures[0]);
                let row = Row::beside("tap", what, Unit::BytesPerSecond, &figures[way], plain);
                row.map(|row| row.within(Budget::RatioAtLeast(budget)))
            };
            rows.extend(row(format!("tap {word}, to {over}"), &self.time));
            rows.extend(row(
                format!("tap {word}, to {over}, by CPU of the copying thread"),
                &self.cpu,
            ));
        }
        rows
    }
}

/// One flow of [`LENGTH`] bytes, timed from the question to the tap to the last byte handed on.
async fn flow(ends: &Ends, tap: &Tap, looks: Looks, request: Option<&[u8]>, secured: bool) -> anyhow::Result<Took> {
    let (mut from, mut to) = ends.connect(LENGTH, secured).await?;
    if secured {
        let mut to = ends.secure(to).await?;
        let took = timed(&mut from, &mut to, tap, looks, request).await?;
        to.shutdown().await?;
        Ok(took)
    } else {
        timed(&mut from, &mut to, tap, looks, request).await
    }
}

async fn timed(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    tap: &Tap,
    looks: Looks,
    request: Option<&[u8]>,
) -> anyhow::Result<Took> {
    let (start, cpu) = (Instant::now(), usage::thread_cpu()?);
    let flow = match looks {
        Looks::NotAtAll => None,
        Looks::NotArmed | Looks::Armed => tap.flow(DESTINATION),
    };
    anyhow::ensure!(flow.is_some() == (looks == Looks::Armed), "the tap is not {looks:?}");
    match flow {
        // Not armed, the host keeps its own connection object.
        None => copy(from, to).await?,
        Some(mut flow) => {
            flow.up(request.unwrap_or_default());
            copy_tapped(from, to, flow).await?;
        }
    }
    Ok(Took {
        time: start.elapsed(),
        cpu: usage::thread_cpu()?.saturating_sub(cpu),
    })
}

async fn copy(from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin)) -> anyhow::Result<()> {
    let (mut buffer, mut left) = (vec![0; BUFFER], LENGTH);
    while left > 0 {
        let length = from.read(&mut buffer).await?;
        anyhow::ensure!(length > 0, "the source ended early");
        to.write_all(&buffer[..length]).await?;
        to.flush().await?;
        left = left.saturating_sub(length as u64);
    }
    Ok(())
}

async fn copy_tapped(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    mut flow: Flow,
) -> anyhow::Result<()> {
    let (mut buffer, mut left) = (vec![0; BUFFER], LENGTH);
    while left > 0 {
        let length = from.read(&mut buffer).await?;
        anyhow::ensure!(length > 0, "the source ended early");
        flow.down(&buffer[..length]);
        to.write_all(&buffer[..length]).await?;
        to.flush().await?;
        left = left.saturating_sub(length as u64);
    }
    flow.end(FlowEnd::Closed);
    Ok(())
}

/// All orders of three.
const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [2, 1, 0], [1, 0, 2], [2, 0, 1], [1, 2, 0], [0, 2, 1]];
/// The most that one announcement can tell.
const LENGTH: u64 = 16 << 20;
/// As the give mode server copies: one TLS record at a time.
const BUFFER: usize = 16 << 10;
/// Nobody looks it up.
pub(crate) const DESTINATION: &str = "origin.bench.test:80";
