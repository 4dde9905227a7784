//! Evidence files, made-up and golden.

use proptest::{collection::vec, option, prelude::*};
use proto::{
    claims::EvidenceKind,
    evidence::{Blob, Evidence},
    ids::Digest,
};

use crate::{
    claims::change,
    spoilt::{file, hex, list, text},
};

/// Any file: each claim is there or not, and is any bytes.
fn evidence() -> impl Strategy<Value = Evidence> {
    let blob = || option::of(vec(any::<u8>(), 0..300).prop_map(Blob));
    (blob(), blob(), blob(), blob(), blob(), blob(), blob(), blob()).prop_map(|blobs| Evidence {
        keyset: blobs.0,
        registration: blobs.1,
        announcement: blobs.2,
        challenge: blobs.3,
        statement: blobs.4,
        observation: blobs.5,
        receipt: blobs.6,
        verdict: blobs.7,
    })
}

proptest! {
    #[test]
    fn files_come_back(evidence in evidence()) {
        let bytes = evidence.encode().unwrap();
        let read = Evidence::decode(&bytes).unwrap();
        prop_assert_eq!(&read, &evidence);
        prop_assert_eq!(read.encode().unwrap(), bytes);
        let listed = evidence.digests();
        for kind in EvidenceKind::ALL {
            prop_assert_eq!(listed.get(&kind.number()).copied(), evidence.claim(*kind).map(Digest::of));
        }
    }

    #[test]
    fn no_other_bytes_are_read(evidence in evidence(), changes in vec(change(), 1..6)) {
        let mut bytes = evidence.encode().unwrap();
        for change in changes {
            if bytes.is_empty() {
                break;
            }
            bytes = change.of(&bytes);
            if let Ok(read) = Evidence::decode(&bytes) {
                prop_assert_eq!(read.encode().unwrap(), bytes.clone());
            }
        }
    }
}

/// A changed bit is refused, or is in one of the claims, whose digest the verdict lists and whose signature covers it.
#[test]
fn a_flipped_bit_of_a_golden_file_is_in_a_claim_or_refused() {
    let golden = file("evidence.json");
    let proved = list(&golden, "cases")
        .find(|case| text(case, "name") == "proved")
        .unwrap();
    let bytes = hex(proved, "file");
    let evidence = Evidence::decode(&bytes).unwrap();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            if let Ok(read) = Evidence::decode(&flipped) {
                let same = read.digests() == evidence.digests() && read.verdict == evidence.verdict;
                assert!(!same, "bit {bit} of byte {at}");
            }
        }
        assert!(Evidence::decode(&bytes[..at]).is_err(), "cut at {at}");
    }
    for byte in 0..=u8::MAX {
        assert!(
            Evidence::decode(&[&bytes[..], &[byte]].concat()).is_err(),
            "{byte} after it"
        );
    }
}
