//! What real Go programs wrote, byte for byte (`tests/captures`): our codecs and both our state machines, cut at every point,
//! against values that an independent script derived from the same files (`tests/captures/derive.py`).
//!
//! * `codec`: each file through the codec of the side that would read it.
//! * `server`: what clients sent, to the give mode server; destinations say what they said then.
//! * `client`: what servers sent, to the prober.
//!
//! A file of up to 64 KiB is cut in two at every byte and fed byte by byte once. A longer one is a body for almost all of its
//! length, whose bytes our code passes on in runs without looking at them; what can go wrong lies at the edges of those runs. Such a
//! file is cut at each byte of its heads and about its size lines and ends, at the sizes of our buffers, and at a sample of other
//! places.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod caller;
mod client;
mod codec;
mod expected;
mod origin;
mod reading;
mod server;
mod tls;

use std::collections::BTreeSet;

use expected::{Capture, captures};

/// No case is skipped: each has a place in the tests here, and each that one of our two sides cannot play is named with the reason.
#[test]
fn every_case_is_played_or_has_a_reason() {
    let captures = captures();
    assert_eq!(captures.len(), 56, "a case was added or lost: what plays it?");
    let names: BTreeSet<&str> = captures.iter().map(|capture| capture.name.as_str()).collect();
    let is_tls = |capture: &&Capture| capture.connections.iter().all(|conn| conn.hello.is_some());
    let hellos = captures.iter().filter(is_tls).count();
    assert_eq!((hellos, captures.len() - hellos), (3, 53));
    let reasons = client::NOT_PLAYED
        .iter()
        .chain(server::OTHERWISE.iter().map(|(case, ..)| case));
    for case in reasons.chain(origin::RESETS) {
        assert!(names.contains(case), "there is no {case}");
    }
    let exchanges: usize = captures
        .iter()
        .flat_map(|capture| &capture.connections)
        .map(|conn| conn.exchanges.len())
        .sum();
    assert_eq!(exchanges, 106);
}
