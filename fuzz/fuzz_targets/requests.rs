//! See `fuzz::requests`.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::requests(bytes));

#[cfg(not(fuzzing))]
fn main() {
    fuzz::replay("requests", fuzz::requests);
}
