//! One peer's life, fed with real proofs and whatever else can happen to it. What promises P1 to P4 say is counted beside it.

use std::{cell::RefCell, collections::HashMap, time::Duration};

use attester::{
    decide::{Event, Life, Rules, Standing},
    model::{Finding, Identity, Reason},
    verify::{Case, Demands, Recheck, Trust, Verified, recheck, verify},
};
use proto::{claims::Protocol, evidence::Evidence, time::Timestamp};

use crate::{
    choices::Choices,
    honest::{OTHER_PEER, PEER, Probe, ROOT, at, key},
    target::{Input, Property, Report, Target},
};

/// See the module.
pub const TARGET: Target = Target {
    name: "life",
    says: "a peer's life at the attester, step by step: proofs, failures, reconnects, time",
    input: Input::Choices,
    properties: &[
        NO_PROOF_NO_ROTATION,
        LEASE,
        ONLY_PROOFS_ADMIT,
        ATTESTERS_TROUBLE,
        GOODBYE,
        RESTORED,
    ],
    run,
};

const NO_PROOF_NO_ROTATION: Property = Property {
    name: "no-proof-no-rotation",
    says: "P1: a member has had k proofs of its own identity in a row, over every protocol that it lists, one with throughput",
};
const LEASE: Property = Property {
    name: "lease",
    says: "P2: nobody is a member for longer than a lease after the last proof's receipt arrived",
};
const ONLY_PROOFS_ADMIT: Property = Property {
    name: "only-proofs-admit",
    says: "P3: nothing but a proof makes a member of somebody who was none",
};
const ATTESTERS_TROUBLE: Property = Property {
    name: "attesters-trouble",
    says: "P4: an inconclusive outcome costs nobody membership before the lease's end, and counts no strike",
};
const GOODBYE: Property = Property {
    name: "goodbye",
    says: "who says goodbye, or whose address is taken, is no member from then on; it owes nothing for that, and only who was verified leaves without strikes",
};
const RESTORED: Property = Property {
    name: "restored",
    says: "after a restart the peer's own evidence, and no other's, makes it a member: complete, and until the last of its verdicts ends",
};

/// What is counted beside a life.
#[derive(Default)]
struct Counted {
    named: bool,
    /// Proofs since the streak broke.
    streak: u32,
    protocols: Vec<Protocol>,
    measured: bool,
    last_proof: Option<Timestamp>,
}

impl Counted {
    /// The streak broke.
    fn begin_again(&mut self) {
        (self.streak, self.measured) = (0, false);
        self.protocols.clear();
    }
}

fn run(input: &[u8], report: &mut Report) {
    let mut choices = Choices::new(input);
    let rules = Rules {
        proofs: 1 + choices.below(4) as u32,
        lease: Duration::from_secs(20 + u64::from(choices.byte())),
        strikes: 1 + choices.below(3) as u32,
        // Nothing of it is decided here: `plan` chooses, and its own tests look at it.
        fronted: None,
    };
    let mut life = Life::registered(identity());
    let mut counted = Counted::default();
    let mut now = 0;
    for _ in 0..MOST_STEPS {
        if choices.is_over() {
            break;
        }
        now += if choices.twist() { u64::from(choices.byte()) } else { 1 };
        life = step(life, &mut counted, now, &rules, &mut choices, report);
    }
}

fn step(
    life: Life,
    counted: &mut Counted,
    now: u64,
    rules: &Rules,
    choices: &mut Choices<'_>,
    report: &mut Report,
) -> Life {
    let (time, was) = (at(now), life.membership(at(now)).is_some());
    let strikes = life.strikes();
    let kind = choices.below(10);
    let mut admits = false;
    let event = match kind {
        0 | 1 => {
            let (proof, own) = proof(now, choices);
            admits = own;
            if own {
                count_proof(counted, &life, &proof, time);
            }
            Event::Proved(Box::new(proof))
        }
        2 => {
            counted.named = true;
            Event::Named
        }
        3 => Event::Failed(Reason::Truncated.into()),
        4 => Event::Inconclusive(Finding::new(Reason::ControlFailed, choices.text(30))),
        5 => Event::Goodbye,
        6 => Event::AddressTaken,
        7 => Event::Forgotten,
        8 => Event::Returned,
        _ => {
            restart(now, choices, report);
            return life;
        }
    };
    let before = life.standing().name();
    let life = life.after(event, time, rules);
    let is = life.membership(time).is_some();
    if life.standing().streak().is_some_and(|streak| streak.length() == 0) {
        counted.begin_again();
    }
    report.note(|| format!("{now} s, step {kind}: {before} to {}", life.standing()));

    member(&life, counted, time, rules, report);
    report.check(ONLY_PROOFS_ADMIT, was || !is || admits, || {
        format!("{life:?} by step {kind}")
    });
    match kind {
        4 => report.check(ATTESTERS_TROUBLE, is == was && life.strikes() == strikes, || {
            format!(
                "member before: {was}, after: {is}; {strikes} strikes, then {}",
                life.strikes()
            )
        }),
        5..=7 => {
            let owed = if before == attester::decide::VERIFIED {
                0
            } else {
                strikes
            };
            report.check(GOODBYE, !is && life.strikes() == owed, || format!("{life:?}"));
            // A retired life must be named anew.
            *counted = Counted::default();
        }
        _ => {}
    }
    life
}

/// What P1 and P2 say of a member.
fn member(life: &Life, counted: &Counted, time: Timestamp, rules: &Rules, report: &mut Report) {
    let Some(proof) = life.membership(time) else { return };
    let mut listed = life.identity().protocols.iter();
    let enough = counted.named
        && counted.streak >= rules.proofs_for(life.identity())
        && counted.measured
        && listed.all(|protocol| counted.protocols.contains(&protocol));
    let own = proof.identity() == life.identity();
    report.check(NO_PROOF_NO_ROTATION, enough && own && proof.is_complete(), || {
        format!("after {} proofs over {:?}: {life:?}", counted.streak, counted.protocols)
    });
    let fresh = counted.last_proof.is_some_and(|last| time < last.plus(rules.lease));
    report.check(LEASE, fresh, || {
        format!("at {time}, the last proof at {:?}", counted.last_proof)
    });
}

fn count_proof(counted: &mut Counted, life: &Life, proof: &Verified, time: Timestamp) {
    // What is proved before its name is shown brings nobody in.
    if matches!(life.standing(), Standing::Registered | Standing::Retired) {
        return;
    }
    // A lease that has lapsed is a streak that has ended.
    if matches!(life.standing(), Standing::Verified { until, .. } if *until <= time) {
        counted.begin_again();
    }
    counted.streak += 1;
    counted.measured |= proof.goodput().is_some();
    counted
        .protocols
        .extend(proof.routes().keys().map(|route| route.protocol));
    counted.last_proof = Some(proof.at());
}

/// A proof of this second, and whether it is the peer's own.
fn proof(now: u64, choices: &mut Choices<'_>) -> (Verified, bool) {
    let own = !choices.twist();
    let probe = Probe {
        protocol: *choices.of(Protocol::ALL),
        body: *choices.of(&[256 << 10, 1024]),
        peer: if own { Probe::default().peer } else { OTHER_PEER },
        // A receipt arrives within the second.
        at: now.saturating_sub(1),
        ..Probe::default()
    };
    (proved(&probe), own)
}

/// The attester starts again, with what evidence it finds. The life that is followed goes on.
fn restart(now: u64, choices: &mut Choices<'_>, report: &mut Report) {
    let (mut evidence, mut own) = (Vec::new(), Vec::new());
    for _ in 0..choices.below(6) {
        let probe = Probe {
            protocol: *choices.of(Protocol::ALL),
            body: *choices.of(&[256 << 10, 1024]),
            peer: if choices.twist() { OTHER_PEER } else { PEER },
            at: now.saturating_sub(u64::from(choices.any::<u16>() % 600)),
            ..Probe::default()
        };
        if let Some(checked) = rechecked(&probe) {
            if probe.peer == PEER {
                own.push((probe, checked.verdict.expires.start()));
            }
            evidence.push(checked);
        }
    }
    let until = own.iter().map(|(_, until)| *until).max();
    let proven = |protocol: &Protocol| own.iter().any(|(probe, _)| probe.protocol == *protocol);
    let complete = Protocol::ALL.iter().all(proven) && own.iter().any(|(probe, _)| probe.body == 256 << 10);
    let restored = Life::restored(identity(), evidence, at(now));
    let member = restored.membership(at(now)).is_some();
    let may = complete && until.is_some_and(|until| at(now) < until);
    report.check(
        RESTORED,
        member == may && (!member || restored.lease() == until),
        || format!("complete: {complete}, until {until:?}: {restored:?}"),
    );
}

fn identity() -> Identity {
    IDENTITY.with(Clone::clone)
}

/// A proof, by the real verifier: there is no other way to one.
fn proved(probe: &Probe) -> Verified {
    let case = |evidence: &Evidence| {
        verify(&Case {
            trust: &trust(),
            evidence,
            receipt_arrived: probe.receipt_arrived(),
            clock_offset: 0,
            nonce_seen: false,
            demands: Demands::default(),
        })
    };
    match case(&evidence(probe)) {
        Ok(proof) => proof,
        Err(finding) => unproved(&finding),
    }
}

#[expect(clippy::panic, reason = "an honest probe that is not proved is a finding of its own")]
fn unproved(finding: &Finding) -> Verified {
    panic!("honest evidence proves nothing: {finding}")
}

fn rechecked(probe: &Probe) -> Option<Recheck> {
    let bytes = evidence(probe).encode().ok()?;
    recheck(&bytes, &trust(), Demands::default()).ok()
}

fn trust() -> Trust {
    Trust::of_root(key(ROOT).public())
}

/// The evidence of a probe, made once.
fn evidence(probe: &Probe) -> Evidence {
    MADE.with_borrow_mut(|made| {
        if made.len() > MOST_KEPT {
            made.clear();
        }
        let make = || probe.evidence(&mut |_, _| {}).unwrap_or(Evidence::EMPTY);
        made.entry(probe.clone()).or_insert_with(make).clone()
    })
}

thread_local! {
    static MADE: RefCell<HashMap<Probe, Evidence>> = RefCell::default();
    static IDENTITY: Identity = proved(&Probe::default()).identity().clone();
}

const MOST_STEPS: usize = 24;
const MOST_KEPT: usize = 4096;
