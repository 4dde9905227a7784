//! The agent's side of a session as a pure state machine: what comes in, and the time, give the next state and what to do.
//!
//! It believes nothing without a keyset signed by the pinned root, nothing from a connection whose channel binding the
//! attester sees differently, and no claim about another peer. Whatever breaks these rules ends the session.

use std::{sync::Arc, time::Duration};

use proto::{
    ClaimError,
    attest::{
        self, Ack, Goodbye, Receipt as ReceiptMessage, Register, Registered, Retest, goodbye, to_agent, to_attester,
    },
    checked::sign,
    claims::{Announcement, Chain, KeyBytes, Receipt, Registration, Verdict, Welcome},
    ids::{ChannelBinding, ProbeId, Thumbprint},
    key::PublicKey,
    time::{Seconds, Timestamp},
    version,
};

use super::{Profile, error::SessionError};
use crate::{
    remembered::Newest,
    standing::{State, plain},
    tap::ledger::{Expectation, Finished},
    trust::{LEEWAY, Trust, within},
};

/// A session's state.
#[derive(Debug)]
pub(crate) enum Machine {
    /// Nothing was received: only a keyset will be believed.
    AwaitKeyset(Session),
    /// The keys are known.
    AwaitWelcome(Session, Arc<Trust>),
    /// The registration was sent.
    Registering(Established),
    /// The attester accepted it.
    Registered(Established),
    /// The agent said goodbye.
    Ended,
}

/// What holds from the connection on.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) profile: Arc<Profile>,
    pub(crate) binding: ChannelBinding,
    /// The newest keyset that was ever believed: no older one is.
    pub(crate) newest: Option<Newest>,
}

/// What holds from the welcome on.
#[derive(Debug)]
pub(crate) struct Established {
    session: Session,
    trust: Arc<Trust>,
    /// The key that signed the welcome.
    attester: Thumbprint,
    /// Microseconds to add to this machine's clock to get the attester's.
    clock_offset: i64,
}

/// What happens to a session.
#[derive(Debug)]
pub(crate) enum Input {
    /// The attester sent this; `None` is a message without content.
    Message(Option<to_agent::Message>),
    /// The tap was armed for the probe, or why not.
    Armed(ProbeId, Result<(), String>),
    /// An announced flow has ended.
    Flow(Box<Finished>),
    /// The host pauses or stops.
    Goodbye(goodbye::Reason),
    /// The host asks for a probe.
    Retest,
}

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Send this to the attester.
    Send(to_attester::Message),
    /// Arm the tap, and end the flow when its window does.
    Arm {
        expectation: Box<Expectation>,
        window: Duration,
    },
    /// This keyset is believed, and is the newest.
    Believed(Arc<Trust>),
    /// The key that this session began with is revoked: it ends.
    Revoked,
    /// The welcome holds.
    Welcomed,
    /// The attester registered the peer under this name.
    Registered { own_name: String },
    /// The attester gave a verdict.
    Verdict(Box<Conclusion>),
}

/// What a verdict tells the host.
#[derive(Debug)]
pub(crate) struct Conclusion {
    /// `None` when the verdict names a state of a later version.
    pub(crate) state: Option<State>,
    /// Code and sentence; `None` when the probe was proved.
    pub(crate) reason: Option<String>,
    /// What its owner can do; also without a reason, when the peer is well but no rotation can hold it.
    pub(crate) remedy: Option<String>,
    pub(crate) issued_at: Seconds,
    pub(crate) expires: Seconds,
}

type Step = Result<(Machine, Vec<Effect>), SessionError>;

impl Machine {
    /// The state of a connection that has just been made.
    pub(crate) const fn new(profile: Arc<Profile>, binding: ChannelBinding) -> Self {
        Self::remembering(profile, binding, None)
    }

    /// The same for an agent that has believed a keyset before.
    pub(crate) const fn remembering(profile: Arc<Profile>, binding: ChannelBinding, newest: Option<Newest>) -> Self {
        Self::AwaitKeyset(Session {
            profile,
            binding,
            newest,
        })
    }

    /// The next state, and what is to be done. `now` is this machine's own clock. An error ends the session.
    pub(crate) fn step(self, input: Input, now: Timestamp) -> Step {
        match (self, input) {
            (machine, Input::Message(Some(message))) => machine.receive(message, now),
            // After the goodbye nothing is wrong any more: the attester had not read it yet.
            (Self::Ended, Input::Message(None)) => Ok((Self::Ended, vec![])),
            (machine, Input::Message(None)) => Err(machine.unexpected("an empty message")),
            (Self::Registering(_) | Self::Registered(_), Input::Goodbye(reason)) => {
                let goodbye = Goodbye { reason: reason.into() };
                Ok((Self::Ended, vec![Effect::Send(to_attester::Message::Goodbye(goodbye))]))
            }
            (_, Input::Goodbye(_)) => Ok((Self::Ended, vec![])),
            (Self::Registered(established), Input::Retest) => {
                let retest = Effect::Send(to_attester::Message::Retest(Retest {}));
                Ok((Self::Registered(established), vec![retest]))
            }
            // Who is being registered is probed anyway.
            (machine, Input::Retest) => Ok((machine, vec![])),
            (Self::Registered(established), Input::Armed(probe, outcome)) => {
                let refusal = outcome.err().unwrap_or_default();
                Ok((Self::Registered(established), vec![ack(probe, refusal)]))
            }
            // Nobody would believe a receipt for an attester key that was revoked meanwhile.
            (Self::Registered(established), Input::Flow(finished))
                if established.trust.revokes(finished.flow.expectation.announcement.issuer) =>
            {
                Ok((Self::Registered(established), vec![]))
            }
            (Self::Registered(established), Input::Flow(finished)) => {
                let receipt = to_attester::Message::Receipt(established.receipt(&finished, now)?);
                Ok((Self::Registered(established), vec![Effect::Send(receipt)]))
            }
            // Left over from an earlier session, or after the goodbye.
            (machine, Input::Armed(..) | Input::Flow(_)) => Ok((machine, vec![])),
        }
    }

    /// Whether the attester has accepted the registration.
    pub(crate) const fn is_registered(&self) -> bool {
        matches!(self, Self::Registered(_))
    }

    fn receive(self, message: to_agent::Message, now: Timestamp) -> Step {
        use to_agent::Message;

        match (self, message) {
            (Self::AwaitKeyset(session), Message::Keyset(bytes)) => {
                let trust = session.first_keyset(&bytes, now)?;
                let believed = vec![Effect::Believed(Arc::clone(&trust))];
                Ok((Self::AwaitWelcome(session, trust), believed))
            }
            (Self::AwaitWelcome(session, trust), Message::Welcome(bytes)) => session.welcome(trust, &bytes, now),
            (Self::AwaitWelcome(session, trust), Message::Keyset(bytes)) => {
                let (trust, believed) = renewed(trust, &bytes, &session.profile.root, now)?;
                Ok((Self::AwaitWelcome(session, trust), believed))
            }
            (Self::Registering(established), Message::Keyset(bytes)) => {
                established.renew(&bytes, now, Self::Registering)
            }
            (Self::Registered(established), Message::Keyset(bytes)) => established.renew(&bytes, now, Self::Registered),
            (Self::Registering(established), Message::Registered(registered)) => established.registered(registered),
            (Self::Registering(_) | Self::Registered(_), Message::Rejected(rejected)) => Err(SessionError::Rejected {
                code: plain(&rejected.code, 64),
                remedy: plain(&rejected.remedy, 512),
                retry: rejected.retry,
            }),
            // Before the keyset anybody may have said it, so it is only shown; the next try is as soon as ever.
            (Self::AwaitKeyset(_) | Self::AwaitWelcome(..), Message::Rejected(rejected)) => {
                Err(SessionError::Rejected {
                    code: plain(&rejected.code, 64),
                    remedy: plain(&rejected.remedy, 512),
                    retry: true,
                })
            }
            (Self::Registered(established), Message::Announcement(bytes)) => established.announcement(&bytes, now),
            (Self::Registered(established), Message::Verdict(bytes)) => established.verdict(&bytes, now),
            // After the goodbye: the attester had not read it yet.
            (Self::Ended, _) => Ok((Self::Ended, vec![])),
            (machine, message) => Err(machine.unexpected(name(&message))),
        }
    }

    const fn unexpected(&self, message: &'static str) -> SessionError {
        let state = match self {
            Self::AwaitKeyset(_) => "waiting for the keyset",
            Self::AwaitWelcome(..) => "waiting for the welcome",
            Self::Registering(_) => "registering",
            Self::Registered(_) => "registered",
            Self::Ended => "leaving",
        };
        SessionError::Unexpected { message, state }
    }
}

impl Session {
    fn me(&self) -> Thumbprint {
        self.profile.key.public().thumbprint()
    }

    /// The keyset that all else rests on: one that is older than a known one may list a key that was revoked since.
    fn first_keyset(&self, bytes: &[u8], now: Timestamp) -> Result<Arc<Trust>, SessionError> {
        let trust = Trust::open(bytes, &self.profile.root, now).map_err(SessionError::Keyset)?;
        match self.newest {
            Some(newest) if !newest.allows(&trust) => Err(SessionError::OldKeyset {
                issued_at: trust.issued_at(),
                newest: newest.issued_at,
            }),
            _ => Ok(Arc::new(trust)),
        }
    }

    /// Checks the welcome and answers with the registration.
    ///
    /// The welcome's freshness is proven by its channel binding, which no earlier connection had: its window is therefore
    /// held against the time that it states itself, and a machine whose clock is off can still take part.
    fn welcome(self, trust: Arc<Trust>, bytes: &[u8], now: Timestamp) -> Step {
        let (attester, timely) = trust
            .attester_claim::<Welcome>(bytes, now)
            .map_err(SessionError::Welcome)?;
        let welcome = timely.dangerously_at_any_time();
        if welcome.issuer != attester {
            return Err(SessionError::Welcome(ClaimError::WrongKey));
        }
        within(&welcome, welcome.server_time).map_err(SessionError::Welcome)?;
        if welcome.channel_binding != self.binding {
            return Err(SessionError::Relay);
        }
        // Of one version so far: with a second one, what is agreed here chooses the form of all that follows.
        if version::agree(&welcome.versions, version::SPOKEN).is_none() {
            return Err(SessionError::Version {
                offered: welcome.versions,
            });
        }
        let clock_offset = welcome.server_time.offset_from(now);
        let register = to_attester::Message::Register(self.register(&welcome, now)?);
        let established = Established {
            session: self,
            trust,
            attester,
            clock_offset,
        };
        Ok((
            Machine::Registering(established),
            vec![Effect::Welcomed, Effect::Send(register)],
        ))
    }

    fn register(&self, welcome: &Welcome, now: Timestamp) -> Result<Register, SessionError> {
        let profile = &*self.profile;
        let issued_at = welcome.server_time.seconds();
        let registration = Registration {
            issuer: self.me(),
            subject: self.me(),
            audience: welcome.issuer,
            expires: welcome.server_time.plus(CLAIM_WINDOW).seconds(),
            issued_at,
            session: welcome.session,
            key: KeyBytes(*profile.key.public().as_bytes()),
            address: profile.address,
            protocols: profile.protocols.clone(),
            pin: profile.pin,
            channel_binding: self.binding,
            software: profile.software.clone(),
            peer_time: now,
        };
        let registration = sign(&registration, &profile.key)
            .map_err(SessionError::Registration)?
            .into();
        let connect_token = profile
            .connect_token
            .as_ref()
            .map(|token| token.0.clone())
            .unwrap_or_default();
        let chain = Chain::verify(profile.successions.clone(), &profile.key.public());
        // Expired ones would be refused; the attester knows them, or has been away for too long.
        let presented = chain
            .map_err(SessionError::Registration)?
            .presentable(welcome.server_time);
        let successions = presented.into_iter().map(|link| attest::Succession {
            by_old: link.pair.by_old.into(),
            by_new: link.pair.by_new.into(),
        });
        Ok(Register {
            registration,
            connect_token,
            successions: successions.collect(),
        })
    }
}

impl Established {
    const fn attester_time(&self, now: Timestamp) -> Timestamp {
        now.shifted(self.clock_offset)
    }

    fn registered(self, registered: Registered) -> Step {
        if registered.peer_id != self.session.profile.key.public().peer_id().as_str() {
            return Err(SessionError::OtherPeer);
        }
        let own_name = plain(&registered.own_name, 253);
        Ok((Machine::Registered(self), vec![Effect::Registered { own_name }]))
    }

    fn announcement(self, bytes: &[u8], now: Timestamp) -> Step {
        let time = self.attester_time(now);
        let opened = self
            .trust
            .attester_claim::<Announcement>(bytes, time)
            .map_err(SessionError::Announcement)?;
        let (attester, announcement) = (opened.0, opened.1.dangerously_at_any_time());
        if announcement.issuer != attester {
            return Err(SessionError::Announcement(ClaimError::WrongKey));
        }
        if announcement.subject != self.session.me() {
            return Err(SessionError::Misaddressed {
                claim: "an announcement",
            });
        }
        // To be late or early is no lie, the stream may have been slow: refused, and the session goes on.
        if let Err(refusal) = within(&announcement, time) {
            return Ok((
                Machine::Registered(self),
                vec![ack(announcement.probe, refusal.to_string())],
            ));
        }
        let window = announcement.expires.start().since(time);
        let (trust, clock_offset) = (Arc::clone(&self.trust), self.clock_offset);
        let expectation = Box::new(Expectation {
            announcement,
            trust,
            clock_offset,
        });
        Ok((Machine::Registered(self), vec![Effect::Arm { expectation, window }]))
    }

    fn verdict(self, bytes: &[u8], now: Timestamp) -> Step {
        let time = self.attester_time(now);
        let (attester, timely) = self
            .trust
            .attester_claim::<Verdict>(bytes, time)
            .map_err(SessionError::Verdict)?;
        let verdict = timely.at(time, LEEWAY).map_err(SessionError::Verdict)?;
        if verdict.issuer != attester {
            return Err(SessionError::Verdict(ClaimError::WrongKey));
        }
        if verdict.subject != self.session.me() {
            return Err(SessionError::Misaddressed { claim: "a verdict" });
        }
        let conclusion = Conclusion {
            state: State::of_verdict(&verdict.standing),
            reason: Some(plain(&verdict.reason, 64)).filter(|reason| !reason.is_empty()),
            remedy: Some(plain(&verdict.remedy, 512)).filter(|remedy| !remedy.is_empty()),
            issued_at: verdict.issued_at,
            expires: verdict.expires,
        };
        Ok((Machine::Registered(self), vec![Effect::Verdict(Box::new(conclusion))]))
    }

    fn receipt(&self, finished: &Finished, now: Timestamp) -> Result<ReceiptMessage, SessionError> {
        let time = self.attester_time(now);
        let announcement = &finished.flow.expectation.announcement;
        let receipt = Receipt {
            issuer: self.session.me(),
            subject: self.session.me(),
            audience: announcement.issuer,
            expires: time.plus(CLAIM_WINDOW).seconds(),
            issued_at: time.seconds(),
            probe: announcement.probe,
            nonce: finished.flow.nonce,
            destination: announcement.destination.clone(),
            up: finished.up,
            up_digest: finished.up_digest,
            down: finished.down,
            down_digest: finished.down_digest,
            opened: finished.opened,
            closed: finished.closed,
            end: finished.end,
        };
        let receipt = sign(&receipt, &self.session.profile.key)
            .map_err(SessionError::Receipt)?
            .into();
        Ok(ReceiptMessage { receipt })
    }

    /// Follows a keyset. A session that a revoked key has begun is with whoever has that key.
    fn renew(self, bytes: &[u8], now: Timestamp, same: fn(Self) -> Machine) -> Step {
        let time = self.attester_time(now);
        let (trust, mut effects) = renewed(self.trust, bytes, &self.session.profile.root, time)?;
        if trust.revokes(self.attester) {
            effects.push(Effect::Revoked);
            return Ok((Machine::Ended, effects));
        }
        Ok((same(Self { trust, ..self }), effects))
    }
}

/// The later of two keysets, and that it is the new one.
fn renewed(
    trust: Arc<Trust>,
    bytes: &[u8],
    root: &PublicKey,
    now: Timestamp,
) -> Result<(Arc<Trust>, Vec<Effect>), SessionError> {
    let new = Trust::open(bytes, root, now).map_err(SessionError::Keyset)?;
    if new.issued_at() <= trust.issued_at() {
        return Ok((trust, vec![]));
    }
    let new = Arc::new(new);
    Ok((Arc::clone(&new), vec![Effect::Believed(new)]))
}

/// The answer to an announcement: armed, or why not.
fn ack(probe: ProbeId, refusal: String) -> Effect {
    Effect::Send(to_attester::Message::Ack(Ack {
        probe_id: probe.as_bytes().to_vec().into(),
        refusal,
    }))
}

const fn name(message: &to_agent::Message) -> &'static str {
    match message {
        to_agent::Message::Keyset(_) => "a keyset",
        to_agent::Message::Welcome(_) => "a welcome",
        to_agent::Message::Registered(_) => "that the peer is registered",
        to_agent::Message::Rejected(_) => "a rejection",
        to_agent::Message::Announcement(_) => "an announcement",
        to_agent::Message::Verdict(_) => "a verdict",
    }
}

/// How long a registration or a receipt may travel.
const CLAIM_WINDOW: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
