//! `attester keys` as its user meets it.
#![expect(clippy::unwrap_used, clippy::unreachable, reason = "tests")]

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
};

use serde_json::Value;
use tempfile::TempDir;

/// A folder with a configuration and keys.
struct Place(TempDir);

struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        let ran = place.attester(&["init", "--local"]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join("state/keys").join(name)
    }

    fn attester(&self, arguments: &[&str]) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_attester"));
        let Output { status, stdout, stderr } = command.args(arguments).current_dir(self.0.path()).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran {
            code: status.code().unwrap(),
            out: text(stdout),
            err: text(stderr),
        }
    }

    /// Runs `attester keys`, which must do it.
    fn keys(&self, arguments: &[&str]) -> String {
        let ran = self.attester(&[&["keys"], arguments].concat());
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{arguments:?}");
        ran.out
    }

    /// Runs `attester keys`, which must refuse.
    fn refused(&self, arguments: &[&str]) -> (i32, String) {
        let ran = self.attester(&[&["keys"], arguments].concat());
        assert!(ran.code != 0 && ran.out.is_empty(), "{arguments:?}: {}", ran.out);
        (ran.code, ran.err)
    }

    fn listed(&self) -> Vec<Value> {
        let out = self.keys(&["list", "--json"]);
        out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
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
    let place = Place::new();
    let table = place.keys(&["list"]);
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

    let objects = place.listed();
    assert_eq!(objects.len(), 5);
    assert_eq!(objects[4]["kind"], "keyset");
    assert_eq!(objects[4]["valid"], true);
    assert_eq!(objects[1]["key_id"].as_str().unwrap().len(), 64);
    let root = fs::read_to_string(place.path("root.pub")).unwrap();
    assert_eq!(objects[0]["key"], root.trim());
}

#[test]
fn a_created_key_waits_and_a_rotation_takes_it() {
    let place = Place::new();
    let [old] = &place.with("attester", "signing")[..] else {
        unreachable!("one key signs")
    };
    let out = place.keys(&["create", "attester"]);
    assert!(
        out.starts_with("wrote ") && out.contains("attester keys rotate attester"),
        "{out}"
    );
    let [waiting] = &place.with("attester", "waiting")[..] else {
        unreachable!("one key waits")
    };
    let (code, told) = place.refused(&["create", "attester"]);
    assert!(code == 3 && told.contains("waits already"), "{told}");

    let out = place.keys(&["rotate", "attester", "--overlap", "2h"]);
    assert!(
        out.starts_with(&format!(
            "attester: {waiting} signs from now on; {old} is accepted until 2"
        )),
        "{out}"
    );
    assert_eq!(place.with("attester", "signing"), [waiting.as_str()]);
    assert_eq!(place.with("attester", "accepted"), [old.as_str()]);
    let out = place.keys(&["rotate", "--all"]);
    assert_eq!(out.lines().count(), 4, "{out}");
    assert_eq!(place.with("attester", "accepted").len(), 2);
}

#[test]
fn revoking_the_key_that_signs_says_what_takes_its_place() {
    let place = Place::new();
    let [old] = &place.with("origin", "signing")[..] else {
        unreachable!("one key signs")
    };
    let out = place.keys(&["revoke", &old[..8], "--since", "2020-02-29 18:30:00"]);
    let [new] = &place.with("origin", "signing")[..] else {
        unreachable!("one key signs")
    };
    assert!(
        out.starts_with(&format!(
            "revoked the origin key {old}: nothing that it signed from 2020-02-29 18:30:00 on counts\norigin: {new} signs from now on\n"
        )),
        "{out}"
    );
    assert!(place.keys(&["list"]).contains("revoked from 2020-02-29 18:30:00 on"));
    let out = place.keys(&["revoke", old]);
    assert!(
        out.contains("nothing that it signed counts") && !out.contains("signs from now on"),
        "{out}"
    );
    let (code, told) = place.refused(&["revoke", old]);
    assert!(code == 3 && told.contains("revoked already for all time"), "{told}");
}

/// Who runs it once more, not sure whether it has done its work, loses no second key.
#[test]
fn a_role_is_not_revoked_twice_in_a_row() {
    let place = Place::new();
    place.keys(&["revoke", "attester"]);
    let [new] = &place.with("attester", "signing")[..] else {
        unreachable!("one key signs")
    };
    let (code, told) = place.refused(&["revoke", "attester"]);
    assert!(
        code == 2 && told.contains(&format!("attester keys revoke {new}")),
        "{told}"
    );
    assert_eq!(place.with("attester", "signing"), [new.as_str()]);
    place.keys(&["revoke", new]);
}

#[test]
fn a_lost_keyset_is_signed_afresh_only_when_somebody_says_so() {
    let place = Place::new();
    fs::write(place.path("keyset.cose"), "half").unwrap();
    for arguments in [&["sign"][..], &["list"], &["revoke", "origin"]] {
        let (code, told) = place.refused(arguments);
        assert!(
            code == 3 && told.contains("attester keys sign --afresh"),
            "{arguments:?}: {told}"
        );
    }
    place.keys(&["sign", "--afresh"]);
    assert_eq!(place.with("origin", "signing").len(), 1);
}

#[test]
fn few_places_for_revoked_keys_are_told() {
    let place = Place::new();
    let revoke = |seed: u8| {
        let stranger = proto::key::SigningKey::from_seed(&[seed; 32]).public();
        place.keys(&["revoke", &stranger.to_string()])
    };
    let told = "plan a new root";
    assert!((1..20).all(|seed| !revoke(seed).contains(told)));
    assert!(revoke(20).contains("20 of 24 places for revoked keys are taken"));
    assert!(place.keys(&["list"]).contains(told));
}

#[test]
fn mistakes_are_told_with_what_would_be_right() {
    let place = Place::new();
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
        let (found, told) = place.refused(arguments);
        assert!(found == code && told.contains(words), "{arguments:?}: {found} {told}");
    }
}

#[test]
fn a_root_key_that_is_kept_elsewhere_is_named() {
    let place = Place::new();
    let usb = place.0.path().join("usb.key");
    fs::rename(place.path("root.key"), &usb).unwrap();
    for arguments in [&["rotate", "--all"][..], &["revoke", "prober"], &["sign"]] {
        let (code, told) = place.refused(arguments);
        assert!(
            code == 3 && told.contains("keys/root.key: say where it is with --root FILE"),
            "{told}"
        );
    }
    assert!(place.keys(&["list"]).contains("root      elsewhere"));
    let usb = usb.to_str().unwrap();
    let out = place.keys(&["sign", "--root", usb]);
    assert!(out.starts_with("signed the keyset: it is valid until "), "{out}");
    place.keys(&["rotate", "prober", "--root", usb]);
    place.keys(&["revoke", "prober", "--root", usb]);
    assert!(!place.path("root.key").exists());

    let (_, told) = place.refused(&["sign", "--root", place.path("origin.key").to_str().unwrap()]);
    assert!(told.contains("not the root key of this attester"), "{told}");
}
