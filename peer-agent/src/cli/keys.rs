//! `peer-agent keys`: which identity this is, and moving it to a new key.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand};
use peer_agent::{AgentError, identity};
use proto::{
    claims::{Chain, Link},
    key::{PublicKey, SigningKey},
    time::{Clock, Timestamp},
};
use serde_json::json;

use super::settings::Settings;

#[derive(Debug, Subcommand)]
pub(super) enum Keys {
    /// Show the identity: its id, its key, and how it came to that key
    Show(Which),
    /// Move the identity to a new key; the attester keeps its history, and refuses the old key from then on
    ///
    /// The peer must be stopped. Started again, it tells the attester by itself, and is verified anew under its new name.
    Rotate(Which),
}

#[derive(Debug, Args)]
pub(super) struct Which {
    /// The configuration file, which names the identity's key file
    #[arg(long, value_name = "FILE", default_value = "peer-agent.toml")]
    config: PathBuf,
    /// The identity's key file, in place of a configuration file
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    identity: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Keys {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        match self {
            Self::Show(which) => show(which),
            Self::Rotate(which) => rotate(which),
        }
    }
}

impl Which {
    /// The key file.
    fn path(&self) -> anyhow::Result<PathBuf> {
        let path = match &self.identity {
            Some(path) => path.clone(),
            None => Settings::load(&self.config)?.identity(),
        };
        Ok(std::path::absolute(&path).unwrap_or(path))
    }
}

fn show(which: &Which) -> anyhow::Result<()> {
    let path = which.path()?;
    let key = SigningKey::read(&path).map_err(AgentError::Identity)?.public();
    let links = identity::successions(&path, &key).map_err(AgentError::Successions)?;
    let unfinished = identity::is_moving(&path);
    let now = Clock::system().now();
    let told = presented(&links, &key, now);
    if which.json {
        let moves = links.iter().enumerate().map(|(position, link)| {
            json!({
                "old_peer_id": link.old.peer_id().as_str(), "peer_id": link.new.peer_id().as_str(),
                "issued_at": link.issued_at.as_u64(), "expires": link.expires.as_u64(),
                "presented": position + told >= links.len(),
            })
        });
        let object = json!({
            "peer_id": key.peer_id().as_str(), "public_key": key.to_string(), "thumbprint": key.thumbprint().to_string(),
            "key_file": path, "unfinished": unfinished, "moves": moves.collect::<Vec<_>>(),
        });
        println!("{object}");
        return Ok(());
    }
    println!("peer id:     {}", key.peer_id());
    println!("own name:    {}", own_name(&key));
    println!("public key:  {key}");
    println!("thumbprint:  {}", key.thumbprint());
    println!("key file:    {}", path.display());
    if links.is_empty() {
        println!("moves:       none: this is the identity's first key");
    }
    for (position, link) in links.iter().enumerate() {
        let label = if position == 0 { "moves:" } else { "" };
        let since = days(now.since(link.issued_at.start()));
        let then = match position + told >= links.len() {
            true => format!(
                "the attester is told for {} more",
                days(link.expires.start().since(now))
            ),
            false => "the attester is not told any more".to_owned(),
        };
        println!(
            "{label:<13}{} → {}, {since} ago; {then}",
            link.old.peer_id(),
            link.new.peer_id()
        );
    }
    if unfinished {
        println!("\nA move to a new key was begun and not finished: run `peer-agent keys rotate` to finish it.");
    }
    Ok(())
}

fn rotate(which: &Which) -> anyhow::Result<()> {
    let path = which.path()?;
    let rotated = identity::rotate(&path, Clock::system().now(), &mut rand::rng())?;
    let (old, new) = (&rotated.old, &rotated.new);
    if which.json {
        let object = json!({
            "old_peer_id": old.peer_id().as_str(), "peer_id": new.peer_id().as_str(), "public_key": new.to_string(),
            "thumbprint": new.thumbprint().to_string(), "key_file": path, "kept": rotated.kept,
            "successions_file": identity::successions_file(&path), "moves": rotated.moves, "resumed": rotated.resumed,
        });
        println!("{object}");
        return Ok(());
    }
    if rotated.resumed {
        println!("An earlier move had begun and was not finished; now it is.\n");
    }
    println!("old peer id:   {}", old.peer_id());
    println!("new peer id:   {}", new.peer_id());
    println!("new own name:  {}", own_name(new));
    println!("new key:       {}", path.display());
    println!(
        "old key:       {} (of no more use; keep or remove it)",
        rotated.kept.display()
    );
    println!(
        "both signed:   {} (keep it beside the key)",
        identity::successions_file(&path).display()
    );
    if rotated.moves == Chain::MAX_LINKS {
        println!(
            "\nThe attester is told of the last {} moves: let the peer run between two of them.",
            Chain::MAX_LINKS
        );
    }
    println!(
        "\nStart the peer now. It tells the attester, which moves its history to the new name, verifies it anew and refuses"
    );
    println!("the old key from then on. Clients that know it by its old name reach it no more by that.");
    Ok(())
}

/// A length of time in whole days.
fn days(time: Duration) -> String {
    match time.as_secs() / (24 * 3600) {
        0 => "less than a day".to_owned(),
        1 => "1 day".to_owned(),
        more => format!("{more} days"),
    }
}

/// How many of the last moves the attester is told of at `now`.
fn presented(links: &[Link], key: &PublicKey, now: Timestamp) -> usize {
    let pairs = links.iter().map(|link| link.pair.clone()).collect();
    Chain::verify(pairs, key).map_or(0, |chain| chain.presentable(now).len())
}

/// The zone is the attester's.
fn own_name(key: &PublicKey) -> String {
    key.peer_id().own_name("<the attester's zone>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_day_is_not_many() {
        let hours = |hours: u64| days(Duration::from_secs(hours * 3600));
        assert_eq!(
            [hours(23), hours(24), hours(47), hours(48), hours(89 * 24)],
            ["less than a day", "1 day", "1 day", "2 days", "89 days"]
        );
    }
}
