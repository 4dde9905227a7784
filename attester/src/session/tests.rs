//! The session server with real clients on loopback.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod ending;
mod probing;
mod registering;
mod rig;
mod strangers;
