//! The `attester` program from the outside: its help, its manual, its exit status, terminals, and the service that it is.
#![cfg(unix)]
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod check_config;
mod exit_status;
mod help;
mod place;
mod service;
mod terminal;
