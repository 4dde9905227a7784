//! The `attester` program from the outside: its commands, its help and manual, its exit status, terminals, and the service
//! that it is.
#![cfg(unix)]
#![expect(clippy::unwrap_used, clippy::panic, clippy::unreachable, reason = "tests")]

mod check_config;
mod evidence;
mod exit_status;
mod explain;
mod help;
mod init;
mod keys;
mod listing;
mod place;
mod probe;
mod scripted;
mod service;
mod stored;
mod strangers;
mod terminal;
