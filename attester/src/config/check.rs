//! What keys must be to each other.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use super::{Config, document::Document};

/// Notes every contradiction.
pub(super) fn check(config: &Config, document: &mut Document<'_>) {
    times(config, document);
    bodies(config, document);
    origin(config, document);
    listeners(config, document);
}

fn times(config: &Config, document: &mut Document<'_>) {
    let (admission, probe) = (&config.admission, &config.probe);
    for (key, part) in [("probe.connect", probe.connect), ("probe.tls", probe.tls)] {
        if part > probe.total {
            document.conflict(
                &[key, "probe.total"],
                format!("it must not be longer than probe.total ({:?})", probe.total),
            );
        }
    }
    // A proof that begins when it is due and takes as long as it may must still renew the lease.
    let slowest = admission.interval.max(admission.spacing) + probe.total + probe.receipt_within;
    if admission.lease < slowest {
        let what = format!(
            "the lease ({:?}) must be at least admission.interval (or spacing), probe.total and probe.receipt_within \
            together ({slowest:?}), or honest peers fall out of the rotation between two probes",
            admission.lease
        );
        document.conflict(
            &[
                "admission.lease",
                "admission.interval",
                "admission.spacing",
                "probe.total",
            ],
            what,
        );
    }
}

fn bodies(config: &Config, document: &mut Document<'_>) {
    let admission = &config.admission;
    if admission.liveness_body > admission.goodput_body {
        let what = format!(
            "it must not be larger than admission.goodput_body ({})",
            admission.goodput_body
        );
        document.conflict(&["admission.liveness_body", "admission.goodput_body"], what);
    }
    let at_floor = Duration::from_secs(admission.goodput_body / admission.goodput_floor);
    if at_floor >= config.probe.total {
        let what = format!(
            "a peer at the floor ({} bytes a second) would take {at_floor:?} for {} bytes, and a probe may take {:?}",
            admission.goodput_floor, admission.goodput_body, config.probe.total
        );
        document.conflict(
            &["admission.goodput_body", "admission.goodput_floor", "probe.total"],
            what,
        );
    }
}

fn origin(config: &Config, document: &mut Document<'_>) {
    let keys = &["origin.destination", "origin.listen"];
    let Some(destination) = &config.origin.destination else {
        let listen = config.origin.listen.ip();
        if listen.is_unspecified() || listen.is_ipv6() {
            let what = "without it origin.listen must be one IPv4 address: set it to the host name and port by which \
                peers reach the origin, such as \"origin.example:80\"";
            document.conflict(keys, what.to_owned());
        }
        return;
    };
    let reachable = match destination.host().parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => !ip.is_loopback() && !ip.is_private() && !ip.is_link_local() && !ip.is_unspecified(),
        Ok(IpAddr::V6(_)) => false,
        Err(_) => destination.host() != "localhost",
    };
    if !reachable && !config.admission.allow_private {
        let what = "peers on the internet do not reach this host: name a public one, or set admission.allow_private \
            for a trial on one machine";
        document.conflict(keys, what.to_owned());
    }
}

fn listeners(config: &Config, document: &mut Document<'_>) {
    let listeners = [
        ("attester.listen", config.attester.listen),
        ("origin.listen", config.origin.listen),
        ("dns.listen", config.dns.listen),
        ("admin.listen", config.admin.listen),
    ];
    for (index, (key, address)) in listeners.iter().enumerate() {
        let earlier = listeners
            .iter()
            .take(index)
            .find(|(_, other)| collide(*address, *other));
        if let Some((other, _)) = earlier {
            document.conflict(
                &[key, other],
                format!("{address} is also what {other} takes: choose another port"),
            );
        }
    }
}

fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let any = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0 && one.port() == other.port() && (any || one.ip() == other.ip())
}
