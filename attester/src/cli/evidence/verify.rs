//! `attester evidence verify`: offline, from a file and the root's public key.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, anyhow};
use clap::Args;
use proto::{checked::Signed, claims::Challenge, evidence::Evidence, key::PublicKey};

use super::{
    super::{
        Failure,
        progress::{self, Steps},
        runtime, show,
    },
    judge::{Terms, judge},
    revocations::{Newest, Revocations},
    told,
};
use crate::{
    config::Config,
    keys::KeyFolder,
    store::{Store, StoreError},
    verify::Demands,
};

#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(in crate::cli) struct Verify {
    /// The evidence files; - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The root's public key, as ed25519:… or as the file that holds it (root.pub)
    #[arg(long, value_name = "KEY", value_parser = root_key)]
    root: PublicKey,
    /// The operator's newest keyset (keyset.cose): what rests on a key that it revokes does not count. Without it, or
    /// --config, nobody knows what was revoked since a file was made
    #[arg(long, value_name = "FILE")]
    keyset: Option<PathBuf>,
    /// The evidence must be about this peer: its id, its own name or its public key
    #[arg(long, value_name = "PEER", value_parser = peer)]
    peer: Option<String>,
    /// An attester's state file, in which V6 looks for the nonce in other probes
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    state: Option<PathBuf>,
    /// An attester's configuration: its state file is looked into, its goodput demands are taken, and what its keyset
    /// revokes does not count
    #[arg(long, value_name = "FILE", conflicts_with_all = ["goodput_body", "goodput_floor"])]
    config: Option<PathBuf>,
    /// V7: bodies of this length or longer are measurements, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = Demands::default().goodput_body)]
    goodput_body: u64,
    /// V7: the least throughput, in bytes a second
    #[arg(long, value_name = "BYTES", default_value_t = Demands::default().goodput_floor)]
    goodput_floor: u64,
    /// One JSON object a file instead of tables
    #[arg(long)]
    json: bool,
}

/// What was found in all files.
#[derive(Default)]
struct Found {
    text: String,
    rows: Vec<told::Row>,
    /// For standard error: what cannot be read, and what a line of the table does not say.
    notes: Vec<String>,
    code: u8,
}

impl Verify {
    pub(super) fn run(&self) -> Result<ExitCode, Failure> {
        let config = self.config.as_deref().map(Config::load).transpose();
        let config = config.map_err(Failure::config)?;
        let in_state = config
            .as_ref()
            .map(|config| KeyFolder::new(config.keys_folder()).keyset_file());
        let terms = Terms {
            newest: Newest::of(self.root, self.keyset.as_deref(), in_state.as_deref())?,
            demands: self.demands(config.as_ref()),
            peer: self.peer.clone(),
        };
        let state = config.map(|config| config.state_file()).or_else(|| self.state.clone());
        let found = runtime()?.block_on(self.look(&terms, state.as_deref()));
        let found = found.map_err(|source| Failure::State { source: source.into() })?;
        if found.rows.is_empty() {
            show::print(&found.text)?;
        } else {
            show::print(&told::in_short(found.rows))?;
            if !terms.newest.is_known() {
                show::say(&format!("revocations: {}", Revocations::Unknown.told()));
            }
        }
        for note in &found.notes {
            show::say(note);
        }
        Ok(ExitCode::from(found.code))
    }

    async fn look(&self, terms: &Terms, state: Option<&Path>) -> Result<Found, StoreError> {
        let Some(state) = state else {
            return self.judge_all(terms, None).await;
        };
        let opened = progress::patiently("opening the state file", Store::open_read_only(state));
        let store = opened.await?;
        let found = self.judge_all(terms, Some(&store)).await;
        store.close().await;
        found
    }

    async fn judge_all(&self, terms: &Terms, store: Option<&Store>) -> Result<Found, StoreError> {
        let judge_each = async |steps: &Steps| self.judge_each(terms, store, steps).await;
        progress::counted("checking", self.files.len(), judge_each).await
    }

    async fn judge_each(&self, terms: &Terms, store: Option<&Store>, steps: &Steps) -> Result<Found, StoreError> {
        let mut found = Found::default();
        for path in &self.files {
            let name = show::plain(path);
            let code = match read(path) {
                Ok(bytes) => {
                    let seen = nonce_seen(store, &bytes).await?;
                    let judged = judge(&bytes, terms, seen);
                    match (self.json, self.files.len()) {
                        (true, _) => found.text += &show::lines(&[told::object(&name, &judged)]),
                        (false, 1) => found.text += &told::at_length(&name, &judged),
                        (false, _) => found.rows.push(told::row(&name, &judged)),
                    }
                    if let Revocations::Older(..) = judged.revocations
                        && !self.json
                    {
                        let told = judged.revocations.told();
                        found.notes.push(format!("{name}: revocations: {told}"));
                    }
                    judged.code()
                }
                Err(error) => {
                    let why = format!("{error:#}");
                    if self.json {
                        found.text += &show::lines(&[told::unreadable(&name, &why)]);
                    }
                    found.notes.push(format!("{name} {why}"));
                    UNREADABLE
                }
            };
            found.code = worse(found.code, code);
            steps.one_done().await;
        }
        Ok(found)
    }

    fn demands(&self, config: Option<&Config>) -> Demands {
        match config {
            Some(config) => crate::app::policy(config).demands,
            None => Demands {
                goodput_body: self.goodput_body,
                goodput_floor: self.goodput_floor,
                ..Demands::default()
            },
        }
    }
}

/// Whether the nonce in the file's challenge is another probe's as well; `None` when nobody can look. Nothing of the file is
/// checked yet: if it is not what it seems, it fails for that.
async fn nonce_seen(store: Option<&Store>, bytes: &[u8]) -> Result<Option<bool>, StoreError> {
    let challenge = Evidence::decode(bytes).ok().and_then(|evidence| evidence.challenge);
    let signed = challenge.and_then(|blob| Signed::<Challenge>::parse(&blob.0).ok());
    match (store, signed) {
        (Some(store), Some(signed)) => {
            let challenge = signed.dangerously_unverified();
            store
                .nonce_in_another(&challenge.nonce, &challenge.probe)
                .await
                .map(Some)
        }
        _ => Ok(None),
    }
}

/// Reads a file, one byte more than evidence can have at most: what is longer is refused without being read.
pub(super) fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let most = Evidence::MAX_BYTES as u64 + 1;
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        io::stdin().lock().take(most).read_to_end(&mut bytes)?;
        return Ok(bytes);
    }
    let file = File::open(path).context("cannot be opened")?;
    if file.metadata().is_ok_and(|about| about.is_dir()) {
        return Err(anyhow!("is a folder: name the files in it"));
    }
    file.take(most).read_to_end(&mut bytes).context("cannot be read")?;
    Ok(bytes)
}

/// A root key as people have it at hand.
fn root_key(text: &str) -> Result<PublicKey, String> {
    if text.starts_with("ed25519:") {
        return text.parse().map_err(|error| format!("{error}"));
    }
    let mut found = String::new();
    let read = File::open(text).and_then(|file| file.take(MOST_KEY).read_to_string(&mut found));
    read.map_err(|error| format!("neither ed25519:… nor a file that can be read ({error})"))?;
    let key = found.trim().parse();
    key.map_err(|error| format!("the file holds no public key ({error})"))
}

/// The beginning of the thumbprint of a peer, from what people have at hand.
fn peer(text: &str) -> Result<String, String> {
    if let Ok(key) = text.parse::<PublicKey>() {
        return Ok(key.thumbprint().to_string());
    }
    let id = text.strip_prefix("peer-").unwrap_or(text);
    let id = id.split('.').next().unwrap_or_default();
    if (26..=52).contains(&id.len()) && id.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'2'..=b'7')) {
        return Ok(id.to_owned());
    }
    Err("neither a peer's whole id, its own name nor its public key".to_owned())
}

/// Of several files the worst decides: what does not verify, what cannot be read, what is authentic and proves nothing.
const fn worse(one: u8, other: u8) -> u8 {
    const fn severity(code: u8) -> u8 {
        match code {
            super::NOT_VERIFIED => 3,
            UNREADABLE => 2,
            super::NOT_PROVED => 1,
            _ => 0,
        }
    }
    if severity(other) > severity(one) { other } else { one }
}

/// As for any command that a file does not allow.
const UNREADABLE: u8 = 3;
/// Bytes of a file that holds a public key.
const MOST_KEY: u64 = 1024;
const HELP: &str = "\
No network, configuration or state file is needed. One FILE is told at length: each check of \
proto/README.md (\"Verification\") with the values that it compared. Several are told in a line each.

Exit codes:
  0  every file verifies, and says that the peer was proved
  2  a mistake in the command line
  3  a file cannot be read
  4  a file is authentic, but its verdict is failed or inconclusive
  5  a file does not verify: changed, of another root or peer, or its proof does not hold
Of several files the worst decides: 5, then 3, then 4.

With --json, an object a file: kind (\"evidence\"), file, result (\"proved\", \"authentic\", \"invalid\", \
\"unreadable\"), why, bytes, sha256; of the signed verdict (null where it does not verify) peer, probe, \
at, outcome, standing, reason, expires; revocations (\"known\", \"unknown\" without a newer keyset, \
\"older\" when the one that was looked at is older than the file's own) and revocations_as_of, its time; \
of the proof (null without one) address, route, goodput; and checks, each with check, result (\"held\", \
\"failed\", \"taken\", \"left-out\", \"not-reached\"), reason, detail and compared: what, found, \
relation, must, held.";
