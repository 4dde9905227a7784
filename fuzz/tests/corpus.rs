//! The committed corpora replay on a stable compiler, and random bytes besides.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::{fs, path::Path};

use proptest::prelude::*;

/// A target's name and body.
type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 4] = [
    ("claims", fuzz::claims),
    ("evidence", fuzz::evidence),
    ("requests", fuzz::requests),
    ("responses", fuzz::responses),
];

#[test]
fn every_committed_input_keeps_its_property() {
    for (target, body) in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
        let mut inputs = 0;
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            body(&fs::read(entry.unwrap().path()).unwrap());
            inputs += 1;
        }
        assert!(inputs > 0, "{} is empty", folder.display());
    }
}

proptest! {
    #[test]
    fn random_bytes_keep_every_property(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        for (_, body) in TARGETS {
            body(&bytes);
        }
    }
}
