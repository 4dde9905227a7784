//! The C interface of the self-test module. The contract is told once, at the top of `include/peer_agent.h`, which is generated
//! from here by cbindgen (`cbindgen.toml`); `tests/header.rs` compares.
//!
//! Each function checks its pointers, catches a panic, and leaves the rest to [`peer_agent`]. Nothing here decides anything.

mod agent;
mod arguments;
mod board;
#[doc(hidden)]
pub mod called;
mod config;
mod error;
mod flow;
mod standing;

pub use self::{
    agent::{
        PeerAgent, peer_agent_free, peer_agent_is_armed, peer_agent_pause, peer_agent_resume, peer_agent_retest,
        peer_agent_standing_get, peer_agent_standing_json, peer_agent_start, peer_agent_stop, peer_agent_wait,
    },
    config::{
        PEER_AGENT_PROTOCOL_CONNECT, PEER_AGENT_PROTOCOL_ENPROXY, PEER_AGENT_PROTOCOL_ENPROXY_PATH, PeerAgentConfig,
        peer_agent_config_add_attester, peer_agent_config_free, peer_agent_config_new, peer_agent_config_set_address,
        peer_agent_config_set_bind, peer_agent_config_set_certificate_pem, peer_agent_config_set_certificate_pin,
        peer_agent_config_set_connect_token, peer_agent_config_set_identity_file, peer_agent_config_set_identity_key,
        peer_agent_config_set_keyset_file, peer_agent_config_set_listening_port, peer_agent_config_set_protocols,
        peer_agent_config_set_root_key, peer_agent_config_set_software,
    },
    error::{
        PeerAgentError, PeerAgentStatus, peer_agent_error_free, peer_agent_error_message, peer_agent_error_status,
        peer_agent_status_name,
    },
    flow::{
        PeerAgentFlow, peer_agent_flow_close, peer_agent_flow_down, peer_agent_flow_eof, peer_agent_flow_error,
        peer_agent_flow_open, peer_agent_flow_up,
    },
    standing::{PeerAgentStanding, PeerAgentState, peer_agent_standing_free, peer_agent_string_free},
};

/// Version of this interface. A library of another number is called otherwise and loaded by nobody who was built with this one
/// (it is in the shared library's name).
pub const PEER_AGENT_ABI_VERSION: u32 = 1;

/// Version of the interface that the loaded library has: PEER_AGENT_ABI_VERSION as it was when the library was built.
#[unsafe(no_mangle)]
pub extern "C" fn peer_agent_abi_version() -> u32 {
    PEER_AGENT_ABI_VERSION
}

/// Version of the library, such as "0.1.0". It is not to be freed.
#[unsafe(no_mangle)]
pub extern "C" fn peer_agent_version() -> *const std::ffi::c_char {
    const VERSION: &std::ffi::CStr =
        match std::ffi::CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
            Ok(version) => version,
            Err(_) => c"",
        };
    VERSION.as_ptr()
}
