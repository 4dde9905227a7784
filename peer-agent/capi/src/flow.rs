//! A connection of the host to an announced destination, as it is reported.

use std::{
    ffi::c_char,
    sync::{Mutex, PoisonError},
};

use peer_agent::{Flow, FlowEnd};

use crate::{
    agent::PeerAgent,
    arguments::{bytes, free, handle, out_pointer},
    error::{PeerAgentError, PeerAgentStatus, Problem, entry},
};

/// One outbound flow that the agent wants to see. Several threads may report at once; nobody may while it is closed, or after.
#[derive(Debug)]
pub struct PeerAgentFlow {
    /// `None` when nothing more is wanted. Its lock is this flow's alone, and held while one piece is hashed.
    flow: Mutex<Option<Flow>>,
}

impl PeerAgentFlow {
    pub(crate) const fn new(flow: Flow) -> Self {
        Self {
            flow: Mutex::new(Some(flow)),
        }
    }

    fn report(&self, report: impl FnOnce(&mut Flow)) -> PeerAgentStatus {
        let mut place = self.flow.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(flow) = place.as_mut() else {
            return PeerAgentStatus::FlowOver;
        };
        report(flow);
        if flow.is_watched() {
            return PeerAgentStatus::Ok;
        }
        *place = None;
        PeerAgentStatus::FlowOver
    }

    fn end(&self, end: FlowEnd) -> PeerAgentStatus {
        let taken = self.flow.lock().unwrap_or_else(PoisonError::into_inner).take();
        match taken {
            Some(flow) => {
                flow.end(end);
                PeerAgentStatus::Ok
            }
            None => PeerAgentStatus::FlowOver,
        }
    }
}

/// Asks whether to report a flow that the host opens to `destination`, the "host:port" exactly as its client sent it, by pointer and
/// length: it need not end with NUL. `*flow_out` is NULL, nearly always: no probe is expected there, and the host need not report
/// the flow. Otherwise report each byte that goes each way, the end, and close it.
///
/// # Safety
/// Pointers as in the contract; `destination` is NULL or points to `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peer_agent_flow_open(
    agent: *const PeerAgent,
    destination: *const c_char,
    length: usize,
    flow_out: *mut *mut PeerAgentFlow,
    error_out: *mut *mut PeerAgentError,
) -> PeerAgentStatus {
    entry(error_out, || {
        // SAFETY: the caller's promise.
        let place = unsafe { out_pointer(flow_out, "flow_out") }?;
        // SAFETY: the caller's promise.
        let agent = unsafe { handle(agent, "agent") }?;
        // SAFETY: the caller's promise.
        let destination = unsafe { bytes(destination.cast(), length, "destination") }?;
        // The client chose the text and its length: it is not looked at for nothing.
        if !agent.tap().is_waiting() {
            return Ok(PeerAgentStatus::Ok);
        }
        if let Some(flow) = destination_of(destination).and_then(|destination| agent.tap().flow(destination)) {
            place.set(Box::into_raw(Box::new(PeerAgentFlow::new(flow))));
        }
        Ok(PeerAgentStatus::Ok)
    })
}

/// What is no UTF-8 was announced by nobody.
pub(crate) fn destination_of(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

/// Reports bytes that go to the destination, in order and before they are sent. When a send takes only a part of them, the rest was reported
/// all the same: it is sent later, and not reported again. PEER_AGENT_STATUS_FLOW_OVER when nothing more is wanted.
///
/// # Safety
/// Pointers as in the contract; `data` is NULL or points to `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peer_agent_flow_up(
    flow: *const PeerAgentFlow,
    data: *const u8,
    length: usize,
    error_out: *mut *mut PeerAgentError,
) -> PeerAgentStatus {
    // SAFETY: the caller's promise.
    unsafe { carried(flow, data, length, error_out, Flow::up) }
}

/// Reports bytes that came from the destination, in order and before they are passed on. PEER_AGENT_STATUS_FLOW_OVER when nothing more is wanted.
///
/// # Safety
/// Pointers as in the contract; `data` is NULL or points to `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peer_agent_flow_down(
    flow: *const PeerAgentFlow,
    data: *const u8,
    length: usize,
    error_out: *mut *mut PeerAgentError,
) -> PeerAgentStatus {
    // SAFETY: the caller's promise.
    unsafe { carried(flow, data, length, error_out, Flow::down) }
}

/// # Safety
/// As the functions that call it.
unsafe fn carried(
    flow: *const PeerAgentFlow,
    data: *const u8,
    length: usize,
    error_out: *mut *mut PeerAgentError,
    report: fn(&mut Flow, &[u8]),
) -> PeerAgentStatus {
    entry(error_out, || {
        // SAFETY: the caller's promise.
        let (flow, data) = unsafe { (handle(flow, "flow")?, bytes(data, length, "data")?) };
        Ok(flow.report(|flow| report(flow, data)))
    })
}

/// Reports that the destination closed its side, before the client is told so. A read that timed out is no end.
///
/// # Safety
/// Pointers as in the contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peer_agent_flow_eof(
    flow: *const PeerAgentFlow,
    error_out: *mut *mut PeerAgentError,
) -> PeerAgentStatus {
    // SAFETY: the caller's promise.
    unsafe { ended(flow, error_out, FlowEnd::DestinationEof) }
}

/// Reports that the connection to the destination failed, in reading or in sending. What only timed out has not.
///
/// # Safety
/// Pointers as in the contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peer_agent_flow_error(
    flow: *const PeerAgentFlow,
    error_out: *mut *mut PeerAgentError,
) -> PeerAgentStatus {
    // SAFETY: the caller's promise.
    unsafe { ended(flow, error_out, FlowEnd::DestinationError) }
}

/// # Safety
/// As the functions that call it.
unsafe fn ended(flow: *const PeerAgentFlow, error_out: *mut *mut PeerAgentError, end: FlowEnd) -> PeerAgentStatus {
    entry(error_out, || {
        // SAFETY: the caller's promise.
        let flow = unsafe { handle(flow, "flow") }?;
        Ok::<_, Problem>(flow.end(end))
    })
}

/// Reports that the host closed its connection, unless an end was reported before, frees the flow and sets the caller's variable to
/// NULL. Does nothing for NULL, or for a variable that is NULL already. A flow may outlive its agent.
///
/// # Safety
/// `flow` is NULL, or points to NULL or a flow that was not closed and that nobody else uses.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peer_agent_flow_close(flow: *mut *mut PeerAgentFlow) {
    // SAFETY: the caller's promise.
    unsafe { free(flow) };
}
