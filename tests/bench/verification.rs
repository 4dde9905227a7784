//! One verification, all that the attester does for it: announcement, look-up of the peer's name in its own name server, a fresh
//! handshake, tunnel and request, its own origin's answer, the receipt, V0 to V7, the decision on the disk, the signed verdict.
//!
//! Beside it a bare handshake with a GET. The attester and the bare client take turns; each round has a new attester, so that
//! nothing of it runs while the reference does.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use anyhow::ensure;
use tokio::time::Instant;

use crate::{
    Scale,
    bare::{Bare, Run},
    report::{Budget, Row, Unit},
    rig::{Figures, Rig},
    roles::peers::address,
    samples::Samples,
    tally::Tally,
    wire::Counter,
};

/// Latency, processor time and bytes.
pub(crate) fn measure(scale: Scale) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    let rounds = scale.pick(5, 1);
    let window = Duration::from_millis(scale.pick(4000, 1000));
    let mut bare = Bare::start(None)?;
    let mut all = Rounds::default();
    for round in 1..=rounds {
        eprintln!(
            "bench: verification: round {round} of {rounds}, {} s each",
            window.as_secs() * 2 + 3
        );
        let window = u64::try_from(window.as_millis())?;
        let done = bare.run(Run {
            at_once: 1,
            millis: window / 2,
        })?;
        all.bare_cpu.push(done.cpu());
        all.bare_latency.push(done.latency_micros as f64);
        let one = Window::of(scale.pick(20, 4), Duration::from_millis(window))?;
        all.cpu.push(one.cpu);
        all.complete.push(one.complete);
        all.receipt.push(one.receipt);
    }
    rows.extend(all.rows());
    eprintln!("bench: verification: bytes on the wire");
    rows.extend(bytes(scale)?);
    Ok(rows)
}

/// Of each round, in microseconds.
#[derive(Default)]
struct Rounds {
    cpu: Samples,
    complete: Samples,
    receipt: Samples,
    bare_cpu: Samples,
    bare_latency: Samples,
}

impl Rounds {
    fn rows(&self) -> Vec<Row> {
        let beside = |what, own, reference| Row::beside("verification", what, Unit::Micros, own, ("bare", reference));
        [
            beside(
                "attester's CPU for a verification, fresh TLS",
                &self.cpu,
                &self.bare_cpu,
            )
            .map(|row| row.within(Budget::RatioAtMost(2.0))),
            beside(
                "latency until the answer is complete",
                &self.complete,
                &self.bare_latency,
            ),
            beside("latency until the receipt is there", &self.receipt, &self.bare_latency),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// What one attester did in a window.
struct Window {
    cpu: f64,
    complete: f64,
    receipt: f64,
}

impl Window {
    /// `peers` peers, each verified five times a second.
    fn of(peers: u32, window: Duration) -> anyhow::Result<Self> {
        let mut rig = Rig::start(&Figures::liveness_every(Duration::from_millis(200)))?;
        let settings = rig.peers(0, peers);
        rig.add(&settings)?;
        rig.wait_verified(peers as usize, ADMITTED)?;
        let tally = rig.tally()?;
        let before = tally.after(0)?;
        let cpu = rig.look()?.cpu_micros;
        std::thread::sleep(window);
        let cpu = rig.look()?.cpu_micros - cpu;
        let probes = tally.after(before.last)?;
        ensure!(probes.others.is_empty(), "not every probe proved: {:?}", probes.others);
        ensure!(probes.proved > 0, "there was no verification in {window:?}");
        let median = |times: &[f64]| {
            let times: Samples = times.iter().copied().collect();
            times.spread().map_or(f64::NAN, |spread| spread.median)
        };
        Ok(Self {
            cpu: cpu as f64 / probes.proved as f64,
            complete: median(&probes.complete),
            receipt: median(&probes.receipt),
        })
    }
}

/// Counted at relays on each of the three ways: payload of TCP, without its own headers and those below.
fn bytes(scale: Scale) -> anyhow::Result<Vec<Row>> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let _inside = runtime.enter();
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let (origin_side, origin) = runtime.block_on(Counter::listen(any))?;
    // The origin's own port must be known beforehand, too: it is one that was free a moment ago.
    let free = std::net::TcpListener::bind(any)?.local_addr()?;
    let figures = Figures {
        origin: Some((origin.address(), free)),
        ..Figures::liveness_every(Duration::from_millis(500))
    };
    let mut rig = Rig::start(&figures)?;
    origin.pass_to(origin_side, rig.started().origin);
    let (session_side, session) = runtime.block_on(Counter::listen(any))?;
    session.pass_to(session_side, rig.started().session);
    let mut settings = rig.peers(0, 1);
    settings.listen = settings.port + 1;
    settings.attester = session.address();
    let peer = |port| SocketAddr::from((address(0), port));
    let (tunnel_side, tunnel) = runtime.block_on(Counter::listen(peer(settings.port)))?;
    tunnel.pass_to(tunnel_side, peer(settings.listen));
    rig.add(&settings)?;
    rig.wait_verified(1, ADMITTED)?;

    let tally = rig.tally()?;
    let mut ways = [
        Samples::default(),
        Samples::default(),
        Samples::default(),
        Samples::default(),
    ];
    let mut place = concluded(&tally, 0)?;
    while ways[0].rounds() < scale.pick(8, 1) {
        let count = || [tunnel.bytes(), session.bytes(), origin.bytes()];
        let before = count();
        std::thread::sleep(Duration::from_millis(1500));
        let last = concluded(&tally, place)?;
        let after = count();
        let probes = tally.after(place)?;
        ensure!(probes.others.is_empty(), "not every probe proved: {:?}", probes.others);
        if probes.last > last {
            // On a machine so busy another probe had ended before the bytes were counted.
            place = concluded(&tally, probes.last)?;
            continue;
        }
        place = last;
        let each = |way: usize| (after[way] - before[way]) as f64 / probes.proved as f64;
        (0..3).for_each(|way| ways[way].push(each(way)));
        ways[3].push((0..3).map(each).sum());
    }
    let [tunnel, session, origin, all] = &ways;
    let row = |what, samples| Row::alone("verification", what, Unit::Bytes, samples);
    Ok([
        row("bytes between prober and peer, fresh TLS", tunnel),
        row("bytes of the session", session),
        row("bytes between peer and origin", origin),
        row("bytes of a verification on all three ways", all).map(|row| row.within(Budget::AtMost(8192.0))),
    ]
    .into_iter()
    .flatten()
    .collect())
}

/// Waits until a probe has been concluded, and its verdict was sent: until the next begins, all bytes are those of whole probes.
fn concluded(tally: &Tally, place: i64) -> anyhow::Result<i64> {
    let (start, before) = (Instant::now(), tally.after(place)?.last);
    loop {
        let last = tally.after(before)?.last;
        if last > before {
            std::thread::sleep(SENT);
            return Ok(last);
        }
        ensure!(start.elapsed() < ADMITTED, "no probe was concluded");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// For a verdict to be on its way; the pause between probes is longer.
const SENT: Duration = Duration::from_millis(100);
/// Longer than an admission takes.
const ADMITTED: Duration = Duration::from_secs(60);
