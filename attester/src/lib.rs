//! The central service: tells agents to expect probes, runs client traffic through peers, and keeps DNS to what was
//! proven. Modules in the order in which data flows.

pub mod app;
pub mod cli;
pub mod config;
pub mod decide;
mod door;
pub mod flashlight;
#[doc(hidden)]
pub mod fuzzing;
pub mod keys;
pub mod metrics;
pub mod model;
pub mod origin;
pub mod plan;
pub mod publish;
pub mod records;
pub mod resolve;
pub mod run;
pub mod session;
pub mod status;
pub mod store;
pub mod telemetry;
pub mod verify;
pub mod zone;
