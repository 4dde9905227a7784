//! Agents that register the address of a peer which is somebody else's: they watch none of its traffic.

use peer_agent::{
    Agent, AgentConfig, Backoff, Endpoint, Identity, Tap,
    give::{self, Give},
};
use proto::key::SigningKey;
use std::time::Duration;

use crate::{Cluster, Peer};

/// Starts an agent with a key of its own at `host`'s address, with `host`'s TLS key. It has to be called on a runtime, and ends
/// with it.
///
/// # Errors
/// When `host`'s TLS key cannot be read, or the agent cannot start.
pub fn lodger(cluster: &Cluster, host: &Peer, key: &SigningKey) -> anyhow::Result<Agent> {
    let address = host.address();
    let server = give::Config {
        listen: (address.ip(), 0).into(),
        state: host.folder().to_owned(),
        ..give::Config::default()
    };
    let pin = Give::bind(server, Tap::disconnected())?.pin();
    let identity = Identity::Key(key.clone());
    let endpoint = Endpoint::from(cluster.addresses().session);
    let config = AgentConfig {
        bind: Some(address.ip()),
        backoff: Backoff {
            base: Duration::from_millis(100),
            cap: Duration::from_secs(1),
        },
        ..AgentConfig::new(vec![endpoint], cluster.root(), identity, address, pin)
    };
    Ok(Agent::start(config, rand::rng())?)
}
