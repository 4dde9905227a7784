//! Peers that do as a script says, on a thread of their own: CONNECT proxies, and what is taken for one.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use proto::ids::Pin;
use rcgen::generate_simple_self_signed;
use rustls::{ServerConfig, crypto::ring};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpSocket, TcpStream},
    runtime::Runtime,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// What a peer does with a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Script {
    /// Takes it, and nothing more.
    Silent,
    /// Speaks something else than TLS.
    NoTls,
    /// Shakes hands, and never answers a CONNECT.
    TunnelSilent,
    /// Refuses every CONNECT with this.
    Refuses(&'static str),
    /// Takes every CONNECT for itself: so much comes back, and nothing goes on.
    Answers(&'static str),
    /// Carries.
    Carries,
    /// Carries from another address than its own.
    LeavesElsewhere,
    /// Carries, and changes the last byte that comes down.
    Flips,
}

/// A running peer. Gone when dropped.
pub(crate) struct Scripted {
    pub(crate) address: SocketAddr,
    pub(crate) pin: Pin,
    _runtime: Runtime,
}

impl Scripted {
    pub(crate) fn start(script: Script) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let made = generate_simple_self_signed(vec!["peer.test".to_owned()]).unwrap();
        let certificate = made.cert.der().clone();
        let pin = Pin::of_certificate(&certificate).unwrap();
        let acceptor = acceptor(certificate, made.signing_key.serialize_der());
        let listener = runtime.block_on(TcpListener::bind((OWN, 0))).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                // What a client breaks off is its own affair.
                tokio::spawn(async move { play(script, stream, acceptor).await.ok() });
            }
        });
        Self {
            address,
            pin,
            _runtime: runtime,
        }
    }
}

fn acceptor(certificate: CertificateDer<'static>, key: Vec<u8>) -> TlsAcceptor {
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], PrivatePkcs8KeyDer::from(key).into())
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

async fn play(script: Script, mut stream: TcpStream, acceptor: TlsAcceptor) -> std::io::Result<()> {
    match script {
        Script::Silent => return until_it_leaves(&mut stream).await,
        Script::NoTls => {
            stream.write_all(b"SSH-2.0-OpenSSH_9.9\r\n").await?;
            return until_it_leaves(&mut stream).await;
        }
        _ => {}
    }
    let mut stream = acceptor.accept(stream).await?;
    let destination = asked(&mut stream).await?;
    let from = match script {
        Script::LeavesElsewhere => ELSEWHERE,
        _ => OWN,
    };
    match script {
        Script::Refuses(answer) | Script::Answers(answer) => {
            stream.write_all(answer.as_bytes()).await?;
            stream.shutdown().await
        }
        Script::Carries | Script::LeavesElsewhere => {
            let mut there = dialled(from, &destination).await?;
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
            copy_bidirectional(&mut stream, &mut there).await.map(|_| ())
        }
        Script::Flips => {
            let mut there = dialled(from, &destination).await?;
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
            let mut request = [0; 4096];
            let length = stream.read(&mut request).await?;
            there.write_all(&request[..length]).await?;
            let mut answer = Vec::new();
            there.read_to_end(&mut answer).await?;
            if let Some(last) = answer.last_mut() {
                *last ^= 1;
            }
            stream.write_all(&answer).await?;
            stream.shutdown().await
        }
        Script::Silent | Script::NoTls | Script::TunnelSilent => {
            let mut rest = [0; 64];
            while stream.read(&mut rest).await? > 0 {}
            Ok(())
        }
    }
}

async fn until_it_leaves(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut rest = [0; 1024];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}

/// The destination of a CONNECT.
async fn asked(stream: &mut TlsStream<TcpStream>) -> std::io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    Ok(head.split(' ').nth(1).unwrap_or_default().to_owned())
}

async fn dialled(from: Ipv4Addr, destination: &str) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((from, 0).into())?;
    let destination = destination.parse().map_err(std::io::Error::other)?;
    socket.connect(destination).await
}

const OWN: Ipv4Addr = Ipv4Addr::LOCALHOST;
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 99);
