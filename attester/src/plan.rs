//! When the next probe of a peer is due, by which protocol, with how large a body. Pure: time and chance are arguments.

use std::time::Duration;

use proto::{claims::Protocol, time::Timestamp};

use crate::decide::{Life, Rules, Standing};

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
        Standing::Probing(_) => spread(pace.spacing),
        Standing::Verified { .. } if life.strikes() > 0 => spread(pace.spacing),
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
/// proof of an admission and then every 20th time.
pub fn shape(life: &Life, pace: &Pace, rules: &Rules) -> (Protocol, u64) {
    let listed: Vec<Protocol> = life.identity().protocols.iter().collect();
    let streak = life.standing().streak();
    // On the way to admission each listed protocol must be proven; in turn, beginning with one that is not.
    let known = match life.standing() {
        Standing::Verified { proof, .. } => Some(proof),
        _ => streak.and_then(|streak| streak.proof()),
    };
    let unproven = listed
        .iter()
        .find(|protocol| known.is_none_or(|proof| !proof.routes().keys().any(|route| route.protocol == **protocol)));
    let turn = usize::try_from(life.turn() % listed.len().max(1) as u64).unwrap_or_default();
    let protocol = unproven.or(listed.get(turn)).copied().unwrap_or(Protocol::Enproxy);
    let measured = known.is_some_and(|proof| proof.goodput().is_some());
    let last_of_admission =
        streak.is_some_and(|streak| streak.length() + 1 >= rules.proofs_for(life.identity())) && !measured;
    let large = last_of_admission || (life.lease().is_some() && life.turn().is_multiple_of(GOODPUT_EVERY));
    (protocol, if large { pace.goodput_body } else { pace.liveness_body })
}

/// Whether a lease, a naming or nothing at all has to be looked at by `now`.
pub fn lapses(life: &Life, now: Timestamp) -> bool {
    life.lease().is_some_and(|until| until <= now)
}

/// A verified peer's throughput is measured again every so many probes: 256 KiB an hour and a half at the default pace.
const GOODPUT_EVERY: u64 = 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        decide::Event,
        model::Reason,
        verify::fixture::{at, proof},
    };

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
            let (protocol, body) = shape(&life, &pace, &rules);
            asked.push((protocol, body));
            let proof = proof(50, ADDRESS, protocol, usize::try_from(body).unwrap_or_default(), second);
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
