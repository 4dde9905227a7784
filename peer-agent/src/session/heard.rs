//! A connection that is given up when nothing was heard on it for too long. The attester pings what is silent; to ping it as well would
//! wake it twice as often, and it has many sessions.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

/// A stream that must be heard from.
pub(super) struct Heard<S> {
    stream: S,
    within: Duration,
    silent: Pin<Box<Sleep>>,
}

impl<S> Heard<S> {
    /// `stream`, whose reads fail once it was silent for `within`.
    pub(super) fn new(stream: S, within: Duration) -> Self {
        Self {
            stream,
            within,
            silent: Box::pin(sleep(within)),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Heard<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if read.is_ready() {
            let latest = Instant::now() + self.within;
            self.silent.as_mut().reset(latest);
            return read;
        }
        self.silent.as_mut().poll(cx).map(|()| {
            let silence = format!("nothing was heard for {} s", self.within.as_secs());
            Err(io::Error::new(io::ErrorKind::TimedOut, silence))
        })
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Heard<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, duplex},
        time::advance,
    };

    use super::*;

    /// In virtual time.
    #[tokio::test(start_paused = true)]
    async fn silence_ends_it_and_a_byte_keeps_it() {
        let (mut far, near) = duplex(64);
        let mut near = Heard::new(near, Duration::from_secs(150));
        let mut buffer = [0; 8];
        for _ in 0..3 {
            advance(Duration::from_secs(140)).await;
            far.write_all(b"ping").await.unwrap();
            assert_eq!(near.read(&mut buffer).await.unwrap(), 4);
        }
        let begun = Instant::now();
        let error = near.read(&mut buffer).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(error.to_string().contains("150 s"), "{error}");
        assert!(begun.elapsed() >= Duration::from_secs(149));
        // What is written is not what is heard.
        near.write_all(b"pong").await.unwrap();
        near.read(&mut buffer).await.unwrap_err();
    }
}
