//! The real programs as processes: stops that drain, kills at any moment, and the attester's own trouble.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use attester::{
    app,
    config::Config,
    records::Name,
    resolve::{ResolveError, Resolver},
    run::restore::{Terms, life_of},
    store::{PeerRow, Store},
    verify::Trust,
};
use harness::{
    DEADLINE,
    programs::{Program, Running},
};
use proto::{
    claims::Outcome,
    time::{Clock, Timestamp},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::time::{Instant, interval};

mod flips;
mod gates;
mod moving;

use gates::{TcpGate, UdpGate};

/// An attester's process with its configuration, state and peers' processes, on addresses of its own.
struct Site {
    folder: tempfile::TempDir,
    network: [u8; 2],
    root: String,
    log: PathBuf,
}

impl Site {
    /// Writes keys and a configuration with quick figures; `more` is put under the named sections.
    fn new(number: u8, more: &[(&str, String)]) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        // Two runs of the tests on one machine get different networks.
        let network = [80 + u8::try_from(std::process::id() % 40)?, number];
        let config = folder.path().join("attester.toml");
        Program::Attester.output(&[
            "init",
            "--local",
            "--config",
            config.to_str().context("a path of text")?,
        ])?;
        let root = fs::read_to_string(folder.path().join("state/keys/root.pub"))?
            .trim()
            .to_owned();
        let site = Self {
            log: folder.path().join("attester.log"),
            folder,
            network,
            root,
        };
        let ip = site.ip(0);
        let extra = |section: &str| -> String {
            more.iter()
                .filter(|(name, _)| *name == section)
                .map(|(_, line)| format!("{line}\n"))
                .collect()
        };
        let text = format!(
            "[attester]\nlisten = \"{ip}:7443\"\n{}\
             [admission]\nspacing = \"200ms\"\ninterval = \"1s\"\nlease = \"12s\"\nallow_private = true\n\
             goodput_body = 65536\n{}\
             [probe]\ntotal = \"4s\"\nreceipt_within = \"2s\"\n{}\
             [origin]\nlisten = \"{ip}:7080\"\n{}\
             [dns]\nlisten = \"{ip}:7053\"\nzone = \"peers.test\"\nrotation_port = 8443\n{}\
             [admin]\nlisten = \"{ip}:7090\"\n",
            extra("attester"),
            extra("admission"),
            extra("probe"),
            extra("origin"),
            extra("dns"),
        );
        fs::write(&config, text)?;
        Program::Attester.output(&["check-config", "--config", config.to_str().context("a path of text")?])?;
        Ok(site)
    }

    fn ip(&self, peer: u8) -> Ipv4Addr {
        Ipv4Addr::new(127, self.network[0], self.network[1], 1 + peer)
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("attester.toml")
    }

    fn serve(&self) -> anyhow::Result<Running> {
        let config = self.config();
        Program::Attester.start(&["serve".as_ref(), "--config".as_ref(), config.as_os_str()], &self.log)
    }

    /// Starts a peer, made first if it is new; `more` goes into its `[give]` section.
    fn peer(&self, number: u8, more: &str) -> anyhow::Result<Running> {
        let state = self.folder.path().join(format!("peer{number}"));
        let config = state.join("peer-agent.toml");
        if !config.exists() {
            let (state, address) = (state.to_string_lossy(), format!("{}:8443", self.ip(number)));
            let attester = format!("{}:7443", self.ip(0));
            let flags = [
                "init",
                "--state",
                &state,
                "--attester",
                &attester,
                "--root",
                &self.root,
                "--address",
                &address,
            ];
            Program::PeerAgent.output(&flags)?;
            let text = fs::read_to_string(&config)?.replace("[give]\n", &format!("[give]\n{more}\n"));
            fs::write(&config, text)?;
        }
        let log = self.folder.path().join(format!("peer{number}.log"));
        Program::PeerAgent.start(&["run".as_ref(), "--config".as_ref(), config.as_os_str()], &log)
    }

    fn resolver(&self) -> Resolver {
        let server = SocketAddr::new(self.ip(0).into(), 7053);
        Resolver::new(server, None, Duration::from_millis(500), StdRng::seed_from_u64(7))
    }

    /// Waits until the rotation is exactly these peers.
    async fn wait_rotation(&self, peers: &[u8]) -> anyhow::Result<()> {
        let expected: BTreeSet<IpAddr> = peers.iter().map(|number| IpAddr::from(self.ip(*number))).collect();
        let resolver = self.resolver();
        wait(|| async {
            let shown = resolver.addresses(&rotation()).await;
            match shown {
                Ok(shown) if shown.iter().copied().collect::<BTreeSet<_>>() == expected => Ok(()),
                other => bail!("the rotation shows {other:?}, not {expected:?}: {}", self.tail()),
            }
        })
        .await
    }

    async fn rows(&self) -> anyhow::Result<Vec<PeerRow>> {
        let store = Store::open_read_only(&Config::load(&self.config())?.state_file()).await?;
        let rows = store.peers().await?.rows;
        store.close().await;
        Ok(rows)
    }

    /// Waits until the state file says something of a peer.
    async fn wait_row(&self, peer: u8, what: &str, holds: impl Fn(&PeerRow) -> bool) -> anyhow::Result<()> {
        let ip = IpAddr::from(self.ip(peer));
        wait(|| async {
            let rows = self.rows().await?;
            let row = rows.iter().find(|row| row.address.ip() == ip);
            ensure!(
                row.is_some_and(&holds),
                "peer {peer} is not {what}: {row:?}: {}",
                self.tail()
            );
            Ok(())
        })
        .await
    }

    fn tail(&self) -> String {
        let said = fs::read_to_string(&self.log).unwrap_or_default();
        said.lines().rev().take(15).collect::<Vec<_>>().join("\n")
    }

    /// Who is a member by the evidence in the store, and until when.
    async fn proven(&self) -> anyhow::Result<BTreeMap<IpAddr, Timestamp>> {
        let config = Config::load(&self.config())?;
        let store = Store::open_read_only(&config.state_file()).await?;
        let policy = app::policy(&config);
        let terms = Terms {
            trust: Trust::of_root(self.root.parse()?),
            demands: policy.demands,
            rules: policy.rules,
        };
        let now = Clock::system().now();
        let mut proven = BTreeMap::new();
        for row in store.peers().await?.rows {
            let life = life_of(&store, &row, &terms, now)
                .await?
                .context("a row of another key")?;
            if let Some(until) = life.lease().filter(|_| life.membership(now).is_some()) {
                proven.insert(row.address.ip(), until);
            }
        }
        store.close().await;
        Ok(proven)
    }
}

/// Repeats `look` until it is `Ok`; its last error after [`DEADLINE`].
async fn wait<F: Future<Output = anyhow::Result<()>>>(look: impl Fn() -> F) -> anyhow::Result<()> {
    let deadline = Instant::now() + DEADLINE;
    let mut looks = interval(Duration::from_millis(50));
    loop {
        looks.tick().await;
        match look().await {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() >= deadline => return Err(error),
            Err(_) => {}
        }
    }
}

fn rotation() -> Name {
    Name::parse("roundrobin.peers.test").expect("a name")
}

#[tokio::test]
async fn sigterm_drains_both_programs() -> anyhow::Result<()> {
    let site = Site::new(1, &[])?;
    let mut attester = site.serve()?;
    let mut peer = site.peer(1, "")?;
    site.wait_rotation(&[1]).await?;
    let status = peer.terminate().await?;
    ensure!(status.success(), "{status}: {}", peer.said());
    site.wait_row(1, "retired by its goodbye", |row| row.standing == "retired")
        .await?;
    site.wait_rotation(&[]).await?;
    let status = attester.terminate().await?;
    ensure!(status.success(), "{status}: {}", attester.said());
    ensure!(!attester.said().contains("not everything ended"), "{}", attester.said());
    Ok(())
}

/// P5: whatever the moment, nothing unproven is shown, and what was proven comes back.
#[tokio::test]
async fn thirty_kills_lose_nothing_and_show_nothing_unproven() -> anyhow::Result<()> {
    let site = Site::new(2, &[])?;
    let mut attester = site.serve()?;
    // Two good peers, and one whose line is too slow: below the floor, so it may never be shown.
    let _peers = [site.peer(1, "")?, site.peer(2, "")?, site.peer(3, "rate = 8192")?];
    site.wait_rotation(&[1, 2]).await?;
    let good: BTreeSet<IpAddr> = [1, 2].map(|number| IpAddr::from(site.ip(number))).into();
    let resolver = site.resolver();
    let seed = u64::from(std::process::id());
    let mut rng = StdRng::seed_from_u64(seed);
    let mut restored = 0_usize;
    for round in 1..=30 {
        // A moment at random: right after the start, within an admission, between probes.
        let moment = Duration::from_millis(rng.random_range(0..700));
        ensure!(
            attester.ended_within(moment).await?.is_none(),
            "it ended by itself: {}",
            site.tail()
        );
        attester.kill()?;
        let proven = site
            .proven()
            .await
            .with_context(|| format!("round {round}, seed {seed}"))?;
        attester = site.serve()?;
        let first = first_answer(&resolver)
            .await
            .with_context(|| format!("round {round}, seed {seed}: {}", site.tail()))?;
        ensure!(
            first.iter().all(|ip| good.contains(ip)),
            "round {round}, seed {seed}: {first:?} is shown"
        );
        // Exactly what the store proves: nothing is shown that it does not prove, and nothing that it proves is lost.
        for ip in &first {
            ensure!(
                proven.contains_key(ip),
                "round {round}, seed {seed}: {ip} is shown, the store proves {proven:?}"
            );
        }
        let now = Clock::system().now();
        for (ip, until) in &proven {
            ensure!(
                *until <= now || first.contains(ip),
                "round {round}, seed {seed}: {ip} is lost: {first:?}"
            );
        }
        restored += usize::from(!first.is_empty());
    }
    ensure!(
        restored >= 10,
        "only {restored} of 30 restarts had anything to restore: seed {seed}"
    );
    site.wait_rotation(&[1, 2]).await?;
    site.wait_row(3, "kept out", |row| row.standing != "verified" && row.reason.is_some())
        .await
}

/// The first answer that is one: before it restored its state the attester answers SERVFAIL.
async fn first_answer(resolver: &Resolver) -> anyhow::Result<Vec<IpAddr>> {
    let deadline = Instant::now() + DEADLINE;
    loop {
        match resolver.addresses(&rotation()).await {
            Ok(shown) => return Ok(shown),
            Err(error) if Instant::now() >= deadline => return Err(error.into()),
            // Refused connections answer at once; a little patience keeps this from spinning.
            Err(ResolveError::TimedOut { .. }) => {}
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

#[tokio::test]
async fn a_restart_keeps_honest_peers_in() -> anyhow::Result<()> {
    let site = Site::new(3, &[("admission", "keep_name = \"60s\"".to_owned())])?;
    let mut attester = site.serve()?;
    let _peer = site.peer(1, "")?;
    site.wait_rotation(&[1]).await?;
    ensure!(attester.terminate().await?.success());
    let _again = site.serve()?;
    let first = first_answer(&site.resolver()).await?;
    ensure!(
        first == [IpAddr::from(site.ip(1))],
        "the first answer after the restart is {first:?}: {}",
        site.tail()
    );
    site.wait_row(1, "proved anew", |row| row.standing == "verified").await
}

#[tokio::test]
async fn with_dns_stopped_nobody_is_admitted() -> anyhow::Result<()> {
    let gate = UdpGate::bind().await?;
    let site = Site::new(4, &[("dns", format!("asked_at = \"{}\"", gate.address()))])?;
    let _attester = site.serve()?;
    let _peer = site.peer(1, "")?;
    site.wait_row(1, "told that its name is not shown", |row| {
        row.standing == "registered" && row.reason.is_some_and(|reason| reason.code() == "resolve-failed")
    })
    .await?;
    let shown = site.resolver().addresses(&rotation()).await?;
    ensure!(shown.is_empty(), "{shown:?}");
    gate.lead_to(SocketAddr::new(site.ip(0).into(), 7053));
    site.wait_rotation(&[1]).await
}

#[tokio::test]
async fn with_the_origin_stopped_no_failure_counts() -> anyhow::Result<()> {
    let gate = TcpGate::bind().await?;
    let site = Site::new(5, &[("origin", format!("destination = \"{}\"", gate.address()))])?;
    gate.lead_to(SocketAddr::new(site.ip(0).into(), 7080));
    let _attester = site.serve()?;
    let _peer = site.peer(1, "")?;
    site.wait_rotation(&[1]).await?;
    gate.close();
    let config = Config::load(&site.config())?;
    let after = Clock::system().now();
    wait(|| async {
        let store = Store::open_read_only(&config.state_file()).await?;
        let row = store.peers().await?.rows.into_iter().next().context("the peer's row")?;
        let probes = store.probes(&row.id, 50).await?.rows;
        store.close().await;
        let late: Vec<_> = probes.iter().filter(|probe| probe.at > after).collect();
        ensure!(
            late.iter().all(|probe| probe.outcome != Outcome::Failed),
            "a failure counted: {late:?}"
        );
        let doubted = late
            .iter()
            .filter(|probe| probe.outcome == Outcome::Inconclusive)
            .count();
        ensure!(doubted >= 3, "only {doubted} inconclusive probes: {}", site.tail());
        Ok(())
    })
    .await?;
    gate.lead_to(SocketAddr::new(site.ip(0).into(), 7080));
    // Its lease may or may not have lapsed meanwhile; either way it was never to blame, and comes back by itself.
    site.wait_rotation(&[1]).await
}

/// P1: standing is restored from signed evidence; change any stored byte and there is no record.
#[tokio::test]
async fn no_flipped_byte_of_the_store_is_restored() -> anyhow::Result<()> {
    let site = Site::with_lease(6, "600s")?;
    let mut attester = site.serve()?;
    let _peer = site.peer(1, "")?;
    site.wait_rotation(&[1]).await?;
    ensure!(attester.terminate().await?.success());
    flips::none_is_restored(&site.config(), &site.root).await
}

impl Site {
    /// With a lease that outlives the test.
    fn with_lease(number: u8, lease: &str) -> anyhow::Result<Self> {
        let site = Self::new(number, &[])?;
        let text = fs::read_to_string(site.config())?.replace("lease = \"12s\"", &format!("lease = \"{lease}\""));
        fs::write(site.config(), text)?;
        Ok(site)
    }
}
