//! Settings that are allowed, and with which a peer is of little use or open to its own network.

use peer_agent::give::is_public;

use super::{super::problem::Problem, Settings};

/// Everything that a volunteer should have meant, by line.
pub(super) fn risks(text: &str, settings: &Settings) -> Vec<Problem> {
    let (agent, give) = (&settings.agent, &settings.give);
    let mut risks = Vec::new();
    let mut risk = |key: &str, what: String| risks.push(Problem::at_key(text, key, what));
    let (address, trial) = (agent.address, agent.address.ip().is_loopback());
    if !trial && !is_public(address.ip()) {
        let what = "clients on the internet cannot reach this address: set the one that your router has there, and forward the port";
        risk("agent.address", what.to_owned());
    }
    if !trial && address.port() != 443 {
        let what = "clients are sent to port 443 only: on another one this peer is used by its own name alone";
        risk("agent.address", what.to_owned());
    }
    if !trial && give.allow_private {
        let what = "anyone on the internet can reach this machine's own network through the proxy";
        risk("give.allow_private", what.to_owned());
    }
    if !give.ports.is_empty() && !give.ports.iter().any(|port| matches!(port, 80 | 443)) {
        let what = "attesters probe through ports 80 and 443: without them this peer is never verified";
        risk("give.ports", what.to_owned());
    }
    if let Some(rate) = give.rate.filter(|rate| rate.get() < FLOOR) {
        let what =
            format!("{rate} bytes a second is less than attesters ask for ({FLOOR}): this peer is never verified");
        risk("give.rate", what);
    }
    if give.token.is_some() {
        let what = "it keeps strangers out of CONNECT only: enproxy has no such thing, and serves anyone";
        risk("give.token", what.to_owned());
    }
    if give.page.is_some() && give.token.is_none() {
        let what =
            "nobody sees it: without a token, whoever asks for a page is told in the words of a peer that this is none";
        risk("give.page", what.to_owned());
    }
    risks.sort_by_key(|risk: &Problem| risk.line);
    risks
}

/// The least throughput that an attester asks for by default, bytes a second.
const FLOOR: u64 = 32 * 1024;
