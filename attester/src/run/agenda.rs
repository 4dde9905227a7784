//! Who is next: leases and probes by the moment at which they fall due, and the places that probes have.

use std::{sync::Arc, time::Duration};

use proto::{ids::PeerId, time::Timestamp};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{Core, Report, probe};
use crate::{decide::Event, plan};

impl Core {
    /// How long nothing is due: at most a second, so that nothing is missed for longer than that.
    pub(super) fn pause(&self) -> Duration {
        let now = self.kit.clock.now();
        let due = self.agenda.first().map(|(due, _)| due.since(now));
        let waits = [due, self.publishing.wait(), self.pulsing.wait()];
        waits.into_iter().flatten().fold(LONGEST_PAUSE, Duration::min)
    }

    /// Does what is due: leases that lapsed in any case, probes as far as there are places, first come first served.
    pub(super) async fn dispatch(&mut self) {
        let now = self.kit.clock.now();
        while let Some((due, _)) = self.agenda.first()
            && *due <= now
        {
            let Some((_, id)) = self.agenda.pop_first() else { break };
            let Some(member) = self.members.get_mut(&id) else {
                continue;
            };
            member.on_agenda = None;
            if plan::lapses(&member.life, now) {
                self.transition(&id, Event::Tick).await;
            } else if member.is_due(now) {
                member.queued = true;
                let queue = if member.admitted {
                    &mut self.members_due
                } else {
                    &mut self.others_due
                };
                queue.push_back(id.clone());
            }
            self.schedule(&id);
        }
        while let Some(id) = self.next_in_line() {
            if let Some(member) = self.members.get_mut(&id)
                && std::mem::take(&mut member.queued)
                && member.is_due(now)
            {
                self.start_probe(&id, now);
            }
            self.schedule(&id);
        }
    }

    /// Whose turn it is, if there is a place. Members go first, and half of the places are theirs alone: strangers that take
    /// as long as they may cannot make their leases lapse.
    fn next_in_line(&mut self) -> Option<PeerId> {
        let places = self.kit.policy.concurrency;
        if self.in_flight >= places {
            return None;
        }
        let of_others = places.div_ceil(2);
        self.members_due.pop_front().or_else(|| {
            if self.others_in_flight < of_others {
                self.others_due.pop_front()
            } else {
                None
            }
        })
    }

    /// Starts the probe of a peer that is due.
    fn start_probe(&mut self, id: &PeerId, now: Timestamp) {
        let seed = StdRng::from_seed(self.rng.random());
        let session = self.roster.by_peer(id).cloned();
        let Some(member) = self.members.get_mut(id) else { return };
        member.due = None;
        member.probed = now;
        let Some(errand) = member.errand(session, &self.kit.policy, seed) else {
            return;
        };
        self.errands += 1;
        member.busy = Some(self.errands);
        self.in_flight += 1;
        let other = !member.admitted;
        self.others_in_flight += usize::from(other);
        let number = self.errands;
        let (kit, reports) = (Arc::clone(&self.kit), self.reports.clone());
        self.spawn(async move {
            let probed = probe::run(&kit, errand).await;
            let probed = Box::new(probed);
            // The loop has ended: nobody is left to conclude anything.
            let _ = reports.send(Report::Probed { number, other, probed }).await;
        });
    }

    /// Runs a task beside the loop, which ends with it.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            // Abandoned at the stop: what it would have found is found again.
            let _ = stop.run_until_cancelled(task).await;
        });
    }

    /// Puts a peer's next moment on the agenda: its next probe, or the end of its lease if that comes first.
    pub(super) fn schedule(&mut self, id: &PeerId) {
        let chance = self.rng.random::<f64>();
        let connected = self.roster.by_peer(id).is_some();
        let now = self.kit.clock.now();
        let Some(member) = self.members.get_mut(id) else { return };
        if let Some(due) = member.on_agenda.take() {
            self.agenda.remove(&(due, id.clone()));
        }
        let probe = if member.busy.is_some() || member.queued {
            None
        } else {
            member.next_probe(connected, now, &self.kit.policy, chance)
        };
        let moment = [probe, member.life.lease()].into_iter().flatten().min();
        if let Some(moment) = moment {
            member.on_agenda = Some(moment);
            self.agenda.insert((moment, id.clone()));
        }
    }
}

const LONGEST_PAUSE: Duration = Duration::from_secs(1);
