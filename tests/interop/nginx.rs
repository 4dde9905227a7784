//! nginx as a content network's edge: ends the TLS of an innocent name, finds peers by `Host` in the attester's DNS, buffers requests
//! and answers, cuts what stays silent.

use std::{
    fs,
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::Duration,
};

use attester::{
    flashlight::{Edge as EdgeName, End, Job, Limits, Prober, Sni, Stopwatch, Target},
    model::{Reason, Route},
};
use harness::{Behaviour, Cluster, Edge, Fronted, Options, Peer};
use proto::{
    claims::{Outcome, Path, Protocol},
    ids::{Digest, Pin},
};
use rand::{SeedableRng, rngs::StdRng};
use tempfile::TempDir;
use tokio::{net::TcpStream, time::sleep};

use crate::{origin::RealOrigin, servers::Server, site::Site, within};

/// A fronted peer is verified through it, end to end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nginx, see tests/setup.sh"]
async fn peers_are_verified_through_nginx() {
    for sni in [Sni::Absent, Sni::Masquerade] {
        // nginx wants to know the attester's DNS, and the attester nginx: its address is chosen first.
        let (folder, address) = (tempfile::tempdir().unwrap(), free());
        Edge::credentials(folder.path()).unwrap();
        let fronted = Fronted {
            edge: address,
            ca: folder.path().join("ca.pem"),
            sni,
            required: true,
        };
        let cluster = Cluster::start(Options {
            fronted: Some(fronted),
            ..Options::quick()
        })
        .await
        .unwrap();
        let upstream = format!(
            "resolver {} valid=1s ipv6=off;\nproxy_pass https://$host:{}$request_uri;",
            cluster.addresses().dns,
            cluster.port()
        );
        let nginx = Nginx::start(folder, address, &upstream).await;
        let peer = Peer::start(&cluster, 1, Behaviour::All).await.unwrap();
        cluster.wait_fate(&peer).await.unwrap();
        let fronted = Route {
            path: Path::Fronted,
            protocol: Protocol::Enproxy,
        };
        let probes = cluster.probes(&peer).await.unwrap();
        let through = |outcome| {
            probes
                .iter()
                .any(|probe| probe.route == fronted && probe.outcome == outcome)
        };
        assert!(through(Outcome::Proved), "{probes:?}");
        assert!(!through(Outcome::Inconclusive), "{probes:?}");
        assert!(nginx.log().contains(&peer.id().own_name("peers.test")));
    }
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
    assert!(finding.detail().contains("504"), "{finding}");
    assert_eq!(exchange.received_digest, Digest::of(b""));
}

/// It runs until it is dropped.
struct Nginx {
    address: SocketAddr,
    child: Child,
    folder: TempDir,
}

impl Nginx {
    /// In front of one peer, whatever the `Host`.
    async fn before(peer: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Edge::credentials(folder.path()).unwrap();
        Self::start(folder, free(), &format!("proxy_pass https://{peer};")).await
    }

    async fn start(folder: TempDir, address: SocketAddr, upstream: &str) -> Self {
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
             server {{\n\
             listen {address} ssl;\n\
             ssl_certificate {place}/edge.crt; ssl_certificate_key {place}/edge.key;\n\
             location / {{\n\
             {upstream}\n\
             proxy_http_version 1.1; proxy_set_header Host $host; proxy_set_header Connection \"\";\n\
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

    /// The hosts that it was asked for, with the statuses that it answered.
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

/// A port of loopback that was free a moment ago; nginx cannot choose one.
fn free() -> SocketAddr {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap()
}
