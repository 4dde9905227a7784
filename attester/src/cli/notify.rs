//! Tells a service manager how a service is, if one asked to be told: sd_notify(3), which is one datagram a message.

/// Where to tell it; nowhere when nobody asked.
pub(super) struct Manager {
    #[cfg(unix)]
    at: Option<(std::os::unix::net::UnixDatagram, std::os::unix::net::SocketAddr)>,
}

impl Manager {
    /// The one that started this process, by the variable NOTIFY_SOCKET.
    #[cfg(unix)]
    pub(super) fn of_this_process() -> Self {
        let at = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty());
        let opened =
            at.map(|name| Ok::<_, std::io::Error>((std::os::unix::net::UnixDatagram::unbound()?, address(&name)?)));
        let at = opened.transpose().unwrap_or_else(|error| {
            tracing::warn!(%error, "the service manager cannot be told (NOTIFY_SOCKET)");
            None
        });
        Self { at }
    }

    #[cfg(not(unix))]
    pub(super) fn of_this_process() -> Self {
        Self {}
    }

    /// It serves.
    pub(super) fn ready(&self) {
        self.tell("READY=1");
    }

    /// It was told to stop.
    pub(super) fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    fn tell(&self, word: &str) {
        #[cfg(unix)]
        if let Some((socket, address)) = &self.at
            && let Err(error) = socket.send_to_addr(word.as_bytes(), address)
        {
            tracing::warn!(%error, word, "the service manager cannot be told (NOTIFY_SOCKET)");
        }
        #[cfg(not(unix))]
        let _ = word;
    }
}

/// A path, or a name in Linux' abstract namespace after an @.
#[cfg(unix)]
fn address(name: &std::ffi::OsStr) -> std::io::Result<std::os::unix::net::SocketAddr> {
    #[cfg(target_os = "linux")]
    if let Some(abstract_name) = name.as_encoded_bytes().strip_prefix(b"@") {
        use std::os::linux::net::SocketAddrExt;
        return std::os::unix::net::SocketAddr::from_abstract_name(abstract_name);
    }
    std::os::unix::net::SocketAddr::from_pathname(name)
}
