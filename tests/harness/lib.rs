//! An attester and any number of peers, honest and hostile, in one process over real sockets on loopback.
//!
//! [`Cluster`] is a real attester: configured by a real configuration file, with its state in a temporary folder. [`Peer`] is a
//! real give mode server with a real agent, or what a [`Behaviour`] makes of them. Each lives on threads of its own, so that
//! it can be killed as a process is killed. What became of a peer is read from the attester's own state file ([`Record`]), and
//! who is in the rotation from its DNS, over a socket; neither from what the harness knows about its peers.
//!
//! Every wait is for a level, with a deadline of [`DEADLINE`]: nothing sleeps, and nothing that is timed is asserted.

mod behaviour;
mod carry;
mod cluster;
mod cue;
mod door;
mod edge;
mod elsewhere;
mod gate;
mod island;
mod lodger;
mod options;
mod peer;
mod ports;
pub mod programs;
mod records;
mod relay;
mod rogue;
mod rotation;
pub mod tls;
mod wait;

pub use behaviour::{Behaviour, Fate};
pub use cluster::Cluster;
pub use edge::{Asked, Edge, Fronted, Passed, Trouble};
pub use gate::Gate;
pub use lodger::lodger;
pub use options::Options;
pub use peer::Peer;
pub use records::Record;
pub use relay::Relay;
pub use rotation::{Seen, Watcher};
pub use wait::DEADLINE;

/// Shows the log lines of all parts on standard error if `RUST_LOG` asks for them; call it from any test, as often as you like.
pub fn logs() {
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    // Another test of this process may have been first.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .try_init();
}
