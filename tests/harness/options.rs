//! The figures of a cluster, and the configuration file that they make.

use std::{
    fmt::Write,
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroU64,
    path::Path,
    time::Duration,
};

use attester::{
    app::Addresses,
    config::{Config, ConfigError},
    flashlight::Sni,
    store::Retention,
};

use crate::edge::{Edge, Fronted, Passed};

/// How a cluster's attester is configured.
#[derive(Clone, Debug)]
pub struct Options {
    /// The zone; the rotation is `roundrobin` in it.
    pub zone: String,
    /// The attester's address; one of its own when absent, so that a restarted attester finds its ports free.
    pub listen: Option<Ipv4Addr>,
    /// Consecutive proofs that admit.
    pub proofs: usize,
    /// Time between them.
    pub spacing: Duration,
    /// Time between probes of a verified peer.
    pub interval: Duration,
    /// How long a proof keeps a peer in.
    pub lease: Duration,
    /// Body bytes of a liveness probe.
    pub liveness_body: u64,
    /// Body bytes of a probe that measures throughput.
    pub goodput_body: u64,
    /// Least throughput in bytes a second.
    pub goodput_floor: u64,
    /// Time for a TCP connection, and for a TLS handshake.
    pub connect: Duration,
    /// Time for a whole probe.
    pub total: Duration,
    /// Time for the receipt after that.
    pub receipt_within: Duration,
    /// Whether TLS sessions with members are resumed.
    pub resume: bool,
    /// How many peers there may be.
    pub max_peers: usize,
    /// Whether peers may serve at loopback addresses. Without it nobody can be admitted here.
    pub allow_private: bool,
    /// How much of past probes is kept.
    pub retention: Retention,
    /// Whether peers reach the origin through a [`crate::Gate`] that a test can close.
    pub origin_gate: bool,
    /// The edge in front of the peers, if there is one.
    pub fronted: Option<Fronted>,
    /// The name that the peers' proxies give themselves.
    pub proxy_host: Option<String>,
    /// Hostile peers behave until this edge has passed something on to them, whatever else they would wait for.
    pub hostile_behind: Option<Passed>,
}

impl Options {
    /// As fast as it goes without counting a busy machine's delays against anybody: for tests.
    pub fn quick() -> Self {
        Self {
            zone: "peers.test".to_owned(),
            listen: None,
            proofs: 3,
            spacing: Duration::from_millis(200),
            interval: Duration::from_secs(2),
            lease: Duration::from_secs(10),
            liveness_body: 1024,
            goodput_body: 128 << 10,
            goodput_floor: 64 << 10,
            connect: Duration::from_secs(2),
            total: Duration::from_secs(4),
            receipt_within: Duration::from_secs(2),
            resume: false,
            max_peers: 1000,
            allow_private: true,
            retention: Retention::default(),
            origin_gate: false,
            fronted: None,
            proxy_host: None,
            hostile_behind: None,
        }
    }

    /// The demo's figures (DESIGN, section 10): the defaults where they can be, at a speed that a person can follow.
    pub fn demo() -> Self {
        Self {
            zone: "demo.test".to_owned(),
            listen: Some(Ipv4Addr::LOCALHOST),
            spacing: Duration::from_millis(500),
            interval: Duration::from_secs(5),
            lease: Duration::from_secs(20),
            goodput_body: 256 << 10,
            goodput_floor: 32 << 10,
            connect: Duration::from_secs(3),
            total: Duration::from_secs(10),
            ..Self::quick()
        }
    }

    /// The rotation's name.
    pub fn rotation(&self) -> String {
        format!("roundrobin.{}", self.zone)
    }

    /// A rate below the floor at which a measurement still ends in time: half way between the floor and the rate at which it
    /// would not.
    pub(crate) fn too_slow(&self) -> Option<NonZeroU64> {
        let slowest = self.goodput_body / self.total.as_secs().max(1);
        NonZeroU64::new(slowest.midpoint(self.goodput_floor))
    }

    /// What the configuration file says, and a retention smaller than any that it could.
    pub(crate) fn config(&self, text: &str) -> Result<Config, ConfigError> {
        let mut config = Config::parse(text)?;
        config.evidence = self.retention;
        Ok(config)
    }

    /// The configuration file. `bound` are the addresses of an earlier start, which a restarted attester takes again.
    pub(crate) fn toml(
        &self,
        state: &Path,
        home: Ipv4Addr,
        port: u16,
        bound: Option<&Addresses>,
        destination: Option<&str>,
    ) -> String {
        let any = SocketAddr::from((self.listen.unwrap_or(home), 0));
        let at = |part: fn(&Addresses) -> SocketAddr| bound.map_or(any, part);
        let millis = |duration: Duration| format!("\"{}ms\"", duration.as_millis());
        let mut text = String::new();
        let mut line = |args: std::fmt::Arguments<'_>| writeln!(text, "{args}").expect("a string takes everything");
        line(format_args!("[attester]\nlisten = \"{}\"", at(|bound| bound.session)));
        line(format_args!("state = {:?}", state.display().to_string()));
        line(format_args!("[admission]\nproofs = {}", self.proofs));
        line(format_args!("spacing = {}", millis(self.spacing)));
        line(format_args!("interval = {}", millis(self.interval)));
        line(format_args!("lease = {}", millis(self.lease)));
        line(format_args!("liveness_body = {}", self.liveness_body));
        line(format_args!("goodput_body = {}", self.goodput_body));
        line(format_args!("goodput_floor = {}", self.goodput_floor));
        line(format_args!("max_peers = {}", self.max_peers));
        line(format_args!("allow_private = {}", self.allow_private));
        line(format_args!("[probe]\nconnect = {}", millis(self.connect)));
        line(format_args!("tls = {}", millis(self.connect)));
        line(format_args!("total = {}", millis(self.total)));
        line(format_args!("receipt_within = {}", millis(self.receipt_within)));
        line(format_args!("resume = {}", self.resume));
        if let Some(fronted) = &self.fronted {
            let sni = match fronted.sni {
                Sni::Absent => "none",
                Sni::Masquerade => "name",
            };
            line(format_args!(
                "[fronted]\nedge = \"{}\"\nname = \"{}\"",
                fronted.edge,
                Edge::NAME
            ));
            line(format_args!(
                "sni = \"{sni}\"\nca = {:?}",
                fronted.ca.display().to_string()
            ));
            line(format_args!("required = {}", fronted.required));
        }
        line(format_args!("[origin]\nlisten = \"{}\"", at(|bound| bound.origin)));
        if let Some(destination) = destination {
            line(format_args!("destination = \"{destination}\""));
        }
        line(format_args!("[dns]\nlisten = \"{}\"", at(|bound| bound.dns)));
        line(format_args!(
            "zone = \"{}\"\nrotation_port = {port}\nsample = 64",
            self.zone
        ));
        line(format_args!("[admin]\nlisten = \"{}\"", at(|bound| bound.admin)));
        text
    }
}
