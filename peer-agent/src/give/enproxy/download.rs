//! The reading half of an exchange: what a destination sends becomes the body of a response.

use std::{io, sync::Arc};

use futures_util::FutureExt;
use proto::tunnel::{Framing, Version, encode_chunk, encode_last_chunk, enproxy::Call};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite},
    select,
    time::{Instant, sleep_until, timeout, timeout_at},
};

use super::{
    super::{
        conn::ConnError,
        tunnels::{End, Ends, Failure, Reader, Tunnel},
    },
    Exchange,
};

impl<S: AsyncRead + AsyncWrite + Unpin> Exchange<'_, S> {
    /// What the destination sends, until it is silent or ends.
    pub(super) async fn download(
        &mut self,
        call: &Call,
        tunnel: &Arc<Tunnel>,
        ends: &Ends,
        first: bool,
    ) -> Result<(), ConnError> {
        let limits = &self.shared.config.limits;
        let deadline = Instant::now() + if first { limits.gap } else { limits.poll };
        // Taken when an earlier read of this id is still at it, on a connection whose loss nobody has noticed yet.
        let Ok(mut reader) = timeout_at(deadline, ends.reader.lock()).await else {
            return self.respond(call, false, &[]).await;
        };
        if reader.ended {
            return self.respond(call, true, &[]).await;
        }
        let mut buffer = vec![0; reader.pacer.portion(BUFFER)];
        match self.wait(tunnel, &mut reader, deadline, &mut buffer).await? {
            Waited::Silence => self.respond(call, false, &[]).await,
            Waited::Closed(end) => self.after_end(end, call).await,
            Waited::Read(Ok(0)) => {
                reader.end(tunnel);
                self.respond(call, true, &[]).await
            }
            // The response just ends; the next one says so. A reset looks like a close, as it does in the Go server.
            Waited::Read(Err(_)) => {
                reader.end(tunnel);
                self.respond(call, false, &[]).await
            }
            Waited::Read(Ok(length)) => {
                let sent = self.stream(call, tunnel, &mut reader, &mut buffer, length).await;
                if sent.is_err() {
                    let failure =
                        Failure::new(500, "A response could not be delivered: bytes of this tunnel were lost");
                    self.shared.tunnels.bury(tunnel, End::Failed(failure));
                }
                sent
            }
        }
    }

    /// Waits for the destination's first bytes, and notices when the client is gone, so that none are read for nobody.
    async fn wait(
        &mut self,
        tunnel: &Tunnel,
        reader: &mut Reader,
        deadline: Instant,
        buffer: &mut [u8],
    ) -> Result<Waited, ConnError> {
        loop {
            select! {
                biased;
                read = reader.half.read(buffer) => return Ok(Waited::Read(read)),
                end = tunnel.closed() => return Ok(Waited::Closed(end)),
                () = self.shared.stopping.cancelled() => {
                    self.keep = false;
                    return Ok(Waited::Silence);
                }
                () = sleep_until(deadline) => return Ok(Waited::Silence),
                read = self.conn.fill(), if self.conn.has_room() => match read {
                    Ok(0) => return Err(ConnError::Closed),
                    Ok(_) => {}
                    Err(error) => return Err(ConnError::Io(error)),
                },
            }
        }
    }

    /// Sends the `length` bytes at the start of the buffer, then what follows without a gap.
    async fn stream(
        &mut self,
        call: &Call,
        tunnel: &Tunnel,
        reader: &mut Reader,
        buffer: &mut [u8],
        length: usize,
    ) -> Result<(), ConnError> {
        let gap = self.shared.config.limits.gap;
        let mut length = reader.gather(tunnel, buffer, length);
        if reader.ended {
            return self.respond(call, false, &buffer[..length]).await;
        }
        let chunked = self.version == Version::Http11;
        self.keep &= chunked;
        let mut out = Vec::with_capacity(length + 512);
        self.head(
            call,
            200,
            false,
            if chunked { Framing::Chunked } else { Framing::UntilClose },
        )
        .encode(&mut out);
        loop {
            tunnel.activity.touch();
            if chunked {
                encode_chunk(&mut out, &buffer[..length])
            } else {
                out.extend_from_slice(&buffer[..length])
            }
            self.conn.send(&out).await?;
            out.clear();
            reader.pacer.spend(length).await;
            length = select! {
                biased;
                read = timeout(gap, reader.half.read(buffer)) => match read {
                    Ok(Ok(read)) if read > 0 => reader.gather(tunnel, buffer, read),
                    Ok(_) => { reader.end(tunnel); 0 }
                    Err(_) => 0,
                },
                _ = tunnel.closed() => 0,
            };
            if length == 0 {
                break;
            }
        }
        if chunked {
            encode_last_chunk(&mut out);
            self.conn.send(&out).await?;
        }
        Ok(())
    }
}

/// How waiting for the destination ended.
enum Waited {
    /// This many bytes, or an error.
    Read(io::Result<usize>),
    Silence,
    Closed(End),
}

impl Reader {
    fn end(&mut self, tunnel: &Tunnel) {
        self.ended = true;
        tunnel.mark_ended();
    }

    /// Adds what is there already to the `length` bytes in the buffer, and notices an end that is there already.
    fn gather(&mut self, tunnel: &Tunnel, buffer: &mut [u8], mut length: usize) -> usize {
        while length < buffer.len() {
            match self.half.read(&mut buffer[length..]).now_or_never() {
                Some(Ok(read)) if read > 0 => length += read,
                Some(_) => {
                    self.end(tunnel);
                    break;
                }
                None => break,
            }
        }
        length
    }
}

/// Bytes read from a destination at a time.
const BUFFER: usize = 32 * 1024;
