//! One probe by itself, of any peer, by any route: without an agent, a session or a state file.
//!
//! It is the service's own client and the service's own check of what the origin says (V2, V4). What is missing is the third
//! witness: it shows that a peer carries traffic, not who watched it, and nobody is admitted for it.

use std::{net::SocketAddr, time::Duration};

use proto::{
    claims::{Path, Phase, Protocol, Statement},
    ids::Pin,
    time::Clock,
};
use rand::rngs::StdRng;
use tokio::time::timeout;

use super::{
    Front,
    question::{Control, Question, explained, unwell},
};
use crate::{
    flashlight::{End, Exchange, Limits, Prober, Sending, Stopwatch, Target, answer::Answer},
    model::{Blame, Finding, PhaseTimes, Reason, Route},
    records::Name,
    resolve::Resolver,
    verify::{Demands, same_host},
};

mod advice;
mod far_end;
mod shown;
mod whom;

pub use far_end::{FarEnd, FarEndError};
pub use shown::{Fault, Shown};
pub use whom::{Host, Whom};

/// Which peer is probed, and by which way.
pub struct Aim {
    /// Where it is.
    pub whom: Whom,
    /// The name server that is asked for its name; the system's resolver without one.
    pub via: Option<Resolver>,
    /// The edge in front of it, which finds it by its name.
    pub front: Option<Front>,
    /// Its TLS key; without it any will do.
    pub pin: Option<Pin>,
    /// Its CONNECT token.
    pub token: Option<String>,
    /// What an enproxy request names as `Host`.
    pub host: Option<String>,
    /// The protocol inside.
    pub protocol: Protocol,
    /// How the body of an enproxy write is sent.
    pub sending: Sending,
    /// Bytes of the answer's body.
    pub body: u64,
}

impl Aim {
    /// The name by which an edge would find the peer, if one is known.
    pub fn name(&self) -> Option<Name> {
        let host: Whom = self.host.as_ref()?.parse().ok()?;
        host.name().cloned()
    }

    /// The route.
    pub const fn route(&self) -> Route {
        Route {
            path: match self.front {
                Some(_) => Path::Fronted,
                None => Path::Direct,
            },
            protocol: self.protocol,
        }
    }
}

/// Probes one peer, once or again.
pub struct Lone {
    aim: Aim,
    far: FarEnd,
    prober: Prober,
    limits: Limits,
    /// The key that is expected: the peer's, or the one that it showed first when sessions are to be resumed.
    expected: Option<Pin>,
    resumes: bool,
    clock: Clock,
    rng: StdRng,
}

impl Lone {
    /// Takes aim.
    pub fn new(aim: Aim, far: FarEnd, (prober, limits): (Prober, Limits), clock: Clock, rng: StdRng) -> Self {
        Self {
            expected: aim.pin,
            aim,
            far,
            prober,
            limits,
            resumes: false,
            clock,
            rng,
        }
    }

    /// The same, but TLS sessions are resumed from the second probe on, with whoever shows the key of the first.
    #[must_use]
    pub fn resuming(self) -> Self {
        Self {
            prober: self.prober.resuming(),
            resumes: true,
            ..self
        }
    }

    /// What is aimed at.
    pub const fn aim(&self) -> &Aim {
        &self.aim
    }

    /// The origin.
    pub const fn far_end(&self) -> &FarEnd {
        &self.far
    }

    /// Probes once.
    pub async fn probe(&mut self) -> Shown {
        let mut watch = Stopwatch::start();
        let question = self
            .far
            .question(self.aim.body, self.limits.total, &self.clock, &mut self.rng);
        let question = match question {
            Ok(question) => question,
            Err(error) => return self.not_dialled(&watch, Finding::new(Reason::AttesterFailed, error.to_string())),
        };
        let (target, addresses) = match timeout(self.limits.total, self.target()).await {
            Ok(Ok(found)) => found,
            Ok(Err(finding)) => return self.not_dialled(&watch, finding),
            Err(_) => {
                let late = format!("no answer within {:?}", self.limits.total);
                return self.not_dialled(&watch, Finding::new(Reason::ResolveFailed, late));
            }
        };
        watch.note(Phase::Resolve);
        let job = question.job(self.aim.protocol);
        // Boxed: the future of an exchange is large.
        let exchanging = self.prober.exchange(&target, &job, watch, &mut self.rng);
        let mut exchange = Box::pin(exchanging).await;
        let ended = exchange.watch.elapsed();
        let failure = exchange.failure.take();
        if self.resumes && self.aim.front.is_none() && exchange.watch.times().0.contains_key(&Phase::Tls) {
            self.expected = self.expected.or(exchange.pin);
        }
        let mut shown = self.shown(&question, &exchange, ended);
        shown.addresses = addresses;
        let weighed = match failure {
            Some(finding) => Err(explained(finding, shown.arrived != Some(false), &exchange)),
            None => self.weigh(&question, &exchange, &shown),
        };
        if let Ok(statement) = &weighed {
            shown.source = Some(statement.source.0);
            shown.arrived = Some(true);
        }
        let (path, address) = (self.aim.route().path, exchange.address.ip());
        shown.from_itself = shown
            .source
            .map(|source| source.ip())
            .filter(|source| path == Path::Direct && source.is_ipv4() == address.to_canonical().is_ipv4())
            .map(|source| same_host(address, source));
        let finding = match weighed {
            Ok(_) if shown.from_itself == Some(false) => Some(Reason::Egress.into()),
            Ok(_) => None,
            Err(finding) => Some(self.unless_unwell(finding).await),
        };
        shown.fault = finding.map(|finding| self.fault(finding, shown.arrived));
        shown
    }

    /// Whom to dial, and the addresses of its name, if it was found by that. They may be of several peers, as those of a rotation are, so
    /// no other is tried when the first does not answer: it would be told of another peer than of the one that failed.
    async fn target(&self) -> Result<(Target, Vec<SocketAddr>), Finding> {
        let mut addresses = Vec::new();
        let (address, end) = match &self.aim.front {
            Some(front) => {
                let address = front.address(self.prober.source()).await;
                let elsewhere = |trouble: Finding| Finding::new(Reason::ResolveFailed, trouble.detail());
                (address.map_err(elsewhere)?, End::Edge(front.edge.clone()))
            }
            None => {
                let (first, rest) = self.aim.whom.addresses(self.aim.via.as_ref()).await?;
                if self.aim.whom.name().is_some() {
                    addresses.push(first);
                    addresses.extend(rest);
                }
                (first, self.expected.map_or(End::AnyKey, End::Pinned))
            }
        };
        let target = Target {
            address,
            end,
            connect_token: self.aim.token.clone(),
            host: self.aim.host.clone(),
            sending: self.aim.sending,
            // Whoever wants sessions resumed says so, and the first has none to resume.
            fresh: false,
        };
        Ok((target, addresses))
    }

    /// What is to be told in any case.
    fn shown(&self, question: &Question, exchange: &Exchange, ended: Duration) -> Shown {
        let arrival = self.far.arrival(&question.claim.nonce);
        let times = exchange.watch.times().clone();
        Shown {
            ended,
            address: Some(exchange.address),
            addresses: Vec::new(),
            pin: exchange.pin,
            resumed: times.0.contains_key(&Phase::Tls).then_some(exchange.resumed),
            proxy_host: exchange.proxy_host.clone(),
            sent: exchange.sent,
            received: exchange.received.len() as u64,
            // Before the tunnel nothing could.
            arrived: arrival
                .as_ref()
                .filter(|_| times.0.contains_key(&Phase::Tls))
                .map(Option::is_some),
            source: arrival.flatten().map(|arrival| arrival.source),
            from_itself: None,
            goodput: goodput(&times, exchange).filter(|_| self.aim.body >= MEASURED),
            phases: times,
            fault: None,
        }
    }

    /// What an exchange that went through is worth.
    fn weigh(&self, question: &Question, exchange: &Exchange, shown: &Shown) -> Result<Statement, Finding> {
        let answer = Answer::of(&exchange.received);
        if answer.statement.is_err() && shown.arrived == Some(false) {
            return Err(Finding::new(
                Reason::NotForwarded,
                "the answer is not the destination's",
            ));
        }
        let tolerance = Demands::default().clock_tolerance;
        question.statement(&answer, self.far.keyset(), self.clock.now(), tolerance)
    }

    /// What fails while an origin of another process is unwell is not the peer's fault (P4). One of this process is well.
    async fn unless_unwell(&mut self, finding: Finding) -> Finding {
        if self.far.listening().is_some() || finding.reason.blame() != Blame::Peer {
            return finding;
        }
        match self.control().await {
            Ok(()) => finding,
            Err(trouble) => {
                let detail = format!("{}; the probe had said {}", trouble.detail(), finding.reason);
                Finding::new(trouble.reason, detail)
            }
        }
    }

    async fn control(&mut self) -> Result<(), Finding> {
        let question = self
            .far
            .question(CONTROL_BODY, self.limits.total, &self.clock, &mut self.rng)
            .map_err(|error| unwell(&error.to_string()))?;
        let way = Control {
            prober: &self.prober,
            address: self.far.control(),
        };
        let answer = way.answer(&question).await?;
        let tolerance = Demands::default().clock_tolerance;
        question
            .statement(&answer, self.far.keyset(), self.clock.now(), tolerance)
            .map(|_| ())
            .map_err(|trouble| unwell(&trouble.to_string()))
    }

    fn not_dialled(&self, watch: &Stopwatch, finding: Finding) -> Shown {
        Shown {
            fault: Some(self.fault(finding, None)),
            ..Shown::nothing(watch.elapsed())
        }
    }

    /// Who must act on a finding, and what to do about it.
    fn fault(&self, finding: Finding, arrived: Option<bool>) -> Fault {
        let path = self.aim.route().path;
        let out_of_reach = arrived == Some(false) && !self.far.is_on_loopback();
        let advice = advice::of(finding.reason, path, out_of_reach);
        let blame = advice::blame(finding.reason, path, out_of_reach);
        Fault { finding, blame, advice }
    }
}

/// As the service measures it: from the handshake's end, when the request is handed over, to the last byte.
fn goodput(times: &PhaseTimes, exchange: &Exchange) -> Option<u64> {
    let (from, until) = (times.0.get(&Phase::Tls)?, times.0.get(&Phase::Complete)?);
    let micros = until.saturating_sub(*from).as_micros().max(1);
    u64::try_from(exchange.received.len() as u128 * 1_000_000 / micros).ok()
}

/// From so many bytes of body on a throughput is told.
const MEASURED: u64 = 64 << 10;
const CONTROL_BODY: u64 = 1024;
