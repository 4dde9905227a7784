//! `attester probe <peer>`: one probe from the command line, or several, of any peer, by any route, with or without an agent.

use std::{process::ExitCode, time::Duration};

use clap::Args;
use proto::time::Clock;
use rand::{SeedableRng, rngs::StdRng};
use tokio_util::sync::CancellationToken;

use super::{Failure, exit::Exit, progress, runtime, show};
use crate::{
    config::{self, Config, parse_duration},
    flashlight::{Limits, Prober},
    model::Blame,
    run::lone::{Lone, Shown},
};

mod aim;
mod origin;
mod repeated;
mod told;
mod waterfall;

use repeated::Repeated;

#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(super) struct Probe {
    #[command(flatten)]
    aim: aim::AimArguments,
    #[command(flatten)]
    origin: origin::OriginArguments,
    /// Time for a whole probe, and for each phase of it [default: as configured, or 10s with 3s for each of connect and TLS]
    #[arg(long, value_name = "TIME", value_parser = time)]
    timeout: Option<Duration>,
    /// So many probes, one after the other: a line each, then the least, median and greatest time of each phase
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    repeat: Option<u32>,
    /// Resume TLS sessions from the second probe on, as a client that comes back does
    #[arg(long, requires = "repeat", conflicts_with = "edge")]
    resume: bool,
    /// One JSON object a probe instead of a waterfall
    #[arg(long)]
    json: bool,
}

impl Probe {
    pub(super) fn run(&self) -> Result<ExitCode, Failure> {
        let rng = StdRng::try_from_rng(&mut rand::rngs::SysRng)
            .map_err(|source| Failure::state("the system gives no random numbers", source))?;
        let runtime = runtime()?;
        let done = runtime.block_on(self.start(rng));
        // A look-up of a name that nobody answers would hold the program up for as long as the system asks.
        runtime.shutdown_background();
        done.map(ExitCode::from)
    }

    /// Opens the far end, probes, and closes it.
    async fn start(&self, mut rng: StdRng) -> Result<Exit, Failure> {
        let clock = Clock::steady();
        let config = self.origin.config()?;
        let aim = self.aim.read(&mut rng)?;
        let (prober, limits) = self.prober(config.as_ref());
        let opening = self
            .origin
            .open(config.as_ref(), &aim, limits.total, (&clock, &mut rng));
        let (far, origin) = opening.await?;
        let mut lone = Lone::new(aim, far, (prober, limits), clock, rng);
        if self.resume {
            lone = lone.resuming();
        }
        let stop = CancellationToken::new();
        let serving = origin.map(|origin| tokio::spawn(origin.run(stop.clone())));
        let done = match self.repeat {
            None => self.once(&mut lone).await,
            Some(times) => self.again(&mut lone, times).await,
        };
        stop.cancel();
        if let Some(serving) = serving {
            // A panic in it was reported by the panic hook.
            let _ = serving.await;
        }
        done
    }

    async fn once(&self, lone: &mut Lone) -> Result<Exit, Failure> {
        if !self.json {
            show::print(&format!("{}\n", told::head(lone, self.origin.file())))?;
        }
        let shown = progress::patiently("probing the peer", lone.probe()).await;
        let text = match self.json {
            true => show::lines(&[told::object(lone, &shown)]),
            false => format!(
                "{}\n{}",
                waterfall::drawn(&shown, show::columns()),
                told::result(lone, &shown)
            ),
        };
        show::print(&text)?;
        Ok(exit(&shown))
    }

    async fn again(&self, lone: &mut Lone, times: u32) -> Result<Exit, Failure> {
        if !self.json {
            show::print(&format!("{}\n", told::head(lone, self.origin.file())))?;
        }
        let mut all = Repeated::default();
        for number in 1..=times {
            let shown = progress::patiently("probing the peer", lone.probe()).await;
            let line = match self.json {
                true => show::lines(&[told::object(lone, &shown)]),
                false => repeated::line(number, &shown),
            };
            show::print(&line)?;
            all.add(shown);
        }
        let text = match self.json {
            true => show::lines(&[all.object()]),
            false => all.told(lone),
        };
        show::print(&text)?;
        Ok(all.exit())
    }

    /// The client, as the service would have it.
    fn prober(&self, config: Option<&Config>) -> (Prober, Limits) {
        let probe = config.map(|config| &config.probe);
        let limits = match (self.timeout, probe) {
            (Some(timeout), _) => Limits {
                connect: timeout,
                tls: timeout,
                total: timeout,
            },
            (None, Some(probe)) => Limits {
                connect: probe.connect,
                tls: probe.tls,
                total: probe.total,
            },
            (None, None) => Limits::default(),
        };
        let source = probe.and_then(|probe: &config::Probe| probe.source);
        (Prober::new(source, limits), limits)
    }
}

/// Who must act on what a probe showed.
fn exit(shown: &Shown) -> Exit {
    match shown.fault.as_ref().map(|fault| fault.blame) {
        None => Exit::Done,
        Some(Blame::Peer) => Exit::NotCarried,
        Some(Blame::Attester) => Exit::System,
        Some(Blame::Unknown) => Exit::Unclear,
    }
}

/// A time that a probe may take.
fn time(text: &str) -> Result<Duration, String> {
    let range = Duration::from_millis(100)..=Duration::from_secs(300);
    let time = parse_duration(text).filter(|time| range.contains(time));
    time.ok_or_else(|| "expected a time from 100ms to 5m, such as 500ms, 2s or 1.5s".to_owned())
}

const HELP: &str = "\
A probe needs an origin that the peer can reach, and whose answers this program can tell from others. \
With a configuration (--config, or attester.toml here) it is the configured one: its attester must be \
running, and its keys readable. Otherwise, and with --origin, the program starts one with keys that are \
kept nowhere, and says where it listens and what the peer is asked for; a firewall or NAT must let the \
peer through.

No agent is asked: a probe shows that a peer carries traffic, not who watched it.

Examples:
  attester probe 192.0.2.7
  attester probe peer.example:8443 --protocol connect --token-file token --pin 3f2a…
  attester probe 192.0.2.7 --origin=0.0.0.0:8080 --destination origin.example:80
  attester probe peer-….peers.example --via 192.0.2.53:53
  attester probe peer-….peers.example --edge cdn.example:443 --sni name
  attester probe 192.0.2.7 --repeat 20 --resume --json

Exit codes:
  0  the peer carries traffic
  2  a mistake in the command line or in the configuration
  3  this machine, its resolver or its keys, or the configured origin, which does not answer
  6  the peer does not carry traffic: its owner must act
  7  nobody can tell whose fault it is: it broke off behind an edge, or nothing arrived at an origin
     that the peer may be unable to reach
Of several probes the worst decides: 6, then 3, then 7.

With --json, an object a probe: kind (\"probe\"), peer, address (dialled), addresses (all of its name; empty without one), path, protocol, body, outcome \
(\"carried\", \"failed\", \"inconclusive\"), reason, phase, blame (\"peer\", \"attester\", \"unknown\"), \
remedy, detail; phases_us, when each phase ended in microseconds from the start, and ended_us; pin (of the \
TLS key that was seen), pin_compared, handshake (\"full\" or \"resumed\"; null when there was none), proxy_host, sent, received (bytes), goodput (bytes a second), \
arrived (at the origin; null when nobody here can tell), source (as the origin saw it), source_is_peer, \
origin: listening, destination. With --repeat an object of kind \"summary\" is the last: probes, carried, \
reasons (how often each), phases_us and whole_us with min, median and max of the time that each phase \
and the whole of a probe took, and exit, the status.";
