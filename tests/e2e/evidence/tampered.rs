//! What was changed, mixed, or is no evidence.

use std::fs::{self, File};

use anyhow::Context;
use harness::{Behaviour, Cluster, Options, Peer};
use proto::{
    claims::{EvidenceKind, Outcome},
    evidence::Evidence,
    key::SigningKey,
};
use serde_json::Value;

use super::auditor::{Auditor, probe};

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
