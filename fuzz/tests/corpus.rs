//! The committed corpora replay on a stable compiler, the reproductions of what was once found with them, and random bytes
//! besides.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use fuzz::{NO_PANIC, TARGETS, Target};
use proptest::prelude::*;

/// The files of a target below a folder of this crate; none when there is no such folder.
fn files(folder: &str, target: &Target) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(target.name);
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Examines a file, and says which properties were checked.
fn keeps(target: &Target, file: &Path) -> Vec<&'static str> {
    let report = target.examine(&fs::read(file).unwrap());
    let broken: Vec<_> = report.broken_ones().collect();
    assert!(broken.is_empty(), "{}: {broken:?}", file.display());
    report.checked().collect()
}

#[test]
fn every_committed_input_keeps_every_property_and_every_property_is_checked_by_one() {
    for target in TARGETS {
        let inputs = files("corpus", target);
        assert!(!inputs.is_empty(), "{} has no corpus", target.name);
        let mut checked: BTreeMap<&str, usize> = BTreeMap::new();
        for input in &inputs {
            for name in keeps(target, input) {
                *checked.entry(name).or_default() += 1;
            }
        }
        // What is checked is declared, and what is declared is checked: none is skipped in silence.
        let declared: BTreeSet<&str> = target.properties.iter().chain([&NO_PANIC]).map(|it| it.name).collect();
        let found: BTreeSet<&str> = checked.keys().copied().collect();
        assert_eq!(found, declared, "{}", target.name);
        assert_eq!(
            declared.len(),
            target.properties.len() + 1,
            "{} has two of a name",
            target.name
        );
    }
}

#[test]
fn every_golden_vector_keeps_every_property() {
    let vectors = fuzz::seeds::vectors(Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap());
    assert!(vectors.len() > 1000, "{}", vectors.len());
    for vector in vectors {
        let report = fuzz::target(vector.target).unwrap().examine(&vector.bytes);
        let broken: Vec<_> = report.broken_ones().collect();
        assert!(broken.is_empty(), "{} for {}: {broken:?}", vector.name, vector.target);
    }
}

#[test]
fn what_was_found_stays_fixed() {
    let known: BTreeSet<&str> = TARGETS.iter().map(|target| target.name).collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("reproductions");
    for entry in fs::read_dir(&folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let of_target = entry.path().is_file() || known.contains(name.as_str());
        assert!(of_target, "{} is no target's", entry.path().display());
    }
    for target in TARGETS {
        for input in files("reproductions", target) {
            keeps(target, &input);
        }
    }
}

#[test]
fn corpora_are_small() {
    for target in TARGETS {
        let inputs = files("corpus", target);
        let total: u64 = inputs.iter().map(|input| input.metadata().unwrap().len()).sum();
        assert!(
            inputs.len() <= 120 && total <= 64 << 10,
            "{}: {} files, {total} bytes",
            target.name,
            inputs.len()
        );
    }
}

/// A program, a corpus and a line in the manifest for every target, and for nothing else.
#[test]
fn targets_programs_and_corpora_are_the_same() {
    let known: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    assert_eq!(known.len(), TARGETS.len(), "two targets of one name");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let names = |folder: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(root.join(folder)).unwrap();
        let stem = |path: PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
        entries.map(|entry| stem(entry.unwrap().path())).collect()
    };
    assert_eq!(names("fuzz_targets"), known);
    assert_eq!(names("corpus"), known);
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    for name in &known {
        let program = format!("name = \"{name}\"\npath = \"fuzz_targets/{name}.rs\"\nrequired-features = [\"fuzzer\"]");
        assert!(manifest.contains(&program), "Cargo.toml lacks the program of {name}");
        let source = fs::read_to_string(root.join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(source.contains(&format!("fuzz::program!(\"{name}\")")), "{source}");
    }
}

/// A broken property is what a fuzzer is told by a panic; and a panic is a broken property.
#[test]
fn a_broken_property_is_told() {
    const ODD: fuzz::Property = fuzz::Property {
        name: "odd",
        says: "inputs are of odd length",
    };
    let target = Target {
        name: "odd",
        says: "a target that can be broken",
        input: fuzz::Input::Bytes,
        properties: &[ODD],
        run: |input, report| {
            assert!(input.len() < 5, "too long");
            report.check(ODD, input.len() % 2 == 1, || "it is even".to_owned());
        },
    };
    assert_eq!(target.examine(b"abc").verdict(ODD), fuzz::Verdict::Held);
    assert_eq!(
        target.examine(b"ab").verdict(ODD),
        fuzz::Verdict::Broken("it is even".to_owned())
    );
    let report = target.examine(b"abcdef");
    assert_eq!(report.verdict(ODD), fuzz::Verdict::DidNotApply);
    assert_eq!(report.verdict(NO_PANIC), fuzz::Verdict::Broken("too long".to_owned()));
    target.fuzz(b"abc");
    let told = std::panic::catch_unwind(|| target.fuzz(b"ab")).unwrap_err();
    let Some(text) = told.downcast_ref::<String>() else {
        panic!("a panic without text")
    };
    assert!(text.contains("odd: odd: it is even"), "{text}");
}

proptest! {
    // What is found here is kept in `reproductions/`.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]
    #[test]
    fn random_bytes_keep_every_property(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        for target in TARGETS {
            let report = target.examine(&bytes);
            let broken: Vec<_> = report.broken_ones().collect();
            prop_assert!(broken.is_empty(), "{}: {:?}", target.name, broken);
        }
    }
}
