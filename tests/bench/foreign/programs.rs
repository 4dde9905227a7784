//! The Go programs that `tests/setup.sh foreign` builds.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use anyhow::{Context, ensure};
use proto::{
    ids::Pin,
    key::{PublicKey, SigningKey},
};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use serde::Deserialize;
use tempfile::TempDir;

use super::PATIENCE;
use crate::{samples::Samples, usage};

/// The server of the Go package enproxy, over TLS. Dropped, it is gone.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) pin: Pin,
    child: Child,
    _identity: TempDir,
}

impl Server {
    /// What it calls itself.
    const NAME: &str = "peer-a.bench.test";

    /// On one core, or wherever there is room.
    pub(super) fn start(core: Option<usize>) -> anyhow::Result<Self> {
        let identity = identity()?;
        let mut command = Command::new(built("enproxy-server")?);
        command
            .args(["-addr", "127.0.0.1:0", "-host", Self::NAME, "-tls-cert"])
            .arg(identity.path().join("tls.crt"))
            .arg("-tls-key")
            .arg(identity.path().join("tls.key"));
        Self::run(core, identity, command)
    }

    /// The peer around the same package with the agent inside; `attester` has its address and its root key, and the peer's own.
    pub(super) fn bundled(
        core: Option<usize>,
        attester: Option<(SocketAddr, PublicKey, SigningKey)>,
    ) -> anyhow::Result<Self> {
        let identity = identity()?;
        let mut command = Command::new(built("givepeer")?);
        command
            .args(["-allow-private", "-listen", "127.0.0.1:0", "-state"])
            .arg(identity.path());
        if let Some((address, root, key)) = attester {
            key.write_new(&identity.path().join("peer.key"))?;
            command.args(["-attester", &address.to_string(), "-root", &root.to_string()]);
        }
        Self::run(core, identity, command)
    }

    fn run(core: Option<usize>, identity: TempDir, mut command: Command) -> anyhow::Result<Self> {
        let program = command.get_program().display().to_string();
        // Some end when their input does.
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = pinned(core, move || command.spawn())??;
        let mut output = BufReader::new(child.stdout.take().context("its output is a pipe")?);
        let (told, first) = mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            // Nobody waits any more when it is too late.
            let _ = told.send(output.read_line(&mut line).map(|_| line));
            // What it says later must have somewhere to go.
            let _ = std::io::copy(&mut output, &mut std::io::sink());
        });
        let mut server = Self {
            address: ([0, 0, 0, 0], 0).into(),
            pin: Pin::of_certificate(&CertificateDer::from_pem_slice(KEYMAN_CERTIFICATE)?)?,
            child,
            _identity: identity,
        };
        let line = first
            .recv_timeout(PATIENCE)
            .with_context(|| format!("{program} says nothing"))??;
        let address = line.strip_prefix("listening ").map(str::trim);
        server.address = address.with_context(|| format!("{program} said {line:?}"))?.parse()?;
        Ok(server)
    }

    /// Its processor time so far.
    pub(super) fn cpu(&self) -> anyhow::Result<Duration> {
        usage::cpu_of(self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder with RSA-2048, made by the package that real peers make theirs with: an ECDSA key's handshakes would cost a server less.
fn identity() -> anyhow::Result<TempDir> {
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("tls.crt"), KEYMAN_CERTIFICATE)?;
    fs::write(folder.path().join("tls.key"), KEYMAN_KEY)?;
    Ok(folder)
}

/// Checks of a server as peerscanner made them, by the client of the Go package enproxy.
pub(super) struct Checks {
    peer: SocketAddr,
    site: String,
    times: usize,
    at_once: usize,
    core: Option<usize>,
}

/// What they took.
pub(super) struct Checked {
    /// One of them.
    pub(super) median_micros: f64,
    /// The whole process.
    pub(super) cpu: Duration,
}

#[derive(Deserialize)]
struct Line {
    online: bool,
    micros: u64,
    error: String,
}

impl Checks {
    pub(super) fn of(server: &Server, site: String, times: usize, at_once: usize) -> Self {
        Self {
            peer: server.address,
            site,
            times,
            at_once,
            core: None,
        }
    }

    /// On one core.
    pub(super) fn on(mut self, core: usize) -> Self {
        self.core = Some(core);
        self
    }

    pub(super) fn run(self) -> anyhow::Result<Checked> {
        let mut command = Command::new(built("peerscanner-check")?);
        command
            .args([
                "-peer",
                &self.peer.to_string(),
                "-name",
                Server::NAME,
                "-site",
                &self.site,
            ])
            .args([
                "-repeat",
                &self.times.to_string(),
                "-parallel",
                &self.at_once.to_string(),
            ])
            .stdin(Stdio::null());
        let before = usage::children_cpu()?;
        let output = pinned(self.core, move || command.output())??;
        let cpu = usage::children_cpu()?.saturating_sub(before);
        let lines: Vec<Line> = serde_json::Deserializer::from_slice(&output.stdout)
            .into_iter()
            .collect::<Result<_, _>>()?;
        let bad = lines.iter().find(|line| !line.online);
        ensure!(
            bad.is_none(),
            "a check by the Go client failed: {}",
            bad.map_or("", |line| &line.error)
        );
        ensure!(
            lines.len() == self.times,
            "the Go client told of {} checks",
            lines.len()
        );
        let times: Samples = lines.iter().map(|line| line.micros as f64).collect();
        Ok(Checked {
            median_micros: times.spread().context("there are checks")?.median,
            cpu,
        })
    }
}

/// Does something on a thread that is pinned to a core; processes that it starts are pinned with it.
fn pinned<T: Send + 'static>(
    core: Option<usize>,
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> anyhow::Result<std::io::Result<T>> {
    let Some(core) = core else { return Ok(work()) };
    let thread = std::thread::spawn(move || {
        usage::pin(core)?;
        anyhow::Ok(work())
    });
    thread.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?
}

fn built(name: &str) -> anyhow::Result<PathBuf> {
    let folder = match env::var_os("INTEROP_BIN") {
        Some(chosen) => PathBuf::from(chosen),
        // <target>/<profile>/bench
        None => env::current_exe()?
            .ancestors()
            .nth(2)
            .map(|target| target.join("interop-bin"))
            .context("this program is in a target directory")?,
    };
    let program = Path::new(&folder).join(name);
    ensure!(
        program.is_file(),
        "{} is missing: run tests/setup.sh foreign",
        program.display()
    );
    Ok(program)
}

const KEYMAN_CERTIFICATE: &[u8] = include_bytes!("../../../attester/src/flashlight/testdata/keyman-rsa.pem");
const KEYMAN_KEY: &[u8] = include_bytes!("../../../attester/src/flashlight/testdata/keyman-rsa.key.pem");
