//! The server from outside: over TLS on loopback against real sockets, and, where time matters, over in-memory streams with
//! virtual time.

#![expect(clippy::unwrap_used, reason = "tests")]

mod abuse;
mod connect;
mod ends;
mod enproxy;
mod generations;
mod memory;
mod rig;
mod slow;
mod tap;
mod thousand;
mod timing;
mod web;
