//! Every way in which a session ends.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use proto::{
    attest::{Retest, goodbye, to_agent, to_attester::Message},
    ids::ProbeId,
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc, oneshot},
};
use tokio_util::sync::CancellationToken;
use tonic::Code;

use crate::{
    door::Seats,
    metrics::Metrics,
    model::Reason,
    session::{
        How, Limits, Registered, Roster, SessionEvent,
        tls::{self, Arrived, Handshakes},
    },
};

use super::rig::{Agent, LOOPBACK, Rig, dial, handshake, hear, open, soon};

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

#[tokio::test]
async fn a_newer_session_replaces_the_older_of_the_same_key() {
    let mut rig = Rig::start().await;
    let address = "127.0.0.1:443".parse().unwrap();
    let mut roster = Roster::new();
    let (mut old_agent, old) = rig.registered(5).await;
    assert!(roster.seat(old.clone(), address).is_none());
    let mut ticket = old.announce(ProbeId::from_bytes([1; 16]), vec![1]).unwrap();
    assert!(matches!(old_agent.hear().await, to_agent::Message::Announcement(_)));
    let (_new_agent, new) = rig.registered(5).await;
    assert!(new.id() > old.id());
    assert_eq!(roster.seat(new.clone(), address).unwrap().id(), old.id());
    let status = old_agent.status().await;
    assert_eq!(status.code(), Code::Aborted);
    assert!(status.message().contains("one agent"), "{status}");
    // Whoever came anew at each announcement would never have to answer one: it is the agent's doing.
    assert_eq!(ticket.acked(soon()).await.unwrap_err().reason, Reason::AckMissing);
    assert_eq!(ticket.receipt(soon()).await.unwrap_err().reason, Reason::ReceiptMissing);
    let (peer, session, how) = rig.ended().await;
    assert_eq!((session, how), (old.id(), How::Dismissed));
    assert!(!roster.remove(&peer, session));
    assert_eq!(roster.holder(address).unwrap().id(), new.id());
    rig.stop().await;
}

#[tokio::test]
async fn the_core_hears_that_a_registered_agent_asks_for_a_probe() {
    let mut rig = Rig::start().await;
    let (agent, handle) = rig.registered(5).await;
    // As often as a session may say anything at once; the core hears it once.
    for _ in 0..30 {
        agent.tell(Message::Retest(Retest {})).await;
    }
    let SessionEvent::Retest { peer, session } = rig.event().await else {
        panic!("nothing was asked")
    };
    assert_eq!((&peer, session), (handle.peer(), handle.id()));
    assert!(handle.is_live());
    agent.goodbye(goodbye::Reason::Paused.into()).await;
    let next = rig.event().await;
    assert!(matches!(next, SessionEvent::Goodbye { .. }), "{next:?}");
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
    drop((heard, client));
    rig.stop().await;
}

/// A wire between agent and attester, until something happens to it.
struct Wire {
    address: SocketAddr,
    fate: oneshot::Sender<How>,
}

impl Wire {
    async fn to(attester: SocketAddr) -> Self {
        let listener = TcpListener::bind(SocketAddr::from((LOOPBACK, 0))).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (fate, sealed) = oneshot::channel();
        tokio::spawn(async move {
            let (mut near, _) = listener.accept().await.unwrap();
            let mut far = TcpStream::connect(attester).await.unwrap();
            let how = tokio::select! {
                how = sealed => how.unwrap(),
                _ = copy_bidirectional(&mut near, &mut far) => return,
            };
            match how {
                How::Silent => std::future::pending().await,
                How::Reset => socket2::SockRef::from(&far).set_linger(Some(Duration::ZERO)).unwrap(),
                _ => {}
            }
        });
        Self { address, fate }
    }
}

#[tokio::test]
async fn the_end_of_a_connection_is_told_as_it_was() {
    let mut rig = Rig::start_with(|config| {
        config.limits.keepalive = Duration::from_secs(1);
        config.limits.keepalive_timeout = Duration::from_secs(1);
    })
    .await;
    let direct = rig.address;
    for fate in [How::Closed, How::Reset, How::Silent] {
        let wire = Wire::to(direct).await;
        rig.address = wire.address;
        let (_agent, handle) = rig.registered(5).await;
        wire.fate.send(fate).unwrap();
        assert_eq!(rig.ended().await, (handle.peer().clone(), handle.id(), fate));
        assert!(!handle.is_live());
    }
    rig.stop().await;
}

/// What README.md of the protocol says of this side, as the kernel has it: 20 s of silence, every 5 s, three times.
#[cfg(unix)]
#[tokio::test]
async fn the_kernel_is_told_to_look_for_a_dead_path() {
    let listener = TcpListener::bind(SocketAddr::from((LOOPBACK, 0))).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (finished, mut streams) = mpsc::channel(1);
    let handshakes = Handshakes::new(
        tls::config().unwrap(),
        Limits::default(),
        finished,
        CancellationToken::new(),
        Arc::new(Metrics::default()),
    );
    let serve = async {
        let (stream, source) = listener.accept().await.unwrap();
        let arrived = Arrived {
            stream,
            source,
            seat: Seats::new(1, 1).take(source.ip()).unwrap(),
            full: None,
            place: Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap(),
        };
        handshakes.shake(arrived).await;
    };
    let (client, ()) = tokio::join!(handshake(LOOPBACK, address, &[b"h2"]), serve);
    client.unwrap();
    let stream = streams.recv().await.unwrap().unwrap();
    let socket = socket2::SockRef::from(stream.socket());
    assert!(socket.keepalive().unwrap());
    assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(20));
    assert_eq!(socket.tcp_keepalive_interval().unwrap(), Duration::from_secs(5));
    assert_eq!(socket.tcp_keepalive_retries().unwrap(), 3);
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
