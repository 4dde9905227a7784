//! One peer's life: `registered → named → probing → verified ⇄ suspended → retired`, and *refused* (DESIGN 6).
//!
//! Pure: outcomes go in, `now` is an argument, nothing comes out but the next life. k consecutive proofs over every listed
//! protocol admit, one of them with throughput; membership is a lease that each proof renews (P2); two consecutive counted
//! failures take it away. An inconclusive outcome changes nothing (P4); nothing but a proof brings anybody in (P3).

use std::fmt;

use proto::time::Timestamp;

use crate::{
    model::{Finding, Identity, Reason},
    verify::{Recheck, Verified},
};

mod rules;
#[cfg(test)]
mod tests;

pub use rules::{Fronted, Rules};

/// A peer's life so far.
#[derive(Debug)]
pub struct Life {
    identity: Identity,
    standing: Standing,
    strikes: u32,
    doubts: u32,
    turn: u64,
    last: Option<Finding>,
    /// The latest failure that counts still.
    blamed: Option<Finding>,
    /// Whether that was of a probe through the edge.
    blamed_behind_edge: bool,
}

/// Where a peer stands.
#[derive(Debug)]
pub enum Standing {
    /// Its registration was accepted; its own name is not shown yet.
    Registered,
    /// Its own name is shown.
    Named,
    /// Being proved for admission.
    Probing(Streak),
    /// In its rotations until the lease ends.
    Verified {
        /// What was proven.
        proof: Verified,
        /// The end of the lease.
        until: Timestamp,
    },
    /// It was verified and lost it.
    Suspended(Streak),
    /// It failed without ever having been verified.
    Refused(Streak),
    /// It left, or a newer identity took its address over.
    Retired,
}

/// Consecutive proofs on the way to admission.
#[derive(Debug, Default)]
pub struct Streak {
    length: u32,
    proof: Option<Verified>,
}

/// What happened to a peer.
#[derive(Debug)]
pub enum Event {
    /// Its own name is shown by the authoritative server.
    Named,
    /// A probe proved it.
    Proved(Box<Verified>),
    /// A probe proved it whose handshake was a resumed one: that renews a lease that runs, and begins no admission.
    Renewed(Box<Verified>),
    /// A probe failed and counts.
    Failed(Finding),
    /// A probe through the edge failed, by what no edge can do.
    FailedBehindEdge(Finding),
    /// A probe said nothing.
    Inconclusive(Finding),
    /// It said goodbye.
    Goodbye,
    /// Another identity took its address over.
    AddressTaken,
    /// It was not heard of for so long that its name goes too.
    Forgotten,
    /// It registered again, unchanged.
    Returned,
    /// A key of the attester's was revoked: a streak may rest on it. (Membership is made again from the evidence.)
    KeyRevoked,
    /// Time passed.
    Tick,
}

impl Life {
    /// A life that begins with a registration.
    pub const fn registered(identity: Identity) -> Self {
        Self {
            identity,
            standing: Standing::Registered,
            strikes: 0,
            doubts: 0,
            turn: 0,
            last: None,
            blamed: None,
            blamed_behind_edge: false,
        }
    }

    /// A life that begins with a registration by who lived the lives of `past`, under another key, or at another address or with
    /// another TLS key or other protocols. What counted against them counts on, for nothing of that washes anybody clean; of
    /// what was proven nothing does (promise P1).
    pub fn succeeding<'a>(identity: Identity, past: impl IntoIterator<Item = &'a Self>) -> Self {
        past.into_iter().fold(Self::registered(identity), |life, earlier| {
            // By which way it failed goes with the failure: only that way takes it off.
            let (blamed, blamed_behind_edge) = match &earlier.blamed {
                Some(finding) => (Some(finding.clone()), earlier.blamed_behind_edge),
                None => (life.blamed, life.blamed_behind_edge),
            };
            Self {
                strikes: life.strikes.saturating_add(earlier.strikes),
                doubts: life.doubts.max(earlier.doubts),
                turn: life.turn.max(earlier.turn),
                last: earlier.why().or(life.last),
                blamed,
                blamed_behind_edge,
                ..life
            }
        })
    }

    /// A life that starts over because what it rested on does not hold: that is nobody's fault but the attester's.
    pub fn starting_over(identity: Identity, why: Finding) -> Self {
        Self {
            last: Some(why),
            ..Self::registered(identity)
        }
    }

    /// A life after a restart: verified only if the stored evidence proves it anew and its signed verdict still runs,
    /// else as if it had just registered.
    ///
    /// `evidence` are the re-checked probes that its lease rested on, in any order. Why it gave no standing is the life's
    /// [`Life::last`].
    pub fn restored(identity: Identity, evidence: Vec<Recheck>, now: Timestamp) -> Self {
        // A neighbour's evidence, moved here in the store, neither proves nor prolongs anything.
        let is_own = |recheck: &Recheck| {
            recheck.verdict.subject == identity.key.thumbprint()
                && recheck.proof.as_ref().is_none_or(|proof| proof.identity() == &identity)
        };
        let (own, others): (Vec<_>, Vec<_>) = evidence.into_iter().partition(is_own);
        let until = own
            .iter()
            .filter(|recheck| recheck.verdict.standing == VERIFIED)
            .map(|recheck| recheck.verdict.expires.start())
            .max();
        let proof = own
            .into_iter()
            .filter_map(|recheck| recheck.proof)
            .reduce(Verified::join);
        let fresh = Self::registered(identity);
        let invalid = |detail| Finding::new(Reason::EvidenceInvalid, detail);
        let problem = match (proof, until) {
            (None, _) if !others.is_empty() => invalid("the stored proofs are of another identity"),
            (Some(proof), Some(_)) if !proof.is_complete() => invalid("the stored proofs do not cover every protocol"),
            (Some(_), Some(until)) if until <= now => Reason::LeaseLapsed.into(),
            (Some(proof), Some(until)) => {
                return Self {
                    standing: Standing::Verified { proof, until },
                    ..fresh
                };
            }
            _ => invalid("no stored proof of membership"),
        };
        Self {
            last: Some(problem),
            ..fresh
        }
    }

    /// Who it is.
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Where it stands.
    pub const fn standing(&self) -> &Standing {
        &self.standing
    }

    /// The latest finding, if the latest outcome was no proof.
    pub const fn last(&self) -> Option<&Finding> {
        self.last.as_ref()
    }

    /// Counted failures: since admission the consecutive ones, before it all of them.
    pub const fn strikes(&self) -> u32 {
        self.strikes
    }

    /// Consecutive inconclusive outcomes.
    pub const fn doubts(&self) -> u32 {
        self.doubts
    }

    /// Whether its latest counted failure was of a probe through the edge.
    pub const fn is_blamed_behind_edge(&self) -> bool {
        self.blamed_behind_edge
    }

    /// How many proofs there were; picks the protocol and the body of the next probe.
    pub const fn turn(&self) -> u64 {
        self.turn
    }

    /// The end of the lease, when there is one.
    pub const fn lease(&self) -> Option<Timestamp> {
        match &self.standing {
            Standing::Verified { until, .. } => Some(*until),
            _ => None,
        }
    }

    /// The proof that puts it into its rotations at `now`: never after the lease.
    pub fn membership(&self, now: Timestamp) -> Option<&Verified> {
        match &self.standing {
            Standing::Verified { proof, until } if now < *until => Some(proof),
            _ => None,
        }
    }

    /// The life after `event`.
    #[must_use]
    pub fn after(mut self, event: Event, now: Timestamp, rules: &Rules) -> Self {
        // What failed is asked again: who serves half of what it lists must not be saved by the other half's turn.
        if matches!(event, Event::Proved(_) | Event::Renewed(_)) {
            self.turn += 1;
        }
        match event {
            Event::Named => self.named(rules),
            Event::Proved(proof) => self.proved(*proof, now, rules),
            Event::Renewed(proof) if self.membership(now).is_some() => self.proved(*proof, now, rules),
            Event::Renewed(_) => self.lapsed(now),
            Event::Failed(finding) => self.failed(finding, false, rules),
            Event::FailedBehindEdge(finding) => self.failed(finding, true, rules),
            Event::Inconclusive(finding) => {
                self.doubts += 1;
                self.last = Some(finding);
                self.lapsed(now)
            }
            Event::Goodbye => self.retired(Some(Reason::Goodbye.into())),
            Event::AddressTaken => self.retired(Some(Reason::AddressTaken.into())),
            Event::Forgotten => self.retired(None),
            Event::Returned => self.returned(now),
            Event::KeyRevoked => self.without_streak(),
            Event::Tick => self.lapsed(now),
        }
    }

    fn named(self, rules: &Rules) -> Self {
        match self.standing {
            // It brought as many failures along as refuse a peer: only a proof changes that.
            Standing::Registered if self.strikes >= rules.strikes => Self {
                standing: Standing::Refused(Streak::default()),
                ..self
            },
            Standing::Registered => Self {
                standing: Standing::Named,
                ..self
            },
            _ => self,
        }
    }

    fn proved(mut self, proof: Verified, now: Timestamp, rules: &Rules) -> Self {
        if proof.identity() != &self.identity {
            let other = Finding::new(Reason::EvidenceInvalid, "a proof of another identity");
            return Self {
                last: Some(other),
                ..self
            };
        }
        // Before membership strikes add up, so that who fails now and then is told so; a member's must be consecutive.
        // Only the way that failed takes them off: through an edge a peer may answer whose own port is dead, and directly one that
        // serves the edge's clients otherwise. No edge reaches one that has moved to another port since: it answers for itself.
        let reached = rules.fronted_route(&self.identity).is_some();
        let same_way = if self.blamed_behind_edge && reached {
            proof.is_fronted()
        } else {
            proof.is_direct()
        };
        if matches!(self.standing, Standing::Verified { .. }) && same_way {
            self.strikes = 0;
            self.blamed = None;
            self.blamed_behind_edge = false;
        }
        self.doubts = 0;
        self.last = None;
        let until = proof.at().plus(rules.lease);
        match self.standing {
            Standing::Verified {
                proof: known,
                until: lease,
            } if now < lease => Self {
                standing: Standing::Verified {
                    proof: known.join(proof),
                    until,
                },
                ..self
            },
            // A proof renews a lease that runs; one that has lapsed is gone, and admission begins again.
            Standing::Verified { .. } => self.on_the_way(Standing::Suspended, Streak::default(), proof, rules),
            Standing::Suspended(streak) => {
                self.standing = Standing::Retired;
                self.on_the_way(Standing::Suspended, streak, proof, rules)
            }
            Standing::Probing(streak) | Standing::Refused(streak) => {
                self.standing = Standing::Retired;
                self.on_the_way(Standing::Probing, streak, proof, rules)
            }
            Standing::Named => self.on_the_way(Standing::Probing, Streak::default(), proof, rules),
            // Not shown under its own name yet, or gone: a late probe's outcome brings nobody in.
            Standing::Registered | Standing::Retired => self,
        }
    }

    fn on_the_way(self, otherwise: fn(Streak) -> Standing, streak: Streak, proof: Verified, rules: &Rules) -> Self {
        let until = proof.at().plus(rules.lease);
        let length = streak.length.saturating_add(1);
        let proof = match streak.proof {
            Some(known) => known.join(proof),
            None => proof,
        };
        let standing = if length >= rules.proofs_for(&self.identity) && rules.are_met_by(&proof) {
            Standing::Verified { proof, until }
        } else {
            otherwise(Streak {
                length,
                proof: Some(proof),
            })
        };
        Self { standing, ..self }
    }

    fn failed(mut self, finding: Finding, behind_edge: bool, rules: &Rules) -> Self {
        self.strikes = self.strikes.saturating_add(1);
        self.blamed_behind_edge = behind_edge;
        self.doubts = 0;
        self.blamed = Some(finding.clone());
        self.last = Some(finding);
        let out = self.strikes >= rules.strikes;
        let standing = match self.standing {
            Standing::Verified { .. } if out => Standing::Suspended(Streak::default()),
            Standing::Named | Standing::Probing(_) if out => Standing::Refused(Streak::default()),
            Standing::Named | Standing::Probing(_) => Standing::Probing(Streak::default()),
            Standing::Suspended(_) => Standing::Suspended(Streak::default()),
            Standing::Refused(_) => Standing::Refused(Streak::default()),
            same @ (Standing::Verified { .. } | Standing::Registered | Standing::Retired) => same,
        };
        Self { standing, ..self }
    }

    fn without_streak(self) -> Self {
        let standing = match self.standing {
            Standing::Probing(_) => Standing::Probing(Streak::default()),
            Standing::Suspended(_) => Standing::Suspended(Streak::default()),
            Standing::Refused(_) => Standing::Refused(Streak::default()),
            same @ (Standing::Registered | Standing::Named | Standing::Verified { .. } | Standing::Retired) => same,
        };
        Self { standing, ..self }
    }

    fn lapsed(self, now: Timestamp) -> Self {
        match self.standing {
            Standing::Verified { until, .. } if until <= now => Self {
                last: Some(self.last.unwrap_or_else(|| Reason::LeaseLapsed.into())),
                standing: Standing::Suspended(Streak::default()),
                ..self
            },
            _ => self,
        }
    }

    fn returned(self, now: Timestamp) -> Self {
        let life = self.lapsed(now);
        match life.standing {
            Standing::Retired => Self {
                standing: Standing::Registered,
                last: life.why(),
                ..life
            },
            // A reconnect alone costs a member nothing, and washes nobody clean.
            _ => life,
        }
    }

    /// Who leaves owes nothing for leaving. A member leaves with a clean slate; what counted against anybody else still does
    /// when it is back, or leaving would wash it off.
    fn retired(self, last: Option<Finding>) -> Self {
        let clean = matches!(self.standing, Standing::Verified { .. });
        Self {
            standing: Standing::Retired,
            strikes: if clean { 0 } else { self.strikes },
            blamed: self.blamed.filter(|_| !clean),
            blamed_behind_edge: self.blamed_behind_edge && !clean,
            doubts: 0,
            last: last.or(self.last),
            ..self
        }
    }

    /// Why it stands as it does, once it is back: not that it was away.
    fn why(&self) -> Option<Finding> {
        let away = |finding: &Finding| matches!(finding.reason, Reason::Goodbye | Reason::AddressTaken);
        let last = self.last.clone().filter(|last| !away(last));
        last.or_else(|| self.blamed.clone())
    }
}

impl Standing {
    /// Its name, as verdicts, listings and the store have it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::Named => "named",
            Self::Probing(_) => "probing",
            Self::Verified { .. } => VERIFIED,
            Self::Suspended(_) => "suspended",
            Self::Refused(_) => "refused",
            Self::Retired => "retired",
        }
    }

    /// The streak towards admission, when there is one.
    pub const fn streak(&self) -> Option<&Streak> {
        match self {
            Self::Probing(streak) | Self::Suspended(streak) | Self::Refused(streak) => Some(streak),
            _ => None,
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Streak {
    /// How many consecutive proofs.
    pub const fn length(&self) -> u32 {
        self.length
    }

    /// What they prove together.
    pub const fn proof(&self) -> Option<&Verified> {
        self.proof.as_ref()
    }
}

/// The standing whose verdicts carry a lease.
pub const VERIFIED: &str = "verified";
