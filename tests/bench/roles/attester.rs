//! The real attester in a process of its own.

use std::{net::SocketAddr, path::PathBuf};

use anyhow::Context;
use attester::{app::App, config::Config, keys::Keys};
use proto::time::Clock;
use rand::{SeedableRng, rngs::StdRng};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::{answer, serve, settings};
use crate::usage;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Settings {
    /// The configuration's text.
    pub(crate) config: String,
    /// The core it is pinned to; any when `None`.
    pub(crate) core: Option<usize>,
}

/// Where it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Started {
    pub(crate) session: SocketAddr,
    pub(crate) origin: SocketAddr,
    pub(crate) root: String,
    pub(crate) state_file: PathBuf,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Look;

/// What it has used so far, and whom it knows.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub(crate) cpu_micros: u64,
    pub(crate) resident: u64,
    pub(crate) sessions: usize,
    pub(crate) peers: usize,
    pub(crate) verified: usize,
}

/// As `attester serve` does it, with another runtime's thread to answer questions on.
pub(super) fn play() -> anyhow::Result<()> {
    let settings: Settings = settings()?;
    if let Some(core) = settings.core {
        usage::pin(core)?;
    }
    let config = Config::parse(&settings.config)?;
    let clock = Clock::steady();
    Keys::create(&config.keys_folder(), &mut rand::rng(), clock.now())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let rng = StdRng::from_rng(&mut rand::rng());
    let app = runtime
        .block_on(Box::pin(App::bind(&config, clock, rng)))
        .context("the attester cannot start")?;
    let started = Started {
        session: app.addresses().session,
        origin: app.addresses().origin,
        root: app.root().to_string(),
        state_file: config.state_file(),
    };
    let pulses = app.pulses();
    let token = CancellationToken::new();
    runtime.spawn(Box::pin(app.run(token.clone())));
    answer(Ok(started))?;
    serve(|_: Look| {
        let pulse = pulses.borrow().clone();
        Ok(Seen {
            cpu_micros: u64::try_from(usage::process_cpu()?.as_micros())?,
            resident: usage::resident()?,
            sessions: pulse.sessions,
            peers: pulse.peers,
            verified: pulse.verified,
        })
    })
}
