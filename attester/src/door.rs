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

#[cfg(all(test, unix))]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::{env, process::Command};

    use tokio::time::timeout;

    use super::*;

    /// The limit of open files is a process's, so this test runs itself once more in a process that may have few.
    #[tokio::test]
    async fn a_door_outlives_the_want_of_file_descriptors() {
        if env::var_os(FEW_FILES).is_some() {
            return run_out_of_files().await;
        }
        let myself = env::current_exe().unwrap();
        let test = "door::tests::a_door_outlives_the_want_of_file_descriptors";
        let output = Command::new("sh")
            .args(["-c", r#"ulimit -n 64 && exec "$0" --exact "$1""#])
            .arg(myself)
            .arg(test)
            .env(FEW_FILES, "yes")
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && told.contains("1 passed"), "{told}");
    }

    async fn run_out_of_files() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let token = CancellationToken::new();
        let mut door = Door::new(listener, "test");
        let mut clients = Vec::new();
        while let Ok(client) = TcpStream::connect(address).await {
            clients.push(client); // each waits in the listener's queue
        }
        assert!(clients.len() > 10);
        assert!(timeout(3 * ERROR_PAUSE, door.next(&token)).await.is_err());
        assert!(door.failing);
        clients.pop();
        assert!(door.next(&token).await.is_some());
        assert!(!door.failing);
        token.cancel();
        assert!(door.next(&token).await.is_none());
    }

    const FEW_FILES: &str = "DOOR_TEST_WITH_FEW_FILES";
}
