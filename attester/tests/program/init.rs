//! `attester init`.

use std::{fs, path::Path};

use proto::key::{PublicKey, SigningKey};

use crate::place::Place;

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;

    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn init_writes_private_files_once() {
    let place = Place::new();
    let ran = place.run(&["init", "--local"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert_eq!(mode(&place.path("attester.toml")), 0o600);
    assert_eq!(mode(&place.path("state/keys")), 0o700);
    let keys = [
        "attester.key",
        "keys.lock",
        "keyset.cose",
        "origin.key",
        "prober.key",
        "root.key",
        "root.pub",
    ];
    let mut found: Vec<String> = fs::read_dir(place.path("state/keys"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    found.sort();
    assert_eq!(found, keys);
    for key in keys {
        assert_eq!(mode(&place.path(&format!("state/keys/{key}"))), 0o600, "{key}");
    }
    let root = SigningKey::read(&place.path("state/keys/root.key")).unwrap().public();
    assert_eq!(
        place.read("state/keys/root.pub").trim().parse::<PublicKey>().unwrap(),
        root
    );
    for line in [
        "wrote attester.toml",
        &format!("pin: {root}"),
        "attester serve",
        &format!("peer-agent init --state peer1 --attester 127.0.0.1:7443 --root {root}"),
        "dig @127.0.0.1 -p 7053 roundrobin.peers.test",
    ] {
        assert!(ran.out.contains(line), "{line:?} in {}", ran.out);
    }
    assert_eq!(place.run(&["check-config"]).code, 0);

    let (config, key) = (place.read("attester.toml"), place.read("state/keys/root.key"));
    let again = place.run(&["init"]);
    assert_eq!((again.code, again.out.as_str()), (3, ""));
    assert!(
        again.err.contains("attester.toml exists, and is never overwritten"),
        "{}",
        again.err
    );
    let other = place.run(&["init", "--config", "other.toml"]);
    assert_eq!(other.code, 3);
    assert!(
        other.err.contains("state/keys/root.key exists") && other.err.contains("never overwritten"),
        "{}",
        other.err
    );
    assert!(!place.path("other.toml").exists());
    assert_eq!(
        (place.read("attester.toml"), place.read("state/keys/root.key")),
        (config, key)
    );
}

#[test]
fn init_takes_folders_and_names_and_refuses_bad_ones() {
    let place = Place::new();
    let ran = place.run(&[
        "init",
        "--config",
        "etc/a.toml",
        "--state",
        "var",
        "--zone",
        "z.example",
        "--destination",
        "o.example:80",
    ]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(place.path("var/keys/root.key").exists());
    assert!(!ran.out.contains("# set"), "{}", ran.out);
    let checked = place.run(&["check-config", "--config", "etc/a.toml"]);
    assert!(checked.out.contains("rotation roundrobin.z.example"), "{}", checked.out);
    assert!(
        Place::new()
            .run(&["init"])
            .out
            .contains("# set dns.zone and origin.destination in attester.toml")
    );

    let place = Place::new();
    for (arguments, key) in [
        (["--zone", "a..b"], "dns.zone"),
        (["--destination", "[::1]:80"], "origin.destination"),
        (["--destination", "127.0.0.1:80"], "origin.destination"),
    ] {
        let ran = place.run(&[&["init"], &arguments[..]].concat());
        assert_eq!(ran.code, 2, "{}", ran.err);
        assert!(ran.err.contains(&format!(", key {key}: ")), "{}", ran.err);
    }
    assert_eq!(
        fs::read_dir(place.folder()).unwrap().count(),
        0,
        "nothing is written after a mistake"
    );
}
