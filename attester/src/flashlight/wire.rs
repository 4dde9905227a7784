//! One connection and its read buffer.

use std::{fmt, io, time::Duration};

use proto::tunnel::{ErrorBody, HeadError, MAX_HEAD, enproxy::PROXY_HOST};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

use crate::model::{Finding, Reason};

/// A connection that is read through one buffer of fixed size: no peer can make it grow.
#[derive(Debug)]
pub(super) struct Wire<S> {
    stream: S,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
}

/// The other end closed or broke the connection.
#[derive(Debug)]
pub(super) struct Closed(Option<io::Error>);

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            None => f.write_str("the connection closed"),
            Some(error) => write!(f, "the connection broke: {error}"),
        }
    }
}

/// Why there is no head.
#[derive(Debug)]
pub(super) enum NoHead {
    /// It did not come.
    Closed(Closed),
    /// It is none.
    Malformed(HeadError),
}

impl NoHead {
    /// As a finding when the head was the one that opens the tunnel.
    pub(super) fn opening(&self) -> Finding {
        match self {
            Self::Closed(closed) => Finding::new(Reason::TunnelClosed, closed.to_string()),
            Self::Malformed(error) => malformed(error),
        }
    }
}

/// A head that is none. A peer's own name that nobody can send as a `Host` is no name of its.
pub(super) fn malformed(error: &HeadError) -> Finding {
    let reason = match error {
        HeadError::Unreadable(PROXY_HOST) => Reason::ProxyHost,
        _ => Reason::TunnelMalformed,
    };
    Finding::new(reason, error.to_string())
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(super) fn new(stream: S) -> Self {
        // A decoder that has this much decides, so a head always fits.
        Self {
            stream,
            buffer: vec![0; MAX_HEAD].into(),
            start: 0,
            end: 0,
        }
    }

    /// What has come and was not yet consumed.
    pub(super) fn unread(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Is done with the first `count` unread bytes.
    pub(super) fn consume(&mut self, count: usize) {
        self.start = self.end.min(self.start.saturating_add(count));
    }

    /// Waits for more. Not to be called with a full buffer of unread bytes.
    pub(super) async fn fill(&mut self) -> Result<(), Closed> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        match self.stream.read(&mut self.buffer[self.end..]).await {
            Ok(0) => Err(Closed(None)),
            Ok(count) => {
                self.end += count;
                Ok(())
            }
            // TLS without close_notify: many servers end their connections like that.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(Closed(None)),
            Err(error) => Err(Closed(Some(error))),
        }
    }

    /// Writes all of `bytes`; false when the connection broke, which reading on explains.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok() && self.stream.flush().await.is_ok()
    }

    /// Reads up to a whole head and consumes it.
    pub(super) async fn head<T>(
        &mut self,
        decode: impl Fn(&[u8]) -> Result<Option<(T, usize)>, HeadError>,
    ) -> Result<T, NoHead> {
        loop {
            if let Some((head, length)) = decode(self.unread()).map_err(NoHead::Malformed)? {
                self.consume(length);
                return Ok(head);
            }
            self.fill().await.map_err(NoHead::Closed)?;
        }
    }

    /// What a peer gives as its reason for not opening a tunnel: the status, and of the text as much as comes soon.
    pub(super) async fn refusal(&mut self, status: u16, mut body: ErrorBody) -> String {
        let reading = async {
            while !body.push(self.unread()) {
                self.consume(self.unread().len());
                if self.fill().await.is_err() {
                    break;
                }
            }
        };
        // Without the text, the status still says enough.
        let _ = timeout(GRACE, reading).await;
        format!("it answered {status}: {}", body.text())
            .trim_end_matches([':', ' '])
            .to_owned()
    }

    /// Says goodbye, as far as the other end still listens.
    pub(super) async fn close(mut self) {
        let _ = timeout(GRACE, self.stream.shutdown()).await;
    }
}

/// How long a probe waits for what is welcome but not needed: the end of a tunnel after its last byte, an error's text.
pub(super) const GRACE: Duration = Duration::from_millis(500);
