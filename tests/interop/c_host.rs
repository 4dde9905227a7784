//! A host in C with the agent inside, built with the sanitizers: verified by an attester while 64 clients go to the very destination that its
//! probes go to.

use std::{
    env,
    io::{BufRead, BufReader},
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use attester::decide::VERIFIED;
use harness::{Cluster, Options, tls};
use proto::claims::Outcome;
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::{JoinSet, spawn_blocking},
    time::Instant,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;

use crate::{servers, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a C compiler with AddressSanitizer"]
async fn a_host_in_c_is_verified_and_the_sanitizers_find_nothing() {
    let cluster = Cluster::start(Options::quick()).await.unwrap();
    let public = SocketAddr::from(([127, 77, 1, 1], cluster.port()));
    let identity = servers::identity();
    let mut host = Host::start(&cluster, public, identity.path());
    let _front = front(public, host.port, identity.path()).await;

    let store = cluster.store().await.unwrap();
    let verified = async || {
        let rows = store.peers().await.unwrap().rows;
        rows.into_iter()
            .find(|row| row.address == public && row.standing == VERIFIED)
    };
    let mut clients = JoinSet::new();
    let until = Instant::now() + Duration::from_secs(50);
    let row = loop {
        if let Some(row) = verified().await {
            break row;
        }
        assert!(Instant::now() < until, "it was not verified");
        tokio::time::sleep(Duration::from_millis(25)).await;
    };
    let proofs = async || {
        let probes = store.probes(&row.id, 1000).await.unwrap().rows;
        assert!(
            probes.iter().all(|probe| probe.outcome == Outcome::Proved),
            "{probes:?}"
        );
        probes.len()
    };
    let before = proofs().await;
    // Where the next probes go.
    let origin = cluster.addresses().origin;
    let served = Arc::<AtomicUsize>::default();
    for _ in 0..64 {
        let served = Arc::clone(&served);
        clients.spawn(async move {
            while stranger(public, origin).await.is_ok() {
                served.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    while proofs().await < before + 5 || served.load(Ordering::Relaxed) < 256 {
        assert!(Instant::now() < until, "no more proofs came");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    assert!(verified().await.is_some());
    // With their tunnels open.
    let watched = within(spawn_blocking(move || host.stop())).await.unwrap();
    let served = served.load(Ordering::Relaxed);
    assert!(
        watched >= before + 5,
        "{watched} flows were watched, {served} strangers served"
    );
    clients.shutdown().await;
    // It said goodbye.
    cluster
        .wait_rotation(&std::collections::BTreeSet::<IpAddr>::new())
        .await
        .unwrap();
}

/// A client that asks the origin for something else, through the peer.
async fn stranger(peer: SocketAddr, destination: SocketAddr) -> anyhow::Result<()> {
    let stream = TcpStream::connect(peer).await?;
    let mut stream = tls::connector(&[])?.connect(tls::no_name(), stream).await?;
    let ask = format!("CONNECT {destination} HTTP/1.1\r\nHost: {destination}\r\n\r\n");
    stream.write_all(ask.as_bytes()).await?;
    let mut answer = [0; 19];
    stream.read_exact(&mut answer).await?;
    stream
        .write_all(b"GET /nothing HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await?;
    stream.read_to_end(&mut Vec::new()).await?;
    Ok(())
}

/// Ends TLS before the host, with the certificate that it tells the agent.
async fn front(public: SocketAddr, port: u16, identity: &Path) -> AbortOnDropHandle<()> {
    let certificate = CertificateDer::from_pem_file(identity.join("tls.crt")).unwrap();
    let key = PrivateKeyDer::from_pem_file(identity.join("tls.key")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind(public).await.unwrap();
    AbortOnDropHandle::new(tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut outside = acceptor.accept(stream).await?;
                let mut inside = TcpStream::connect(("127.0.0.1", port)).await?;
                copy_bidirectional(&mut outside, &mut inside).await
            });
        }
    }))
}

/// The host's process.
struct Host {
    port: u16,
    process: Child,
    lines: Option<BufReader<std::process::ChildStdout>>,
    _folder: tempfile::TempDir,
}

impl Host {
    fn start(cluster: &Cluster, public: SocketAddr, identity: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = build(folder.path());
        let mut process = Command::new(program)
            .arg(folder.path())
            .arg(cluster.root().to_string())
            .arg(cluster.addresses().session.to_string())
            .arg(public.to_string())
            .arg(identity.join("tls.crt"))
            .arg(public.ip().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap());
        let mut first = String::new();
        lines.read_line(&mut first).unwrap();
        Self {
            port: first.trim().strip_prefix("listening ").unwrap().parse().unwrap(),
            process,
            lines: Some(lines),
            _folder: folder,
        }
    }

    /// Ends it in order, and tells how many flows were watched.
    fn stop(&mut self) -> usize {
        drop(self.process.stdin.take());
        let lines: Vec<String> = self.lines.take().unwrap().lines().map_while(Result::ok).collect();
        let status = self.process.wait().unwrap();
        assert!(status.success(), "{status}: {lines:#?}");
        assert!(lines.iter().any(|line| line.starts_with("verified: ")), "{lines:#?}");
        let last = lines.last().and_then(|line| line.strip_prefix("watched "));
        last.unwrap_or_else(|| panic!("{lines:#?}")).parse().unwrap()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Builds the program with the static library that Cargo built beside this test.
fn build(folder: &Path) -> PathBuf {
    let capi = Path::new(env!("CARGO_MANIFEST_DIR")).join("../peer-agent/capi");
    let program = folder.join("host");
    let output = Command::new(env::var("CC").unwrap_or_else(|_| "cc".to_owned()))
        .args([
            "-std=c11",
            "-D_POSIX_C_SOURCE=200809L",
            "-g",
            "-Wall",
            "-Wextra",
            "-Werror",
        ])
        .args(["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-I"])
        .arg(capi.join("include"))
        .arg(capi.join("tests/c/host.c"))
        .arg(env::current_exe().unwrap().with_file_name("libpeer_agent_c.a"))
        .args(["-pthread", "-ldl", "-lm", "-o"])
        .arg(&program)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    program
}
