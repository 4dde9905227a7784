//! A web site: `GET /<n>` is answered with `n` bytes, HEAD with the head alone, a POST with what was posted. And sites that do not
//! answer so.

use std::{io, net::SocketAddr, sync::Arc};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

use crate::{pattern, within};

/// A site on loopback.
pub(crate) struct Site {
    pub(crate) address: SocketAddr,
    answering: watch::Sender<bool>,
    asked: watch::Receiver<usize>,
}

/// What a site does with a request, once it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Answers, and closes the connection if the request says so.
    Answers,
    /// Closes the connection without a word.
    Ends,
    /// Sends half of the answer, and closes.
    EndsHalfway,
    /// Resets the connection without a word.
    Resets,
}

impl Site {
    pub(crate) async fn start() -> Self {
        Self::that(Manner::Answers).await
    }

    pub(crate) async fn that(manner: Manner) -> Self {
        let site = Self::silent_until_released(manner).await;
        site.release();
        site
    }

    /// A site that takes requests, and answers none before it is released.
    pub(crate) async fn silent() -> Self {
        Self::silent_until_released(Manner::Answers).await
    }

    async fn silent_until_released(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (answering, released) = watch::channel(false);
        let (asking, asked) = watch::channel(0);
        let asking = Arc::new(asking);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, manner, released.clone(), Arc::clone(&asking)));
            }
        });
        Self {
            address,
            answering,
            asked,
        }
    }

    pub(crate) fn release(&self) {
        self.answering.send_replace(true);
    }

    /// Waits until so many requests have come.
    pub(crate) async fn asked(&self, times: usize) {
        within(self.asked.clone().wait_for(|asked| *asked >= times))
            .await
            .unwrap();
    }

    pub(crate) fn url(&self, length: usize) -> String {
        format!("http://{}/{length}", self.address)
    }
}

/// The answer with this body, from its first byte to its last.
pub(crate) fn answer(body: &[u8], closing: bool) -> Vec<u8> {
    let connection = if closing { "Connection: close\r\n" } else { "" };
    let head = format!("HTTP/1.1 200 OK\r\n{connection}Content-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

async fn serve(
    mut stream: TcpStream,
    manner: Manner,
    mut released: watch::Receiver<bool>,
    asking: Arc<watch::Sender<usize>>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut unread = Vec::new();
    while let Some(request) = Request::read(&mut stream, &mut unread).await? {
        asking.send_modify(|asked| *asked += 1);
        if released.wait_for(|released| *released).await.is_err() {
            break;
        }
        let answer = request.answer();
        match manner {
            Manner::Answers => stream.write_all(&answer).await?,
            Manner::EndsHalfway => stream.write_all(&answer[..answer.len() / 2]).await?,
            Manner::Ends => {}
            Manner::Resets => stream.set_zero_linger()?,
        }
        if request.closing || manner != Manner::Answers {
            break;
        }
    }
    Ok(())
}

struct Request {
    head: String,
    body: Vec<u8>,
    closing: bool,
}

impl Request {
    /// The next request of a connection; `None` at its end.
    async fn read(stream: &mut TcpStream, unread: &mut Vec<u8>) -> io::Result<Option<Self>> {
        let end = loop {
            if let Some(at) = unread.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(unread).await? == 0 {
                return Ok(None);
            }
        };
        let head = String::from_utf8_lossy(&unread[..end]).to_ascii_lowercase();
        let field = |name: &str| {
            head.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        };
        let length = field("content-length").map_or(0, |length| length.parse().unwrap());
        while unread.len() < end + length {
            if stream.read_buf(unread).await? == 0 {
                return Ok(None);
            }
        }
        let rest = unread.split_off(end + length);
        let body = std::mem::replace(unread, rest).split_off(end);
        let closing = field("connection") == Some("close");
        Ok(Some(Self { head, body, closing }))
    }

    fn answer(&self) -> Vec<u8> {
        if self.head.starts_with("post ") {
            return answer(&self.body, self.closing);
        }
        let asked = self.head.split(' ').nth(1).and_then(|path| path.strip_prefix('/'));
        let body = pattern(asked.and_then(|length| length.parse().ok()).unwrap_or(0));
        let mut answer = answer(&body, self.closing);
        if self.head.starts_with("head ") {
            answer.truncate(answer.len() - body.len());
        }
        answer
    }
}
