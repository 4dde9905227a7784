//! For the `fuzz` crate and the tests over captures, and no part of the interface: the server's side of client connections over
//! any streams, without TLS.

use std::{net::IpAddr, sync::Arc};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use super::{Config, Dial, Shared};
use crate::tap::Tap;

/// A server to which connections are brought. They share its tunnels.
pub struct Server(Shared);

impl Server {
    /// A server whose destinations are reached by `dialer` alone.
    pub fn new(config: Config, dialer: Arc<dyn Dial>) -> Self {
        Self(Shared::new(
            config,
            Tap::disconnected(),
            dialer,
            CancellationToken::new(),
        ))
    }

    /// Serves a client's connection until it ends.
    pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S, source: IpAddr) {
        super::serve(&self.0, stream, source).await;
    }

    /// Gives up the tunnels that have been idle for too long, as a running server does about once a second.
    pub fn sweep(&self) {
        self.0.tunnels.sweep();
    }

    /// Gives all tunnels up.
    pub fn clear(&self) {
        self.0.tunnels.clear();
    }
}

/// Serves a client's connection until it ends, and gives its tunnels up. Destinations are reached by `dialer` alone.
pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    config: Config,
    dialer: Arc<dyn Dial>,
    stream: S,
    source: IpAddr,
) {
    let server = Server::new(config, dialer);
    server.serve(stream, source).await;
    server.clear();
}
