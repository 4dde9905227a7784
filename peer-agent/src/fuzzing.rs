//! For the `fuzz` crate only, and no part of the interface: what reads a stranger's bytes and is private otherwise.

#[cfg(feature = "give")]
pub use crate::give::fuzzing::serve;
pub use crate::session::fuzzing::{Account, Deed, Ended, Observer, Session, Setting};
