//! The attester's real origin, and challenges to it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use attester::{
    flashlight::{Exchange, Job, answer::Answer},
    origin::{Arrivals, Config, Origin, OriginKeys},
};
use proto::{
    checked::{Signed, sign},
    claims::{Challenge, KeyBytes, KeyEntry, Keyset, Protocol, Role, Statement},
    ids::{Destination, Digest, Nonce, ProbeId},
    key::SigningKey,
    probe,
    time::{Clock, Timestamp},
};
use rand::{SeedableRng, rngs::StdRng};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// A running origin with all keys in hand. Stops when dropped.
pub(crate) struct RealOrigin {
    pub(crate) destination: Destination,
    arrivals: Arrivals,
    clock: Clock,
    attester: SigningKey,
    origin: SigningKey,
    stop: CancellationToken,
}

/// A probe's job and the challenge in it.
pub(crate) struct Probe {
    pub(crate) job: Job,
    challenge: Challenge,
    signed: Vec<u8>,
}

impl RealOrigin {
    pub(crate) async fn start() -> Self {
        let (attester, origin) = (SigningKey::from_seed(&[1; 32]), SigningKey::from_seed(&[2; 32]));
        // It refuses challenges of its first second as possibly older than itself, except those of that second's start, where
        // this clock stands.
        let clock = Clock::manual(Timestamp::from_secs(Clock::system().now().seconds().as_u64()));
        let keys = OriginKeys {
            keyset: keyset(&attester, &origin, &clock),
            origin: origin.clone(),
        };
        let config = Config {
            listen: ([127, 0, 0, 1], 0).into(),
            ..Config::default()
        };
        let (_, keys) = watch::channel(Arc::new(keys));
        let bound = Origin::bind(&config, keys, clock.clone(), &mut StdRng::seed_from_u64(3))
            .await
            .unwrap();
        let stop = CancellationToken::new();
        let (destination, arrivals) = (bound.destination().clone(), bound.arrivals());
        tokio::spawn(bound.run(stop.clone()));
        Self {
            destination,
            arrivals,
            clock,
            attester,
            origin,
            stop,
        }
    }

    /// A probe with a fresh challenge for a body of this length.
    pub(crate) fn probe(&self, protocol: Protocol, body_length: u64, rng: &mut StdRng) -> Probe {
        let now = self.clock.now();
        let challenge = Challenge {
            issuer: self.attester.public().thumbprint(),
            subject: SigningKey::from_seed(&[9; 32]).public().thumbprint(),
            audience: self.destination.clone(),
            expires: now.plus(Duration::from_secs(10)).seconds(),
            not_before: now.seconds(),
            issued_at: now.seconds(),
            probe: ProbeId::random(rng),
            nonce: Nonce::random(rng),
            body_length,
        };
        let signed = sign(&challenge, &self.attester).unwrap();
        let job = Job {
            protocol,
            destination: self.destination.clone(),
            request: probe::request(&signed, &self.destination),
            expected_down: probe::ORIGIN_HEAD as u64 + body_length,
        };
        Probe { job, challenge, signed }
    }

    /// Checks that everything came through: the signed statement is this origin's about this challenge, and says the body
    /// that came. Returns the address that the origin saw.
    pub(crate) fn check(&self, probe: &Probe, exchange: &Exchange) -> SocketAddr {
        assert_eq!(exchange.failure, None, "{exchange:?}");
        assert_eq!(exchange.sent, probe.job.request.len() as u64);
        assert_eq!(exchange.sent_digest, Digest::of(&probe.job.request));
        assert_eq!(exchange.received.len() as u64, probe.job.expected_down);
        assert_eq!(exchange.received_digest, Digest::of(&exchange.received));
        let answer = Answer::of(&exchange.received);
        let statement = Signed::<Statement>::parse(&answer.statement.unwrap())
            .unwrap()
            .verify(&self.origin.public())
            .unwrap()
            .at(self.clock.now(), Duration::ZERO)
            .unwrap();
        assert_eq!(statement.challenge, Digest::of(&probe.signed));
        assert_eq!(
            (statement.probe, statement.nonce),
            (probe.challenge.probe, probe.challenge.nonce)
        );
        assert_eq!(statement.body_length, probe.challenge.body_length);
        assert_eq!(
            (statement.body_length, statement.body_digest),
            (answer.body_length, answer.body_digest)
        );
        let arrival = self.arrivals.redeemed(&probe.challenge.nonce).unwrap();
        assert_eq!((arrival.source, arrival.repeats), (statement.source.0, 0));
        arrival.source
    }
}

impl Drop for RealOrigin {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn keyset(attester: &SigningKey, origin: &SigningKey, clock: &Clock) -> Keyset {
    let (not_before, expires) = (
        clock.now().seconds(),
        clock.now().plus(Duration::from_secs(3600)).seconds(),
    );
    let entry = |role, key: &SigningKey| KeyEntry {
        role,
        key: KeyBytes(*key.public().as_bytes()),
        not_before,
        expires,
    };
    Keyset {
        issuer: SigningKey::from_seed(&[0; 32]).public().thumbprint(),
        expires,
        not_before,
        issued_at: not_before,
        keys: vec![entry(Role::Attester, attester), entry(Role::Origin, origin)],
        revoked: vec![],
    }
}
