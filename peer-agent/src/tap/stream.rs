//! A connection with the tap in it: what the host writes to a destination and reads from it, and how that ended.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Flow, FlowEnd};

/// A host's connection to a destination. What goes through it is reported while the tap is armed for that destination, and
/// passed on as it is otherwise. Dropped, it tells that the host closed the connection.
#[derive(Debug)]
pub struct Tapped<S> {
    stream: S,
    /// Gone after its end was told.
    flow: Option<Flow>,
}

impl<S> Tapped<S> {
    pub(super) const fn new(stream: S, flow: Option<Flow>) -> Self {
        Self { stream, flow }
    }

    /// Whether anything is reported of it.
    pub fn is_watched(&self) -> bool {
        self.flow.as_ref().is_some_and(Flow::is_watched)
    }

    /// The connection itself.
    pub const fn get_ref(&self) -> &S {
        &self.stream
    }

    /// Reports a piece; once nothing more is wanted the connection is as it was.
    fn report(&mut self, report: impl FnOnce(&mut Flow)) {
        if let Some(flow) = &mut self.flow {
            report(flow);
            if !flow.is_watched() {
                self.flow = None;
            }
        }
    }

    fn end(&mut self, end: FlowEnd) {
        if let Some(flow) = self.flow.take() {
            flow.end(end);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Tapped<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = ready!(Pin::new(&mut self.stream).poll_read(context, buf));
        let room = buf.capacity() > before;
        match (&result, &buf.filled()[before..]) {
            (Err(_), _) => self.end(FlowEnd::DestinationError),
            (Ok(()), []) if room => self.end(FlowEnd::DestinationEof),
            (Ok(()), bytes) => self.report(|flow| flow.down(bytes)),
        }
        Poll::Ready(result)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tapped<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = ready!(Pin::new(&mut self.stream).poll_write(context, bytes));
        match &result {
            // Nobody reads meanwhile: a half of this connection holds it whole while it is polled.
            Ok(written) => self.report(|flow| flow.up(&bytes[..*written])),
            Err(_) => self.end(FlowEnd::DestinationError),
        }
        Poll::Ready(result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    /// Several buffers at once only where nothing is reported: nothing is lost by that, a watched flow is a short one.
    fn is_write_vectored(&self) -> bool {
        self.flow.is_none() && self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.flow.is_none() {
            return Pin::new(&mut self.stream).poll_write_vectored(context, buffers);
        }
        let first = buffers.iter().find(|buffer| !buffer.is_empty());
        self.poll_write(context, first.map_or(&[], |buffer| buffer))
    }
}
