//! The rotation as a client sees it: by DNS queries over a socket.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use attester::{records::Name, resolve::Resolver};
use rand::{SeedableRng, rngs::StdRng};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::wait::POLL;

/// Asks the attester's DNS.
#[derive(Debug)]
pub(crate) struct Rotation {
    resolver: Resolver,
    name: Name,
}

impl Rotation {
    pub(crate) fn new(nameserver: SocketAddr, name: Name) -> Self {
        let rng = StdRng::from_rng(&mut rand::rng());
        Self {
            resolver: Resolver::new(nameserver, None, ANSWER_WITHIN, rng),
            name,
        }
    }

    /// Who is in it now.
    pub(crate) async fn members(&self) -> anyhow::Result<BTreeSet<IpAddr>> {
        Ok(self.resolver.addresses(&self.name).await?.into_iter().collect())
    }

    /// What another name resolves to.
    pub(crate) async fn addresses(&self, name: &Name) -> anyhow::Result<BTreeSet<IpAddr>> {
        Ok(self.resolver.addresses(name).await?.into_iter().collect())
    }
}

/// Looks at the rotation all the time, and remembers everybody who was ever in it.
#[derive(Debug)]
pub struct Watcher {
    token: CancellationToken,
    task: JoinHandle<Seen>,
}

/// What a [`Watcher`] saw.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Everybody who was ever in the rotation.
    pub ever: BTreeSet<IpAddr>,
    /// Everybody who was in it at every answer.
    pub always: BTreeSet<IpAddr>,
    /// How many answers there were: few answers prove little.
    pub answers: usize,
    /// How many questions got none.
    pub unanswered: usize,
}

impl Watcher {
    pub(crate) fn start(rotation: Rotation) -> Self {
        let token = CancellationToken::new();
        let stop = token.clone();
        let task = tokio::spawn(async move {
            let mut seen = Seen::default();
            while !stop.is_cancelled() {
                match rotation.members().await {
                    Ok(members) => {
                        seen.always = match seen.answers {
                            0 => members.clone(),
                            _ => &seen.always & &members,
                        };
                        seen.answers += 1;
                        seen.ever.extend(members);
                    }
                    Err(_) => seen.unanswered += 1,
                }
                stop.run_until_cancelled(tokio::time::sleep(POLL)).await;
            }
            seen
        });
        Self { token, task }
    }

    /// Ends it.
    ///
    /// # Errors
    /// When it saw nothing at all, which would prove nothing.
    pub async fn finish(self) -> anyhow::Result<Seen> {
        self.token.cancel();
        let seen = self.task.await?;
        anyhow::ensure!(
            seen.answers > 0,
            "the watcher of the rotation got no answer in {} questions",
            seen.unanswered
        );
        Ok(seen)
    }
}

const ANSWER_WITHIN: Duration = Duration::from_secs(2);
