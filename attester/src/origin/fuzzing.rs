//! For the `fuzz` crate only, and no part of the interface: an origin without a socket.

use std::{net::SocketAddr, sync::Arc};

use proto::{ids::Destination, time::Clock};
use rand::CryptoRng;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{Semaphore, watch},
};
use tokio_util::sync::CancellationToken;

use super::{Arrivals, Limits, OriginKeys, answer::Answers, body::BodySecret};

/// An origin that serves whatever stream it is given.
pub struct Server(Arc<Answers>);

impl Server {
    /// An origin that has just started. It remembers `remembered` challenges and sends as many bodies at a time.
    pub fn new(
        destination: Destination,
        keys: OriginKeys,
        clock: Clock,
        remembered: usize,
        rng: &mut impl CryptoRng,
    ) -> Self {
        let (_, keys) = watch::channel(Arc::new(keys));
        Self(Arc::new(Answers {
            destination,
            accepts_from: clock.now().seconds(),
            keys,
            clock,
            secret: BodySecret::new(rng),
            arrivals: Arrivals::new(remembered),
            bodies: Arc::new(Semaphore::new(remembered)),
            metrics: Arc::default(),
        }))
    }

    /// Which challenges arrived.
    pub fn arrivals(&self) -> Arrivals {
        self.0.arrivals.clone()
    }

    /// Serves one connection.
    pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S, source: SocketAddr) {
        let token = CancellationToken::new();
        super::exchange(stream, source, Arc::clone(&self.0), Limits::default(), token).await;
    }
}
