//! The tap in the byte path: what the server writes to a destination and reads from it, and how that ended.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::dial::BoxStream;
use crate::tap::{Flow, FlowEnd, Tap};

/// Lays the tap around a connection to `destination` when it is armed for exactly this string; otherwise the connection stays
/// as it is.
pub(super) fn tapped(stream: BoxStream, tap: &Tap, destination: &str) -> BoxStream {
    match tap.flow(destination) {
        Some(flow) => Box::new(Tapped {
            stream,
            flow: Some(flow),
        }),
        None => stream,
    }
}

struct Tapped {
    stream: BoxStream,
    /// Gone after its end was told. Dropped with the connection otherwise, which tells that the host closed it.
    flow: Option<Flow>,
}

impl Tapped {
    fn end(&mut self, end: FlowEnd) {
        if let Some(flow) = self.flow.take() {
            flow.end(end);
        }
    }
}

impl AsyncRead for Tapped {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = ready!(Pin::new(&mut self.stream).poll_read(context, buf));
        let room = buf.capacity() > before;
        match (&result, &buf.filled()[before..]) {
            (Err(_), _) => self.end(FlowEnd::DestinationError),
            (Ok(()), []) if room => self.end(FlowEnd::DestinationEof),
            (Ok(()), bytes) => {
                if let Some(flow) = &mut self.flow {
                    flow.down(bytes);
                }
            }
        }
        Poll::Ready(result)
    }
}

impl AsyncWrite for Tapped {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = ready!(Pin::new(&mut self.stream).poll_write(context, bytes));
        match &result {
            Ok(written) => {
                if let Some(flow) = &mut self.flow {
                    flow.up(&bytes[..*written]);
                }
            }
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
}
