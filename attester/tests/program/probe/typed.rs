//! What is typed wrong, and what is configured so that nothing can be probed.

use std::net::{Ipv4Addr, TcpListener};

use serde_json::Value;

use super::{closed_port, object, probe};
use crate::{
    place::Place,
    scripted::{Script, Scripted},
};

#[test]
fn contradictions_in_a_command_line_are_told() {
    let place = Place::new();
    place.write("token", "sesame\n");
    place.write("empty", "\n");
    place.write("ca.pem", "no certificate");
    for (arguments, told) in [
        (&["192.0.2.7", "--token-file", "token"][..], "enproxy has no token"),
        (
            &["192.0.2.7", "--protocol", "connect", "--token-file", "empty"],
            "does not hold one line",
        ),
        (&["192.0.2.7", "--protocol", "connect", "--streamed"], "are of enproxy"),
        (&["192.0.2.7", "--edge", "cdn.example:443"], "finds a peer by its name"),
        (
            &["a.example", "--edge", "cdn.example:443", "--protocol", "connect"],
            "pass no CONNECT on",
        ),
        (
            &["a.example", "--edge", "cdn.example:443", "--edge-ca", "ca.pem"],
            "no certificate",
        ),
        (&["192.0.2.7", "--via", "192.0.2.53:53"], "is for names"),
        (&["192.0.2.7", "--sni", "name"], "--edge"),
        (&["192.0.2.7", "--pin", "abc"], "hexadecimal"),
        (&["192.0.2.7", "--body", "0"], "--body"),
        (&["192.0.2.7", "--timeout", "1"], "expected a time"),
        (&["192.0.2.7", "--resume"], "--repeat"),
        (&["192.0.2.7", "--origin=0.0.0.0:0"], "give it a port"),
        (&["192.0.2.7", "--origin=[::1]:0"], "destination: needed"),
        (
            &["192.0.2.7", "--config", "nowhere.toml"],
            "no configuration at nowhere.toml",
        ),
        (&["a..b"], "expected an address or a name"),
    ] {
        let ran = place.run(&[&["probe"], arguments].concat());
        assert_eq!(ran.code, 2, "{arguments:?}: {}{}", ran.out, ran.err);
        assert!(ran.err.contains(told), "{arguments:?}: {}", ran.err);
    }
    let missing = ["probe", "192.0.2.7", "--protocol", "connect", "--token-file", "nowhere"];
    assert_eq!(place.run(&missing).code, 3);
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let origin = format!("--origin={}", taken.local_addr().unwrap());
    let ran = place.run(&["probe", "192.0.2.7", &origin]);
    assert_eq!(ran.code, 3);
    assert!(ran.err.contains("cannot listen for probes"), "{}", ran.err);
}

/// The configured origin answers the attester's key alone.
#[test]
fn an_attester_that_is_configured_must_run_and_its_keys_must_be_readable() {
    let place = Place::initialised();
    let peer = Scripted::start(Script::Carries);
    // Its port is chosen when it starts, and nobody else knows it.
    let ran = probe(&place, peer.address, &[]);
    assert_eq!(ran.code, 2, "{}", ran.out);
    assert!(
        ran.err.contains("origin.destination") && ran.err.contains("--origin"),
        "{}",
        ran.err
    );
    // With an origin of its own the configuration is left alone.
    assert_eq!(probe(&place, peer.address, &["--origin"]).code, 0);

    let (_kept, nobody) = closed_port();
    let config = place.read("attester.toml");
    let config = config.replacen("[origin]\n", &format!("[origin]\ndestination = \"{nobody}\"\n"), 1);
    place.write("attester.toml", &config);
    let (code, told) = object(&place, peer.address, &["--timeout", "2s"]);
    assert_eq!(
        (told["reason"].as_str(), told["blame"].as_str(), code),
        (Some("control-failed"), Some("attester"), 3),
        "{told}"
    );
    assert!(
        told["remedy"].as_str().unwrap().contains("start `attester serve`"),
        "{told}"
    );
    assert_eq!(
        (&told["arrived"], &told["origin"]["listening"]),
        (&Value::Null, &Value::Null)
    );

    std::fs::remove_file(place.path("state/keys/attester.key")).unwrap();
    let ran = probe(&place, peer.address, &[]);
    assert_eq!((ran.code, ran.out.as_str()), (3, ""));
    assert!(
        ran.err.contains("the keys cannot be read") && ran.err.contains("attester.key") && ran.err.contains("--origin"),
        "{}",
        ran.err
    );
}
