//! The foreign programs: where they are, and how they run.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use proto::ids::Pin;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, KeyUsagePurpose};
use serde::Deserialize;
use tempfile::TempDir;
use tokio::task::spawn_blocking;

use crate::within;

/// The server of the Go package enproxy, over TLS on loopback. Dropped, it is gone.
pub(crate) struct EnproxyServer {
    pub(crate) address: SocketAddr,
    pub(crate) pin: Pin,
    child: Child,
    _identity: TempDir,
}

impl EnproxyServer {
    /// The name that it gives itself.
    pub(crate) const HOST: &str = "peer-go.zone.test";

    pub(crate) async fn start() -> Self {
        let program = built("enproxy-server");
        let (identity, pin) = identity();
        let mut child = Command::new(program)
            .args(["-addr", "127.0.0.1:0", "-host", Self::HOST])
            .args(["-tls-cert".as_ref(), identity.path().join("tls.crt").as_os_str()])
            .args(["-tls-key".as_ref(), identity.path().join("tls.key").as_os_str()])
            // It ends when its input does: with this process, however that ends.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut server = Self {
            address: ([0, 0, 0, 0], 0).into(),
            pin,
            child,
            _identity: identity,
        };
        let first_line = spawn_blocking(move || {
            let mut line = String::new();
            output.read_line(&mut line).map(|_| line)
        });
        let line = within(first_line).await.unwrap().unwrap();
        let address = line.strip_prefix("listening ").map(|rest| rest.trim().parse());
        server.address = address
            .unwrap_or_else(|| panic!("the server did not start; it said {line:?}"))
            .unwrap();
        server
    }
}

impl Drop for EnproxyServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What `enproxy-get` told about one request.
#[derive(Debug, Deserialize)]
pub(crate) struct Fetched {
    pub(crate) status: u16,
    pub(crate) length: usize,
    pub(crate) sha256: String,
    pub(crate) proxy_host: String,
    pub(crate) micros: u64,
    pub(crate) error: String,
}

/// Runs the client of the Go package enproxy, over TLS; true when it found each answer complete and a success.
pub(crate) async fn enproxy_get(proxy: SocketAddr, url: &str, flags: &[&str]) -> (bool, Vec<Fetched>) {
    let mut command = Command::new(built("enproxy-get"));
    command
        .args(["-tls", "-proxy", &proxy.to_string(), "-url", url])
        .args(flags);
    let output = run(command).await;
    let told = serde_json::Deserializer::from_slice(&output.stdout)
        .into_iter()
        .collect::<Result<_, _>>()
        .unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (output.status.success(), told)
}

/// Runs curl.
pub(crate) async fn curl(arguments: &[&str]) -> Output {
    let mut command = Command::new("curl");
    command
        .args(["--disable", "--silent", "--show-error", "--max-time", "30"])
        .args(arguments);
    // Settings of whoever runs the tests.
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().to_ascii_lowercase().ends_with("_proxy"))
    {
        command.env_remove(name);
    }
    run(command).await
}

/// Runs a program to its end.
pub(crate) async fn run(mut command: Command) -> Output {
    within(spawn_blocking(move || {
        command.stdin(Stdio::null()).output().unwrap_or_else(|error| {
            panic!(
                "{}: {error}: run tests/setup.sh foreign",
                command.get_program().display()
            )
        })
    }))
    .await
    .unwrap()
}

/// A program that `tests/setup.sh` built or installed.
pub(crate) fn built(name: &str) -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    // The script takes a relative folder from the workspace's.
    let folder = env::var_os("INTEROP_BIN").map_or_else(|| target.join("interop-bin"), |chosen| workspace.join(chosen));
    let program = folder.join(name);
    assert!(
        program.is_file(),
        "{} is missing: run tests/setup.sh foreign",
        program.display()
    );
    program
}

/// A TLS key and a certificate over it, as `tls.key` and `tls.crt` in a folder: CA:TRUE and without a name to check, as
/// flashlight makes them.
fn identity() -> (TempDir, Pin) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign];
    params.distinguished_name.push(DnType::CommonName, "127.0.0.1");
    let certificate = params.self_signed(&key).unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("tls.crt"), certificate.pem()).unwrap();
    fs::write(folder.path().join("tls.key"), key.serialize_pem()).unwrap();
    (folder, Pin::of_certificate(certificate.der()).unwrap())
}
