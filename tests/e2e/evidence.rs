//! Evidence: exported by the real program beside a running attester, and checked where nothing but the root's key is known.

use std::fs;

use anyhow::{Context, ensure};
use attester::{decide::VERIFIED, model::Reason};
use harness::{Behaviour, Cluster, Options, Peer};
use proto::claims::Outcome;

mod auditor;
mod retention;
mod tampered;

use auditor::{Auditor, probe};

/// A hostile peer, the reason of its verdict, what its evidence shows, and the check that shows it.
type Hostile = (Behaviour, Reason, &'static str, &'static str);

const HOSTILE: [Hostile; 4] = [
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_verdict_is_checked_with_the_roots_key_alone() -> anyhow::Result<()> {
    harness::logs();
    let options = Options {
        origin_gate: true,
        ..Options::quick()
    };
    let cluster = Cluster::start(options).await?;
    let honest = Peer::start(&cluster, 1, Behaviour::Connect).await?;
    let mut peers = Vec::new();
    for (number, (behaviour, ..)) in (2..).zip(HOSTILE) {
        peers.push(Peer::start(&cluster, number, behaviour).await?);
    }
    cluster.wait_standing(&honest, VERIFIED).await?;
    let auditor = Auditor::of(&cluster)?;
    let proved = auditor.export(&probe(&cluster, &honest, Outcome::Proved, None).await?)?;
    a_proof(&cluster, &auditor, &honest, &proved)?;
    for (peer, hostile) in peers.iter().zip(HOSTILE) {
        cluster.wait_refused(peer, hostile.1).await?;
        let failed = probe(&cluster, peer, Outcome::Failed, Some(hostile.1)).await?;
        a_failure(&auditor, &auditor.export(&failed)?, hostile)?;
    }

    // The attester's own trouble: inconclusive.
    cluster.origin_gate().context("a gate")?.close().await;
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

fn a_proof(cluster: &Cluster, auditor: &Auditor, peer: &Peer, file: &str) -> anyhow::Result<()> {
    let ran = auditor.verify(&[file])?;
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{}", ran.out);
    assert!(ran.out.contains("verifies: the peer was proved"), "{}", ran.out);
    assert!(ran.out.contains(&peer.address().to_string()), "{}", ran.out);
    let checks = "file keyset verdict registration V0 V1 V2 V3 V4 V5 V6 V7";
    for check in checks.split(' ') {
        let line = ran.out.lines().find(|line| line.starts_with(check));
        assert!(line.is_some_and(|line| !line.contains("failed")), "{check}: {line:?}");
    }
    assert!(ran.out.lines().all(|line| line.chars().count() <= 100), "{}", ran.out);
    // The root's key as a file, and V6 looked up in the store of the attester that runs.
    fs::write(auditor.path("root.pub"), format!("{}\n", auditor.root))?;
    let state = cluster.state_file();
    let state = state.to_str().context("a path of text")?;
    let ran = auditor.run(&["evidence", "verify", file, "--root", "root.pub", "--state", state])?;
    let sixth = ran.out.lines().find(|line| line.starts_with("V6")).context("V6")?;
    assert!(
        ran.code == 0 && sixth.contains("held") && !sixth.contains("taken"),
        "{sixth}"
    );
    Ok(())
}

fn a_failure(auditor: &Auditor, file: &str, (behaviour, reason, shown, check): Hostile) -> anyhow::Result<()> {
    let ran = auditor.verify(&[file])?;
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
    let (_, objects) = auditor.judged(&[file])?;
    let failed = objects[0]["checks"]
        .as_array()
        .and_then(|checks| checks.iter().find(|one| one["result"] == "failed"));
    assert_eq!(failed.context("a failed check")?["check"], check, "{behaviour:?}");
    assert_eq!(
        (&objects[0]["result"], &objects[0]["reason"]),
        (&"authentic".into(), &reason.code().into())
    );
    Ok(())
}

/// A key is revoked after a proof was exported: whoever has the attester's configuration is told without asking for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_rests_on_a_key_that_was_revoked_since_does_not_verify() -> anyhow::Result<()> {
    harness::logs();
    let cluster = Cluster::start(Options::quick()).await?;
    let peer = Peer::start(&cluster, 1, Behaviour::Connect).await?;
    cluster.wait_rotation_of(&[&peer]).await?;
    let auditor = Auditor::of(&cluster)?;
    let file = auditor.export(&probe(&cluster, &peer, Outcome::Proved, None).await?)?;
    let with_config = [file.as_str(), "--config", "attester.toml"];
    let (code, objects) = auditor.judged(&with_config)?;
    assert_eq!((code, &objects[0]["revocations"]), (0, &"known".into()));
    let ran = auditor.run(&["keys", "revoke", "origin"])?;
    ensure!(ran.code == 0, "{}", ran.err);
    let ran = auditor.verify(&with_config)?;
    assert_eq!(ran.code, 5, "{}", ran.out);
    assert!(
        ran.out.contains("V2 statement: key-revoked") && ran.out.contains("does not verify"),
        "{}",
        ran.out
    );
    // Who has the file alone cannot know, and reads so.
    let ran = auditor.verify(&[&file])?;
    assert_eq!(ran.code, 0, "{}", ran.out);
    assert!(ran.out.contains("revocations unknown since then"), "{}", ran.out);
    Ok(())
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
