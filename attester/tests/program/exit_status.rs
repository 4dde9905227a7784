//! Each exit status, produced; and the table of them, wherever it is written.

use std::collections::BTreeSet;

use data_encoding::HEXLOWER;
use proto::key::PublicKey;
use serde_json::Value;

use crate::{
    place::{Place, compare},
    scripted::{Script, Scripted},
};

/// The rows of the table in `--help`: status, who must act, why.
fn table(place: &Place) -> Vec<(i32, String, String)> {
    let help = place.run(&["--help"]).out;
    let rows = help.split("Exit status, who must act, and why:\n").nth(1).unwrap();
    let rows = rows.lines().take_while(|line| !line.is_empty());
    let row = |line: &str| {
        let (code, rest) = line.trim_start().split_once("  ").unwrap();
        let (who, why) = rest.split_at(10);
        (code.parse().unwrap(), who.trim().to_owned(), why.trim().to_owned())
    };
    rows.map(row).collect()
}

#[test]
fn each_is_produced() {
    let place = Place::initialised();
    let mut produced = vec![
        (place.run(&["check-config"]).code, 0),
        (place.run(&["--version"]).code, 0),
        (place.run(&["peers", "--no-such-flag"]).code, 2),
        (place.run(&["peers", "--config", "nowhere.toml"]).code, 2),
        (place.run(&["peers"]).code, 3),
    ];
    place.fill(async |_| {});
    produced.push((place.run(&["explain", "nobody"]).code, 1));
    // The keys in the way of a second start.
    produced.push((place.run(&["init", "--config", "other.toml"]).code, 3));

    for (index, (code, expected)) in produced.iter().enumerate() {
        assert_eq!(code, expected, "{index}");
    }
    let listed: Vec<i32> = table(&place).into_iter().map(|(code, ..)| code).collect();
    assert_eq!(listed, [0, 1, 2, 3, 4, 5, 6, 7]);
}

/// A peer that carries, one that does not, and one of which nobody can tell, since it may not reach the origin.
#[test]
fn each_is_produced_by_probes() {
    let place = Place::new();
    let refuses = Script::Refuses("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n");
    let away = ["--origin=127.0.0.1:0", "--destination", "origin.example:80"];
    let cases: [(Script, &[&str], i32); 3] = [(Script::Carries, &[], 0), (refuses, &[], 6), (refuses, &away, 7)];
    for (script, more, expected) in cases {
        let peer = Scripted::start(script);
        let address = peer.address.to_string();
        let ran = place.run(&[&["probe", &address, "--protocol", "connect"], more].concat());
        assert_eq!(ran.code, expected, "{script:?}: {}{}", ran.out, ran.err);
    }
}

/// The evidence of the protocol's vectors: a proof, what is no proof, and what is no evidence.
#[test]
fn each_is_produced_by_evidence() {
    let place = Place::new();
    let vectors: Value = serde_json::from_str(include_str!("../../../proto/vectors/evidence.json")).unwrap();
    let bytes = |text: &Value| HEXLOWER.decode(text.as_str().unwrap().as_bytes()).unwrap();
    let root = PublicKey::from_bytes(&bytes(&vectors["root"]).try_into().unwrap())
        .unwrap()
        .to_string();
    let mut produced = BTreeSet::new();
    let files = ["cases", "refused"]
        .iter()
        .flat_map(|list| vectors[list].as_array().unwrap());
    for case in files {
        place.write("file", bytes(&case["file"]));
        produced.insert(place.run(&["evidence", "verify", "file", "--root", &root]).code);
    }
    assert!(produced.is_superset(&BTreeSet::from([0, 4, 5])), "{produced:?}");
}

#[test]
fn the_readme_has_the_table() {
    let place = Place::new();
    let readme = include_str!("../../README.md");
    let mut parts = readme.split("<!-- exit status -->");
    let (before, old, after) = (parts.next().unwrap(), parts.next(), parts.next().unwrap_or_default());
    assert!(old.is_some(), "the markers are there");
    let mut text = String::from("\n| status | who must act | what happened |\n| --- | --- | --- |\n");
    for (code, who, why) in table(&place) {
        text += &format!("| {code} | {who} | {why} |\n");
    }
    compare(
        "README.md",
        &format!("{before}<!-- exit status -->{text}<!-- exit status -->{after}"),
    );
}
