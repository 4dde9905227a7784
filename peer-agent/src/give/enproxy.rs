//! enproxy requests: each moves bytes into or out of a tunnel that its id names.
//!
//! The order of events is that of the Go server, which clients of all generations rely on: the destination is dialled by an
//! id's first request, whatever it does; a write's body goes through as it arrives; the answer to the first write also reads,
//! but only after the body has ended; end of stream is told by a response without data. What differs is better for a client
//! and allowed by the protocol: bytes are sent as they come in place of after 35 ms, and a failed id gets its 500 again.

use std::{io, net::IpAddr, sync::Arc};

use proto::tunnel::{
    BodyReader, Framing, Host, Version,
    enproxy::{CONTINUE, Call, HEALTHY, Op, Purpose, Request, Response},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    select,
    time::timeout,
};

use super::{
    Shared,
    conn::{Conn, ConnError},
    dial::explain,
    tapped::tapped,
    tunnels::{End, Ends, Failure, Found, Tunnel},
    web::Answer,
};

mod download;

/// Serves one request. True when the connection may carry another.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    shared: &Shared,
    conn: &mut Conn<S>,
    request: Request,
    source: IpAddr,
) -> Result<bool, ConnError> {
    let keep = request.keep_alive && !shared.stopping.is_cancelled();
    let mut exchange = Exchange {
        shared,
        conn,
        source,
        keep,
        version: request.version,
        host: &request.host,
    };
    match request.purpose {
        Purpose::Health | Purpose::Refused(_) if shared.is_guarded() => exchange.visit(&request).await?,
        Purpose::Health => {
            exchange.skip(&request).await?;
            exchange.conn.send(HEALTHY).await?;
        }
        Purpose::Refused(ref refusal) => {
            let failure = Failure::new(refusal.status(), refusal.to_string());
            exchange.skip(&request).await?;
            exchange.fail(&failure).await?;
        }
        Purpose::Call(ref call) => exchange.call(call, &request).await?,
    }
    Ok(exchange.keep)
}

/// One request and what it is answered on.
struct Exchange<'a, S> {
    shared: &'a Shared,
    conn: &'a mut Conn<S>,
    source: IpAddr,
    /// May the connection carry another request?
    keep: bool,
    version: Version,
    /// Whom the client asked for.
    host: &'a Host,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Exchange<'_, S> {
    async fn call(&mut self, call: &Call, request: &Request) -> Result<(), ConnError> {
        let (tunnel, fresh) = match self.shared.tunnels.find(&call.id, self.source) {
            Found::Open { tunnel, fresh } => (tunnel, fresh),
            Found::Ended(end) => {
                self.skip(request).await?;
                return self.after_end(end, call).await;
            }
            Found::Full => {
                self.keep = false;
                return self
                    .fail(&Failure::new(
                        503,
                        "This peer has too many open tunnels: try again later",
                    ))
                    .await;
            }
        };
        let ends = match tunnel.ends(dial(self.shared, &call.destination)).await {
            Ok(ends) => ends,
            Err(failure) => {
                self.shared.tunnels.bury(&tunnel, End::Failed(failure.clone()));
                self.skip(request).await?;
                return self.fail(&failure).await;
            }
        };
        if request.expect_continue {
            self.conn.send(CONTINUE).await?;
        }
        match call.op {
            Op::Read => {
                self.skip_body(request.body).await?;
                self.download(call, &tunnel, ends, false).await
            }
            Op::Write => {
                let mut body = BodyReader::new(request.body);
                match self.upload(&tunnel, ends, &mut body).await? {
                    Err(failure) => {
                        self.keep &= self.conn.discard(&mut body).await?;
                        self.fail(&failure).await
                    }
                    Ok(()) if fresh => self.download(call, &tunnel, ends, true).await,
                    Ok(()) => self.written(call).await,
                }
            }
        }
    }

    /// The request's body to the destination, as it arrives. The inner error is the destination's.
    async fn upload(
        &mut self,
        tunnel: &Arc<Tunnel>,
        ends: &Ends,
        body: &mut BodyReader,
    ) -> Result<Result<(), Failure>, ConnError> {
        let mut writer = select! {
            writer = ends.writer.lock() => writer,
            end = tunnel.closed() => return Ok(Err(not_written(end))),
        };
        loop {
            if let Some(failure) = &writer.failed {
                return Ok(Err(failure.clone()));
            }
            let piece = match self.conn.piece(body).await {
                Ok(piece) if piece.is_empty() => return Ok(Ok(())),
                Ok(piece) => piece,
                Err(error) => {
                    // A later request would continue after a gap that the destination cannot see.
                    let failure = Failure::new(500, "A request body broke off: bytes of this tunnel were lost");
                    self.shared.tunnels.bury(tunnel, End::Failed(failure));
                    return Err(error);
                }
            };
            let written = async {
                writer.half.write_all(&piece).await?;
                writer.half.flush().await
            };
            let written = select! {
                // A tunnel that is closed is closed, though its destination may still take what comes.
                biased;
                end = tunnel.closed() => Err(not_written(end)),
                written = written => written.map_err(|error| Failure::new(500, cannot_write(&explain(&error)))),
            };
            tunnel.activity.touch();
            match written {
                Ok(()) => writer.pacer.spend(piece.len()).await,
                Err(failure) => writer.failed = Some(failure),
            }
        }
    }

    async fn after_end(&mut self, end: End, call: &Call) -> Result<(), ConnError> {
        match end {
            End::Eof if call.op == Op::Read => self.respond(call, true, &[]).await,
            // The answer to a first write whose tunnel was closed while it waited.
            end => self.fail(&not_written(end)).await,
        }
    }

    /// The answer to a write that does not read: without the id, whose presence would tell the client that its tunnel was lost.
    async fn written(&mut self, call: &Call) -> Result<(), ConnError> {
        let mut out = Vec::new();
        let head = self.head(call, 200, false, Framing::Length(0));
        Response { id: None, ..head }.encode(&mut out);
        self.conn.send(&out).await
    }

    /// A whole successful response that reads, in one go.
    async fn respond(&mut self, call: &Call, eof: bool, body: &[u8]) -> Result<(), ConnError> {
        let mut out = Vec::with_capacity(body.len() + 512);
        self.head(call, 200, eof, Framing::Length(body.len() as u64))
            .encode(&mut out);
        out.extend_from_slice(body);
        self.conn.send(&out).await
    }

    fn head(&self, call: &Call, status: u16, eof: bool, body: Framing) -> Response {
        let proxy_host = match call.op {
            Op::Write => self.shared.proxy_host(self.host),
            Op::Read => None,
        };
        Response {
            status,
            eof,
            id: Some(call.id.clone()),
            proxy_host,
            body,
            version: self.version,
            keep_alive: self.keep,
        }
    }

    /// Passes for a web server, which answers a request when it has its head, and reads the body for the next one's sake alone.
    async fn visit(&mut self, request: &Request) -> Result<(), ConnError> {
        let answer = Answer::to(request.visit);
        self.keep &= !answer.closes();
        if request.expect_continue && self.keep {
            self.conn.send(CONTINUE).await?;
        }
        // That of chunks it has looked at before.
        let early = request.body != Framing::Chunked;
        if !early {
            self.skip_body(request.body).await?;
        }
        let mut out = Vec::new();
        let head_only = request.purpose == Purpose::Health;
        let (site, now) = (&self.shared.site, self.shared.clock.now());
        site.encode(answer, now, self.keep, head_only, &mut out);
        self.conn.send(&out).await?;
        if early && self.keep {
            self.skip_body(request.body).await?;
        }
        Ok(())
    }

    async fn fail(&mut self, failure: &Failure) -> Result<(), ConnError> {
        let head = Response {
            status: failure.status,
            eof: false,
            id: None,
            proxy_host: None,
            body: Framing::Length(failure.text.len() as u64),
            version: self.version,
            keep_alive: self.keep,
        };
        let mut out = Vec::new();
        head.encode(&mut out);
        out.extend_from_slice(failure.text.as_bytes());
        self.conn.send(&out).await
    }

    /// Gets past the body of a request that is not served.
    async fn skip(&mut self, request: &Request) -> Result<(), ConnError> {
        if request.expect_continue {
            // The client may or may not send it now; only closing is safe (RFC 9110 section 10.1.1).
            self.keep = false;
            return Ok(());
        }
        self.skip_body(request.body).await
    }

    async fn skip_body(&mut self, body: Framing) -> Result<(), ConnError> {
        self.keep &= self.conn.discard(&mut BodyReader::new(body)).await?;
        Ok(())
    }
}

async fn dial(shared: &Shared, destination: &str) -> Result<Ends, Failure> {
    let limit = shared.config.limits.dial;
    let (status, cause) = match timeout(limit, shared.dialer.dial(destination)).await {
        Ok(Ok(stream)) => return Ok(Ends::new(tapped(stream, &shared.tap, destination), shared.config.rate)),
        Ok(Err(error)) if error.kind() == io::ErrorKind::PermissionDenied => (403, explain(&error)),
        Ok(Err(error)) => (500, explain(&error)),
        Err(_) => (500, format!("no connection within {} s", limit.as_secs_f32())),
    };
    // The words of the Go server, its typing error included: people search for them.
    let text =
        format!("Unable to get outoing connection to destination server: Unable to dial out to {destination}: {cause}");
    Err(Failure::new(status, text.chars().take(MAX_TEXT).collect::<String>()))
}

fn not_written(end: End) -> Failure {
    match end {
        End::Eof => Failure::new(500, cannot_write("the destination has closed the connection")),
        End::Failed(failure) => failure,
    }
}

fn cannot_write(cause: &str) -> String {
    format!("Unable to write to connOut: {cause}")
        .chars()
        .take(MAX_TEXT)
        .collect()
}

/// Longest text of a failure, in characters; it is remembered with the id.
const MAX_TEXT: usize = 500;
