//! The reference of sessions: a bare tonic server as it comes, with the generated service and its buffers, over the TLS that the
//! attester has. A session is a connection of its own with one bidirectional stream, on which a message went each way. Nothing
//! else is kept of it.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use anyhow::Context as _;
use bytes::Bytes;
use hyper_util::rt::TokioIo;
use proto::attest::{
    Receipt, ToAgent, ToAttester,
    peer_verification_client::PeerVerificationClient,
    peer_verification_server::{PeerVerification, PeerVerificationServer},
    to_agent, to_attester,
};
use rustls::{pki_types::ServerName, server::NoServerSessionStorage};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{Semaphore, mpsc},
};
use tokio_rustls::{TlsAcceptor, TlsConnector, server::TlsStream};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Request, Response, Status, Streaming,
    transport::{Endpoint, Server, server::Connected},
};

use crate::{
    bare,
    roles::{self, peers::address},
    usage,
};

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) server: SocketAddr,
    /// The numbers of the clients, from which their addresses follow.
    pub(crate) first: u32,
    pub(crate) count: u32,
    /// How many connect at a time.
    pub(crate) at_once: usize,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Look;

/// What the server has now.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Held {
    pub(crate) streams: usize,
    pub(crate) resident: u64,
    /// Processor time of the process so far, in microseconds.
    pub(crate) cpu_micros: u64,
}

/// The server's process.
pub(crate) fn serve() -> anyhow::Result<()> {
    let () = roles::settings()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut config = bare::server_config()?;
    // As the attester has it: a session lasts for hours.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0)))?;
    let address = listener.local_addr()?;
    let (finished, handshaken) = mpsc::channel(16);
    runtime.spawn(accept(listener, acceptor, finished));
    let open = Arc::new(AtomicUsize::new(0));
    let service = PeerVerificationServer::new(Answers {
        open: Arc::clone(&open),
    });
    runtime.spawn(
        Server::builder()
            // As an attester asks its agents, for the processor time of that alone.
            .http2_keepalive_interval(Some(KEEPALIVE))
            .add_service(service)
            .serve_with_incoming(ReceiverStream::new(handshaken)),
    );
    roles::answer(Ok(address))?;
    roles::serve(|_: Look| {
        Ok(Held {
            streams: open.load(Ordering::Relaxed),
            resident: usage::resident()?,
            cpu_micros: u64::try_from(usage::process_cpu()?.as_micros())?,
        })
    })
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, finished: mpsc::Sender<io::Result<Secured>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, finished) = (acceptor.clone(), finished.clone());
        tokio::spawn(async move {
            stream.set_nodelay(true)?;
            let secured = Secured(acceptor.accept(stream).await?);
            // The server runs as long as the process.
            finished.send(Ok(secured)).await.map_err(io::Error::other)
        });
    }
}

/// The clients' process.
pub(crate) fn hold() -> anyhow::Result<()> {
    let settings: Settings = roles::settings()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let connector = bare::connector()?;
    runtime.spawn(async move {
        let places = Arc::new(Semaphore::new(settings.at_once));
        for number in settings.first..settings.first + settings.count {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
            let connector = connector.clone();
            tokio::spawn(async move {
                match open(settings.server, number, &connector).await {
                    Ok((outbound, mut inbound)) => {
                        drop(place);
                        // It comes back when the server is gone.
                        let _ = inbound.message().await;
                        drop(outbound);
                    }
                    Err(error) => eprintln!("bench: stream {number}: {error:#}"),
                }
            });
        }
    });
    roles::answer(Ok(()))?;
    roles::serve(|(): ()| Ok(()))
}

async fn open(
    server: SocketAddr,
    number: u32,
    connector: &TlsConnector,
) -> anyhow::Result<(mpsc::Sender<ToAttester>, Streaming<ToAgent>)> {
    let socket = TcpSocket::new_v4()?;
    // From an address of its own: those that were killed before have left their ports in use for a while.
    socket.bind(SocketAddr::new(IpAddr::V4(address(number)), 0))?;
    let stream = socket.connect(server).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::IpAddress(server.ip().into());
    let mut secured = Some(TokioIo::new(connector.connect(name, stream).await?));
    let dial = tower::service_fn(move |_: http::Uri| {
        std::future::ready(secured.take().ok_or(io::Error::from(io::ErrorKind::NotConnected)))
    });
    let channel = Endpoint::from_static("http://bare.test")
        .connect_with_connector(dial)
        .await?;
    let (outbound, queue) = mpsc::channel(1);
    let receipt = to_attester::Message::Receipt(Receipt {
        receipt: Bytes::from_static(&[0; CLAIM]),
    });
    outbound.send(ToAttester { message: Some(receipt) }).await?;
    let mut client = PeerVerificationClient::new(channel);
    let mut inbound = client.session(ReceiverStream::new(queue)).await?.into_inner();
    inbound.message().await?.context("the server ended the stream")?;
    Ok((outbound, inbound))
}

/// Answers each message with one.
struct Answers {
    open: Arc<AtomicUsize>,
}

#[tonic::async_trait]
impl PeerVerification for Answers {
    type SessionStream = ReceiverStream<Result<ToAgent, Status>>;

    async fn session(&self, request: Request<Streaming<ToAttester>>) -> Result<Response<Self::SessionStream>, Status> {
        let (answers, outgoing) = mpsc::channel(1);
        let (open, mut inbound) = (Arc::clone(&self.open), request.into_inner());
        tokio::spawn(async move {
            open.fetch_add(1, Ordering::Relaxed);
            while let Ok(Some(_)) = inbound.message().await {
                let verdict = to_agent::Message::Verdict(Bytes::from_static(&[0; CLAIM]));
                let answer = Ok(ToAgent { message: Some(verdict) });
                if answers.send(answer).await.is_err() {
                    break;
                }
            }
            open.fetch_sub(1, Ordering::Relaxed);
        });
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }
}

/// tonic serves what tells it about its connection.
struct Secured(TlsStream<TcpStream>);

impl Connected for Secured {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Secured {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Secured {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// An attester's by default.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// About as long as a claim.
const CLAIM: usize = 400;
