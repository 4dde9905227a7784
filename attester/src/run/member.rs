//! A peer as the loop holds it: its life, its session's facts, and its place on the agenda.

use std::time::Duration;

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
    /// Until then: a reason for one sooner than usual. How soon shows when it is chosen: the probe under way counts, and how it ends.
    pub(super) wished: Option<Wish>,
    /// The moment under which it is on the agenda.
    pub(super) on_agenda: Option<Timestamp>,
}

/// A reason for a probe sooner than usual.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish {
    since: Timestamp,
    /// Whether the peer asked, and nothing else happened.
    asked: bool,
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
            wished: None,
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
            let wished = self.wished.take().map(|wish| self.moment(wish, policy));
            let chosen = [Some(self.probed.plus(wait)), renew, wished];
            self.due = chosen.into_iter().flatten().min();
        }
        self.due
    }

    /// Whether its next probe should begin.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.busy.is_none() && self.due.is_some_and(|due| due <= now)
    }

    /// Brings the next probe forward, as far as the time since the last one allows.
    pub(super) fn hint(&mut self, now: Timestamp, policy: &Policy) {
        let (since, asked) = (now, false);
        self.wish(Wish { since, asked }, policy);
    }

    /// The peer asks for its next probe.
    pub(super) fn ask(&mut self, now: Timestamp, policy: &Policy) {
        let (since, asked) = (now, true);
        self.wish(Wish { since, asked }, policy);
    }

    /// When there is reason for a probe: asking for ever must not cost others their turn, and who failed its way out gains less by
    /// reconnecting than who is well.
    fn moment(&self, wish: Wish, policy: &Policy) -> Timestamp {
        let gap = match wish.asked || self.life.strikes() >= policy.rules.strikes {
            true => self.quarter(policy),
            false => policy.pace.spacing,
        };
        wish.since.max(self.probed.plus(gap))
    }

    /// A quarter of the usual time between its probes, which doubles with each failure of one that is out ([`plan::wait`]).
    fn quarter(&self, policy: &Policy) -> Duration {
        let beyond = self.life.strikes().saturating_sub(policy.rules.strikes).min(6);
        policy.pace.interval / 4 * 2_u32.pow(beyond)
    }

    /// No probe comes later for it: where none was chosen yet, because one is under way, it is one reason among others.
    fn wish(&mut self, wish: Wish, policy: &Policy) {
        match self.due {
            Some(due) => self.due = Some(due.min(self.moment(wish, policy))),
            None => {
                let before = self.wished.unwrap_or(wish);
                self.wished = Some(Wish {
                    since: before.since.min(wish.since),
                    asked: before.asked && wish.asked,
                });
            }
        }
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proto::claims::Protocol;

    use super::*;
    use crate::{
        app,
        config::Config,
        decide::Event,
        model::Reason,
        verify::fixture::{at, proof},
    };

    fn policy() -> Policy {
        app::policy(&Config::parse(include_str!("../../config/minimal.toml")).unwrap())
    }

    /// Of a peer that failed so often, never having been verified; its last probe began at second 100.
    fn failed(times: u32, policy: &Policy) -> Member {
        let identity = proof(50, "192.0.2.7:443", Protocol::Enproxy, 16, 0).identity().clone();
        let mut life = Life::registered(identity).after(Event::Named, at(0, 0), &policy.rules);
        for _ in 0..times {
            life = life.after(Event::Failed(Reason::Truncated.into()), at(50, 0), &policy.rules);
        }
        Member {
            registration: vec![1],
            probed: at(100, 0),
            ..Member::new(life, at(0, 0))
        }
    }

    fn next(member: &mut Member, policy: &Policy) -> Duration {
        member
            .next_probe(true, at(101, 0), policy, 0.5)
            .unwrap()
            .since(at(100, 0))
    }

    #[test]
    fn asking_never_delays_a_probe_also_not_while_one_is_under_way() {
        let policy = policy();
        for (failures, chosen_before) in [(1, false), (1, true), (0, false)] {
            let usual = next(&mut failed(failures, &policy), &policy);
            assert!(usual < policy.pace.interval / 4, "{usual:?}");
            for wish in [Member::ask, Member::hint] {
                let mut member = failed(failures, &policy);
                if chosen_before {
                    next(&mut member, &policy);
                }
                wish(&mut member, at(101, 0), &policy);
                assert!(next(&mut member, &policy) <= usual);
            }
        }
    }

    #[test]
    fn asking_for_ever_gains_a_quarter_of_the_usual_time_however_often_a_peer_has_failed() {
        let policy = policy();
        for (failures, quarter) in [(2, 15), (3, 30), (5, 120), (30, 960)] {
            let usual = next(&mut failed(failures, &policy), &policy);
            let mut member = failed(failures, &policy);
            next(&mut member, &policy);
            for second in 101..115 {
                member.ask(at(second, 0), &policy);
            }
            let asked = next(&mut member, &policy);
            assert_eq!(asked, Duration::from_secs(quarter), "{failures} failures");
            assert_eq!(asked * 4, usual);
        }
    }

    #[test]
    fn what_is_asked_during_a_probe_counts_from_its_end_and_with_how_it_ended() {
        let policy = policy();
        for wish in [Member::ask, Member::hint] {
            let mut member = failed(2, &policy);
            // The probe that began at second 100 stalls, and fails at second 110.
            wish(&mut member, at(101, 0), &policy);
            let failure = Event::Failed(Reason::Truncated.into());
            member.life = member.life.after(failure, at(110, 0), &policy.rules);
            member.probed = at(110, 0);
            assert_eq!(next(&mut member, &policy), Duration::from_secs(10 + 30));
        }
    }

    #[test]
    fn a_wish_is_fulfilled_once() {
        let policy = policy();
        let mut member = failed(2, &policy);
        member.ask(at(101, 0), &policy);
        assert_eq!(next(&mut member, &policy), policy.pace.interval / 4);
        member.due = None;
        assert_eq!(next(&mut member, &policy), policy.pace.interval);
    }
}
