//! The ports of a cluster that must be known before anything is bound.
//!
//! Address records carry no port, so all peers of a rotation share one, each on an address of its own. It lies below the range
//! that the kernel gives to outgoing connections (32768 and up on Linux), so that no connection takes it, and is held at an address
//! that no peer has, so that no other cluster on this machine takes it.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
};

use rand::RngExt;

/// The ports of one cluster, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Ports {
    common: (TcpListener, u16),
    other: (TcpListener, u16),
}

impl Ports {
    pub(crate) fn take() -> io::Result<Self> {
        Ok(Self {
            common: free()?,
            other: free()?,
        })
    }

    /// The rotation's port.
    pub(crate) const fn common(&self) -> u16 {
        self.common.1
    }

    /// The port of a peer that is on another.
    pub(crate) const fn other(&self) -> u16 {
        self.other.1
    }

    /// An address that is this cluster's alone, for the attester: after a restart its ports are free, whatever else runs.
    pub(crate) const fn home(&self) -> Ipv4Addr {
        let [high, low] = self.common().to_be_bytes();
        Ipv4Addr::new(127, 76, high, low)
    }
}

/// The address of peer `number`.
pub(crate) const fn address(number: u8, port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(127, 77, number, 1)), port)
}

fn free() -> io::Result<(TcpListener, u16)> {
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..ATTEMPTS {
        let port = rand::rng().random_range(LOWEST..HIGHEST);
        match TcpListener::bind(address(0, port)) {
            Ok(listener) => return Ok((listener, port)),
            Err(error) => last = error,
        }
    }
    Err(last)
}

const LOWEST: u16 = 20_000;
const HIGHEST: u16 = 32_000;
const ATTEMPTS: usize = 100;
