//! `attester probe`: what it tells of peers that carry and of peers that do not, and the exit status.

use std::net::{Ipv4Addr, SocketAddr};

use serde_json::{Value, json};

use crate::{
    place::{Place, Ran},
    scripted::{Script, Scripted},
};

mod drawn;
mod typed;

/// A port of loopback that nobody listens at, kept from others while the socket lives.
fn closed_port() -> (tokio::net::TcpSocket, SocketAddr) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// Probes a peer by CONNECT, with an origin of the program's own.
fn probe(place: &Place, peer: SocketAddr, more: &[&str]) -> Ran {
    let peer = peer.to_string();
    place.run(&[&["probe", &peer, "--protocol", "connect"], more].concat())
}

fn object(place: &Place, peer: SocketAddr, more: &[&str]) -> (i32, Value) {
    let ran = probe(place, peer, &[more, &["--json"]].concat());
    assert_eq!(ran.err, "", "{}", ran.out);
    (ran.code, serde_json::from_str(&ran.out).unwrap())
}

#[test]
fn programs_read_every_key() {
    let place = Place::new();
    let peer = Scripted::start(Script::Carries);
    let pin = peer.pin.to_string();
    let (code, mut told) = object(&place, peer.address, &["--pin", &pin, "--body", "65536"]);
    assert_eq!(code, 0);
    // What differs from run to run.
    let phases = told["phases_us"].take();
    let micros = ["resolve", "connect", "tls", "tunnel", "first-byte", "complete"].map(|phase| phases[phase].as_u64());
    assert!(micros.is_sorted() && micros.iter().all(Option::is_some), "{phases}");
    assert!(told["ended_us"].take().as_u64() >= micros[5]);
    assert!(told["goodput"].take().as_u64().unwrap() > 0);
    assert!(told["source"].take().as_str().unwrap().starts_with("127.0.0.1:"));
    assert!(told["sent"].take().as_u64().unwrap() > 300);
    let origin = told["origin"].take();
    assert_eq!(origin["listening"], origin["destination"]);
    assert!(origin["listening"].as_str().unwrap().starts_with("127.0.0.1:"));
    let peer = peer.address.to_string();
    assert_eq!(
        told,
        json!({
            "kind": "probe", "peer": peer, "address": peer, "addresses": [], "path": "direct", "protocol": "connect", "body": 65536,
            "outcome": "carried", "reason": null, "phase": null, "blame": null, "remedy": null, "detail": "",
            "phases_us": null, "ended_us": null, "pin": pin, "pin_compared": true, "handshake": "full", "proxy_host": null, "sent": null,
            "received": 66560, "goodput": null, "arrived": true, "source": null, "source_is_peer": true, "origin": null,
        })
    );
}

/// What a peer does and what is typed; then the reason, its phase, who must act, the status, and whether anything arrived.
type Case<'a> = (Script, &'a [&'a str], &'a str, &'a str, &'a str, i32, Value);

#[test]
fn each_way_to_fail_has_its_reason_phase_and_status() {
    let place = Place::new();
    let page = "HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    let no_token = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
    let away = ["--origin=127.0.0.1:0", "--destination", "origin.example:80"];
    let soon = ["--timeout", "1s"];
    let cases: [Case<'_>; 13] = [
        (Script::Silent, &soon, "tls-timeout", "tls", "peer", 6, Value::Null),
        (Script::NoTls, &[], "tls-failed", "tls", "peer", 6, Value::Null),
        (
            Script::Carries,
            &["--pin", OTHER],
            "pin-mismatch",
            "tls",
            "peer",
            6,
            Value::Null,
        ),
        (
            Script::TunnelSilent,
            &soon,
            "tunnel-timeout",
            "tunnel",
            "peer",
            6,
            json!(false),
        ),
        (
            Script::Refuses(no_token),
            &[],
            "tunnel-token",
            "tunnel",
            "peer",
            6,
            json!(false),
        ),
        (
            // A token is asked for before any destination is looked for …
            Script::Refuses(no_token),
            &away,
            "tunnel-token",
            "tunnel",
            "peer",
            6,
            json!(false),
        ),
        (
            // … which a proxy that cannot reach it tells like this.
            Script::Refuses("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"),
            &away,
            "tunnel-refused",
            "tunnel",
            "unknown",
            7,
            json!(false),
        ),
        (
            Script::Refuses("no HTTP\r\n\r\n"),
            &away,
            "tunnel-malformed",
            "tunnel",
            "peer",
            6,
            json!(false),
        ),
        (
            Script::Refuses(""),
            &[],
            "tunnel-closed",
            "tunnel",
            "peer",
            6,
            json!(false),
        ),
        (
            Script::Answers("HTTP/1.1 200 OK\r\n\r\n"),
            &[],
            "first-byte-closed",
            "first-byte",
            "peer",
            6,
            json!(false),
        ),
        (
            Script::Answers(page),
            &[],
            "not-forwarded",
            "complete",
            "peer",
            6,
            json!(false),
        ),
        (Script::Flips, &[], "body-altered", "V2", "peer", 6, json!(true)),
        (Script::LeavesElsewhere, &[], "egress", "V4", "peer", 6, json!(true)),
    ];
    for (script, more, reason, phase, blame, status, arrived) in cases {
        let peer = Scripted::start(script);
        let (code, told) = object(&place, peer.address, more);
        let found = [&told["reason"], &told["phase"], &told["blame"]].map(|word| word.as_str().unwrap());
        assert_eq!((found, code), ([reason, phase, blame], status), "{script:?}: {told}");
        assert_eq!(told["arrived"], arrived, "{script:?}: {told}");
        assert!(!told["remedy"].as_str().unwrap().is_empty());
        let outcome = if status == 7 { "inconclusive" } else { "failed" };
        assert_eq!(told["outcome"], outcome);
        let is_elsewhere = matches!(script, Script::LeavesElsewhere);
        assert_eq!(told["source_is_peer"] == json!(false), is_elsewhere, "{told}");
    }
    let (_kept, nobody) = closed_port();
    let (code, told) = object(&place, nobody, &[]);
    assert_eq!((told["reason"].as_str(), code), (Some("connect-refused"), 6), "{told}");
    assert!(told["phases_us"]["connect"].is_null() && told["phases_us"]["resolve"].is_u64());
    let (code, told) = place.json(&["probe", "peer.invalid", "--origin=127.0.0.1:0"]);
    let told = &told[0];
    assert_eq!((told["reason"].as_str(), code), (Some("resolve-failed"), 3), "{told}");
    assert!(told["phases_us"].as_object().unwrap().is_empty() && told["address"].is_null());
    assert!(told["detail"].as_str().unwrap().starts_with("peer.invalid"), "{told}");
}

#[test]
fn a_name_is_resolved_by_the_system_or_by_the_server_that_is_named() {
    let place = Place::new();
    let peer = Scripted::start(Script::Carries);
    let named = format!("localhost:{}", peer.address.port());
    let ran = place.run(&["probe", &named, "--protocol", "connect", "--json"]);
    // Where localhost is ::1 first, the peer is not there; it was resolved in any case.
    let told: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(told["peer"], named);
    assert!(told["phases_us"]["resolve"].is_u64(), "{told}");
    // Nobody answers there.
    let (_kept, nobody) = closed_port();
    let server = nobody.to_string();
    let (code, told) = place.json(&[
        "probe",
        "peer.example",
        "--via",
        &server,
        "--origin=127.0.0.1:0",
        "--timeout",
        "2s",
    ]);
    assert_eq!(
        (told[0]["reason"].as_str(), code),
        (Some("resolve-failed"), 3),
        "{told:?}"
    );
    assert!(told[0]["detail"].as_str().unwrap().contains(&server), "{told:?}");
}

#[test]
fn several_probes_are_told_in_a_line_each() {
    let place = Place::new();
    let peer = Scripted::start(Script::Carries);
    let ran = probe(&place, peer.address, &["--repeat", "3", "--resume"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    let numbered = |line: &&str| line.trim_start().starts_with(['1', '2', '3']) && line.contains(" carried ");
    assert_eq!(ran.out.lines().filter(numbered).count(), 3, "{}", ran.out);
    let resumed = ran
        .out
        .lines()
        .filter(numbered)
        .map(|line| line.ends_with(" ms  resumed"));
    assert_eq!(resumed.collect::<Vec<_>>(), [false, true, true], "{}", ran.out);
    let table: Vec<&str> = ran.out.lines().skip_while(|line| !line.starts_with("PHASE ")).collect();
    assert_eq!(
        table[0].split_whitespace().collect::<Vec<_>>(),
        ["PHASE", "LEAST", "(MS)", "MEDIAN", "GREATEST"]
    );
    let phases = ["resolve", "connect", "tls", "tunnel", "first-byte", "complete", "whole"];
    for (line, phase) in table[1..].iter().zip(phases) {
        let mut words = line.split_whitespace();
        assert_eq!(words.next(), Some(phase));
        let times: Vec<f64> = words.map(|word| word.parse().unwrap()).collect();
        assert!(times.len() == 3 && times.is_sorted(), "{line}");
    }
    assert!(ran.out.contains("carried     3 of 3 probes\n"), "{}", ran.out);

    let silent = Scripted::start(Script::NoTls);
    let address = silent.address.to_string();
    let (code, told) = place.json(&["probe", &address, "--repeat", "2"]);
    assert_eq!((code, told.len()), (6, 3));
    assert_eq!(told[2]["kind"], "summary");
    assert_eq!(
        (&told[2]["probes"], &told[2]["carried"], &told[2]["exit"]),
        (&json!(2), &json!(0), &json!(6))
    );
    assert_eq!(told[2]["reasons"], json!({ "tls-failed": 2 }));
    assert!(told[2]["phases_us"]["connect"]["median"].is_u64() && told[2]["phases_us"]["tls"].is_null());
    let ran = place.run(&["probe", &address, "--repeat", "2"]);
    assert!(
        ran.out
            .contains("tls-failed (phase tls; must act: the peer's owner), 2 times"),
        "{}",
        ran.out
    );
}

const OTHER: &str = "0000000000000000000000000000000000000000000000000000000000000000";
