//! The central service: tells agents to expect probes, runs client traffic through peers, and keeps DNS to what was
//! proven. Modules in the order in which data flows.

pub mod model;
pub mod records;
pub mod publish;
pub mod resolve;
