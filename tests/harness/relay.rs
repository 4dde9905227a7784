//! A relay that ends the TLS of an agent and makes its own to the attester: what a TLS-intercepting proxy does, and what an
//! attacker does who wants to register as somebody else's address.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{gate::connect_from, tls};

/// A running relay; it ends when dropped.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    token: CancellationToken,
}

impl Relay {
    /// Relays sessions to the attester at `to`; its own connections leave from `from`.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn start(to: SocketAddr, from: IpAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
        let relay = Self {
            address: listener.local_addr()?,
            token: CancellationToken::new(),
        };
        let (acceptor, connector) = (tls::fresh_acceptor(&[b"h2"])?, tls::connector(&[b"h2"])?);
        let token = relay.token.clone();
        tokio::spawn(async move {
            let tasks = TaskTracker::new();
            while let Some(accepted) = token.run_until_cancelled(listener.accept()).await {
                let Ok((agent, _)) = accepted else { continue };
                let (acceptor, connector, token) = (acceptor.clone(), connector.clone(), token.clone());
                tasks.spawn(async move {
                    // How a relayed session ends is the business of those at its ends.
                    let _ = token
                        .run_until_cancelled(carry(agent, acceptor, connector, to, from))
                        .await;
                });
            }
        });
        Ok(relay)
    }

    /// Where agents reach it.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.token.cancel();
    }
}

async fn carry(
    agent: TcpStream,
    acceptor: TlsAcceptor,
    connector: TlsConnector,
    to: SocketAddr,
    from: IpAddr,
) -> io::Result<()> {
    let mut agent = acceptor.accept(agent).await?;
    let attester = connect_from((from, 0).into(), to).await?;
    let mut attester = connector.connect(tls::no_name(), attester).await?;
    copy_bidirectional(&mut agent, &mut attester).await?;
    Ok(())
}
