//! What stands at a hostile peer's port: a door that leads to its give mode server while the peer behaves, and plays a trick
//! afterwards.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpSocket, TcpStream},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::{behaviour::Trick, cue::Cue, tls};

/// A door that listens.
pub(crate) struct Door {
    pub(crate) listener: TcpListener,
    /// The give mode server behind it.
    pub(crate) inner: SocketAddr,
    pub(crate) trick: Trick,
    pub(crate) cue: Cue,
    /// With the key that the trick needs.
    pub(crate) tls: TlsAcceptor,
}

impl Door {
    /// Lets connections in until its runtime ends, or, if that is the trick, until its moment has come.
    pub(crate) async fn run(self) {
        let mut cue = self.cue.clone();
        loop {
            let accepted = tokio::select! {
                () = cue.comes(), if matches!(self.trick, Trick::Close | Trick::Fill) => {
                    if self.trick == Trick::Fill {
                        let _queue = fill(&self.listener).await;
                        std::future::pending::<()>().await;
                    }
                    return;
                }
                accepted = self.listener.accept() => accepted,
            };
            if let Ok((client, _)) = accepted {
                let trick = self.cue.has_come().then_some(self.trick);
                let (inner, tls) = (self.inner, self.tls.clone());
                tokio::spawn(async move {
                    // How a client takes it is of no interest.
                    let _ = Box::pin(receive(client, inner, trick, tls)).await;
                });
            }
        }
    }
}

/// Listens as the give mode server does: a restarted peer gets its port back at once. The queue is short, so that it can be filled.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(SHORT)
}

/// Fills a listener's queue: as long as nothing is accepted and what this returns is kept, the kernel drops what else comes.
pub(crate) async fn fill(listener: &TcpListener) -> io::Result<Vec<TcpStream>> {
    let address = listener.local_addr()?;
    let mut waiting = Vec::new();
    // The first that is not connected at once is one too many.
    while let Ok(connected) = tokio::time::timeout(AT_ONCE, TcpStream::connect(address)).await {
        waiting.push(connected?);
    }
    Ok(waiting)
}

/// A server without TLS.
pub(crate) async fn plain(listener: TcpListener) {
    while let Ok((mut client, _)) = listener.accept().await {
        tokio::spawn(async move {
            let _ = client.write_all(NO_TLS).await;
            let _ = drain(&mut client).await;
        });
    }
}

async fn receive(mut client: TcpStream, inner: SocketAddr, trick: Option<Trick>, tls: TlsAcceptor) -> io::Result<()> {
    match trick {
        None => {
            let mut server = TcpStream::connect(inner).await?;
            copy_bidirectional(&mut client, &mut server).await.map(|_| ())
        }
        Some(Trick::Close | Trick::Fill) => Ok(()),
        Some(Trick::Silence) => drain(&mut client).await,
        Some(Trick::NoTls) => {
            client.write_all(NO_TLS).await?;
            drain(&mut client).await
        }
        Some(Trick::OtherKey | Trick::Mute) => drain(&mut tls.accept(client).await?).await,
        Some(Trick::HangUp) => {
            let mut client = tls.accept(client).await?;
            // Once it was asked something: whoever hangs up before may be taken for one that breaks TLS.
            let _ = client.read(&mut vec![0; 1024]).await?;
            client.shutdown().await
        }
        Some(Trick::OtherTunnel) => mixed_up(tls.accept(client).await?, inner).await,
        Some(Trick::Endless(first, again)) => {
            let mut client = tls.accept(client).await?;
            let _ = client.read(&mut vec![0; 1024]).await?;
            client.write_all(first.as_bytes()).await?;
            // Until the client has had enough of it.
            loop {
                client.write_all(again.as_bytes()).await?;
            }
        }
        Some(Trick::Answer(answer)) => {
            let mut client = tls.accept(client).await?;
            let mut buffer = vec![0; 16 << 10];
            while client.read(&mut buffer).await? > 0 {
                client.write_all(answer.as_bytes()).await?;
                client.flush().await?;
            }
            Ok(())
        }
    }
}

/// Carries what comes to the give mode server and back, but for the id in the first answer.
async fn mixed_up(mut client: TlsStream<TcpStream>, inner: SocketAddr) -> io::Result<()> {
    let connector = tls::connector(&[]).map_err(io::Error::other)?;
    let mut server = connector
        .connect(tls::no_name(), TcpStream::connect(inner).await?)
        .await?;
    // Clients send their first request at once.
    let (mut asked, mut answer) = (vec![0; 16 << 10], Vec::new());
    let length = client.read(&mut asked).await?;
    server.write_all(&asked[..length]).await?;
    server.flush().await?;
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(server.read_u8().await?);
    }
    client.write_all(as_another(&answer)?.as_bytes()).await?;
    client.flush().await?;
    copy_bidirectional(&mut client, &mut server).await.map(|_| ())
}

/// The head of an answer, whose tunnel has another id in it.
fn as_another(head: &[u8]) -> io::Result<String> {
    let head = str::from_utf8(head).map_err(io::Error::other)?;
    let (before, own) = head
        .split_once("X-Enproxy-Id: ")
        .ok_or_else(|| io::Error::other("an answer without an id"))?;
    let rest = own.split_once("\r\n").map_or("", |(_, rest)| rest);
    Ok(format!("{before}X-Enproxy-Id: {OTHER_TUNNEL}\r\n{rest}"))
}

/// Takes what comes, and says nothing.
async fn drain(client: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<()> {
    let mut buffer = vec![0; 4096];
    while client.read(&mut buffer).await? > 0 {}
    Ok(())
}

const NO_TLS: &[u8] = b"220 mail.example ESMTP, what can I do for you?\r\n";
const OTHER_TUNNEL: &str = "9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d";
const SHORT: u32 = 8;
/// A connection to a listener with room stands at once on loopback.
const AT_ONCE: std::time::Duration = std::time::Duration::from_millis(300);
