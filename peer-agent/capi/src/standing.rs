//! Where a peer stands, as a struct of C and as JSON.

use std::ffi::{CString, c_char};

use peer_agent::{Standing, State};
use serde_json::json;

use crate::{arguments::free, board::Posted};

/// Where a peer stands.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerAgentState {
    /// No session: looking for an attester.
    Connecting = 0,
    /// An attester was reached and is asked to register the peer.
    Registering = 1,
    /// Registered; probes are to come.
    Registered = 2,
    /// Its own name is published; probes are to come.
    Named = 3,
    /// Probes are under way; not yet verified.
    Probing = 4,
    /// Verified: clients are sent to it.
    Verified = 5,
    /// Was verified; probes fail now.
    Suspended = 6,
    /// Probes failed, and it never was verified.
    Refused = 7,
    /// Not followed by the attester any more.
    Retired = 8,
    /// The attester did not accept the registration.
    Rejected = 9,
    /// The host paused.
    Paused = 10,
    /// The agent has stopped.
    Stopped = 11,
}

impl From<State> for PeerAgentState {
    fn from(state: State) -> Self {
        match state {
            State::Connecting => Self::Connecting,
            State::Registering => Self::Registering,
            State::Registered => Self::Registered,
            State::Named => Self::Named,
            State::Probing => Self::Probing,
            State::Verified => Self::Verified,
            State::Suspended => Self::Suspended,
            State::Refused => Self::Refused,
            State::Retired => Self::Retired,
            State::Rejected => Self::Rejected,
            State::Paused => Self::Paused,
            State::Stopped => Self::Stopped,
        }
    }
}

/// A snapshot of where a peer stands. All texts are UTF-8 without control characters, bounded, and live as long as the snapshot; NULL
/// where there is nothing to say. It is the library's: not to be copied by value, changed or freed in parts. Later versions of
/// the interface may add fields at the end.
#[repr(C)]
#[derive(Debug)]
pub struct PeerAgentStanding {
    /// Grows with each change: what peer_agent_wait is told to wait beyond.
    pub sequence: u64,
    /// In one word.
    pub state: PeerAgentState,
    /// The same as a text, such as "verified".
    pub state_name: *const c_char,
    /// What is so and what to do about it, in a sentence for the peer's owner. Never NULL.
    pub sentence: *const c_char,
    /// The peer's id. Never NULL.
    pub peer_id: *const c_char,
    /// Its own DNS name, since an attester gave it one.
    pub own_name: *const c_char,
    /// The attester of the session, or of the last attempt, "host:port".
    pub attester: *const c_char,
    /// Code of what is wrong, such as "port-refused"; for programs. The protocol's documentation (proto/README.md) has those of attesters.
    pub reason: *const c_char,
    /// What the peer's owner can do.
    pub remedy: *const c_char,
    /// When the last verdict was signed, on the attester's clock, in seconds of Unix time; 0 before the first.
    pub last_verdict: i64,
    /// Until when it stands: the end of the lease of a verified peer. 0 when there is none.
    pub valid_until: i64,
}

/// A snapshot and its texts, in one allocation whose beginning C sees.
#[repr(C)]
struct Held {
    shown: PeerAgentStanding,
    texts: Vec<CString>,
}

/// A snapshot to hand out.
pub(crate) fn shown(posted: &Posted) -> *mut PeerAgentStanding {
    let Posted { sequence, standing, .. } = posted;
    let mut texts = Vec::new();
    let mut keep = |text: Option<&str>| match text {
        Some(text) => {
            let text = CString::new(text.replace('\0', " ")).unwrap_or_default();
            // The bytes stay where they are when the CString is moved.
            let pointer = text.as_ptr();
            texts.push(text);
            pointer
        }
        None => std::ptr::null(),
    };
    let shown = PeerAgentStanding {
        sequence: *sequence,
        state: standing.state.into(),
        state_name: keep(Some(standing.state.as_str())),
        sentence: keep(Some(&standing.sentence())),
        peer_id: keep(Some(standing.peer_id.as_str())),
        own_name: keep(standing.own_name.as_deref()),
        attester: keep(standing.attester.as_deref()),
        reason: keep(standing.reason.as_deref()),
        remedy: keep(standing.remedy.as_deref()),
        last_verdict: seconds(standing.last_verdict.map(|time| time.seconds().as_u64())),
        valid_until: seconds(standing.valid_until.map(|time| time.seconds().as_u64())),
    };
    Box::into_raw(Box::new(Held { shown, texts })).cast()
}

fn seconds(time: Option<u64>) -> i64 {
    i64::try_from(time.unwrap_or_default()).unwrap_or(i64::MAX)
}

/// The same as one JSON object, with the names of the program's `--json`.
pub(crate) fn json(posted: &Posted) -> CString {
    let Standing {
        state,
        peer_id,
        own_name,
        attester,
        reason,
        remedy,
        last_verdict,
        valid_until,
    } = &posted.standing;
    let object = json!({
        "sequence": posted.sequence,
        "state": state.as_str(),
        "sentence": posted.standing.sentence(),
        "peer_id": peer_id.as_str(),
        "own_name": own_name,
        "attester": attester,
        "reason": reason,
        "remedy": remedy,
        "last_verdict": last_verdict.map(|time| time.seconds().as_u64()),
        "valid_until": valid_until.map(|time| time.seconds().as_u64()),
    });
    // JSON escapes NUL.
    CString::new(object.to_string()).unwrap_or_default()
}

/// Frees a snapshot and sets the caller's variable to NULL. Does nothing for NULL, or for a variable that is NULL already.
///
/// # Safety
/// `standing` is NULL, or points to NULL or a snapshot that was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peer_agent_standing_free(standing: *mut *mut PeerAgentStanding) {
    // SAFETY: the caller's promise; every snapshot was made by `shown`.
    unsafe { free(standing.cast::<*mut Held>()) };
}

/// Frees a text that peer_agent_standing_json made, and sets the caller's variable to NULL. Does nothing for NULL, or for a
/// variable that is NULL already.
///
/// # Safety
/// `text` is NULL, or points to NULL or a text of this library that was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peer_agent_string_free(text: *mut *mut c_char) {
    // SAFETY: the caller's promise.
    if let Some(place) = unsafe { text.as_mut() } {
        let taken = std::mem::replace(place, std::ptr::null_mut());
        if !taken.is_null() {
            // SAFETY: the caller's promise; it was made by `CString::into_raw`.
            drop(unsafe { CString::from_raw(taken) });
        }
    }
}
