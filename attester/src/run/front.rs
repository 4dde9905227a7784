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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;
    use crate::flashlight::Sni;

    async fn address(at: &str, source: Option<IpAddr>) -> Result<SocketAddr, Finding> {
        let front = Front {
            edge: Edge::new("edge.test", Sni::Absent, None).unwrap(),
            at: at.parse().unwrap(),
        };
        front.address(source).await
    }

    #[tokio::test]
    async fn an_edge_is_found_by_its_name_and_in_the_family_of_the_source() {
        let (four, six) = (IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST));
        let expected = SocketAddr::new(four, 8443);
        assert_eq!(address("127.0.0.1:8443", None).await, Ok(expected));
        // Which family comes first is the system's choice, where no source asks for one.
        let found = address("localhost:8443", None).await.unwrap();
        assert!(found.ip().is_loopback() && found.port() == 8443, "{found}");
        assert_eq!(address("localhost:8443", Some(four)).await, Ok(expected));
        // A label may have 63 characters, so that no resolver is asked beyond this machine.
        let nowhere = format!("{}.invalid:443", "x".repeat(64));
        for (at, source) in [("127.0.0.1:8443", Some(six)), (&nowhere, None), (&nowhere, Some(four))] {
            let finding = address(at, source).await.unwrap_err();
            assert_eq!(finding.reason, Reason::Edge, "{finding}");
            assert!(finding.detail().starts_with(at), "{finding}");
        }
    }
}
