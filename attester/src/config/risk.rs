//! Settings that are allowed, and that somebody who did not mean them will regret.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use super::{Config, document::Document};

/// Notes every risk.
pub(super) fn look(config: &Config, document: &mut Document<'_>) {
    strangers(config, document);
    membership(config, document);
    load(config, document);
    dns(config, document);
    records(config, document);
}

/// What strangers can reach or cause.
fn strangers(config: &Config, document: &mut Document<'_>) {
    let (attester, admin) = (config.attester.listen, config.admin.listen);
    if config.admission.allow_private && !is_local(attester) {
        let what = "any agent that can reach this attester may have it dial addresses in its own network: for trials on \
            one machine only";
        document.risk(&["admission.allow_private", "attester.listen"], what.to_owned());
    }
    if !is_local(admin) {
        let what = "health and metrics are answered there without a password or TLS: listen on loopback, or let a firewall \
            keep others out";
        document.risk(&["admin.listen"], what.to_owned());
    }
    let listeners = [
        ("attester.listen", attester),
        ("origin.listen", config.origin.listen),
        ("dns.listen", config.dns.listen),
        ("admin.listen", admin),
    ];
    for (key, address) in listeners {
        if address.port() == 0 {
            let what = "port 0 takes whatever port is free, another one at each start";
            document.risk(&[key], what.to_owned());
        }
    }
}

/// Who gets in, and for how long.
fn membership(config: &Config, document: &mut Document<'_>) {
    let (admission, probe) = (&config.admission, &config.probe);
    if admission.proofs < 2 {
        let what = "one proof admits a peer: a lucky moment is enough";
        document.risk(&["admission.proofs"], what.to_owned());
    }
    if admission.lease > LONG_LEASE {
        let what = format!(
            "a peer that dies unnoticed can stay in the rotation for {:?}",
            admission.lease
        );
        document.risk(&["admission.lease"], what);
    }
    // A lost probe is repeated once; with less than this a single lost one ends the lease.
    let two = 2 * (admission.interval + probe.total + probe.receipt_within);
    if admission.lease < two {
        let what = format!(
            "one lost probe ends a lease of {:?}: with two intervals and two probes ({two:?}) it would not",
            admission.lease
        );
        document.risk(
            &[
                "admission.lease",
                "admission.interval",
                "probe.total",
                "probe.receipt_within",
            ],
            what,
        );
    }
    if admission.goodput_floor < SLOW {
        let what = "a peer so slow is of no use to anybody who is sent to it";
        document.risk(&["admission.goodput_floor"], what.to_owned());
    }
}

/// What is asked of volunteers' lines and of this machine.
fn load(config: &Config, document: &mut Document<'_>) {
    let admission = &config.admission;
    let probes = DAY.as_secs_f64() / admission.interval.as_secs_f64().max(0.1);
    // Every twentieth probe measures; both directions of the peer's line carry it.
    let body = (19.0 * admission.liveness_body as f64 + admission.goodput_body as f64) / 20.0;
    let megabytes = probes * 2.0 * (body + OVERHEAD) / 1e6;
    if megabytes > MUCH {
        let what = format!("probes carry about {megabytes:.0} MB a day through each volunteer's line");
        document.risk(
            &[
                "admission.interval",
                "admission.liveness_body",
                "admission.goodput_body",
            ],
            what,
        );
    }
    if config.probe.concurrency > MANY_PROBES {
        let what = "each probe takes a socket or two and memory for its body: see that the machine and its limits (ulimit -n) \
            allow it";
        document.risk(&["probe.concurrency"], what.to_owned());
    }
}

fn dns(config: &Config, document: &mut Document<'_>) {
    let dns = &config.dns;
    let local = is_local(dns.listen);
    if dns.rotation_port != 443 && !local {
        let what = "clients expect give mode peers on port 443, and address records carry no port";
        document.risk(&["dns.rotation_port"], what.to_owned());
    }
    if dns.sample > MOST_IN_A_DATAGRAM {
        let what =
            "answers with so many IPv6 addresses do not fit into one datagram: resolvers have to come back over TCP";
        document.risk(&["dns.sample"], what.to_owned());
    }
    let reserved = ["example", "test", "invalid", "localhost"];
    let top = dns.zone.as_str().rsplit('.').next().unwrap_or_default();
    if reserved.contains(&top) && !local {
        let what = format!(
            "names below .{top} do not exist in the internet (RFC 6761): set the zone that is delegated to you"
        );
        document.risk(&["dns.zone"], what);
    }
    if dns.nameserver_addresses.is_empty() && dns.listen.ip().is_unspecified() && dns.nameserver.is_none() {
        let what = "this name server's name has no address in the zone: set the addresses under which the world reaches it, \
            or resolvers cannot follow the delegation";
        document.risk(&["dns.nameserver_addresses", "dns.listen"], what.to_owned());
    }
    if let Some(destination) = &config.origin.destination
        && !matches!(destination.port(), 80 | 443)
        && !is_private(destination.host())
    {
        let what = "many peers serve destinations on ports 80 and 443 only: they will fail every probe";
        document.risk(&["origin.destination"], what.to_owned());
    }
}

/// What is kept and written down.
fn records(config: &Config, document: &mut Document<'_>) {
    let evidence = &config.evidence;
    if evidence.age < DAY {
        let what = "evidence is gone before anybody has slept over a verdict: it cannot be shown to others after that";
        document.risk(&["evidence.age"], what.to_owned());
    }
    // A measurement comes every twentieth probe, and restoring a peer's standing needs the last one.
    if evidence.per_peer < 40 {
        let what = "after a restart a peer's standing is proven again from its stored evidence, for which this may be too little";
        document.risk(&["evidence.per_peer"], what.to_owned());
    }
    let talkative = ["debug", "trace"];
    let is_talkative = |directive: &str| {
        let level = directive
            .rsplit('=')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        talkative.contains(&level.as_str())
    };
    if config.log.filter.split(',').any(is_talkative) {
        let what = "strangers can fill the log at this level, and the addresses of peers are in it";
        document.risk(&["log.filter"], what.to_owned());
    }
}

fn is_local(address: SocketAddr) -> bool {
    address.ip().is_loopback()
}

fn is_private(host: &str) -> bool {
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => ip.is_loopback() || ip.is_private(),
        Ok(IpAddr::V6(ip)) => ip.is_loopback(),
        Err(_) => host == "localhost",
    }
}

const DAY: Duration = Duration::from_secs(24 * 3600);
const LONG_LEASE: Duration = Duration::from_secs(3600);
/// Bytes a second.
const SLOW: u64 = 8 * 1024;
/// Bytes of heads, handshakes and tunnels that a probe takes beside its body.
const OVERHEAD: f64 = 6000.0;
/// Megabytes a day.
const MUCH: f64 = 500.0;
const MANY_PROBES: usize = 1000;
/// AAAA records of 28 bytes in 1,232 bytes, beside the question.
const MOST_IN_A_DATAGRAM: usize = 40;
