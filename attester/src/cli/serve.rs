//! `attester serve`.

use std::{path::Path, process::ExitCode};

use super::Failure;
use crate::{config::Config, telemetry};

/// Serves until the process is told to stop.
pub(super) fn serve(file: &Path) -> Result<ExitCode, Failure> {
    let config = Config::load(file).map_err(Failure::config)?;
    telemetry::start(&config.log).map_err(|source| Failure::Config { source: source.into() })?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|source| Failure::state("the program's runtime cannot start", source))?;
    runtime.block_on(run(&config))
}

async fn run(config: &Config) -> Result<ExitCode, Failure> {
    let _ = config;
    Err(Failure::State {
        source: anyhow::anyhow!("serving is not wired yet"),
    })
}

#[expect(dead_code, reason = "wired with app")]
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
