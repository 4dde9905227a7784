//! For the `fuzz` crate and the tests over captures, and no part of the interface: what reads a stranger's bytes and is
//! private otherwise.

#[cfg(feature = "give")]
pub use crate::give::fuzzing::{Server, serve};
pub use crate::session::fuzzing::{Account, Deed, Ended, Observer, Session, Setting};
