//! For the `fuzz` crate only, and no part of the interface: the server's side of one client connection over any stream,
//! without TLS.

use std::{net::IpAddr, sync::Arc};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use super::{Config, Dial, Shared};
use crate::tap::Tap;

/// Serves a client's connection until it ends, and gives its tunnels up. Destinations are reached by `dialer` alone.
pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    config: Config,
    dialer: Arc<dyn Dial>,
    stream: S,
    source: IpAddr,
) {
    let shared = Shared::new(config, Tap::disconnected(), dialer, CancellationToken::new());
    super::serve(&shared, stream, source).await;
    shared.tunnels.clear();
}
