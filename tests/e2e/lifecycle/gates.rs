//! Forwarders that can be closed: what is behind them is stopped, as far as anybody can tell.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream, UdpSocket},
    sync::watch,
};
use tokio_util::task::AbortOnDropHandle;

/// Forwards UDP questions and their answers.
pub(super) struct UdpGate {
    address: SocketAddr,
    to: watch::Sender<Option<SocketAddr>>,
    _task: AbortOnDropHandle<()>,
}

impl UdpGate {
    /// A closed gate: what comes is dropped.
    pub(super) async fn bind() -> anyhow::Result<Self> {
        let front = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?);
        let (to, target) = watch::channel(None);
        let address = front.local_addr()?;
        let task = tokio::spawn(async move {
            let mut question = [0; 2048];
            while let Ok((length, from)) = front.recv_from(&mut question).await {
                let Some(to) = *target.borrow() else { continue };
                let (front, question) = (Arc::clone(&front), question[..length].to_vec());
                tokio::spawn(async move {
                    // A lost datagram is a lost datagram.
                    let _ = forward(&front, from, to, &question).await;
                });
            }
        });
        Ok(Self {
            address,
            to,
            _task: AbortOnDropHandle::new(task),
        })
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn lead_to(&self, to: SocketAddr) {
        self.to.send_replace(Some(to));
    }
}

async fn forward(front: &UdpSocket, from: SocketAddr, to: SocketAddr, question: &[u8]) -> std::io::Result<()> {
    let back = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    back.send_to(question, to).await?;
    let mut answer = [0; 4096];
    let (length, _) = tokio::time::timeout(harness::DEADLINE, back.recv_from(&mut answer)).await??;
    front.send_to(&answer[..length], from).await?;
    Ok(())
}

/// Forwards TCP connections.
pub(super) struct TcpGate {
    address: SocketAddr,
    to: watch::Sender<Option<SocketAddr>>,
    _task: AbortOnDropHandle<()>,
}

impl TcpGate {
    /// A closed gate: connections are accepted and dropped.
    pub(super) async fn bind() -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let (to, target) = watch::channel(None);
        let address = listener.local_addr()?;
        let task = tokio::spawn(async move {
            while let Ok((mut client, from)) = listener.accept().await {
                let Some(to) = *target.borrow() else { continue };
                tokio::spawn(async move {
                    if let Ok(mut server) = connect_from(from, to).await {
                        // However it ends, both ends are closed after it.
                        let _ = copy_bidirectional(&mut client, &mut server).await;
                    }
                });
            }
        });
        Ok(Self {
            address,
            to,
            _task: AbortOnDropHandle::new(task),
        })
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn lead_to(&self, to: SocketAddr) {
        self.to.send_replace(Some(to));
    }

    pub(super) fn close(&self) {
        self.to.send_replace(None);
    }
}

/// Connects from the client's own address, as a router does that only changes the destination.
async fn connect_from(from: SocketAddr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from.ip(), 0))?;
    socket.connect(to).await
}
