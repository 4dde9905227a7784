//! The C functions as Rust can call them without `unsafe`: for the benches and tests of this workspace alone.

use std::{
    ffi::{CStr, CString},
    path::Path,
    ptr,
};

use crate::{
    PeerAgent, PeerAgentConfig, PeerAgentError, PeerAgentFlow, PeerAgentStatus, agent, config, error, flow, standing,
};

/// An agent behind its handle.
#[derive(Debug)]
pub struct Agent(*mut PeerAgent);

/// A flow behind its handle.
#[derive(Debug)]
pub struct Flow(*mut PeerAgentFlow);

// SAFETY: the contract: any thread may use a handle that is not freed, and the owner alone frees it.
unsafe impl Send for Agent {}
// SAFETY: as above.
unsafe impl Sync for Agent {}
// SAFETY: as above.
unsafe impl Send for Flow {}

impl Agent {
    /// Starts an agent with an all-zero pin.
    ///
    /// # Errors
    /// The message that C would get.
    pub fn start(attester: &str, root: &str, identity: &Path, address: &str) -> Result<Self, String> {
        let mut settings: *mut PeerAgentConfig = ptr::null_mut();
        let mut agent: *mut PeerAgent = ptr::null_mut();
        let text = |text: &str| CString::new(text).map_err(|error| error.to_string());
        let (attester, root, address) = (text(attester)?, text(root)?, text(address)?);
        let identity = text(&identity.to_string_lossy())?;
        // SAFETY: every pointer is to what lives here.
        unsafe {
            let answer = |call: &dyn Fn(*mut *mut PeerAgentError) -> PeerAgentStatus| {
                let mut failed = ptr::null_mut();
                if call(&raw mut failed) == PeerAgentStatus::Ok {
                    return Ok(());
                }
                let message = CStr::from_ptr(error::peer_agent_error_message(failed));
                let message = message.to_string_lossy().into_owned();
                error::peer_agent_error_free(&raw mut failed);
                Err(message)
            };
            let place = &raw mut settings;
            answer(&|failed| config::peer_agent_config_new(place, failed))?;
            let settings = *place;
            let pin = [0_u8; 32];
            answer(&|failed| config::peer_agent_config_add_attester(settings, attester.as_ptr(), failed))?;
            answer(&|failed| config::peer_agent_config_set_root_key(settings, root.as_ptr(), failed))?;
            answer(&|failed| config::peer_agent_config_set_identity_file(settings, identity.as_ptr(), failed))?;
            answer(&|failed| config::peer_agent_config_set_address(settings, address.as_ptr(), failed))?;
            answer(&|failed| config::peer_agent_config_set_certificate_pin(settings, pin.as_ptr(), pin.len(), failed))?;
            let started = &raw mut agent;
            let result = answer(&|failed| agent::peer_agent_start(settings, started, failed));
            config::peer_agent_config_free(place);
            result?;
        }
        Ok(Self(agent))
    }

    /// `peer_agent_flow_open`.
    pub fn open(&self, destination: &str) -> Option<Flow> {
        let mut flow = ptr::null_mut();
        // SAFETY: the handle lives as long as this, and the text as long as the call.
        unsafe {
            let (bytes, length) = (destination.as_ptr().cast(), destination.len());
            flow::peer_agent_flow_open(self.0, bytes, length, &raw mut flow, ptr::null_mut());
        }
        (!flow.is_null()).then_some(Flow(flow))
    }

    /// `peer_agent_is_armed`.
    pub fn is_armed(&self, destination: &str) -> bool {
        let mut armed = false;
        // SAFETY: as above.
        unsafe {
            let (bytes, length) = (destination.as_ptr().cast(), destination.len());
            agent::peer_agent_is_armed(self.0, bytes, length, &raw mut armed, ptr::null_mut());
        }
        armed
    }

    /// `peer_agent_stop`, with twenty seconds for it.
    pub fn stop(&self) -> PeerAgentStatus {
        // SAFETY: as above.
        unsafe { agent::peer_agent_stop(self.0, 20_000, ptr::null_mut()) }
    }

    /// `peer_agent_standing_json`.
    pub fn standing_json(&self) -> String {
        let mut text = ptr::null_mut();
        // SAFETY: as above; the text is the library's until it is freed.
        unsafe {
            agent::peer_agent_standing_json(self.0, &raw mut text, ptr::null_mut());
            let object = CStr::from_ptr(text).to_string_lossy().into_owned();
            standing::peer_agent_string_free(&raw mut text);
            object
        }
    }
}

impl Flow {
    /// `peer_agent_flow_up`.
    pub fn up(&self, bytes: &[u8]) -> PeerAgentStatus {
        // SAFETY: the handle lives as long as this, and the bytes as long as the call.
        unsafe { flow::peer_agent_flow_up(self.0, bytes.as_ptr(), bytes.len(), ptr::null_mut()) }
    }

    /// `peer_agent_flow_down`.
    pub fn down(&self, bytes: &[u8]) -> PeerAgentStatus {
        // SAFETY: as above.
        unsafe { flow::peer_agent_flow_down(self.0, bytes.as_ptr(), bytes.len(), ptr::null_mut()) }
    }

    /// `peer_agent_flow_eof`.
    pub fn eof(&self) -> PeerAgentStatus {
        // SAFETY: the handle lives as long as this.
        unsafe { flow::peer_agent_flow_eof(self.0, ptr::null_mut()) }
    }

    /// `peer_agent_flow_error`.
    pub fn error(&self) -> PeerAgentStatus {
        // SAFETY: as above.
        unsafe { flow::peer_agent_flow_error(self.0, ptr::null_mut()) }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // SAFETY: nobody else frees it.
        unsafe { agent::peer_agent_free(&raw mut self.0) };
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        // SAFETY: nobody else closes it.
        unsafe { flow::peer_agent_flow_close(&raw mut self.0) };
    }
}
