//! See `fuzz::claims`.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::claims(bytes));

#[cfg(not(fuzzing))]
fn main() {
    fuzz::replay("claims", fuzz::claims);
}
