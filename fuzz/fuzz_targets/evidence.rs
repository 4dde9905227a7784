//! See `fuzz::evidence`.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::evidence(bytes));

#[cfg(not(fuzzing))]
fn main() {
    fuzz::replay("evidence", fuzz::evidence);
}
