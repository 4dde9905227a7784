//! What is said in one session, from keyset and welcome to the last word: one task, whose stages are functions that
//! either go on or tell how the session is left.

use std::{convert::Infallible, sync::Arc, time::Duration};

use proto::{
    ClaimError,
    attest::{Goodbye, Register as RegisterMessage, Succession, ToAttester, goodbye, to_agent, to_attester::Message},
    checked::sign,
    claims::{SuccessionPair, Welcome},
    ids::{Nonce, PeerId, ProbeId},
    key::SigningKey,
    time::Timestamp,
    version,
};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep_until, timeout, timeout_at},
};
use tonic::{Status, Streaming};
use tracing::{debug, warn};

use crate::{
    door::Full,
    metrics::SessionEnd,
    model::{Finding, Reason},
};

use super::{
    How, Register, SessionEvent, SessionKeys, Shared,
    admission::{self, Admitted, Beside, Refused, Terms},
    connection::Connection,
    handle::{Answer, SessionHandle},
    link::{EndedBy, Link, Outgoing, rejected},
    pace::Pace,
};

/// One session's task.
pub(super) struct Conversation {
    pub(super) shared: Arc<Shared>,
    pub(super) connection: Arc<Connection>,
    pub(super) link: Arc<Link>,
    pub(super) inbound: Streaming<ToAttester>,
    pub(super) pace: Pace,
    /// Whose registration the core was told of.
    pub(super) peer: Option<PeerId>,
    /// When the agent last asked for a probe.
    pub(super) asked: Option<Instant>,
}

/// How a session is left.
enum Leaving {
    /// The agent's end is gone.
    Gone(How),
    /// The agent said goodbye.
    Goodbye { paused: bool },
    /// The attester ends it, with these words.
    Ended(Outgoing),
    /// It was ended through the handle, which had the last word.
    Over,
    /// The whole server stops.
    Stopping,
}

impl Conversation {
    /// Talks until one side leaves, tells the core and sees to it that the connection goes too.
    pub(super) async fn run(mut self) {
        let Err(leaving) = self.talk().await;
        let (last, by, how) = match leaving {
            Leaving::Gone(how) => (None, EndedBy::Agent, Some(how)),
            Leaving::Goodbye { paused } => {
                self.tell_goodbye(paused).await;
                (None, EndedBy::Agent, None)
            }
            // The agent brought it about by what it sent: who breaks a session off in the middle of a probe has failed it.
            Leaving::Ended(last) => (Some(last), EndedBy::Agent, Some(How::Dismissed)),
            // A refused registration is the core's own doing: there is no end to tell it of.
            Leaving::Over if self.link.is_refused() => (None, EndedBy::Refusal, None),
            Leaving::Over => (None, EndedBy::Attester, Some(How::Dismissed)),
            Leaving::Stopping => {
                let told = "the attester stops: connect again in a moment";
                (Some(Err(Status::unavailable(told))), EndedBy::Attester, None)
            }
        };
        self.link.finish(last, by);
        if let (Some(how), Some(peer)) = (how, self.peer.take()) {
            self.shared.metrics.session_ended(how.into());
            self.tell(SessionEvent::Ended {
                peer,
                session: self.link.id,
                how,
            })
            .await;
        }
        // The agent has the last word in its hands before the connection is cut, unless it is very slow.
        drop(self.inbound);
        let _ = timeout(self.shared.limits.linger, self.connection.gone.cancelled()).await;
        self.connection.abort.cancel();
    }

    async fn talk(&mut self) -> Result<Infallible, Leaving> {
        if let Some(full) = self.connection.full {
            return Err(self.refuse(None, too_many(full)));
        }
        let keys = self.shared.keys.borrow().clone();
        let session = self.greet(&keys)?;
        let message = self.registration().await?;
        self.register(message, &keys, session).await?;
        loop {
            match self.next().await? {
                Message::Ack(ack) => match ProbeId::try_from(&ack.probe_id[..]) {
                    Ok(probe) => self.link.acked(probe, ack.refusal),
                    Err(_) => return Err(ended(Status::invalid_argument("ack: probe_id must be 16 bytes"))),
                },
                Message::Receipt(receipt) => self.link.receipt(&receipt.receipt, self.shared.clock.now()),
                Message::Retest(_) => self.ask_for_a_probe(),
                Message::Goodbye(goodbye) => return Err(leaving_with(goodbye)),
                Message::Register(_) => {
                    let told = "this session is registered already: connect anew to change a registration";
                    return Err(ended(Status::failed_precondition(told)));
                }
            }
        }
    }

    /// Sends keyset and welcome, in this order: the agent believes nothing that the keyset does not cover.
    fn greet(&self, keys: &SessionKeys) -> Result<Nonce, Leaving> {
        let session = self.shared.nonce();
        let welcome = welcome(&keys.attester, session, &self.connection, self.shared.clock.now()).map_err(|error| {
            warn!(%error, "cannot sign a welcome");
            ended(Status::internal(
                "the attester cannot sign its welcome: its operator should look at its log",
            ))
        })?;
        let gone = |_: Finding| Leaving::Gone(How::Reset);
        self.link
            .send(to_agent::Message::Keyset(keys.keyset.clone()))
            .map_err(gone)?;
        self.link
            .send(to_agent::Message::Welcome(welcome.into()))
            .map_err(gone)?;
        Ok(session)
    }

    async fn registration(&mut self) -> Result<RegisterMessage, Leaving> {
        let limit = self.shared.limits.register;
        match timeout(limit, self.next()).await {
            Ok(Ok(Message::Register(message))) => Ok(message),
            Ok(Ok(Message::Goodbye(goodbye))) => Err(leaving_with(goodbye)),
            Ok(Ok(Message::Ack(_) | Message::Receipt(_) | Message::Retest(_))) => Err(ended(
                Status::failed_precondition("the first message of a session must be register"),
            )),
            Ok(Err(leaving)) => Err(leaving),
            Err(_) => {
                let told = format!("no registration came within {} s of the welcome", limit.as_secs_f32());
                Err(ended(Status::deadline_exceeded(told)))
            }
        }
    }

    /// Holds a registration against the rules, and asks the core about it.
    async fn register(&mut self, message: RegisterMessage, keys: &SessionKeys, session: Nonce) -> Result<(), Leaving> {
        let now = self.shared.clock.now();
        let terms = Terms {
            attester: keys.attester.public().thumbprint(),
            session,
            channel_binding: self.connection.binding,
            source: self.connection.source.ip(),
            allow_private: self.shared.allow_private,
            now,
        };
        let beside = Beside {
            connect_token: message.connect_token,
            successions: message.successions.iter().map(pair).collect(),
        };
        let Admitted {
            registration,
            connect_token,
            chain,
        } = admission::admit(&message.registration, beside, &terms)
            .map_err(|Refused { peer, finding }| self.refuse(peer, finding))?;
        let peer = registration.issuer.peer_id();
        let (decided_in, decided) = oneshot::channel();
        let register = Register {
            clock_offset_micros: now.offset_from(registration.peer_time),
            registration,
            raw: message.registration.to_vec(),
            connect_token,
            chain,
            source: self.connection.source,
            handle: SessionHandle::new(Arc::clone(&self.link), peer.clone()),
            answer: Answer::new(Arc::clone(&self.link), decided_in),
        };
        let deadline = Instant::now() + self.shared.limits.decide;
        let event = SessionEvent::Register(Box::new(register));
        tokio::select! {
            () = self.shared.stopping.cancelled() => return Err(Leaving::Stopping),
            told = timeout_at(deadline, self.shared.events.send(event)) => if !matches!(told, Ok(Ok(()))) {
                let finding = Finding::new(Reason::AttesterFull, "too many registrations wait");
                return Err(self.refuse(Some(peer), finding));
            }
        }
        self.peer = Some(peer);
        self.decision(decided, deadline).await
    }

    /// Waits until the core has answered the agent, with an eye on the agent.
    async fn decision(&mut self, decided: oneshot::Receiver<()>, deadline: Instant) -> Result<(), Leaving> {
        let undecided = || {
            ended(Status::unavailable(
                "the attester could not decide about the registration: try again",
            ))
        };
        tokio::select! {
            biased;
            decided = decided => decided.map_err(|_| undecided()),
            next = self.next() => Err(match next {
                Ok(Message::Goodbye(goodbye)) => leaving_with(goodbye),
                Ok(_) => ended(Status::failed_precondition("wait until the registration is answered")),
                Err(leaving) => leaving,
            }),
            () = sleep_until(deadline) => Err(undecided()),
        }
    }

    /// The agent's next message.
    async fn next(&mut self) -> Result<Message, Leaving> {
        let message = tokio::select! {
            biased;
            () = self.link.over.cancelled() => return Err(Leaving::Over),
            () = self.shared.stopping.cancelled() => return Err(Leaving::Stopping),
            message = self.inbound.message() => message,
        };
        // What tonic finds in the bytes has no source; what happened to the stream under them has one.
        let is_message = match &message {
            Ok(message) => message.is_some(),
            Err(status) => std::error::Error::source(status).is_none(),
        };
        if is_message && !self.pace.keeps(Instant::now()) {
            return Err(ended(Status::resource_exhausted("too many messages: slow down")));
        }
        match message {
            Ok(Some(ToAttester { message: Some(message) })) => Ok(message),
            Ok(Some(ToAttester { message: None })) => Err(ended(Status::invalid_argument(
                "a message of no kind that this version knows",
            ))),
            Ok(None) => Err(Leaving::Gone(self.how_gone().await)),
            Err(status) if is_message => Err(ended(Status::invalid_argument(format!(
                "a message cannot be read: {}",
                status.message()
            )))),
            Err(status) => {
                debug!(source = %self.connection.source, %status, "a session's stream broke");
                Err(Leaving::Gone(self.how_gone().await))
            }
        }
    }

    /// How the agent's end let go. hyper shows an orderly end, a cancelled stream and a connection that it gave up
    /// alike, as the end of the incoming stream; what else went with it tells them apart.
    async fn how_gone(&self) -> How {
        let gone = timeout(SETTLED, self.connection.gone.cancelled()).await.is_ok();
        match self.connection.ended() {
            Some(how) => how,
            None if gone => How::Silent, // nobody closed it but hyper, for want of a ping's answer
            None if self.link.is_heard() => How::Closed,
            None => How::Reset,
        }
    }

    /// Refuses a registration, and tells the core as far as it has room.
    fn refuse(&self, peer: Option<PeerId>, finding: Finding) -> Leaving {
        let source = self.connection.source;
        debug!(%source, %finding, "refused a registration");
        self.shared.metrics.rejected(finding.reason);
        let last = rejected(&finding);
        let _ = self
            .shared
            .events
            .try_send(SessionEvent::Rejected { source, peer, finding });
        ended_with(Ok(last))
    }

    /// Tells the core as far as it has room, and not again at once: a hint is worth no wait and little work.
    fn ask_for_a_probe(&mut self) {
        let now = Instant::now();
        if self.asked.is_some_and(|asked| now < asked + ASKED_AGAIN) {
            return;
        }
        self.asked = Some(now);
        if let Some(peer) = self.peer.clone() {
            let session = self.link.id;
            let _ = self.shared.events.try_send(SessionEvent::Retest { peer, session });
        }
    }

    async fn tell_goodbye(&mut self, paused: bool) {
        if let Some(peer) = self.peer.take() {
            self.shared.metrics.session_ended(SessionEnd::Goodbye);
            self.tell(SessionEvent::Goodbye {
                peer,
                session: self.link.id,
                paused,
            })
            .await;
        }
    }

    /// Waits for room: these events are promised. A core that is gone needs none.
    async fn tell(&self, event: SessionEvent) {
        let stopped = async {
            self.shared.stopping.cancelled().await;
            tokio::time::sleep(self.shared.limits.drain).await;
        };
        tokio::select! {
            _ = self.shared.events.send(event) => {}
            () = stopped => {}
        }
    }
}

fn welcome(key: &SigningKey, session: Nonce, connection: &Connection, now: Timestamp) -> Result<Vec<u8>, ClaimError> {
    let welcome = Welcome {
        issuer: key.public().thumbprint(),
        expires: now.plus(WELCOME_LIFETIME).seconds(),
        issued_at: now.seconds(),
        session,
        channel_binding: connection.binding,
        server_time: now,
        versions: version::SPOKEN.to_vec(),
    };
    sign(&welcome, key)
}

fn pair(message: &Succession) -> SuccessionPair {
    SuccessionPair {
        by_old: message.by_old.to_vec(),
        by_new: message.by_new.to_vec(),
    }
}

fn leaving_with(goodbye: Goodbye) -> Leaving {
    Leaving::Goodbye {
        paused: goodbye.reason == i32::from(goodbye::Reason::Paused),
    }
}

const fn ended_with(last: Outgoing) -> Leaving {
    Leaving::Ended(last)
}

const fn ended(status: Status) -> Leaving {
    ended_with(Err(status))
}

fn too_many(full: Full) -> Finding {
    Finding::new(
        Reason::AttesterFull,
        match full {
            Full::Everywhere => "too many sessions",
            Full::ForSource => "too many sessions from this address",
        },
    )
}

/// How long an offer stands.
const WELCOME_LIFETIME: Duration = Duration::from_secs(60);
/// Agents ask half as often at most.
const ASKED_AGAIN: Duration = Duration::from_secs(5);
/// A connection that ends takes its streams along first; by then it has followed.
const SETTLED: Duration = Duration::from_millis(50);
