//! The core's hold on a session: announce probes and wait for what the agent says about them, send verdicts, close.
//!
//! A [`Link`] is what the handle, its tickets and the session's own task share. Nothing here waits for the agent's
//! network: what does not fit into the short outgoing queue ends the session, since an agent that reads it never fills it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use proto::{
    attest::{self, ToAgent, to_agent::Message},
    checked::Signed,
    claims::Receipt,
    ids::{PeerId, ProbeId},
    time::Timestamp,
};
use tokio::{
    sync::{
        mpsc::{self, error::TrySendError},
        oneshot,
    },
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tracing::debug;

use crate::model::{Blame, Finding, Reason};

use super::{Registered, SessionId};

/// One session, as the core holds it. Clones are the same session.
#[derive(Clone, Debug)]
pub struct SessionHandle {
    link: Arc<Link>,
    peer: PeerId,
}

impl SessionHandle {
    pub(super) const fn new(link: Arc<Link>, peer: PeerId) -> Self {
        Self { link, peer }
    }

    /// A handle of no connection, for tests of what keeps handles.
    #[cfg(test)]
    pub(super) fn unconnected(id: u64, peer: PeerId) -> Self {
        // The receiver's end is leaked rather than dropped: a closed queue would end the session.
        let (outbound, receiver) = mpsc::channel(OUTBOUND);
        std::mem::forget(receiver);
        Self::new(Arc::new(Link::new(SessionId(id), outbound)), peer)
    }

    /// The session. Newer ones are greater.
    pub fn id(&self) -> SessionId {
        self.link.id
    }

    /// Whose it is.
    pub const fn peer(&self) -> &PeerId {
        &self.peer
    }

    /// Whether anything can still be sent.
    pub fn is_live(&self) -> bool {
        self.link.lock().outbound.is_some()
    }

    /// Sends an announcement and waits for nothing; the ticket waits for what the agent says to it.
    ///
    /// # Errors
    /// [`Reason::NoSession`] when the session has ended, [`Reason::AttesterFailed`] when it has eight probes announced
    /// already, or this one.
    pub fn announce(&self, probe: ProbeId, announcement: Vec<u8>) -> Result<Ticket, Finding> {
        let (acked_in, acked) = oneshot::channel();
        let (receipt_in, receipt) = oneshot::channel();
        {
            let mut state = self.link.lock();
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
        }
        // From here on the ticket takes the entry away again, whatever happens.
        let ticket = Ticket {
            link: Arc::clone(&self.link),
            probe,
            acked: Acked::Waiting(acked),
            receipt,
        };
        self.link.send(Message::Announcement(announcement.into()))?;
        Ok(ticket)
    }

    /// Sends a signed verdict.
    ///
    /// # Errors
    /// [`Reason::NoSession`] when the session has ended.
    pub fn send_verdict(&self, verdict: Vec<u8>) -> Result<(), Finding> {
        self.link.send(Message::Verdict(verdict.into()))
    }

    /// Sends a newer signed keyset.
    ///
    /// # Errors
    /// [`Reason::NoSession`] when the session has ended.
    pub fn send_keyset(&self, keyset: Bytes) -> Result<(), Finding> {
        self.link.send(Message::Keyset(keyset))
    }

    /// Tells the agent why, and ends the session.
    pub fn close(&self, finding: &Finding) {
        self.link.finish(Some(Ok(rejected(finding))), EndedBy::Attester);
    }

    /// Ends the session because a newer one of the same key is there.
    pub(super) fn close_as_replaced(&self) {
        let told = "a newer session of the same key replaced this one: run one agent for one identity file";
        self.link.finish(Some(Err(Status::aborted(told))), EndedBy::Attester);
    }
}

/// Waits for what the agent says about one announced probe. Dropping it forgets the probe.
#[derive(Debug)]
pub struct Ticket {
    link: Arc<Link>,
    probe: ProbeId,
    acked: Acked,
    receipt: oneshot::Receiver<(Vec<u8>, Timestamp)>,
}

impl Ticket {
    /// Waits until the agent has armed its tap. May be called again.
    ///
    /// # Errors
    /// [`Reason::AckRefused`] with the agent's words; [`Reason::AckMissing`] at the deadline or when the agent's end of the
    /// session is gone; [`Reason::NoSession`] when the attester ended the session itself.
    pub async fn acked(&mut self, deadline: Instant) -> Result<(), Finding> {
        if let Acked::Waiting(acked) = &mut self.acked {
            match timeout_at(deadline, acked).await {
                Ok(Ok(answer)) => self.acked = Acked::Came(answer),
                Ok(Err(_)) => return Err(self.link.session_over(Reason::AckMissing)),
                Err(_) => return Err(Reason::AckMissing.into()),
            }
        }
        match &self.acked {
            Acked::Came(Err(refusal)) => Err(Finding::new(Reason::AckRefused, refusal)),
            _ => Ok(()),
        }
    }

    /// Waits for the receipt: its bytes, unverified, and when they arrived.
    ///
    /// # Errors
    /// [`Reason::ReceiptMissing`] at the deadline or when the agent's end of the session is gone; [`Reason::NoSession`]
    /// when the attester ended the session itself.
    pub async fn receipt(mut self, deadline: Instant) -> Result<(Vec<u8>, Timestamp), Finding> {
        match timeout_at(deadline, &mut self.receipt).await {
            Ok(Ok(came)) => Ok(came),
            Ok(Err(_)) => Err(self.link.session_over(Reason::ReceiptMissing)),
            Err(_) => {
                let unreadable = self.link.lock().unreadable.clone().unwrap_or_default();
                Err(Finding::new(Reason::ReceiptMissing, unreadable))
            }
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.link.lock().pending.retain(|pending| pending.probe != self.probe);
    }
}

/// Decides about a registration; dropping it tells the agent that nobody could.
#[derive(Debug)]
pub struct Answer {
    link: Arc<Link>,
    decided: oneshot::Sender<()>,
}

impl Answer {
    pub(super) const fn new(link: Arc<Link>, decided: oneshot::Sender<()>) -> Self {
        Self { link, decided }
    }

    /// Answers the agent. What is announced afterwards arrives after it.
    ///
    /// # Errors
    /// [`Reason::NoSession`] when the session ended in the meantime; then its end was or will be told as well.
    pub fn send(self, decision: Result<Registered, Finding>) -> Result<(), Finding> {
        let sent = match decision {
            Ok(Registered { peer_id, own_name }) => self.link.send(Message::Registered(attest::Registered {
                peer_id: peer_id.to_string(),
                own_name,
            })),
            Err(finding) => {
                self.link.finish(Some(Ok(rejected(&finding))), EndedBy::Refusal);
                Ok(())
            }
        };
        let _ = self.decided.send(()); // the session's task is gone only when the session is over
        sent
    }
}

/// What a session's task, its handles and its tickets share.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) id: SessionId,
    /// Cancelled when the session is over, whoever ended it.
    pub(super) over: CancellationToken,
    state: Mutex<State>,
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
    pub(super) fn new(id: SessionId, outbound: mpsc::Sender<Outgoing>) -> Self {
        let state = State {
            outbound: Some(outbound),
            pending: Vec::new(),
            unreadable: None,
            ended_by: EndedBy::Agent,
        };
        Self {
            id,
            over: CancellationToken::new(),
            state: Mutex::new(state),
        }
    }

    /// Queues a message.
    pub(super) fn send(&self, message: Message) -> Result<(), Finding> {
        let queued = match &self.lock().outbound {
            None => return Err(Finding::new(Reason::NoSession, "the session has ended")),
            Some(outbound) => outbound.try_send(Ok(ToAgent { message: Some(message) })),
        };
        queued.map_err(|error| match error {
            // The session's task hears of the same, and knows more.
            TrySendError::Closed(_) => Finding::new(Reason::NoSession, "the session has just ended"),
            TrySendError::Full(_) => {
                self.finish(None, EndedBy::Agent);
                Finding::new(Reason::NoSession, "the agent does not read what it is sent")
            }
        })
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
    fn session_over(&self, reason: Reason) -> Finding {
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
    pending: Vec<Pending>,
    /// Why the last receipt since the last announcement could not be read.
    unreadable: Option<String>,
    ended_by: EndedBy,
}

#[derive(Debug)]
struct Pending {
    probe: ProbeId,
    acked: Option<oneshot::Sender<Result<(), String>>>,
    receipt: Option<oneshot::Sender<(Vec<u8>, Timestamp)>>,
}

#[derive(Debug)]
enum Acked {
    Waiting(oneshot::Receiver<Result<(), String>>),
    Came(Result<(), String>),
}

/// Messages that wait for a session's connection; more than a session ever has under way.
pub(super) const OUTBOUND: usize = 16;
const MAX_PENDING: usize = 8;
