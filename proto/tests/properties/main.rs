//! What holds for every claim, evidence file and tunnel head, made-up ones and the golden ones: what is written is read back
//! as it was, what is read is written back as it was, and nothing near a signed claim is one.
#![expect(clippy::unwrap_used, reason = "tests")]

mod claims;
mod evidence;
mod spoilt;
mod strategies;
mod tunnel;
