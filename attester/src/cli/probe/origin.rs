//! The far end of a probe: as it is typed, and opened.

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use proto::{ids::Destination, time::Clock};
use rand::rngs::StdRng;
use tokio::time::timeout;

use super::super::Failure;
use crate::{
    config::Config,
    origin::{Origin, OriginError},
    run::lone::{Aim, FarEnd, FarEndError},
};

#[derive(Debug, Args)]
pub(super) struct OriginArguments {
    /// The configuration of the attester whose origin is used [default: attester.toml, if it is here]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Start an origin for this probe, which listens here [default: any port of the address that the peer most likely reaches]
    #[arg(long, value_name = "IP:PORT", num_args = 0..=1, require_equals = true, conflicts_with = "config")]
    origin: Option<Option<SocketAddr>>,
    /// What the peer is asked for, where an origin of this probe is reached by another address than the one it listens at
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "config")]
    destination: Option<Destination>,
}

impl OriginArguments {
    /// The configuration that is used, if one is.
    pub(super) fn config(&self) -> Result<Option<Config>, Failure> {
        let file = self.file();
        file.map(Config::load).transpose().map_err(Failure::config)
    }

    /// The configuration's file.
    pub(super) fn file(&self) -> Option<&Path> {
        if self.origin.is_some() || self.destination.is_some() {
            return None;
        }
        let here = || Some(Path::new(HERE)).filter(|path| path.exists());
        self.config.as_deref().or_else(here)
    }

    /// Opens it; an origin of this process is still to be run. A look-up of the peer's name, for an origin that it can reach, takes so
    /// long at most.
    pub(super) async fn open(
        &self,
        config: Option<&Config>,
        aim: &Aim,
        within: Duration,
        (clock, rng): (&Clock, &mut StdRng),
    ) -> Result<(FarEnd, Option<Origin>), Failure> {
        if let Some(config) = config {
            let far = FarEnd::configured(config, clock).map_err(failure)?;
            return Ok((far, None));
        }
        let listen = self.origin.flatten();
        let peer = reachable_for(aim, within.min(WITHIN)).await;
        let opened = FarEnd::open(listen, self.destination.clone(), peer, clock, rng).await;
        let (far, origin) = opened.map_err(failure)?;
        Ok((far, Some(origin)))
    }
}

/// Whom to be reachable for. A peer behind an edge is somewhere; a name that has no address is told by the probe.
async fn reachable_for(aim: &Aim, within: Duration) -> Option<IpAddr> {
    let looking = match aim.front {
        Some(_) => return None,
        None => timeout(within, aim.whom.addresses(aim.via.as_ref())),
    };
    let (address, _) = looking.await.ok()?.ok()?;
    Some(address.ip())
}

fn failure(error: FarEndError) -> Failure {
    let is_mistaken = matches!(
        error,
        FarEndError::Nowhere | FarEndError::Anywhere(_) | FarEndError::Origin(OriginError::Config(_))
    );
    let source = error.into();
    if is_mistaken {
        Failure::Config { source }
    } else {
        Failure::State { source }
    }
}

/// Where every command looks for a configuration.
const HERE: &str = "attester.toml";
const WITHIN: Duration = Duration::from_secs(3);

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proto::claims::Protocol;
    use rand::SeedableRng;
    use tokio::{net::UdpSocket, time::Instant};

    use super::*;
    use crate::{flashlight::Sending, resolve::Resolver};

    /// Whoever gives a probe little time does not wait longer for what comes before it.
    #[tokio::test(start_paused = true)]
    async fn a_name_that_nobody_answers_takes_no_longer_than_a_probe_may() {
        let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let server = silent.local_addr().unwrap();
        let rng = StdRng::seed_from_u64(1);
        let aim = Aim {
            whom: "peer.example".parse().unwrap(),
            via: Some(Resolver::new(server, None, WITHIN * 2, rng)),
            front: None,
            pin: None,
            token: None,
            host: None,
            protocol: Protocol::Enproxy,
            sending: Sending::Buffered,
            body: 1024,
        };
        let soon = Duration::from_millis(100);
        let began = Instant::now();
        assert_eq!(reachable_for(&aim, soon).await, None);
        assert_eq!(began.elapsed(), soon);
    }
}
