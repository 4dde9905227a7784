//! A tunnel by enproxy: HTTP requests on one connection, the first of which writes the whole inner request, the others of
//! which read what the destination answers.
//!
//! The first write is finished at once and has its length, so the server reads the destination for the same response
//! without the 35 ms of silence that a streaming client costs. One connection is enough: nothing is written later.
//!
//! A server echoes the tunnel's id in every response for which it read the destination: to the first write and to each read, and in
//! none to a later write (flashlight 0.0.2 and 0.0.3, enproxy of 2015 and its last). So each of our requests must be answered with our
//! own id. A first write answered without one was taken for a later one, which an id of ours can only be when the request came
//! twice; another id belongs to an answer that somebody mixed up. What cannot be noticed is a server that forgot the id before a *read*, by
//! a restart or in another process behind the address: it dials the destination anew, echoes the id as ever, and what comes back is
//! that other connection's. Nothing was asked on it, so what was announced does not come; it ends as silence or as too few bytes.

use std::time::Duration;

use proto::tunnel::{
    BodyError, BodyReader, EncodeError, ErrorBody, Field,
    enproxy::{self, Call, Form, Op, Response, Sending},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, sleep_until, timeout},
};

use super::{
    End, Job, Target,
    account::Account,
    wire::{GRACE, NoHead, Wire, malformed},
};
use crate::model::{Finding, Reason};

/// One tunnel, not yet open.
pub(super) struct Tunnel<'a, S> {
    wire: &'a mut Wire<S>,
    form: Form,
    sending: Sending,
    call: Call,
    host: String,
    /// Is the peer known by its name alone, as an edge routes by it?
    fronted: bool,
    /// Did the peer name the host?
    sticky: bool,
    /// When the last request was sent.
    asked: Instant,
    out: Vec<u8>,
}

/// How far a response's body was read.
enum Read {
    /// To its end, or to the last announced byte.
    Whole,
    /// To where the connection broke.
    Broken(String),
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin> Tunnel<'a, S> {
    /// A tunnel with this id, which must be new, through requests of this form.
    pub(super) fn new(wire: &'a mut Wire<S>, form: Form, id: String, target: &Target) -> Self {
        let call = Call {
            id,
            destination: String::new(),
            op: Op::Write,
        };
        Self {
            wire,
            form,
            sending: target.sending,
            call,
            host: target.host.clone().unwrap_or_else(|| target.address.to_string()),
            fronted: matches!(target.end, End::Edge(_)),
            sticky: false,
            asked: Instant::now(),
            out: Vec::new(),
        }
    }

    /// Opens the tunnel, carries the job through it and reads until everything has come.
    pub(super) async fn carry(mut self, job: &Job, account: &mut Account) -> Result<(), Finding> {
        let mut response = self.open(job, account).await?;
        loop {
            let before = account.length();
            let mut body = BodyReader::new(response.body);
            match self.read(&mut body, account).await? {
                _ if account.is_complete() => return self.see_end(&response, body, account).await,
                Read::Broken(how) => return account.ended(how),
                Read::Whole if response.eof => return account.ended("the proxy reported the end of the destination"),
                // Real clients do not dial again either: they hold a bare connection, in which no transport looks at `Connection`, and
                // make another one only when it would idle out within a second. Whoever hangs up on them so has cut their tunnel.
                Read::Whole if !response.keep_alive => return account.ended("the proxy closed its connection"),
                Read::Whole => {}
            }
            if !self.wire.unread().is_empty() {
                let unasked = "the proxy answers without having been asked";
                return Err(Finding::new(Reason::TunnelMalformed, unasked));
            }
            if account.length() - before < LITTLE {
                sleep_until(self.asked + PACE).await;
            }
            self.ask(Op::Read, &[]).await?;
            response = match self.wire.head(enproxy::decode_response).await {
                Ok(response) if is_success(&response) => self.ours(response)?,
                Ok(Response { status, body, .. }) => {
                    return account.ended(self.wire.refusal(status, ErrorBody::new(body)).await);
                }
                Err(NoHead::Closed(closed)) => return account.ended(closed),
                Err(NoHead::Malformed(error)) => return Err(malformed(&error)),
            };
        }
    }

    /// The first write, which is the only one, and the head of its response. Later requests name the host that it names:
    /// a front routes them to the same peer by it.
    async fn open(&mut self, job: &Job, account: &mut Account) -> Result<Response, Finding> {
        self.call.destination = job.destination.to_string();
        if self.ask(Op::Write, &job.request).await? {
            account.sent();
        }
        let response = self
            .wire
            .head(enproxy::decode_response)
            .await
            .map_err(|fault| fault.opening())?;
        if !is_success(&response) {
            let text = self.wire.refusal(response.status, ErrorBody::new(response.body)).await;
            return Err(Finding::new(Reason::TunnelRefused, text));
        }
        let response = self.ours(response)?;
        account.open();
        if let Some(host) = &response.proxy_host {
            account.proxy_host = Some(host.clone());
            if self.fronted && !same_name(host, &self.host) {
                let told = format!("it calls itself {host}, not {}", self.host);
                return Err(Finding::new(Reason::ProxyHost, told));
            }
            self.host.clone_from(host);
            self.sticky = true;
        }
        Ok(response)
    }

    /// The response, if it is about this tunnel.
    ///
    /// # Errors
    /// [`Reason::TunnelLost`]: see the module.
    fn ours(&self, response: Response) -> Result<Response, Finding> {
        let told = match (&response.id, self.call.op) {
            (Some(id), _) if *id == self.call.id => return Ok(response),
            (Some(id), _) => format!("the answer is of another tunnel: {id}"),
            (None, Op::Write) => "the answer has no tunnel's id, as if the first write were a later one".to_owned(),
            (None, Op::Read) => "the answer to a read has no tunnel's id".to_owned(),
        };
        Err(Finding::new(Reason::TunnelLost, told))
    }

    /// Sends one request, head and body at once; false when the connection broke.
    async fn ask(&mut self, op: Op, body: &[u8]) -> Result<bool, Finding> {
        self.call.op = op;
        self.asked = Instant::now();
        self.out.clear();
        let sending = match op {
            Op::Write => self.sending,
            // It has no body, which every client says by a length.
            Op::Read => Sending::Buffered,
        };
        self.call
            .encode_as(self.form, sending, Some(&self.host), body, &mut self.out)
            .map_err(|error| {
                let reason = match error {
                    EncodeError(Field::Host) if self.sticky => Reason::ProxyHost,
                    _ => Reason::AttesterFailed,
                };
                Finding::new(reason, error.to_string())
            })?;
        Ok(self.wire.send(&self.out).await)
    }

    /// Takes a body's bytes until it ends, or everything announced has come.
    async fn read(&mut self, body: &mut BodyReader, account: &mut Account) -> Result<Read, Finding> {
        loop {
            self.take(body, account)?;
            if body.is_done() || account.is_complete() {
                return Ok(Read::Whole);
            }
            if let Err(closed) = self.wire.fill().await {
                return Ok(match body.close() {
                    Ok(()) => Read::Whole,
                    Err(_) => Read::Broken(closed.to_string()),
                });
            }
        }
    }

    /// Takes what has come of a body.
    fn take(&mut self, body: &mut BodyReader, account: &mut Account) -> Result<(), Finding> {
        while !body.is_done() && !self.wire.unread().is_empty() {
            let malformed = |error: BodyError| Finding::new(Reason::TunnelMalformed, error.to_string());
            let piece = body.read(self.wire.unread()).map_err(malformed)?;
            account.take(piece.data)?;
            self.wire.consume(piece.consumed);
        }
        Ok(())
    }

    /// Looks for bytes after the last announced one, for [`GRACE`] at most: in the rest of the response and, unless that
    /// told the end already, in one more read.
    ///
    /// That read is what every real client does next, so a peer cannot tell a probe by its absence, and an honest one
    /// answers it at once, because the destination has closed. It costs one round trip of some 500 bytes after the
    /// phases were measured. No answer is no failure: nothing that was announced is missing.
    async fn see_end(&mut self, response: &Response, body: BodyReader, account: &mut Account) -> Result<(), Finding> {
        timeout(GRACE, self.end(response, body, account))
            .await
            .unwrap_or(Ok(()))
    }

    async fn end(&mut self, response: &Response, mut body: BodyReader, account: &mut Account) -> Result<(), Finding> {
        if !self.rest(&mut body, account).await? || response.eof || !response.keep_alive {
            return Ok(());
        }
        self.ask(Op::Read, &[]).await?;
        match self.wire.head(enproxy::decode_response).await {
            Ok(last) if is_success(&last) => {
                let last = self.ours(last)?;
                self.rest(&mut BodyReader::new(last.body), account).await?;
                Ok(())
            }
            Ok(_) | Err(NoHead::Closed(_)) => Ok(()),
            Err(NoHead::Malformed(error)) => Err(malformed(&error)),
        }
    }

    /// Reads a body to its end, in which any byte is one too many, as is any behind it; false when the connection ended.
    async fn rest(&mut self, body: &mut BodyReader, account: &mut Account) -> Result<bool, Finding> {
        loop {
            self.take(body, account)?;
            if body.is_done() {
                // Not of the tunnel, but not of the destination either.
                account.take(self.wire.unread())?;
                return Ok(true);
            }
            if self.wire.fill().await.is_err() {
                return Ok(false);
            }
        }
    }
}

/// Names of DNS: neither case nor a final dot tells them apart.
pub fn same_name(one: &str, other: &str) -> bool {
    one.trim_end_matches('.')
        .eq_ignore_ascii_case(other.trim_end_matches('.'))
}

fn is_success(response: &Response) -> bool {
    (200..300).contains(&response.status)
}

/// A response with less than this is followed by a read no sooner than [`PACE`] after the one before. Real servers hold a
/// read until they have seen 35 ms of silence or the destination's end, so this costs an honest peer nothing, and keeps
/// one that answers at once with nothing from having us ask as fast as we can.
const LITTLE: usize = 1024;
const PACE: Duration = Duration::from_millis(35);
