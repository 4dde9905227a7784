//! What a session's own task, its handles and its tickets share: the outgoing queue, and who waits for what.
//!
//! Nothing here waits for the agent's network: what does not fit into the short queue ends the session, since an agent
//! that reads never lets it fill.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use proto::{
    attest::{self, ToAgent, to_agent::Message},
    checked::Signed,
    claims::Receipt,
    ids::ProbeId,
    time::Timestamp,
};
use tokio::sync::{
    mpsc::{self, error::TrySendError},
    oneshot, watch,
};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tracing::debug;

use crate::model::{Blame, Finding, Reason};

use super::{SessionId, SessionKeys};

/// What a session's task, its handles and its tickets share.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) id: SessionId,
    /// Cancelled when the session is over, whoever ended it.
    pub(super) over: CancellationToken,
    keys: watch::Receiver<Arc<SessionKeys>>,
    state: Mutex<State>,
}

/// Where a probe's acknowledgement and receipt will come out.
pub(super) struct Expected {
    pub(super) acked: oneshot::Receiver<Result<(), String>>,
    pub(super) receipt: oneshot::Receiver<(Vec<u8>, Timestamp)>,
}

/// What goes to the agent, or the status that ends its stream.
pub(super) type Outgoing = Result<ToAgent, Status>;

/// Whose doing the end of a session was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EndedBy {
    Agent,
    Attester,
    /// The attester's as well: the registration was refused.
    Refusal,
}

impl Link {
    pub(super) fn new(
        id: SessionId,
        outbound: mpsc::Sender<Outgoing>,
        keys: watch::Receiver<Arc<SessionKeys>>,
    ) -> Self {
        let state = State {
            outbound: Some(outbound),
            keyset_sent: Bytes::new(),
            pending: Vec::new(),
            unreadable: None,
            ended_by: EndedBy::Agent,
        };
        Self {
            id,
            over: CancellationToken::new(),
            keys,
            state: Mutex::new(state),
        }
    }

    /// Queues a message. The newest keyset goes before what its keys may have signed.
    pub(super) fn send(&self, message: Message) -> Result<(), Finding> {
        let mut state = self.lock();
        let mut queued = Ok(());
        match &message {
            Message::Announcement(_) | Message::Verdict(_) => queued = self.queue_keyset(&mut state),
            Message::Keyset(keyset) => state.keyset_sent = keyset.clone(),
            Message::Welcome(_) | Message::Registered(_) | Message::Rejected(_) => {}
        }
        let queued = queued.and_then(|()| state.queue(message));
        drop(state);
        queued.map_err(|error| self.not_queued(error))
    }

    /// Queues the keyset as it is now, unless it was sent before.
    pub(super) fn send_keyset(&self) -> Result<(), Finding> {
        let queued = self.queue_keyset(&mut self.lock());
        queued.map_err(|error| self.not_queued(error))
    }

    fn queue_keyset(&self, state: &mut State) -> Result<(), NotQueued> {
        let keyset = self.keys.borrow().keyset.clone();
        if state.keyset_sent == keyset {
            return Ok(());
        }
        state.keyset_sent = keyset.clone();
        state.queue(Message::Keyset(keyset))
    }

    fn not_queued(&self, error: NotQueued) -> Finding {
        let told = match error {
            NotQueued::Over => "the session has ended",
            // The session's task hears of the same, and knows more.
            NotQueued::Closed => "the session has just ended",
            NotQueued::Full => {
                self.finish(None, EndedBy::Agent);
                "the agent does not read what it is sent"
            }
        };
        Finding::new(Reason::NoSession, told)
    }

    /// Makes room for what the agent will say about a probe.
    pub(super) fn expect(&self, probe: ProbeId) -> Result<Expected, Finding> {
        let (acked_in, acked) = oneshot::channel();
        let (receipt_in, receipt) = oneshot::channel();
        let mut state = self.lock();
        if state.pending.len() >= MAX_PENDING || state.pending.iter().any(|pending| pending.probe == probe) {
            let told = "the session has eight probes announced, or this one already";
            return Err(Finding::new(Reason::AttesterFailed, told));
        }
        state.unreadable = None;
        state.pending.push(Pending {
            probe,
            acked: Some(acked_in),
            receipt: Some(receipt_in),
        });
        Ok(Expected { acked, receipt })
    }

    /// Expects nothing about a probe any more.
    pub(super) fn forget(&self, probe: ProbeId) {
        self.lock().pending.retain(|pending| pending.probe != probe);
    }

    /// Why the last receipt could not be read, if that happened since the last announcement; else empty.
    pub(super) fn unreadable(&self) -> String {
        self.lock().unreadable.clone().unwrap_or_default()
    }

    /// Ends the session, with a last word if there is one. Only the first call counts.
    pub(super) fn finish(&self, last: Option<Outgoing>, by: EndedBy) {
        let mut state = self.lock();
        if let Some(outbound) = state.outbound.take() {
            if let Some(last) = last {
                let _ = outbound.try_send(last); // a full queue says that nobody reads
            }
            state.pending.clear();
            state.ended_by = by;
        }
        drop(state);
        self.over.cancel();
    }

    /// Whether anything can still be sent.
    pub(super) fn is_live(&self) -> bool {
        self.lock().outbound.is_some()
    }

    /// Whether the outgoing half of the stream is still there.
    pub(super) fn is_heard(&self) -> bool {
        self.lock()
            .outbound
            .as_ref()
            .is_some_and(|outbound| !outbound.is_closed())
    }

    /// Whether it ended with the refusal of its registration.
    pub(super) fn is_refused(&self) -> bool {
        self.lock().ended_by == EndedBy::Refusal
    }

    /// Hands an acknowledgement to whoever announced the probe. Those of unknown probes are dropped.
    pub(super) fn acked(&self, probe: ProbeId, refusal: String) {
        let mut state = self.lock();
        let acked = state
            .pending
            .iter_mut()
            .find(|pending| pending.probe == probe)
            .and_then(|it| it.acked.take());
        drop(state);
        match acked {
            None => debug!(session = %self.id, %probe, "an acknowledgement that nobody waits for"),
            Some(acked) => {
                let answer = if refusal.is_empty() { Ok(()) } else { Err(refusal) };
                let _ = acked.send(answer); // nobody waits any more
            }
        }
    }

    /// Hands a receipt to whoever announced the probe that it claims to be for; whether it is, and who signed it, the
    /// verifier finds out. Others are dropped.
    pub(super) fn receipt(&self, receipt: &[u8], arrived: Timestamp) {
        let probe = match Signed::<Receipt>::parse(receipt) {
            Ok(signed) => signed.dangerously_unverified().probe,
            Err(error) => {
                debug!(session = %self.id, %error, "a receipt that cannot be read");
                self.lock().unreadable = Some(format!("one came that cannot be read: {error}"));
                return;
            }
        };
        let mut state = self.lock();
        let waiting = state
            .pending
            .iter_mut()
            .find(|pending| pending.probe == probe)
            .and_then(|it| it.receipt.take());
        drop(state);
        match waiting {
            None => debug!(session = %self.id, %probe, "a receipt that nobody waits for"),
            Some(waiting) => {
                let _ = waiting.send((receipt.to_vec(), arrived)); // nobody waits any more
            }
        }
    }

    /// What a ticket finds when the session is over: the attester's own doing is not held against the peer.
    pub(super) fn session_over(&self, reason: Reason) -> Finding {
        match self.lock().ended_by {
            EndedBy::Agent => Finding::new(reason, "the session ended before"),
            EndedBy::Attester | EndedBy::Refusal => Finding::new(Reason::NoSession, "the attester ended the session"),
        }
    }

    /// Nothing that is done under the lock can stop half way.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The message that refuses or ends a session. Trying again helps when the attester was the trouble.
pub(super) fn rejected(finding: &Finding) -> ToAgent {
    let rejected = attest::Rejected {
        code: finding.reason.code().to_owned(),
        remedy: finding.remedy(),
        retry: finding.reason.blame() == Blame::Attester,
    };
    ToAgent {
        message: Some(Message::Rejected(rejected)),
    }
}

#[derive(Debug)]
struct State {
    /// `None` when the session is over.
    outbound: Option<mpsc::Sender<Outgoing>>,
    keyset_sent: Bytes,
    pending: Vec<Pending>,
    /// Why the last receipt since the last announcement could not be read.
    unreadable: Option<String>,
    ended_by: EndedBy,
}

/// Why a message is not queued.
enum NotQueued {
    /// The session is over.
    Over,
    /// Nobody takes anything out of the queue any more.
    Closed,
    /// Nobody has for a while.
    Full,
}

impl State {
    fn queue(&self, message: Message) -> Result<(), NotQueued> {
        let outbound = self.outbound.as_ref().ok_or(NotQueued::Over)?;
        let queued = outbound.try_send(Ok(ToAgent { message: Some(message) }));
        queued.map_err(|error| match error {
            TrySendError::Closed(_) => NotQueued::Closed,
            TrySendError::Full(_) => NotQueued::Full,
        })
    }
}

#[derive(Debug)]
struct Pending {
    probe: ProbeId,
    acked: Option<oneshot::Sender<Result<(), String>>>,
    receipt: Option<oneshot::Sender<(Vec<u8>, Timestamp)>>,
}

/// Messages that wait for a session's connection; more than a session ever has under way.
pub(super) const OUTBOUND: usize = 16;
const MAX_PENDING: usize = 8;
