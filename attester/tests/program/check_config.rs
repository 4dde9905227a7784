//! `attester check-config`.

use std::{fs, net::TcpListener};

use serde_json::{Value, json};

use crate::place::Place;

fn objects(place: &Place, arguments: &[&str]) -> (i32, Vec<Value>) {
    place.json(&[&["check-config"], arguments].concat())
}

#[test]
fn mistakes_are_objects_for_programs_and_lines_for_people() {
    let place = Place::new();
    place.write(
        "attester.toml",
        "[dns]\nzone = \"a..b\"\nsampel = 3\n[admission]\nproofs = 1\nlease = 5\n[admin]\nlisten = \"0.0.0.0:7443\"\n",
    );
    let ran = place.run(&["check-config"]);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""));
    for line in [
        "attester.toml cannot be used:\n",
        "\n  line 2, key dns.zone: ",
        "\n  line 3, key dns.sampel: there is no such key; did you mean sample?\n",
        "\n  line 6, key admission.lease: expected a duration from 1s to 7d",
        "\n  line 8, key admin.listen: ",
        "attester.toml is risky:\n",
        "\n  line 5, key admission.proofs: one proof admits",
    ] {
        assert!(ran.err.contains(line), "{line:?} in\n{}", ran.err);
    }
    let (code, all) = objects(&place, &[]);
    assert_eq!(code, 2);
    let of = |kind: &str| -> Vec<(u64, &str)> {
        let some = all.iter().filter(|object| object["kind"] == kind);
        some.map(|object| (object["line"].as_u64().unwrap(), object["key"].as_str().unwrap()))
            .collect()
    };
    let lines: Vec<u64> = of("mistake").into_iter().map(|(line, _)| line).collect();
    assert!([2, 3, 6, 8].iter().all(|line| lines.contains(line)), "{lines:?}");
    assert!(of("risk").contains(&(5, "admission.proofs")));
    let result = all.last().unwrap();
    assert_eq!(result["usable"], false);
    assert_eq!(result["mistakes"], lines.len());
    assert_eq!(result["exit"], 2);
}

#[test]
fn contradictions_have_both_lines() {
    let place = Place::initialised();
    let config = place.read("attester.toml");
    place.write(
        "attester.toml",
        format!("{config}\n")
            .replace("#lease = \"300s\"", "lease = \"20s\"")
            .replace("#interval = \"60s\"", "interval = \"90s\""),
    );
    let line = |key: &str| {
        let text = place.read("attester.toml");
        text.lines().position(|line| line.starts_with(key)).unwrap() + 1
    };
    let (code, all) = objects(&place, &[]);
    assert_eq!((code, &all.last().unwrap()["mistakes"]), (2, &json!(1)));
    assert_eq!(
        (&all[0]["kind"], &all[0]["line"]),
        (&json!("mistake"), &json!(line("lease")))
    );
    assert_eq!(
        all[0]["also"],
        json!([{ "key": "admission.interval", "line": line("interval") }])
    );
}

#[test]
fn risks_are_mistakes_for_the_strict() {
    let place = Place::initialised();
    let config = place.read("attester.toml");
    place.write("attester.toml", config.replace("#proofs = 3", "proofs = 1"));
    let ran = place.run(&["check-config"]);
    assert_eq!(ran.code, 0);
    assert!(
        ran.out.contains("can be used") && ran.err.contains("admission.proofs"),
        "{}{}",
        ran.out,
        ran.err
    );
    assert_eq!(place.run(&["check-config", "--strict"]).code, 2);
    let (code, all) = objects(&place, &["--strict"]);
    assert_eq!((code, &all.last().unwrap()["exit"]), (2, &json!(2)));
}

#[test]
fn the_file_is_looked_at_alone_and_the_machine_when_asked() {
    let place = Place::initialised();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = place.read("attester.toml");
    let address = taken.local_addr().unwrap();
    let busy = config.replace("[origin]\n", "[origin]\n#").replacen(
        "listen = \"127.0.0.1:0\"",
        &format!("listen = \"{address}\""),
        1,
    );
    place.write("attester.toml", busy);
    // Another machine's ports and keys are nobody's mistake here.
    assert_eq!(place.run(&["check-config"]).code, 0);
    let (code, all) = objects(&place, &["--machine"]);
    assert_eq!(code, 3);
    let found = |check: &str| {
        let object = all.iter().find(|object| object["check"] == check).unwrap();
        object["found"].as_str().unwrap().to_owned()
    };
    assert_eq!(found("attester.listen"), "in-the-way");
    assert_eq!(found("admin.listen"), "fine");
    assert_eq!(found("keys"), "fine");
    assert_eq!(found("state file"), "fine");
    assert!(!place.path("state/attester.db").exists(), "looking makes nothing");

    // Whoever is being started in another thread may hold a copy of the socket for a moment: so not the same port.
    place.write("attester.toml", &config);
    assert_eq!(objects(&place, &["--machine"]).0, 0);
    drop(taken);
    std::fs::remove_file(place.path("state/keys/prober.key")).unwrap();
    let ran = place.run(&["check-config", "--machine"]);
    assert_eq!(ran.code, 3);
    assert!(ran.out.contains("keys                in-the-way"), "{}", ran.out);
    place.write(
        "state/attester.db",
        "this is no database, but it is long enough to look like none",
    );
    let ran = place.run(&["check-config", "--machine"]);
    assert!(ran.out.contains("state file          in-the-way"), "{}", ran.out);
}

#[test]
fn mistakes_are_told_with_line_and_key_by_every_command() {
    let place = Place::initialised();
    let config = place.read("attester.toml");
    let line = config.lines().position(|line| line == "#lease = \"300s\"").unwrap() + 1;
    fs::write(
        place.path("attester.toml"),
        config.replace("#lease = \"300s\"", "lease = \"300\""),
    )
    .unwrap();
    for command in [
        &["check-config"][..],
        &["serve"],
        &["peers"],
        &["explain", "x"],
        &["rejections"],
    ] {
        let ran = place.run(command);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{command:?}");
        let expected = format!(
            "\n  line {line}, key admission.lease: expected a duration from 1s to 7d, such as \"3s\", found \"300\"\n"
        );
        assert!(ran.err.contains(&expected), "{}", ran.err);
    }
    let ran = place.run(&["peers", "--config", "nowhere.toml"]);
    assert_eq!(ran.code, 2);
    assert!(
        ran.err.contains("no configuration at nowhere.toml") && ran.err.contains("attester init"),
        "{}",
        ran.err
    );
    for wrong in [
        &["peers", "--jsonn"][..],
        &["explain"],
        &[],
        &["explain", "x", "--limit", "-1"],
    ] {
        assert_eq!(place.run(wrong).code, 2, "{wrong:?}");
    }
    let help = place.run(&["--help"]);
    assert_eq!(help.code, 0);
}
