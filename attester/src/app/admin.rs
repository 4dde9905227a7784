//! The operator's window: the admin listener, which answers from the first moment of a start, and what it is told.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use proto::time::Clock;
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::AppError;
use crate::{
    keys::Keys,
    metrics::{Metrics, Part},
    publish::Reconciled,
    run::Pulse,
    status::{Health, Stage, Status},
};

/// The admin listener, answering. Dropped, it stops.
pub(super) struct Admin {
    pub(super) metrics: Arc<Metrics>,
    pub(super) health: watch::Sender<Health>,
    pub(super) address: SocketAddr,
    answers: JoinHandle<()>,
    stop: DropGuard,
}

impl Admin {
    /// Opens the socket and answers: whoever asks while state is restored hears that, and not nothing.
    pub(super) async fn open(listen: SocketAddr, clock: &Clock) -> Result<Self, AppError> {
        let metrics = Arc::new(Metrics::default());
        metrics.started(clock.now());
        let (health, seen) = watch::channel(Health::default());
        let status = Status::bind(listen, seen, Arc::clone(&metrics))
            .await
            .map_err(AppError::Status)?;
        let stop = CancellationToken::new();
        Ok(Self {
            metrics,
            health,
            address: status.addr(),
            answers: tokio::spawn(status.run(stop.clone())),
            stop: stop.drop_guard(),
        })
    }

    /// Stops answering and waits until nobody is served any more.
    pub(super) async fn close(self) {
        drop(self.stop);
        // A panic in it was reported by the panic hook.
        let _ = self.answers.await;
    }
}

/// The levels that health is made of.
pub(super) struct Watched {
    pub(super) pulses: watch::Receiver<Pulse>,
    pub(super) reconciled: watch::Receiver<Reconciled>,
    pub(super) stage: watch::Receiver<Stage>,
    pub(super) keys: watch::Receiver<Arc<Keys>>,
    pub(super) clock: Clock,
}

impl Watched {
    /// Turns the levels of the parts into one health report, and into metrics.
    pub(super) async fn watch(
        mut self,
        health: watch::Sender<Health>,
        metrics: Arc<Metrics>,
        token: CancellationToken,
    ) {
        loop {
            let now = self.health();
            health.send_if_modified(|shown| std::mem::replace(shown, now) != now);
            metrics.ready(now.is_ready());
            metrics.part(Part::Store, now.store);
            metrics.part(Part::Dns, now.dns);
            metrics.part(Part::Origin, now.origin);
            metrics.part(Part::Keyset, now.keyset);
            let keys = Arc::clone(&self.keys.borrow_and_update());
            metrics.keyset(keys.expires(), keys.keyset.revoked.len());
            tokio::select! {
                () = token.cancelled() => return,
                () = tokio::time::sleep(LOOKED_AT) => {}
                changed = self.stage.changed() => if changed.is_err() { return },
                changed = self.pulses.changed() => if changed.is_err() { return },
                changed = self.reconciled.changed() => if changed.is_err() { return },
                changed = self.keys.changed() => if changed.is_err() { return },
            }
        }
    }

    fn health(&mut self) -> Health {
        let stage = *self.stage.borrow_and_update();
        let pulse = self.pulses.borrow_and_update().clone();
        let dns = self.reconciled.borrow_and_update().clone();
        Health {
            stage,
            answering: dns.generation > 0,
            store: pulse.store_well,
            dns: dns.failures == 0 && dns.generation > 0,
            origin: pulse.origin_well,
            keyset: self.keys.borrow_and_update().hold(self.clock.now()),
            sessions: pulse.sessions,
            peers: pulse.peers,
            verified: pulse.verified,
        }
    }
}

/// How often it is looked whether the keyset has ended: nothing else says so.
const LOOKED_AT: Duration = Duration::from_secs(1);

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proto::time::Timestamp;
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    /// Nobody signs another here, and nothing else in the attester changes at that moment.
    #[tokio::test(start_paused = true)]
    async fn the_end_of_the_keyset_is_noticed() {
        let start = Timestamp::from_secs(1_800_000_000);
        let folder = tempfile::tempdir().unwrap();
        let keys = Keys::create(&folder.path().join("keys"), &mut StdRng::seed_from_u64(5), start).unwrap();
        let clock = Clock::manual(start);
        let pulses = watch::Sender::new(Pulse::default());
        let reconciled = watch::Sender::new(Reconciled::default());
        let stage = watch::Sender::new(Stage::Serving);
        let keys = watch::Sender::new(Arc::new(keys));
        let watched = Watched {
            pulses: pulses.subscribe(),
            reconciled: reconciled.subscribe(),
            stage: stage.subscribe(),
            keys: keys.subscribe(),
            clock: clock.clone(),
        };
        let (health, mut seen) = watch::channel(Health::default());
        let (metrics, token) = (Arc::<Metrics>::default(), CancellationToken::new());
        let task = tokio::spawn(watched.watch(health, Arc::clone(&metrics), token.clone()));
        seen.wait_for(|health| health.keyset).await.unwrap();
        let well = "attester_part_well{part=\"keyset\"}";
        assert!(metrics.text().contains(&format!("{well} 1")));
        clock.advance(Keys::LIFE);
        let noticed = seen.wait_for(|health| !health.keyset);
        let _ = tokio::time::timeout(LOOKED_AT * 10, noticed).await.unwrap().unwrap();
        tokio::task::yield_now().await;
        assert!(metrics.text().contains(&format!("{well} 0")));
        token.cancel();
        task.await.unwrap();
    }
}
