//! A gate in front of a server: while it is open it passes connections on, closed it is a server that is down.
//!
//! A connection leaves the gate from the address that it came from, so that the server sees its real source.

use std::{
    io,
    net::SocketAddr,
    sync::{Mutex, PoisonError},
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpSocket, TcpStream},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// A gate; it closes when dropped.
#[derive(Debug)]
pub struct Gate {
    address: SocketAddr,
    to: SocketAddr,
    open: Mutex<Option<Passage>>,
}

#[derive(Debug)]
struct Passage {
    token: CancellationToken,
    tasks: TaskTracker,
}

impl Gate {
    /// Takes an address at which the gate will be, given as `at` (whose port may be 0).
    pub(crate) async fn reserve(at: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
        let listener = TcpListener::bind(at).await?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    }

    /// An open gate at a reserved address.
    pub(crate) fn new(listener: TcpListener, to: SocketAddr) -> io::Result<Self> {
        let gate = Self {
            address: listener.local_addr()?,
            to,
            open: Mutex::default(),
        };
        gate.pass(listener);
        Ok(gate)
    }

    /// Where it is.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Breaks every connection and refuses new ones. When this returns nothing passes any more.
    pub async fn close(&self) {
        let passage = self.open.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(passage) = passage {
            passage.token.cancel();
            passage.tasks.close();
            passage.tasks.wait().await;
        }
    }

    /// Passes connections again.
    ///
    /// # Errors
    /// When its port was taken meanwhile.
    pub async fn open(&self) -> io::Result<()> {
        self.close().await;
        self.pass(TcpListener::bind(self.address).await?);
        Ok(())
    }

    fn pass(&self, listener: TcpListener) {
        let (token, tasks) = (CancellationToken::new(), TaskTracker::new());
        let passage = Passage {
            token: token.clone(),
            tasks: tasks.clone(),
        };
        let to = self.to;
        tasks.clone().spawn(async move {
            loop {
                let accepted = tokio::select! {
                    () = token.cancelled() => return,
                    accepted = listener.accept() => accepted,
                };
                if let Ok((client, source)) = accepted {
                    let token = token.clone();
                    tasks.spawn(async move {
                        let passing = pass_on(client, source, to);
                        // How a connection ends is nothing to the gate.
                        let _ = token.run_until_cancelled(passing).await;
                    });
                }
            }
        });
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = Some(passage);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        if let Some(passage) = self.open.get_mut().unwrap_or_else(PoisonError::into_inner) {
            passage.token.cancel();
        }
    }
}

async fn pass_on(mut client: TcpStream, source: SocketAddr, to: SocketAddr) -> io::Result<()> {
    let mut server = connect_from(source, to).await?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

/// Connects from the address, not the port, of `from`.
pub(crate) async fn connect_from(from: SocketAddr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from.ip(), 0))?;
    let stream = socket.connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
