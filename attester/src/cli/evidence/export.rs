//! `attester evidence export`: the stored claims of a probe as they were signed, byte for byte.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::anyhow;
use clap::Args;
use proto::ids::{Digest, PeerId};
use serde_json::{Value, json};

use super::super::{
    ConfigFile, Failure,
    listing::not_one,
    progress::{self, Steps},
    runtime, show, with_store,
};
use super::{no_probe, probe_id, said, several_probes};
use crate::store::{Loaded, Lookup, ProbeRow, Store, StoreError};

#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(in crate::cli) struct Export {
    /// Its id or the beginning of it, its own name, its public key, its ip:port or its ip
    peer: String,
    /// The probe, or the beginning of its id, as `attester explain` lists them; the newest by default
    #[arg(long, value_name = "ID", value_parser = probe_id)]
    probe: Option<String>,
    /// Every stored probe of the peer, a file each
    #[arg(long, conflicts_with = "probe")]
    all: bool,
    /// The file to write, or - for standard output; with --all a folder. By default <peer id>-<probe id>.evidence here
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    file: ConfigFile,
    /// One JSON object a file instead of a text
    #[arg(long)]
    json: bool,
}

/// What is exported.
enum Asked {
    Found(PeerId, Loaded<ProbeRow>),
    NoPeer(Box<Lookup>),
}

impl Export {
    pub(super) fn run(&self) -> Result<ExitCode, Failure> {
        let to_stdout = self.out.as_deref() == Some(Path::new("-"));
        if self.all && to_stdout {
            let source = anyhow!("--all writes a file each: name a folder with --out, or leave it out");
            return Err(Failure::Config { source });
        }
        let config = self.file.load()?;
        let (peer, found) = match with_store(&config, async |store| self.ask(store).await)? {
            Asked::Found(peer, found) => (peer, found),
            Asked::NoPeer(lookup) => return Err(not_one(&self.peer, *lookup)),
        };
        let probes = self.chosen(&peer, found)?;
        if self.all {
            return self.write_all(&peer, &probes);
        }
        let Some(probe) = probes.first() else {
            return Err(nothing_stored(&peer));
        };
        if to_stdout {
            let mut out = io::stdout().lock();
            return match out.write_all(&probe.evidence).and_then(|()| out.flush()) {
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::output(error)),
                _ => Ok(ExitCode::SUCCESS),
            };
        }
        let path = self.out.clone().unwrap_or_else(|| file_name(&peer, probe).into());
        write_new(&path, &probe.evidence)?;
        self.tell(&path, probe, "wrote")?;
        Ok(ExitCode::SUCCESS)
    }

    async fn ask(&self, store: &Store) -> Result<Asked, StoreError> {
        let peer = match store.find(&self.peer).await? {
            Lookup::One(peer) => peer.id,
            other => return Ok(Asked::NoPeer(Box::new(other))),
        };
        let probes = match &self.probe {
            Some(prefix) => store.probes_named(&peer, prefix, 2).await?,
            None if self.all => store.probes(&peer, usize::MAX).await?,
            None => store.probes(&peer, NEWEST).await?,
        };
        Ok(Asked::Found(peer, probes))
    }

    /// The probes that have evidence; one of them, unless all were asked for.
    fn chosen(&self, peer: &PeerId, found: Loaded<ProbeRow>) -> Result<Vec<ProbeRow>, Failure> {
        for bad in &found.bad {
            show::say(&bad.to_string());
        }
        let rows = found.rows;
        match (&self.probe, rows.as_slice()) {
            (Some(id), []) => Err(no_probe(peer, id)),
            (Some(id), [_, _, ..]) => Err(several_probes(peer, id)),
            (Some(_), [probe]) if probe.evidence.is_empty() => Err(Failure::NotFound(format!(
                "probe {} has no evidence: its verdict could not be signed (see the attester's log)",
                probe.probe
            ))),
            _ => Ok(rows.into_iter().filter(|probe| !probe.evidence.is_empty()).collect()),
        }
    }

    fn write_all(&self, peer: &PeerId, probes: &[ProbeRow]) -> Result<ExitCode, Failure> {
        if probes.is_empty() {
            return Err(nothing_stored(peer));
        }
        let folder = self.out.clone().unwrap_or_else(|| PathBuf::from("."));
        if !folder.is_dir() {
            let source = anyhow!("--out {} is no folder: make it first", folder.display());
            return Err(Failure::Config { source });
        }
        let (mut written, mut there) = (0_usize, 0_usize);
        let write = async |steps: &Steps| -> Result<(), Failure> {
            for probe in probes {
                let path = folder.join(file_name(peer, probe));
                if fs::read(&path).is_ok_and(|bytes| bytes == probe.evidence) {
                    there += 1;
                } else {
                    write_new(&path, &probe.evidence)?;
                    written += 1;
                }
                if self.json {
                    self.tell(&path, probe, "")?;
                }
                steps.one_done().await;
            }
            Ok(())
        };
        runtime()?.block_on(progress::counted("writing", probes.len(), write))?;
        if !self.json {
            let again = match there {
                0 => String::new(),
                1 => "; 1 was there already".to_owned(),
                more => format!("; {more} were there already"),
            };
            let files = show::counted(written, "file");
            show::print(&format!("wrote {files} to {}{again}\n", show::plain(&folder)))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn tell(&self, path: &Path, probe: &ProbeRow, did: &str) -> Result<(), Failure> {
        if self.json {
            return show::print(&show::lines(&[object(path, probe)]));
        }
        let standing = said(&probe.evidence).map_or_else(String::new, |verdict| format!(", {}", verdict.standing));
        let reason = probe.reason.map_or_else(String::new, |reason| format!(" ({reason})"));
        show::print(&format!(
            "{did} {}\n  probe    {}\n  at       {}, {}\n  outcome  {}{reason}{standing}\n  bytes    {}\n  SHA-256  {}\n",
            show::plain(path),
            probe.probe,
            show::clock_time(probe.at),
            probe.route,
            probe.outcome,
            probe.evidence.len(),
            Digest::of(&probe.evidence),
        ))
    }
}

/// A file that was written, for programs.
fn object(path: &Path, probe: &ProbeRow) -> Value {
    json!({
        "kind": "evidence-file",
        "file": path.display().to_string(),
        "peer": probe.peer.as_str(),
        "probe": probe.probe.to_string(),
        "at": show::rfc3339(probe.at),
        "outcome": probe.outcome,
        "reason": probe.reason.map(|reason| reason.code()),
        "bytes": probe.evidence.len(),
        "sha256": Digest::of(&probe.evidence).to_string(),
    })
}

fn file_name(peer: &PeerId, probe: &ProbeRow) -> String {
    format!("{peer}-{}.evidence", probe.probe)
}

/// Writes a file that is not there yet, for its owner's eyes: evidence tells where a peer is.
fn write_new(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Failure::State {
            source: anyhow!(
                "{} exists, and is never overwritten: name another file with --out",
                path.display()
            ),
        },
        _ => Failure::State {
            source: anyhow::Error::new(error).context(format!("cannot create {}", path.display())),
        },
    })?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(|error| {
        // Half a file would look like evidence that was tampered with.
        let _ = fs::remove_file(path);
        Failure::State {
            source: anyhow::Error::new(error).context(format!("cannot write {}", path.display())),
        }
    })
}

fn nothing_stored(peer: &PeerId) -> Failure {
    Failure::NotFound(format!(
        "no evidence of {peer} is stored: it was not probed yet, or all of it was pruned (see [evidence] in the configuration)"
    ))
}

/// Probes among which the newest with evidence is looked for.
const NEWEST: usize = 64;
const HELP: &str = "\
The file holds the signed claims of one probe (proto/README.md, \"Evidence\"), and nothing else is needed \
to check it but the root's public key: attester evidence verify FILE --root KEY. It tells the peer's \
address; CONNECT tokens are never in it.
No file is overwritten; with --all, files that are there already with the same bytes are left alone.

With --json: kind \"evidence-file\", file, peer, probe, at, outcome, reason, bytes, sha256.";
