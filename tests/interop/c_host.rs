//! A host in C with the agent inside, built with the sanitizers and run by valgrind: verified by an attester while 64 clients go to the very destination that its
//! probes go to.

use std::{
    collections::BTreeSet,
    env,
    io::{BufRead, BufReader, Write},
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
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
    let build = Build {
        flags: &["-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
        under: &[],
        way: "threads",
    };
    verified_paused_and_verified_again(&build, Options::quick(), 64).await;
}

/// The same, reported as the example does it, with fewer clients, and with time for a program that runs thirty times slower.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs valgrind"]
async fn a_host_in_c_is_verified_and_valgrind_finds_nothing() {
    let build = Build {
        flags: &[],
        way: "relay",
        under: &[
            "valgrind",
            "--quiet",
            "--error-exitcode=9",
            "--leak-check=full",
            "--errors-for-leak-kinds=definite,indirect",
            "--fair-sched=yes",
            concat!(
                "--suppressions=",
                env!("CARGO_MANIFEST_DIR"),
                "/../peer-agent/capi/tests/c/ring.supp"
            ),
        ],
    };
    let patient = Options {
        connect: Duration::from_secs(10),
        total: Duration::from_secs(20),
        receipt_within: Duration::from_secs(10),
        lease: Duration::from_secs(60),
        goodput_floor: 8 << 10,
        ..Options::quick()
    };
    verified_paused_and_verified_again(&build, patient, 8).await;
}

async fn verified_paused_and_verified_again(build: &Build, options: Options, clients: usize) {
    let cluster = Cluster::start(options).await.unwrap();
    let public = SocketAddr::from(([127, 77, 1, 1], cluster.port()));
    let identity = servers::identity();
    let mut host = Host::start(build, &cluster, public, identity.path());
    let _front = front(public, host.port, identity.path()).await;

    let store = cluster.store().await.unwrap();
    let verified = async || {
        let rows = store.peers().await.unwrap().rows;
        rows.into_iter()
            .find(|row| row.address == public && row.standing == VERIFIED)
    };
    let until = Instant::now() + Duration::from_secs(100);
    let row = loop {
        if let Some(row) = verified().await {
            break row;
        }
        assert!(Instant::now() < until, "it was not verified");
        tokio::time::sleep(Duration::from_millis(25)).await;
    };
    let proofs = async || {
        let probes = store.probes(&row.id, 1000).await.unwrap().rows;
        for probe in &probes {
            assert_eq!(probe.outcome, Outcome::Proved, "{:?} {}", probe.reason, probe.detail);
        }
        probes.len()
    };
    // Where the next probes go.
    let origin = cluster.addresses().origin;
    let served = Arc::<AtomicUsize>::default();
    let mut strangers = JoinSet::new();
    for _ in 0..clients {
        let served = Arc::clone(&served);
        strangers.spawn(async move {
            while stranger(public, origin).await.is_ok() {
                served.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let ask = async |more: usize| {
        let first = served.load(Ordering::Relaxed);
        let wanted = proofs().await + more;
        while proofs().await < wanted || served.load(Ordering::Relaxed) < first + 4 * clients {
            assert!(Instant::now() < until, "no more proofs came");
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    };
    ask(5).await;
    assert!(verified().await.is_some());

    // A rest, while clients go on, and back again.
    host.says_after("", "verified: ", until).await;
    let nobody = BTreeSet::<IpAddr>::new();
    host.order("p");
    cluster.wait_rotation(&nobody).await.unwrap();
    host.says_after("", "paused", until).await;
    host.order("r");
    cluster.wait_rotation(&BTreeSet::from([public.ip()])).await.unwrap();
    host.says_after("paused", "verified: ", until).await;
    host.order("tj");
    ask(1).await;

    // With their tunnels open.
    let (lines, watched, most) = within(spawn_blocking(move || host.stop())).await.unwrap();
    // Those of the probes, and strangers' beside them.
    let (proofs, served) = (proofs().await, served.load(Ordering::Relaxed));
    assert!(
        watched > proofs && most > 1,
        "{watched} flows were watched, {most} at once, of {proofs} probes and {served} strangers"
    );
    let object = lines.iter().find(|line| line.starts_with('{')).unwrap();
    let object: serde_json::Value = serde_json::from_str(object).unwrap();
    assert_eq!(object["state"], "verified", "{object}");
    assert!(object["valid_until"].is_u64() && object["reason"].is_null(), "{object}");
    strangers.shutdown().await;
    // It said goodbye.
    cluster.wait_rotation(&nobody).await.unwrap();
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
    said: Arc<Mutex<Vec<String>>>,
    /// Ends with its output.
    listening: Option<thread::JoinHandle<()>>,
    _folder: tempfile::TempDir,
}

impl Host {
    fn start(build: &Build, cluster: &Cluster, public: SocketAddr, identity: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = build.program(folder.path());
        let mut command = match build.under {
            [] => Command::new(program),
            [first, others @ ..] => {
                let mut command = Command::new(first);
                command.args(others).arg(program);
                command
            }
        };
        let mut process = command
            .arg(folder.path())
            .arg(cluster.root().to_string())
            .arg(cluster.addresses().session.to_string())
            .arg(public.to_string())
            .arg(identity.join("tls.crt"))
            .arg(public.ip().to_string())
            .arg(build.way)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap());
        let mut first = String::new();
        lines.read_line(&mut first).unwrap();
        let said = Arc::<Mutex<Vec<String>>>::default();
        let saying = Arc::clone(&said);
        let listening = thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                saying.lock().unwrap().push(line);
            }
        });
        Self {
            port: first.trim().strip_prefix("listening ").unwrap().parse().unwrap(),
            process,
            said,
            listening: Some(listening),
            _folder: folder,
        }
    }

    /// Tells it what to do, a letter for each order.
    fn order(&mut self, letters: &str) {
        let input = self.process.stdin.as_mut().unwrap();
        input.write_all(letters.as_bytes()).unwrap();
    }

    /// Waits for a line that starts so, after one that starts with `before`.
    async fn says_after(&self, before: &str, words: &str, until: Instant) {
        loop {
            let said = self.said.lock().unwrap().clone();
            let mut after = said.iter().skip_while(|line| !line.starts_with(before));
            if after.any(|line| line.starts_with(words)) {
                return;
            }
            assert!(Instant::now() < until, "no {words:?} after {before:?}: {said:#?}");
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }

    /// Ends it in order, and tells what it said, how many flows were watched, and how many at once.
    fn stop(&mut self) -> (Vec<String>, usize, usize) {
        drop(self.process.stdin.take());
        self.listening.take().unwrap().join().unwrap();
        let lines = self.said.lock().unwrap().clone();
        let status = self.process.wait().unwrap();
        assert!(status.success(), "{status}: {lines:#?}");
        let last = lines
            .last()
            .and_then(|line| line.strip_prefix("watched ")?.strip_suffix(" at once"));
        let (watched, most) = last.and_then(|last| last.split_once(", ")).unwrap();
        let (watched, most) = (watched.parse().unwrap(), most.parse().unwrap());
        (lines, watched, most)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// How the program is built and run.
struct Build {
    flags: &'static [&'static str],
    under: &'static [&'static str],
    way: &'static str,
}

impl Build {
    /// Builds the program with the static library that Cargo built beside this test.
    fn program(&self, folder: &Path) -> PathBuf {
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
            .args(self.flags)
            .arg("-I")
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
}
