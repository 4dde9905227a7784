#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use proto::{
    attest::{goodbye, to_agent},
    checked::sign,
    claims::{FlowEnd, Receipt},
    ids::{Address, ChannelBinding, Digest, ProbeId},
    time::{Seconds, Timestamp},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::TcpStream,
    time::timeout,
};
use tonic::Code;

use crate::model::Reason;

use super::*;

mod rig;

use rig::{Agent, LOOPBACK, NOW, PATIENCE, Rig, at_once, dial, handshake, hear, open, open_stream, peer_key, soon};

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
async fn a_second_stream_is_refused_and_the_first_goes_on() {
    let mut rig = Rig::start().await;
    let (mut agent, handle) = rig.registered(5).await;
    let status = open_stream(&mut agent.client).await.err().unwrap();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(status.message().contains("another connection"), "{status}");
    handle.send_verdict(vec![1, 2, 3]).unwrap();
    assert_eq!(
        agent.hear().await,
        to_agent::Message::Verdict(Bytes::from_static(&[1, 2, 3]))
    );
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

#[tokio::test]
async fn an_agent_that_leaves_before_the_answer_is_not_answered() {
    let mut rig = Rig::start().await;
    let agent = Agent::connect(rig.address).await;
    agent.register(5).await;
    let register = rig.register_event().await;
    drop(agent);
    let (peer, session, how) = rig.ended().await;
    assert_eq!((&peer, session), (register.handle.peer(), register.handle.id()));
    assert_ne!(how, How::Silent);
    let registered = Registered {
        peer_id: peer,
        own_name: String::new(),
    };
    assert_eq!(
        register.answer.send(Ok(registered)).unwrap_err().reason,
        Reason::NoSession
    );
    rig.stop().await;
}

fn receipt(probe: u8, seed: u8) -> Vec<u8> {
    let peer = peer_key(seed).public().thumbprint();
    let receipt = Receipt {
        issuer: peer,
        subject: peer,
        audience: peer_key(1).public().thumbprint(),
        expires: Seconds::new(NOW + 60),
        issued_at: Seconds::new(NOW),
        probe: ProbeId::from_bytes([probe; 16]),
        nonce: Nonce::from_bytes([probe; 32]),
        destination: "origin.test:80".parse().unwrap(),
        up: 1,
        up_digest: Digest::of(b"up"),
        down: 2,
        down_digest: Digest::of(b"down"),
        opened: Timestamp::from_secs(NOW),
        closed: Timestamp::from_secs(NOW),
        end: FlowEnd::Lengths,
    };
    sign(&receipt, &peer_key(seed)).unwrap()
}

#[tokio::test]
async fn an_announcement_is_acknowledged_and_its_receipt_finds_its_ticket() {
    let mut rig = Rig::start().await;
    let (mut agent, handle) = rig.registered(5).await;
    let (one, two) = (ProbeId::from_bytes([1; 16]), ProbeId::from_bytes([2; 16]));
    let mut first = handle.announce(one, b"one".to_vec()).unwrap();
    let mut second = handle.announce(two, b"two".to_vec()).unwrap();
    assert_eq!(
        agent.hear().await,
        to_agent::Message::Announcement(Bytes::from_static(b"one"))
    );
    assert_eq!(
        agent.hear().await,
        to_agent::Message::Announcement(Bytes::from_static(b"two"))
    );
    agent.ack(two, "").await;
    agent.ack(one, "not now").await;
    second.acked(soon()).await.unwrap();
    second.acked(soon()).await.unwrap();
    for _ in 0..2 {
        let finding = first.acked(soon()).await.unwrap_err();
        assert_eq!((finding.reason, finding.detail()), (Reason::AckRefused, "not now"));
    }
    // The receipt is matched by what it claims; a foreign signature is the verifier's to find. Unknown ones do no harm.
    rig.clock.set(Timestamp::from_secs(NOW + 3));
    agent.receipt(receipt(9, 5)).await;
    agent.receipt(receipt(2, 8)).await;
    agent.receipt(receipt(2, 5)).await;
    let came = second.receipt(soon()).await.unwrap();
    assert_eq!(came, (receipt(2, 8), Timestamp::from_secs(NOW + 3)));
    let finding = first.receipt(at_once()).await.unwrap_err();
    assert_eq!((finding.reason, finding.detail()), (Reason::ReceiptMissing, ""));
    rig.stop().await;
}

#[tokio::test]
async fn a_receipt_that_cannot_be_read_is_missed_with_a_word_about_it() {
    let mut rig = Rig::start().await;
    let (agent, handle) = rig.registered(5).await;
    let mut ticket = handle.announce(ProbeId::from_bytes([1; 16]), vec![1]).unwrap();
    assert_eq!(ticket.acked(at_once()).await.unwrap_err().reason, Reason::AckMissing);
    agent.receipt(b"no receipt".to_vec()).await;
    // Messages are taken in turn: when the acknowledgement is there, the receipt was seen.
    agent.ack(ProbeId::from_bytes([1; 16]), "").await;
    ticket.acked(soon()).await.unwrap();
    let finding = ticket.receipt(at_once()).await.unwrap_err();
    assert_eq!(finding.reason, Reason::ReceiptMissing);
    assert!(finding.detail().contains("cannot be read"), "{finding}");
    rig.stop().await;
}

#[tokio::test]
async fn tickets_of_an_ended_session_end_and_say_whose_doing_it_was() {
    let mut rig = Rig::start().await;
    let probe = ProbeId::from_bytes([1; 16]);
    let (agent, handle) = rig.registered(5).await;
    let (mut acked, receipt) = (
        handle.announce(probe, vec![1]).unwrap(),
        handle.announce(ProbeId::from_bytes([2; 16]), vec![1]).unwrap(),
    );
    drop(agent);
    assert_eq!(acked.acked(soon()).await.unwrap_err().reason, Reason::AckMissing);
    assert_eq!(
        receipt.receipt(soon()).await.unwrap_err().reason,
        Reason::ReceiptMissing
    );
    rig.ended().await;
    assert!(!handle.is_live());
    assert_eq!(handle.announce(probe, vec![1]).unwrap_err().reason, Reason::NoSession);
    assert_eq!(handle.send_verdict(vec![1]).unwrap_err().reason, Reason::NoSession);

    let (mut agent, handle) = rig.registered(5).await;
    let (mut acked, receipt) = (
        handle.announce(probe, vec![1]).unwrap(),
        handle.announce(ProbeId::from_bytes([2; 16]), vec![1]).unwrap(),
    );
    handle.close(&Reason::AddressTaken.into());
    assert_eq!(acked.acked(soon()).await.unwrap_err().reason, Reason::NoSession);
    assert_eq!(receipt.receipt(soon()).await.unwrap_err().reason, Reason::NoSession);
    assert_eq!(rig.ended().await.2, How::Dismissed);
    assert!(matches!(agent.hear().await, to_agent::Message::Announcement(_)));
    assert!(matches!(agent.hear().await, to_agent::Message::Announcement(_)));
    assert_eq!(agent.rejected().await.code, Reason::AddressTaken.code());
    rig.stop().await;
}

#[tokio::test]
async fn a_session_has_eight_probes_announced_at_most_each_once() {
    let mut rig = Rig::start().await;
    let (_agent, handle) = rig.registered(5).await;
    let announce = |number: u8| handle.announce(ProbeId::from_bytes([number; 16]), vec![number]);
    let first = announce(0).unwrap();
    assert_eq!(announce(0).unwrap_err().reason, Reason::AttesterFailed);
    let _others: Vec<_> = (1..8).map(|number| announce(number).unwrap()).collect();
    assert_eq!(announce(8).unwrap_err().reason, Reason::AttesterFailed);
    drop(first);
    let _again = announce(0).unwrap();
    rig.stop().await;
}

#[tokio::test]
async fn a_newer_session_replaces_the_older_of_the_same_key() {
    let mut rig = Rig::start().await;
    let address = "127.0.0.1:443".parse().unwrap();
    let mut roster = Roster::new();
    let (mut old_agent, old) = rig.registered(5).await;
    assert!(roster.seat(old.clone(), address).is_none());
    let (_new_agent, new) = rig.registered(5).await;
    assert!(new.id() > old.id());
    assert_eq!(roster.seat(new.clone(), address).unwrap().id(), old.id());
    let status = old_agent.status().await;
    assert_eq!(status.code(), Code::Aborted);
    assert!(status.message().contains("one agent"), "{status}");
    let (peer, session, how) = rig.ended().await;
    assert_eq!((session, how), (old.id(), How::Dismissed));
    assert!(!roster.remove(&peer, session));
    assert_eq!(roster.holder(address).unwrap().id(), new.id());
    rig.stop().await;
}

#[tokio::test]
async fn goodbye_is_told_apart_from_every_other_end() {
    let mut rig = Rig::start().await;
    for (reason, expected) in [(goodbye::Reason::Paused, true), (goodbye::Reason::Stopping, false)] {
        let (mut agent, handle) = rig.registered(5).await;
        agent.goodbye(reason.into()).await;
        let SessionEvent::Goodbye { peer, session, paused } = rig.event().await else {
            panic!("no goodbye")
        };
        assert_eq!((&peer, session, paused), (handle.peer(), handle.id(), expected));
        assert_eq!(hear(&mut agent.heard).await.unwrap(), None);
        assert!(!handle.is_live());
    }

    // The stream is finished in order.
    let (agent, handle) = rig.registered(5).await;
    let Agent { say, heard, client, .. } = agent;
    drop(say);
    assert_eq!(rig.ended().await, (handle.peer().clone(), handle.id(), How::Closed));
    // The stream is given up.
    let Agent {
        say,
        heard: reset,
        client: kept,
        ..
    } = rig.registered(5).await.0;
    drop(reset);
    assert_eq!(rig.ended().await.2, How::Reset);
    drop((say, heard, client, kept));
    rig.stop().await;
}

/// A wire between agent and attester that can be cut or left dangling.
struct Wire {
    address: SocketAddr,
    cut: CancellationToken,
    freeze: CancellationToken,
}

impl Wire {
    async fn to(attester: SocketAddr) -> Self {
        let listener = TcpListener::bind(SocketAddr::from((LOOPBACK, 0))).await.unwrap();
        let wire = Self {
            address: listener.local_addr().unwrap(),
            cut: CancellationToken::new(),
            freeze: CancellationToken::new(),
        };
        let (cut, freeze) = (wire.cut.clone(), wire.freeze.clone());
        tokio::spawn(async move {
            let (mut near, _) = listener.accept().await.unwrap();
            let mut far = TcpStream::connect(attester).await.unwrap();
            let (mut near_read, mut near_write) = near.split();
            let (mut far_read, mut far_write) = far.split();
            tokio::select! {
                () = cut.cancelled() => return,
                () = freeze.cancelled() => {}
                _ = copy(&mut near_read, &mut far_write) => {}
                _ = copy(&mut far_read, &mut near_write) => {}
            }
            std::future::pending::<()>().await;
        });
        wire
    }
}

#[tokio::test]
async fn a_cut_wire_is_an_end_and_a_frozen_one_silence() {
    let mut rig = Rig::start_with(|config| {
        config.limits.keepalive = Duration::from_millis(200);
        config.limits.keepalive_timeout = Duration::from_millis(200);
    })
    .await;
    let direct = rig.address;
    for freeze in [false, true] {
        let wire = Wire::to(direct).await;
        rig.address = wire.address;
        let (_agent, handle) = rig.registered(5).await;
        if freeze {
            wire.freeze.cancel();
        } else {
            wire.cut.cancel();
        }
        let (_, session, how) = rig.ended().await;
        assert_eq!(session, handle.id());
        if freeze {
            assert_eq!(how, How::Silent);
        } else {
            assert_ne!(how, How::Silent);
        }
        assert!(!handle.is_live());
    }
    rig.stop().await;
}

#[tokio::test]
async fn who_does_not_register_is_sent_away() {
    let rig = Rig::start_with(|config| config.limits.register = Duration::from_millis(300)).await;
    let mut silent = Agent::connect(rig.address).await;
    let status = silent.status().await;
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!(status.message().contains("no registration"), "{status}");
    // A connection that never opens a stream is closed, too.
    let mut idle = handshake(LOOPBACK, rig.address, &[b"h2"]).await.unwrap();
    idle.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await
        .unwrap();
    let _ = timeout(PATIENCE, idle.read_to_end(&mut Vec::new()))
        .await
        .expect("it is closed");
    rig.stop().await;
}

#[tokio::test]
async fn what_breaks_the_protocol_ends_the_session_with_a_status_that_says_what() {
    use proto::attest::{Ack, ToAttester, to_attester::Message};

    let mut rig = Rig::start().await;
    let ack = || {
        Message::Ack(Ack {
            probe_id: Bytes::from_static(&[0; 16]),
            refusal: String::new(),
        })
    };

    let mut early = Agent::connect(rig.address).await;
    early.tell(ack()).await;
    let status = early.status().await;
    assert_eq!(
        (status.code(), status.message().contains("first message")),
        (Code::FailedPrecondition, true)
    );

    let (mut twice, _) = rig.registered(5).await;
    twice.register(5).await;
    assert_eq!(twice.status().await.code(), Code::FailedPrecondition);
    assert_eq!(rig.ended().await.2, How::Dismissed);

    let (mut short, _) = rig.registered(5).await;
    short
        .tell(Message::Ack(Ack {
            probe_id: Bytes::new(),
            refusal: String::new(),
        }))
        .await;
    assert_eq!(short.status().await.code(), Code::InvalidArgument);
    assert_eq!(rig.ended().await.2, How::Dismissed);

    let (mut empty, _) = rig.registered(5).await;
    empty.say.send(ToAttester { message: None }).await.unwrap();
    assert_eq!(empty.status().await.code(), Code::InvalidArgument);
    assert_eq!(rig.ended().await.2, How::Dismissed);

    let (mut long, _) = rig.registered(5).await;
    long.receipt(vec![0; 17 << 10]).await;
    let status = long.status().await;
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("too large"), "{status}");
    assert_eq!(rig.ended().await.2, How::Dismissed);

    let (mut fast, _) = rig.registered(5).await;
    for _ in 0..100 {
        let _ = fast.say.send(ToAttester { message: Some(ack()) }).await;
    }
    assert_eq!(fast.status().await.code(), Code::ResourceExhausted);
    assert_eq!(rig.ended().await.2, How::Dismissed);
    rig.stop().await;
}

#[tokio::test]
async fn only_http2_over_tls13_is_served_and_only_one_method() {
    let rig = Rig::start().await;
    assert!(handshake(LOOPBACK, rig.address, &[b"http/1.1"]).await.is_err());
    let mut without = handshake(LOOPBACK, rig.address, &[]).await.unwrap();
    let _ = timeout(PATIENCE, without.read_to_end(&mut Vec::new()))
        .await
        .expect("it is closed");

    let (_, client) = open(LOOPBACK, rig.address).await;
    drop(client);
    rig.stop().await;
}

#[tokio::test]
async fn junk_connections_do_not_hinder_a_good_one() {
    let mut rig = Rig::start_with(|config| {
        config.sessions_per_source = 100;
        config.limits.handshake = Duration::from_secs(2);
    })
    .await;
    let mut junk = Vec::new();
    for number in 0..50 {
        let mut stream = dial(LOOPBACK, rig.address).await;
        // Some say nothing, some half a greeting, some nonsense.
        let said: &[u8] = [b"", &b"\x16\x03\x01\x02\x00\x01\x00\x01"[..], b"GET / HTTP/1.1\r\n\r\n"][number % 3];
        stream.write_all(said).await.unwrap();
        junk.push(stream);
    }
    let (_agent, handle) = rig.registered(5).await;
    assert!(handle.is_live());
    for mut stream in junk {
        let _ = timeout(PATIENCE, stream.read_to_end(&mut Vec::new()))
            .await
            .expect("it is closed");
    }
    rig.stop().await;
}

#[tokio::test]
async fn who_gets_no_seat_is_told_so_and_a_seat_comes_back() {
    let mut rig = Rig::start_with(|config| config.sessions_per_source = 1).await;
    let (agent, _) = rig.registered(5).await;
    let (_, mut client) = open(LOOPBACK, rig.address).await;
    let (_say, mut heard) = open_stream(&mut client).await.unwrap();
    let Some(to_agent::Message::Rejected(rejected)) = hear(&mut heard).await.unwrap() else {
        panic!("not rejected")
    };
    assert_eq!(
        (rejected.code.as_str(), rejected.retry),
        (Reason::AttesterFull.code(), true)
    );
    assert!(rejected.remedy.contains("from this address"), "{}", rejected.remedy);
    assert!(matches!(rig.event().await, SessionEvent::Rejected { peer: None, .. }));
    let elsewhere = Agent::connect_from([127, 0, 0, 2], rig.address).await;
    // Those beyond the ones that are told are only closed.
    let told = [open(LOOPBACK, rig.address).await, open(LOOPBACK, rig.address).await];
    assert!(handshake(LOOPBACK, rig.address, &[b"h2"]).await.is_err());
    drop((agent, told, elsewhere));
    rig.ended().await;
    rig.stop().await;
}

#[tokio::test]
async fn stopping_tells_the_agents_and_no_end_is_held_against_them() {
    let mut rig = Rig::start().await;
    let (mut agent, handle) = rig.registered(5).await;
    let mut ticket = handle.announce(ProbeId::from_bytes([1; 16]), vec![1]).unwrap();
    let mut waiting = Agent::connect(rig.address).await;
    let _idle = open(LOOPBACK, rig.address).await;
    let _shaking = dial(LOOPBACK, rig.address).await;
    rig.token.cancel();
    assert_eq!(ticket.acked(soon()).await.unwrap_err().reason, Reason::NoSession);
    assert!(matches!(agent.hear().await, to_agent::Message::Announcement(_)));
    assert_eq!(agent.status().await.code(), Code::Unavailable);
    assert_eq!(waiting.status().await.code(), Code::Unavailable);
    let mut events = std::mem::replace(&mut rig.events, mpsc::channel(1).1);
    rig.stop().await;
    drop((handle, ticket));
    assert!(events.recv().await.is_none());
}
