//! `peer-agent run`: the give mode server and the agent, until a signal.

use std::io;

use anyhow::Context;
use peer_agent::{Agent, Tap, give::Give};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use super::{Run, colour::is_coloured, report::Report, settings::Settings};

/// Runs until SIGTERM or Ctrl-C: then says goodbye, lets requests in progress finish, and returns.
pub(super) fn run(args: &Run) -> anyhow::Result<()> {
    let settings = Settings::load(&args.config)?;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(is_coloured(&io::stderr()))
        .init();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start")?;
    let result = runtime.block_on(Box::pin(serve(settings, Report::new(args.json))));
    // A look-up of a name that nobody answers would hold the program up for as long as the system asks.
    runtime.shutdown_background();
    result
}

async fn serve(settings: Settings, mut report: Report) -> anyhow::Result<()> {
    let mut signals = Signals::new().context("cannot listen for signals")?;
    let give = Give::bind(settings.give.clone(), Tap::disconnected())?;
    let config = settings.agent(give.pin());
    let address = config.address.to_string();
    let agent = Agent::start(config, rand::rng())?;
    report.started(agent.peer_id(), &give, &address);
    let stop = CancellationToken::new();
    let mut server = tokio::spawn(give.tapped(agent.tap()).named_by(agent.changes()).run(stop.clone()));
    let mut changes = agent.changes();
    changes.mark_changed();
    let mut failed = None;
    loop {
        tokio::select! {
            Ok(()) = changes.changed() => {
                let standing = changes.borrow_and_update().clone();
                report.standing(&standing);
            }
            () = signals.next() => break,
            ended = &mut server => {
                failed = Some(ended);
                break;
            }
        }
    }
    report.stopping();
    // First the goodbye: the attester then sends no more clients. A second signal ends it all at once.
    let drain = async {
        agent.stop().await;
        stop.cancel();
        match failed {
            Some(ended) => Some(ended),
            None => {
                let _ = server.await;
                None
            }
        }
    };
    let ended = tokio::select! {
        ended = drain => ended,
        () = signals.next() => None,
    };
    report.stopped();
    match ended {
        Some(Ok(())) => anyhow::bail!("the server ended by itself"),
        Some(Err(error)) => Err(error).context("the server ended by itself"),
        None => Ok(()),
    }
}

/// The signals that end the program.
struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    #[cfg(unix)]
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};

        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    #[cfg(unix)]
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    #[cfg(not(unix))]
    fn new() -> io::Result<Self> {
        Ok(Self {})
    }

    #[cfg(not(unix))]
    async fn next(&mut self) {
        let _ = tokio::signal::ctrl_c().await;
    }
}
