//! What C hands over, looked at before it is used: each pointer by name, so that a caller's mistake is told and not crashed on.

use std::{
    ffi::{CStr, c_char},
    ptr, slice,
};

use crate::error::{PeerAgentStatus, Problem};

/// A handle.
///
/// # Safety
/// `pointer` is NULL or points to a live `T`.
pub(crate) unsafe fn handle<'a, T>(pointer: *const T, name: &str) -> Result<&'a T, Problem> {
    // SAFETY: the caller's promise.
    unsafe { pointer.as_ref() }.ok_or_else(|| null(name))
}

/// A handle that nobody else uses at the same time.
///
/// # Safety
/// `pointer` is NULL or points to a live `T` that nobody else uses.
pub(crate) unsafe fn handle_mut<'a, T>(pointer: *mut T, name: &str) -> Result<&'a mut T, Problem> {
    // SAFETY: the caller's promise.
    unsafe { pointer.as_mut() }.ok_or_else(|| null(name))
}

/// A place for an answer, which is set to `nothing` at once.
///
/// # Safety
/// `pointer` is NULL or points to a writable `T`.
pub(crate) unsafe fn out<T>(pointer: *mut T, nothing: T, name: &str) -> Result<Place<T>, Problem> {
    if pointer.is_null() {
        return Err(null(name));
    }
    // SAFETY: the caller's promise.
    unsafe { pointer.write(nothing) };
    Ok(Place(pointer))
}

/// The same for a pointer to an answer.
///
/// # Safety
/// As [`out`].
pub(crate) unsafe fn out_pointer<T>(pointer: *mut *mut T, name: &str) -> Result<Place<*mut T>, Problem> {
    // SAFETY: the caller's promise.
    unsafe { out(pointer, ptr::null_mut(), name) }
}

/// Where an answer goes.
pub(crate) struct Place<T>(*mut T);

impl<T> Place<T> {
    pub(crate) fn set(self, value: T) {
        // SAFETY: it was looked at when this was made, and the caller waits for the answer.
        unsafe { self.0.write(value) };
    }
}

/// A text that ends with NUL.
///
/// # Safety
/// `pointer` is NULL or points to a string that ends with NUL.
pub(crate) unsafe fn text<'a>(pointer: *const c_char, name: &str) -> Result<&'a str, Problem> {
    if pointer.is_null() {
        return Err(null(name));
    }
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(pointer) }
        .to_str()
        .map_err(|_| Problem::new(PeerAgentStatus::InvalidUtf8, format!("{name} is not UTF-8")))
}

/// Bytes by pointer and length. NULL is right for no bytes.
///
/// # Safety
/// `pointer` is NULL or points to `length` bytes.
pub(crate) unsafe fn bytes<'a>(pointer: *const u8, length: usize, name: &str) -> Result<&'a [u8], Problem> {
    match (pointer.is_null(), length) {
        (true, 0) => Ok(&[]),
        (true, _) => Err(null(name)),
        // No object is that long: it is a negative number, most likely.
        (false, _) if isize::try_from(length).is_err() => Err(Problem::new(
            PeerAgentStatus::NullArgument,
            format!("the length of {name} cannot be {length}"),
        )),
        // SAFETY: the caller's promise.
        (false, _) => Ok(unsafe { slice::from_raw_parts(pointer, length) }),
    }
}

/// Takes back what was handed out, and sets the caller's variable to NULL, so that freeing twice does nothing.
///
/// # Safety
/// `pointer` is NULL, or points to NULL or to what `Box::into_raw` gave.
pub(crate) unsafe fn free<T>(pointer: *mut *mut T) {
    // SAFETY: the caller's promise.
    let Some(place) = (unsafe { pointer.as_mut() }) else {
        return;
    };
    let taken = std::mem::replace(place, ptr::null_mut());
    if !taken.is_null() {
        // SAFETY: the caller's promise.
        let value = unsafe { Box::from_raw(taken) };
        // A panic must not reach C, and there is no answer to tell it in.
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(value)));
    }
}

fn null(name: &str) -> Problem {
    Problem::new(PeerAgentStatus::NullArgument, format!("{name} is NULL"))
}
