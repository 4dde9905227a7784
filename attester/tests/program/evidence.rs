//! `attester evidence verify`, and what was revoked since: with the protocol's golden files, and keysets of the same root.

use data_encoding::HEXLOWER;
use proto::{
    checked::{Signed, sign},
    claims::{Keyset, Revoked, Role},
    evidence::Evidence,
    ids::Digest,
    key::SigningKey,
    time::Seconds,
};
use serde_json::Value;

use crate::place::Place;

/// A golden file and what its root can sign.
pub(crate) struct Golden {
    root: SigningKey,
    pub(crate) file: Vec<u8>,
    /// The keyset in the file.
    own: Keyset,
}

fn bytes(text: &Value) -> Vec<u8> {
    HEXLOWER.decode(text.as_str().unwrap().as_bytes()).unwrap()
}

impl Golden {
    /// The file of this name.
    pub(crate) fn named(name: &str) -> Self {
        let files: Value = serde_json::from_str(include_str!("../../../proto/vectors/evidence.json")).unwrap();
        let keys: Value = serde_json::from_str(include_str!("../../../proto/vectors/keys.json")).unwrap();
        let by_name = |list: &Value, name: &str| -> Value {
            let mut found = list.as_array().unwrap().iter().filter(|one| one["name"] == name);
            found.next().unwrap().clone()
        };
        let root = SigningKey::from_seed(&bytes(&by_name(&keys["keys"], "root")["seed"]).try_into().unwrap());
        let file = bytes(&by_name(&files["cases"], name)["file"]);
        let own = Evidence::decode(&file).unwrap().keyset.unwrap();
        let own = Signed::<Keyset>::parse(&own.0).unwrap().verify(&root.public()).unwrap();
        Self {
            root,
            file,
            own: own.dangerously_at_any_time(),
        }
    }

    pub(crate) fn root(&self) -> String {
        self.root.public().to_string()
    }

    /// A keyset signed so many seconds after the file's own that revokes the keys of a role.
    fn keyset(&self, later: i64, revoked: Option<Role>) -> Vec<u8> {
        let keys = self.own.keys.iter().filter(|entry| Some(entry.role) == revoked);
        let keyset = Keyset {
            issued_at: Seconds::new(self.own.issued_at.as_u64().checked_add_signed(later).unwrap()),
            revoked: keys
                .map(|entry| Revoked {
                    key: Digest::of(&entry.key.0),
                    since: Seconds::new(0),
                })
                .collect(),
            ..self.own.clone()
        };
        sign(&keyset, &self.root).unwrap()
    }

    /// A place with the file, and an attester's configuration and state beside a keyset of this root.
    fn place(&self, keyset: &[u8]) -> Place {
        let place = Place::initialised();
        place.fill(async |_| {});
        place.write("file", &self.file);
        place.write("state/keys/keyset.cose", keyset);
        place
    }
}

/// The exit status, the object and what people are told.
fn verified(golden: &Golden, place: &Place, with: &[&str]) -> (i32, Value, String) {
    let root = golden.root();
    let arguments = [&["evidence", "verify", "file", "--root", &root], with].concat();
    let (code, mut objects) = place.json(&arguments);
    let ran = place.run(&arguments);
    assert_eq!(ran.code, code, "{}", ran.err);
    let told = ran.out + &ran.err;
    let flat = told.split_whitespace().collect::<Vec<_>>().join(" ");
    (code, objects.pop().unwrap_or_default(), flat)
}

#[test]
fn without_a_keyset_nobody_knows_what_was_revoked_since() {
    let golden = Golden::named("proved");
    let place = golden.place(&[]);
    let (code, object, told) = verified(&golden, &place, &[]);
    assert_eq!(code, 0, "{told}");
    assert_eq!(
        (&object["revocations"], &object["revocations_as_of"]),
        (&"unknown".into(), &Value::Null)
    );
    let unknown = "revocations unknown since then: --keyset names the operator's newest keyset";
    assert!(told.contains(unknown), "{told}");
    // In a line each there is no room for it.
    let ran = place.run(&["evidence", "verify", "file", "file", "--root", &golden.root()]);
    assert_eq!(ran.code, 0);
    assert!(
        ran.err.contains("attester: revocations: unknown since then"),
        "{}",
        ran.err
    );
}

#[test]
fn a_configuration_brings_the_keyset_beside_its_state() {
    let golden = Golden::named("proved");
    let config = ["--config", "attester.toml"];
    let place = golden.place(&golden.keyset(10, None));
    let (code, object, told) = verified(&golden, &place, &config);
    assert_eq!((code, &object["revocations"]), (0, &"known".into()), "{told}");
    assert!(told.contains("revocations as the keyset of 2"), "{told}");
    for (role, check) in [
        (Role::Attester, "verdict"),
        (Role::Origin, "V2"),
        (Role::Prober, "observation"),
    ] {
        place.write("state/keys/keyset.cose", golden.keyset(10, Some(role)));
        let (code, object, told) = verified(&golden, &place, &config);
        let why = object["why"].as_str().unwrap();
        assert!(
            code == 5 && why.starts_with(check) && why.contains("key-revoked"),
            "{role}: {why} {told}"
        );
    }
    // Nothing says that nothing was revoked: neither a keyset that is gone nor one of another root.
    place.write("state/keys/keyset.cose", "no keyset");
    let (code, _, told) = verified(&golden, &place, &config);
    assert!(
        code == 3 && told.contains("keyset.cose is no keyset of this root"),
        "{told}"
    );
    std::fs::remove_file(place.path("state/keys/keyset.cose")).unwrap();
    let (code, _, told) = verified(&golden, &place, &config);
    assert!(
        code == 3 && told.contains("keyset.cose cannot be opened") && told.contains("--keyset"),
        "{told}"
    );
    place.write("named", golden.keyset(10, None));
    let named = [&config[..], &["--keyset", "named"]].concat();
    assert_eq!(verified(&golden, &place, &named).0, 0);
}

#[test]
fn of_two_keysets_the_newer_counts_and_one_older_than_the_files_own_is_told() {
    let golden = Golden::named("proved");
    let place = golden.place(&golden.keyset(10, Some(Role::Origin)));
    let both = ["--config", "attester.toml", "--keyset", "named"];
    for (later, code) in [(9, 5), (11, 0)] {
        place.write("named", golden.keyset(later, None));
        assert_eq!(verified(&golden, &place, &both).0, code, "{later}");
    }
    for (later, word) in [(-1, "older"), (0, "known"), (1, "known")] {
        place.write("named", golden.keyset(later, None));
        let (code, object, told) = verified(&golden, &place, &["--keyset", "named"]);
        assert_eq!((code, &object["revocations"]), (0, &word.into()), "{later}: {told}");
        assert!(object["revocations_as_of"].is_string(), "{object}");
        let warned = "attester: file: revocations: unknown since then: the keyset that was looked at is of ";
        assert_eq!(told.contains(warned), word == "older", "{later}: {told}");
    }
}
