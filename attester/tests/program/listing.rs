//! `attester peers` and `attester rejections`.

use attester::store::{PeerRow, Store};
use proto::{
    claims::{Protocol, Protocols},
    time::Timestamp,
};
use serde_json::Value;

use crate::{
    place::Place,
    stored::{peer, prepared},
};

#[test]
fn without_a_state_file_listings_say_so() {
    let place = Place::initialised();
    for command in [&["peers"][..], &["explain", "x"], &["rejections", "--json"]] {
        let ran = place.run(command);
        assert_eq!((ran.code, ran.out.as_str()), (3, ""), "{command:?}");
        assert!(
            ran.err.contains("no state file at state/attester.db") && ran.err.contains("attester serve"),
            "{}",
            ran.err
        );
    }
    assert!(!place.path("state/attester.db").exists(), "reading creates nothing");
}

#[test]
fn an_empty_state_file_is_listed_as_such() {
    let place = Place::initialised();
    place.fill(async |_| {});
    let ran = place.run(&["peers"]);
    assert_eq!((ran.code, ran.out.lines().count()), (0, 1), "{}", ran.out);
    assert!(ran.out.starts_with("PEER"), "{}", ran.out);
    assert_eq!(place.json(&["peers"]), (0, vec![]));
    assert_eq!(place.json(&["rejections"]), (0, vec![]));
    let ran = place.run(&["explain", "abc"]);
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    assert!(
        ran.err.contains("no peer") && ran.err.contains("\"abc\""),
        "{}",
        ran.err
    );
    assert_eq!(place.json(&["explain", "abc"]), (1, vec![]));
}

#[test]
fn peers_are_listed() {
    let (place, good, bad) = prepared();
    let ran = place.run(&["peers"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert!(!ran.out.contains('\u{1b}'), "no colour in a pipe");
    let of = |peer: &PeerRow| ran.out.lines().find(|line| line.starts_with(peer.id.as_str())).unwrap();
    let (line, other) = (of(&good), of(&bad));
    assert!(
        line.contains("verified") && line.contains("127.77.1.1:8443") && line.contains("enproxy,connect"),
        "{line}"
    );
    assert!(line.contains("4m ") && line.contains("s ago"), "{line}");
    assert!(other.contains("suspended") && other.ends_with("tls-timeout"), "{other}");

    let (code, objects) = place.json(&["peers"]);
    assert_eq!((code, objects.len()), (0, 2));
    let object = objects.iter().find(|object| object["peer"] == bad.id.as_str()).unwrap();
    assert_eq!(object["kind"], "peer");
    assert_eq!(object["name"], format!("peer-{}.peers.test", bad.id));
    assert_eq!(object["key"], bad.key.to_string());
    assert_eq!(object["address"], "127.77.2.1:8443");
    assert_eq!(object["protocols"], serde_json::json!(["enproxy", "connect"]));
    assert_eq!(
        (&object["standing"], &object["reason"], &object["detail"]),
        (&"suspended".into(), &"tls-timeout".into(), &"3 s".into())
    );
    assert_eq!(object["first_seen"], "2000-02-29T00:00:00.000000Z");
    assert_eq!(object["lease_until"], Value::Null);
    assert!(object["remedy"].as_str().unwrap().contains("TLS handshake"));
}

#[test]
fn listings_are_read_while_an_attester_writes() {
    let place = Place::initialised();
    place.fill(async |store| {
        store.record_peer(&peer(1, "verified")).await.unwrap();
        assert_eq!(place.json(&["peers"]).1.len(), 1);
        store.record_peer(&peer(2, "probing")).await.unwrap();
        assert_eq!(place.json(&["peers"]).1.len(), 2);
        let again = Store::open(&place.path("state/attester.db")).await.unwrap_err();
        assert!(again.to_string().contains("another attester"), "{again}");
    });
}

#[test]
fn listings_are_narrowed_down_and_ordered() {
    let (place, good, bad) = prepared();
    let mut old = peer(6, "retired");
    old.last_seen = Timestamp::from_secs(951_782_400);
    old.protocols = Protocols::new([Protocol::EnproxyPath]).unwrap();
    place.fill(async |store| store.record_peer(&old).await.unwrap());
    let listed = |arguments: &[&str]| -> Vec<String> {
        let (code, objects) = place.json(&[&["peers"], arguments].concat());
        assert_eq!(code, 0, "{arguments:?}");
        let id = |object: &Value| object["peer"].as_str().unwrap().to_owned();
        objects.iter().map(id).collect()
    };
    let is = |arguments: &[&str], expected: &[&PeerRow]| {
        let mut expected: Vec<&str> = expected.iter().map(|peer| peer.id.as_str()).collect();
        expected.sort_unstable();
        assert_eq!(listed(arguments), expected, "{arguments:?}");
    };
    is(&[], &[&good, &bad, &old]);
    is(&["--standing", "verified"], &[&good]);
    is(&["--standing", "verified,suspended"], &[&good, &bad]);
    is(&["--standing", "verified", "--standing", "retired"], &[&good, &old]);
    is(&["--standing", "verified", "--reason", "tls-timeout"], &[]);
    is(&["--reason", "tls-timeout"], &[&bad]);
    is(&["--protocol", "enproxy-path"], &[&old]);
    is(&["--protocol", "connect"], &[&good, &bad]);
    is(&["--address", "127.77.2.1"], &[&bad]);
    is(&["--address", "127.77.0.0/22"], &[&good, &bad]);
    is(&["--address", "127.77.2.1:8444"], &[]);
    is(&["--seen-within", "1h"], &[&good, &bad]);
    is(&["--not-seen-within", "1h"], &[&old]);
    is(&["--lease-within", "5m"], &[&good]);
    is(&["--lease-within", "10s"], &[]);
    let by_seen = listed(&["--sort", "seen", "--reverse", "--limit", "1"]);
    assert_eq!(by_seen, [old.id.to_string()]);
    assert_eq!(
        listed(&["--sort", "standing"]),
        [good.id.to_string(), bad.id.to_string(), old.id.to_string()]
    );
    assert_eq!(listed(&["--sort", "lease"])[0], good.id.as_str());
    let counted = place.run(&["peers", "--count", "--seen-within", "1h"]);
    assert_eq!((counted.code, counted.out.as_str()), (0, "2\n"));
    for (wrong, exists) in [
        (["--standing", "verifed"], "suspended"),
        (["--reason", "slow"], "tls-timeout"),
        (["--protocol", "socks"], "enproxy-path"),
        (["--sort", "age"], "first-seen"),
        (["--address", "127.77"], "192.0.2.0/24"),
        (["--seen-within", "5"], "24h"),
    ] {
        let ran = place.run(&[&["peers"], &wrong[..]].concat());
        assert!(ran.code == 2 && ran.err.contains(exists), "{wrong:?}: {}", ran.err);
    }
    let rejections = |arguments: &[&str]| place.json(&[&["rejections"], arguments].concat()).1.len();
    assert_eq!(rejections(&["--source", "127.77.0.0/16"]), 2);
    assert_eq!(rejections(&["--source", "127.77.0.0/16", "--limit", "1"]), 1);
    assert_eq!(rejections(&["--reason", "port-refused"]), 3);
    assert_eq!(rejections(&["--reason", "relay"]), 0);
}
