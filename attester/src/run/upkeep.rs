//! What the loop does beside its decisions: what is refused is written down, the store is kept small, levels are shown.

use std::net::SocketAddr;

use proto::ids::PeerId;
use tokio::time::Instant;

use super::{Core, Pulse};
use crate::{
    metrics::Levels,
    model::Finding,
    store::{RejectionRow, StoreError},
};

impl Core {
    /// Notes a rejection in the bounded ring; beyond what a second may hold they are only counted in the log.
    pub(super) fn note_rejection(&mut self, source: SocketAddr, peer: Option<PeerId>, finding: &Finding) {
        tracing::debug!(reason = %finding.reason, "rejected");
        if self.rejections.len() < REJECTIONS_AT_ONCE {
            let (reason, detail) = (finding.reason, finding.detail().to_owned());
            self.rejections.push(RejectionRow {
                at: self.kit.clock.now(),
                source: source.ip(),
                peer,
                reason,
                detail,
            });
        }
    }

    pub(super) async fn flush_rejections(&mut self) {
        if !self.rejections.is_empty() {
            let rows = std::mem::take(&mut self.rejections);
            let kept = self.kit.store.record_rejections(&rows).await;
            self.note_store(kept);
        }
    }

    pub(super) async fn housekeep(&mut self) {
        self.flush_rejections().await;
        self.upkeep.want();
        if self.upkeep.is_due() {
            let began = Instant::now();
            self.note_levels();
            self.forget_the_gone().await;
            // A lease may have ended, though nothing came.
            self.pulsing.want();
            self.upkeep.done(began);
        }
        self.prune().await;
    }

    /// Whether a write succeeded. The first failure is told; health shows it until a write succeeds again.
    pub(super) fn note_store<T>(&mut self, result: Result<T, StoreError>) -> bool {
        match result {
            Ok(_) => self.store_well = true,
            Err(error) => {
                if self.store_well {
                    tracing::warn!(%error, "the store does not take decisions: nothing new is published until it does");
                }
                self.store_well = false;
            }
        }
        self.store_well
    }

    /// What monitoring shows of the whole; it looks at every peer, so not at every event.
    fn note_levels(&self) {
        let now = self.kit.clock.now();
        let mut levels = Levels {
            sessions: self.roster.len(),
            in_flight: self.in_flight,
            members_waiting: self.members_due.len(),
            others_waiting: self.others_due.len(),
            ..Levels::default()
        };
        for member in self.members.values() {
            let name = member.life.standing().name();
            match levels.standings.iter_mut().find(|(standing, _)| *standing == name) {
                Some((_, peers)) => *peers += 1,
                None => levels.standings.push((name, 1)),
            }
            if member.admitted && member.life.membership(now).is_some() {
                levels.rotation += usize::from(self.kit.policy.zone.keeps_out(&member.life).is_none());
                let left = member.life.lease().map(|until| until.since(now));
                levels.shortest_lease = levels.shortest_lease.into_iter().chain(left).min();
            }
        }
        self.kit.metrics.levels(&levels);
    }

    pub(super) fn note_pulse(&mut self) {
        let began = Instant::now();
        let now = self.kit.clock.now();
        let verified = self
            .members
            .values()
            .filter(|member| member.life.membership(now).is_some())
            .count();
        let pulse = Pulse {
            sessions: self.roster.len(),
            peers: self.members.len(),
            verified,
            store_well: self.store_well,
            origin_well: self.origin_well,
        };
        self.pulse
            .send_if_modified(|shown| std::mem::replace(shown, pulse.clone()) != pulse);
        self.pulsing.done(began);
    }
}

/// Rejections kept between two flushes.
const REJECTIONS_AT_ONCE: usize = 256;
