//! Evidence: exported by the real program beside a running attester, and checked where nothing but the root's key is known.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::Command,
    time::Duration,
};

use anyhow::{Context, ensure};
use attester::{
    app,
    decide::VERIFIED,
    model::Reason,
    run::restore::{Terms, life_of},
    store::{PeerRow, ProbeRow, Retention, Store},
    verify::Trust,
};
use harness::{Behaviour, Cluster, DEADLINE, Options, Peer, programs::Program};
use proto::{
    claims::{EvidenceKind, Outcome},
    evidence::Evidence,
    key::{PublicKey, SigningKey},
    time::Clock,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::{Instant, interval};

/// Somebody with a folder, the program and a root key.
struct Auditor {
    folder: TempDir,
    program: PathBuf,
    root: PublicKey,
}

struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Auditor {
    /// With a configuration that names the cluster's state, for exports.
    fn of(cluster: &Cluster) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let state = cluster.config().attester.state.display().to_string();
        let config = format!(
            "[attester]\nstate = {state:?}\n[origin]\ndestination = \"origin.example:80\"\n[dns]\nzone = \"{}\"\n",
            cluster.options().zone
        );
        fs::write(folder.path().join("attester.toml"), config)?;
        Ok(Self {
            folder,
            program: Program::Attester.path()?,
            root: cluster.root(),
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> anyhow::Result<Ran> {
        let mut command = Command::new(&self.program);
        let output = command.args(arguments).current_dir(self.folder.path()).output()?;
        Ok(Ran {
            code: output.status.code().context("a code")?,
            out: String::from_utf8(output.stdout)?,
            err: String::from_utf8(output.stderr)?,
        })
    }

    /// Exports a probe to a file of its own.
    fn export(&self, probe: &ProbeRow) -> anyhow::Result<String> {
        let name = format!("{}.evidence", probe.probe);
        let id = probe.probe.to_string();
        let ran = self.run(&[
            "evidence",
            "export",
            probe.peer.as_str(),
            "--probe",
            &id,
            "--out",
            &name,
        ])?;
        ensure!(ran.code == 0, "{}", ran.err);
        ensure!(
            ran.out.contains(&id) && ran.out.contains(probe.outcome.as_str()),
            "{}",
            ran.out
        );
        ensure!(
            fs::read(self.path(&name))? == probe.evidence,
            "other bytes were exported"
        );
        Ok(name)
    }

    fn verify(&self, arguments: &[&str]) -> anyhow::Result<Ran> {
        let root = self.root.to_string();
        self.run(&[&["evidence", "verify", "--root", &root], arguments].concat())
    }

    /// The same with `--json`: the code, and an object a file.
    fn judged(&self, arguments: &[&str]) -> anyhow::Result<(i32, Vec<Value>)> {
        let ran = self.verify(&[arguments, &["--json"]].concat())?;
        let objects: Result<Vec<Value>, _> = ran.out.lines().map(serde_json::from_str).collect();
        Ok((ran.code, objects?))
    }
}

/// The newest probe of a peer with this outcome and reason.
async fn probe(cluster: &Cluster, peer: &Peer, outcome: Outcome, reason: Option<Reason>) -> anyhow::Result<ProbeRow> {
    let probes = cluster.probes(peer).await?;
    let found = probes
        .into_iter()
        .find(|probe| probe.outcome == outcome && probe.reason == reason);
    found.with_context(|| format!("{peer} has no probe that {outcome} for {reason:?}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_verdict_is_checked_with_the_roots_key_alone() -> anyhow::Result<()> {
    harness::logs();
    let options = Options {
        origin_gate: true,
        ..Options::quick()
    };
    let cluster = Cluster::start(options).await?;
    let honest = Peer::start(&cluster, 1, Behaviour::Connect).await?;
    let hostile = [
        // What it does, the reason, what its evidence shows, and the check that shows it.
        (
            Behaviour::FlipsByte,
            Reason::BodyAltered,
            "the evidence shows it",
            "V2 statement",
        ),
        (
            Behaviour::NoReceipt,
            Reason::ReceiptMissing,
            "the evidence shows it",
            "V1 receipt",
        ),
        (
            Behaviour::Truncates,
            Reason::Truncated,
            "the evidence shows it",
            "observation",
        ),
        (
            Behaviour::AcceptsThenSilent,
            Reason::TlsTimeout,
            "the evidence ends before the observation",
            "observation",
        ),
    ];
    let mut peers = Vec::new();
    for (number, (behaviour, ..)) in (2..).zip(&hostile) {
        peers.push(Peer::start(&cluster, number, *behaviour).await?);
    }
    cluster.wait_standing(&honest, VERIFIED).await?;
    let auditor = Auditor::of(&cluster)?;

    let proved = auditor.export(&probe(&cluster, &honest, Outcome::Proved, None).await?)?;
    let ran = auditor.verify(&[&proved])?;
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{}", ran.out);
    assert!(ran.out.contains("verifies: the peer was proved"), "{}", ran.out);
    assert!(ran.out.contains(&honest.address().to_string()), "{}", ran.out);
    for check in [
        "file",
        "keyset",
        "verdict",
        "registration",
        "V0",
        "V1",
        "V2",
        "V3",
        "V4",
        "V5",
        "V6",
        "V7",
    ] {
        let line = ran.out.lines().find(|line| line.starts_with(check));
        assert!(line.is_some_and(|line| !line.contains("failed")), "{check}: {line:?}");
    }
    assert!(ran.out.lines().all(|line| line.chars().count() <= 100), "{}", ran.out);
    // The root's key as a file, and V6 looked up in the store of the attester that runs.
    fs::write(auditor.path("root.pub"), format!("{}\n", auditor.root))?;
    let state = cluster.state_file();
    let state = state.to_str().context("a path of text")?;
    let ran = auditor.run(&["evidence", "verify", &proved, "--root", "root.pub", "--state", state])?;
    let sixth = ran.out.lines().find(|line| line.starts_with("V6")).context("V6")?;
    assert!(
        ran.code == 0 && sixth.contains("held") && !sixth.contains("taken"),
        "{sixth}"
    );

    for (peer, (behaviour, reason, shown, check)) in peers.iter().zip(&hostile) {
        cluster.wait_refused(peer, *reason).await?;
        let file = auditor.export(&probe(&cluster, peer, Outcome::Failed, Some(*reason)).await?)?;
        let ran = auditor.verify(&[&file])?;
        assert_eq!(ran.code, 4, "{behaviour:?}: {}", ran.out);
        let flat = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
        for part in [
            "is authentic, and proves nothing",
            "signed failed",
            reason.code(),
            shown,
        ] {
            assert!(flat.contains(part), "{behaviour:?}: no {part:?} in {}", ran.out);
        }
        let (_, objects) = auditor.judged(&[&file])?;
        let failed = objects[0]["checks"]
            .as_array()
            .and_then(|checks| checks.iter().find(|one| one["result"] == "failed"));
        assert_eq!(failed.context("a failed check")?["check"], *check, "{behaviour:?}");
        assert_eq!(
            (&objects[0]["result"], &objects[0]["reason"]),
            (&"authentic".into(), &reason.code().into())
        );
    }

    // The attester's own trouble: inconclusive.
    let gate = cluster.origin_gate().context("a gate")?;
    gate.close().await;
    let doubted = |record: &harness::Record| record.reason == Some(Reason::ControlFailed);
    cluster.wait_record(&honest, "doubted", doubted).await?;
    let doubtful = probe(&cluster, &honest, Outcome::Inconclusive, Some(Reason::ControlFailed)).await?;
    let doubtful = auditor.export(&doubtful)?;
    let ran = auditor.verify(&[&doubtful])?;
    assert_eq!(ran.code, 4, "{}", ran.out);
    assert!(
        ran.out.contains("signed inconclusive") && ran.out.contains("control-failed"),
        "{}",
        ran.out
    );

    // Several at once: a line each, and the worst decides.
    let ran = auditor.verify(&[&proved, &doubtful])?;
    assert_eq!((ran.code, ran.out.lines().count()), (4, 3), "{}", ran.out);
    assert_eq!(auditor.verify(&[&proved, &proved])?.code, 0);
    all_of_a_peer(&auditor, &honest)
}

/// `--all`, twice: the second time nothing is left to write but what is new.
fn all_of_a_peer(auditor: &Auditor, peer: &Peer) -> anyhow::Result<()> {
    fs::create_dir(auditor.path("all"))?;
    let export = || auditor.run(&["evidence", "export", peer.id().as_str(), "--all", "--out", "all"]);
    let ran = export()?;
    assert!(ran.code == 0 && ran.out.starts_with("wrote "), "{}{}", ran.out, ran.err);
    let files: Vec<String> = fs::read_dir(auditor.path("all"))?
        .map(|entry| entry.map(|entry| entry.path().display().to_string()))
        .collect::<Result<_, _>>()?;
    assert!(files.len() >= 4, "{files:?}");
    let again = export()?;
    assert!(
        again.code == 0 && again.out.contains(" were there already"),
        "{}{}",
        again.out,
        again.err
    );
    let names: Vec<&str> = files.iter().map(String::as_str).collect();
    let (code, objects) = auditor.judged(&names)?;
    assert_eq!((code, objects.len()), (4, files.len()));
    for object in &objects {
        assert!(
            object["result"] == "proved" || object["result"] == "authentic",
            "{object}"
        );
        assert_eq!(object["peer"], peer.id().as_str());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_was_changed_or_mixed_verifies() -> anyhow::Result<()> {
    harness::logs();
    let cluster = Cluster::start(Options::quick()).await?;
    let one = Peer::start(&cluster, 1, Behaviour::Connect).await?;
    let two = Peer::start(&cluster, 2, Behaviour::Enproxy).await?;
    cluster.wait_rotation_of(&[&one, &two]).await?;
    let auditor = Auditor::of(&cluster)?;
    let (one, two) = (
        probe(&cluster, &one, Outcome::Proved, None).await?,
        probe(&cluster, &two, Outcome::Proved, None).await?,
    );
    let file = auditor.export(&one)?;
    assert_eq!(auditor.verify(&[&file])?.code, 0);
    flipped(&auditor, &one.evidence)?;
    mixed(&auditor, &one.evidence, &two.evidence)?;

    let other = SigningKey::from_seed(&[9; 32]).public().to_string();
    let ran = auditor.run(&["evidence", "verify", &file, "--root", &other])?;
    assert_eq!(ran.code, 5);
    assert!(
        ran.out.contains("keyset: ") && ran.out.contains("does not verify"),
        "{}",
        ran.out
    );
    let ran = auditor.verify(&[&file, "--peer", two.peer.as_str()])?;
    assert!(ran.code == 5 && ran.out.contains("another peer"), "{}", ran.out);
    assert_eq!(auditor.verify(&[&file, "--peer", one.peer.as_str()])?.code, 0);
    unreadable(&auditor, &file)?;

    // What an export refuses.
    let export = |arguments: &[&str]| auditor.run(&[&["evidence", "export"], arguments].concat());
    let ran = export(&[one.peer.as_str(), "--out", &file])?;
    assert!(ran.code == 3 && ran.err.contains("never overwritten"), "{}", ran.err);
    let ran = export(&["aaaaaaaaaaaaaaaaaaaaaaaaaa"])?;
    assert!(ran.code == 1 && ran.err.contains("attester peers"), "{}", ran.err);
    let ran = export(&[one.peer.as_str(), "--probe", "00000000000000000000000000000000"])?;
    assert!(
        ran.code == 1 && ran.err.contains("pruned") && ran.err.contains("attester explain"),
        "{}",
        ran.err
    );
    assert_eq!(export(&[one.peer.as_str(), "--probe", "xyz"])?.code, 2);
    assert_eq!(export(&[one.peer.as_str(), "--all", "--out", "-"])?.code, 2);
    // By default the file is named after peer and probe, in this folder.
    let ran = export(&[one.peer.as_str(), "--json"])?;
    let told: Value = serde_json::from_str(&ran.out)?;
    let name = told["file"].as_str().context("a name")?;
    assert!(
        name.starts_with(one.peer.as_str()) && name.ends_with(".evidence"),
        "{name}"
    );
    assert_eq!(auditor.judged(&[name])?.1[0]["sha256"], told["sha256"]);
    Ok(())
}

/// Flips a bit in every region: the map, and beginning, middle and end of each claim; and one byte in each 61.
fn flipped(auditor: &Auditor, good: &[u8]) -> anyhow::Result<()> {
    let evidence = Evidence::decode(good)?;
    let mut places = vec![(0, "file"), (1, "file"), (2, "file")];
    let kinds = EvidenceKind::ALL
        .iter()
        .filter_map(|kind| Some((kind.as_str(), evidence.claim(*kind)?)));
    let verdict = evidence.verdict.as_ref().context("a verdict")?;
    for (name, claim) in kinds.chain([("verdict", verdict.0.as_slice())]) {
        let start = good
            .windows(claim.len())
            .position(|window| window == claim)
            .context("its place")?;
        // Whatever else was changed, the verdict names another digest; a keyset is looked at before that.
        let check = if name == "keyset" { "keyset" } else { "verdict" };
        for at in [0, 40, claim.len() / 2, claim.len() - 1] {
            places.push((start + at, check));
        }
    }
    places.extend((0..good.len()).step_by(61).map(|at| (at, "")));
    let mut names = Vec::new();
    for (number, (at, _)) in places.iter().enumerate() {
        let mut bad = good.to_vec();
        bad[*at] ^= 1 << (number % 8);
        let name = format!("flipped-{number}");
        fs::write(auditor.path(&name), bad)?;
        names.push(name);
    }
    let arguments: Vec<&str> = names.iter().map(String::as_str).collect();
    let (code, objects) = auditor.judged(&arguments)?;
    assert_eq!((code, objects.len()), (5, places.len()));
    for ((at, check), object) in places.iter().zip(&objects) {
        let why = object["why"].as_str().unwrap_or_default();
        assert_eq!(object["result"], "invalid", "byte {at}");
        assert!(why.starts_with(check) && why.len() > 12, "byte {at}: {why}");
    }
    Ok(())
}

/// Claims of one probe in the file of another: each is well signed, and the verdict is about none of them.
fn mixed(auditor: &Auditor, one: &[u8], two: &[u8]) -> anyhow::Result<()> {
    let (ours, theirs) = (Evidence::decode(one)?, Evidence::decode(two)?);
    let mixtures = [
        Evidence {
            registration: theirs.registration.clone(),
            ..ours.clone()
        },
        Evidence {
            receipt: theirs.receipt.clone(),
            ..ours.clone()
        },
        Evidence {
            statement: None,
            ..ours.clone()
        },
        Evidence {
            verdict: theirs.verdict.clone(),
            ..ours.clone()
        },
    ];
    for (number, mixture) in mixtures.iter().enumerate() {
        fs::write(auditor.path("mixed"), mixture.encode()?)?;
        let ran = auditor.verify(&["mixed"])?;
        assert_eq!(ran.code, 5, "{number}: {}", ran.out);
        assert!(
            ran.out.contains("the verdict rests on other claims than these"),
            "{number}: {}",
            ran.out
        );
    }
    Ok(())
}

/// Files that are none, or far too large, or not there.
fn unreadable(auditor: &Auditor, good: &str) -> anyhow::Result<()> {
    // 64 GiB that take no space: it ends at once, because it is not read.
    File::create(auditor.path("huge"))?.set_len(64 << 30)?;
    fs::write(auditor.path("empty"), "")?;
    for name in ["huge", "empty"] {
        let ran = auditor.verify(&[name])?;
        assert!(
            ran.code == 5 && ran.out.contains("file: evidence-invalid"),
            "{name}: {}",
            ran.out
        );
    }
    for name in ["nowhere", "."] {
        let ran = auditor.verify(&[name])?;
        assert!(ran.code == 3 && ran.err.contains(name), "{name}: {}", ran.err);
    }
    let (code, objects) = auditor.judged(&[good, "nowhere"])?;
    assert_eq!((code, &objects[1]["result"]), (3, &"unreadable".into()));
    for root in ["nowhere.pub", "ed25519:aaaa", "empty"] {
        let ran = auditor.run(&["evidence", "verify", good, "--root", root])?;
        assert!(ran.code == 2 && ran.err.contains("--root"), "{root}: {}", ran.err);
    }
    let ran = auditor.verify(&[good, "--keyset", "empty"])?;
    assert!(
        ran.code == 3 && ran.err.contains("no keyset of this root"),
        "{}",
        ran.err
    );
    Ok(())
}

/// What the store holds of a peer, and whether it would make it a member.
async fn stored(cluster: &Cluster, peer: &Peer) -> anyhow::Result<(usize, bool)> {
    let config = cluster.config();
    let policy = app::policy(config);
    let store = Store::open_read_only(&config.state_file()).await?;
    let row: PeerRow = store
        .peers()
        .await?
        .rows
        .into_iter()
        .find(|row| row.id == *peer.id())
        .context("its row")?;
    let terms = Terms {
        trust: Trust::of_root(cluster.root()),
        demands: policy.demands,
        rules: policy.rules,
    };
    let now = Clock::system().now();
    let life = life_of(&store, &row, &terms, now).await?.context("its own row")?;
    let probes = store.probes(peer.id(), 1000).await?.rows.len();
    store.close().await;
    Ok((probes, life.membership(now).is_some()))
}

/// However little may be kept: what a restart needs is kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_survives_retention_and_a_restart() -> anyhow::Result<()> {
    harness::logs();
    let nothing = Retention {
        per_peer: 0,
        age: Duration::ZERO,
        total_bytes: 0,
    };
    let options = Options {
        retention: nothing,
        interval: Duration::from_millis(500),
        lease: Duration::from_secs(60),
        ..Options::quick()
    };
    let mut cluster = Cluster::start(options).await?;
    let peer = Peer::start(&cluster, 1, Behaviour::All).await?;
    cluster.wait_rotation_of(&[&peer]).await?;
    until(async || Ok(cluster.probes(&peer).await?.len() >= 12), "a dozen probes").await?;
    let before = cluster.probes(&peer).await?;
    // Retention looks at the store when the attester begins, and every minute.
    cluster.restart().await?;
    let oldest = before.last().context("a probe")?.probe;
    let is_pruned = async || Ok(!cluster.probes(&peer).await?.iter().any(|probe| probe.probe == oldest));
    until(is_pruned, "the oldest probe was pruned").await?;
    cluster.stop().await?;
    let (probes, member) = stored(&cluster, &peer).await?;
    ensure!(member, "with {probes} probes left it would not be restored");
    ensure!(probes < before.len(), "{probes} of {} are left", before.len());
    cluster.restart().await?;
    cluster.wait_rotation_of(&[&peer]).await?;
    let standings = cluster.standings(&peer).await?;
    ensure!(
        standings
            .iter()
            .rev()
            .take_while(|standing| *standing == VERIFIED)
            .count()
            > 0,
        "{standings:?}"
    );
    Ok(())
}

async fn until(holds: impl AsyncFn() -> anyhow::Result<bool>, what: &str) -> anyhow::Result<()> {
    let deadline = Instant::now() + DEADLINE;
    let mut looks = interval(Duration::from_millis(50));
    loop {
        looks.tick().await;
        if holds().await? {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{DEADLINE:?} have passed before {what}");
    }
}
