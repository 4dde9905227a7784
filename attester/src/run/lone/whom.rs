//! A peer as somebody names it on a command line.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use tokio::net::lookup_host;

use crate::{
    model::{Finding, Reason},
    records::Name,
    resolve::Resolver,
};

/// An address or a name, and a port: 443 unless it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whom {
    /// Where.
    pub host: Host,
    /// At which port.
    pub port: u16,
}

/// An address, or a name that has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// An address.
    Ip(IpAddr),
    /// A name.
    Name(Name),
}

impl Whom {
    /// Its name, if it is known by one.
    pub const fn name(&self) -> Option<&Name> {
        match &self.host {
            Host::Ip(_) => None,
            Host::Name(name) => Some(name),
        }
    }

    /// Where it is now: by `via`, the name server of its zone, or by the system's resolver; the first of its addresses, and the others. IPv4
    /// addresses come first from a name server, and in the system's order from the system.
    ///
    /// # Errors
    /// [`Reason::ResolveFailed`].
    pub async fn addresses(&self, via: Option<&Resolver>) -> Result<(SocketAddr, Vec<SocketAddr>), Finding> {
        let failed = |detail: String| Finding::new(Reason::ResolveFailed, detail);
        let name = match &self.host {
            Host::Ip(ip) => return Ok(((*ip, self.port).into(), Vec::new())),
            Host::Name(name) => name,
        };
        let found: Vec<SocketAddr> = match via {
            Some(resolver) => {
                let found = resolver.addresses(name).await;
                let found = found.map_err(|error| failed(error.to_string()))?;
                found.into_iter().map(|ip| SocketAddr::new(ip, self.port)).collect()
            }
            None => {
                let found = lookup_host((name.as_str(), self.port)).await;
                found.map_err(|error| failed(format!("{name}: {error}")))?.collect()
            }
        };
        let mut found = found.into_iter();
        let first = found.next().ok_or_else(|| failed(format!("{name} has no address")))?;
        Ok((first, found.filter(|address| *address != first).collect()))
    }
}

impl FromStr for Whom {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Self {
                host: Host::Ip(address.ip()),
                port: address.port(),
            });
        }
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        if let Ok(ip) = bare.unwrap_or(text).parse() {
            return Ok(Self {
                host: Host::Ip(ip),
                port: PORT,
            });
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| EXPECTED.to_owned())?),
            None => (text, PORT),
        };
        let name = Name::parse(host).map_err(|error| format!("{EXPECTED} ({error})"))?;
        Ok(Self {
            host: Host::Name(name),
            port,
        })
    }
}

/// As it can be read again.
impl fmt::Display for Whom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Ip(ip) => SocketAddr::new(*ip, self.port).fmt(f),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

/// Where clients look for peers.
const PORT: u16 = 443;
const EXPECTED: &str = "expected an address or a name, with or without a port, such as 192.0.2.7:443, [2001:db8::7]:443 or \
    peer.example";

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_named_in_many_ways() {
        for (text, shown) in [
            ("192.0.2.7:8443", "192.0.2.7:8443"),
            ("192.0.2.7", "192.0.2.7:443"),
            ("[2001:db8::7]:8443", "[2001:db8::7]:8443"),
            ("[2001:db8::7]", "[2001:db8::7]:443"),
            ("2001:db8::7", "[2001:db8::7]:443"),
            ("Peer.Example.:8443", "peer.example:8443"),
            ("peer-a.zone.example", "peer-a.zone.example:443"),
            ("localhost", "localhost:443"),
        ] {
            let whom: Whom = text.parse().unwrap();
            assert_eq!(whom.to_string(), shown, "{text}");
            assert_eq!(shown.parse::<Whom>(), Ok(whom));
        }
        for wrong in [
            "",
            ":443",
            "peer.example:",
            "peer.example:70000",
            "peer.example:http",
            "a..b",
            "192.0.2.300",
            "[::1",
            "https://peer.example",
            "a b",
            "[peer.example]:443",
        ] {
            let told = wrong.parse::<Whom>().unwrap_err();
            assert!(told.contains("expected an address or a name"), "{wrong}: {told}");
        }
    }
}
