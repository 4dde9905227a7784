//! What a probe showed, for people and for programs.

use std::path::Path;

use proto::claims;
use serde_json::{Map, Value, json};

use super::super::show;
use crate::{
    flashlight::same_name,
    model::Blame,
    run::lone::{Fault, Lone, Shown},
};

/// What is about to be probed, and over which origin.
pub(super) fn head(lone: &Lone, config: Option<&Path>) -> String {
    let (aim, destination) = (lone.aim(), lone.far_end().destination());
    let through = match &aim.front {
        Some(front) => format!(" through the edge {}", front.at),
        None => String::new(),
    };
    let what = format!("{}{through}, by {}, body of {} bytes", aim.whom, aim.route(), aim.body);
    let origin = match (lone.far_end().listening(), config) {
        (Some(listening), _) => format!("listening at {listening}; the peer is asked for {destination}"),
        (None, Some(file)) => format!(
            "of the attester of {}; the peer is asked for {destination}",
            show::plain(file)
        ),
        (None, None) => format!("the peer is asked for {destination}"),
    };
    show::field("peer", &what) + &show::field("origin", &origin)
}

/// What came of it: a sentence, what was wrong and what to do, and what else was seen.
pub(super) fn result(lone: &Lone, shown: &Shown) -> String {
    let mut fields = vec![("result", sentence(lone, shown))];
    if let Some(fault) = &shown.fault {
        fields.extend(fault_fields(fault));
    }
    if shown.arrived == Some(false)
        && let Some(listening) = lone.far_end().listening()
    {
        let asked = lone.far_end().destination();
        fields.push((
            "arrived",
            format!("nothing, at the origin at {listening}: can the peer reach {asked}?"),
        ));
    }
    lines(&fields) + &seen(lone, shown)
}

/// What else was seen.
pub(super) fn seen(lone: &Lone, shown: &Shown) -> String {
    let mut fields = Vec::new();
    fields.extend(dialled(shown));
    fields.extend(key(lone, shown));
    fields.extend(calls_itself(lone, shown));
    fields.extend(source(lone, shown));
    if let Some(rate) = shown.goodput {
        fields.push(("goodput", format!("{} KiB/s", rate >> 10)));
    }
    if shown.goes_through() {
        fields.push(("agent", NO_AGENT.to_owned()));
    }
    lines(&fields)
}

fn lines(fields: &[(&str, String)]) -> String {
    fields.iter().map(|(name, value)| show::field(name, value)).collect()
}

/// A fault, as a person reads it.
pub(super) fn fault_fields(fault: &Fault) -> Vec<(&'static str, String)> {
    let reason = fault.finding.reason;
    let who = match fault.blame {
        Blame::Peer => "the peer's owner",
        Blame::Attester => "you, on this side",
        Blame::Unknown => "nobody can tell",
    };
    let mut fields = vec![(
        "reason",
        format!("{reason} (phase {}; must act: {who})", reason.phase()),
    )];
    if !fault.finding.detail().is_empty() {
        fields.push(("seen", fault.finding.detail().to_owned()));
    }
    fields.push(("what to do", fault.advice.to_owned()));
    fields
}

fn sentence(lone: &Lone, shown: &Shown) -> String {
    let (outcome, what) = match &shown.fault {
        None => (
            "carried",
            format!(
                "the origin's signed answer came back whole, with {} bytes of body",
                lone.aim().body
            ),
        ),
        Some(fault) => (
            outcome(shown),
            match fault.blame {
                Blame::Peer => "the peer does not carry traffic as it must".to_owned(),
                Blame::Attester => "nothing is shown about the peer".to_owned(),
                Blame::Unknown => "it broke off, and not for certain at the peer".to_owned(),
            },
        ),
    };
    format!("{}: {what}", show::toned(outcome))
}

/// Which of several addresses it was, where nobody has chosen.
fn dialled(shown: &Shown) -> Option<(&'static str, String)> {
    let (first, others) = shown.addresses.split_first().filter(|(_, others)| !others.is_empty())?;
    let mut named: Vec<String> = others.iter().take(NAMED).map(ToString::to_string).collect();
    if others.len() > NAMED {
        named.push("…".to_owned());
    }
    let told = format!(
        "{first}, the first of {} addresses; name one instead of the name to probe it: {}",
        shown.addresses.len(),
        named.join(", ")
    );
    Some(("dialled", told))
}

/// What it calls itself, and whether the service would take it: an attester with an edge refuses another name, also directly. Of
/// several addresses the name is a rotation's, which is no peer's own.
fn calls_itself(lone: &Lone, shown: &Shown) -> Option<(&'static str, String)> {
    let own = shown.proxy_host.clone()?;
    let is_known_by_name = lone.aim().front.is_none() && shown.addresses.len() < 2;
    let asked = lone.aim().name().filter(|_| is_known_by_name);
    let told = match asked.filter(|name| !same_name(&own, name.as_str())) {
        Some(name) => format!("{own}, not {name}: behind an edge it would be refused"),
        None => own,
    };
    Some(("own name", told))
}

fn key(lone: &Lone, shown: &Shown) -> Option<(&'static str, String)> {
    let pin = shown.pin?;
    let told = match (&lone.aim().front, lone.aim().pin) {
        (Some(_), _) => format!("{pin}, the edge's; its certificate was checked"),
        (None, Some(expected)) if expected == pin => format!("{pin}, as expected"),
        (None, Some(expected)) => format!("{pin}, and {expected} was expected"),
        (None, None) => format!("{pin}, not compared (--pin)"),
    };
    Some(("TLS key", told))
}

fn source(lone: &Lone, shown: &Shown) -> Option<(&'static str, String)> {
    let source = shown.source?;
    let told = match (shown.from_itself, &lone.aim().front) {
        (Some(true), _) => "the address that was dialled".to_owned(),
        (Some(false), _) => "another address than the one that was dialled".to_owned(),
        (None, Some(_)) => "not compared: the peer's own is behind the edge".to_owned(),
        (None, None) => "not compared: the one that was dialled is of the other family".to_owned(),
    };
    Some(("left from", format!("{source}, {told}")))
}

/// In a word.
pub(super) fn outcome(shown: &Shown) -> &'static str {
    match shown.fault.as_ref().map(|fault| fault.blame) {
        None => "carried",
        Some(Blame::Peer) => claims::Outcome::Failed.as_str(),
        Some(Blame::Attester | Blame::Unknown) => claims::Outcome::Inconclusive.as_str(),
    }
}

/// A probe for programs.
pub(super) fn object(lone: &Lone, shown: &Shown) -> Value {
    let aim = lone.aim();
    let fault = shown.fault.as_ref();
    let reason = fault.map(|fault| fault.finding.reason);
    let phases: Map<String, Value> = shown
        .phases
        .0
        .iter()
        .map(|(phase, ended)| (phase.to_string(), micros(*ended).into()))
        .collect();
    json!({
        "kind": "probe",
        "peer": aim.whom.to_string(),
        "address": shown.address,
        "addresses": shown.addresses,
        "path": aim.route().path,
        "protocol": aim.protocol,
        "body": aim.body,
        "outcome": outcome(shown),
        "reason": reason.map(|reason| reason.code()),
        "phase": reason.map(|reason| reason.phase()),
        "blame": fault.map(|fault| blame(fault.blame)),
        "remedy": fault.map(|fault| fault.advice),
        "detail": fault.map_or("", |fault| fault.finding.detail()),
        "phases_us": phases,
        "ended_us": micros(shown.ended),
        "pin": shown.pin.map(|pin| pin.to_string()),
        "handshake": shown.resumed.map(|resumed| if resumed { "resumed" } else { "full" }),
        "pin_compared": aim.pin.is_some() && shown.pin.is_some(),
        "proxy_host": shown.proxy_host,
        "sent": shown.sent,
        "received": shown.received,
        "goodput": shown.goodput,
        "arrived": shown.arrived,
        "source": shown.source,
        "source_is_peer": shown.from_itself,
        "origin": {
            "listening": lone.far_end().listening(),
            "destination": lone.far_end().destination().as_str(),
        },
    })
}

const fn blame(blame: Blame) -> &'static str {
    match blame {
        Blame::Peer => "peer",
        Blame::Attester => "attester",
        Blame::Unknown => "unknown",
    }
}

pub(super) fn micros(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// How many other addresses are named to people; programs get all of them.
const NAMED: usize = 8;
const NO_AGENT: &str = "none was asked: this shows that the peer carries traffic, not who watched it";
