//! The loop: plan → announce → probe → verify → decide → store → zone. One task owns every peer's life; probes, namings and
//! reachability checks run beside it and report back, so that one slow peer holds nobody up (P6).

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use proto::{
    claims::Link,
    ids::{Destination, PeerId},
    time::{Clock, Timestamp},
};
use rand::rngs::StdRng;
use tokio::{
    sync::{Semaphore, mpsc, watch},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    decide::{Event, Rules},
    flashlight::Prober,
    keys::Keys,
    metrics::Metrics,
    model::{Finding, Identity, Reason},
    origin::Arrivals,
    plan::Pace,
    publish::Publication,
    resolve::Resolver,
    session::{How, Roster, SessionEvent, SessionId},
    store::{RejectionRow, Retention, Store},
    verify::Demands,
    zone::{self, ZonePlan},
};

mod admission;
mod agenda;
mod front;
mod grounds;
mod keys;
pub mod lone;
mod member;
mod naming;
mod probe;
mod question;
pub mod restore;
mod room;
mod sparing;
mod successions;
mod upkeep;
mod verdict;

use admission::Reached;
pub use front::Front;
use member::Member;
use probe::Probed;
use sparing::Sparing;
use successions::Successions;

/// What the loop works with. Made by [`crate::app`].
pub struct Kit {
    /// Where decisions are kept.
    pub store: Store,
    /// Where the desired records go.
    pub publication: Publication,
    /// Asks the authoritative server, as a client would.
    pub resolver: Resolver,
    /// The get mode client.
    pub prober: Prober,
    /// The edge in front of the peers, if they are probed through one.
    pub front: Option<Front>,
    /// The attester's keys as they are now; the keyset is signed anew while the attester runs.
    pub keys: watch::Receiver<Arc<Keys>>,
    /// What the origin saw.
    pub arrivals: Arrivals,
    /// Where control probes go; the destination, resolved as peers resolve it, when `None`.
    pub control: Option<SocketAddr>,
    /// The origin as peers are asked for it.
    pub destination: Destination,
    /// The time.
    pub clock: Clock,
    /// The rules.
    pub policy: Policy,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

impl Kit {
    /// The keys as they are now.
    fn keys(&self) -> Arc<Keys> {
        Arc::clone(&self.keys.borrow())
    }
}

/// The rules of one attester.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Admission and eviction.
    pub rules: Rules,
    /// The schedule.
    pub pace: Pace,
    /// What proofs must show.
    pub demands: Demands,
    /// The zone.
    pub zone: ZonePlan,
    /// Probes at once.
    pub concurrency: usize,
    /// Time limit of one probe, without the receipt.
    pub probe_total: Duration,
    /// How long after the tunnel's end a receipt may take.
    pub receipt_within: Duration,
    /// How long an own name outlives its last session.
    pub name_kept: Duration,
    /// How many peers there may be.
    pub max_peers: usize,
    /// How much of past probes is kept.
    pub retention: Retention,
}

/// Level state of the loop, for health and metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pulse {
    /// Live sessions.
    pub sessions: usize,
    /// Peers known.
    pub peers: usize,
    /// Peers in a rotation.
    pub verified: usize,
    /// Whether the last write to the store succeeded.
    pub store_well: bool,
    /// Whether the last probe that could tell, a proof or a control probe, reached the origin.
    pub origin_well: bool,
}

/// What an attester that starts is busy with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Starting {
    /// It opens the state file, and brings it up to date.
    #[default]
    Opening,
    /// It verifies stored evidence again.
    Restoring {
        /// Peers looked at.
        done: usize,
        /// Peers stored.
        of: usize,
    },
}

/// The loop's state. One owner.
pub struct Core {
    kit: Arc<Kit>,
    members: HashMap<PeerId, Member>,
    /// Who was admitted at an address.
    addresses: HashMap<SocketAddr, PeerId>,
    /// Who moved to which key.
    successions: Successions,
    agenda: BTreeSet<(Timestamp, PeerId)>,
    roster: Roster,
    rejections: Vec<RejectionRow>,
    reports: mpsc::Sender<Report>,
    inbox: mpsc::Receiver<Report>,
    tasks: TaskTracker,
    reach: Arc<Semaphore>,
    in_flight: usize,
    others_in_flight: usize,
    /// Members whose probe is due, waiting for a place.
    members_due: VecDeque<PeerId>,
    /// Everybody else in the same case.
    others_due: VecDeque<PeerId>,
    /// Reachability checks under way, by source.
    reaching: HashMap<IpAddr, usize>,
    stop: CancellationToken,
    errands: u64,
    /// The keys that sessions and standings have followed.
    keys: Arc<Keys>,
    /// Members whose standing is made again: a key was revoked.
    doubted: VecDeque<PeerId>,
    rng: StdRng,
    /// When the desired records are handed in next.
    publishing: Sparing,
    /// Whose own name waits for that.
    unnamed: Vec<(PeerId, SessionId)>,
    pulse: watch::Sender<Pulse>,
    pulsing: Sparing,
    /// Levels for monitoring, and forgetting who is gone.
    upkeep: Sparing,
    store_well: bool,
    origin_well: bool,
    dns_well: bool,
    pruned: Timestamp,
}

/// What a task beside the loop found.
enum Report {
    Reached(Box<Reached>),
    Named {
        peer: PeerId,
        session: SessionId,
        shown: Result<(), Finding>,
    },
    Probed {
        number: u64,
        other: bool,
        probed: Box<Probed>,
    },
}

impl Core {
    /// A loop with what the store proves anew; the first desired records are published from it.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn restore(
        kit: Kit,
        rng: StdRng,
        progress: &watch::Sender<Starting>,
    ) -> Result<(Self, watch::Receiver<Pulse>), crate::store::StoreError> {
        let (reports, inbox) = mpsc::channel(REPORTS);
        let keys = kit.keys();
        let (pulse, pulses) = watch::channel(Pulse {
            store_well: true,
            origin_well: true,
            ..Pulse::default()
        });
        let mut core = Self {
            kit: Arc::new(kit),
            members: HashMap::new(),
            addresses: HashMap::new(),
            successions: Successions::default(),
            agenda: BTreeSet::new(),
            roster: Roster::new(),
            rejections: Vec::new(),
            reports,
            inbox,
            tasks: TaskTracker::new(),
            reach: Arc::new(Semaphore::new(REACH_AT_ONCE)),
            in_flight: 0,
            others_in_flight: 0,
            members_due: VecDeque::new(),
            others_due: VecDeque::new(),
            reaching: HashMap::new(),
            stop: CancellationToken::new(),
            errands: 0,
            keys,
            doubted: VecDeque::new(),
            rng,
            publishing: Sparing::new(),
            unnamed: Vec::new(),
            pulse,
            pulsing: Sparing::new(),
            upkeep: Sparing::seldom(),
            store_well: true,
            origin_well: true,
            dns_well: true,
            pruned: Timestamp::default(),
        };
        core.load(progress).await?;
        core.hand_in();
        Ok((core, pulses))
    }

    /// Runs until `token` is cancelled; probes under way are abandoned, decisions under way are finished.
    pub async fn run(mut self, mut events: mpsc::Receiver<SessionEvent>, token: CancellationToken) {
        let mut housekeeping = tokio::time::interval(HOUSEKEEPING);
        housekeeping.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut keys = self.kit.keys.clone();
        // What changed since the state was restored.
        self.follow_keys().await;
        loop {
            let pause = self.pause();
            // What changes while nothing comes, `transition` and `housekeep` note.
            let mut quiet = false;
            tokio::select! {
                () = token.cancelled() => break,
                // The other end lives as long as the attester.
                Ok(()) = keys.changed() => self.follow_keys().await,
                () = std::future::ready(()), if !self.doubted.is_empty() => self.make_standing_again().await,
                event = events.recv() => match event {
                    Some(event) => self.session_event(event).await,
                    None => break,
                },
                Some(report) = self.inbox.recv() => self.report(report).await,
                () = tokio::time::sleep(pause) => quiet = true,
                _ = housekeeping.tick() => {
                    quiet = true;
                    self.housekeep().await;
                }
            }
            self.dispatch().await;
            if self.publishing.is_due() {
                self.hand_in();
            }
            if !quiet {
                self.pulsing.want();
            }
            if self.pulsing.is_due() {
                self.note_pulse();
            }
        }
        self.hand_in();
        self.flush_rejections().await;
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    async fn session_event(&mut self, event: SessionEvent) {
        match event {
            SessionEvent::Register(register) => self.consider(register),
            SessionEvent::Retest { peer, session } => self.retest(&peer, session),
            SessionEvent::Goodbye { peer, session, .. } => self.goodbye(&peer, session).await,
            SessionEvent::Ended { peer, session, how } => self.ended(&peer, session, &how),
            SessionEvent::Rejected { source, peer, finding } => self.note_rejection(source, peer, &finding),
        }
    }

    async fn report(&mut self, report: Report) {
        match report {
            Report::Reached(reached) => self.reached(*reached).await,
            Report::Named { peer, session, shown } => self.named(&peer, session, shown).await,
            Report::Probed { number, other, probed } => {
                self.in_flight = self.in_flight.saturating_sub(1);
                self.others_in_flight = self.others_in_flight.saturating_sub(usize::from(other));
                // The report of a peer that registered another identity meanwhile is about nobody.
                if self
                    .members
                    .get(&probed.peer)
                    .is_some_and(|member| member.busy == Some(number))
                {
                    self.conclude(*probed).await;
                }
            }
        }
    }

    /// Moves a peer's life on, keeps the change and publishes what follows from it.
    async fn transition(&mut self, id: &PeerId, event: Event) {
        let now = self.kit.clock.now();
        let Some(mut member) = self.members.remove(id) else {
            return;
        };
        let before = (
            member.life.standing().name(),
            member.life.last().map(|finding| finding.reason),
        );
        member.life = member.life.after(event, now, &self.kit.policy.rules);
        let after = (
            member.life.standing().name(),
            member.life.last().map(|finding| finding.reason),
        );
        if before != after {
            tracing::debug!(peer = %id, before = before.0, after = after.0, "standing");
            let kept = self.kit.store.record_peer(&member.row(now)).await;
            self.note_store(kept);
        }
        member.admitted = member.admitted && member.life.membership(now).is_some();
        self.members.insert(id.clone(), member);
        if before != after {
            self.publish();
            self.pulsing.want();
        }
    }

    /// What DNS should show has changed.
    fn publish(&mut self) {
        self.publishing.want();
    }

    /// Hands the desired records to the reconciler. A membership that the store does not know is not shown (P5).
    fn hand_in(&mut self) {
        let began = Instant::now();
        let now = self.kit.clock.now();
        let kept = self.kit.policy.name_kept;
        let roster = &self.roster;
        let shown = self
            .members
            .iter()
            .filter(|(id, member)| roster.by_peer(id).is_some() || now < member.last_seen.plus(kept))
            .map(|(_, member)| zone::Shown {
                life: &member.life,
                admitted: member.admitted,
            });
        let generation = self
            .kit
            .publication
            .desire(zone::desired(shown, &self.kit.policy.zone, now));
        self.publishing.done(began);
        for (id, session) in std::mem::take(&mut self.unnamed) {
            self.await_name(&id, session, generation);
        }
    }

    /// A host's word that something has changed: a hint as well, and one that costs the peer nothing.
    fn retest(&mut self, peer: &PeerId, session: SessionId) {
        if self.roster.by_peer(peer).is_none_or(|handle| handle.id() != session) {
            return;
        }
        let now = self.kit.clock.now();
        if let Some(member) = self.members.get_mut(peer) {
            member.ask(now, &self.kit.policy);
        }
        self.schedule(peer);
    }

    async fn goodbye(&mut self, peer: &PeerId, session: SessionId) {
        if self.roster.remove(peer, session) {
            self.seen(peer);
            self.transition(peer, Event::Goodbye).await;
            self.schedule(peer);
        }
    }

    /// A session that ends without goodbye is a hint: the next probe comes at once (P3).
    fn ended(&mut self, peer: &PeerId, session: SessionId, how: &How) {
        if self.roster.remove(peer, session) {
            tracing::debug!(%peer, ?how, "session ended");
            self.seen(peer);
            let now = self.kit.clock.now();
            if let Some(member) = self.members.get_mut(peer) {
                member.hint(now, &self.kit.policy);
            }
            self.schedule(peer);
        }
    }

    fn seen(&mut self, peer: &PeerId) {
        let now = self.kit.clock.now();
        if let Some(member) = self.members.get_mut(peer) {
            member.last_seen = now;
        }
    }
}

/// Whether `identity`'s address is held by somebody else: only a lease that runs holds one. A live session does not, or a
/// neighbour behind the same router could keep a peer out by registering its address. Nor does what the peer was before.
fn held_by_another(core: &Core, identity: &Identity, past: &[Link], now: Timestamp) -> Option<Finding> {
    let holder = core.addresses.get(&identity.address)?;
    if *holder == identity.id() || past.iter().any(|link| link.old.peer_id() == *holder) {
        return None;
    }
    let held = core.members.get(holder)?.life.membership(now).is_some();
    held.then(|| Reason::AddressHeld.into())
}

/// Reports that may wait for the loop; a task that cannot hand in its report waits.
const REPORTS: usize = 1024;
/// Reachability checks at once, in all and from one source.
const REACH_AT_ONCE: usize = 64;
const REACH_PER_SOURCE: usize = 4;
const HOUSEKEEPING: Duration = Duration::from_secs(1);
