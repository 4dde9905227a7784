//! Which peer, and by which way: as it is typed.

use std::{
    fs::File,
    io::Read,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, anyhow};
use clap::{
    Args, ValueEnum,
    builder::{PossibleValuesParser, TypedValueParser},
};
use proto::{
    claims::{Challenge, Protocol},
    ids::{Destination, Pin},
    tunnel::connect::MAX_VALUE,
};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::super::Failure;
use crate::{
    flashlight::{Edge, Sending, Sni},
    records::Name,
    resolve::Resolver,
    run::{
        Front,
        lone::{Aim, Host, Whom},
    },
};

#[derive(Debug, Args)]
pub(super) struct AimArguments {
    /// The peer: its address or its name, with its port unless it is 443
    peer: Whom,
    /// What is spoken inside TLS
    #[arg(long, value_parser = protocol(), default_value = "enproxy")]
    protocol: Protocol,
    /// Send the body of enproxy's write in chunks, as clients do that do not know its length
    #[arg(long, conflicts_with = "token_file")]
    streamed: bool,
    /// The pin of the peer's TLS key, as `peer-agent run --json` and `attester peers --json` tell it. Without it any key is
    /// taken, and told
    #[arg(long, conflicts_with = "edge")]
    pin: Option<Pin>,
    /// The file with the peer's CONNECT token (a token on a command line could be read by others)
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The Host of enproxy's requests [default: the peer as it was named]
    #[arg(long, value_name = "NAME", value_parser = host, conflicts_with = "edge")]
    host: Option<String>,
    /// Ask this name server for the peer's name, such as the zone's own before the zone is delegated
    #[arg(long, value_name = "IP:PORT", conflicts_with = "edge")]
    via: Option<SocketAddr>,
    /// Go through this edge, which finds the peer by its name
    #[arg(long, value_name = "HOST:PORT")]
    edge: Option<Destination>,
    /// The name that the edge's certificate is good for [default: the host of --edge]
    #[arg(long, value_name = "NAME", requires = "edge")]
    edge_name: Option<String>,
    /// What the ClientHello says of the edge's name
    #[arg(long, default_value = "none", requires = "edge")]
    sni: Named,
    /// The CA of the edge, in PEM [default: those that browsers trust]
    #[arg(long, value_name = "FILE", requires = "edge")]
    edge_ca: Option<PathBuf>,
    /// Bytes of the answer's body; from 65536 on throughput is told
    #[arg(long, value_name = "BYTES", default_value_t = 1024, value_parser = clap::value_parser!(u64).range(1..=Challenge::MAX_BODY))]
    body: u64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Named {
    /// Nothing, as flashlight up to 0.0.3
    None,
    /// The name, as later clients
    Name,
}

impl AimArguments {
    /// Reads the files that were named and puts everything together.
    pub(super) fn read(&self, rng: &mut StdRng) -> Result<Aim, Failure> {
        self.fit().map_err(|source| Failure::Config { source })?;
        let via = self.via.map(|nameserver| {
            let rng = StdRng::from_seed(rng.random());
            Resolver::new(nameserver, None, VIA_WITHIN, rng)
        });
        let name = self.peer.name().map(Name::to_string);
        Ok(Aim {
            whom: self.peer.clone(),
            via,
            front: self.front()?,
            pin: self.pin,
            token: self.token_file.as_deref().map(token).transpose()?,
            host: self.host.clone().or(name),
            protocol: self.protocol,
            sending: match self.streamed {
                true => Sending::Streamed,
                false => Sending::Buffered,
            },
            body: self.body,
        })
    }

    /// What contradicts each other, as far as it is seen from values only.
    fn fit(&self) -> anyhow::Result<()> {
        let is_connect = self.protocol == Protocol::Connect;
        let is_name = matches!(self.peer.host, Host::Name(_));
        if is_connect && self.edge.is_some() {
            return Err(anyhow!(
                "edges pass no CONNECT on: choose another --protocol with --edge"
            ));
        }
        if is_connect && (self.streamed || self.host.is_some()) {
            return Err(anyhow!(
                "--streamed and --host are of enproxy: choose another --protocol"
            ));
        }
        if !is_connect && self.token_file.is_some() {
            return Err(anyhow!("enproxy has no token: --token-file is for --protocol connect"));
        }
        if self.edge.is_some() && !is_name {
            return Err(anyhow!(
                "an edge finds a peer by its name, and {} is an address",
                self.peer
            ));
        }
        if self.via.is_some() && !is_name {
            return Err(anyhow!("--via is for names, and {} is an address", self.peer));
        }
        Ok(())
    }

    fn front(&self) -> Result<Option<Front>, Failure> {
        let Some(at) = &self.edge else { return Ok(None) };
        let authorities = match &self.edge_ca {
            Some(path) => {
                let read = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
                Some(read.map_err(|source| Failure::State { source })?)
            }
            None => None,
        };
        let sni = match self.sni {
            Named::None => Sni::Absent,
            Named::Name => Sni::Masquerade,
        };
        let name = self.edge_name.as_deref().unwrap_or_else(|| at.host());
        let edge = Edge::new(name, sni, authorities.as_deref()).map_err(|error| Failure::Config {
            source: anyhow::Error::new(error).context("the edge cannot be used"),
        })?;
        Ok(Some(Front { edge, at: at.clone() }))
    }
}

/// A token from its file, whose line end does not belong to it.
fn token(path: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let most = MAX_VALUE as u64 + 2;
    let read = File::open(path).and_then(|file| file.take(most).read_to_string(&mut text));
    read.with_context(|| format!("cannot read the token file {}", path.display()))
        .map_err(|source| Failure::State { source })?;
    let token = text.trim_end_matches(['\n', '\r']);
    if (1..=MAX_VALUE).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(token.to_owned());
    }
    Err(Failure::Config {
        source: anyhow!(
            "the token file {} does not hold one line of 1 to {MAX_VALUE} visible ASCII characters",
            path.display()
        ),
    })
}

fn protocol() -> impl TypedValueParser<Value = Protocol> {
    PossibleValuesParser::new(Protocol::ALL.iter().map(|protocol| protocol.as_str()))
        .try_map(|text| text.parse::<Protocol>())
}

/// What a request can say of a host: a name or an address, with or without a port.
fn host(text: &str) -> Result<String, String> {
    text.parse::<Whom>().map(|_| text.to_owned())
}

/// A question to a name server, with its repetitions.
const VIA_WITHIN: Duration = Duration::from_secs(3);
