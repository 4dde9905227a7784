//! The foreign clients, as programs that fetch and tell what came.

use std::{
    io::{BufReader, Write},
    net::SocketAddr,
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio},
    sync::{Arc, Mutex},
};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Deserializer, StreamDeserializer, de::IoRead};
use tokio::task::spawn_blocking;

use crate::{
    programs::{built, run},
    within,
};

/// What one of them told about one request.
#[derive(Debug, Deserialize)]
pub(crate) struct Fetched {
    pub(crate) status: u16,
    pub(crate) length: usize,
    pub(crate) sha256: String,
    pub(crate) proxy_host: String,
    pub(crate) error: String,
}

/// What `peerscanner-check` told about one check.
#[derive(Debug, Deserialize)]
pub(crate) struct Checked {
    pub(crate) online: bool,
    pub(crate) connection_refused: bool,
    pub(crate) status: u16,
    pub(crate) reported_host: String,
    pub(crate) error: String,
}

/// Runs the client of the Go package enproxy, over TLS; true when it found each answer complete and a success.
pub(crate) async fn enproxy_get(proxy: SocketAddr, url: &str, flags: &[&str]) -> (bool, Vec<Fetched>) {
    let output = run(enproxy(proxy, url, flags)).await;
    (output.status.success(), told(&output))
}

/// Runs the client that does as the chained dialer did, with the server's certificate in `leaf`; true as above.
pub(crate) async fn connect_get(proxy: SocketAddr, leaf: &Path, url: &str, flags: &[&str]) -> (bool, Vec<Fetched>) {
    let output = run(connect(proxy, leaf, url, flags)).await;
    (output.status.success(), told(&output))
}

/// Has a peer checked as peerscanner did; true when it passed.
pub(crate) async fn peerscanner_check(peer: SocketAddr, name: &str, site: &str) -> (bool, Checked) {
    let mut command = Command::new(built("peerscanner-check"));
    command.args(["-peer", &peer.to_string(), "-name", name, "-site", site]);
    let output = run(command).await;
    let mut checks = told(&output);
    assert_eq!(checks.len(), 1, "{output:?}");
    (output.status.success(), checks.remove(0))
}

/// A client with one tunnel, through which it fetches as often as it is asked to.
pub(crate) struct Kept {
    child: Child,
    input: ChildStdin,
    told: Arc<Mutex<StreamDeserializer<'static, IoRead<BufReader<ChildStdout>>, Fetched>>>,
}

impl Kept {
    /// The client of the Go package enproxy.
    pub(crate) fn enproxy(proxy: SocketAddr, url: &str, flags: &[&str]) -> Self {
        Self::start(enproxy(proxy, url, flags))
    }

    /// The client that does as the chained dialer did.
    pub(crate) fn connect(proxy: SocketAddr, leaf: &Path, url: &str, flags: &[&str]) -> Self {
        Self::start(connect(proxy, leaf, url, flags))
    }

    /// Begins with one fetch; what came of it is the first to be told.
    fn start(mut command: Command) -> Self {
        let mut child = command
            .arg("-again")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self {
            input: child.stdin.take().unwrap(),
            child,
            told: Arc::new(Mutex::new(Deserializer::from_reader(output).into_iter())),
        }
    }

    /// Has it fetch once more.
    pub(crate) fn again(&mut self) {
        self.input.write_all(b"\n").unwrap();
    }

    /// What came of the next fetch.
    pub(crate) async fn next(&self) -> Fetched {
        let told = Arc::clone(&self.told);
        let next = spawn_blocking(move || told.lock().unwrap().next());
        within(next).await.unwrap().unwrap().unwrap()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn enproxy(proxy: SocketAddr, url: &str, flags: &[&str]) -> Command {
    let mut command = Command::new(built("enproxy-get"));
    command
        .args(["-tls", "-proxy", &proxy.to_string(), "-url", url])
        .args(flags);
    command
}

fn connect(proxy: SocketAddr, leaf: &Path, url: &str, flags: &[&str]) -> Command {
    let mut command = Command::new(built("connect-get"));
    command.args(["-proxy", &proxy.to_string(), "-url", url, "-leaf"]);
    command.arg(leaf).args(flags);
    command
}

fn told<T: DeserializeOwned>(output: &Output) -> Vec<T> {
    Deserializer::from_slice(&output.stdout)
        .into_iter()
        .collect::<Result<_, _>>()
        .unwrap_or_else(|error| panic!("{error}: {output:?}"))
}
