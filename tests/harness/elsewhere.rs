//! A peer that does not carry its clients' traffic itself: it sends it through another peer, as any Flashlight client would.

use std::{io, net::SocketAddr};

use proto::tunnel::connect::{Reply, Request, decode_reply};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;

use peer_agent::give::BoxStream;

use crate::{gate::connect_from, tls};

/// A tunnel to `destination` through the peer at `through`, dialled from `from`.
pub(crate) async fn tunnel(from: SocketAddr, through: SocketAddr, destination: &str) -> io::Result<BoxStream> {
    let connector = tls::connector(&[]).map_err(io::Error::other)?;
    let mut peer = connector
        .connect(tls::no_name(), connect_from(from, through).await?)
        .await?;
    let request = Request {
        destination: destination.to_owned(),
        ..Request::default()
    };
    let mut head = Vec::new();
    request.encode(&mut head).map_err(io::Error::other)?;
    peer.write_all(&head).await?;
    let mut input = Vec::new();
    loop {
        if peer.read_buf(&mut input).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match decode_reply(&input).map_err(io::Error::other)? {
            None => {}
            Some((Reply::Refused { status, .. }, _)) => return Err(io::Error::other(format!("answered {status}"))),
            Some((Reply::Open(preamble), length)) => {
                let (near, far) = duplex(BUFFER);
                tokio::spawn(pass(peer, far, preamble, input.split_off(length)));
                return Ok(Box::new(near));
            }
        }
    }
}

async fn pass(
    peer: TlsStream<TcpStream>,
    far: tokio::io::DuplexStream,
    mut preamble: proto::tunnel::connect::Preamble,
    early: Vec<u8>,
) -> io::Result<()> {
    let (mut peer_reader, mut peer_writer) = tokio::io::split(peer);
    let (mut reader, mut writer) = tokio::io::split(far);
    let down = async {
        let mut input = early;
        loop {
            for part in preamble.strip(&input) {
                writer.write_all(part).await?;
            }
            input.clear();
            if peer_reader.read_buf(&mut input).await? == 0 {
                writer.write_all(preamble.finish()).await?;
                return writer.shutdown().await;
            }
        }
    };
    let up = async {
        tokio::io::copy(&mut reader, &mut peer_writer).await?;
        peer_writer.shutdown().await
    };
    tokio::try_join!(up, down).map(|_| ())
}

const BUFFER: usize = 64 << 10;
