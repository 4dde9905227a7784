//! A connection that follows a script: what comes in is prepared beforehand, cut anyhow, and what goes out is kept.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// One end of a scripted connection. Clones are the same end.
#[derive(Clone, Debug)]
pub struct Scripted(Arc<Mutex<Script>>);

#[derive(Debug)]
struct Script {
    /// What comes, in groups: each becomes readable with one more flush of what was written.
    groups: VecDeque<VecDeque<Vec<u8>>>,
    flushes: usize,
    /// How many groups were readable from the beginning, or have become so.
    opened: usize,
    taken: usize,
    /// Whether the connection closes after the last group, or hangs.
    closes: bool,
    written: Vec<u8>,
}

impl Scripted {
    /// A connection on which `groups` come in: the first `unasked` of them at once, each other one after one more flush.
    pub fn new(groups: Vec<Vec<Vec<u8>>>, unasked: usize, closes: bool) -> Self {
        let groups = groups
            .into_iter()
            .map(|group| group.into_iter().filter(|piece| !piece.is_empty()).collect())
            .collect();
        Self(Arc::new(Mutex::new(Script {
            groups,
            flushes: 0,
            opened: unasked,
            taken: 0,
            closes,
            written: Vec::new(),
        })))
    }

    /// A connection on which these pieces come in at once, and which closes then.
    pub fn of(pieces: Vec<Vec<u8>>) -> Self {
        Self::new(vec![pieces], 1, true)
    }

    /// All that was written to it.
    pub fn written(&self) -> Vec<u8> {
        self.script().written.clone()
    }

    /// How often what was written was flushed.
    pub fn flushes(&self) -> usize {
        self.script().flushes
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsyncRead for Scripted {
    fn poll_read(self: Pin<&mut Self>, _cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut script = self.script();
        while script.groups.front().is_some_and(VecDeque::is_empty) {
            if script.taken >= script.opened {
                break;
            }
            script.groups.pop_front();
            script.taken += 1;
        }
        if script.groups.is_empty() {
            // Nobody wakes whoever reads on: it has a deadline.
            return if script.closes {
                Poll::Ready(Ok(()))
            } else {
                Poll::Pending
            };
        }
        if script.taken >= script.opened {
            return Poll::Pending;
        }
        let room = buf.remaining();
        if let Some(piece) = script.groups.front_mut().and_then(VecDeque::front_mut) {
            let length = piece.len().min(room);
            buf.put_slice(&piece[..length]);
            piece.drain(..length);
            if piece.is_empty()
                && let Some(group) = script.groups.front_mut()
            {
                group.pop_front();
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Scripted {
    fn poll_write(self: Pin<&mut Self>, _cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut script = self.script();
        // Nobody here writes that much: a bound on what a mistake could cost.
        if script.written.len() > MOST_WRITTEN {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        script.written.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut script = self.script();
        script.flushes += 1;
        script.opened += 1;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// `bytes` in pieces as long as `cuts` say, over and over; one piece without cuts.
pub fn pieces(bytes: &[u8], cuts: &[u8]) -> Vec<Vec<u8>> {
    let mut lengths = cuts.iter().map(|cut| usize::from(*cut) + 1).cycle();
    let (mut rest, mut pieces) = (bytes, Vec::new());
    while !rest.is_empty() {
        let length = lengths.next().unwrap_or(rest.len()).min(rest.len());
        let (piece, after) = rest.split_at(length);
        pieces.push(piece.to_vec());
        rest = after;
    }
    pieces
}

const MOST_WRITTEN: usize = 8 << 20;
