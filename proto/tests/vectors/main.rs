//! The golden vectors (`proto/vectors/*.json`): written from fixed seeds, and read back.
//!
//! `UPDATE_GENERATED=1 cargo test -p proto --test vectors` writes them anew. Their form is told in `proto/vectors/README.md`.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod accepted;
mod cast;
mod chains;
mod envelope;
mod evidence;
mod fields;
mod format;
mod probe;
mod read;
mod refused;
mod scene;
mod tunnel;
mod validator;

use std::{collections::BTreeMap, env, fs, sync::Once};

use format::{KeysFile, folder, written};

#[test]
fn the_committed_vectors_are_what_the_code_writes() {
    update_if_asked();
    let files = files();
    for (name, text) in &files {
        let committed = fs::read_to_string(folder().join(name)).unwrap_or_default();
        assert!(
            committed == *text,
            "vectors/{name} differs from what is written: run UPDATE_GENERATED=1 cargo test -p proto --test vectors"
        );
    }
    let listed = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let stray: Vec<String> = listed
        .filter(|name| name != "README.md" && !files.contains_key(name.as_str()))
        .collect();
    assert!(stray.is_empty(), "nobody writes {stray:?}");
}

/// Writes the files anew, once, before any of them is read.
fn update_if_asked() {
    static UPDATED: Once = Once::new();
    UPDATED.call_once(|| {
        if env::var_os("UPDATE_GENERATED").is_some() {
            for (name, text) in files() {
                fs::write(folder().join(name), text).unwrap();
            }
        }
    });
}

/// Every vector file with its text.
fn files() -> BTreeMap<&'static str, String> {
    let keys = KeysFile {
        about: "The parties of all other files, with their private seeds, and public keys that must be refused."
            .to_owned(),
        keys: accepted::key_vectors(),
        refused: refused::refused_keys(),
        refused_texts: refused::refused_texts(),
    };
    let mut files = BTreeMap::from([
        ("keys.json", written(&keys)),
        ("claims.json", accepted::file()),
        ("successions.json", chains::file()),
        ("evidence.json", evidence::file()),
        ("probe.json", probe::file()),
        ("tunnel.json", tunnel::file()),
    ]);
    files.extend(refused::files());
    files
}
