use std::{collections::BTreeSet, time::Duration};

use proptest::prelude::*;
use proto::{
    claims::Outcome,
    ids::{Nonce, ProbeId},
    time::Timestamp,
};
use tempfile::TempDir;

use super::*;
use crate::{
    decide::{Event, Life},
    model::{Finding, PhaseTimes, Reason, Route},
    run::restore::{Terms, life_of},
    store::{PeerRow, ProbeRow, Retention, Store},
    verify::{
        Case, Demands, Trust,
        fixture::{Probe, at, key},
        verify,
    },
};

const ADDRESS: &str = "192.0.2.7:443";
/// Seconds between two probes.
const STEP: u64 = 40;

/// One concluded probe.
#[derive(Clone, Copy, Debug)]
enum Step {
    Proved { connect: bool, measured: bool },
    Failed,
    Doubted,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (any::<bool>(), any::<bool>()).prop_map(|(connect, measured)| Step::Proved { connect, measured }),
        1 => Just(Step::Failed),
        1 => Just(Step::Doubted),
    ];
    prop::collection::vec(step, 3..30)
}

fn retention() -> impl Strategy<Value = Retention> {
    let some = |least: u64, most: u64| prop_oneof![Just(least), Just(least + 1), least..most];
    (some(0, 20), some(0, 2000), some(0, 40_000)).prop_map(|(per_peer, age, total_bytes)| Retention {
        per_peer: usize::try_from(per_peer).unwrap(),
        age: Duration::from_secs(age),
        total_bytes,
    })
}

/// A peer's life, as the loop leads it and the store keeps it.
struct Led {
    _folder: TempDir,
    store: Store,
    life: Life,
    grounds: Grounds,
    terms: Terms,
    now: Timestamp,
}

impl Led {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let rules = Rules::default();
        let registration = Probe::of(50, ADDRESS, 0).registration;
        let life = Life::registered(Identity::of(&registration).unwrap());
        Self {
            store: Store::open(&folder.path().join("state.db")).await.unwrap(),
            _folder: folder,
            life: life.after(Event::Named, at(0, 0), &rules),
            grounds: Grounds::default(),
            terms: Terms {
                trust: Trust::of_root(key(1).public()),
                demands: Demands {
                    goodput_body: 2048,
                    goodput_floor: 1,
                    ..Demands::default()
                },
                rules,
            },
            now: at(0, 0),
        }
    }

    fn row(&self) -> PeerRow {
        let identity = self.life.identity();
        PeerRow {
            id: identity.id(),
            key: identity.key,
            address: identity.address,
            pin: identity.pin,
            protocols: identity.protocols.clone(),
            standing: self.life.standing().name().to_owned(),
            reason: None,
            detail: String::new(),
            since: Some(self.now),
            first_seen: at(0, 0),
            last_seen: self.now,
            lease_until: self.life.lease(),
        }
    }

    async fn take(&mut self, number: u64, step: Step) {
        let mut probe = Probe::of(50, ADDRESS, number * STEP);
        self.now = probe.arrived;
        self.turn(Event::Tick);
        if let Step::Proved { connect, measured } = step {
            probe.protocol = if connect { Protocol::Connect } else { Protocol::Enproxy };
            probe.with_body(if measured { 2048 } else { 1024 });
        }
        let (outcome, reason, ground) = match step {
            Step::Proved { .. } => {
                let evidence = probe.evidence();
                let case = Case {
                    trust: &self.terms.trust,
                    evidence: &evidence,
                    receipt_arrived: probe.arrived,
                    clock_offset: 0,
                    nonce_seen: false,
                    demands: self.terms.demands,
                };
                let proof = verify(&case).unwrap();
                let ground = Ground::of(probe.challenge.probe, &proof);
                self.turn(Event::Proved(Box::new(proof)));
                (Outcome::Proved, None, Some(ground))
            }
            Step::Failed => {
                self.turn(Event::Failed(Reason::Egress.into()));
                (Outcome::Failed, Some(Reason::Egress), None)
            }
            Step::Doubted => {
                self.turn(Event::Inconclusive(Finding::from(Reason::ControlFailed)));
                (Outcome::Inconclusive, Some(Reason::ControlFailed), None)
            }
        };
        let standing = self.life.standing().name();
        let lasts = self.life.lease().map_or(300, |until| until.since(self.now).as_secs());
        let evidence = probe.concluded(outcome, reason.map_or("", Reason::code), standing, lasts);
        let row = ProbeRow {
            probe: probe.challenge.probe,
            peer: self.life.identity().id(),
            at: self.now,
            route: Route::direct(probe.protocol),
            body: 1024,
            outcome,
            reason,
            detail: String::new(),
            phases: PhaseTimes::default(),
            nonce: Nonce::from_bytes({
                let mut nonce = [0; 32];
                nonce[..8].copy_from_slice(&number.to_be_bytes());
                nonce
            }),
            evidence: evidence.encode().unwrap(),
        };
        self.store.record_verdict(&self.row(), &row).await.unwrap();
        let identity = self.life.identity();
        self.grounds.concluded(row.probe, ground, identity, &self.terms.rules);
    }

    fn turn(&mut self, event: Event) {
        let identity = self.life.identity().clone();
        let life = std::mem::replace(&mut self.life, Life::registered(identity));
        self.life = life.after(event, self.now, &self.terms.rules);
    }

    /// What a restart now would make of it: what is proven, and until when.
    async fn restored(&self) -> Option<(String, Timestamp)> {
        let row = self.row();
        let life = life_of(&self.store, &row, &self.terms, self.now)
            .await
            .unwrap()
            .unwrap();
        let proof = life.membership(self.now)?;
        Some((format!("{proof:?}"), life.lease()?))
    }

    fn leaned_on(&self) -> BTreeSet<ProbeId> {
        self.grounds.leaned_on(&self.life, self.now)
    }
}

async fn pruning_changes_nothing(steps: &[Step], retention: Retention) -> Result<bool, TestCaseError> {
    // Retention may run at any time, also between the proofs that will admit together.
    let mut pruned_often = Led::new().await;
    for (number, step) in steps.iter().enumerate() {
        pruned_often.take(number as u64, *step).await;
        let keep = pruned_often.leaned_on();
        let now = pruned_often.now;
        pruned_often.store.prune(now, &retention, &keep).await.unwrap();
        let member = pruned_often.life.membership(now).is_some();
        let restored = pruned_often.restored().await.is_some();
        prop_assert_eq!(restored, member, "after step {}", number);
    }
    let mut led = Led::new().await;
    for (number, step) in steps.iter().enumerate() {
        led.take(number as u64, *step).await;
    }
    let before = led.restored().await;
    prop_assert_eq!(
        before.is_some(),
        led.life.membership(led.now).is_some(),
        "a restart and the loop agree"
    );
    let keep = led.leaned_on();
    let stored = led.store.stored().await.unwrap();
    prop_assert_eq!(stored.probes, steps.len() as u64);
    let pruned = led.store.prune(led.now, &retention, &keep).await.unwrap();
    prop_assert_eq!(&led.restored().await, &before);
    let left = led.store.stored().await.unwrap();
    prop_assert_eq!(
        (left.probes, left.bytes),
        (stored.probes - pruned.probes, stored.bytes - pruned.bytes)
    );
    let kept = led.store.probes(&led.row().id, 100).await.unwrap();
    let kept: BTreeSet<ProbeId> = kept.rows.iter().map(|row| row.probe).collect();
    prop_assert!(keep.is_subset(&kept), "what a lease rests on was pruned");
    if retention.total_bytes == 0 || retention.per_peer == 0 {
        prop_assert_eq!(&kept, &keep);
    }
    prop_assert!(
        left.bytes <= retention.total_bytes || kept == keep,
        "{} bytes are left",
        left.bytes
    );
    Ok(before.is_some() && pruned.probes > 0)
}

/// Whatever a peer went through: what a restart would restore before a run of retention, it restores after it.
#[test]
fn pruning_never_changes_what_a_restart_restores() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 48,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let telling = std::cell::Cell::new(0);
    runner
        .run(&(steps(), retention()), |(steps, retention)| {
            let told = runtime.block_on(pruning_changes_nothing(&steps, retention))?;
            telling.set(telling.get() + u32::from(told));
            Ok(())
        })
        .unwrap();
    assert!(
        telling.get() >= 5,
        "only {} cases had a member and something to forget",
        telling.get()
    );
}

/// As for a member whose throughput was measured long ago: that probe stays, the many between go.
#[tokio::test]
async fn the_old_measurement_of_a_member_stays() {
    let mut led = Led::new().await;
    let plain = |connect| Step::Proved {
        connect,
        measured: false,
    };
    let mut all = vec![
        plain(true),
        plain(false),
        Step::Proved {
            connect: true,
            measured: true,
        },
    ];
    all.extend(std::iter::repeat_n(plain(false), 20));
    for (number, step) in all.iter().enumerate() {
        led.take(number as u64, *step).await;
    }
    let before = led.restored().await.unwrap();
    assert!(before.1 > at(20 * STEP, 0) && led.now > at(20 * STEP, 0));
    let nothing = Retention {
        per_peer: 0,
        age: Duration::ZERO,
        total_bytes: 0,
    };
    let pruned = led.store.prune(led.now, &nothing, &led.leaned_on()).await.unwrap();
    assert_eq!(led.restored().await, Some(before));
    // The newest three, the latest by CONNECT, which is the measurement: nothing else is needed.
    assert_eq!(pruned.probes, 19);
    let without = led.store.prune(led.now, &nothing, &BTreeSet::new()).await.unwrap();
    assert_eq!((without.probes, led.restored().await), (4, None));
}
