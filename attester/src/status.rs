//! `/healthz` for the operator's monitoring: 200 while every part is well, 503 when one is not, JSON either way.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, Response, StatusCode, body::Incoming, header, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How an attester is. Written by whoever knows, read by `/healthz`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Health {
    /// The last write to the state file succeeded.
    pub store: bool,
    /// DNS shows what was decided.
    pub dns: bool,
    /// The last control probe reached the origin.
    pub origin: bool,
    /// Live sessions.
    pub sessions: usize,
    /// Peers known.
    pub peers: usize,
    /// Peers in a rotation.
    pub verified: usize,
}

impl Health {
    /// Whether every part is well. How many peers there are says nothing about that.
    pub const fn is_well(&self) -> bool {
        self.store && self.dns && self.origin
    }
}

/// The operator's HTTP server, its socket open.
#[derive(Debug)]
pub struct Status {
    listener: TcpListener,
    address: SocketAddr,
    health: watch::Receiver<Health>,
}

/// Why there is no status.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StatusError {
    /// The socket cannot be opened.
    #[error("cannot listen at {address} (admin.listen): choose another address or port, or stop what holds it")]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

impl Status {
    /// Opens the socket.
    ///
    /// # Errors
    /// [`StatusError::Bind`].
    pub async fn bind(address: SocketAddr, health: watch::Receiver<Health>) -> Result<Self, StatusError> {
        let failed = |source| StatusError::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self {
            listener,
            address,
            health,
        })
    }

    /// Where it listens, with the port that was really taken.
    pub const fn addr(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `token` is cancelled; connections then are dropped.
    pub async fn run(self, token: CancellationToken) {
        let tasks = TaskTracker::new();
        let seats = Arc::new(Semaphore::new(MOST_CONNECTIONS));
        while let Some(Ok(seat)) = token.run_until_cancelled(Arc::clone(&seats).acquire_owned()).await {
            let Some(accepted) = token.run_until_cancelled(self.listener.accept()).await else {
                break;
            };
            match accepted {
                Ok((stream, _)) => {
                    let (health, token) = (self.health.clone(), token.clone());
                    tasks.spawn(async move {
                        token.run_until_cancelled(serve(stream, health)).await;
                        drop(seat);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "the admin listener cannot accept a connection");
                    token.run_until_cancelled(sleep(AFTER_ERROR)).await;
                }
            }
        }
        tasks.close();
        tasks.wait().await;
    }
}

async fn serve(stream: TcpStream, health: watch::Receiver<Health>) {
    let answers = service_fn(|request: Request<Incoming>| {
        let answer = answer(request.method(), request.uri().path(), *health.borrow());
        async { Ok::<_, Infallible>(answer) }
    });
    let mut server = http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(MOST_HEAD)
        .keep_alive(false);
    match timeout(CONNECTION, server.serve_connection(TokioIo::new(stream), answers)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "an admin connection ended early"),
        Err(_) => tracing::debug!("an admin connection took too long"),
    }
}

fn answer(method: &Method, path: &str, health: Health) -> Response<Full<Bytes>> {
    if path != "/healthz" {
        return text(StatusCode::NOT_FOUND, "there is only /healthz here\n");
    }
    if !matches!(*method, Method::GET | Method::HEAD) {
        let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "/healthz is read with GET\n");
        refused
            .headers_mut()
            .insert(header::ALLOW, header::HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    let (code, status) = if health.is_well() {
        (StatusCode::OK, "ok")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "unwell")
    };
    let report = Report { status, health };
    let body = serde_json::to_string(&report).unwrap_or_else(|_| format!("{{\"status\":\"{status}\"}}"));
    reply(code, "application/json", body + "\n")
}

#[derive(Serialize)]
struct Report {
    status: &'static str,
    #[serde(flatten)]
    health: Health,
}

fn text(code: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    reply(code, "text/plain; charset=utf-8", body.to_owned())
}

fn reply(code: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    response
}

const MOST_CONNECTIONS: usize = 16;
const MOST_HEAD: usize = 8 * 1024;
const HEAD: Duration = Duration::from_secs(2);
const CONNECTION: Duration = Duration::from_secs(5);
const AFTER_ERROR: Duration = Duration::from_millis(100);

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn ask(address: SocketAddr, request: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream
            .write_all(format!("{request} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes())
            .await
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    #[tokio::test]
    async fn the_answer_follows_the_health() {
        let well = Health {
            store: true,
            dns: true,
            origin: true,
            sessions: 3,
            peers: 5,
            verified: 2,
        };
        let (sender, receiver) = watch::channel(Health::default());
        let status = Status::bind("127.0.0.1:0".parse().unwrap(), receiver).await.unwrap();
        let address = status.addr();
        let token = CancellationToken::new();
        let running = tokio::spawn(status.run(token.clone()));

        let (code, body) = ask(address, "GET /healthz").await;
        assert_eq!(code, 503);
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&body).unwrap()["status"],
            "unwell"
        );
        sender.send_replace(well);
        let (code, body) = ask(address, "GET /healthz").await;
        let expected = serde_json::json!({ "status": "ok", "store": true, "dns": true, "origin": true, "sessions": 3, "peers": 5, "verified": 2 });
        assert_eq!(
            (code, serde_json::from_str::<serde_json::Value>(&body).unwrap()),
            (200, expected)
        );
        for sick in [
            Health { store: false, ..well },
            Health { dns: false, ..well },
            Health { origin: false, ..well },
        ] {
            sender.send_replace(sick);
            assert_eq!(ask(address, "GET /healthz").await.0, 503, "{sick:?}");
        }
        assert_eq!(ask(address, "HEAD /healthz").await, (503, String::new()));
        assert_eq!(ask(address, "POST /healthz").await.0, 405);
        assert_eq!(ask(address, "GET /").await.0, 404);

        // A connection that says nothing does not keep it from stopping.
        let _silent = TcpStream::connect(address).await.unwrap();
        token.cancel();
        running.await.unwrap();
        TcpStream::connect(address).await.unwrap_err();
    }

    #[tokio::test]
    async fn a_taken_port_is_told() {
        let (_sender, receiver) = watch::channel(Health::default());
        let first = Status::bind("127.0.0.1:0".parse().unwrap(), receiver.clone())
            .await
            .unwrap();
        let error = Status::bind(first.addr(), receiver).await.unwrap_err().to_string();
        assert!(error.contains("admin.listen"), "{error}");
    }
}
