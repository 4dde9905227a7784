//! An agent's settings, each looked at when it is given; what only shows together is looked at by `peer_agent_start`.

use std::{ffi::c_char, net::IpAddr, net::SocketAddr, path::PathBuf, str::FromStr};

use peer_agent::{AgentConfig, Endpoint, Identity, Pin, Protocol, Protocols, PublicKey, SigningKey};
use rustls_pki_types::{CertificateDer, pem::PemObject};

use crate::{
    arguments::{bytes, free, handle_mut, out_pointer, text},
    error::{PeerAgentError, PeerAgentStatus, Problem, entry},
};

/// enproxy with X-Enproxy-* headers, as in 2014.
pub const PEER_AGENT_PROTOCOL_ENPROXY: u32 = 1;
/// enproxy with id, address and operation in the path, as later.
pub const PEER_AGENT_PROTOCOL_ENPROXY_PATH: u32 = 2;
/// HTTP CONNECT over TLS.
pub const PEER_AGENT_PROTOCOL_CONNECT: u32 = 4;

/// Settings of an agent. Used by one thread at a time.
#[derive(Debug, Default)]
pub struct PeerAgentConfig {
    attesters: Vec<Endpoint>,
    root: Option<PublicKey>,
    identity: Option<Identity>,
    keyset: Option<PathBuf>,
    address: Option<SocketAddr>,
    listening: Option<u16>,
    protocols: Option<Protocols>,
    pin: Option<Pin>,
    connect_token: Option<String>,
    bind: Option<IpAddr>,
    software: Option<String>,
}

impl PeerAgentConfig {
    pub(crate) fn build(&self) -> Result<AgentConfig, Problem> {
        let missing = |what: &str, function: &str| {
            Problem::new(
                PeerAgentStatus::InvalidSetting,
                format!("{what} is not set: call {function}"),
            )
        };
        let root = self
            .root
            .ok_or_else(|| missing("the attester's root key", "peer_agent_config_set_root_key"))?;
        let identity = self.identity.clone().ok_or_else(|| {
            missing(
                "the peer's identity",
                "peer_agent_config_set_identity_file or peer_agent_config_set_identity_key",
            )
        })?;
        let address = self
            .address
            .ok_or_else(|| missing("the public address", "peer_agent_config_set_address"))?;
        let pin = self.pin.ok_or_else(|| {
            missing(
                "the proxy's certificate",
                "peer_agent_config_set_certificate_pem or peer_agent_config_set_certificate_pin",
            )
        })?;
        if self.attesters.is_empty() {
            return Err(missing("the attester", "peer_agent_config_add_attester"));
        }
        let mut config = AgentConfig::new(self.attesters.clone(), root, identity, address, pin);
        config.keyset = self.keyset.clone().or(config.keyset);
        config.listening = self.listening;
        config.connect_token.clone_from(&self.connect_token);
        config.bind = self.bind;
        if let Some(protocols) = &self.protocols {
            config.protocols.clone_from(protocols);
        }
        if let Some(software) = &self.software {
            config.software.clone_from(software);
        }
        config
            .check()
            .map_err(|error| Problem::of(PeerAgentStatus::InvalidSetting, &error))?;
        Ok(config)
    }
}

/// Makes empty settings. Free them with peer_agent_config_free; an agent that was started keeps its own copy.
///
/// # Safety
/// `config_out` is NULL or writable; `error_out` as in the contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peer_agent_config_new(
    config_out: *mut *mut PeerAgentConfig,
    error_out: *mut *mut PeerAgentError,
) -> PeerAgentStatus {
    entry(error_out, || {
        // SAFETY: the caller's promise.
        let place = unsafe { out_pointer(config_out, "config_out") }?;
        place.set(Box::into_raw(Box::default()));
        Ok(PeerAgentStatus::Ok)
    })
}

/// Frees settings and sets the caller's variable to NULL. Does nothing for NULL, or for a variable that is NULL already.
///
/// # Safety
/// `config` is NULL, or points to NULL or settings that were not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peer_agent_config_free(config: *mut *mut PeerAgentConfig) {
    // SAFETY: the caller's promise.
    unsafe { free(config) };
}

/// Adds an endpoint of the attester, "host:port"; they are tried in turn. At least one is needed.
///
/// # Safety
/// Pointers as in the contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peer_agent_config_add_attester(
    config: *mut PeerAgentConfig,
    endpoint: *const c_char,
    error_out: *mut *mut PeerAgentError,
) -> PeerAgentStatus {
    // SAFETY: the caller's promise.
    unsafe {
        parsed(config, endpoint, "endpoint", error_out, |config, endpoint| {
            config.attesters.push(endpoint);
        })
    }
}

/// Sets the attester's root key, "ed25519:…", as its operator published it. Everything else is believed because of it. Needed.
///
/// # Safety
/// Pointers as in the contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peer_agent_config_set_root_key(
    config: *mut PeerAgentConfig,
    root_key: *const c_char,
    error_out: *mut *mut PeerAgentError,
) -> PeerAgentStatus {
    // SAFETY: the caller's promise.
    unsafe {
        parsed(config, root_key, "root_key", error_out, |config, key| {
            config.root = Some(key);
        })
    }
}

/// Sets the file of the peer's own key, which is made at the first start, for its owner alone to read. This or an identity key is
/// needed; the last that is given counts.
///
/// # Safety
/// Pointers as in the contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peer_agent_config_set_identity_file(
    config: *mut PeerAgentConfig,
    path: *const c_char,
    error_out: *mut *mut PeerAgentError,
) -> PeerAgentStatus {
    // SAFETY: the caller's promise.
    unsafe {
        told(config, path, "path", error_out, |config, path| {
            config.identity = Some(Identity::File(not_empty(path, "path")?.into()));
            Ok(())
        })
    }
}

/// Sets the peer's own key for a host that keeps it itself: Ed25519 as PKCS#8 PEM, which is what an identity file holds. Such a
/// host should also call peer_agent_config_set_keyset_file.
///
/// # Safety
/// Pointers as in the contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peer_agent_config_set_identity_key(
    config: *mut PeerAgentConfig,
    pem: *const u8,
    length: usize,
    error_out: *mut *mut PeerAgentError,
) -> PeerAgentStatus {
    entry(error_out, || {
        // SAFETY: the caller's promise.
        let (config, pem) = unsafe { (handle_mut(config, "config")?, bytes(pem, length, "pem")?) };
        let pem = std::str::from_utf8(pem)
            .map_err(|_| Problem::new(PeerAgentStatus::InvalidUtf8, "pem is not UTF-8, and so no PEM"))?;
        let key = SigningKey::from_pem(pem).map_err(|error| Problem::of(PeerAgentStatus::InvalidSetting, &error))?;
        config.identity = Some(Identity::Key(key));
        Ok(PeerAgentStatus::Ok)
    })
}

/// Sets the file in which the newest keyset of the attester is kept, so that no older one is believed after a restart. Beside the
/// identity file by default.
///
/// # Safety
/// Pointers as in the contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peer_agent_config_set_keyset_file(
    config: *mut PeerAgentConfig,
    path: *const c_char,
    error_out: *mut *mut PeerAgentError,
) -> PeerAgentStatus {
    // SAFETY: the caller's promise.
    unsafe {
        told(config, path, "path", error_out, |config, path| {
            config.keyset = Some(not_empty(path, "path")?.into());
            Ok(())
        })
    }
}

/// Sets the public address and port that clients reach the proxy at, `203.0.113.7:443` or `[2001:db8::7]:443`. Needed.
///
/// # Safety
/// Pointers as in the contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peer_agent_config_set_address(
    config: *mut PeerAgentConfig,
    address: *const c_char,
    error_out: *mut *mut PeerAgentError,
) -> PeerAgentStatus {
    // SAFETY: the caller's promise.
    unsafe {
        told(config, address, "address", error_out, |config, text| {
            let wrong = |_| setting(format!("address: {:?} is no ip:port, like 203.0.113.7:443", cut(text)));
            config.address = Some(text.parse().map_err(wrong)?);
            Ok(())
        })
    }
}

/// Sets the port that the proxy listens on, where a router maps the public port to another one, so that the remedies can name both.
/// 0 for the same port, which is the default.
///
/// # Safety
/// Pointers as in the contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peer_agent_config_set_listening_port(
    config: *mut PeerAgentConfig,
    port: u16,
    error_out: *mut *mut PeerAgentError,
) -> PeerAgentStatus {
    entry(error_out, || {
        // SAFETY: the caller's promise.
        let config = unsafe { handle_mut(config, "config") }?;
        config.listening = Some(port).filter(|port| *port != 0);
        Ok(PeerAgentStatus::Ok)
    })
}

/// Sets what the proxy speaks: a sum of PEER_AGENT_PROTOCOL_*. All three by default. Each is proven before the peer is verified.
///
/// # Safety
/// Pointers as in the contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peer_agent_config_set_protocols(
    config: *mut PeerAgentConfig,
    protocols: u32,
    error_out: *mut *mut PeerAgentError,
) -> PeerAgentStatus {
    const ALL: [(u32, Protocol); 3] = [
        (PEER_AGENT_PROTOCOL_ENPROXY, Protocol::Enproxy),
        (PEER_AGENT_PROTOCOL_ENPROXY_PATH, Protocol::EnproxyPath),
        (PEER_AGENT_PROTOCOL_CONNECT, Protocol::Connect),
    ];
    entry(error_out, || {
        // SAFETY: the caller's promise.
        let config = unsafe { handle_mut(config, "config") }?;
        let known: u32 = ALL.iter().map(|(bit, _)| bit).sum();
        let listed = ALL.iter().filter(|(bit, _)| protocols & bit != 0);
        let set = Protocols::new(listed.map(|(_, protocol)| *protocol)).filter(|_| protocols & !known == 0);
        let wrong = || setting(format!("protocols: {protocols} is not a sum of PEER_AGENT_PROTOCOL_*"));
        config.protocols = Some(set.ok_or_else(wrong)?);
        Ok(PeerAgentStatus::Ok)
    })
}

/// Sets the pin of the proxy's TLS key: the 32 bytes of SHA-256 over the DER SubjectPublicKeyInfo. This or a certificate is
/// needed; the last that is given counts.
///
/// # Safety
/// Pointers as in the contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peer_agent_config_set_certificate_pin(
    config: *mut PeerAgentConfig,
    pin: *const u8,
    length: usize,
    error_out: *mut *mut PeerAgentError,
) -> PeerAgentStatus {
    entry(error_out, || {
        // SAFETY: the caller's promise.
        let (config, pin) = unsafe { (handle_mut(config, "config")?, bytes(pin, length, "pin")?) };
        let wrong = |_| setting(format!("pin: {length} bytes, and a pin has 32"));
        config.pin = Some(Pin::from_bytes(pin.try_into().map_err(wrong)?));
        Ok(PeerAgentStatus::Ok)
    })
}

/// Sets the proxy's TLS certificate, PEM, of which the pin is taken. Of several the first counts, as in a TLS handshake.
///
/// # Safety
/// Pointers as in the contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peer_agent_config_set_certificate_pem(
    config: *mut PeerAgentConfig,
    pem: *const u8,
    length: usize,
    error_out: *mut *mut PeerAgentError,
) -> PeerAgentStatus {
    entry(error_out, || {
        // SAFETY: the caller's promise.
        let (config, pem) = unsafe { (handle_mut(config, "config")?, bytes(pem, length, "pem")?) };
        let certificate = CertificateDer::from_pem_slice(pem)
            .map_err(|error| setting(format!("pem holds no certificate in PEM: {error}")))?;
        let pin =
            Pin::of_certificate(&certificate).map_err(|error| Problem::of(PeerAgentStatus::InvalidSetting, &error))?;
        config.pin = Some(pin);
        Ok(PeerAgentStatus::Ok)
    })
}

/// Sets the token that CONNECT clients must present to the proxy, 1 to 256 visible ASCII characters; NULL for none, the default. It
/// is sent to the attester only.
///
/// # Safety
/// Pointers as in the contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peer_agent_config_set_connect_token(
    config: *mut PeerAgentConfig,
    token: *const c_char,
    error_out: *mut *mut PeerAgentError,
) -> PeerAgentStatus {
    // SAFETY: the caller's promise.
    unsafe {
        told_or_none(config, token, "token", error_out, |config, token| {
            config.connect_token = token.map(str::to_owned);
            Ok(())
        })
    }
}

/// Sets the local address that sessions leave from, without a port; NULL to let the system choose, the default. On a machine with
/// several it must be the one that the proxy serves at: the attester dials the address that it sees a session come from.
///
/// # Safety
/// Pointers as in the contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peer_agent_config_set_bind(
    config: *mut PeerAgentConfig,
    address: *const c_char,
    error_out: *mut *mut PeerAgentError,
) -> PeerAgentStatus {
    // SAFETY: the caller's promise.
    unsafe {
        told_or_none(config, address, "address", error_out, |config, text| {
            let parse = |text: &str| {
                let wrong = |_| setting(format!("address: {:?} is no IP address without a port", cut(text)));
                text.parse().map_err(wrong)
            };
            config.bind = text.map(parse).transpose()?;
            Ok(())
        })
    }
}

/// Sets name and version of the host's software, at most 64 printable bytes: the attester's operator can tell versions apart.
///
/// # Safety
/// Pointers as in the contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peer_agent_config_set_software(
    config: *mut PeerAgentConfig,
    software: *const c_char,
    error_out: *mut *mut PeerAgentError,
) -> PeerAgentStatus {
    // SAFETY: the caller's promise.
    unsafe {
        told(config, software, "software", error_out, |config, software| {
            config.software = Some(software.to_owned());
            Ok(())
        })
    }
}

/// A setting that is a text.
///
/// # Safety
/// Pointers as in the contract.
unsafe fn told(
    config: *mut PeerAgentConfig,
    pointer: *const c_char,
    name: &str,
    error_out: *mut *mut PeerAgentError,
    set: impl FnOnce(&mut PeerAgentConfig, &str) -> Result<(), Problem>,
) -> PeerAgentStatus {
    entry(error_out, || {
        // SAFETY: the caller's promise.
        let (config, text) = unsafe { (handle_mut(config, "config")?, text(pointer, name)?) };
        set(config, text)?;
        Ok(PeerAgentStatus::Ok)
    })
}

/// A setting that is a text, or NULL.
///
/// # Safety
/// Pointers as in the contract.
unsafe fn told_or_none(
    config: *mut PeerAgentConfig,
    pointer: *const c_char,
    name: &str,
    error_out: *mut *mut PeerAgentError,
    set: impl FnOnce(&mut PeerAgentConfig, Option<&str>) -> Result<(), Problem>,
) -> PeerAgentStatus {
    entry(error_out, || {
        // SAFETY: the caller's promise.
        let config = unsafe { handle_mut(config, "config") }?;
        let text = match pointer.is_null() {
            true => None,
            // SAFETY: the caller's promise.
            false => Some(unsafe { text(pointer, name) }?),
        };
        set(config, text)?;
        Ok(PeerAgentStatus::Ok)
    })
}

/// A setting whose type reads it.
///
/// # Safety
/// Pointers as in the contract.
unsafe fn parsed<T: FromStr<Err: std::fmt::Display>>(
    config: *mut PeerAgentConfig,
    pointer: *const c_char,
    name: &str,
    error_out: *mut *mut PeerAgentError,
    set: impl FnOnce(&mut PeerAgentConfig, T),
) -> PeerAgentStatus {
    // SAFETY: the caller's promise.
    unsafe {
        told(config, pointer, name, error_out, |config, text| {
            let value = text
                .parse()
                .map_err(|error| setting(format!("{name}: {:?} is wrong: {error}", cut(text))))?;
            set(config, value);
            Ok(())
        })
    }
}

fn not_empty<'a>(text: &'a str, name: &str) -> Result<&'a str, Problem> {
    match text {
        "" => Err(setting(format!("{name} is empty"))),
        text => Ok(text),
    }
}

/// As much of a wrong text as a message should repeat.
fn cut(text: &str) -> &str {
    let end = text.char_indices().map(|(at, _)| at).nth(100);
    end.map_or(text, |end| &text[..end])
}

fn setting(message: String) -> Problem {
    Problem::new(PeerAgentStatus::InvalidSetting, message)
}
