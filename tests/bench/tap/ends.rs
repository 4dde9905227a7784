//! Where the copied bytes come from and where they go.

use std::net::SocketAddr;

use proto::ids::Digest;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::bare;

/// A source that sends as much as it is asked for, and two drains, one of them a TLS client.
pub(super) struct Ends {
    source: SocketAddr,
    drains: Drains,
    acceptor: TlsAcceptor,
}

/// Asks a drain to connect to an address, with TLS or without.
type Drains = tokio::sync::mpsc::Sender<(SocketAddr, bool)>;

impl Ends {
    /// On the runtime that this is called in.
    pub(super) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let source = listener.local_addr()?;
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // The copying side notices when it fails.
                tokio::spawn(async move { send(stream).await.ok() });
            }
        });
        let connector = bare::connector()?;
        let (drains, mut asked) = tokio::sync::mpsc::channel::<(SocketAddr, bool)>(1);
        tokio::spawn(async move {
            while let Some((address, secured)) = asked.recv().await {
                let connector = connector.clone();
                tokio::spawn(async move {
                    let stream = TcpStream::connect(address).await?;
                    if secured {
                        let name = ServerName::IpAddress(address.ip().into());
                        drain(connector.connect(name, stream).await?).await
                    } else {
                        drain(stream).await
                    }
                });
            }
        });
        Ok(Self {
            source,
            drains,
            acceptor: bare::acceptor()?,
        })
    }

    /// A stream from the source, which sends `length` bytes, and one to a drain.
    pub(super) async fn connect(&self, length: u64, secured: bool) -> anyhow::Result<(TcpStream, TcpStream)> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        self.drains.send((listener.local_addr()?, secured)).await?;
        let (to, _) = listener.accept().await?;
        let mut from = TcpStream::connect(self.source).await?;
        to.set_nodelay(true)?;
        from.write_u64(length).await?;
        Ok((from, to))
    }

    /// The TLS handshake with the drain.
    pub(super) async fn secure(&self, to: TcpStream) -> anyhow::Result<TlsStream<TcpStream>> {
        Ok(self.acceptor.accept(to).await?)
    }
}

/// What a flow of this length is made of.
pub(super) fn digest(length: u64) -> Digest {
    Digest::of(&vec![BYTE; usize::try_from(length).unwrap_or(0)])
}

async fn send(mut stream: TcpStream) -> std::io::Result<()> {
    let mut left = stream.read_u64().await?;
    let bytes = vec![BYTE; 64 << 10];
    while left > 0 {
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        stream.write_all(&bytes[..length]).await?;
        left -= length as u64;
    }
    stream.shutdown().await
}

async fn drain(mut stream: impl tokio::io::AsyncRead + Unpin) -> std::io::Result<()> {
    let mut buffer = vec![0; 256 << 10];
    while stream.read(&mut buffer).await? > 0 {}
    Ok(())
}

const BYTE: u8 = b'.';
