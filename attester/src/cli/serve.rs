//! `attester serve`.

use std::{path::Path, process::ExitCode};

use proto::time::Clock;
use rand::{SeedableRng, rngs::StdRng};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Failure, exit::Exit, notify::Manager, progress, show};
use crate::{
    app::{Addresses, App},
    config::Config,
    run::Starting,
    status::Health,
    telemetry,
};

/// Serves until the process is told to stop.
pub(super) fn serve(file: &Path) -> Result<ExitCode, Failure> {
    let mut review = Config::look_at(file).map_err(Failure::config)?;
    let risks = std::mem::take(&mut review.risks);
    let config = review.usable(file).map_err(Failure::config)?;
    telemetry::start(&config.log).map_err(|source| Failure::Config { source: source.into() })?;
    for risk in risks {
        tracing::warn!(line = risk.line, key = risk.key, "risky configuration: {}", risk.what);
    }
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
    let mut stop = std::pin::pin!(stop);
    let manager = Manager::of_this_process();
    let app = tokio::select! {
        () = stop.as_mut() => {
            tracing::info!("told to stop before it had started");
            return Ok(Exit::Done.into());
        }
        app = start(config, rng) => app?,
    };
    let announced = announce(app.health(), ready(app.addresses(), &app.root().to_string()), &manager);
    let told = async {
        tokio::select! {
            () = stop.as_mut() => return Ok(()),
            announced = announced => announced?,
        }
        stop.await;
        Ok(())
    };
    let mut running = Box::pin(app.run(token.clone()));
    tokio::select! {
        told = told => {
            tracing::info!("told to stop: draining");
            manager.stopping();
            token.cancel();
            running.await;
            told.map(|()| Exit::Done.into())
        }
        // It ends by itself only when a part of it did.
        () = &mut running => {
            let source = anyhow::anyhow!("the attester ended by itself: see its log");
            Err(Failure::State { source })
        }
    }
}

/// Binds and restores; a terminal sees how far it is.
async fn start(config: &Config, rng: StdRng) -> Result<App, Failure> {
    let (progress, starting) = watch::channel(Starting::default());
    let shown = tokio::spawn(progress::of_a_start(starting));
    // Boxed: the futures of a whole attester are large.
    let app = Box::pin(App::bind_telling(config, Clock::steady(), rng, &progress)).await;
    drop(progress);
    // A panic in it was reported by the panic hook.
    let _ = shown.await;
    app.map_err(|source| Failure::State { source: source.into() })
}

/// Says once that it takes work.
async fn announce(mut health: watch::Receiver<Health>, line: String, manager: &Manager) -> Result<(), Failure> {
    if health.wait_for(Health::is_ready).await.is_err() {
        // The attester is gone, which is told elsewhere.
        return std::future::pending().await;
    }
    manager.ready();
    show::print(&line)
}

/// One line that says that it serves, and where.
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
        http://{admin}/healthz, /readyz and /metrics; agents pin {root}\n"
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
