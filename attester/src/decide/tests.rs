#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use proto::claims::Protocol;

use super::*;
use crate::verify::{
    Demands,
    fixture::{Probe, at, key, proof},
    recheck,
};

const ADDRESS: &str = "192.0.2.7:443";
const LARGE: usize = 256 << 10;

fn identity() -> Identity {
    proof(50, ADDRESS, Protocol::Enproxy, 1024, 0).identity().clone()
}

fn named() -> Life {
    Life::registered(identity()).after(Event::Named, at(0, 0), &Rules::default())
}

fn prove(life: Life, protocol: Protocol, body: usize, seconds: u64) -> Life {
    let proof = proof(50, ADDRESS, protocol, body, seconds);
    life.after(Event::Proved(Box::new(proof)), at(seconds + 1, 0), &Rules::default())
}

fn fail(life: Life, reason: Reason, seconds: u64) -> Life {
    life.after(Event::Failed(reason.into()), at(seconds, 0), &Rules::default())
}

fn verified() -> Life {
    let life = prove(prove(named(), Protocol::Enproxy, 1024, 0), Protocol::Connect, 1024, 2);
    prove(life, Protocol::Enproxy, LARGE, 4)
}

#[test]
fn k_proofs_over_every_protocol_with_throughput_admit() {
    let life = verified();
    assert_eq!(life.standing().name(), "verified");
    assert!(life.membership(at(10, 0)).is_some());

    let one_protocol = prove(
        prove(prove(named(), Protocol::Enproxy, LARGE, 0), Protocol::Enproxy, 1024, 2),
        Protocol::Enproxy,
        1024,
        4,
    );
    assert_eq!(one_protocol.standing().name(), "probing");
    let unmeasured = prove(
        prove(prove(named(), Protocol::Enproxy, 1024, 0), Protocol::Connect, 1024, 2),
        Protocol::Enproxy,
        1024,
        4,
    );
    assert_eq!(unmeasured.standing().name(), "probing");
    assert_eq!(
        prove(unmeasured, Protocol::Connect, LARGE, 6).standing().name(),
        "verified"
    );
}

#[test]
fn a_failure_breaks_the_streak_and_two_refuse() {
    let life = fail(
        prove(prove(named(), Protocol::Enproxy, LARGE, 0), Protocol::Connect, 1024, 2),
        Reason::Truncated,
        4,
    );
    let life = prove(life, Protocol::Enproxy, LARGE, 6);
    assert_eq!(
        (life.standing().name(), life.standing().streak().unwrap().length()),
        ("probing", 1)
    );
    let refused = fail(fail(named(), Reason::Truncated, 1), Reason::Truncated, 2);
    assert_eq!(refused.standing().name(), "refused");
    assert_eq!(refused.last().unwrap().reason, Reason::Truncated);
}

/// Who passes the small probes and fails each measurement is told so and asked less often; before, it went round for ever.
#[test]
fn failures_before_membership_add_up() {
    let round = |life: Life, second: u64| {
        let life = prove(
            prove(life, Protocol::Enproxy, 1024, second),
            Protocol::Connect,
            1024,
            second + 2,
        );
        fail(life, Reason::Goodput, second + 4)
    };
    let life = round(round(named(), 0), 10);
    assert_eq!(
        (life.standing().name(), life.last().unwrap().reason),
        ("refused", Reason::Goodput)
    );
    let life = prove(prove(life, Protocol::Enproxy, 1024, 20), Protocol::Connect, 1024, 22);
    assert_eq!(
        prove(life, Protocol::Enproxy, LARGE, 24).standing().name(),
        "verified",
        "whoever mends its line gets in"
    );
}

#[test]
fn membership_is_a_lease() {
    let life = verified();
    let end = at(4, 900_000).plus(Rules::default().lease);
    assert_eq!(life.lease(), Some(end));
    assert!(life.membership(end).is_none());
    let life = life.after(Event::Tick, end, &Rules::default());
    assert_eq!(
        (life.standing().name(), life.last().unwrap().reason),
        ("suspended", Reason::LeaseLapsed)
    );
}

#[test]
fn a_proof_that_comes_after_the_lease_does_not_renew_it() {
    let late = prove(verified(), Protocol::Enproxy, LARGE, 10_000);
    assert_eq!(late.standing().name(), "suspended");
    assert_eq!(late.standing().streak().unwrap().length(), 1);
}

#[test]
fn two_consecutive_failures_suspend_and_admission_begins_again() {
    let life = fail(verified(), Reason::TlsTimeout, 10);
    assert!(life.membership(at(11, 0)).is_some());
    let life = fail(prove(life, Protocol::Enproxy, 1024, 11), Reason::TlsTimeout, 13);
    assert!(
        life.membership(at(14, 0)).is_some(),
        "the proof between resets the count"
    );
    let life = fail(life, Reason::TlsTimeout, 15);
    assert_eq!(life.standing().name(), "suspended");
    let life = prove(prove(life, Protocol::Enproxy, LARGE, 20), Protocol::Connect, 1024, 22);
    assert_eq!(life.standing().name(), "suspended");
    assert_eq!(prove(life, Protocol::Enproxy, 1024, 24).standing().name(), "verified");
}

#[test]
fn inconclusive_outcomes_change_nothing_but_do_not_renew() {
    let mut life = verified();
    for second in 10..200 {
        life = life.after(
            Event::Inconclusive(Reason::ControlFailed.into()),
            at(second, 0),
            &Rules::default(),
        );
        assert_eq!(life.standing().name(), "verified");
    }
    let life = life.after(
        Event::Inconclusive(Reason::ControlFailed.into()),
        at(306, 0),
        &Rules::default(),
    );
    assert_eq!(life.standing().name(), "suspended");
}

#[test]
fn goodbye_leaves_at_once_and_a_return_starts_again() {
    let life = verified().after(Event::Goodbye, at(10, 0), &Rules::default());
    assert!(life.membership(at(10, 0)).is_none());
    assert_eq!(life.strikes(), 0);
    let life = life.after(Event::Returned, at(20, 0), &Rules::default());
    assert_eq!(life.standing().name(), "registered");
    let kept = verified().after(Event::Returned, at(20, 0), &Rules::default());
    assert_eq!(kept.standing().name(), "verified", "a reconnect alone costs nothing");
}

#[test]
fn proofs_of_other_identities_bring_nobody_in() {
    let mut life = named();
    for second in 0..5 {
        let other = proof(51, "192.0.2.8:443", Protocol::Enproxy, LARGE, second);
        life = life.after(Event::Proved(Box::new(other)), at(second, 0), &Rules::default());
    }
    assert_eq!(life.standing().name(), "named");
}

#[test]
fn a_restart_restores_what_the_evidence_proves_and_nothing_more() {
    let stored = |protocol, body, seconds| {
        let mut probe = Probe::of(50, ADDRESS, seconds);
        probe.protocol = protocol;
        probe.with_body(body);
        recheck(
            &probe.with_verdict(300).encode().unwrap(),
            &key(1).public(),
            Demands::default(),
        )
        .unwrap()
    };
    let all = || vec![stored(Protocol::Enproxy, 1024, 0), stored(Protocol::Connect, LARGE, 2)];
    let life = Life::restored(identity(), all(), at(100, 0));
    assert_eq!(life.lease(), Some(at(302, 0)));

    let without = |evidence, when| {
        let life = Life::restored(identity(), evidence, when);
        assert_eq!(life.standing().name(), "registered");
        life.last().unwrap().reason
    };
    assert_eq!(without(all(), at(302, 0)), Reason::LeaseLapsed);
    assert_eq!(without(vec![], at(100, 0)), Reason::EvidenceInvalid);
    assert_eq!(
        without(vec![stored(Protocol::Enproxy, LARGE, 0)], at(100, 0)),
        Reason::EvidenceInvalid
    );
}

#[derive(Clone, Debug)]
enum Op {
    Prove(bool, bool),
    Fail,
    Doubt,
    Goodbye,
    Return,
    Name,
    Wait(u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (any::<bool>(), any::<bool>()).prop_map(|(first, large)| Op::Prove(first, large)),
        2 => Just(Op::Fail),
        1 => Just(Op::Doubt),
        1 => Just(Op::Goodbye),
        2 => Just(Op::Return),
        2 => Just(Op::Name),
        1 => (1..400_u64).prop_map(Op::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// P2 and P3 over any history: whoever is a member was proved within the lease and k times in a row before.
    #[test]
    fn nobody_is_a_member_without_fresh_proofs(ops in proptest::collection::vec(op(), 1..40)) {
        let rules = Rules::default();
        let (mut life, mut second, mut streak, mut last) = (Life::registered(identity()), 0_u64, 0_u32, None);
        for op in ops {
            second += 1;
            let now = at(second, 950_000);
            match op {
                Op::Prove(first, large) => {
                    let protocol = if first { Protocol::Enproxy } else { Protocol::Connect };
                    let proof = proof(50, ADDRESS, protocol, if large { LARGE } else { 16 }, second);
                    life = life.after(Event::Proved(Box::new(proof)), now, &rules);
                    (streak, last) = (streak + 1, Some(second));
                }
                Op::Fail => { life = life.after(Event::Failed(Reason::Truncated.into()), now, &rules); if life.membership(now).is_none() { streak = 0; } }
                Op::Doubt => life = life.after(Event::Inconclusive(Reason::ControlFailed.into()), now, &rules),
                Op::Goodbye => { life = life.after(Event::Goodbye, now, &rules); streak = 0; }
                Op::Return => life = life.after(Event::Returned, now, &rules),
                Op::Name => life = life.after(Event::Named, now, &rules),
                Op::Wait(seconds) => { second += seconds; life = life.after(Event::Tick, at(second, 950_000), &rules); }
            }
            if life.membership(at(second, 950_000)).is_some() {
                prop_assert!(streak >= rules.proofs);
                prop_assert!(second - last.unwrap() <= rules.lease.as_secs());
            }
        }
    }
}
