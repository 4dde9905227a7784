//! A state file with peers, probes and rejections.

use std::time::Duration;

use attester::{
    model::{PhaseTimes, Reason, Route},
    store::{PeerRow, ProbeRow, RejectionRow},
};
use proto::{
    claims::{Outcome, Phase, Protocol, Protocols},
    ids::{Nonce, Pin, ProbeId},
    key::SigningKey,
    time::{Clock, Timestamp},
};

use crate::place::Place;

pub(crate) fn peer(number: u8, standing: &str) -> PeerRow {
    let key = SigningKey::from_seed(&[number; 32]).public();
    let now = Clock::system().now();
    PeerRow {
        id: key.peer_id(),
        key,
        address: format!("127.77.{number}.1:8443").parse().unwrap(),
        pin: Pin::from_bytes([number; 32]),
        protocols: Protocols::new([Protocol::Connect, Protocol::Enproxy]).unwrap(),
        standing: standing.to_owned(),
        reason: None,
        detail: String::new(),
        since: Some(now.minus(Duration::from_secs(3900))),
        first_seen: Timestamp::from_secs(951_782_400),
        last_seen: now.minus(Duration::from_secs(3)),
        lease_until: (standing == "verified").then(|| now.plus(Duration::from_secs(250))),
    }
}

pub(crate) fn probe(peer: &PeerRow, number: u8) -> ProbeRow {
    let mut phases = PhaseTimes::default();
    phases.note(Phase::Resolve, Duration::from_micros(300));
    phases.note(Phase::Connect, Duration::from_micros(1500));
    ProbeRow {
        probe: ProbeId::from_bytes([number; 16]),
        peer: peer.id.clone(),
        at: Timestamp::from_secs(951_868_800 + u64::from(number)),
        route: Route::direct(Protocol::Connect),
        body: 1024,
        outcome: Outcome::Proved,
        reason: None,
        detail: String::new(),
        phases,
        nonce: Nonce::from_bytes([number; 32]),
        evidence: vec![1; 10],
    }
}

/// One verified peer with two probes, one suspended, and rejections of a third and of somebody unknown.
pub(crate) fn prepared() -> (Place, PeerRow, PeerRow) {
    let place = Place::initialised();
    let (good, mut bad) = (peer(1, "verified"), peer(2, "suspended"));
    (bad.reason, bad.detail) = (Some(Reason::TlsTimeout), "3 s".to_owned());
    place.fill(async |store| {
        store.record_verdict(&good, &probe(&good, 1)).await.unwrap();
        store.record_verdict(&good, &probe(&good, 2)).await.unwrap();
        let failed = ProbeRow {
            outcome: Outcome::Failed,
            reason: Some(Reason::TlsTimeout),
            detail: "3 s".to_owned(),
            evidence: vec![],
            ..probe(&bad, 3)
        };
        store.record_verdict(&bad, &failed).await.unwrap();
        let rejection = |source: &str, peer: Option<&PeerRow>| RejectionRow {
            at: Timestamp::from_secs(951_782_400),
            source: source.parse().unwrap(),
            peer: peer.map(|peer| peer.id.clone()),
            reason: Reason::PortRefused,
            detail: format!("from {source}"),
        };
        let third = peer(3, "");
        let rows = [
            rejection("127.77.3.1", Some(&third)),
            rejection("127.77.2.1", Some(&bad)),
            rejection("198.51.100.9", None),
        ];
        store.record_rejections(&rows).await.unwrap();
    });
    (place, good, bad)
}
