//! nginx as a content network's edge: ends the TLS of an innocent name, finds peers by `Host` in the attester's DNS, buffers requests
//! and answers, cuts what stays silent.

use std::{
    fs,
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::Duration,
};

use attester::{
    decide::VERIFIED,
    flashlight::{Edge as EdgeName, End, Job, Limits, Prober, Sni, Stopwatch, Target},
    model::{Reason, Route},
    store::ProbeRow,
};
use harness::{Behaviour, Cluster, Edge, Fronted, Options, Peer, programs::Program};
use proto::{
    claims::{Outcome, Path, Protocol},
    ids::{Digest, Pin},
};
use rand::{SeedableRng, rngs::StdRng};
use tempfile::TempDir;
use tokio::{net::TcpStream, task::spawn_blocking, time::sleep};

use crate::{front::Front, origin::RealOrigin, programs::run, servers::Server, site::Site, within};

/// A fronted peer is verified through it, end to end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nginx, see tests/setup.sh"]
async fn peers_are_verified_through_nginx() {
    for (sni, shown) in [(Sni::Absent, "-"), (Sni::Masquerade, Edge::NAME)] {
        // nginx wants to know the attester's DNS, and the attester nginx: its address is chosen first.
        let (folder, address) = (credentials(), free());
        let cluster = cluster(&folder, address, sni, |_| {}).await;
        let upstream = format!(
            "resolver {} valid=1s ipv6=off;\nproxy_pass https://$host:{}$request_uri;",
            cluster.addresses().dns,
            cluster.port()
        );
        let nginx = Nginx::start(folder, address, &upstream).await;
        let peer = Peer::start(&cluster, 1, Behaviour::All).await.unwrap();
        cluster.wait_fate(&peer).await.unwrap();
        let probes = cluster.probes(&peer).await.unwrap();
        assert!(through(&probes, Outcome::Proved) > 0, "{probes:?}");
        assert_eq!(through(&probes, Outcome::Inconclusive), 0, "{probes:?}");
        // It saw no other name than that of the peer, and of itself only what clients of that time told.
        let line = format!("{} 200 {shown}", peer.id().own_name("peers.test"));
        let log = nginx.log();
        assert!(!log.is_empty() && log.lines().all(|asked| asked == line), "{log}");
    }
}

/// nginx cuts what stays silent on its way from a peer. Nobody can know whose fault that is, so it is nobody's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nginx, see tests/setup.sh"]
async fn a_member_stays_one_while_nginx_cuts_its_answers() {
    let (folder, address) = (credentials(), free());
    // Every tenth probe of a member goes through the edge.
    let often = |options: &mut Options| options.interval = Duration::from_millis(400);
    let cluster = cluster(&folder, address, Sni::Masquerade, often).await;
    let peer = Peer::start(&cluster, 1, Behaviour::Enproxy).await.unwrap();
    let way = Front::of(peer.address()).await;
    let nginx = Nginx::start(folder, address, &format!("proxy_pass https://{};", way.address)).await;
    cluster.wait_fate(&peer).await.unwrap();

    let (watcher, before) = (cluster.watch(), cluster.probes(&peer).await.unwrap());
    way.silence(true);
    let probes = cluster
        .wait_probes(&peer, "one whose answer nginx cut", |probes| {
            through(probes, Outcome::Inconclusive) > through(&before, Outcome::Inconclusive)
        })
        .await
        .unwrap();
    let cut = probes.iter().filter(|probe| probe.outcome == Outcome::Inconclusive);
    let last = cut.max_by_key(|probe| probe.at).unwrap();
    assert_eq!(last.reason, Some(Reason::Edge));
    assert!(last.detail.contains("504"), "{last:?}");
    let line = format!("{} 504 {}", peer.id().own_name("peers.test"), Edge::NAME);
    assert!(nginx.log().lines().any(|asked| asked == line), "{}", nginx.log());

    way.silence(false);
    cluster
        .wait_probes(&peer, "a proof through nginx, later", |probes| {
            let proof = |probe: &ProbeRow| probe.route == FRONTED && probe.outcome == Outcome::Proved;
            probes.iter().any(|probe| proof(probe) && probe.at > last.at)
        })
        .await
        .unwrap();
    let probes = cluster.probes(&peer).await.unwrap();
    assert!(
        probes.iter().all(|probe| probe.outcome != Outcome::Failed),
        "{probes:?}"
    );
    assert_eq!(cluster.record(&peer).await.unwrap().standing, VERIFIED);
    assert!(watcher.finish().await.unwrap().always.contains(&peer.address().ip()));
}

/// The real Go server behind it, by both forms, small answers and large ones.
#[tokio::test]
#[ignore = "needs nginx and the Go programs of tests/setup.sh"]
async fn the_real_server_is_probed_through_nginx() {
    let (server, origin) = (Server::enproxy().await, RealOrigin::start().await);
    let nginx = Nginx::before(server.address).await;
    let mut rng = StdRng::seed_from_u64(1);
    for protocol in [Protocol::Enproxy, Protocol::EnproxyPath] {
        for body in [1 << 10, 256 << 10] {
            let probe = origin.probe(protocol, body, &mut rng);
            let prober = Prober::new(None, Limits::default());
            let target = nginx.target(Server::HOST);
            let exchange = within(prober.exchange(&target, &probe.job, Stopwatch::start(), &mut rng)).await;
            let source = origin.check(&probe, &exchange);
            assert_eq!(source.ip(), server.address.ip());
            assert_eq!(exchange.proxy_host.as_deref(), Some(Server::HOST));
        }
    }
    // Under any other name the peer says that it is another.
    let probe = origin.probe(Protocol::Enproxy, 1 << 10, &mut rng);
    let prober = Prober::new(None, Limits::default());
    let target = nginx.target("peer-other.zone.test");
    let exchange = within(prober.exchange(&target, &probe.job, Stopwatch::start(), &mut rng)).await;
    assert_eq!(exchange.failure.unwrap().reason, Reason::ProxyHost);
}

/// What stays silent is cut: the tunnel behind it is whole, and a client cannot know.
#[tokio::test]
#[ignore = "needs nginx and the Go programs of tests/setup.sh"]
async fn a_silent_answer_is_cut_by_nginx_and_told() {
    let (server, site) = (Server::enproxy().await, Site::silent().await);
    let nginx = Nginx::before(server.address).await;
    let job = Job {
        protocol: Protocol::Enproxy,
        destination: site.address.to_string().parse().unwrap(),
        request: b"GET /10 HTTP/1.1\r\n\r\n".to_vec(),
        expected_down: 10,
    };
    let prober = Prober::new(None, Limits::default());
    let target = nginx.target(Server::HOST);
    let mut rng = StdRng::seed_from_u64(1);
    let exchange = within(prober.exchange(&target, &job, Stopwatch::start(), &mut rng)).await;
    let finding = exchange.failure.unwrap();
    assert_eq!(finding.reason, Reason::FirstByteClosed, "{finding}");
    assert!(finding.detail().contains("504"), "{finding}");
    assert_eq!(exchange.received_digest, Digest::of(b""));
    // The write was answered, empty, and the read was cut.
    let lines = [200, 504].map(|status| format!("{} {status} {}\n", Server::HOST, Edge::NAME));
    let expected = lines.concat();
    // It writes its log after the answer.
    within(async {
        while nginx.log().len() < expected.len() {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert_eq!(nginx.log(), expected);
}

/// `attester probe --edge`, typed at a real Go server behind it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nginx and the Go programs of tests/setup.sh"]
async fn the_real_server_is_probed_through_nginx_from_the_command_line() {
    let program = spawn_blocking(|| Program::Attester.path()).await.unwrap().unwrap();
    let server = Server::enproxy().await;
    let nginx = Nginx::before(server.address).await;
    let (at, ca) = (nginx.address.to_string(), nginx.folder.path().join("ca.pem"));
    let ca = ca.to_str().unwrap();
    for (host, sni, shown, status, outcome) in [
        (Server::HOST, "none", "-", 0, ["carried", ""]),
        (Server::HOST, "name", Edge::NAME, 0, ["carried", ""]),
        // Whose answers would be another peer's, and it may be the edge that leads to it.
        (
            "peer-other.zone.test",
            "name",
            Edge::NAME,
            7,
            ["inconclusive", "proxy-host"],
        ),
    ] {
        let edge = ["--edge", &at, "--edge-name", Edge::NAME, "--edge-ca", ca, "--sni", sni];
        let mut command = Command::new(&program);
        command.current_dir(nginx.folder.path());
        command
            .args(["probe", host, "--origin=127.0.0.1:0", "--json"])
            .args(edge);
        let output = within(run(command)).await;
        let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(status), "{told}");
        let seen = ["outcome", "reason"].map(|key| told[key].as_str().unwrap_or_default());
        assert_eq!(seen, outcome, "{told}");
        assert_eq!(
            (&told["path"], &told["proxy_host"]),
            (&"fronted".into(), &Server::HOST.into())
        );
        let log = nginx.log();
        assert_eq!(log.lines().last(), Some(&*format!("{host} 200 {shown}")), "{log}");
    }
}

/// An attester whose peers are behind an edge at this address.
async fn cluster(folder: &TempDir, edge: SocketAddr, sni: Sni, change: impl FnOnce(&mut Options)) -> Cluster {
    let fronted = Fronted {
        edge,
        ca: folder.path().join("ca.pem"),
        sni,
        required: true,
    };
    let mut options = Options {
        fronted: Some(fronted),
        ..Options::quick()
    };
    change(&mut options);
    Cluster::start(options).await.unwrap()
}

/// How many probes through the edge ended so.
fn through(probes: &[ProbeRow], outcome: Outcome) -> usize {
    let fits = |probe: &&ProbeRow| probe.route == FRONTED && probe.outcome == outcome;
    probes.iter().filter(fits).count()
}

/// It runs until it is dropped.
pub(crate) struct Nginx {
    pub(crate) address: SocketAddr,
    child: Child,
    folder: TempDir,
}

impl Nginx {
    /// In front of one peer, whatever the `Host`.
    async fn before(peer: SocketAddr) -> Self {
        Self::start(credentials(), free(), &format!("proxy_pass https://{peer};")).await
    }

    /// A site that returns the same text for every path, and tells no version.
    pub(crate) async fn of_one_page(text: &str) -> Self {
        Self::start(credentials(), free(), &format!("return 200 '{text}';")).await
    }

    async fn start(folder: TempDir, address: SocketAddr, does: &str) -> Self {
        let place = folder.path().display();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {place}/{kind};\n"))
            .concat();
        let user = if nix::unistd::geteuid().is_root() {
            "user root;"
        } else {
            ""
        };
        let configuration = format!(
            "daemon off; {user} worker_processes 1; pid {place}/pid; error_log {place}/error.log;\n\
             events {{ worker_connections 256; }}\n\
             http {{\n\
             log_format hosts '$host $status $ssl_server_name';\n\
             access_log {place}/access.log hosts;\n\
             {temporary}\
             server_tokens off; default_type text/html;\n\
             server {{\n\
             listen {address} ssl;\n\
             ssl_certificate {place}/edge.crt; ssl_certificate_key {place}/edge.key;\n\
             location / {{\n\
             {does}\n\
             proxy_http_version 1.1; proxy_set_header Host $host; proxy_set_header Connection \"\";\n\
             proxy_ssl_protocols TLSv1.2 TLSv1.3;\n\
             proxy_buffering on; proxy_request_buffering on; proxy_read_timeout 2s;\n\
             }}\n}}\n}}\n"
        );
        let file = folder.path().join("nginx.conf");
        fs::write(&file, configuration).unwrap();
        let log = fs::File::create(folder.path().join("output")).unwrap();
        let child = Command::new("nginx")
            .args([
                "-p".as_ref(),
                folder.path().as_os_str(),
                "-c".as_ref(),
                file.as_os_str(),
            ])
            .args(["-e", "stderr"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("nginx: {error}: run tests/setup.sh foreign"));
        let mut nginx = Self { address, child, folder };
        within(async {
            while TcpStream::connect(address).await.is_err() {
                let ended = nginx.child.try_wait().unwrap();
                let output = || fs::read_to_string(nginx.folder.path().join("output")).unwrap();
                assert!(ended.is_none(), "nginx did not start: {}", output());
                sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        nginx
    }

    /// A peer behind it.
    fn target(&self, host: &str) -> Target {
        let ca = fs::read(self.folder.path().join("ca.pem")).unwrap();
        let edge = EdgeName::new(Edge::NAME, Sni::Masquerade, Some(&ca)).unwrap();
        Target {
            end: End::Edge(edge),
            host: Some(host.to_owned()),
            ..Target::pinned(self.address, Pin::from_bytes([0; 32]))
        }
    }

    /// For each request its host, the status of the answer, and the name in the ClientHello.
    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("access.log")).unwrap()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder with an edge's key, certificate and CA.
fn credentials() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    Edge::credentials(folder.path()).unwrap();
    folder
}

/// A port of loopback that was free a moment ago; nginx cannot choose one.
fn free() -> SocketAddr {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap()
}

const FRONTED: Route = Route {
    path: Path::Fronted,
    protocol: Protocol::Enproxy,
};
