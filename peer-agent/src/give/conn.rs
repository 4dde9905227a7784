//! A client's connection: bounded input, deadlines on everything a client may be slow at.

use std::{io, time::Duration};

use bytes::{Buf, BytesMut};
use proto::tunnel::{self, BodyError, BodyReader, HeadError, MAX_HEAD, Request};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{Instant, timeout, timeout_at},
};

use super::config::Limits;

/// The server's end of one client connection.
pub(super) struct Conn<S> {
    stream: S,
    /// Received and not yet used.
    input: BytesMut,
    head: Duration,
    keep_alive: Duration,
    stall: Duration,
}

/// Why a connection cannot be used any further.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnError {
    #[error("the client closed the connection")]
    Closed,
    #[error("the connection broke")]
    Io(#[source] io::Error),
    #[error("the client sent no whole request head in time")]
    SlowHead,
    #[error("the client made no progress in time")]
    Stalled,
    #[error("a request of HTTP/1.1 names the one host that it is for in Host")]
    Host,
    #[error("bad request head")]
    Head(#[source] HeadError),
    #[error("bad request body")]
    Body(#[source] BodyError),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Conn<S> {
    pub(super) fn new(stream: S, limits: &Limits) -> Self {
        let Limits {
            head,
            keep_alive,
            stall,
            ..
        } = *limits;
        Self {
            stream,
            input: BytesMut::new(),
            head,
            keep_alive,
            stall,
        }
    }

    /// The next request head; `None` when the client closed or stayed silent between two requests, as it may, and before the first
    /// one as well: real clients open a connection for later writes when they open a tunnel, and may have nothing to write for long.
    pub(super) async fn request(&mut self) -> Result<Option<Request>, ConnError> {
        if self.input.is_empty() {
            match timeout(self.keep_alive, self.fill()).await {
                Ok(Ok(0)) | Err(_) => return Ok(None),
                Ok(read) => read.map_err(ConnError::Io)?,
            };
        }
        let deadline = Instant::now() + self.head;
        loop {
            if let Some((request, length)) = tunnel::decode_request(&self.input).map_err(ConnError::Head)? {
                self.input.advance(length);
                // CONNECT names its host in the target, and the real servers look at nothing else.
                if matches!(&request, Request::Enproxy(request) if !request.is_addressed()) {
                    return Err(ConnError::Host);
                }
                return Ok(Some(request));
            }
            match timeout_at(deadline, self.fill()).await {
                Ok(Ok(0)) => return Err(ConnError::Closed),
                Ok(read) => read.map_err(ConnError::Io)?,
                Err(_) => return Err(ConnError::SlowHead),
            };
        }
    }

    /// The next run of body bytes, empty at the body's end.
    pub(super) async fn piece(&mut self, body: &mut BodyReader) -> Result<BytesMut, ConnError> {
        loop {
            let piece = body.read(&self.input).map_err(ConnError::Body)?;
            let (consumed, length) = (piece.consumed, piece.data.len());
            let mut bytes = self.input.split_to(consumed);
            if length > 0 || body.is_done() {
                bytes.advance(consumed - length);
                return Ok(bytes);
            }
            drop(bytes);
            match timeout(self.stall, self.fill()).await {
                Ok(Ok(0)) => return Err(ConnError::Body(BodyError::Truncated)),
                Ok(read) => read.map_err(ConnError::Io)?,
                Err(_) => return Err(ConnError::Stalled),
            };
        }
    }

    /// Reads past the rest of a body that nobody wants. False when it is too long or too slow for that, and the connection must be closed.
    pub(super) async fn discard(&mut self, body: &mut BodyReader) -> Result<bool, ConnError> {
        let deadline = Instant::now() + self.head;
        let mut total = 0;
        while !body.is_done() {
            match timeout_at(deadline, self.piece(body)).await {
                Ok(bytes) => total += bytes?.len(),
                Err(_) => return Ok(false),
            }
            if total > MAX_DISCARD {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Is there room to read ahead?
    pub(super) fn has_room(&self) -> bool {
        self.input.len() < MAX_HEAD
    }

    /// Reads whatever arrives; 0 when the client closed. Nothing is lost when the future is dropped.
    pub(super) async fn fill(&mut self) -> io::Result<usize> {
        self.input.reserve(READ);
        // Not more than was reserved, whatever the allocator gave.
        (&mut self.stream).take(READ as u64).read_buf(&mut self.input).await
    }

    /// Sends bytes. The client must take them in portions of [`SEND`] within the stall time each.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> Result<(), ConnError> {
        for portion in bytes.chunks(SEND) {
            self.in_time(async |stream| stream.write_all(portion).await).await?;
        }
        self.in_time(async |stream| stream.flush().await).await
    }

    /// Ends the connection so that what was sent arrives: closing with unread input would make the kernel send a reset, which
    /// discards it at the client (RFC 9112 section 9.6).
    pub(super) async fn close(mut self) {
        let ending = async {
            self.stream.shutdown().await?;
            let mut total = 0;
            while total < MAX_DISCARD {
                self.input.clear();
                match self.fill().await? {
                    0 => break,
                    read => total += read,
                }
            }
            Ok::<(), io::Error>(())
        };
        // Nothing to do about a client that does not let the connection end in good order.
        let _ = timeout(LAST_WORDS, ending).await;
    }

    /// The stream and what was received beyond the last request head.
    pub(super) fn into_parts(self) -> (S, BytesMut) {
        (self.stream, self.input)
    }

    async fn in_time(&mut self, step: impl AsyncFnOnce(&mut S) -> io::Result<()>) -> Result<(), ConnError> {
        match timeout(self.stall, step(&mut self.stream)).await {
            Ok(done) => done.map_err(ConnError::Io),
            Err(_) => Err(ConnError::Stalled),
        }
    }
}

/// Most bytes read at a time: one TLS record.
const READ: usize = 16 * 1024;
/// Bytes sent in one go.
const SEND: usize = 64 * 1024;
/// Longest unwanted body that is read to keep a connection, as in Go's server.
const MAX_DISCARD: usize = 256 * 1024;
/// How long a closing connection is listened to.
const LAST_WORDS: Duration = Duration::from_secs(1);
