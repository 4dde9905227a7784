//! Any number of real peers in one process: each a give mode server and an agent at an address of its own.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, anyhow};
use peer_agent::{
    Agent, AgentConfig, Identity, State, Tap,
    give::{Config, Give},
};
use proto::{
    claims::Protocols,
    key::{SigningKey, sha256},
};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{answer, serve, settings};
use crate::usage;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Settings {
    /// The numbers of the peers, from which their addresses and keys follow.
    pub(crate) first: u32,
    pub(crate) count: u32,
    /// The port that they register.
    pub(crate) port: u16,
    /// The port that they listen on.
    pub(crate) listen: u16,
    pub(crate) attester: SocketAddr,
    pub(crate) root: String,
    /// Where the TLS key that they share is kept; no other process may use it.
    pub(crate) folder: PathBuf,
    /// The one protocol that they list; all when `None`.
    pub(crate) protocol: Option<String>,
    /// How many register at a time.
    pub(crate) at_once: usize,
    pub(crate) core: Option<usize>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Look;

/// How many peers stand how.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Standings {
    pub(crate) by_state: BTreeMap<String, usize>,
    /// Those that could not start, in words.
    pub(crate) trouble: Vec<String>,
    pub(crate) cpu_micros: u64,
}

/// The address of peer `number`.
pub(crate) fn address(number: u32) -> Ipv4Addr {
    let (high, low) = (number / 250, number % 250);
    Ipv4Addr::new(
        127,
        80,
        u8::try_from(high).unwrap_or(u8::MAX),
        u8::try_from(low + 1).unwrap_or(u8::MAX),
    )
}

pub(super) fn play() -> anyhow::Result<()> {
    let settings: Settings = settings()?;
    if let Some(core) = settings.core {
        usage::pin(core)?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let agents: Arc<Mutex<Vec<Result<Agent, String>>>> = Arc::default();
    let starting = Arc::new(settings);
    let started = Arc::clone(&agents);
    runtime.spawn(async move {
        let places = Arc::new(Semaphore::new(starting.at_once));
        for number in starting.first..starting.first + starting.count {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
            let agent = start(&starting, number).map_err(|error| format!("peer {number}: {error:#}"));
            if let Ok(agent) = &agent {
                let mut changes = agent.changes();
                tokio::spawn(async move {
                    // It gives its place back once the attester has accepted it.
                    let _ = changes.wait_for(|standing| is_registered(standing.state)).await;
                    drop(place);
                });
            }
            started.lock().unwrap_or_else(PoisonError::into_inner).push(agent);
        }
    });
    answer(Ok(()))?;
    serve(|_: Look| {
        let agents = agents.lock().unwrap_or_else(PoisonError::into_inner);
        let mut by_state = BTreeMap::new();
        let mut trouble = Vec::new();
        for agent in agents.iter() {
            match agent {
                Ok(agent) => *by_state.entry(agent.standing().state.to_string()).or_default() += 1,
                Err(error) => trouble.push(error.clone()),
            }
        }
        Ok(Standings {
            by_state,
            trouble,
            cpu_micros: u64::try_from(usage::process_cpu()?.as_micros())?,
        })
    })
}

fn start(settings: &Settings, number: u32) -> anyhow::Result<Agent> {
    let ip = IpAddr::V4(address(number));
    let config = Config {
        listen: SocketAddr::new(ip, settings.listen),
        state: settings.folder.clone(),
        bind: Some(ip),
        allow_private: true,
        ..Config::default()
    };
    let give = Give::bind(config, Tap::disconnected())?;
    let key = SigningKey::from_seed(&sha256(format!("peer {number}").as_bytes()));
    let mut config = AgentConfig::new(
        vec![settings.attester.into()],
        settings.root.parse().context("the root key")?,
        Identity::Key(key),
        SocketAddr::new(ip, settings.port),
        give.pin(),
    );
    config.bind = Some(ip);
    if let Some(protocol) = &settings.protocol {
        let protocol = protocol.parse().map_err(|error: String| anyhow!(error))?;
        config.protocols = Protocols::new([protocol]).context("one protocol is a set")?;
    }
    let agent = Agent::start(config, rand::rng())?;
    tokio::spawn(give.tapped(agent.tap()).run(CancellationToken::new()));
    Ok(agent)
}

const fn is_registered(state: State) -> bool {
    matches!(
        state,
        State::Registered | State::Named | State::Probing | State::Verified | State::Suspended
    )
}
