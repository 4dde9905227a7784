//! The foreign servers: the real enproxy, the real http-proxy, and a stand-in for the one before it.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

use proto::ids::Pin;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use tempfile::TempDir;
use tokio::task::spawn_blocking;

use crate::{programs::built, within};

/// A server over TLS on loopback. Dropped, it is gone.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) pin: Pin,
    _running: Running,
    _identity: TempDir,
}

impl Server {
    /// The name that the enproxy server gives itself.
    pub(crate) const HOST: &str = "peer-go.zone.test";

    /// The server of the Go package enproxy.
    pub(crate) async fn enproxy() -> Self {
        Self::enproxy_with(&[]).await
    }

    /// The same, with these flags.
    pub(crate) async fn enproxy_with(flags: &[&str]) -> Self {
        Self::start("enproxy-server", identity(), &[&["-host", Self::HOST], flags].concat()).await
    }

    /// The server of the Go package http-proxy. The Go package keyman makes its key and its certificate, as a real peer's.
    pub(crate) async fn http_proxy(flags: &[&str]) -> Self {
        Self::start("http-proxy-server", tempfile::tempdir().unwrap(), flags).await
    }

    /// The stand-in for chained.Server of December 2014.
    pub(crate) async fn chained2014(flags: &[&str]) -> Self {
        Self::start("chained2014-server", identity(), flags).await
    }

    async fn start(program: &str, identity: TempDir, flags: &[&str]) -> Self {
        let certificate = identity.path().join("tls.crt");
        let mut child = Command::new(built(program))
            .args(["-addr", "127.0.0.1:0"])
            .args(["-tls-cert".as_ref(), certificate.as_os_str()])
            .args(["-tls-key".as_ref(), identity.path().join("tls.key").as_os_str()])
            .args(flags)
            // It ends when its input does: with this process, however that ends.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let running = Running(child);
        // keyman tells first what it makes.
        let told = spawn_blocking(|| {
            let mut lines = output.lines().map_while(Result::ok);
            lines.find_map(|line| line.strip_prefix("listening ").map(str::to_owned))
        });
        let address = within(told).await.unwrap();
        let certificate = CertificateDer::from_pem_file(certificate);
        Self {
            address: address
                .unwrap_or_else(|| panic!("{program} did not start"))
                .parse()
                .unwrap(),
            pin: Pin::of_certificate(&certificate.unwrap()).unwrap(),
            _running: running,
            _identity: identity,
        }
    }
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A peer's TLS key and certificate, as `tls.key` and `tls.crt` in a folder: RSA, as the Go package keyman made them for flashlight.
pub(crate) fn identity() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("tls.crt"), KEYMAN_CERTIFICATE).unwrap();
    fs::write(folder.path().join("tls.key"), KEYMAN_KEY).unwrap();
    folder
}

const KEYMAN_CERTIFICATE: &[u8] = include_bytes!("../../attester/src/flashlight/testdata/keyman-rsa.pem");
/// Such a key, of RSA.
pub(crate) const KEYMAN_KEY: &[u8] = include_bytes!("../../attester/src/flashlight/testdata/keyman-rsa.key.pem");
