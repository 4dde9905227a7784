//! From the first byte to the core's answer.

use bytes::Bytes;
use proto::{
    attest::{goodbye, to_agent},
    checked::sign,
    claims::{Registration, Succession},
    ids::{Address, ChannelBinding, Nonce, ProbeId},
    time::{Seconds, Timestamp},
};
use tonic::Code;

use crate::{
    model::{Finding, Reason},
    session::{How, Registered, SessionEvent},
};

use super::rig::{Agent, LOOPBACK, NOW, Rig, peer_key};

#[tokio::test]
async fn the_attester_speaks_first_and_both_ends_see_one_channel_binding() {
    let rig = Rig::start().await;
    let (one, two) = (Agent::connect(rig.address).await, Agent::connect(rig.address).await);
    assert_eq!(one.welcome.channel_binding, one.binding);
    assert_eq!(two.welcome.channel_binding, two.binding);
    assert_ne!(one.binding, two.binding);
    assert_ne!(one.welcome.session, two.welcome.session);
    assert_eq!(one.welcome.versions, [1]);
    assert_eq!(one.welcome.server_time, Timestamp::from_secs(NOW));
    assert_eq!(one.welcome.expires, Seconds::new(NOW + 60));
    drop((one, two));
    rig.stop().await;
}

#[tokio::test]
async fn a_registration_reaches_the_core_and_its_answer_comes_before_what_follows() {
    let mut rig = Rig::start().await;
    let mut agent = Agent::connect(rig.address).await;
    let raw = agent.register(5).await;
    let register = rig.register_event().await;
    assert_eq!(register.registration, agent.registration(5));
    assert_eq!((register.raw, register.connect_token), (raw, None));
    assert_eq!(register.clock_offset_micros, 7_000_000);
    assert_eq!(register.source.ip(), agent.registration(5).address.0.ip());
    assert_eq!(register.handle.peer(), &peer_key(5).public().peer_id());
    let registered = Registered {
        peer_id: register.handle.peer().clone(),
        own_name: "peer-5.test".to_owned(),
    };
    register.answer.send(Ok(registered)).unwrap();
    let ticket = register.handle.announce(ProbeId::from_bytes([1; 16]), vec![7]).unwrap();
    let to_agent::Message::Registered(told) = agent.hear().await else {
        panic!("not registered")
    };
    assert_eq!(
        (told.peer_id, told.own_name),
        (register.handle.peer().to_string(), "peer-5.test".to_owned())
    );
    assert_eq!(
        agent.hear().await,
        to_agent::Message::Announcement(Bytes::from_static(&[7]))
    );
    drop(ticket);
    rig.stop().await;
}

#[tokio::test]
async fn each_broken_rule_is_told_to_the_agent_and_to_the_core() {
    let mut rig = Rig::start().await;
    let peer = peer_key(5).public().peer_id();
    type Break = fn(&mut Registration);
    let cases: [(Break, Reason); 6] = [
        (|it| it.audience = it.issuer, Reason::RegistrationSession),
        (
            |it| it.session = Nonce::from_bytes([9; 32]),
            Reason::RegistrationSession,
        ),
        (|it| it.expires = Seconds::new(NOW - 60), Reason::RegistrationSession),
        (
            |it| it.channel_binding = ChannelBinding::from_bytes([9; 32]),
            Reason::Relay,
        ),
        (
            |it| it.address = Address("127.0.0.9:443".parse().unwrap()),
            Reason::AddressNotSource,
        ),
        (
            |it| it.address = Address("8.8.8.8:443".parse().unwrap()),
            Reason::AddressNotSource,
        ),
    ];
    for (broken, reason) in cases {
        let mut agent = Agent::connect(rig.address).await;
        let mut registration = agent.registration(5);
        broken(&mut registration);
        agent.register_raw(sign(&registration, &peer_key(5)).unwrap()).await;
        let rejected = agent.rejected().await;
        assert_eq!((rejected.code.as_str(), rejected.retry), (reason.code(), false));
        assert!(rejected.remedy.starts_with(reason.remedy()), "{}", rejected.remedy);
        let SessionEvent::Rejected {
            source,
            peer: signer,
            finding,
        } = rig.event().await
        else {
            panic!("not told")
        };
        assert_eq!(
            (source.ip(), signer, finding.reason),
            (LOOPBACK.into(), Some(peer.clone()), reason)
        );
    }
    let mut agent = Agent::connect(rig.address).await;
    agent.register_raw(b"no claim at all".to_vec()).await;
    assert_eq!(agent.rejected().await.code, Reason::RegistrationInvalid.code());
    assert!(matches!(rig.event().await, SessionEvent::Rejected { peer: None, .. }));
    rig.stop().await;
}

#[tokio::test]
async fn successions_come_with_the_registration_and_must_hold() {
    let mut rig = Rig::start().await;
    let pair = |old, new| Succession::sign_pair(&peer_key(old), &peer_key(new), Timestamp::from_secs(NOW)).unwrap();
    let mut agent = Agent::connect(rig.address).await;
    let raw = sign(&agent.registration(5), &peer_key(5)).unwrap();
    agent.register_with(raw, vec![pair(3, 4), pair(4, 5)]).await;
    let register = rig.register_event().await;
    let olds: Vec<_> = register.chain.iter().map(|link| link.old).collect();
    assert_eq!(olds, [peer_key(3).public(), peer_key(4).public()]);
    register.answer.send(Err(Reason::KeySucceeded.into())).unwrap();
    let rejected = agent.rejected().await;
    assert_eq!((rejected.code.as_str(), rejected.retry), ("key-succeeded", false));

    // Someone else's, whole or in part; all that fits into a message and more than may be.
    for successions in [vec![pair(3, 4)], vec![pair(5, 3)], vec![pair(3, 5); 12]] {
        let mut agent = Agent::connect(rig.address).await;
        let raw = sign(&agent.registration(5), &peer_key(5)).unwrap();
        agent.register_with(raw, successions).await;
        assert_eq!(agent.rejected().await.code, Reason::SuccessionInvalid.code());
        let SessionEvent::Rejected { peer: Some(peer), .. } = rig.event().await else {
            panic!("not told")
        };
        assert_eq!(peer, peer_key(5).public().peer_id());
    }
    rig.stop().await;
}

#[tokio::test]
async fn a_reserved_address_needs_leave() {
    let mut rig = Rig::start_with(|config| config.allow_private = false).await;
    let mut agent = Agent::connect(rig.address).await;
    agent.register(5).await;
    assert_eq!(agent.rejected().await.code, Reason::AddressReserved.code());
    assert!(matches!(
        rig.event().await,
        SessionEvent::Rejected { peer: Some(_), .. }
    ));
    rig.stop().await;
}

#[tokio::test]
async fn the_cores_refusal_is_the_last_word_and_no_end_follows() {
    let mut rig = Rig::start().await;
    for (reason, retry) in [(Reason::PortRefused, false), (Reason::AttesterFull, true)] {
        let mut agent = Agent::connect(rig.address).await;
        agent.register(5).await;
        let register = rig.register_event().await;
        register.answer.send(Err(Finding::new(reason, "because"))).unwrap();
        assert!(!register.handle.is_live());
        let rejected = agent.rejected().await;
        assert_eq!((rejected.code.as_str(), rejected.retry), (reason.code(), retry));
        assert!(rejected.remedy.ends_with("(because)"));
    }
    // What comes next is of the next session.
    let (agent, handle) = rig.registered(6).await;
    agent.goodbye(goodbye::Reason::Stopping.into()).await;
    let SessionEvent::Goodbye { session, .. } = rig.event().await else {
        panic!("something else came between")
    };
    assert_eq!(session, handle.id());
    rig.stop().await;
}

#[tokio::test]
async fn an_undecided_registration_is_told_to_try_again() {
    let mut rig = Rig::start().await;
    let mut agent = Agent::connect(rig.address).await;
    agent.register(5).await;
    let register = rig.register_event().await;
    drop(register.answer);
    assert_eq!(agent.status().await.code(), Code::Unavailable);
    assert_eq!(rig.ended().await.2, How::Dismissed);
    rig.stop().await;
}
