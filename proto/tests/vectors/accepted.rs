//! What must be accepted: each claim in several forms, with every part of its envelope.

use std::collections::BTreeMap;

use proto::{
    checked::sign,
    claims::{
        Announcement, Challenge, EvidenceKind, FlowEnd, Keyset, Observation, Outcome, Path, Protocol, Protocols,
        Receipt, Registration, Revoked, Role, Statement, Succession, Verdict, Welcome,
    },
    evidence::Evidence,
    ids::{Digest, ProbeId},
    key::PublicKey,
    time::Seconds,
};

use super::{
    cast::{BINDING, CAST, NOW, PROBE, SESSION, ZONE, digest, key, micros, second, thumbprint},
    envelope::{Parts, protected},
    fields::{Golden, fields_of, window_of},
    format::{ClaimVector, ClaimsFile, Hex, KeyVector, written},
    scene::{DAY, Scene, key_entry, keyset, registration},
};

pub(crate) fn file() -> String {
    let scene = Scene::honest();
    let evidence = scene.with_verdict(Outcome::Proved, "");
    let mut claims = vec![
        vector("keyset", "root", &keyset()),
        vector("keyset-overlap", "root", &overlap()),
        vector("keyset-full", "root", &full()),
        vector("keyset-revoking", "root", &revoking()),
        vector("welcome", "attester", &welcome()),
        vector("welcome-versions", "attester", &many_versions()),
        vector("registration", "peer", &registration()),
        vector("registration-ipv6", "peer", &ipv6_registration()),
        vector("registration-software", "peer", &long_software()),
    ];
    claims.extend(carried(&evidence));
    claims.extend(others());
    for end in FlowEnd::ALL {
        let bent = |receipt: &mut Receipt| receipt.end = *end;
        claims.push(bent_of(&format!("receipt-{end}"), "peer", &evidence, bent));
    }
    claims.extend(verdicts(&evidence));
    claims.extend(successions());
    written(&ClaimsFile {
        about: "Claims that hold. Every part of the envelope is shown, and each field with its key and CBOR type."
            .to_owned(),
        claims,
    })
}

pub(crate) fn key_vectors() -> Vec<KeyVector> {
    let vector = |(name, fill): &(&str, u8)| {
        let public: PublicKey = key(name).public();
        KeyVector {
            name: (*name).to_owned(),
            seed: Hex(vec![*fill; 32]),
            public: Hex(public.as_bytes().to_vec()),
            key_id: Hex(public.thumbprint().as_bytes().to_vec()),
            text: public.to_string(),
            thumbprint: public.thumbprint().to_string(),
            peer_id: public.peer_id().to_string(),
            own_name: public.peer_id().own_name(ZONE),
        }
    };
    CAST.iter().map(vector).collect()
}

/// The claims of the honest probe, as they are.
fn carried(evidence: &Evidence) -> Vec<ClaimVector> {
    vec![
        bent_of("announcement", "attester", evidence, |_: &mut Announcement| {}),
        bent_of("challenge", "attester", evidence, |_: &mut Challenge| {}),
        bent_of("statement", "origin", evidence, |_: &mut Statement| {}),
        bent_of("observation", "prober", evidence, |_: &mut Observation| {}),
    ]
}

/// The same claims with their fields at the ends of what they may be.
fn others() -> Vec<ClaimVector> {
    let evidence = Scene::honest().evidence();
    vec![
        bent_of(
            "announcement-longest",
            "attester",
            &evidence,
            |claim: &mut Announcement| {
                (claim.up, claim.down) = (16_384, 16_777_216);
            },
        ),
        bent_of(
            "announcement-shortest",
            "attester",
            &evidence,
            |claim: &mut Announcement| {
                (claim.up, claim.down) = (1, 1);
            },
        ),
        bent_of("challenge-control", "attester", &evidence, |claim: &mut Challenge| {
            claim.subject = thumbprint("prober");
            claim.body_length = 0;
        }),
        bent_of("challenge-longest", "attester", &evidence, |claim: &mut Challenge| {
            claim.audience = format!("{}:65535", "h".repeat(100)).parse().unwrap();
            claim.body_length = Challenge::MAX_BODY;
        }),
        bent_of(
            "challenge-probe-of-zeros",
            "attester",
            &evidence,
            |claim: &mut Challenge| {
                claim.probe = ProbeId::from_bytes([0; 16]);
            },
        ),
        bent_of("statement-ipv6", "origin", &evidence, |claim: &mut Statement| {
            claim.source = "[2001:db8:0:1::a]:0".parse().unwrap();
        }),
        bent_of("observation-fronted", "prober", &evidence, |claim: &mut Observation| {
            (claim.path, claim.protocol) = (Path::Fronted, Protocol::EnproxyPath);
            claim.phases = BTreeMap::new();
        }),
        bent_of(
            "observation-extremes",
            "prober",
            &evidence,
            |claim: &mut Observation| {
                (claim.sent, claim.received, claim.body) = (0, u64::MAX, 1 << 32);
                claim.protocol = Protocol::Connect;
                claim.phases = BTreeMap::from([(1, 0), (7, u64::MAX)]);
            },
        ),
    ]
}

fn overlap() -> Keyset {
    let mut keyset = keyset();
    keyset.keys[0].expires = second(2 * DAY);
    let mut next = key_entry(Role::Attester, "next-attester");
    (next.not_before, next.expires) = (second(DAY), second(29 * DAY));
    keyset.keys.insert(1, next);
    keyset
}

fn full() -> Keyset {
    let keys = vec![key_entry(Role::Attester, "attester"); Keyset::MAX_KEYS];
    Keyset { keys, ..keyset() }
}

/// One key that never counted and one that does not any more.
fn revoking() -> Keyset {
    let mut revoked = [("next-attester", Seconds::new(0)), ("stranger", second(7))].map(|(name, since)| Revoked {
        key: Digest::from_bytes(*thumbprint(name).as_bytes()),
        since,
    });
    revoked.sort_by_key(|entry| entry.key);
    Keyset {
        revoked: revoked.to_vec(),
        ..keyset()
    }
}

pub(crate) fn welcome() -> Welcome {
    Welcome {
        issuer: thumbprint("attester"),
        expires: second(-41),
        issued_at: second(-101),
        session: SESSION,
        channel_binding: BINDING,
        server_time: micros(-100_500_000),
        versions: vec![1],
    }
}

fn many_versions() -> Welcome {
    let mut versions: Vec<u64> = (0..15).map(|n| n * 20).collect();
    versions.push(u64::MAX);
    Welcome { versions, ..welcome() }
}

fn ipv6_registration() -> Registration {
    Registration {
        address: "[2001:db8::1:0:0:1]:65535".parse().unwrap(),
        protocols: Protocols::new([Protocol::EnproxyPath]).unwrap(),
        software: String::new(),
        ..registration()
    }
}

fn long_software() -> Registration {
    Registration {
        protocols: Protocols::new(Protocol::ALL.iter().copied()).unwrap(),
        software: "é".repeat(32),
        ..registration()
    }
}

fn verdicts(evidence: &Evidence) -> Vec<ClaimVector> {
    let early = |claim: &mut Verdict| {
        (claim.outcome, claim.reason) = (Outcome::Failed, "connect-refused".to_owned());
        claim.remedy = "the port refused the connection: check that the proxy runs".to_owned();
        claim.standing = "probing".to_owned();
        claim.receipt_arrived = None;
        claim
            .evidence
            .retain(|kind, _| *kind <= EvidenceKind::Challenge.number());
    };
    vec![
        bent_of("verdict-proved", "attester", evidence, |_: &mut Verdict| {}),
        bent_of("verdict-failed-early", "attester", evidence, early),
        bent_of("verdict-inconclusive", "attester", evidence, |claim: &mut Verdict| {
            (claim.outcome, claim.reason) = (Outcome::Inconclusive, "control-failed".to_owned());
            (claim.evidence, claim.clock_offset) = (BTreeMap::new(), i64::MIN);
        }),
        bent_of("verdict-longest", "attester", evidence, |claim: &mut Verdict| {
            (claim.outcome, claim.reason) = (Outcome::Failed, "r".repeat(64));
            (claim.remedy, claim.standing) = ("ü".repeat(256), "s".repeat(16));
            claim.clock_offset = i64::MAX;
        }),
    ]
}

pub(crate) fn succession() -> Succession {
    Succession {
        issuer: thumbprint("peer"),
        subject: thumbprint("next-peer"),
        expires: second(90 * DAY),
        not_before: second(-DAY),
        issued_at: second(0),
        old: proto::claims::KeyBytes(super::cast::public("peer")),
        new: proto::claims::KeyBytes(super::cast::public("next-peer")),
    }
}

fn successions() -> Vec<ClaimVector> {
    vec![
        vector("succession-by-old", "peer", &succession()),
        vector("succession-by-new", "next-peer", &succession()),
    ]
}

/// The vector of a claim in `evidence`, bent and signed anew.
fn bent_of<T: Golden + Clone>(name: &str, signer: &str, evidence: &Evidence, bend: impl Fn(&mut T)) -> ClaimVector {
    let message = match T::NAME {
        "verdict" => evidence.verdict.as_ref().map(|blob| blob.0.as_slice()),
        other => evidence.claim(
            EvidenceKind::ALL
                .iter()
                .copied()
                .find(|kind| kind.as_str() == other)
                .unwrap(),
        ),
    };
    let mut claim = proto::checked::Signed::<T>::parse(message.unwrap())
        .unwrap()
        .dangerously_unverified()
        .clone();
    bend(&mut claim);
    vector(name, signer, &claim)
}

fn vector<T: Golden>(name: &str, signer: &str, claim: &T) -> ClaimVector {
    let message = sign(claim, &key(signer)).unwrap();
    let parts = Parts {
        protected: protected(thumbprint(signer), T::TYP),
        payload: super::format::Item::Map(claim.fields()).encode(),
    };
    let signature = key(signer).sign(&parts.to_be_signed());
    assert_eq!(parts.message(&signature), message, "{name}: two encoders differ");
    ClaimVector {
        name: name.to_owned(),
        claim: T::NAME.to_owned(),
        typ: T::TYP.to_owned(),
        signed_by: signer.to_owned(),
        window: window_of::<T>(&message),
        fields: fields_of::<T>(&message),
        to_be_signed: Hex(parts.to_be_signed()),
        protected: Hex(parts.protected),
        payload: Hex(parts.payload),
        signature: Hex(signature.to_vec()),
        digest: Hex(Digest::of(&message).as_bytes().to_vec()),
        message: Hex(message),
    }
}

#[test]
fn the_scene_is_of_its_second() {
    let evidence = Scene::honest().evidence();
    assert_eq!(window_of::<Challenge>(&evidence.challenge.unwrap().0)[0], NOW);
    assert_eq!(PROBE.as_bytes().len(), 16);
    assert_ne!(digest("a"), digest("b"));
}
