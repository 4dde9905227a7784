//! The keys as each part has them, and how a change of the key folder reaches them while everything runs.

use std::{path::PathBuf, sync::Arc, time::Duration};

use proto::{
    claims::{Keyset, Role},
    time::{Clock, Timestamp},
};
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;

use crate::{
    keys::{FEW_LEFT, KeyFolder, Keys, KeysError},
    metrics::Metrics,
    origin::OriginKeys,
    session::SessionKeys,
};

/// The keys as each part has them, and where they come from.
pub(super) struct Handout {
    folder: PathBuf,
    pub(super) all: watch::Sender<Arc<Keys>>,
    pub(super) origin: watch::Sender<Arc<OriginKeys>>,
    pub(super) session: watch::Sender<Arc<SessionKeys>>,
}

impl Handout {
    pub(super) fn of(keys: Keys, folder: PathBuf) -> Self {
        Self {
            folder,
            origin: watch::Sender::new(Arc::new(origin_keys(&keys))),
            session: watch::Sender::new(Arc::new(session_keys(&keys))),
            all: watch::Sender::new(Arc::new(keys)),
        }
    }

    /// Follows the key folder: what an operator changes there is in use within seconds, and a keyset in the second half of
    /// its life is signed anew if the root key is at hand. What cannot be used is told once a day, and changes nothing: not
    /// what cannot be read, nor a keyset that is older than the one in use or takes back a revocation.
    pub(super) async fn follow(self, clock: Clock, metrics: Arc<Metrics>, token: CancellationToken) {
        let mut looks = tokio::time::interval(LOOKED_AT);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told: Option<(String, Instant)> = None;
        let (mut tidied, mut warned) = (Instant::now(), None);
        tell_few_left(&self.all.borrow());
        loop {
            tokio::select! {
                () = token.cancelled() => return,
                _ = looks.tick() => {}
            }
            let tidy = tidied.elapsed() >= TIDIED;
            if tidy {
                tidied = Instant::now();
            }
            match self.look(clock.now(), tidy).await {
                Ok(keys) => {
                    told = None;
                    metrics.key_folder_used(true);
                    if keys.are_old(clock.now()) && warned.is_none_or(|at: Instant| at.elapsed() >= WARNED) {
                        warned = Some(Instant::now());
                        tracing::warn!(
                            ends = %keys.keyset.expires,
                            "the keyset should be signed again, and the root key is not at hand: attester keys sign --root FILE"
                        );
                    }
                    if !keys.are(&self.all.borrow()) {
                        self.hand_out(keys, clock.now());
                    }
                }
                Err(error) => {
                    metrics.key_folder_used(false);
                    let trouble = chain(&error);
                    let is_known = |(text, at): &(String, Instant)| *text == trouble && at.elapsed() < WARNED;
                    if !told.as_ref().is_some_and(is_known) {
                        tracing::warn!(
                            error = trouble,
                            "the key folder cannot be used as it is: the keys that were read before stay in use"
                        );
                        told = Some((trouble, Instant::now()));
                    }
                }
            }
        }
    }

    /// Reads the folder, beside the runtime; now and then it also renews and tidies.
    async fn look(&self, now: Timestamp, tidy: bool) -> Result<Keys, KeysError> {
        let (folder, used) = (self.folder.clone(), Arc::clone(&self.all.borrow()));
        let looking = tokio::task::spawn_blocking(move || {
            if !tidy {
                return used.look(&folder, now);
            }
            let keys = used.keep(&folder, now)?;
            KeyFolder::new(&folder).tidy(now)?;
            Ok(keys)
        });
        // A panic is not cured by waiting for the next look, and the panic hook has told it.
        looking.await.unwrap_or_else(|_| Ok(Keys::clone(&self.all.borrow())))
    }

    /// Gives every part the new keyset first, with the keys that signed so far where they still count, and only then the
    /// new keys: nothing is signed with a key that another part has not heard of.
    fn hand_out(&self, next: Keys, now: Timestamp) {
        let before = Arc::clone(&self.all.borrow());
        let still = |role: Role| {
            let old = before.of(role);
            let counts = next.keyset.key(role, old.public().thumbprint(), now).is_ok();
            if counts { old.clone() } else { next.of(role).clone() }
        };
        let between = Keys {
            attester: still(Role::Attester),
            origin: still(Role::Origin),
            prober: still(Role::Prober),
            ..next.clone()
        };
        if !between.are(&next) {
            self.send(between);
        }
        tracing::info!(
            expires = %next.keyset.expires,
            attester = %next.attester.public().thumbprint(),
            origin = %next.origin.public().thumbprint(),
            prober = %next.prober.public().thumbprint(),
            revoked = next.keyset.revoked.len(),
            "the keys in the key folder have changed and are in use now"
        );
        if next.keyset.revoked != before.keyset.revoked {
            tell_few_left(&next);
        }
        self.send(next);
    }

    fn send(&self, keys: Keys) {
        self.origin.send_replace(Arc::new(origin_keys(&keys)));
        self.session.send_replace(Arc::new(session_keys(&keys)));
        self.all.send_replace(Arc::new(keys));
    }
}

fn origin_keys(keys: &Keys) -> OriginKeys {
    OriginKeys {
        keyset: keys.keyset.clone(),
        origin: keys.origin.clone(),
    }
}

fn session_keys(keys: &Keys) -> SessionKeys {
    SessionKeys {
        keyset: keys.keyset_bytes.clone().into(),
        attester: keys.attester.clone(),
    }
}

fn tell_few_left(keys: &Keys) {
    let revoked = keys.keyset.revoked.len();
    if Keyset::MAX_REVOKED.saturating_sub(revoked) <= FEW_LEFT {
        tracing::warn!(
            revoked,
            most = Keyset::MAX_REVOKED,
            "few places for revoked keys are left, and none becomes free: plan a new root (attester/README.md)"
        );
    }
}

/// The whole chain of causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// How often the key folder is looked at.
const LOOKED_AT: Duration = Duration::from_secs(2);
/// How often the keyset is renewed, if it is old, and private keys that have ended are removed.
const TIDIED: Duration = Duration::from_secs(3600);
/// How often an operator is told of a keyset that cannot be renewed here, or of a folder that cannot be used.
const WARNED: Duration = Duration::from_secs(24 * 3600);

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests;
