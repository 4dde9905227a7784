//! See `fuzz::responses`.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::responses(bytes));

#[cfg(not(fuzzing))]
fn main() {
    fuzz::replay("responses", fuzz::responses);
}
