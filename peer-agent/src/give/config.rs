//! Settings of the give mode server, with the limits that keep a stranger from costing more than planned.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZeroU64,
    path::PathBuf,
    time::Duration,
};

use serde::{Deserialize, Deserializer};

/// What to serve, where, and for whom.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where clients connect. Real clients expect port 443.
    pub listen: SocketAddr,
    /// Folder of the TLS key and certificate (`tls.key`, `tls.crt`), made at the first start.
    pub state: PathBuf,
    /// The peer's own DNS name, told to enproxy clients in `X-Enproxy-Proxy-Host` so that they come back to this peer when a
    /// CDN stands in between. When it is not set, those who ask for a host of its zone are told the name that the agent was given,
    /// once there is one.
    pub proxy_host: Option<String>,
    /// Where the internet reaches this peer, for its certificate. Not in the file: the agent's settings have it.
    #[serde(skip)]
    pub public: Option<IpAddr>,
    /// Local address for connections to destinations; the system chooses when not set.
    pub bind: Option<IpAddr>,
    /// Serve loopback, private and reserved destinations as well. For tests and demos: it opens this machine's own network.
    pub allow_private: bool,
    /// Destination ports that are served; all of them when empty.
    pub ports: Vec<u16>,
    /// What CONNECT clients must present in `X-Lantern-Auth-Token`; anyone is served when not set. Does not apply to enproxy,
    /// which has no authentication. With it, all that is no tunnel is answered as by an nginx that has one page.
    pub token: Option<String>,
    /// A file with that page, in HTML; an empty one when not set.
    pub page: Option<PathBuf>,
    /// Bandwidth cap in bytes a second, for each tunnel and direction.
    pub rate: Option<NonZeroU64>,
    /// Sizes and times.
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 443)),
            state: PathBuf::from("."),
            proxy_host: None,
            public: None,
            bind: None,
            allow_private: false,
            ports: Vec::new(),
            token: None,
            page: None,
            rate: None,
            limits: Limits::default(),
        }
    }
}

/// How much of everything, and how long. Times are seconds in a file, fractions allowed. The defaults that meet a client are
/// those of the Go server.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Client connections at a time.
    pub connections: usize,
    /// The same, from one IPv4 address or IPv6 /64. Behind a CDN many clients share one: raise it there.
    pub connections_per_source: usize,
    /// Open tunnels at a time, CONNECT and enproxy together.
    pub tunnels: usize,
    /// The same, from one source.
    pub tunnels_per_source: usize,
    /// For a TLS handshake.
    #[serde(deserialize_with = "seconds")]
    pub handshake: Duration,
    /// For a request head, from its first byte.
    #[serde(deserialize_with = "seconds")]
    pub head: Duration,
    /// Between two requests of one connection, and before its first: clients open one for later writes before they have any.
    #[serde(deserialize_with = "seconds")]
    pub keep_alive: Duration,
    /// Without progress while a client owes body bytes or does not take its response.
    #[serde(deserialize_with = "seconds")]
    pub stall: Duration,
    /// Silence of the destination that ends a response which may end.
    #[serde(deserialize_with = "seconds")]
    pub gap: Duration,
    /// Until a read without data is answered empty. Clients of 2014 give up after 10 s.
    #[serde(deserialize_with = "seconds")]
    pub poll: Duration,
    /// Without a byte in either direction until a tunnel is forgotten.
    #[serde(deserialize_with = "seconds")]
    pub idle: Duration,
    /// Until a destination that has ended is closed on this side too, when nothing more is sent to it.
    #[serde(deserialize_with = "seconds")]
    pub linger: Duration,
    /// For resolving and connecting to a destination. A CONNECT client may shorten it with `X-Lantern-Dial-Timeout`.
    #[serde(deserialize_with = "seconds")]
    pub dial: Duration,
    /// For requests in progress when the server stops.
    #[serde(deserialize_with = "seconds")]
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            connections_per_source: 1024,
            tunnels: 2048,
            tunnels_per_source: 512,
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(10),
            keep_alive: Duration::from_secs(70),
            stall: Duration::from_secs(30),
            gap: Duration::from_millis(35),
            poll: Duration::from_millis(9900),
            idle: Duration::from_secs(70),
            linger: Duration::from_secs(2),
            dial: Duration::from_secs(10),
            drain: Duration::from_secs(5),
        }
    }
}

/// A setting that cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A limit of zero would serve nobody.
    #[error("limits.{0} is zero: nobody could be served; remove it to use the default")]
    Zero(&'static str),
    /// `proxy_host` is sent in a header.
    #[error("proxy_host {0:?} is not a DNS name")]
    ProxyHost(String),
    /// `token` is compared with a header.
    #[error("token must be 1 to {max} visible ASCII characters", max = proto::tunnel::connect::MAX_VALUE)]
    Token,
}

impl Config {
    /// What the certificate is made out to. No client looks at it, but everybody who connects: so it is nothing that is not known
    /// of this machine anyway, and what self-signed certificates are made out to when nobody thought of it.
    pub(super) fn certified(&self) -> String {
        let known = |ip: &IpAddr| !ip.is_unspecified();
        let address = self.public.or(Some(self.listen.ip())).filter(known);
        let address = address.map(|ip| ip.to_string());
        let name = self.proxy_host.clone().or(address);
        name.unwrap_or_else(|| "localhost".to_owned())
    }

    /// Looks for settings that cannot work.
    ///
    /// # Errors
    /// Names the first of them.
    pub fn check(&self) -> Result<(), ConfigError> {
        let limits = &self.limits;
        for (name, count) in [
            ("connections", limits.connections),
            ("connections_per_source", limits.connections_per_source),
            ("tunnels", limits.tunnels),
            ("tunnels_per_source", limits.tunnels_per_source),
        ] {
            if count == 0 {
                return Err(ConfigError::Zero(name));
            }
        }
        for (name, time) in [
            ("handshake", limits.handshake),
            ("head", limits.head),
            ("keep_alive", limits.keep_alive),
            ("stall", limits.stall),
            ("gap", limits.gap),
            ("poll", limits.poll),
            ("idle", limits.idle),
            ("dial", limits.dial),
        ] {
            if time.is_zero() {
                return Err(ConfigError::Zero(name));
            }
        }
        if let Some(host) = self.proxy_host.as_deref().filter(|host| !is_name(host)) {
            return Err(ConfigError::ProxyHost(host.to_owned()));
        }
        let usable = |token: &str| {
            (1..=proto::tunnel::connect::MAX_VALUE).contains(&token.len())
                && token.bytes().all(|byte| byte.is_ascii_graphic())
        };
        if self.token.as_deref().is_some_and(|token| !usable(token)) {
            return Err(ConfigError::Token);
        }
        Ok(())
    }
}

pub(super) fn is_name(host: &str) -> bool {
    (1..=253).contains(&host.len())
        && host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let seconds = f64::deserialize(deserializer)?;
    Duration::try_from_secs_f64(seconds).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::{Config, Limits};

    #[test]
    fn a_certificate_is_made_out_to_what_is_known_anyway() {
        let of = |host: Option<&str>, public: Option<&str>, listen: &str| {
            let config = Config {
                proxy_host: host.map(str::to_owned),
                public: public.map(|ip| ip.parse().unwrap()),
                listen: listen.parse().unwrap(),
                ..Config::default()
            };
            config.certified()
        };
        let (host, public) = (Some("peer.example"), Some("203.0.113.7"));
        assert_eq!(of(host, public, "10.0.0.7:443"), "peer.example");
        assert_eq!(of(None, public, "10.0.0.7:443"), "203.0.113.7");
        assert_eq!(of(None, None, "192.0.2.7:443"), "192.0.2.7");
        for any in ["0.0.0.0:443", "[::]:443"] {
            assert_eq!(of(None, None, any), "localhost");
        }
    }

    #[test]
    fn the_readme_tells_every_limit_and_its_default() {
        let readme = include_str!("../../README.md");
        let table = readme.split("<!-- limits -->\n").nth(1).unwrap();
        let rows: Vec<Vec<&str>> = table
            .lines()
            .skip(2)
            .map(|row| row.split('|').map(str::trim).collect())
            .collect();
        let text: String = rows
            .iter()
            .map(|row| format!("{} = {}\n", row[1].trim_matches('`'), row[2]))
            .collect();
        let told: Limits = toml::from_str(&text).unwrap();
        let default = format!("{:?}", Limits::default());
        assert_eq!(format!("{told:?}"), default);
        assert_eq!(rows.len(), default.matches(": ").count(), "{text}");
    }
}
