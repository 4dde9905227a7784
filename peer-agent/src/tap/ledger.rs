//! What one flow carried, counted and hashed for its receipt. Pure: bytes and times come in, a [`Finished`] flow comes
//! out, at most once. What it says does not depend on how the bytes were cut into chunks.

use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use proto::{
    claims::{Announcement, Challenge, FlowEnd},
    ids::{Digest, Nonce},
    time::Timestamp,
};
use ring::digest;

use crate::trust::{LEEWAY, Trust};

/// An announcement that was checked, with what it takes to recognise its challenge.
#[derive(Debug)]
pub(crate) struct Expectation {
    /// What the attester announced.
    pub(crate) announcement: Announcement,
    /// The keys that may have signed the challenge.
    pub(crate) trust: Arc<Trust>,
    /// Microseconds to add to this machine's clock to get the attester's.
    pub(crate) clock_offset: i64,
}

impl Expectation {
    /// The nonce of `challenge`, if these bytes are the announced challenge and an attester key signed them for this
    /// peer and this time. `now` is this machine's own clock.
    pub(crate) fn recognise(&self, challenge: &[u8], now: Timestamp) -> Option<Nonce> {
        if Digest::of(challenge) != self.announcement.challenge {
            return None;
        }
        let now = now.shifted(self.clock_offset);
        let (_, timely) = self.trust.attester_claim::<Challenge>(challenge, now).ok()?;
        let challenge = timely.at(now, LEEWAY).ok()?;
        let meant = challenge.probe == self.announcement.probe && challenge.subject == self.announcement.subject;
        meant.then_some(challenge.nonce)
    }
}

/// The account of one flow to an armed destination.
#[derive(Debug)]
pub(crate) struct Ledger {
    opened: Timestamp,
    up: Count,
    down: Count,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// The request line has not come through whole: its bytes so far.
    Opening(Vec<u8>),
    /// The flow opened with an announced challenge.
    Watching(Recognised),
    /// It was another client's, or it has ended.
    Over,
}

/// The announcement that a flow belongs to.
#[derive(Clone, Debug)]
pub(crate) struct Recognised {
    /// What was announced.
    pub(crate) expectation: Arc<Expectation>,
    /// The nonce found in the challenge.
    pub(crate) nonce: Nonce,
}

/// A flow that has ended: all that its receipt says, times on this machine's own clock.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) flow: Recognised,
    pub(crate) up: u64,
    pub(crate) up_digest: Digest,
    pub(crate) down: u64,
    pub(crate) down_digest: Digest,
    pub(crate) opened: Timestamp,
    pub(crate) closed: Timestamp,
    pub(crate) end: FlowEnd,
}

/// Where a flow stands after more of it was seen.
#[derive(Debug)]
pub(crate) enum Progress {
    /// More may come.
    Watching,
    /// Nothing more about it will be of interest.
    Over,
    /// It has just ended.
    Finished(Box<Finished>),
}

impl Ledger {
    /// The account of a flow that opens now.
    pub(crate) fn new(now: Timestamp) -> Self {
        Self {
            opened: now,
            up: Count::new(),
            down: Count::new(),
            phase: Phase::Opening(Vec::new()),
        }
    }

    /// Bytes that go to the destination. `find` is asked once, with the challenge in the request line, which
    /// announcement it belongs to; a flow that belongs to none is not looked at any further.
    pub(crate) fn up(
        &mut self,
        bytes: &[u8],
        now: Timestamp,
        find: impl FnOnce(&[u8]) -> Option<Recognised>,
    ) -> Progress {
        let Phase::Opening(line) = &mut self.phase else {
            return self.count(Direction::Up, bytes, now);
        };
        let (of_line, rest) = match bytes.iter().position(|byte| *byte == b'\n') {
            Some(end) => bytes.split_at(end + 1),
            None => (bytes, &[][..]),
        };
        if line.len() + of_line.len() > MAX_LINE {
            return self.stop();
        }
        line.extend_from_slice(of_line);
        if !line.ends_with(b"\n") {
            let could_be = line.iter().zip(LINE_START).all(|(byte, expected)| byte == expected);
            return if could_be { Progress::Watching } else { self.stop() };
        }
        let Some(flow) = challenge_of(line).and_then(|challenge| find(&challenge)) else {
            return self.stop();
        };
        let line = std::mem::take(line);
        self.phase = Phase::Watching(flow);
        match self.count(Direction::Up, &line, now) {
            Progress::Watching => self.count(Direction::Up, rest, now),
            ended => ended,
        }
    }

    /// Bytes that come from the destination. A host with a task for each direction may report an answer before the
    /// request that it answers, so they count from the flow's opening on.
    pub(crate) fn down(&mut self, bytes: &[u8], now: Timestamp) -> Progress {
        self.count(Direction::Down, bytes, now)
    }

    /// The flow ends for a reason outside of its bytes.
    pub(crate) fn end(&mut self, end: FlowEnd, now: Timestamp) -> Progress {
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Watching(flow) => {
                let (up, up_digest) = std::mem::replace(&mut self.up, Count::new()).finish();
                let (down, down_digest) = std::mem::replace(&mut self.down, Count::new()).finish();
                let (opened, closed) = (self.opened, now);
                Progress::Finished(Box::new(Finished {
                    flow,
                    up,
                    up_digest,
                    down,
                    down_digest,
                    opened,
                    closed,
                    end,
                }))
            }
            Phase::Opening(_) | Phase::Over => Progress::Over,
        }
    }

    /// Counts up to the announced length. The first byte beyond it voids the flow, unless the flow had ended before
    /// that byte, because both lengths were reached.
    fn count(&mut self, direction: Direction, bytes: &[u8], now: Timestamp) -> Progress {
        let flow = match &self.phase {
            Phase::Over => return Progress::Over,
            Phase::Opening(_) => {
                self.down.add(bytes);
                return Progress::Watching;
            }
            Phase::Watching(flow) => flow,
        };
        let announced = &flow.expectation.announcement;
        let (up, down) = (announced.up, announced.down);
        let (count, length) = match direction {
            Direction::Up => (&mut self.up, up),
            Direction::Down => (&mut self.down, down),
        };
        let room = usize::try_from(length.saturating_sub(count.bytes)).unwrap_or(usize::MAX);
        let (within, beyond) = bytes.split_at(room.min(bytes.len()));
        count.add(within);
        if let Some(first) = beyond
            .get(..1)
            .filter(|_| self.up.bytes != up || self.down.bytes != down)
        {
            match direction {
                Direction::Up => self.up.add(first),
                Direction::Down => self.down.add(first),
            }
        }
        if self.up.bytes > up || self.down.bytes > down {
            self.end(FlowEnd::Overrun, now)
        } else if self.up.bytes == up && self.down.bytes == down {
            self.end(FlowEnd::Lengths, now)
        } else {
            Progress::Watching
        }
    }

    fn stop(&mut self) -> Progress {
        self.phase = Phase::Over;
        Progress::Over
    }
}

#[derive(Clone, Copy)]
enum Direction {
    Up,
    Down,
}

/// Bytes of one direction and their running SHA-256.
struct Count {
    bytes: u64,
    context: digest::Context,
}

impl Count {
    fn new() -> Self {
        Self {
            bytes: 0,
            context: digest::Context::new(&digest::SHA256),
        }
    }

    fn add(&mut self, bytes: &[u8]) {
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        self.context.update(bytes);
    }

    fn finish(self) -> (u64, Digest) {
        let mut digest = [0; 32];
        digest.copy_from_slice(self.context.finish().as_ref());
        (self.bytes, Digest::from_bytes(digest))
    }
}

impl std::fmt::Debug for Count {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.bytes)
    }
}

/// The challenge in `GET /c/<base64url, no padding> HTTP/1.1`, if the line is exactly that.
fn challenge_of(line: &[u8]) -> Option<Vec<u8>> {
    let text = line.strip_prefix(LINE_START)?.strip_suffix(LINE_END)?;
    BASE64URL_NOPAD.decode(text).ok()
}

const LINE_START: &[u8] = b"GET /c/";
const LINE_END: &[u8] = b" HTTP/1.1\r\n";
/// A claim has at most 4,096 bytes: 5,462 in base64. What is longer is no challenge.
const MAX_LINE: usize = 8 << 10;

#[cfg(test)]
mod tests;
