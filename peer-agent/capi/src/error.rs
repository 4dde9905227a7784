//! What every function answers: a status, and a sentence beside it when something went wrong.

use std::{
    ffi::{CStr, CString, c_char},
    panic::{AssertUnwindSafe, catch_unwind},
    ptr,
};

/// What a function answers.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerAgentStatus {
    /// It is done.
    Ok = 0,
    /// The caller's mistake: a pointer that must not be NULL is, or a length and a pointer do not go together.
    NullArgument = 1,
    /// The caller's mistake: a text is not UTF-8.
    InvalidUtf8 = 2,
    /// A setting cannot work; the message says which, and what would be right.
    InvalidSetting = 3,
    /// The peer's identity, or a file that belongs to it, cannot be read or made; the message says what to do about the file.
    Identity = 4,
    /// The system gave no thread or other resource.
    System = 5,
    /// No error object: the agent has been stopped.
    Stopped = 6,
    /// No error object: it did not happen within the limit.
    TimedOut = 7,
    /// No error object: nothing more is wanted of this flow. To report more does no harm.
    FlowOver = 8,
    /// A defect of this library. The call did nothing or a part; other handles are not touched. Please report the message.
    Panic = 9,
}

impl PeerAgentStatus {
    const fn name(self) -> &'static CStr {
        match self {
            Self::Ok => c"ok",
            Self::NullArgument => c"null-argument",
            Self::InvalidUtf8 => c"invalid-utf8",
            Self::InvalidSetting => c"invalid-setting",
            Self::Identity => c"identity",
            Self::System => c"system",
            Self::Stopped => c"stopped",
            Self::TimedOut => c"timed-out",
            Self::FlowOver => c"flow-over",
            Self::Panic => c"panic",
        }
    }

    fn of_number(number: u32) -> Option<Self> {
        let all = [
            Self::Ok,
            Self::NullArgument,
            Self::InvalidUtf8,
            Self::InvalidSetting,
            Self::Identity,
            Self::System,
            Self::Stopped,
            Self::TimedOut,
            Self::FlowOver,
            Self::Panic,
        ];
        all.into_iter().find(|status| *status as u32 == number)
    }
}

/// Why a call failed. Its texts live as long as it does.
#[derive(Debug)]
pub struct PeerAgentError {
    status: PeerAgentStatus,
    message: CString,
}

/// A failed call, inside.
#[derive(Debug)]
pub(crate) struct Problem {
    status: PeerAgentStatus,
    message: String,
}

impl Problem {
    pub(crate) fn new(status: PeerAgentStatus, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
        }
    }

    /// With the whole chain of causes, from the operation to the system's words.
    pub(crate) fn of(status: PeerAgentStatus, error: &dyn std::error::Error) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(error) = source {
            message = format!("{message}: {error}");
            source = error.source();
        }
        Self { status, message }
    }
}

/// A function's body between C and Rust: the error is nulled first, a panic stops here, and what went wrong is handed out.
pub(crate) fn entry(
    error_out: *mut *mut PeerAgentError,
    body: impl FnOnce() -> Result<PeerAgentStatus, Problem>,
) -> PeerAgentStatus {
    if !error_out.is_null() {
        // SAFETY: the contract: NULL, or a place for a pointer.
        unsafe { error_out.write(ptr::null_mut()) };
    }
    // What a panic leaves behind is the agent's own state, whose locks are taken over when they are poisoned.
    let result = catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| {
        let words = panic.downcast_ref::<&str>().map(|words| (*words).to_owned());
        let words = words.or_else(|| panic.downcast_ref::<String>().cloned());
        let words = words.unwrap_or_else(|| "without words".to_owned());
        Err(Problem::new(
            PeerAgentStatus::Panic,
            format!("peer-agent has a defect, please report it: {words}"),
        ))
    });
    match result {
        Ok(status) => status,
        Err(Problem { status, message }) => {
            if !error_out.is_null() {
                let message = CString::new(message.replace('\0', " ")).unwrap_or_default();
                let error = Box::new(PeerAgentError { status, message });
                // SAFETY: as above.
                unsafe { error_out.write(Box::into_raw(error)) };
            }
            status
        }
    }
}

/// The status that came with the error. PEER_AGENT_STATUS_OK for NULL.
///
/// # Safety
/// `error` is NULL or an error that was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peer_agent_error_status(error: *const PeerAgentError) -> PeerAgentStatus {
    // SAFETY: the caller's promise.
    unsafe { error.as_ref() }.map_or(PeerAgentStatus::Ok, |error| error.status)
}

/// What went wrong and what to do about it, in a sentence. Valid until the error is freed; the empty string for NULL.
///
/// # Safety
/// `error` is NULL or an error that was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peer_agent_error_message(error: *const PeerAgentError) -> *const c_char {
    // SAFETY: the caller's promise.
    unsafe { error.as_ref() }.map_or(c"".as_ptr(), |error| error.message.as_ptr())
}

/// Frees an error and sets the caller's variable to NULL. Does nothing for NULL, or for a variable that is NULL already.
///
/// # Safety
/// `error` is NULL, or points to NULL or an error that was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peer_agent_error_free(error: *mut *mut PeerAgentError) {
    // SAFETY: the caller's promise.
    unsafe { crate::arguments::free(error) };
}

/// A status in one word, such as "invalid-setting"; "unknown" for a number that is none. It is not to be freed.
#[unsafe(no_mangle)]
pub extern "C" fn peer_agent_status_name(status: u32) -> *const c_char {
    let name = PeerAgentStatus::of_number(status).map_or(c"unknown", PeerAgentStatus::name);
    name.as_ptr()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_stops_here_and_is_told() {
        let mut error = ptr::null_mut();
        #[expect(clippy::panic, reason = "what is tested")]
        let status = entry(&raw mut error, || panic!("the words of it"));
        assert_eq!(status, PeerAgentStatus::Panic);
        // SAFETY: `entry` made it, and it is freed once.
        unsafe {
            assert_eq!(peer_agent_error_status(error), PeerAgentStatus::Panic);
            let message = CStr::from_ptr(peer_agent_error_message(error)).to_string_lossy();
            assert!(
                message.contains("the words of it") && message.contains("report"),
                "{message}"
            );
            peer_agent_error_free(&raw mut error);
        }
        assert!(error.is_null());
    }
}
