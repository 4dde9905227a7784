//! The far end of a probe: as it is typed, and opened.

use std::{
    net::SocketAddr,
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

    /// Opens it; an origin of this process is still to be run.
    pub(super) async fn open(
        &self,
        config: Option<&Config>,
        aim: &Aim,
        clock: &Clock,
        rng: &mut StdRng,
    ) -> Result<(FarEnd, Option<Origin>), Failure> {
        if let Some(config) = config {
            let far = FarEnd::configured(config, clock).map_err(failure)?;
            return Ok((far, None));
        }
        let listen = self.origin.flatten();
        // Whom to be reachable for. A peer behind an edge is somewhere; a name that has no address is told by the probe.
        let peer = match aim.front {
            Some(_) => None,
            None => match timeout(WITHIN, aim.whom.address(aim.via.as_ref())).await {
                Ok(Ok(address)) => Some(address.ip()),
                Ok(Err(_)) | Err(_) => None,
            },
        };
        let opened = FarEnd::open(listen, self.destination.clone(), peer, clock, rng).await;
        let (far, origin) = opened.map_err(failure)?;
        Ok((far, Some(origin)))
    }
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
