//! See `fuzz-one --list`.
#![cfg_attr(fuzzing, no_main)]
fuzz::program!("envelopes");
