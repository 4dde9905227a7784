//! The door of a listener that strangers reach: accepting that outlives its errors, and the seats inside.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

mod seats;

pub(crate) use seats::{Full, Seat, Seats};

/// A listener that hands out connections until it is told to stop.
pub(crate) struct Door {
    listener: TcpListener,
    /// Whose door, in logs.
    whose: &'static str,
    failing: bool,
}

impl Door {
    pub(crate) const fn new(listener: TcpListener, whose: &'static str) -> Self {
        Self {
            listener,
            whose,
            failing: false,
        }
    }

    /// The next connection; `None` once the token is cancelled.
    pub(crate) async fn next(&mut self, token: &CancellationToken) -> Option<(TcpStream, SocketAddr)> {
        loop {
            match token.run_until_cancelled(self.listener.accept()).await? {
                Ok(accepted) => {
                    self.failing = false;
                    return Some(accepted);
                }
                Err(error) if is_the_connections(&error) => {
                    debug!(%error, whose = self.whose, "a connection ended while it waited");
                }
                Err(error) => {
                    if !self.failing {
                        warn!(%error, whose = self.whose, "cannot accept connections; trying on");
                    }
                    self.failing = true;
                    token.run_until_cancelled(sleep(ERROR_PAUSE)).await?;
                }
            }
        }
    }
}

/// Whether an accept failed because of the one connection that it was about (accept(2)).
fn is_the_connections(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};

    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

/// No more file descriptors, say: without a pause the error would come back without end.
const ERROR_PAUSE: Duration = Duration::from_millis(100);
