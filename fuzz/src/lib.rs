//! What reads a stranger's bytes, and the properties that it must keep.
//!
//! A [`Target`] is a plain function that holds named [`Property`]s against an input. Fuzzers explore it (`fuzz_targets/`),
//! its corpus replays on a stable compiler inside `cargo test`, and the program `fuzz-one` says of any file what each
//! property found: of the bytes of another implementation as well. `README.md` says how to run one, add one, and what to
//! do with a finding.

pub mod cbor;
pub mod choices;
pub mod claims;
pub mod config;
pub mod cose;
pub mod dns;
pub mod evidence;
pub mod give;
pub mod honest;
pub mod life;
pub mod origin;
pub mod prober;
pub mod registration;
pub mod seeds;
pub mod session;
pub mod stream;
pub mod tap;
pub mod target;
pub mod tunnel;

pub use target::{Input, NO_PANIC, Property, Report, Target, Verdict};

/// Every target, in the order of `fuzz-one --list`.
pub const TARGETS: &[Target] = &[
    cbor::TARGET,
    cose::TARGET,
    claims::ENVELOPES,
    claims::TARGET,
    claims::PAYLOADS,
    claims::BUILT,
    claims::SUCCESSIONS,
    evidence::TARGET,
    evidence::BUILT,
    registration::MESSAGES,
    registration::TARGET,
    session::ATTESTER,
    session::HEARD,
    session::AGENT,
    life::TARGET,
    tap::TARGET,
    tunnel::REQUESTS,
    tunnel::RESPONSES,
    tunnel::HEADS,
    give::TARGET,
    prober::TARGET,
    prober::ANSWERS,
    origin::TARGET,
    dns::QUERIES,
    dns::REPLIES,
    config::ATTESTER,
    config::AGENT,
];

/// The target of this name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// A program of `fuzz_targets/`: for a fuzzing compiler the fuzzer, for any other one a hint.
#[macro_export]
macro_rules! program {
    ($name:literal) => {
        #[cfg(fuzzing)]
        libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
            if let Some(target) = $crate::target($name) {
                target.fuzz(bytes);
            }
        });

        #[cfg(not(fuzzing))]
        fn main() {
            eprintln!(concat!(
                "built without a fuzzer. To fuzz: RUSTC_BOOTSTRAP=1 cargo fuzz run -s none --features fuzzer ",
                $name,
                ". To look at files: cargo run -p fuzz --bin fuzz-one -- ",
                $name,
                " FILE…"
            ));
            std::process::exit(2);
        }
    };
}
