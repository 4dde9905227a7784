//! `attester serve`.

use std::{path::Path, process::ExitCode};

use proto::time::Clock;
use rand::{SeedableRng, rngs::StdRng};
use tokio_util::sync::CancellationToken;

use super::{Failure, show};
use crate::{
    app::{Addresses, App},
    config::Config,
    telemetry,
};

/// Serves until the process is told to stop.
pub(super) fn serve(file: &Path) -> Result<ExitCode, Failure> {
    let config = Config::load(file).map_err(Failure::config)?;
    telemetry::start(&config.log).map_err(|source| Failure::Config { source: source.into() })?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|source| Failure::state("the program's runtime cannot start", source))?;
    runtime.block_on(run(&config))
}

async fn run(config: &Config) -> Result<ExitCode, Failure> {
    let token = CancellationToken::new();
    // Before anything is opened, so that no moment is left in which a signal kills without a drain.
    let stop = stop_signal().map_err(|source| Failure::state("cannot listen for signals", source))?;
    let rng = StdRng::try_from_rng(&mut rand::rngs::SysRng)
        .map_err(|source| Failure::state("the system gives no random numbers", source))?;
    // Boxed: the futures of a whole attester are large.
    let app = Box::pin(App::bind(config, Clock::steady(), rng)).await;
    let app = app.map_err(|source| Failure::State { source: source.into() })?;
    show::print(&ready(app.addresses(), &app.root().to_string()))?;
    let mut running = Box::pin(app.run(token.clone()));
    tokio::select! {
        () = stop => {
            tracing::info!("told to stop: draining");
            token.cancel();
            running.await;
        }
        // It ends by itself only when a part of it did.
        () = &mut running => {
            let source = anyhow::anyhow!("the attester ended by itself: see its log");
            return Err(Failure::State { source });
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// One line that says that all sockets are open, and where.
fn ready(addresses: &Addresses, root: &str) -> String {
    let Addresses {
        session,
        origin,
        destination,
        dns,
        admin,
    } = addresses;
    format!(
        "ready: sessions at {session}, origin at {origin} (for peers {destination}), DNS at {dns}, \
        http://{admin}/healthz; agents pin {root}\n"
    )
}

/// Resolves at the first SIGTERM or SIGINT.
#[cfg(unix)]
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};

    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Resolves at the first Ctrl-C.
#[cfg(not(unix))]
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    Ok(async {
        // Without a handler there is nothing to wait for but the end of the process.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}
