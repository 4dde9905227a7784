//! What one probe showed, and what was wrong with it.

use std::{net::SocketAddr, time::Duration};

use proto::ids::Pin;

use crate::model::{Blame, Finding, PhaseTimes, Reason};

/// What a probe showed.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The phases that were reached.
    pub phases: PhaseTimes,
    /// When it was over, or broke off.
    pub ended: Duration,
    /// Where it was dialled.
    pub address: Option<SocketAddr>,
    /// What its name has for addresses, of which the first is dialled: all of them, or none where it was named by its address or is
    /// behind an edge.
    pub addresses: Vec<SocketAddr>,
    /// The pin of the TLS key that was seen, the peer's or its edge's.
    pub pin: Option<Pin>,
    /// Whether the TLS handshake was a resumed one; `None` when none was finished.
    pub resumed: Option<bool>,
    /// The name that the peer gave itself.
    pub proxy_host: Option<String>,
    /// Bytes that were handed to the tunnel.
    pub sent: u64,
    /// Bytes that came back through it.
    pub received: u64,
    /// Whether the request arrived at the origin; `None` when nobody here can tell.
    pub arrived: Option<bool>,
    /// Where it came from, as the origin saw it.
    pub source: Option<SocketAddr>,
    /// Whether that is the peer's own address; `None` when it cannot be told.
    pub from_itself: Option<bool>,
    /// Throughput in bytes a second, if the body was long enough to tell.
    pub goodput: Option<u64>,
    /// What was wrong.
    pub fault: Option<Fault>,
}

/// What was wrong with a probe, and who must act.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The reason, and what was seen.
    pub finding: Finding,
    /// Who must act. Not always the reason's own: here, what is beyond the peer may be out of its reach.
    pub blame: Blame,
    /// What to do.
    pub advice: &'static str,
}

impl Shown {
    /// Nothing, so far.
    pub fn nothing(ended: Duration) -> Self {
        Self {
            phases: PhaseTimes::default(),
            ended,
            address: None,
            addresses: Vec::new(),
            pin: None,
            resumed: None,
            proxy_host: None,
            sent: 0,
            received: 0,
            arrived: None,
            source: None,
            from_itself: None,
            goodput: None,
            fault: None,
        }
    }

    /// Whether traffic was carried, wherever it left from.
    pub fn goes_through(&self) -> bool {
        let fault = self.fault.as_ref();
        fault.is_none_or(|fault| fault.finding.reason == Reason::Egress)
    }
}
