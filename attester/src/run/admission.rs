//! Registrations: a stranger is neither named nor stored before its TLS key was seen at the address that it claims.

use std::{net::IpAddr, sync::Arc};

use proto::{claims::Link, ids::PeerId};

use crate::{
    decide::{Event, Life},
    model::{Finding, Identity, Reason, place::holder},
    session::{Answer, Register, Registered, SessionHandle},
};

use super::{
    Core, REACH_PER_SOURCE, Report, held_by_another,
    keys::counts,
    member::Member,
    room::{Full, Newcomer, Occupant, room},
};

/// A registration and whether its address answers with its key.
pub(super) struct Reached {
    register: Box<Register>,
    identity: Identity,
    result: Result<(), Finding>,
}

impl Core {
    /// Looks at a registration that the session found well-formed, and sends somebody to its address.
    pub(super) fn consider(&mut self, register: Box<Register>) {
        let now = self.kit.clock.now();
        let identity = match Identity::of(&register.registration) {
            Ok(identity) => identity,
            Err(error) => {
                return self.reject(register, &Finding::new(Reason::RegistrationInvalid, error.to_string()));
            }
        };
        let past = match self.past(&register, &identity) {
            Ok(past) => past,
            Err(finding) => return self.reject(register, &finding),
        };
        if let Some(held) = held_by_another(self, &identity, &past, now) {
            return self.reject(register, &held);
        }
        // Told before anybody is sent to its address; made when it was found there.
        if let Err(full) = self.room_for(&identity, &past) {
            return self.reject(register, &Finding::new(Reason::AttesterFull, full.told()));
        }
        let Ok(permit) = Arc::clone(&self.reach).try_acquire_owned() else {
            return self.reject(
                register,
                &Finding::new(Reason::AttesterFull, "too many registrations at once"),
            );
        };
        let source = holder(register.source.ip());
        let reaching = self.reaching.entry(source).or_default();
        if *reaching >= REACH_PER_SOURCE {
            return self.reject(
                register,
                &Finding::new(Reason::AttesterFull, "too many registrations from this address"),
            );
        }
        *reaching += 1;
        let (kit, reports) = (Arc::clone(&self.kit), self.reports.clone());
        self.spawn(async move {
            let result = kit.prober.check_key(identity.address, identity.pin).await;
            drop(permit);
            let reached = Reached {
                register,
                identity,
                result,
            };
            // The loop has ended: the session ends with it.
            let _ = reports.send(Report::Reached(Box::new(reached))).await;
        });
    }

    /// The address answered, or did not: the peer is seated, or told why not.
    pub(super) async fn reached(&mut self, reached: Reached) {
        let Reached {
            register,
            identity,
            result,
        } = reached;
        self.reached_from(holder(register.source.ip()));
        match self.fits(&register, &identity, result).await {
            Err(finding) => self.reject(register, &finding),
            Ok(past) if past.is_empty() => self.seat(*register, identity).await,
            Ok(past) => self.seat_successor(register, identity, &past).await,
        }
    }

    /// Whether a peer whose address was looked at may be seated; gives the moves to its key that are news.
    async fn fits(
        &mut self,
        register: &Register,
        identity: &Identity,
        result: Result<(), Finding>,
    ) -> Result<Vec<Link>, Finding> {
        // What held when somebody was sent to its address may not hold any more.
        let past = self.past(register, identity)?;
        let held = held_by_another(self, identity, &past, self.kit.clock.now());
        if let Some(finding) = result.err().or(held) {
            return Err(finding);
        }
        // It may have hung up while somebody was on the way: then its end was told before it had a seat.
        if !register.handle.is_live() {
            return Err(Reason::NoSession.into());
        }
        // Its key may have been revoked since the welcome: the next one is by another.
        counts(&self.kit.keys().keyset, &register.raw)?;
        let newer = self
            .roster
            .by_peer(&identity.id())
            .is_some_and(|seated| seated.id() > register.handle.id());
        if newer {
            let told = "a newer session of this key was faster";
            return Err(Finding::new(Reason::RegistrationSession, told));
        }
        self.make_room(identity, &past).await?;
        Ok(past)
    }

    async fn seat(&mut self, register: Register, identity: Identity) {
        let now = self.kit.clock.now();
        let id = identity.id();
        let mut member = match self.members.remove(&id) {
            Some(mut known) if known.life.identity() == &identity => {
                known.life = known.life.after(Event::Returned, now, &self.kit.policy.rules);
                known
            }
            Some(other) => {
                self.release_address(&other, &id);
                self.unlist(&other, &id);
                Member {
                    first_seen: other.first_seen,
                    probed: other.probed,
                    ..Member::new(Life::succeeding(identity, [&other.life]), now)
                }
            }
            None => Member::new(Life::registered(identity), now),
        };
        self.unlist(&member, &id);
        member.on_agenda = None;
        member.arrive(&register, now, &self.kit.policy);
        let recorded = self.kit.store.record_peer(&member.row(now)).await;
        let recorded = self.note_store(recorded);
        self.members.insert(id.clone(), member);
        if !recorded {
            let _ = register.answer.send(Err(not_kept()));
            return self.schedule(&id);
        }
        self.welcome(register.handle, register.answer);
    }

    /// Takes the seated peer's session over, answers it and has its name shown.
    pub(super) fn welcome(&mut self, handle: SessionHandle, answer: Answer) {
        let (id, session) = (handle.peer().clone(), handle.id());
        let Some(member) = self.members.get(&id) else { return };
        let own_name = self.kit.policy.zone.own_name(&member.life);
        let own_name = own_name.map(|name| name.to_string()).unwrap_or_default();
        // The roster closes the older session of this key.
        self.roster.seat(handle, member.life.identity().address);
        self.kit.metrics.registered();
        // A session that ended meanwhile reports its end by itself.
        let _ = answer.send(Ok(Registered {
            peer_id: id.clone(),
            own_name,
        }));
        self.begin_naming(&id, session);
        self.schedule(&id);
    }

    fn reached_from(&mut self, source: IpAddr) {
        if let Some(reaching) = self.reaching.get_mut(&source) {
            *reaching = reaching.saturating_sub(1);
            if *reaching == 0 {
                self.reaching.remove(&source);
            }
        }
    }

    /// Gives the address of a peer that was just admitted to it: whoever else registered it never carried anything there.
    pub(super) async fn take_address(&mut self, id: &PeerId) {
        let Some(address) = self.members.get(id).map(|member| member.life.identity().address) else {
            return;
        };
        let others: Vec<PeerId> = self
            .members
            .iter()
            .filter(|(other, member)| *other != id && member.life.identity().address == address)
            .map(|(other, _)| other.clone())
            .collect();
        for other in others {
            self.transition(&other, Event::AddressTaken).await;
            if let Some(session) = self.roster.by_peer(&other) {
                session.close(&Reason::AddressHeld.into());
            }
            // It stays known, without the address: or one address could have any number of them, each for a while.
            self.schedule(&other);
        }
        self.addresses.insert(address, id.clone());
    }

    /// Who must go before this peer may be seated, those of its `past` being gone then.
    fn room_for(&self, identity: &Identity, past: &[Link]) -> Result<Option<PeerId>, Full> {
        let now = self.kit.clock.now();
        let ip_of = |member: &Member| member.life.identity().address.ip();
        let newcomer = Newcomer::new(identity.id(), identity.address.ip(), past);
        let there = self.members.iter().map(|(id, member)| Occupant {
            id,
            ip: ip_of(member),
            member: member.life.membership(now).is_some(),
            gone: (member.busy.is_none() && self.roster.by_peer(id).is_none()).then_some(member.last_seen),
        });
        let place = |id: &PeerId| self.members.get(id).map(ip_of);
        room(&newcomer, place, there, self.kit.policy.max_peers).map(|gone| gone.cloned())
    }

    /// Makes room for this peer: whoever must go for it is forgotten, but for the moves that keep old keys out.
    async fn make_room(&mut self, identity: &Identity, past: &[Link]) -> Result<(), Finding> {
        loop {
            match self.room_for(identity, past) {
                Ok(None) => return Ok(()),
                Ok(Some(gone)) => {
                    self.drop_member(&gone);
                    let forgotten = self.kit.store.forget(&gone).await;
                    if let Ok(forgotten) = &forgotten {
                        self.successions.forget(&forgotten.moves);
                    }
                    if !self.note_store(forgotten) {
                        return Err(not_kept());
                    }
                }
                Err(full) => return Err(Finding::new(Reason::AttesterFull, full.told())),
            }
        }
    }

    /// Takes a peer out of memory.
    pub(super) fn drop_member(&mut self, id: &PeerId) {
        if let Some(member) = self.members.remove(id) {
            self.unlist(&member, id);
            self.release_address(&member, id);
        }
    }

    fn release_address(&mut self, member: &Member, id: &PeerId) {
        let address = member.life.identity().address;
        if self.addresses.get(&address) == Some(id) {
            self.addresses.remove(&address);
        }
    }

    fn unlist(&mut self, member: &Member, id: &PeerId) {
        if let Some(moment) = member.on_agenda {
            self.agenda.remove(&(moment, id.clone()));
        }
    }

    pub(super) fn reject(&mut self, register: Box<Register>, finding: &Finding) {
        let peer = Some(register.registration.subject.peer_id());
        self.kit.metrics.rejected(finding.reason);
        self.note_rejection(register.source, peer, finding);
        // A session that ended meanwhile does not need an answer.
        let _ = register.answer.send(Err(finding.clone()));
    }
}

/// What an agent is told whose registration could not be written down.
pub(super) fn not_kept() -> Finding {
    Finding::new(Reason::AttesterFailed, "the registration could not be kept")
}
