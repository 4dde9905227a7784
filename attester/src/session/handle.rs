//! The core's hold on a session: announce probes and wait for what the agent says about them, send verdicts, close.

use std::sync::Arc;

use proto::{
    attest,
    attest::to_agent::Message,
    ids::{PeerId, ProbeId},
    time::Timestamp,
};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};
use tonic::Status;

use crate::model::{Finding, Reason};

use super::{
    Registered, SessionId,
    link::{EndedBy, Expected, Link, rejected},
};

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
        let (outbound, receiver) = tokio::sync::mpsc::channel(super::link::OUTBOUND);
        std::mem::forget(receiver);
        let key = proto::key::SigningKey::from_seed(&[1; 32]);
        let keys = super::SessionKeys {
            keyset: bytes::Bytes::new(),
            attester: key,
        };
        let (_, keys) = tokio::sync::watch::channel(Arc::new(keys));
        Self::new(Arc::new(Link::new(SessionId::new(id), outbound, keys)), peer)
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
        self.link.is_live()
    }

    /// Sends an announcement and waits for nothing; the ticket waits for what the agent says to it.
    ///
    /// # Errors
    /// [`Reason::NoSession`] when the session has ended, [`Reason::AttesterFailed`] when it has eight probes announced
    /// already, or this one.
    pub fn announce(&self, probe: ProbeId, announcement: Vec<u8>) -> Result<Ticket, Finding> {
        let Expected { acked, receipt } = self.link.expect(probe)?;
        // From here on the ticket takes the expectation back, whatever happens.
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

    /// Sends the keyset as it is now, unless it was sent before. (Announcements and verdicts take it along by themselves:
    /// no agent gets a claim before the keyset that lists its key.)
    ///
    /// # Errors
    /// [`Reason::NoSession`] when the session has ended.
    pub fn send_keyset(&self) -> Result<(), Finding> {
        self.link.send_keyset()
    }

    /// Tells the agent why, and ends the session.
    pub fn close(&self, finding: &Finding) {
        self.link.finish(Some(Ok(rejected(finding))), EndedBy::Attester);
    }

    /// Ends the session because a newer one of the same key is there: the agent's doing, like any other way to break one off,
    /// or whoever answers no probe could come anew at each.
    pub(super) fn close_as_replaced(&self) {
        let told = "a newer session of the same key replaced this one: run one agent for one identity file";
        self.link.finish(Some(Err(Status::aborted(told))), EndedBy::Agent);
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
                Ok(Err(_)) => self.acked = Acked::Never,
                Err(_) => return Err(Reason::AckMissing.into()),
            }
        }
        match &self.acked {
            Acked::Came(Err(refusal)) => Err(Finding::new(Reason::AckRefused, refusal)),
            Acked::Never => Err(self.link.session_over(Reason::AckMissing)),
            Acked::Came(Ok(())) | Acked::Waiting(_) => Ok(()),
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
                let unreadable = self.link.unreadable();
                Err(Finding::new(Reason::ReceiptMissing, unreadable))
            }
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.link.forget(self.probe);
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

#[derive(Debug)]
enum Acked {
    Waiting(oneshot::Receiver<Result<(), String>>),
    Came(Result<(), String>),
    /// The session ended before: there is nothing to wait for any more.
    Never,
}
