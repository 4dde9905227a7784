//! A web site: `GET /<n>` is answered with `n` bytes, a POST with what was posted.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

use crate::pattern;

/// A site on loopback that closes each connection after its answer.
pub(crate) struct Site {
    pub(crate) address: SocketAddr,
    answering: watch::Sender<bool>,
}

impl Site {
    pub(crate) async fn start() -> Self {
        let site = Self::silent().await;
        site.release();
        site
    }

    /// A site that takes requests, and answers none before it is released.
    pub(crate) async fn silent() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (answering, released) = watch::channel(false);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, released.clone()));
            }
        });
        Self { address, answering }
    }

    pub(crate) fn release(&self) {
        self.answering.send_replace(true);
    }

    pub(crate) fn url(&self, length: usize) -> String {
        format!("http://{}/{length}", self.address)
    }
}

async fn serve(mut stream: TcpStream, mut released: watch::Receiver<bool>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut request = Vec::new();
    let end = loop {
        if let Some(at) = request.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    };
    let head = String::from_utf8_lossy(&request[..end]).into_owned();
    let body = if head.starts_with("POST ") {
        let length = head
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok())
            .unwrap_or(0);
        let mut body = request.split_off(end);
        while body.len() < length && stream.read_buf(&mut body).await? > 0 {}
        body
    } else {
        let asked = head.split(' ').nth(1).and_then(|path| path.strip_prefix('/'));
        pattern(asked.and_then(|length| length.parse().ok()).unwrap_or(0))
    };
    if released.wait_for(|released| *released).await.is_ok() {
        let head = format!(
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(&body).await?;
        stream.shutdown().await?;
    }
    Ok(())
}
