//! A rogue's connection to the attester: the generated client over one TLS connection.

use std::{io, net::SocketAddr, sync::Mutex};

use hyper_util::rt::TokioIo;
use proto::{
    attest::{ToAgent, ToAttester, peer_verification_client::PeerVerificationClient, to_attester},
    ids::ChannelBinding,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Streaming, transport::Endpoint};

use crate::{gate::connect_from, tls};

/// An open session.
pub(super) struct Channel {
    pub(super) inbound: Streaming<ToAgent>,
    pub(super) outbound: mpsc::Sender<ToAttester>,
    pub(super) binding: ChannelBinding,
}

/// Opens a session from the address of `from`.
pub(super) async fn open(attester: SocketAddr, from: SocketAddr) -> anyhow::Result<Channel> {
    let stream = connect_from(from, attester).await?;
    let stream = tls::connector(&[b"h2"])?.connect(tls::no_name(), stream).await?;
    let binding = tls::channel_binding(stream.get_ref().1)?;
    let slot = Mutex::new(Some(TokioIo::new(stream)));
    let connector = tower::service_fn(move |_: http::Uri| {
        let taken = slot.lock().map(|mut slot| slot.take()).unwrap_or_default();
        std::future::ready(taken.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)))
    });
    let connection = Endpoint::from_shared(format!("http://{attester}"))?
        .connect_with_connector(connector)
        .await?;
    let (outbound, queue) = mpsc::channel(32);
    let response = PeerVerificationClient::new(connection)
        .session(ReceiverStream::new(queue))
        .await?;
    Ok(Channel {
        inbound: response.into_inner(),
        outbound,
        binding,
    })
}

impl Channel {
    /// Sends a message.
    pub(super) async fn say(&self, message: to_attester::Message) -> anyhow::Result<()> {
        Ok(self.outbound.send(ToAttester { message: Some(message) }).await?)
    }
}
