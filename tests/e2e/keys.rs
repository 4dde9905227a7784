//! The attester's own keys change while it works: rotated, revoked, brought back from a backup.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use anyhow::{Context, bail, ensure};
use attester::{
    decide::VERIFIED,
    keys::{IfLost, KeyFolder, Target},
    model::Reason,
    store::ProbeRow,
    verify::{Demands, Trust, recheck},
};
use harness::{Behaviour, Cluster, DEADLINE, Options, Peer};
use proto::{
    checked::Signed,
    claims::{Challenge, EvidenceKind, Observation, Outcome, Role, Statement},
    evidence::Evidence,
    ids::Thumbprint,
    time::{Clock, Seconds},
};
use tokio::time::{Instant, interval};

use crate::operator::get;

/// A cluster with members, and its key folder.
struct Site {
    cluster: Cluster,
    folder: KeyFolder,
    peers: Vec<Peer>,
}

impl Site {
    async fn start() -> anyhow::Result<Self> {
        Self::start_with(Options::quick()).await
    }

    async fn start_with(options: Options) -> anyhow::Result<Self> {
        harness::logs();
        let cluster = Cluster::start(options).await?;
        let mut peers = Vec::new();
        for (number, behaviour) in (1..).zip([Behaviour::Enproxy, Behaviour::All]) {
            peers.push(Peer::start(&cluster, number, behaviour).await?);
        }
        let site = Self {
            folder: KeyFolder::new(cluster.config().keys_folder()),
            cluster,
            peers,
        };
        site.wait_members().await?;
        Ok(site)
    }

    async fn wait_members(&self) -> anyhow::Result<()> {
        self.cluster
            .wait_rotation_of(&self.peers.iter().collect::<Vec<_>>())
            .await
    }

    fn rotate(&self, role: Role) -> anyhow::Result<Thumbprint> {
        let overlap = Duration::from_secs(3600);
        let now = Clock::system().now();
        let rotated = self.folder.rotate(&[role], overlap, None, &mut rand::rng(), now)?;
        Ok(rotated.keys.first().context("one role")?.new)
    }

    fn revoke(&self, role: Role) -> anyhow::Result<Thumbprint> {
        let (target, ever) = (Target::Role(role), Seconds::new(0));
        let now = Clock::system().now();
        Ok(self.folder.revoke(&target, ever, None, &mut rand::rng(), now)?.key)
    }

    /// The root, and what the newest keyset revokes.
    fn trust(&self) -> anyhow::Result<Trust> {
        let keyset = fs::read(self.folder.keyset_file())?;
        Ok(Trust::with_keyset(self.cluster.root(), &keyset)?)
    }

    fn demands(&self) -> Demands {
        let options = self.cluster.options();
        Demands {
            goodput_body: options.goodput_body,
            goodput_floor: options.goodput_floor,
            ..Demands::default()
        }
    }

    /// Waits until each peer was proved with this key.
    async fn wait_proofs_with(&self, role: Role, key: Thumbprint) -> anyhow::Result<()> {
        for peer in &self.peers {
            until(&format!("{peer} is proved with the new {role} key"), || async {
                let probes = self.cluster.probes(peer).await?;
                let proved = |probe: &&ProbeRow| probe.outcome == Outcome::Proved;
                for probe in probes.iter().filter(proved) {
                    if signer(&probe.evidence, role)? == Some(key) {
                        return Ok(true);
                    }
                }
                Ok(false)
            })
            .await?;
        }
        Ok(())
    }

    /// The registrations that a peer's proofs rest on: one for each session.
    async fn sessions(&self, peer: &Peer) -> anyhow::Result<BTreeSet<Vec<u8>>> {
        let probes = self.cluster.probes(peer).await?;
        let registration = |probe: &ProbeRow| Some(Evidence::decode(&probe.evidence).ok()?.registration?.0);
        Ok(probes.iter().filter_map(registration).collect())
    }
}

async fn until<F: Future<Output = anyhow::Result<bool>>>(what: &str, holds: impl Fn() -> F) -> anyhow::Result<()> {
    let deadline = Instant::now() + DEADLINE;
    let mut looks = interval(Duration::from_millis(25));
    loop {
        looks.tick().await;
        if holds().await? {
            return Ok(());
        }
        if Instant::now() >= deadline {
            bail!("{DEADLINE:?} have passed before {what}");
        }
    }
}

/// Which key of `role` had a part in this evidence.
fn signer(evidence: &[u8], role: Role) -> anyhow::Result<Option<Thumbprint>> {
    let evidence = Evidence::decode(evidence)?;
    Ok(match role {
        Role::Attester => match evidence.claim(EvidenceKind::Challenge) {
            Some(bytes) => Some(Signed::<Challenge>::parse(bytes)?.key_id()),
            None => None,
        },
        Role::Origin => match evidence.claim(EvidenceKind::Statement) {
            Some(bytes) => Some(Signed::<Statement>::parse(bytes)?.key_id()),
            None => None,
        },
        Role::Prober => match evidence.claim(EvidenceKind::Observation) {
            Some(bytes) => Some(Signed::<Observation>::parse(bytes)?.key_id()),
            None => None,
        },
    })
}

fn copy_folder(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

/// Nobody leaves, no session ends, no probe fails, and all evidence verifies, from before, during and after.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotating_each_key_costs_nobody_anything() {
    let site = Site::start().await.unwrap();
    let watch = site.cluster.watch();
    for role in [Role::Attester, Role::Origin, Role::Prober] {
        let key = site.rotate(role).unwrap();
        site.wait_proofs_with(role, key).await.unwrap();
    }
    let seen = watch.finish().await.unwrap();
    let members: BTreeSet<_> = site.peers.iter().map(|peer| peer.address().ip()).collect();
    assert_eq!(seen.always, members, "of {} answers", seen.answers);

    let trust = site.trust().unwrap();
    for peer in &site.peers {
        assert_eq!(site.sessions(peer).await.unwrap().len(), 1, "{peer} kept its session");
        for probe in site.cluster.probes(peer).await.unwrap() {
            let again = recheck(&probe.evidence, &trust, site.demands());
            assert!(
                probe.outcome == Outcome::Proved && again.as_ref().is_ok_and(|again| again.proof.is_some()),
                "{peer}: {:?} {} {again:?}",
                probe.reason,
                probe.detail
            );
        }
    }
}

/// Whoever was verified with it leaves at once, and comes back as soon as it is proved with the new key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_rests_on_a_revoked_key_is_gone_and_proved_anew() {
    for role in [Role::Attester, Role::Origin, Role::Prober] {
        gone_and_proved_anew(role).await.unwrap();
    }
}

async fn gone_and_proved_anew(role: Role) -> anyhow::Result<()> {
    let site = Site::start().await?;
    let watch = site.cluster.watch();
    let key = site.revoke(role)?;
    for peer in &site.peers {
        // The probe that was on its way when the key was revoked is not held against it.
        let fits = |record: &harness::Record| record.standing == VERIFIED && record.in_rotation;
        until(&format!("{peer} is proved without the revoked {role} key"), || async {
            let Some(newest) = site.cluster.probes(peer).await?.into_iter().next() else {
                return Ok(false);
            };
            Ok(newest.outcome == Outcome::Proved && signer(&newest.evidence, role)? != Some(key))
        })
        .await?;
        site.cluster.wait_record(peer, "verified again", fits).await?;
    }
    let seen = watch.finish().await?;
    ensure!(
        seen.always.is_empty(),
        "{:?} never left after the {role} key was revoked",
        seen.always
    );

    let (trust, root) = (site.trust()?, Trust::of_root(site.cluster.root()));
    for peer in &site.peers {
        let (mut old, mut new) = (0, 0);
        for probe in site.cluster.probes(peer).await? {
            ensure!(
                probe.outcome != Outcome::Failed,
                "{peer}: {:?} {}",
                probe.reason,
                probe.detail
            );
            if probe.outcome != Outcome::Proved {
                continue;
            }
            let again = recheck(&probe.evidence, &trust, site.demands());
            if signer(&probe.evidence, role)? == Some(key) {
                let finding = again.err().context("evidence of a revoked key counts")?;
                ensure!(
                    finding.reason == Reason::KeyRevoked && finding.detail().contains(&key.to_string()),
                    "{finding}"
                );
                ensure!(
                    recheck(&probe.evidence, &root, site.demands()).is_ok(),
                    "its own keyset cannot know"
                );
                old += 1;
            } else {
                ensure!(
                    again.is_ok_and(|again| again.proof.is_some()),
                    "{peer}: new evidence does not verify"
                );
                new += 1;
            }
        }
        ensure!(old >= 3 && new >= 3, "{peer}: {old} proofs before and {new} after");
    }
    Ok(())
}

/// A restart makes standing again from evidence; what a revoked key signed is none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_restores_nobody_from_evidence_of_a_revoked_key() {
    // A lease that outlives both restarts, however slow the machine is.
    let lease = Duration::from_secs(120);
    let options = Options {
        lease,
        ..Options::quick()
    };
    let mut site = Site::start_with(options).await.unwrap();
    site.cluster.stop().await.unwrap();
    for peer in &mut site.peers {
        peer.stop_gone().await;
    }
    site.cluster.restart().await.unwrap();
    site.wait_members().await.unwrap();
    site.cluster.stop().await.unwrap();
    site.revoke(Role::Attester).unwrap();
    site.cluster.restart().await.unwrap();
    // Whoever was restored would be in it for the rest of that lease.
    site.cluster.wait_rotation_of(&[]).await.unwrap();
    for peer in &mut site.peers {
        peer.restart().await.unwrap();
    }
    site.wait_members().await.unwrap();
}

/// Whoever stole a key that was rotated out cannot bring it back with the keyset of its time, which still runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_believes_no_keyset_older_than_one_it_has_believed() {
    let mut site = Site::start().await.unwrap();
    let keys = site.cluster.config().keys_folder();
    let backup = keys.with_file_name("backup");
    copy_folder(&keys, &backup).unwrap();
    let key = site.rotate(Role::Attester).unwrap();
    site.wait_proofs_with(Role::Attester, key).await.unwrap();

    site.cluster.stop().await.unwrap();
    fs::remove_dir_all(&keys).unwrap();
    copy_folder(&backup, &keys).unwrap();
    site.cluster.restart().await.unwrap();
    // One agent goes on, the other is started again: it remembers by its file.
    site.peers[1].restart().await.unwrap();
    for peer in &site.peers {
        until(&format!("{peer} refuses the older keyset"), || async {
            let reason = peer.standing().and_then(|standing| standing.reason);
            Ok(reason.as_deref() == Some("keyset-old"))
        })
        .await
        .unwrap();
    }
    // The operator's remedy, which the agents' own words name.
    let remedy = site.peers[0].standing().unwrap().remedy.unwrap();
    assert!(remedy.contains("attester keys sign"), "{remedy}");
    site.folder.sign(None, IfLost::Refuse, Clock::system().now()).unwrap();
    for peer in &site.peers {
        until(&format!("{peer} is registered again"), || async {
            Ok(peer.standing().is_some_and(|standing| standing.reason.is_none()))
        })
        .await
        .unwrap();
    }
    site.wait_members().await.unwrap();
}

/// Somebody puts yesterday's copy of the key folder back while everything runs: what was revoked since stays revoked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_of_the_keys_that_is_put_back_undoes_no_revocation() {
    let mut site = Site::start().await.unwrap();
    let keys = site.cluster.config().keys_folder();
    let backup = keys.with_file_name("backup");
    copy_folder(&keys, &backup).unwrap();
    let revoked = site.revoke(Role::Attester).unwrap();
    let newest = |keyset: &Path| fs::read(keyset).unwrap();
    let revoking = newest(&site.folder.keyset_file());
    for peer in &site.peers {
        until(&format!("{peer} is proved without the revoked key"), || async {
            let Some(probe) = site.cluster.probes(peer).await?.into_iter().next() else {
                return Ok(false);
            };
            Ok(probe.outcome == Outcome::Proved && signer(&probe.evidence, Role::Attester)? != Some(revoked))
        })
        .await
        .unwrap();
    }
    copy_folder(&backup, &keys).unwrap();
    until("the attester says that it does not use the copy", || async {
        Ok(get(&site.cluster, "/metrics")
            .await
            .1
            .contains("attester_key_folder_used{} 0"))
    })
    .await
    .unwrap();
    // A session that begins now begins with the newer keyset.
    site.peers[0].restart().await.unwrap();
    site.wait_members().await.unwrap();
    for peer in &site.peers {
        let probes = site.cluster.probes(peer).await.unwrap();
        let evidence = Evidence::decode(&probes.first().unwrap().evidence).unwrap();
        assert_eq!(
            evidence.claim(EvidenceKind::Keyset),
            Some(revoking.as_slice()),
            "{peer}"
        );
    }
}
