//! Who checks evidence elsewhere.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context, ensure};
use attester::{model::Reason, store::ProbeRow};
use harness::{Cluster, Peer, programs::Program};
use proto::{claims::Outcome, key::PublicKey};
use serde_json::Value;
use tempfile::TempDir;

/// Somebody with a folder, the program and a root key.
pub(super) struct Auditor {
    folder: TempDir,
    program: PathBuf,
    pub(super) root: PublicKey,
}

pub(super) struct Ran {
    pub(super) code: i32,
    pub(super) out: String,
    pub(super) err: String,
}

impl Auditor {
    /// With a configuration that names the cluster's state, for exports.
    pub(super) fn of(cluster: &Cluster) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let state = cluster.config().attester.state.display().to_string();
        let config = format!(
            "[attester]\nstate = {state:?}\n[origin]\ndestination = \"origin.example:80\"\n[dns]\nzone = \"{}\"\n",
            cluster.options().zone
        );
        fs::write(folder.path().join("attester.toml"), config)?;
        Ok(Self {
            folder,
            program: Program::Attester.path()?,
            root: cluster.root(),
        })
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn run(&self, arguments: &[&str]) -> anyhow::Result<Ran> {
        let mut command = Command::new(&self.program);
        let output = command.args(arguments).current_dir(self.folder.path()).output()?;
        Ok(Ran {
            code: output.status.code().context("a code")?,
            out: String::from_utf8(output.stdout)?,
            err: String::from_utf8(output.stderr)?,
        })
    }

    /// Exports a probe to a file of its own.
    pub(super) fn export(&self, probe: &ProbeRow) -> anyhow::Result<String> {
        let name = format!("{}.evidence", probe.probe);
        let id = probe.probe.to_string();
        let ran = self.run(&[
            "evidence",
            "export",
            probe.peer.as_str(),
            "--probe",
            &id,
            "--out",
            &name,
        ])?;
        ensure!(ran.code == 0, "{}", ran.err);
        ensure!(
            ran.out.contains(&id) && ran.out.contains(probe.outcome.as_str()),
            "{}",
            ran.out
        );
        ensure!(
            fs::read(self.path(&name))? == probe.evidence,
            "other bytes were exported"
        );
        Ok(name)
    }

    pub(super) fn verify(&self, arguments: &[&str]) -> anyhow::Result<Ran> {
        let root = self.root.to_string();
        self.run(&[&["evidence", "verify", "--root", &root], arguments].concat())
    }

    /// The same with `--json`: the code, and an object a file.
    pub(super) fn judged(&self, arguments: &[&str]) -> anyhow::Result<(i32, Vec<Value>)> {
        let ran = self.verify(&[arguments, &["--json"]].concat())?;
        let objects: Result<Vec<Value>, _> = ran.out.lines().map(serde_json::from_str).collect();
        Ok((ran.code, objects?))
    }
}

/// The newest probe of a peer with this outcome and reason.
pub(super) async fn probe(
    cluster: &Cluster,
    peer: &Peer,
    outcome: Outcome,
    reason: Option<Reason>,
) -> anyhow::Result<ProbeRow> {
    let probes = cluster.probes(peer).await?;
    let found = probes
        .into_iter()
        .find(|probe| probe.outcome == outcome && probe.reason == reason);
    found.with_context(|| format!("{peer} has no probe that {outcome} for {reason:?}"))
}
