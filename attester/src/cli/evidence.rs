//! `attester evidence`: what a verdict rests on, in one file that anybody can check.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use proto::{checked::Signed, claims::Verdict, ids::PeerId};

use super::{Failure, exit::Exit};

mod export;
mod judge;
mod revocations;
mod told;
mod verify;

#[derive(Debug, Args)]
pub(super) struct Evidence {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Write a probe's signed claims to one self-contained file; works while the attester runs
    Export(export::Export),
    /// Check evidence files again, with the root's public key alone, and tell what each check compared
    Verify(Box<verify::Verify>),
}

impl Evidence {
    pub(super) fn run(&self) -> Result<ExitCode, Failure> {
        match &self.action {
            Action::Export(export) => export.run(),
            Action::Verify(verify) => verify.run(),
        }
    }
}

/// What the signed verdict in stored evidence says, for listings: nothing here checks it.
pub(super) fn said(evidence: &[u8]) -> Option<Verdict> {
    let evidence = proto::evidence::Evidence::decode(evidence).ok()?;
    let signed = Signed::<Verdict>::parse(&evidence.verdict?.0).ok()?;
    Some(signed.dangerously_unverified().clone())
}

/// The beginning of a probe's id, as it is typed.
pub(super) fn probe_id(text: &str) -> Result<String, String> {
    match text.bytes().all(|byte| byte.is_ascii_hexdigit()) && (1..=32).contains(&text.len()) {
        true => Ok(text.to_ascii_lowercase()),
        false => Err("no probe id: 1 to 32 hexadecimal digits, as `attester explain` lists them".to_owned()),
    }
}

/// A probe was asked for that is not there.
pub(super) fn no_probe(peer: &PeerId, id: &str) -> Failure {
    Failure::NotFound(format!(
        "no probe {id} of {peer} is stored: it never was, or it was pruned (see [evidence] in the configuration); \
        `attester explain {peer}` lists the probes that are there"
    ))
}

/// A probe was asked for by too little of its id.
pub(super) fn several_probes(peer: &PeerId, id: &str) -> Failure {
    Failure::NotFound(format!(
        "more than one probe of {peer} begins with {id}: give more of its id"
    ))
}

/// The evidence is authentic, and what it says is not that the peer was proved.
pub(super) const NOT_PROVED: u8 = Exit::NotProved.code();
/// The evidence does not verify.
pub(super) const NOT_VERIFIED: u8 = Exit::NotVerified.code();
