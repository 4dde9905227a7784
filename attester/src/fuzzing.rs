//! For the `fuzz` crate only, and no part of the interface: what reads a stranger's bytes and is private otherwise. Each
//! part is in a `fuzzing` module of the edge that it belongs to.

pub use crate::{
    flashlight::fuzzing as flashlight, origin::fuzzing as origin, resolve::fuzzing as resolve,
    session::fuzzing as session,
};
