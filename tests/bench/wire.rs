//! A relay that counts the bytes it passes on.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
};

/// A running relay; it ends with its runtime.
#[derive(Debug)]
pub(crate) struct Counter {
    address: SocketAddr,
    bytes: Arc<AtomicU64>,
}

impl Counter {
    /// Listens, to be connected with its far side by [`Counter::pass_to`].
    pub(crate) async fn listen(at: SocketAddr) -> anyhow::Result<(TcpListener, Self)> {
        let listener = TcpListener::bind(at).await?;
        let counter = Self {
            address: listener.local_addr()?,
            bytes: Arc::default(),
        };
        Ok((listener, counter))
    }

    /// Passes everything on to `to`. What leaves the relay leaves from the address of whoever came, which other parts look at.
    pub(crate) fn pass_to(&self, listener: TcpListener, to: SocketAddr) {
        let bytes = Arc::clone(&self.bytes);
        tokio::spawn(async move {
            while let Ok((near, source)) = listener.accept().await {
                let bytes = Arc::clone(&bytes);
                tokio::spawn(async move {
                    // Those at the ends see how it ended.
                    let _ = pass(near, source.ip(), to, &bytes).await;
                });
            }
        });
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Bytes passed on so far, both ways.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

async fn pass(near: TcpStream, source: IpAddr, to: SocketAddr, bytes: &AtomicU64) -> io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(source, 0))?;
    let far = socket.connect(to).await?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let (mut near_read, mut near_write) = near.into_split();
    let (mut far_read, mut far_write) = far.into_split();
    tokio::try_join!(
        copy(&mut near_read, &mut far_write, bytes),
        copy(&mut far_read, &mut near_write, bytes)
    )?;
    Ok(())
}

async fn copy(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    bytes: &AtomicU64,
) -> io::Result<()> {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            return to.shutdown().await;
        }
        bytes.fetch_add(length as u64, Ordering::Relaxed);
        to.write_all(&buffer[..length]).await?;
    }
}
