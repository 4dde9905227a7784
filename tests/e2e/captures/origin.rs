//! A destination that says what it is told to say, and notes what it hears.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker},
};

use peer_agent::give::{BoxStream, Dial, DialFuture};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    expected::{Capture, Exchange, Form, Response},
    reading::{Asked, Head, Reading},
};

/// The destination of one tunnel. Clones, and its connections one after another, are the same.
#[derive(Clone, Default)]
pub(super) struct Origin(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    heard: Vec<u8>,
    says: VecDeque<u8>,
    end: Option<End>,
    /// Why it takes no more.
    refuses: Option<String>,
    reader: Option<Waker>,
}

/// How a destination ends its side.
#[derive(Clone, Copy)]
pub(super) enum End {
    Closes,
    Resets,
}

/// Cases whose destination reset its connection. Their bytes do not tell it from one that was silent and then closed.
pub(super) const RESETS: &[&str] = &["eof-rst"];

impl Origin {
    pub(super) fn says(&self, bytes: &[u8]) {
        self.change(|state| state.says.extend(bytes));
    }

    /// Once it has said everything.
    pub(super) fn ends(&self, end: End) {
        self.change(|state| state.end = Some(end));
    }

    pub(super) fn refuses(&self, why: &str) {
        self.change(|state| state.refuses = Some(why.to_owned()));
    }

    pub(super) fn heard(&self) -> Vec<u8> {
        self.state().heard.clone()
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        change(&mut state);
        if let Some(reader) = state.reader.take() {
            reader.wake();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl AsyncRead for Origin {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut state = self.state();
        let length = buffer.remaining().min(state.says.len());
        if length == 0 {
            return match state.end {
                Some(End::Closes) => Poll::Ready(Ok(())),
                Some(End::Resets) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                None => {
                    state.reader = Some(cx.waker().clone());
                    Poll::Pending
                }
            };
        }
        let (first, second) = state.says.as_slices();
        let from_first = first.len().min(length);
        buffer.put_slice(&first[..from_first]);
        buffer.put_slice(&second[..length - from_first]);
        state.says.drain(..length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Origin {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.state();
        if let Some(why) = &state.refuses {
            return Poll::Ready(Err(io::Error::other(why.clone())));
        }
        state.heard.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// What a dial comes to.
#[derive(Clone)]
pub(super) enum Way {
    To(Origin),
    Fails(io::ErrorKind, String),
}

/// Reaches whichever destination is due, and notes what was dialled.
#[derive(Clone, Default)]
pub(super) struct Dialer(Arc<Mutex<(Option<Way>, Vec<String>)>>);

impl Dialer {
    /// The next dials lead there.
    pub(super) fn lead(&self, way: Way) {
        self.0.lock().unwrap().0 = Some(way);
    }

    pub(super) fn dialled(&self) -> Vec<String> {
        self.0.lock().unwrap().1.clone()
    }
}

impl Dial for Dialer {
    fn dial<'a>(&'a self, destination: &'a str) -> DialFuture<'a> {
        let mut state = self.0.lock().unwrap();
        state.1.push(destination.to_owned());
        let way = state.0.clone();
        Box::pin(async move {
            match way {
                Some(Way::To(origin)) => Ok(Box::new(origin) as BoxStream),
                Some(Way::Fails(kind, why)) => Err(io::Error::new(kind, why)),
                None => Err(io::Error::other("nothing was to be dialled")),
            }
        })
    }
}

/// Has the destination say and do what this exchange shows that it said and did.
pub(super) fn prepare(capture: &Capture, exchange: &Exchange, answer: &[u8], origin: Option<&Origin>, dialer: &Dialer) {
    let response = exchange.response.as_ref();
    let status = response.map_or(200, |response| response.status);
    let Some(origin) = origin else {
        let head = response.map_or(0, |response| response.head);
        return dialer.lead(failing(exchange, &String::from_utf8_lossy(&answer[head..])));
    };
    let body = response.map_or(Vec::new(), |response| body(exchange, response, answer));
    if status == 200 {
        dialer.lead(Way::To(origin.clone()));
        origin.says(&body);
        if RESETS.contains(&capture.name.as_str()) {
            origin.ends(End::Resets);
        } else if is_last(capture, exchange) {
            origin.ends(End::Closes);
        }
    } else {
        let text = String::from_utf8_lossy(&body).into_owned();
        match text.strip_prefix("Unable to write to connOut: ") {
            Some(why) => origin.refuses(why),
            None => dialer.lead(failing(exchange, &text)),
        }
    }
}

/// A dial that fails as the text of an answer says.
fn failing(exchange: &Exchange, text: &str) -> Way {
    let prefix = format!(
        "Unable to get outoing connection to destination server: Unable to dial out to {}: ",
        exchange.request.destination
    );
    let kind = match exchange.response.as_ref().map(|response| response.status) {
        Some(403) => io::ErrorKind::PermissionDenied,
        _ => io::ErrorKind::ConnectionRefused,
    };
    Way::Fails(kind, text.strip_prefix(&prefix).unwrap_or(text).to_owned())
}

/// What the destination said for this answer.
fn body(exchange: &Exchange, response: &Response, answer: &[u8]) -> Vec<u8> {
    let asked = [if exchange.request.form == Form::Connect {
        Asked::Connect
    } else {
        Asked::Call
    }];
    let mut reading = Reading::responses(&asked);
    reading.push(answer);
    assert!(reading.broken.is_none() && reading.messages.len() == 1 && response.head <= answer.len());
    if reading.messages[0].head == Head::Open {
        reading.tunnel
    } else {
        reading.messages.remove(0).body
    }
}

/// Has the destination said everything, and closed? A Go origin closes with its last bytes.
fn is_last(capture: &Capture, exchange: &Exchange) -> bool {
    let exchanges = capture.connections.iter().flat_map(|conn| &conn.exchanges);
    let mut rest =
        exchanges.filter(|other| other.request.id == exchange.request.id && other.request.at >= exchange.request.at);
    let ends = capture
        .tunnels
        .iter()
        .any(|tunnel| tunnel.id == exchange.request.id && tunnel.eof);
    let is_silent = |other: &Exchange| {
        other
            .response
            .as_ref()
            .is_none_or(|response| response.body.length == 0 || response.status != 200)
    };
    ends && rest.all(|other| is_silent(other) || std::ptr::eq(other, exchange))
}
