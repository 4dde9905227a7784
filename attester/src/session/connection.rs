//! One TLS connection as tonic serves it: what the session must know of it, and the hand on its throat.
//!
//! tonic gives no way to end a connection, nor does it tell how one ended, so the stream under it does both.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use proto::ids::ChannelBinding;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::{CancellationToken, DropGuard, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;

use crate::door::{Full, Seat};

use super::How;

/// What is known of a connection once its handshake is done.
#[derive(Debug)]
pub(super) struct Connection {
    /// Where it comes from; a mapped IPv4 address as itself.
    pub(super) source: SocketAddr,
    /// Its channel binding (RFC 9266).
    pub(super) binding: ChannelBinding,
    /// Why it cannot have a session, when there are too many.
    pub(super) full: Option<Full>,
    /// Cancelled when it is gone.
    pub(super) gone: CancellationToken,
    /// Cancel it, and the connection goes.
    pub(super) abort: CancellationToken,
    has_stream: AtomicBool,
    ended: OnceLock<How>,
}

impl Connection {
    pub(super) fn new(
        source: SocketAddr,
        binding: ChannelBinding,
        full: Option<Full>,
        abort: CancellationToken,
    ) -> Self {
        Self {
            source,
            binding,
            full,
            gone: CancellationToken::new(),
            abort,
            has_stream: AtomicBool::new(false),
            ended: OnceLock::new(),
        }
    }

    /// Notes that a stream was opened; `false` when there was one already.
    pub(super) fn open_stream(&self) -> bool {
        !self.has_stream.swap(true, Ordering::Relaxed)
    }

    /// How the other end let go of it, as far as the transport saw.
    pub(super) fn ended(&self) -> Option<How> {
        self.ended.get().copied()
    }

    fn note(&self, how: How) {
        let _ = self.ended.set(how);
    }
}

/// The bytes of a connection.
pub(super) struct SessionStream {
    tls: TlsStream<TcpStream>,
    connection: Arc<Connection>,
    aborted: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Until a stream must be open.
    idle: Option<Pin<Box<Sleep>>>,
    _gone: DropGuard,
    _seat: Seat,
}

impl SessionStream {
    /// `idle` is how long it may stay without a stream.
    pub(super) fn new(tls: TlsStream<TcpStream>, connection: Arc<Connection>, seat: Seat, idle: Duration) -> Self {
        Self {
            tls,
            aborted: Box::pin(connection.abort.clone().cancelled_owned()),
            idle: Some(Box::pin(sleep(idle))),
            _gone: connection.gone.clone().drop_guard(),
            connection,
            _seat: seat,
        }
    }

    /// Its socket, for a look at how the kernel was told to treat it.
    #[cfg(test)]
    pub(super) fn socket(&self) -> &TcpStream {
        self.tls.get_ref().0
    }

    /// An error when the connection must end. Asked at every turn: h2 does not read while it cannot write, and the other
    /// way round.
    fn poll_must_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        if self.aborted.as_mut().poll(cx).is_ready() {
            return Poll::Ready(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                "the attester closes the connection",
            ));
        }
        if self.connection.has_stream.load(Ordering::Relaxed) {
            self.idle = None;
        }
        match self.idle.as_mut().map(|idle| idle.as_mut().poll(cx)) {
            Some(Poll::Ready(())) => {
                Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, "no session was opened in time"))
            }
            _ => Poll::Pending,
        }
    }

    fn note_error(&self, error: &io::Error) {
        use io::ErrorKind::{HostUnreachable, NetworkDown, NetworkUnreachable, TimedOut, UnexpectedEof};

        self.connection.note(match error.kind() {
            UnexpectedEof => How::Closed, // TCP ended without a goodbye of TLS: a process that was killed, say
            TimedOut | HostUnreachable | NetworkUnreachable | NetworkDown => How::Silent,
            _ => How::Reset,
        });
    }
}

impl Connected for SessionStream {
    type ConnectInfo = Arc<Connection>;

    fn connect_info(&self) -> Arc<Connection> {
        Arc::clone(&self.connection)
    }
}

impl AsyncRead for SessionStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(error) = self.poll_must_end(cx) {
            return Poll::Ready(Err(error));
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut self.tls).poll_read(cx, buf);
        match &read {
            Poll::Ready(Ok(())) if buf.filled().len() == before && buf.remaining() > 0 => {
                self.connection.note(How::Closed);
            }
            Poll::Ready(Err(error)) => self.note_error(error),
            _ => {}
        }
        read
    }
}

impl AsyncWrite for SessionStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if let Poll::Ready(error) = self.poll_must_end(cx) {
            return Poll::Ready(Err(error));
        }
        let written = Pin::new(&mut self.tls).poll_write(cx, bytes);
        if let Poll::Ready(Err(error)) = &written {
            self.note_error(error);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(error) = self.poll_must_end(cx) {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut self.tls).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(error) = self.poll_must_end(cx) {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut self.tls).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(error) = self.poll_must_end(cx) {
            return Poll::Ready(Err(error));
        }
        let written = Pin::new(&mut self.tls).poll_write_vectored(cx, slices);
        if let Poll::Ready(Err(error)) = &written {
            self.note_error(error);
        }
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.tls.is_write_vectored()
    }
}
