//! Sections and keys: their names, defaults (DESIGN, section 10) and ranges.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use proto::claims::Challenge;
use rustls_pki_types::ServerName;
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

use super::{
    ANY, Admin, Admission, Attester, Config, Dns, Fronted, Log, LogFormat, Origin, Probe, Review, check,
    document::{Document, Found, Section, Source},
    risk,
    value::{boolean, duration, integer, ip, list, listen, parsed, text, wrong},
};
use crate::{flashlight::Sni, records::Name, store::Retention};

/// Reads a whole configuration, with all mistakes and risks in it.
pub(super) fn read(text: &str) -> Review {
    let source = Source::of(text);
    let mut document = Document::of(&source);
    let attester = document.section("attester", attester);
    let admission = document.section("admission", admission);
    let probe = document.section("probe", probe);
    let fronted = document.section("fronted", fronted);
    let origin = document.section("origin", origin);
    let dns = document.section("dns", dns);
    let evidence = document.section("evidence", evidence);
    let admin = document.section("admin", |section| Admin {
        listen: section.value("listen", ADMIN, listen),
    });
    let log = document.section("log", log);
    let config = dns.map(|dns| Config {
        attester,
        admission,
        probe,
        fronted,
        origin,
        dns,
        evidence,
        admin,
        log,
    });
    // A mistaken key reads as its default here: the document leaves out what that would contradict.
    if let Some(config) = &config {
        check::check(config, &mut document);
        risk::look(config, &mut document);
    }
    let Found { mistakes, risks } = document.finish();
    Review {
        config: config.filter(|_| mistakes.is_empty()),
        mistakes,
        risks,
    }
}

fn attester(section: &mut Section<'_, '_>) -> Attester {
    let state = section.value("state", "state".to_owned(), text("a folder"));
    Attester {
        listen: section.value("listen", at_any(7443), listen),
        state: PathBuf::from(state),
    }
}

fn admission(section: &mut Section<'_, '_>) -> Admission {
    Admission {
        proofs: size(section.value("proofs", 3, integer(1..=16))),
        spacing: section.value("spacing", secs(2), duration(TENTH..=secs(60))),
        interval: section.value("interval", secs(60), duration(TENTH..=secs(24 * HOUR))),
        lease: section.value("lease", secs(300), duration(secs(1)..=secs(7 * 24 * HOUR))),
        liveness_body: section.value("liveness_body", 1024, integer(1..=Challenge::MAX_BODY)),
        goodput_body: section.value("goodput_body", 256 * 1024, integer(1..=Challenge::MAX_BODY)),
        goodput_floor: section.value("goodput_floor", 32 * 1024, integer(1..=1 << 30)),
        allow_private: section.value("allow_private", false, boolean),
        max_peers: size(section.value("max_peers", 10_000, integer(1..=1_000_000))),
        keep_name: section.value("keep_name", secs(24 * HOUR), duration(secs(1)..=secs(30 * 24 * HOUR))),
    }
}

fn probe(section: &mut Section<'_, '_>) -> Probe {
    let limit = || duration(TENTH..=secs(60));
    Probe {
        connect: section.value("connect", secs(3), limit()),
        tls: section.value("tls", secs(3), limit()),
        total: section.value("total", secs(10), limit()),
        receipt_within: section.value("receipt_within", secs(3), limit()),
        concurrency: size(section.value("concurrency", 64, integer(1..=10_000))),
        source: section.optional("source", ip),
        resume: section.value("resume", false, boolean),
    }
}

/// Without an edge the other keys mean nothing.
fn fronted(section: &mut Section<'_, '_>) -> Option<Fronted> {
    let edge = if section.is_empty() {
        section.optional("edge", parsed(EDGE))
    } else {
        section.required("edge", EDGE, parsed(EDGE))
    };
    let is_name = |name: &String| ServerName::try_from(name.as_str()).is_ok();
    let name = section.optional("name", |value| {
        let right = "the name (or IP address) that the edge's certificate is good for, such as \"cdn.example\"";
        text(right)(value).and_then(|name| Some(name).filter(is_name).ok_or_else(|| wrong(right, value)))
    });
    let sni = section.value("sni", Sni::Absent, |value| match value.as_str() {
        Some("none") => Ok(Sni::Absent),
        Some("name") => Ok(Sni::Masquerade),
        _ => Err(wrong("\"none\" or \"name\"", value)),
    });
    let ca = section.optional("ca", text("a file of PEM certificates"));
    let required = section.value("required", true, boolean);
    Some(Fronted {
        edge: edge?,
        name,
        sni,
        ca: ca.map(PathBuf::from),
        required,
    })
}

fn origin(section: &mut Section<'_, '_>) -> Origin {
    Origin {
        listen: section.value("listen", at_any(7080), listen),
        destination: section.optional("destination", parsed(DESTINATION)),
        control: section.optional("control", parsed(IP_AND_PORT)),
    }
}

/// Without a zone there is a placeholder, next to the mistake.
fn dns(section: &mut Section<'_, '_>) -> Option<Dns> {
    let name = || parsed::<Name>("a domain name, such as \"peers.example\"");
    let listen = section.value("listen", at_any(7053), listen);
    let zone = section.required("zone", "the zone that this attester answers for", name());
    // Below any zone, so that a label is checked even when there is no zone; with it the name is checked again.
    let label = section.value("rotation", "roundrobin".to_owned(), |value| {
        let label = text("a name below the zone, such as \"roundrobin\"")(value)?;
        let below = |zone: &Name| zone.child(&label).map(|_| ()).map_err(|error| error.to_string());
        Name::parse(&label).map_err(|error| error.to_string())?;
        zone.as_ref().map_or(Ok(()), below)?;
        Ok(label)
    });
    let port = section.value("rotation_port", 443, integer(1..=65_535));
    let sample = size(section.value("sample", 16, integer(1..=256)));
    let nameserver = section.optional("nameserver", name());
    let addresses = section.value("nameserver_addresses", Vec::new(), list("a list of IP addresses", ip));
    let asked_at = section.optional("asked_at", parsed(IP_AND_PORT));
    let zone = zone.or_else(|| Name::parse("zone.invalid").ok())?;
    let rotation = zone.child(&label).or_else(|_| zone.child("roundrobin")).ok()?;
    Some(Dns {
        listen,
        zone,
        rotation,
        rotation_port: u16::try_from(port).unwrap_or(443),
        sample,
        nameserver,
        nameserver_addresses: addresses.into_iter().collect(),
        asked_at,
    })
}

fn evidence(section: &mut Section<'_, '_>) -> Retention {
    let default = Retention::default();
    Retention {
        per_peer: size(section.value("per_peer", default.per_peer as u64, integer(1..=1_000_000))),
        age: section.value("age", default.age, duration(secs(HOUR)..=secs(3650 * 24 * HOUR))),
        total_bytes: section.value("total_bytes", default.total_bytes, integer(1 << 20..=1 << 50)),
    }
}

fn log(section: &mut Section<'_, '_>) -> Log {
    let default = Log::default();
    let filter = |value: &toml::de::DeValue<'_>| {
        let right =
            "a level (error, warn, info, debug, trace, off) or a filter such as \"info,attester::session=debug\"";
        let filter = text(right)(value)?;
        // A bare word that is no level would be taken as the name of a module, and nothing would be logged.
        let is_level =
            |directive: &str| directive.contains(['=', '[']) || directive.trim().parse::<LevelFilter>().is_ok();
        let readable = filter.split(',').all(is_level) && filter.parse::<EnvFilter>().is_ok();
        if readable { Ok(filter) } else { Err(wrong(right, value)) }
    };
    let format = |value: &toml::de::DeValue<'_>| match value.as_str() {
        Some("text") => Ok(LogFormat::Text),
        Some("json") => Ok(LogFormat::Json),
        _ => Err(wrong("\"text\" or \"json\"", value)),
    };
    Log {
        filter: section.value("filter", default.filter, filter),
        format: section.value("format", default.format, format),
    }
}

fn at_any(port: u16) -> SocketAddr {
    (ANY, port).into()
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A number that was checked to be at most 1,000,000.
fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

const ADMIN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 7090);
const DESTINATION: &str = "a host name (or IPv4 address) and port, such as \"origin.example:80\"";
const EDGE: &str = "a host name (or IPv4 address) and port, such as \"cdn.example:443\"";
const IP_AND_PORT: &str = "an IP address and port, such as \"192.0.2.1:80\"";
const TENTH: Duration = Duration::from_millis(100);
const HOUR: u64 = 3600;
