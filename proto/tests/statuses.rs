//! The statuses of `README.md`, section 5, are those that the attester's sessions end with: no more, no fewer.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{collections::BTreeSet, fs, path::Path};

#[test]
fn the_statuses_of_the_text_are_those_of_the_code() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let table = readme.split("<!-- statuses -->").nth(1).unwrap();
    let rows = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let told: BTreeSet<String> = rows.map(str::to_owned).collect();
    assert_eq!(told, given(&root.join("../attester/src/session")));

    // A machine that ends with a status ends with one of these.
    let machine = readme.split("\n### Attester, in one session\n").nth(1).unwrap();
    let machine = machine.split("\n### ").next().unwrap();
    let ends = machine
        .lines()
        .filter_map(|line| line.split("over: ").nth(1)?.split(' ').next());
    let ends: BTreeSet<String> = ends.map(str::to_owned).collect();
    let strange: Vec<_> = ends.difference(&told).collect();
    assert!(strange.is_empty() && ends.len() > 5, "{strange:?} of {ends:?}");
}

/// Every status that the code makes, in the words of gRPC.
fn given(folder: &Path) -> BTreeSet<String> {
    let mut given = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() || ["tests.rs", "fuzzing.rs"].contains(&name.as_str()) {
            continue;
        }
        let source = fs::read_to_string(&path).unwrap();
        for made in source.split("Status::").skip(1) {
            let constructor = made
                .split(|letter: char| !letter.is_ascii_lowercase() && letter != '_')
                .next()
                .unwrap();
            given.insert(constructor.to_ascii_uppercase());
        }
        assert!(!source.contains("Code::"), "{name} makes a status in another way");
    }
    given
}
