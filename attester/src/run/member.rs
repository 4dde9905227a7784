//! A peer as the loop holds it: its life, its session's facts, and its place on the agenda.

use proto::time::Timestamp;
use rand::rngs::StdRng;

use super::{Policy, grounds::Grounds, probe::Errand};
use crate::{
    decide::Life,
    plan,
    session::{Register, SessionHandle},
    store::PeerRow,
};

/// One known peer.
pub(super) struct Member {
    pub(super) life: Life,
    /// The signed registration of its latest session; empty after a restart until it returns.
    pub(super) registration: Vec<u8>,
    pub(super) clock_offset: i64,
    pub(super) connect_token: Option<String>,
    pub(super) first_seen: Timestamp,
    pub(super) last_seen: Timestamp,
    /// Whether the store knows of its membership; one that it does not know is not published.
    pub(super) admitted: bool,
    /// What a restart would restore its membership from.
    pub(super) grounds: Grounds,
    /// The probe under way, by the number of its errand.
    pub(super) busy: Option<u64>,
    /// Its probe is due and waits for a place.
    pub(super) queued: bool,
    /// When its last probe ended.
    pub(super) probed: Timestamp,
    /// Its next probe, once that was chosen.
    pub(super) due: Option<Timestamp>,
    /// The moment under which it is on the agenda.
    pub(super) on_agenda: Option<Timestamp>,
}

impl Member {
    pub(super) fn new(life: Life, now: Timestamp) -> Self {
        Self {
            life,
            registration: Vec::new(),
            clock_offset: 0,
            connect_token: None,
            first_seen: now,
            last_seen: now,
            admitted: false,
            grounds: Grounds::default(),
            busy: None,
            queued: false,
            probed: Timestamp::default(),
            due: None,
            on_agenda: None,
        }
    }

    /// Takes over what its new session brought.
    pub(super) fn arrive(&mut self, register: &Register, now: Timestamp, policy: &Policy) {
        self.registration.clone_from(&register.raw);
        self.clock_offset = register.clock_offset_micros;
        self.connect_token.clone_from(&register.connect_token);
        self.last_seen = now;
        if self.life.membership(now).is_none() {
            self.hint(now, policy);
        }
        self.admitted = self.admitted && self.life.membership(now).is_some();
    }

    /// When its next probe is due. Without a session only a member is probed, to find out whether it is still there:
    /// nobody can be proved without an agent.
    pub(super) fn next_probe(
        &mut self,
        connected: bool,
        now: Timestamp,
        policy: &Policy,
        chance: f64,
    ) -> Option<Timestamp> {
        if self.registration.is_empty() || !(connected || self.life.membership(now).is_some()) {
            return None;
        }
        // A hint hastens a probe that is to come; it does not make one where there is nothing to probe yet.
        let wait = plan::wait(&self.life, &policy.pace, &policy.rules, chance)?;
        if self.due.is_none() {
            // A lease that was restored may have little left: it is renewed while a third of it remains.
            let renew = self.life.lease().map(|until| until.minus(policy.rules.lease / 3));
            let renew = renew.map(|renew| renew.max(self.probed.plus(policy.pace.spacing)));
            self.due = [Some(self.probed.plus(wait)), renew].into_iter().flatten().min();
        }
        self.due
    }

    /// Whether its next probe should begin.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.busy.is_none() && self.due.is_some_and(|due| due <= now)
    }

    /// Brings the next probe forward, as far as the time since the last one allows: who failed its way out gains less by
    /// reconnecting than who is well.
    pub(super) fn hint(&mut self, now: Timestamp, policy: &Policy) {
        let out = self.life.strikes() >= policy.rules.strikes;
        let gap = if out {
            policy.pace.interval / 4
        } else {
            policy.pace.spacing
        };
        self.due = Some(now.max(self.probed.plus(gap)));
    }

    /// The peer asks for its next probe. It comes no later for it, and no sooner after the last one than a quarter of the usual time:
    /// asking for ever must not cost others their turn.
    pub(super) fn ask(&mut self, now: Timestamp, policy: &Policy) {
        self.due = Some(sooner(self.due, self.probed.plus(policy.pace.interval / 4), now));
    }

    /// What the next probe needs.
    pub(super) fn errand(&self, session: Option<SessionHandle>, policy: &Policy, rng: StdRng) -> Option<Errand> {
        let (route, body) = plan::shape(&self.life, &policy.pace, &policy.rules);
        Some(Errand {
            identity: self.life.identity().clone(),
            own_name: policy.zone.own_name(&self.life).ok()?,
            registration: self.registration.clone(),
            clock_offset: self.clock_offset,
            connect_token: self.connect_token.clone(),
            session,
            route,
            body,
            fresh: !plan::may_resume(&self.life, &policy.pace, body),
            rng,
        })
    }

    /// Its row in the store at `now`.
    pub(super) fn row(&self, now: Timestamp) -> PeerRow {
        let identity = self.life.identity();
        PeerRow {
            id: identity.id(),
            key: identity.key,
            address: identity.address,
            pin: identity.pin,
            protocols: identity.protocols.clone(),
            standing: self.life.standing().name().to_owned(),
            reason: self.life.last().map(|finding| finding.reason),
            detail: self
                .life
                .last()
                .map(|finding| finding.detail().to_owned())
                .unwrap_or_default(),
            since: Some(now),
            first_seen: self.first_seen,
            last_seen: self.last_seen,
            lease_until: self.life.lease(),
        }
    }
}

/// When a probe comes that was asked for at `now`: not before `soonest`, nor after the moment that was chosen.
fn sooner(due: Option<Timestamp>, soonest: Timestamp, now: Timestamp) -> Timestamp {
    let asked = now.max(soonest);
    due.map_or(asked, |due| due.min(asked))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asking_never_delays_a_probe_and_never_brings_it_too_near_to_the_last() {
        let at = Timestamp::from_micros;
        for (due, soonest, now, comes) in [
            (Some(60), 15, 20, 20),
            (Some(60), 15, 5, 15),
            (Some(10), 15, 5, 10),
            (None, 15, 5, 15),
            (None, 15, 20, 20),
        ] {
            let due = due.map(at);
            assert_eq!(sooner(due, at(soonest), at(now)), at(comes), "{due:?} {soonest} {now}");
            // Asked again, it stays.
            assert_eq!(sooner(Some(at(comes)), at(soonest), at(now + 3)), at(comes));
        }
    }
}
