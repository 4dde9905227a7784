//! Both ends of a session, each driven by a list of what the other end and the world do to it.

mod agent;
mod attester;
mod heard;

pub use agent::TARGET as AGENT;
pub use attester::TARGET as ATTESTER;
pub use heard::TARGET as HEARD;
pub(crate) use heard::honest;
