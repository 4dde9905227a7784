//! A client of a capture: it sends what it sent then, cut otherwise, and takes one answer at a time.

use std::{net::IpAddr, rc::Rc, time::Duration};

use peer_agent::fuzzing::Server;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    task::{JoinHandle, spawn_local},
    time::{sleep, timeout},
};

use super::{
    codec::asked,
    expected::{Connection, WHOLE},
    reading::{Asked, Message, Reading},
};

/// How a request is cut: in two, or in pieces as long as this.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    At(usize),
    Pieces(usize),
}

/// One client connection.
pub(super) struct Client<'a> {
    pub(super) conn: &'a Connection,
    /// The bytes of each request and of what was answered to it.
    pub(super) messages: Vec<(&'a [u8], &'a [u8])>,
    asked: Vec<Asked>,
    stream: DuplexStream,
    served: JoinHandle<()>,
    /// What came that no answer was made of yet.
    input: Vec<u8>,
}

impl<'a> Client<'a> {
    pub(super) fn new(conn: &'a Connection, server: &Rc<Server>) -> Self {
        let (stream, theirs) = duplex(WHOLE);
        let server = Rc::clone(server);
        let source = IpAddr::from([192, 0, 2, 9]);
        Self {
            conn,
            messages: conn.messages(),
            asked: asked(conn),
            stream,
            served: spawn_local(async move { server.serve(theirs, source).await }),
            input: Vec::new(),
        }
    }

    pub(super) async fn send(&mut self, bytes: &[u8], cut: Cut) {
        let pieces: Vec<&[u8]> = match cut {
            Cut::At(at) => <[_; 2]>::from(bytes.split_at(at.min(bytes.len()))).to_vec(),
            Cut::Pieces(step) => bytes.chunks(step).collect(),
        };
        for piece in pieces.into_iter().filter(|piece| !piece.is_empty()) {
            // The server may have hung up.
            let _ = self.stream.write_all(piece).await;
            // Virtual: the server has made what it can of the piece before time goes on.
            sleep(Duration::from_millis(1)).await;
        }
    }

    /// The answer to a request, behind which nothing comes but what an opened tunnel carries.
    pub(super) async fn receive(&mut self, name: &str, number: usize) -> Message {
        let asked = [self.asked[number]];
        let mut reading = Reading::responses(&asked);
        loop {
            reading.push(&std::mem::take(&mut self.input));
            if reading.finished() == 0 && self.more().await == 0 {
                reading.close();
            } else if reading.finished() == 0 {
                continue;
            }
            assert!(
                reading.broken.is_none() && reading.is_idle(),
                "{name}: {:?}",
                reading.broken
            );
            self.input = reading.tunnel;
            assert!(!reading.messages.is_empty(), "{name}: closed before the answer");
            return reading.messages.remove(0);
        }
    }

    /// The first bytes of an open tunnel, and whatever comes unasked with them.
    pub(super) async fn read(&mut self, length: usize) -> Vec<u8> {
        while self.input.len() < length && self.more().await > 0 {}
        std::mem::take(&mut self.input)
    }

    async fn more(&mut self) -> usize {
        let mut buffer = vec![0; WHOLE];
        let read = timeout(PATIENCE, self.stream.read(&mut buffer))
            .await
            .unwrap()
            .unwrap_or(0);
        self.input.extend_from_slice(&buffer[..read]);
        read
    }

    /// Closes the connection, which the server then has no more use for.
    pub(super) async fn leave(self, name: &str) {
        assert!(self.input.is_empty(), "{name}: {} bytes came unasked", self.input.len());
        drop(self.stream);
        timeout(PATIENCE, self.served).await.unwrap().unwrap();
    }
}

/// Longer than any deadline of the server. Virtual.
const PATIENCE: Duration = Duration::from_secs(600);
