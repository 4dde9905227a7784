//! Opens TCP connections, and tells the peer's failures from our own.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use tokio::{
    net::{TcpSocket, TcpStream},
    time::{Instant, timeout_at},
};

use crate::model::{Finding, Reason};

/// Connects from `source`, if one is given, to `address`.
///
/// # Errors
/// A finding of the connect phase.
pub(super) async fn connect(
    source: Option<IpAddr>,
    address: SocketAddr,
    deadline: Instant,
) -> Result<TcpStream, Finding> {
    match timeout_at(deadline, open(source, address)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(finding(&error)),
        Err(_) => Err(Reason::ConnectTimeout.into()),
    }
}

/// A connect finding in the words of a registration.
pub(super) fn at_registration(finding: Finding) -> Finding {
    let reason = match finding.reason {
        Reason::ConnectRefused => Reason::PortRefused,
        Reason::ConnectTimeout => Reason::PortSilent,
        other => other,
    };
    Finding::new(reason, finding.detail())
}

async fn open(source: Option<IpAddr>, address: SocketAddr) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    if let Some(source) = source {
        socket.bind(SocketAddr::new(source, 0))?;
    }
    // Requests are written whole: waiting for more costs 40 ms behind a TLS 1.3 Finished that is not yet acknowledged.
    socket.set_nodelay(true)?;
    socket.connect(address).await
}

/// Who is to blame for a connection that does not stand. What only the other end or the way to it can cause is the peer's;
/// everything else (descriptors, ports, memory, routes, firewall rules) is ours, so that our own trouble evicts nobody.
fn finding(error: &io::Error) -> Finding {
    let reason = match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => Reason::ConnectRefused,
        io::ErrorKind::TimedOut | io::ErrorKind::HostUnreachable => Reason::ConnectTimeout,
        _ => Reason::ConnectLocal,
    };
    Finding::new(reason, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_trouble_is_not_the_peers() {
        // Numbers of Linux: what a process meets when it runs out of something or has no way out.
        let ours = [
            (24, "EMFILE"),
            (23, "ENFILE"),
            (99, "EADDRNOTAVAIL"),
            (101, "ENETUNREACH"),
            (100, "ENETDOWN"),
        ];
        for (number, name) in ours
            .into_iter()
            .chain([(12, "ENOMEM"), (105, "ENOBUFS"), (1, "EPERM"), (22, "EINVAL")])
        {
            assert_eq!(
                finding(&io::Error::from_raw_os_error(number)).reason,
                Reason::ConnectLocal,
                "{name}"
            );
        }
        for (number, reason) in [
            (111, Reason::ConnectRefused),
            (104, Reason::ConnectRefused),
            (110, Reason::ConnectTimeout),
            (113, Reason::ConnectTimeout),
        ] {
            assert_eq!(
                finding(&io::Error::from_raw_os_error(number)).reason,
                reason,
                "{number}"
            );
        }
    }
}
