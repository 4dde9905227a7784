//! The central service: tells agents to expect probes, runs client traffic through peers, and keeps DNS to what was
//! proven. Modules in the order in which data flows.

pub mod model;
mod door;
pub mod session;
pub mod origin;
pub mod records;
pub mod publish;
pub mod resolve;
pub mod flashlight;
pub mod verify;
pub mod decide;
pub mod plan;
pub mod zone;
pub mod store;
pub mod config;
pub mod keys;
pub mod telemetry;
pub mod status;
pub mod cli;
pub mod run;
pub mod app;
