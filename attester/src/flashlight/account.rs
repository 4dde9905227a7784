//! What one probe has sent and received so far, and what it means when it stops here.

use std::{fmt, net::SocketAddr};

use proto::{
    claims::Phase,
    ids::{Digest, Pin},
};

use super::{Exchange, Job, Stopwatch};
use crate::model::{Finding, Reason};

/// The running account of a probe. Lives outside the futures that do the work, so that a timeout loses none of it.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) watch: Stopwatch,
    /// Is there a tunnel (or is none needed)?
    pub(super) opened: bool,
    pub(super) pin: Option<Pin>,
    pub(super) resumed: bool,
    pub(super) proxy_host: Option<String>,
    expected: usize,
    sent: bool,
    received: Vec<u8>,
}

impl Account {
    pub(super) fn new(watch: Stopwatch, expected_down: u64) -> Self {
        // One less than everything, so that there is room for the byte too many.
        let expected = usize::try_from(expected_down).unwrap_or(usize::MAX).min(usize::MAX - 1);
        Self {
            watch,
            opened: false,
            pin: None,
            resumed: false,
            proxy_host: None,
            expected,
            sent: false,
            received: Vec::new(),
        }
    }

    /// The tunnel stands.
    pub(super) fn open(&mut self) {
        self.opened = true;
        self.watch.note(Phase::Tunnel);
    }

    /// The request was handed over.
    pub(super) fn sent(&mut self) {
        self.sent = true;
    }

    /// Takes bytes that came through the tunnel.
    ///
    /// # Errors
    /// [`Reason::Overlong`] with the first byte that was not announced.
    pub(super) fn take(&mut self, data: &[u8]) -> Result<(), Finding> {
        if data.is_empty() {
            return Ok(());
        }
        if self.received.is_empty() {
            self.watch.note(Phase::FirstByte);
        }
        let wanted = self.expected.saturating_sub(self.received.len());
        if wanted > 0 && data.len() >= wanted {
            self.watch.note(Phase::Complete);
        }
        self.received.extend_from_slice(&data[..data.len().min(wanted + 1)]);
        if self.received.len() > self.expected {
            return Err(Finding::new(
                Reason::Overlong,
                format!("{} bytes were announced", self.expected),
            ));
        }
        Ok(())
    }

    /// How much has come.
    pub(super) fn length(&self) -> usize {
        self.received.len()
    }

    /// Has all that was announced come?
    pub(super) fn is_complete(&self) -> bool {
        self.received.len() >= self.expected
    }

    /// The tunnel ended here; `how` says in which way.
    pub(super) fn ended(&self, how: impl fmt::Display) -> Result<(), Finding> {
        match self.received.len() {
            _ if self.is_complete() => Ok(()),
            0 => Err(Finding::new(Reason::FirstByteClosed, how.to_string())),
            length => Err(Finding::new(
                Reason::Truncated,
                format!("{length} of {} bytes came, then {how}", self.expected),
            )),
        }
    }

    /// The time is over here.
    pub(super) fn timed_out(&self) -> Result<(), Finding> {
        match self.received.len() {
            _ if self.is_complete() => Ok(()),
            0 if self.opened => Err(Reason::FirstByteTimeout.into()),
            0 => Err(Reason::TunnelTimeout.into()),
            length => Err(Finding::new(
                Reason::CompleteTimeout,
                format!("{length} of {} bytes came in time", self.expected),
            )),
        }
    }

    /// Closes the account.
    pub(super) fn close(self, address: SocketAddr, job: &Job, failure: Option<Finding>) -> Exchange {
        let sent = if self.sent { job.request.as_slice() } else { &[] };
        Exchange {
            watch: self.watch,
            address,
            pin: self.pin,
            resumed: self.resumed,
            sent: sent.len() as u64,
            sent_digest: Digest::of(sent),
            received_digest: Digest::of(&self.received),
            received: self.received,
            proxy_host: self.proxy_host,
            failure,
        }
    }
}
