#![expect(clippy::unwrap_used, reason = "tests")]

use std::ops::Range;

use proptest::prelude::*;
use proto::claims::{Path, Protocol};

use super::*;
use crate::{
    model::Route,
    verify::{
        Demands, Trust,
        fixture::{Probe, at, key, proof, proof_by},
        recheck,
    },
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

fn other_identity() -> Identity {
    proof(51, ADDRESS, Protocol::Enproxy, 1024, 0).identity().clone()
}

/// A new key takes along what counts against the older ones, and nothing of what was proven.
#[test]
fn a_new_key_begins_at_registered_with_the_failures_of_the_old() {
    let rules = Rules::default();
    let succeeding = |past: &[&Life]| Life::succeeding(other_identity(), past.iter().copied());
    let shown = |life: Life| life.after(Event::Named, at(20, 0), &rules);

    let life = succeeding(&[&verified()]);
    assert_eq!(
        (life.standing().name(), life.strikes(), life.turn()),
        ("registered", 0, 3)
    );
    assert!(life.lease().is_none() && life.membership(at(5, 0)).is_none() && life.last().is_none());
    assert_eq!(life.identity(), &other_identity());
    assert_eq!(shown(life).standing().name(), "named");
    // Proofs of the old key are another identity's.
    let life = prove(shown(succeeding(&[&verified()])), Protocol::Enproxy, LARGE, 21);
    assert_eq!(
        (life.standing().name(), life.last().unwrap().reason),
        ("named", Reason::EvidenceInvalid)
    );

    let once = fail(verified(), Reason::Truncated, 10);
    let life = shown(succeeding(&[&once]));
    assert_eq!((life.standing().name(), life.strikes()), ("named", 1));
    assert_eq!(life.last().unwrap().reason, Reason::Truncated);
    assert_eq!(fail(life, Reason::Egress, 30).standing().name(), "refused");

    for past in [
        &[&once, &once][..],
        &[&fail(fail(named(), Reason::Egress, 1), Reason::Egress, 2)],
    ] {
        let life = shown(succeeding(past));
        assert_eq!((life.standing().name(), life.strikes()), ("refused", 2));
        assert_eq!(fail(life, Reason::Egress, 30).standing().name(), "refused");
    }
    let gone = once.after(Event::Goodbye, at(11, 0), &rules);
    let life = succeeding(&[&gone]);
    assert_eq!((life.strikes(), life.last()), (0, None));
}

/// A failure is inherited together with the way by which it was seen: only a proof by that way takes it off.
#[test]
fn what_failed_behind_the_edge_counts_there_for_a_new_key_too() {
    let rules = Rules {
        fronted: Some(Fronted {
            port: 443,
            required: false,
        }),
        ..Rules::default()
    };
    let proved = |life: Life, address, route, second| {
        let proof = proof_by(51, address, route, LARGE, second);
        life.after(Event::Proved(Box::new(proof)), at(second + 1, 0), &rules)
    };
    let direct = |life, address, seconds: Range<u64>| {
        seconds.fold(life, |life, second| {
            let protocol = [Protocol::Enproxy, Protocol::Connect][usize::from(second % 2 == 1)];
            proved(life, address, Route::direct(protocol), second)
        })
    };
    let successor = |address, past: &[&Life]| {
        let identity = proof(51, address, Protocol::Enproxy, 16, 0).identity().clone();
        Life::succeeding(identity, past.iter().copied()).after(Event::Named, at(20, 0), &rules)
    };
    let behind = verified().after(Event::FailedBehindEdge(Reason::Egress.into()), at(10, 0), &rules);
    let directly = fail(verified(), Reason::Truncated, 10);
    for (past, there) in [
        (&[&behind][..], true),
        // Who never failed has no say in it, and of two failures the later one counts.
        (&[&behind, &verified()], true),
        (&[&directly, &behind], true),
        (&[&behind, &directly], false),
    ] {
        assert_eq!(successor(ADDRESS, past).is_blamed_behind_edge(), there);
    }

    let life = direct(successor(ADDRESS, &[&behind]), ADDRESS, 21..26);
    assert_eq!((life.standing().name(), life.strikes()), ("verified", 1));
    let fronted = Route {
        path: Path::Fronted,
        protocol: Protocol::Enproxy,
    };
    let life = proved(life, ADDRESS, fronted, 26);
    assert_eq!((life.strikes(), life.is_blamed_behind_edge()), (0, false));
    // At another port there is no such way: nobody owes for ever what cannot be asked.
    let elsewhere = "192.0.2.7:8443";
    let life = direct(successor(elsewhere, &[&behind]), elsewhere, 21..24);
    assert_eq!((life.standing().name(), life.strikes()), ("verified", 1));
    assert_eq!(direct(life, elsewhere, 24..25).strikes(), 0);
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

/// Handshakes on the way to admission are whole ones, and a lease may end while a member's probe is under way.
#[test]
fn a_resumed_handshake_renews_a_lease_and_begins_no_admission() {
    let rules = Rules::default();
    let renewed = |life: Life, seconds| {
        let proof = Box::new(proof(50, ADDRESS, Protocol::Enproxy, 1024, seconds));
        life.after(Event::Renewed(proof), at(seconds, 0), &rules)
    };
    let member = verified();
    let until = member.lease().unwrap();
    let second = |time: proto::time::Timestamp| time.seconds().as_u64() - at(0, 0).seconds().as_u64();
    let member = renewed(member, second(until) - 1);
    assert!(member.lease().unwrap() > until);
    let late = second(member.lease().unwrap()) + 1;
    let lapsed = renewed(member, late);
    assert_eq!(
        (lapsed.standing().name(), lapsed.standing().streak().unwrap().length()),
        ("suspended", 0)
    );
    assert_eq!(lapsed.last().map(|last| last.reason), Some(Reason::LeaseLapsed));
    // Nor does one that comes after the lapse was noticed; a whole one does.
    let lapsed = renewed(lapsed, late + 1);
    assert_eq!(lapsed.standing().streak().unwrap().length(), 0);
    let back = prove(lapsed, Protocol::Enproxy, 1024, late + 2);
    assert_eq!(back.standing().streak().unwrap().length(), 1);
}

/// Or a goodbye between two failures would wash each of them off, and with them the longer waits of who was refused.
#[test]
fn a_goodbye_washes_nobody_clean() {
    let rules = Rules::default();
    let away_and_back = |life: Life| {
        let life = life.after(Event::Goodbye, at(20, 0), &rules);
        assert_eq!(life.last().map(|last| last.reason), Some(Reason::Goodbye));
        let life = life.after(Event::Returned, at(21, 0), &rules);
        assert_eq!(life.standing().name(), "registered");
        life.after(Event::Named, at(22, 0), &rules)
    };
    let once = away_and_back(fail(named(), Reason::Egress, 1));
    assert_eq!((once.standing().name(), once.strikes()), ("named", 1));
    let refused = away_and_back(fail(once, Reason::Egress, 23));
    assert_eq!((refused.standing().name(), refused.strikes()), ("refused", 2));
    assert_eq!(refused.last().map(|last| last.reason), Some(Reason::Egress));
    // Nor does an address that somebody else took, nor another port or TLS key.
    let taken = refused.after(Event::AddressTaken, at(30, 0), &rules);
    let moved = Life::succeeding(identity(), [&taken]).after(Event::Named, at(31, 0), &rules);
    assert_eq!((moved.standing().name(), moved.strikes()), ("refused", 2));
    assert_eq!(moved.last().map(|last| last.reason), Some(Reason::Egress));
    // A member's goodbye leaves nothing behind, and whoever is proved gets in.
    let member = away_and_back(fail(verified(), Reason::Egress, 10));
    assert_eq!(
        (member.standing().name(), member.strikes(), member.last()),
        ("named", 0, None)
    );
    let life = prove(prove(moved, Protocol::Enproxy, LARGE, 40), Protocol::Connect, 1024, 42);
    assert_eq!(prove(life, Protocol::Enproxy, 1024, 44).standing().name(), "verified");
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
            &Trust::of_root(key(1).public()),
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
    // A neighbour's newer evidence among a peer's own, by whoever can write the store, does not make its lease longer.
    let neighbours = Probe::of(51, "192.0.2.8:443", 200).with_verdict(300).encode().unwrap();
    let neighbours = || recheck(&neighbours, &Trust::of_root(key(1).public()), Demands::default()).unwrap();
    let mut mixed = all();
    mixed.insert(0, neighbours());
    assert_eq!(without(mixed, at(310, 0)), Reason::LeaseLapsed);
    assert_eq!(without(vec![neighbours()], at(310, 0)), Reason::EvidenceInvalid);
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

#[test]
fn a_revoked_key_voids_streaks_and_washes_nobody_clean() {
    let revoked = |life: Life| life.after(Event::KeyRevoked, at(3, 0), &Rules::default());
    let probing = revoked(prove(named(), Protocol::Enproxy, 1024, 0));
    assert_eq!(probing.standing().name(), "probing");
    assert_eq!(probing.standing().streak().map(Streak::length), Some(0));
    let failed = named().after(Event::Failed(Reason::TlsTimeout.into()), at(0, 0), &Rules::default());
    let failed = revoked(failed);
    assert_eq!(
        (failed.strikes(), failed.last().map(|last| last.reason)),
        (1, Some(Reason::TlsTimeout))
    );
    assert_eq!(revoked(named()).standing().name(), "named");
    let over = Life::starting_over(identity(), Reason::KeyRevoked.into());
    assert_eq!(over.standing().name(), "registered");
    assert_eq!(over.last().map(|last| last.reason), Some(Reason::KeyRevoked));
}
