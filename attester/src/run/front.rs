//! The edge in front of the peers, through which they are probed as clients reach them.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use proto::ids::Destination;
use tokio::{net::lookup_host, time::timeout};

use crate::{
    flashlight::Edge,
    model::{Finding, Reason},
};

/// An edge and where it is.
#[derive(Clone, Debug)]
pub struct Front {
    /// Who it is.
    pub edge: Edge,
    /// Its `host:port`, looked up for each probe as clients look it up.
    pub at: Destination,
}

impl Front {
    /// Where it is now, for who dials from `source`.
    ///
    /// # Errors
    /// [`Reason::Edge`]: its name has no address, or none in time.
    pub(super) async fn address(&self, source: Option<IpAddr>) -> Result<SocketAddr, Finding> {
        let trouble = |what: String| Finding::new(Reason::Edge, format!("{}: {what}", self.at));
        let found = timeout(WITHIN, lookup_host(self.at.as_str()))
            .await
            .map_err(|_| trouble(format!("no address within {WITHIN:?}")))?
            .map_err(|error| trouble(error.to_string()))?;
        let reached = |address: &SocketAddr| source.is_none_or(|source| source.is_ipv4() == address.is_ipv4());
        let mut found = found.filter(reached);
        found.next().ok_or_else(|| trouble("no address".to_owned()))
    }
}

const WITHIN: Duration = Duration::from_secs(2);
