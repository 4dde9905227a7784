//! The seeds in `corpus/` are what the crates make today; with `UPDATE_GENERATED=1` they are written anew.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{env, fs, path::Path};

use fuzz::seeds::seeds;

#[test]
fn the_committed_seeds_are_what_is_made_today() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let update = env::var_os("UPDATE_GENERATED").is_some();
    let mut stale = Vec::new();
    for seed in seeds(root.parent().unwrap()) {
        let path = root
            .join("corpus")
            .join(seed.target)
            .join(format!("seed-{}", seed.name));
        if fs::read(&path).ok().as_ref() == Some(&seed.bytes) {
            continue;
        }
        if update {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &seed.bytes).unwrap();
        } else {
            stale.push(path);
        }
    }
    assert!(stale.is_empty(), "run with UPDATE_GENERATED=1: {stale:?}");
}

#[test]
fn seeds_have_names_of_their_own() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut names: Vec<_> = seeds(root.parent().unwrap())
        .into_iter()
        .map(|seed| (seed.target, seed.name))
        .collect();
    let all = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), all);
}
