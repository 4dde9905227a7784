//! Our programs against other people's: the real Go enproxy, server and client, the real http-proxy, peerscanner's check, curl, and
//! Python's libraries.
//!
//! Everything here is ignored by default, because it needs what `tests/setup.sh` installs. Once asked for, a missing program
//! is a failure.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod bundled;
mod c_host;
mod captures;
mod clients;
mod front;
mod give;
mod nginx;
mod origin;
mod prober;
mod programs;
mod python;
mod servers;
mod site;
mod typed;

use std::time::Duration;

use tokio::time::timeout;

/// Waits for a step, which takes no longer unless something hangs. Longer than the programs' own time limits.
async fn within<T>(step: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), step).await.unwrap()
}

/// Bytes that repeat nowhere near.
fn pattern(length: usize) -> Vec<u8> {
    (0..length as u64)
        .map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8)
        .collect()
}

/// An address of loopback where nobody listens, kept from others while the socket lives.
fn nobody() -> (tokio::net::TcpSocket, std::net::SocketAddr) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// A destination whose name leads nowhere. A label may have 63 characters, so that no resolver is asked beyond this machine.
fn unresolvable() -> String {
    format!("{}.invalid:80", "x".repeat(64))
}
