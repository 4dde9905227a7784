//! Registrations: a stranger is neither named nor stored before its TLS key was seen at the address that it claims.

use std::sync::Arc;

use crate::{
    decide::{Event, Life},
    model::{Finding, Identity, Reason},
    session::{Register, Registered},
};

use super::{Core, Report, held_by_another, member::Member};

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
        if let Some(held) = held_by_another(self, &identity, now) {
            return self.reject(register, &held);
        }
        let id = identity.id();
        let stranger = !self.members.contains_key(&id);
        if stranger && self.members.len() >= self.kit.policy.max_peers {
            return self.reject(register, &Reason::AttesterFull.into());
        }
        let Ok(permit) = Arc::clone(&self.reach).try_acquire_owned() else {
            return self.reject(register, &Finding::new(Reason::AttesterFull, "too many registrations at once"));
        };
        let (kit, reports) = (Arc::clone(&self.kit), self.reports.clone());
        self.tasks.spawn(async move {
            let result = kit.prober.check_key(identity.address, identity.pin).await;
            drop(permit);
            let reached = Reached { register, identity, result };
            // The loop has ended: the session ends with it.
            let _ = reports.send(Report::Reached(Box::new(reached))).await;
        });
    }

    /// The address answered, or did not: the peer is seated, or told why not.
    pub(super) async fn reached(&mut self, reached: Reached) {
        let Reached { register, identity, result } = reached;
        let now = self.kit.clock.now();
        let held = held_by_another(self, &identity, now);
        if let Some(finding) = result.err().or(held) {
            return self.reject(register, &finding);
        }
        let register = *register;
        let (id, address) = (identity.id(), identity.address);
        self.displace(&identity).await;

        let mut member = match self.members.remove(&id) {
            Some(mut known) if known.life.identity() == &identity => {
                known.life = known.life.after(Event::Returned, now, &self.kit.policy.rules);
                known
            }
            Some(other) => {
                self.addresses.remove(&other.life.identity().address);
                self.unlist(&other, &id);
                Member { first_seen: other.first_seen, probed: other.probed, ..Member::new(Life::registered(identity), now) }
            }
            None => Member::new(Life::registered(identity), now),
        };
        self.unlist(&member, &id);
        member.on_agenda = None;
        member.registration = register.raw;
        member.clock_offset = register.clock_offset_micros;
        member.connect_token = register.connect_token;
        member.last_seen = now;
        if member.life.membership(now).is_none() {
            member.hint(now, &self.kit.policy);
        }
        member.admitted = member.admitted && member.life.membership(now).is_some();
        let recorded = self.kit.store.record_peer(&member.row()).await;
        let recorded = self.note_store(recorded);
        let own_name = self.kit.policy.zone.own_name(&member.life).map(|name| name.to_string()).unwrap_or_default();
        self.members.insert(id.clone(), member);
        self.addresses.insert(address, id.clone());
        if !recorded {
            let finding = Finding::new(Reason::AttesterFailed, "the registration could not be kept");
            let _ = register.answer.send(Err(finding));
            return self.schedule(&id);
        }
        // The roster closes the older session of this key.
        let session = register.handle.id();
        self.roster.seat(register.handle, address);
        // A session that ended meanwhile reports its end by itself.
        let _ = register.answer.send(Ok(Registered { peer_id: id.clone(), own_name }));
        self.begin_naming(&id, session);
        self.schedule(&id);
    }

    /// Retires whoever held the address of `identity` before, if it was somebody else.
    async fn displace(&mut self, identity: &Identity) {
        let Some(holder) = self.addresses.get(&identity.address).cloned() else { return };
        if holder != identity.id() {
            self.transition(&holder, Event::AddressTaken).await;
            self.schedule(&holder);
            self.addresses.remove(&identity.address);
        }
    }

    fn unlist(&mut self, member: &Member, id: &proto::ids::PeerId) {
        if let Some(moment) = member.on_agenda {
            self.agenda.remove(&(moment, id.clone()));
        }
    }

    fn reject(&mut self, register: Box<Register>, finding: &Finding) {
        let peer = Some(register.registration.subject.peer_id());
        self.note_rejection(register.source, peer, finding);
        // A session that ended meanwhile does not need an answer.
        let _ = register.answer.send(Err(finding.clone()));
    }
}
