//! The parts that processes of this program play.

use std::{
    io::{BufRead, Write, stdin, stdout},
    process::ExitCode,
};

use anyhow::Context;
use clap::ValueEnum;
use serde::{Serialize, de::DeserializeOwned};

pub(crate) mod attester;
pub(crate) mod peers;

use crate::{bare, streams};

/// A part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// The real attester.
    Attester,
    /// Any number of real peers.
    Peers,
    /// A server that does a TLS handshake and answers one request.
    BareServer,
    /// Its client.
    BareClient,
    /// A tonic server that does nothing with its streams.
    StreamServer,
    /// Any number of its clients.
    StreamClients,
}

/// Plays a part until standard input ends.
pub(crate) fn play(role: Role) -> ExitCode {
    let played = match role {
        Role::Attester => attester::play(),
        Role::Peers => peers::play(),
        Role::BareServer => bare::serve(),
        Role::BareClient => bare::request(),
        Role::StreamServer => streams::serve(),
        Role::StreamClients => streams::hold(),
    };
    match played {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The parent has not heard of it unless it is waiting for an answer.
            let _ = answer::<()>(Err(format!("{error:#}")));
            ExitCode::FAILURE
        }
    }
}

/// The settings: the first line.
pub(crate) fn settings<S: DeserializeOwned>() -> anyhow::Result<S> {
    let mut line = String::new();
    stdin().lock().read_line(&mut line)?;
    serde_json::from_str(&line).context("the settings cannot be read")
}

/// Answers questions until there are no more.
pub(crate) fn serve<Q: DeserializeOwned, A: Serialize>(
    mut answering: impl FnMut(Q) -> anyhow::Result<A>,
) -> anyhow::Result<()> {
    for line in stdin().lock().lines() {
        let question = serde_json::from_str(&line?).context("a question cannot be read")?;
        answer(answering(question).map_err(|error| format!("{error:#}")))?;
    }
    Ok(())
}

/// Writes one answer.
pub(crate) fn answer<A: Serialize>(answer: Result<A, String>) -> anyhow::Result<()> {
    let line = serde_json::to_string(&answer)?;
    let mut output = stdout().lock();
    writeln!(output, "{line}")?;
    Ok(output.flush()?)
}
