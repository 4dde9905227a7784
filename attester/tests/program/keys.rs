//! `attester keys`.

use std::{fs, path::PathBuf};

use serde_json::Value;

use crate::place::Place;

/// The keys of a keys.
struct Keys(Place);

impl Keys {
    fn new() -> Self {
        Self(Place::initialised())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path("state/keys").join(name)
    }

    /// Runs `attester keys`, which must do it.
    fn run(&self, arguments: &[&str]) -> String {
        let ran = self.0.run(&[&["keys"], arguments].concat());
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{arguments:?}");
        ran.out
    }

    /// Runs `attester keys`, which must refuse.
    fn refused(&self, arguments: &[&str]) -> (i32, String) {
        let ran = self.0.run(&[&["keys"], arguments].concat());
        assert!(ran.code != 0 && ran.out.is_empty(), "{arguments:?}: {}", ran.out);
        (ran.code, ran.err)
    }

    fn listed(&self) -> Vec<Value> {
        let (code, objects) = self.0.json(&["keys", "list"]);
        assert_eq!(code, 0);
        objects
    }

    /// The thumbprints of a role's keys in this state.
    fn with(&self, role: &str, state: &str) -> Vec<String> {
        let of = |key: &&Value| key["role"] == role && key["state"] == state;
        let thumbprint = |key: &Value| key["thumbprint"].as_str().unwrap().to_owned();
        self.listed().iter().filter(of).map(thumbprint).collect()
    }
}

#[test]
fn a_list_shows_every_key_and_how_long_the_keyset_lasts() {
    let keys = Keys::new();
    let table = keys.run(&["list"]);
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("ROLE"), "{table}");
    for (line, role, state) in [
        (lines[1], "root", "at hand"),
        (lines[2], "attester", "signing"),
        (lines[3], "origin", "signing"),
        (lines[4], "prober", "signing"),
    ] {
        assert!(line.starts_with(role) && line.contains(state), "{line}");
        assert!(line.ends_with(&format!("keys/{role}.key")), "{line}");
    }
    assert!(
        table.contains("keyset signed ") && table.contains("valid until "),
        "{table}"
    );

    let objects = keys.listed();
    assert_eq!(objects.len(), 5);
    assert_eq!(objects[4]["kind"], "keyset");
    assert_eq!(objects[4]["valid"], true);
    assert_eq!(objects[1]["key_id"].as_str().unwrap().len(), 64);
    let root = fs::read_to_string(keys.path("root.pub")).unwrap();
    assert_eq!(objects[0]["key"], root.trim());
}

#[test]
fn a_created_key_waits_and_a_rotation_takes_it() {
    let keys = Keys::new();
    let [old] = &keys.with("attester", "signing")[..] else {
        unreachable!("one key signs")
    };
    let out = keys.run(&["create", "attester"]);
    assert!(
        out.starts_with("wrote ") && out.contains("attester keys rotate attester"),
        "{out}"
    );
    let [waiting] = &keys.with("attester", "waiting")[..] else {
        unreachable!("one key waits")
    };
    let (code, told) = keys.refused(&["create", "attester"]);
    assert!(code == 3 && told.contains("waits already"), "{told}");

    let out = keys.run(&["rotate", "attester", "--overlap", "2h"]);
    assert!(
        out.starts_with(&format!(
            "attester: {waiting} signs from now on; {old} is accepted until 2"
        )),
        "{out}"
    );
    assert_eq!(keys.with("attester", "signing"), [waiting.as_str()]);
    assert_eq!(keys.with("attester", "accepted"), [old.as_str()]);
    let out = keys.run(&["rotate", "--all"]);
    assert_eq!(out.lines().count(), 4, "{out}");
    assert_eq!(keys.with("attester", "accepted").len(), 2);
}

#[test]
fn revoking_the_key_that_signs_says_what_takes_its_place() {
    let keys = Keys::new();
    let [old] = &keys.with("origin", "signing")[..] else {
        unreachable!("one key signs")
    };
    let out = keys.run(&["revoke", &old[..8], "--since", "2020-02-29 18:30:00"]);
    let [new] = &keys.with("origin", "signing")[..] else {
        unreachable!("one key signs")
    };
    assert!(
        out.starts_with(&format!(
            "revoked the origin key {old}: nothing that it signed from 2020-02-29 18:30:00 on counts\norigin: {new} signs from now on\n"
        )),
        "{out}"
    );
    assert!(keys.run(&["list"]).contains("revoked from 2020-02-29 18:30:00 on"));
    let out = keys.run(&["revoke", old]);
    assert!(
        out.contains("nothing that it signed counts") && !out.contains("signs from now on"),
        "{out}"
    );
    let (code, told) = keys.refused(&["revoke", old]);
    assert!(code == 3 && told.contains("revoked already for all time"), "{told}");
}

/// Who runs it once more, not sure whether it has done its work, loses no second key.
#[test]
fn a_role_is_not_revoked_twice_in_a_row() {
    let keys = Keys::new();
    keys.run(&["revoke", "attester"]);
    let [new] = &keys.with("attester", "signing")[..] else {
        unreachable!("one key signs")
    };
    let (code, told) = keys.refused(&["revoke", "attester"]);
    assert!(
        code == 2 && told.contains(&format!("attester keys revoke {new}")),
        "{told}"
    );
    assert_eq!(keys.with("attester", "signing"), [new.as_str()]);
    keys.run(&["revoke", new]);
}

#[test]
fn a_lost_keyset_is_signed_afresh_only_when_somebody_says_so() {
    let keys = Keys::new();
    fs::write(keys.path("keyset.cose"), "half").unwrap();
    for arguments in [&["sign"][..], &["list"], &["revoke", "origin"]] {
        let (code, told) = keys.refused(arguments);
        assert!(
            code == 3 && told.contains("attester keys sign --afresh"),
            "{arguments:?}: {told}"
        );
    }
    keys.run(&["sign", "--afresh"]);
    assert_eq!(keys.with("origin", "signing").len(), 1);
}

#[test]
fn few_places_for_revoked_keys_are_told() {
    let keys = Keys::new();
    let revoke = |seed: u8| {
        let stranger = proto::key::SigningKey::from_seed(&[seed; 32]).public();
        keys.run(&["revoke", &stranger.to_string()])
    };
    let told = "plan a new root";
    assert!((1..20).all(|seed| !revoke(seed).contains(told)));
    assert!(revoke(20).contains("20 of 24 places for revoked keys are taken"));
    assert!(keys.run(&["list"]).contains(told));
}

#[test]
fn mistakes_are_told_with_what_would_be_right() {
    let keys = Keys::new();
    for (arguments, code, words) in [
        (&["rotate"][..], 2, "<ROLES>..."),
        (&["rotate", "roots"], 2, "attester, origin, prober"),
        (&["rotate", "attester", "--all"], 2, "cannot be used with"),
        (&["rotate", "--all", "--overlap", "1s"], 2, "one minute to 29 days"),
        (&["rotate", "--all", "--overlap", "soon"], 2, "such as 24h"),
        (
            &["revoke", "attester", "--since", "2999-01-01"],
            2,
            "not from a time to come",
        ),
        (&["revoke", "attester", "--since", "once"], 2, "2026-11-22 18:30:00"),
        (&["revoke", "abcdefgh"], 1, "attester keys list"),
        (&["sign", "--root", "nowhere.key"], 3, "--root FILE"),
    ] {
        let (found, told) = keys.refused(arguments);
        assert!(found == code && told.contains(words), "{arguments:?}: {found} {told}");
    }
}

#[test]
fn a_root_key_that_is_kept_elsewhere_is_named() {
    let keys = Keys::new();
    let usb = keys.0.path("usb.key");
    fs::rename(keys.path("root.key"), &usb).unwrap();
    for arguments in [&["rotate", "--all"][..], &["revoke", "prober"], &["sign"]] {
        let (code, told) = keys.refused(arguments);
        assert!(
            code == 3 && told.contains("keys/root.key: say where it is with --root FILE"),
            "{told}"
        );
    }
    assert!(keys.run(&["list"]).contains("root      elsewhere"));
    let usb = usb.to_str().unwrap();
    let out = keys.run(&["sign", "--root", usb]);
    assert!(out.starts_with("signed the keyset: it is valid until "), "{out}");
    keys.run(&["rotate", "prober", "--root", usb]);
    keys.run(&["revoke", "prober", "--root", usb]);
    assert!(!keys.path("root.key").exists());

    let (_, told) = keys.refused(&["sign", "--root", keys.path("origin.key").to_str().unwrap()]);
    assert!(told.contains("not the root key of this attester"), "{told}");
}
