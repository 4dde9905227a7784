//! The agent bundled into Go peers: the templates around the real enproxy and around a CONNECT proxy, verified by an attester with
//! its default figures for admission, and one whose proxy drops every third stream, which is not. Where memory is not looked at they
//! are built with the race detector, which ends a program that has a race.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use attester::{
    decide::{Rules, VERIFIED},
    model::Reason,
    plan::Pace,
    store::{PeerRow, ProbeRow},
};
use harness::{Cluster, Options};
use proto::{
    claims::{Outcome, Protocol},
    evidence::Evidence,
};
use tempfile::TempDir;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    time::{Instant, sleep},
};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    programs::{built, curl},
    site::Site,
};

/// The two honest ones are verified with receipts over announced probes, by no more probes than admission asks for, and are in the
/// rotation; the third never is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the Go programs of tests/setup.sh"]
async fn honest_go_peers_are_admitted_and_one_that_drops_every_third_stream_is_not() {
    let cluster = Cluster::start(by_default()).await.unwrap();
    let watcher = cluster.watch();
    let dropping = GoPeer::start(&cluster, 3, "race/testpeer", &["-drop", "3"]);
    let enproxy = GoPeer::start(&cluster, 1, "race/givepeer", &["-allow-private"]);
    let connect = GoPeer::start(
        &cluster,
        2,
        "race/givepeer-connect",
        &["-allow-private", "-token", "sekrit"],
    );
    let honest = [&enproxy, &connect].map(|peer| peer.public.ip());
    cluster.wait_rotation(&BTreeSet::from(honest)).await.unwrap();
    for (peer, protocols) in [
        (&enproxy, &[Protocol::Enproxy, Protocol::EnproxyPath][..]),
        (&connect, &[Protocol::Connect]),
    ] {
        peer.says("verified: clients are sent to this peer").await;
        let (row, probes) = peer.record(&cluster).await;
        assert_eq!((row.standing.as_str(), row.reason), (VERIFIED, None));
        // Not one failed: it was as quick as the spacing of three proofs allows.
        assert_eq!(probes.len(), 3, "{probes:?}");
        for probe in &probes {
            assert_eq!(probe.outcome, Outcome::Proved, "{probe:?}");
            let evidence = Evidence::decode(&probe.evidence).unwrap();
            assert!(evidence.announcement.is_some() && evidence.receipt.is_some());
        }
        let proven: BTreeSet<_> = probes.iter().map(|probe| probe.route.protocol).collect();
        assert_eq!(proven, protocols.iter().copied().collect());
    }

    dropping.says("refused: probes failed").await;
    let (row, probes) = dropping.record(&cluster).await;
    assert_eq!(row.standing, "refused");
    let reason = row.reason.unwrap();
    assert!(
        [Reason::FirstByteClosed, Reason::TunnelRefused].contains(&reason),
        "{reason}: {probes:?}"
    );
    dropping.says(reason.remedy()).await;
    assert!(probes.iter().any(|probe| probe.outcome == Outcome::Proved));
    let seen = watcher.finish().await.unwrap();
    assert!(!seen.ever.contains(&dropping.public.ip()), "{seen:?}");
}

/// Its owner pauses: it leaves the rotation and serves on; and comes back when it is told to. In the end it says goodbye.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the Go programs of tests/setup.sh"]
async fn a_go_peer_rests_and_comes_back() {
    let cluster = Cluster::start(by_default()).await.unwrap();
    let peer = GoPeer::start(&cluster, 1, "race/testpeer", &[]);
    let (rotation, nobody) = (BTreeSet::from([peer.public.ip()]), BTreeSet::new());
    cluster.wait_rotation(&rotation).await.unwrap();
    peer.says("verified: ").await;
    peer.types("pause");
    cluster.wait_rotation(&nobody).await.unwrap();
    peer.says("paused").await;
    peer.types("resume");
    cluster.wait_rotation(&rotation).await.unwrap();
    peer.says_after("paused", "verified: ").await;
    // It cost nothing: no probe failed, and none was lost.
    let (row, probes) = peer.record(&cluster).await;
    assert_eq!((row.standing.as_str(), row.reason), (VERIFIED, None));
    assert!(
        probes.iter().all(|probe| probe.outcome == Outcome::Proved),
        "{probes:?}"
    );
    peer.types("close");
    peer.says_after("paused", "stopped").await;
    cluster.wait_rotation(&nobody).await.unwrap();
}

/// A volunteer whose port is closed reads what to do; with a router that maps another port, both ports; and once it is done, Enter is
/// enough.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the Go programs of tests/setup.sh"]
async fn a_volunteer_is_told_what_to_do_and_is_verified_when_it_is_done() {
    let cluster = Cluster::start(by_default()).await.unwrap();
    let public = GoPeer::address(&cluster, 1);
    let inside = SocketAddr::new(public.ip(), 0);
    let peer = GoPeer::at(&cluster, inside, public, "race/givepeer", &["-allow-private"]);
    // Another's router would forward the same port, to a machine with an address of its own.
    let elsewhere = GoPeer::address(&cluster, 2);
    let same = SocketAddr::from(([127, 77, 2, 2], elsewhere.port()));
    let unmapped = GoPeer::at(&cluster, same, elsewhere, "race/givepeer", &["-allow-private"]);
    let told = unmapped.says("forward it on your router").await;
    assert!(
        told.starts_with("rejected: ") && !told.contains("of this machine"),
        "{told}"
    );

    let told = peer.says("forward it on your router").await;
    assert!(told.starts_with("rejected: "), "{told}");
    let ports = format!(
        "the router must forward TCP port {} to port {} of this machine",
        public.port(),
        peer.served.port()
    );
    assert!(told.contains(&ports), "{told}");
    // Both routers' owners do so, and one of the volunteers presses Enter. By itself an agent tries again after a minute: the other's, which was
    // told no sooner, has not yet when this one is in the rotation.
    let _routers = (
        forward(public, peer.served).await,
        forward(elsewhere, unmapped.served).await,
    );
    let tries = unmapped.tries();
    peer.types("");
    cluster.wait_rotation(&BTreeSet::from([public.ip()])).await.unwrap();
    assert_eq!(unmapped.tries(), tries);
}

/// Without its attester a peer serves on and does not grow; when that is back the peer is too, by itself. (The CONNECT peer: enproxy keeps
/// each tunnel for 70 s, which would look like growth.)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the Go programs of tests/setup.sh, and a minute"]
async fn a_minute_without_the_attester_is_no_trouble() {
    let mut cluster = Cluster::start(by_default()).await.unwrap();
    let peer = GoPeer::start(&cluster, 1, "givepeer-connect", &["-allow-private"]);
    let rotation = BTreeSet::from([peer.public.ip()]);
    cluster.wait_rotation(&rotation).await.unwrap();
    let site = Site::start().await;
    cluster.kill().await;
    peer.says("no session, trying again").await;
    let (start, mut first) = (Instant::now(), None);
    while start.elapsed() < Duration::from_secs(60) {
        for _ in 0..20 {
            let output = curl(&[
                "--proxy",
                &format!("https://{}", peer.public),
                "--proxy-insecure",
                "--proxytunnel",
                &site.url(100_000),
            ])
            .await;
            assert_eq!(output.stdout.len(), 100_000, "{output:?}");
        }
        // As it is once it has served a while.
        if start.elapsed() > Duration::from_secs(15) {
            first.get_or_insert_with(|| peer.resident());
        }
        sleep(Duration::from_millis(50)).await;
    }
    let grown = peer.resident().saturating_sub(first.unwrap());
    assert!(grown < 4 << 20, "{grown} bytes in three quarters of a minute");
    cluster.restart().await.unwrap();
    peer.says_after("no session, trying again", "verified: ").await;
    cluster.wait_rotation(&rotation).await.unwrap();
}

/// What a router does with a port that it forwards.
async fn forward(public: SocketAddr, inside: SocketAddr) -> AbortOnDropHandle<()> {
    let listener = TcpListener::bind(public).await.unwrap();
    AbortOnDropHandle::new(tokio::spawn(async move {
        while let Ok((mut outside, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut inside = TcpStream::connect(inside).await?;
                copy_bidirectional(&mut outside, &mut inside).await
            });
        }
    }))
}

/// The figures that an attester has by default (and a machine that is shared gets the time that it takes).
fn by_default() -> Options {
    let (rules, pace) = (Rules::default(), Pace::default());
    Options {
        proofs: rules.proofs as usize,
        spacing: pace.spacing,
        interval: pace.interval,
        lease: rules.lease,
        goodput_body: pace.goodput_body,
        goodput_floor: 32 << 10,
        connect: Duration::from_secs(3),
        total: Duration::from_secs(10),
        receipt_within: Duration::from_secs(3),
        ..Options::quick()
    }
}

/// A Go peer's process. Killed when dropped.
struct GoPeer {
    /// Where clients reach it.
    public: SocketAddr,
    /// Where it listens.
    served: SocketAddr,
    said: Arc<Mutex<Vec<String>>>,
    input: Mutex<ChildStdin>,
    process: Child,
    _state: TempDir,
}

impl GoPeer {
    fn address(cluster: &Cluster, number: u8) -> SocketAddr {
        SocketAddr::from(([127, 77, number, 1], cluster.port()))
    }

    fn start(cluster: &Cluster, number: u8, program: &str, flags: &[&str]) -> Self {
        let address = Self::address(cluster, number);
        Self::at(cluster, address, address, program, flags)
    }

    fn at(cluster: &Cluster, listen: SocketAddr, public: SocketAddr, program: &str, flags: &[&str]) -> Self {
        let state = tempfile::tempdir().unwrap();
        let mut command = Command::new(built(program));
        command
            .args(["-listen", &listen.to_string()])
            .args(["-attester", &cluster.addresses().session.to_string()])
            .args(["-root", &cluster.root().to_string()])
            // What leaves its network has the address that it is reached at.
            .args(["-bind", &public.ip().to_string()])
            .args(["-state".as_ref(), state.path().as_os_str()])
            .args(flags)
            .env("GORACE", "halt_on_error=1");
        if public != listen {
            command.args(["-public", &public.to_string()]);
        }
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok);
        let first = lines.next().unwrap_or_else(|| panic!("{program} did not start"));
        let served = first.strip_prefix("listening ").unwrap().parse().unwrap();
        let said = Arc::<Mutex<Vec<String>>>::default();
        let saying = Arc::clone(&said);
        std::thread::spawn(move || lines.for_each(|line| saying.lock().unwrap().push(line)));
        Self {
            public,
            served,
            said,
            input: Mutex::new(process.stdin.take().unwrap()),
            process,
            _state: state,
        }
    }

    fn types(&self, line: &str) {
        writeln!(self.input.lock().unwrap(), "{line}").unwrap();
    }

    /// How often it began to register.
    fn tries(&self) -> usize {
        let said = self.said.lock().unwrap();
        said.iter().filter(|line| line.starts_with("registering")).count()
    }

    /// Waits for a line with these words, and returns it.
    async fn says(&self, words: &str) -> String {
        self.line("", words).await
    }

    /// The same after the last line with other words.
    async fn says_after(&self, before: &str, words: &str) -> String {
        self.line(before, words).await
    }

    async fn line(&self, before: &str, words: &str) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            let said = self.said.lock().unwrap().clone();
            let from = match before {
                "" => 0,
                before => said
                    .iter()
                    .rposition(|line| line.contains(before))
                    .unwrap_or(said.len()),
            };
            if let Some(line) = said[from..].iter().find(|line| line.contains(words)) {
                return line.clone();
            }
            assert!(Instant::now() < until, "it never said {words:?}, but {said:#?}");
            sleep(Duration::from_millis(25)).await;
        }
    }

    /// What the attester has written down about it.
    async fn record(&self, cluster: &Cluster) -> (PeerRow, Vec<ProbeRow>) {
        let store = cluster.store().await.unwrap();
        let rows = store.peers().await.unwrap().rows;
        let row = rows.into_iter().find(|row| row.address == self.public).unwrap();
        let probes = store.probes(&row.id, 100).await.unwrap().rows;
        (row, probes)
    }

    /// Bytes of memory that it has.
    fn resident(&self) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/statm", self.process.id())).unwrap();
        let pages: u64 = text.split(' ').nth(1).unwrap().parse().unwrap();
        pages * 4096
    }
}

impl Drop for GoPeer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

const PATIENCE: Duration = Duration::from_secs(90);
