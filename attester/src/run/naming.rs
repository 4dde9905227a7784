//! Naming: a peer is probed only once the authoritative server shows its own name, since clients will reach it by that.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use proto::ids::PeerId;
use tokio::time::Instant;

use super::{Core, Report};
use crate::{
    decide::{Event, Standing},
    model::{Finding, Reason},
    session::SessionId,
};

impl Core {
    /// Has a registered peer's name published, and shown before it is probed.
    pub(super) fn begin_naming(&mut self, id: &PeerId, session: SessionId) {
        self.publish();
        self.unnamed.push((id.clone(), session));
    }

    /// Waits beside the loop until a name that was handed in with this generation is shown.
    pub(super) fn await_name(&self, id: &PeerId, session: SessionId, generation: u64) {
        let Some(member) = self.members.get(id) else { return };
        if !matches!(member.life.standing(), Standing::Registered) {
            return;
        }
        let Ok(name) = self.kit.policy.zone.own_name(&member.life) else {
            return;
        };
        let addresses = BTreeSet::from([member.life.identity().address.ip()]);
        let (kit, reports, peer) = (Arc::clone(&self.kit), self.reports.clone(), id.clone());
        self.spawn(async move {
            let deadline = Instant::now() + SHOWN_WITHIN;
            let published = kit.publication.wait_published(generation, deadline).await;
            let shown = match published {
                Ok(()) => kit
                    .resolver
                    .wait_until_shown(&name, &addresses, deadline)
                    .await
                    .map_err(|error| Finding::new(Reason::ResolveFailed, error.to_string())),
                Err(error) => Err(Finding::new(Reason::ResolveFailed, error.to_string())),
            };
            // The loop has ended.
            let _ = reports.send(Report::Named { peer, session, shown }).await;
        });
    }

    /// The name is shown: probing begins. Or it is not, which is not the peer's fault: it is tried again.
    pub(super) async fn named(&mut self, id: &PeerId, session: SessionId, shown: Result<(), Finding>) {
        if self.roster.by_peer(id).is_none_or(|handle| handle.id() != session) {
            return;
        }
        match shown {
            Ok(()) => {
                self.dns_well = true;
                self.transition(id, Event::Named).await;
                self.schedule(id);
            }
            Err(finding) => {
                // Told once, however many wait.
                if std::mem::take(&mut self.dns_well) {
                    tracing::warn!(%finding, "a peer's own name is not shown: nobody new is verified until DNS answers");
                }
                self.transition(id, Event::Inconclusive(finding)).await;
                self.begin_naming(id, session);
            }
        }
    }
}

/// How long one attempt to see a name waits.
const SHOWN_WITHIN: Duration = Duration::from_secs(5);
