//! When the next probe of a peer is due, by which protocol, with how large a body. Pure: time and chance are arguments.

use std::time::Duration;

use proto::{claims::Protocol, time::Timestamp};

use crate::{
    decide::{Life, Rules, Standing, Streak},
    model::Route,
};

/// The schedule's figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Between the proofs of an admission, and after a failure or a hint.
    pub spacing: Duration,
    /// Between the probes of a verified peer.
    pub interval: Duration,
    /// Body bytes of an ordinary probe.
    pub liveness_body: u64,
    /// Body bytes of a probe that measures throughput.
    pub goodput_body: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            spacing: Duration::from_secs(2),
            interval: Duration::from_secs(60),
            liveness_body: 1 << 10,
            goodput_body: 256 << 10,
        }
    }
}

/// How long to wait after the last outcome before the next probe; `None` while there is nothing to probe.
///
/// `chance` in [0, 1) spreads the peers: intervals vary by a tenth either way, so that probes do not bunch up.
pub fn wait(life: &Life, pace: &Pace, rules: &Rules, chance: f64) -> Option<Duration> {
    let spread = |duration: Duration| duration.mul_f64(0.9 + 0.2 * chance.clamp(0.0, 1.0));
    let patience = |doubts: u32| (pace.spacing * 2_u32.saturating_pow(doubts.min(6))).min(pace.interval);
    let wait = match life.standing() {
        Standing::Registered | Standing::Retired => return None,
        _ if life.doubts() > 0 => patience(life.doubts() - 1),
        Standing::Named => Duration::ZERO,
        // It would be asked at that pace for as long as the edge has a trouble.
        Standing::Probing(streak) | Standing::Suspended(streak) | Standing::Refused(streak)
            if waits_for_edge(life, streak, rules) =>
        {
            spread(pace.interval)
        }
        Standing::Probing(_) => spread(pace.spacing),
        // Nor is a member hurried that shows itself well directly and owes an answer through an edge in trouble.
        Standing::Verified { .. } if life.strikes() > 0 && !(life.is_blamed_behind_edge() && life.last().is_none()) => {
            spread(pace.spacing)
        }
        Standing::Verified { .. } => spread(pace.interval).min(rules.lease / 3),
        Standing::Suspended(streak) | Standing::Refused(streak) if streak.length() > 0 => spread(pace.spacing),
        // Who keeps failing is asked less and less often, down to once in 64 intervals.
        Standing::Suspended(_) | Standing::Refused(_) => {
            let beyond = life.strikes().saturating_sub(rules.strikes).min(6);
            spread(pace.interval * 2_u32.pow(beyond))
        }
    };
    Some(wait)
}

/// What the next probe of a peer looks like: its protocols in turn, and throughput when it is not proven yet, for the last
/// proof of an admission and then every 20th time. Through an edge once the direct way is proven, and then every 10th time.
pub fn shape(life: &Life, pace: &Pace, rules: &Rules) -> (Route, u64) {
    let listed: Vec<Protocol> = life.identity().protocols.iter().collect();
    let streak = life.standing().streak();
    // On the way to admission each listed protocol must be proven; in turn, beginning with one that is not.
    let known = match life.standing() {
        Standing::Verified { proof, .. } => Some(proof),
        _ => streak.and_then(|streak| streak.proof()),
    };
    let unproven = listed
        .iter()
        .find(|protocol| known.is_none_or(|proof| !proof.routes().contains_key(&Route::direct(**protocol))));
    if let Some(route) = fronted(life, rules) {
        return (route, pace.liveness_body);
    }
    let turn = usize::try_from(life.turn() % listed.len().max(1) as u64).unwrap_or_default();
    let protocol = unproven.or(listed.get(turn)).copied().unwrap_or(Protocol::Enproxy);
    let measured = known.is_some_and(|proof| proof.goodput().is_some());
    // The one through the edge comes after it.
    let direct = rules.proofs_for(life.identity()) - u32::from(rules.requires_fronted(life.identity()));
    let last_of_admission = streak.is_some_and(|streak| streak.length() + 1 >= direct) && !measured;
    let large = last_of_admission || (life.lease().is_some() && life.turn().is_multiple_of(GOODPUT_EVERY));
    let body = if large { pace.goodput_body } else { pace.liveness_body };
    (Route::direct(protocol), body)
}

/// Whether a probe with such a body may resume a TLS session: a member's small one, while nothing counts against it.
pub fn may_resume(life: &Life, pace: &Pace, body: u64) -> bool {
    life.lease().is_some() && life.strikes() == 0 && body < pace.goodput_body
}

/// The route through the edge, when it is its turn. What breaks off there says nothing as long as the direct way works, which
/// the probe after it must show: so never twice in a row, but where a failure counted there, which is asked about there.
fn fronted(life: &Life, rules: &Rules) -> Option<Route> {
    let route = rules.fronted_route(life.identity()).filter(|_| life.doubts() == 0)?;
    let due = match life.standing() {
        // After a failure its own way is asked again.
        Standing::Verified { .. } if life.strikes() > 0 => life.is_blamed_behind_edge(),
        Standing::Verified { .. } => life.turn() % FRONTED_EVERY == FRONTED_EVERY / 2,
        standing => {
            let proof = standing.streak().and_then(|streak| streak.proof());
            proof.is_some_and(|proof| proof.is_complete() && !rules.are_met_by(proof))
        }
    };
    due.then_some(route)
}

/// Whether all that a peer on its way lacks is a proof through the edge, although it was asked for one.
fn waits_for_edge(life: &Life, streak: &Streak, rules: &Rules) -> bool {
    let direct = streak
        .proof()
        .is_some_and(|proof| proof.is_complete() && !rules.are_met_by(proof));
    direct && streak.length() > rules.proofs_for(life.identity())
}

/// Whether a lease, a naming or nothing at all has to be looked at by `now`.
pub fn lapses(life: &Life, now: Timestamp) -> bool {
    life.lease().is_some_and(|until| until <= now)
}

/// A verified peer's throughput is measured again every so many probes: 256 KiB an hour and a half at the default pace.
const GOODPUT_EVERY: u64 = 20;
/// A verified peer is probed through the edge every so many probes, never when its throughput is measured.
const FRONTED_EVERY: u64 = 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        decide::{Event, Fronted},
        model::Reason,
        verify::fixture::{at, proof, proof_by},
    };
    use proto::claims::{Path, Protocols};

    const ADDRESS: &str = "192.0.2.7:443";

    fn named() -> Life {
        let identity = proof(50, ADDRESS, Protocol::Enproxy, 16, 0).identity().clone();
        Life::registered(identity).after(Event::Named, at(0, 0), &Rules::default())
    }

    /// Following the plan, an honest peer is admitted with exactly k proofs.
    #[test]
    fn the_plan_admits_in_k_probes() {
        let (pace, rules) = (Pace::default(), Rules::default());
        let mut life = named();
        let mut asked = Vec::new();
        for second in 0..3 {
            let (route, body) = shape(&life, &pace, &rules);
            asked.push((route.protocol, body));
            let proof = proof(
                50,
                ADDRESS,
                route.protocol,
                usize::try_from(body).unwrap_or_default(),
                second,
            );
            life = life.after(Event::Proved(Box::new(proof)), at(second + 1, 0), &rules);
        }
        assert_eq!(life.standing().name(), "verified");
        assert_eq!(
            asked,
            [
                (Protocol::Enproxy, 1 << 10),
                (Protocol::Connect, 1 << 10),
                (Protocol::Enproxy, 256 << 10)
            ]
        );
    }

    fn behind_an_edge() -> Rules {
        Rules {
            fronted: Some(Fronted {
                port: 443,
                required: true,
            }),
            ..Rules::default()
        }
    }

    /// Follows the plan for `probes` probes, all of which prove what they should but for those through the edge, of which `edge`
    /// decides; gives the routes that were asked.
    fn follow(life: Life, rules: &Rules, probes: u64, edge: impl Fn(u64) -> bool) -> (Life, Vec<Route>) {
        let pace = Pace::default();
        let mut asked = Vec::new();
        let mut life = life;
        for second in 1..=probes {
            let (route, body) = shape(&life, &pace, rules);
            asked.push(route);
            let event = match route.path {
                Path::Fronted if !edge(second) => Event::Inconclusive(Reason::Edge.into()),
                _ => {
                    let body = usize::try_from(body).unwrap_or_default();
                    Event::Proved(Box::new(proof_by(50, ADDRESS, route, body, second)))
                }
            };
            life = life.after(event, at(second + 1, 0), rules);
        }
        (life, asked)
    }

    #[test]
    fn the_edge_comes_last_on_the_way_and_now_and_then_later() {
        let rules = behind_an_edge();
        let (life, asked) = follow(named(), &rules, 3, |_| true);
        assert_eq!(life.standing().name(), "verified");
        let fronted = Route {
            path: Path::Fronted,
            protocol: Protocol::Enproxy,
        };
        assert_eq!(
            asked,
            [
                Route::direct(Protocol::Enproxy),
                Route::direct(Protocol::Connect),
                fronted
            ]
        );
        let (life, asked) = follow(life, &rules, 40, |_| false);
        let through = asked.iter().filter(|route| **route == fronted).count();
        // An edge in trouble is asked no more often, costs nobody anything, and never twice in a row.
        assert!((2..=21).contains(&through), "{through}");
        assert!(asked.windows(2).all(|pair| pair != [fronted, fronted]));
        assert_eq!((life.standing().name(), life.strikes()), ("verified", 0));
    }

    #[test]
    fn who_fails_is_asked_directly_and_no_edge_washes_it_clean() {
        let (pace, rules) = (Pace::default(), behind_an_edge());
        let (mut life, _) = follow(named(), &rules, 3, |_| true);
        while fronted(&life, &rules).is_none() {
            life = follow(life, &rules, 1, |_| true).0;
        }
        // The edge says nothing, the direct way fails: it is asked again, not the edge.
        let life = life.after(Event::Inconclusive(Reason::Edge.into()), at(20, 0), &rules);
        let life = life.after(Event::Failed(Reason::Truncated.into()), at(21, 0), &rules);
        assert_eq!(shape(&life, &pace, &rules).0.path, Path::Direct);
        // And a proof through an edge that comes all the same leaves the failure counted.
        let route = rules
            .fronted_route(life.identity())
            .unwrap_or(Route::direct(Protocol::Connect));
        let life = life.after(
            Event::Proved(Box::new(proof_by(50, ADDRESS, route, 1024, 22))),
            at(23, 0),
            &rules,
        );
        assert_eq!(life.strikes(), 1);
        let life = life.after(Event::Failed(Reason::Truncated.into()), at(24, 0), &rules);
        assert_eq!(life.standing().name(), "suspended");
    }

    #[test]
    fn what_failed_behind_the_edge_is_asked_about_there_and_no_direct_proof_washes_it_clean() {
        let (pace, rules) = (Pace::default(), behind_an_edge());
        let (mut life, _) = follow(named(), &rules, 3, |_| true);
        while fronted(&life, &rules).is_none() {
            life = follow(life, &rules, 1, |_| true).0;
        }
        let egress = |second| (Event::FailedBehindEdge(Reason::Egress.into()), at(second, 0));
        let (failed, now) = egress(20);
        let life = life.after(failed, now, &rules);
        assert_eq!(
            (life.strikes(), wait(&life, &pace, &rules, 0.5)),
            (1, Some(pace.spacing))
        );
        assert_eq!(shape(&life, &pace, &rules).0.path, Path::Fronted);
        // The edge says nothing; a direct proof leaves the failure counted, and nobody is hurried for the edge's sake.
        let (life, asked) = follow(life, &rules, 2, |_| false);
        let paths: Vec<Path> = asked.iter().map(|route| route.path).collect();
        assert_eq!(paths, [Path::Fronted, Path::Direct]);
        assert_eq!(
            (life.strikes(), wait(&life, &pace, &rules, 0.5)),
            (1, Some(pace.interval))
        );
        assert_eq!(shape(&life, &pace, &rules).0.path, Path::Fronted);
        // The same again takes it out; a proof there takes the failure off.
        let (well, _) = follow(life, &rules, 1, |_| true);
        assert_eq!((well.standing().name(), well.strikes()), ("verified", 0));
        assert!(!well.is_blamed_behind_edge());
        let well = well
            .after(egress(30).0, at(30, 0), &rules)
            .after(egress(31).0, at(31, 0), &rules);
        assert_eq!(well.standing().name(), "suspended");
    }

    #[test]
    fn without_the_edge_nobody_gets_in_and_nobody_is_hurried() {
        let (pace, rules) = (Pace::default(), behind_an_edge());
        let (life, asked) = follow(named(), &rules, 20, |_| false);
        assert_eq!((life.standing().name(), life.strikes()), ("probing", 0));
        assert!(asked.iter().any(|route| route.path == Path::Fronted));
        // It has shown what it can: from now on it is asked as a member is.
        let doubts = u64::from(life.doubts());
        let (life, _) = follow(life, &rules, doubts, |_| false);
        assert_eq!(
            (life.doubts(), wait(&life, &pace, &rules, 0.5)),
            (0, Some(pace.interval))
        );
    }

    #[test]
    fn only_a_members_small_probe_may_resume() {
        let (pace, rules) = (Pace::default(), Rules::default());
        let life = named();
        assert!(!may_resume(&life, &pace, pace.liveness_body));
        let (life, _) = follow(life, &rules, 3, |_| true);
        assert!(may_resume(&life, &pace, pace.liveness_body));
        assert!(!may_resume(&life, &pace, pace.goodput_body));
        let life = life.after(Event::Failed(Reason::Truncated.into()), at(9, 0), &rules);
        assert!(!may_resume(&life, &pace, pace.liveness_body));
    }

    #[test]
    fn an_edge_reaches_one_port_and_no_connect() {
        let rules = behind_an_edge();
        for (address, protocol, reached) in [
            (ADDRESS, Protocol::Enproxy, true),
            ("192.0.2.7:8443", Protocol::Enproxy, false),
        ] {
            let identity = proof(50, address, protocol, 16, 0).identity().clone();
            assert_eq!(rules.fronted_route(&identity).is_some(), reached, "{address}");
        }
        let mut identity = proof(50, ADDRESS, Protocol::Connect, 16, 0).identity().clone();
        let listed = Protocols::new([Protocol::Connect]);
        identity.protocols = listed.unwrap_or(identity.protocols);
        assert_eq!(rules.fronted_route(&identity), None);
        assert_eq!(rules.proofs_for(&identity), 3);
    }

    #[test]
    fn failures_bring_probes_forward_then_push_them_back() {
        let (pace, rules) = (Pace::default(), Rules::default());
        let mut life = named();
        assert_eq!(wait(&life, &pace, &rules, 0.5), Some(Duration::ZERO));
        let mut waits = Vec::new();
        for second in 0..10 {
            life = life.after(Event::Failed(Reason::Truncated.into()), at(second, 0), &rules);
            waits.push(wait(&life, &pace, &rules, 0.5).unwrap_or_default().as_secs());
        }
        assert_eq!(waits, [2, 60, 120, 240, 480, 960, 1920, 3840, 3840, 3840]);
        let life = life.after(Event::Goodbye, at(20, 0), &rules);
        assert_eq!(wait(&life, &pace, &rules, 0.5), None);
    }

    #[test]
    fn doubt_waits_longer_each_time_up_to_the_interval() {
        let (pace, rules) = (Pace::default(), Rules::default());
        let mut life = named();
        let mut waits = Vec::new();
        for second in 0..8 {
            life = life.after(Event::Inconclusive(Reason::ControlFailed.into()), at(second, 0), &rules);
            waits.push(wait(&life, &pace, &rules, 0.0).unwrap_or_default().as_secs());
        }
        assert_eq!(waits, [2, 4, 8, 16, 32, 60, 60, 60]);
    }
}
