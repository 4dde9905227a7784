//! `attester keys`: what keys there are, and changing them under a running attester.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::{Args, Subcommand};
use proto::{
    claims::{Keyset, Role},
    time::{Clock, Seconds, Timestamp},
};
use rand::{SeedableRng, rngs::StdRng};
use serde_json::{Value, json};

use super::{ConfigFile, Failure, Listing as ListingArgs, progress, runtime, show};
use crate::{
    config::parse_duration,
    keys::{FEW_LEFT, IfLost, KeyFolder, KeyState, KeysError, Listed, Listing, Rotated, Target},
};

mod when;

#[derive(Debug, Args)]
pub(super) struct Keys {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the keys: role, what each is for now, thumbprint, file
    List(ListingArgs),
    /// Make a key that waits until a rotation takes it, so that it can be backed up before it is used
    Create {
        /// attester, origin or prober
        role: Role,
        #[command(flatten)]
        file: ConfigFile,
    },
    /// Put new keys in the place of those that sign; the old ones are accepted for a while
    Rotate {
        /// attester, origin, prober
        #[arg(required_unless_present = "all")]
        roles: Vec<Role>,
        /// All three
        #[arg(long, conflicts_with = "roles")]
        all: bool,
        /// How long the old ones are accepted: from 1m to 29d
        #[arg(long, value_name = "TIME", default_value = "24h", value_parser = overlap)]
        overlap: Duration,
        #[command(flatten)]
        with: With,
    },
    /// Say that a key does not count: what rests on it loses its place in DNS and is proved anew
    Revoke {
        /// The role whose key signs now, or a key: its thumbprint or the beginning of it, or its public key
        #[arg(value_name = "ROLE|KEY")]
        target: Target,
        /// From when on it does not count, such as "2026-11-22 18:30:00" (UTC); without it, ever
        #[arg(long, value_name = "TIME", value_parser = when::parse)]
        since: Option<Seconds>,
        #[command(flatten)]
        with: With,
    },
    /// Sign the keyset again, for another 30 days
    Sign {
        /// Sign one that revokes nothing where the keyset is lost or damaged; what was revoked must be revoked again
        #[arg(long)]
        afresh: bool,
        #[command(flatten)]
        with: With,
    },
}

/// What a change of the keyset is made with.
#[derive(Debug, Args)]
struct With {
    /// The root key, where it is not kept in the key folder; it is only read
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,
    #[command(flatten)]
    file: ConfigFile,
}

impl Keys {
    pub(super) fn run(&self) -> Result<ExitCode, Failure> {
        let now = Clock::system().now();
        // Whoever changes the files has them for itself: somebody else may have to be waited for.
        let act = || self.action.act(now);
        let text = progress::patiently_blocking(&runtime()?, "waiting for the key files", act)?;
        show::print(&text)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Action {
    fn act(&self, now: Timestamp) -> Result<String, Failure> {
        Ok(match self {
            Self::List(listing) => list(listing, now)?,
            Self::Create { role, file } => create(file, *role)?,
            Self::Rotate {
                roles,
                all,
                overlap,
                with,
            } => {
                let roles = if *all { Role::ALL.to_vec() } else { once_each(roles) };
                let rotated = folder(&with.file)?.rotate(&roles, *overlap, with.root(), &mut rng()?, now);
                let rotated = rotated.map_err(failure)?;
                let told: String = rotated.keys.iter().map(rotation).collect();
                told + TAKEN_UP + &untidied(rotated.untidied)
            }
            Self::Revoke { target, since, with } => revoke(target, *since, with, now)?,
            Self::Sign { afresh, with } => {
                let lost = if *afresh { IfLost::StartAfresh } else { IfLost::Refuse };
                let keyset = folder(&with.file)?.sign(with.root(), lost, now).map_err(failure)?;
                let until = show::clock_time(keyset.expires.start());
                format!("signed the keyset: it is valid until {until}\n{TAKEN_UP}")
            }
        })
    }
}

impl With {
    fn root(&self) -> Option<&Path> {
        self.root.as_deref()
    }
}

fn list(arguments: &ListingArgs, now: Timestamp) -> Result<String, Failure> {
    let folder = folder(&arguments.file)?;
    let listing = folder.list(now).map_err(failure)?;
    Ok(if arguments.json {
        show::lines(&objects(&listing))
    } else {
        table(&listing, &folder)
    })
}

fn create(file: &ConfigFile, role: Role) -> Result<String, Failure> {
    let created = folder(file)?.stage(role, &mut rng()?).map_err(failure)?;
    Ok(format!(
        "wrote {} ({})\nit waits: attester keys rotate {role} takes it\n",
        show::plain(&created.path),
        created.public.thumbprint()
    ))
}

fn revoke(target: &Target, since: Option<Seconds>, with: &With, now: Timestamp) -> Result<String, Failure> {
    let since = since.unwrap_or(Seconds::new(0));
    let revoked = folder(&with.file)?.revoke(target, since, with.root(), &mut rng()?, now);
    let revoked = revoked.map_err(failure)?;
    let role = revoked.role.map(|role| format!("{role} ")).unwrap_or_default();
    let when = match since.as_u64() {
        0 => String::new(),
        _ => format!(" from {} on", show::clock_time(since.start())),
    };
    let told = format!(
        "revoked the {role}key {}: nothing that it signed{when} counts\n",
        revoked.key
    );
    let replaced = revoked.replaced.as_ref().map(rotation).unwrap_or_default();
    Ok(told + &replaced + TAKEN_UP + &places(revoked.revoked) + &untidied(revoked.untidied))
}

/// What is said of the places for revoked keys when few are left: they are for the life of a root.
fn places(revoked: usize) -> String {
    let most = Keyset::MAX_REVOKED;
    if most.saturating_sub(revoked) > FEW_LEFT {
        return String::new();
    }
    format!(
        "{revoked} of {most} places for revoked keys are taken, and none becomes free: plan a new root (attester/README.md)\n"
    )
}

/// What is said when it is done and something was left lying about.
fn untidied(why: Option<KeysError>) -> String {
    let told = |why| {
        let why = anyhow::Error::new(why);
        format!(
            "it is done, but private keys that are over are still there, and a running attester tries again within the hour: {why:#}\n"
        )
    };
    why.map(told).unwrap_or_default()
}

/// What a rotation has done, in a line.
fn rotation(rotated: &Rotated) -> String {
    let Rotated {
        role, old, until, new, ..
    } = rotated;
    let before = match (old, until) {
        (Some(old), Some(until)) => format!("; {old} is accepted until {}", show::clock_time(*until)),
        _ => String::new(),
    };
    format!("{role}: {new} signs from now on{before}\n")
}

/// Keys, a row each, and the keyset.
fn table(listing: &Listing, folder: &KeyFolder) -> String {
    let file = |path: Option<&PathBuf>| path.map_or_else(|| "-".to_owned(), |path| show::plain(path));
    let root = [
        "root".to_owned(),
        if listing.root_at_hand { "at hand" } else { "elsewhere" }.to_owned(),
        listing.root.thumbprint().to_string(),
        file(listing.root_at_hand.then(|| folder.root_file()).as_ref()),
    ];
    let row = |listed: &Listed| {
        let cells = [
            listed.role.map_or("-", Role::as_str).to_owned(),
            state(listed.state),
            listed.key.to_string(),
            file(listed.path.as_ref()),
        ];
        (tone(listed.state), cells)
    };
    let rows = std::iter::once(("", root)).chain(listing.keys.iter().map(row));
    let keyset = &listing.keyset;
    format!(
        "{}\nkeyset signed {}, {} {}\n{}",
        show::table(["ROLE", "STATE", "THUMBPRINT", "FILE"], rows.collect()),
        show::clock_time(keyset.issued_at.start()),
        if listing.holds {
            "valid until"
        } else {
            "NOT VALID NOW; its end was or is"
        },
        show::clock_time(keyset.expires.start()),
        places(keyset.revoked.len()),
    )
}

fn state(state: KeyState) -> String {
    let at = |word: &str, second: Seconds| format!("{word} {}", show::clock_time(second.start()));
    match state {
        KeyState::Signing => "signing".to_owned(),
        KeyState::AcceptedUntil(end) => at("accepted until", end),
        KeyState::Listed => "listed".to_owned(),
        KeyState::From(start) => at("from", start),
        KeyState::Waiting => "waiting".to_owned(),
        KeyState::Ended(end) => at("ended", end),
        KeyState::Revoked(since) => format!("revoked{}", from(since)),
    }
}

const fn tone(state: KeyState) -> &'static str {
    match state {
        KeyState::Signing => "verified",
        KeyState::Revoked(_) => "refused",
        KeyState::Ended(_) => "retired",
        _ => "",
    }
}

fn from(since: Seconds) -> String {
    match since.as_u64() {
        0 => " for all time".to_owned(),
        _ => format!(" from {} on", show::clock_time(since.start())),
    }
}

/// Keys for programs, the keyset last.
fn objects(listing: &Listing) -> Vec<Value> {
    let root = json!({
        "kind": "key", "role": "root", "state": if listing.root_at_hand { "at-hand" } else { "elsewhere" },
        "thumbprint": listing.root.thumbprint().to_string(), "key": listing.root.to_string(),
    });
    let keyset = &listing.keyset;
    let last = json!({
        "kind": "keyset", "valid": listing.holds,
        "issued_at": show::rfc3339(keyset.issued_at.start()),
        "not_before": show::rfc3339(keyset.not_before.start()),
        "expires": show::rfc3339(keyset.expires.start()),
    });
    let keys = listing.keys.iter().map(object);
    std::iter::once(root).chain(keys).chain([last]).collect()
}

fn object(listed: &Listed) -> Value {
    let (state, time) = match listed.state {
        KeyState::Signing => ("signing", None),
        KeyState::AcceptedUntil(end) => ("accepted", Some(("until", end))),
        KeyState::Listed => ("listed", None),
        KeyState::From(start) => ("future", Some(("from", start))),
        KeyState::Waiting => ("waiting", None),
        KeyState::Ended(end) => ("ended", Some(("until", end))),
        KeyState::Revoked(since) => ("revoked", Some(("since", since))),
    };
    let mut object = json!({
        "kind": "key",
        "role": listed.role.map(Role::as_str),
        "state": state,
        "thumbprint": listed.key.to_string(),
        "key_id": data_encoding::HEXLOWER.encode(listed.key.as_bytes()),
        "key": listed.public.map(|key| key.to_string()),
        "file": listed.path,
    });
    if let Some((name, second)) = time {
        object[name] = show::rfc3339(second.start()).into();
    }
    object
}

fn folder(file: &ConfigFile) -> Result<KeyFolder, Failure> {
    Ok(KeyFolder::new(file.load()?.keys_folder()))
}

fn rng() -> Result<StdRng, Failure> {
    StdRng::try_from_rng(&mut rand::rngs::SysRng)
        .map_err(|source| Failure::state("the system gives no random numbers", source))
}

fn failure(error: KeysError) -> Failure {
    match error {
        KeysError::NotFound { .. } => Failure::NotFound(error.to_string()),
        KeysError::Overlap | KeysError::SinceLater | KeysError::Ambiguous { .. } | KeysError::RevokedLately { .. } => {
            Failure::Config { source: error.into() }
        }
        _ => Failure::State { source: error.into() },
    }
}

fn once_each(roles: &[Role]) -> Vec<Role> {
    Role::ALL.iter().copied().filter(|role| roles.contains(role)).collect()
}

fn overlap(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "a time is a number and s, m, h or d, such as 24h".to_owned())
}

const TAKEN_UP: &str = "a running attester takes it up within seconds\n";
