#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::net::SocketAddr;

use proto::{
    attest::{Rejected, goodbye, to_agent, to_attester},
    checked::Signed,
    claims::{Announcement, FlowEnd, Outcome, Receipt, Registration},
    ids::Digest,
    time::Clock,
};
use rand::SeedableRng;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_util::task::AbortOnDropHandle;

use self::server::{Server, Session, tls, tls_with_anothers_certificate};
use super::*;
use crate::{
    Agent, Backoff, Identity,
    samples::{self, DESTINATION, NOW, attester, peer, probe, signed},
};

mod refusals;
mod server;

/// Waits for a level, with a deadline that only a hung test reaches.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(30), what).await.expect("not within 30 s")
}

fn config(attesters: &[SocketAddr]) -> AgentConfig {
    let endpoints = attesters.iter().map(|address| (*address).into()).collect();
    let (identity, pin) = (Identity::Key(peer()), Pin::from_bytes([8; 32]));
    let config = AgentConfig::new(
        endpoints,
        samples::root().public(),
        identity,
        "192.0.2.7:443".parse().unwrap(),
        pin,
    );
    let backoff = Backoff {
        base: Duration::from_millis(1),
        cap: Duration::from_millis(20),
    };
    AgentConfig {
        clock: Clock::manual(NOW),
        backoff,
        ..config
    }
}

fn start(config: AgentConfig) -> Agent {
    Agent::start(config, StdRng::seed_from_u64(7)).unwrap()
}

async fn standing(agent: &Agent, is: impl Fn(&Standing) -> bool) -> Standing {
    soon(agent.changes().wait_for(|standing| is(standing)))
        .await
        .unwrap()
        .clone()
}

async fn state(agent: &Agent, state: State) -> Standing {
    standing(agent, |standing| standing.state == state).await
}

fn announce(announcement: &Announcement) -> to_agent::Message {
    to_agent::Message::Announcement(signed(announcement, &attester()).into())
}

/// Announces probe `number` and waits for the ack; gives the probe's request.
async fn announce_and_arm(session: &mut Session, number: u8, down: u64, change: impl Fn(&mut Announcement)) -> Vec<u8> {
    let challenge = signed(&samples::challenge(number), &attester());
    let request = samples::request(&challenge);
    let mut announcement = samples::announcement(number, &challenge, request.len() as u64, down);
    change(&mut announcement);
    session.send(announce(&announcement)).await;
    let Some(to_attester::Message::Ack(ack)) = session.receive().await else {
        panic!("no ack")
    };
    assert_eq!(
        (&ack.probe_id[..], ack.refusal.as_str()),
        (&probe(number).as_bytes()[..], "")
    );
    request
}

async fn receipt(session: &mut Session) -> Receipt {
    let Some(to_attester::Message::Receipt(message)) = session.receive().await else {
        panic!("no receipt")
    };
    let receipt = Signed::<Receipt>::parse(&message.receipt)
        .unwrap()
        .verify(&peer().public())
        .unwrap();
    receipt.at(NOW, Duration::ZERO).unwrap()
}

async fn goodbye(session: &mut Session) -> goodbye::Reason {
    let Some(to_attester::Message::Goodbye(goodbye)) = session.receive().await else {
        panic!("no goodbye")
    };
    goodbye.reason()
}

#[tokio::test]
async fn a_probe_from_announcement_to_verdict_and_a_goodbye() {
    let mut server = Server::start().await;
    let agent = start(config(&[server.address]));
    let mut session = server.registered().await;
    let registered = state(&agent, State::Registered).await;
    assert_eq!(registered.own_name, Some(agent.peer_id().own_name("example")));
    assert_eq!(registered.attester, Some(server.address.to_string()));

    let request = announce_and_arm(&mut session, 1, 4, |_| {}).await;
    let mut flow = agent.tap().flow(DESTINATION).unwrap();
    let (start, rest) = request.split_at(50);
    flow.up(start);
    flow.up(rest);
    flow.down(b"body");
    let receipt = receipt(&mut session).await;
    assert_eq!((receipt.probe, receipt.nonce.as_bytes()), (probe(1), &[1; 32]));
    assert_eq!(
        (receipt.up, receipt.up_digest),
        (request.len() as u64, Digest::of(&request))
    );
    assert_eq!(
        (receipt.down, receipt.down_digest, receipt.end),
        (4, Digest::of(b"body"), FlowEnd::Lengths)
    );

    let verdict = samples::verdict(Outcome::Proved, "", "verified");
    session
        .send(to_agent::Message::Verdict(signed(&verdict, &attester()).into()))
        .await;
    let verified = state(&agent, State::Verified).await;
    assert_eq!((verified.last_verdict, verified.reason), (Some(NOW), None));
    let verdict = samples::verdict(Outcome::Failed, "connect", "suspended");
    session
        .send(to_agent::Message::Verdict(signed(&verdict, &attester()).into()))
        .await;
    let suspended = state(&agent, State::Suspended).await;
    assert_eq!(suspended.remedy.as_deref(), Some("connect: forward the port"));

    let (metrics, changes) = (agent.metrics(), agent.changes());
    let leaving = async { (goodbye(&mut session).await, session.ends().await) };
    let (told, ()) = soon(async { tokio::join!(leaving, agent.stop()) }).await;
    assert_eq!(told, (goodbye::Reason::Stopping, true));
    assert_eq!(changes.borrow().state, State::Stopped);
    let counts = [
        &metrics.attempts,
        &metrics.registrations,
        &metrics.announcements,
        &metrics.receipts_sent,
    ];
    assert_eq!(counts.map(crate::metrics::Counter::value), [1, 1, 1, 1]);
    assert_eq!(metrics.verdicts.value(), 2);
}

#[tokio::test]
async fn the_windows_end_sends_the_receipt_of_a_flow_that_hangs() {
    let mut server = Server::start().await;
    let agent = start(config(&[server.address]));
    let mut session = server.registered().await;
    let request = announce_and_arm(&mut session, 1, 4, |announcement| {
        announcement.expires = samples::after(1)
    })
    .await;
    let mut flow = agent.tap().flow(DESTINATION).unwrap();
    flow.up(&request);
    flow.down(b"bo");
    let receipt = receipt(&mut session).await;
    assert_eq!((receipt.end, receipt.down), (FlowEnd::Window, 2));
    assert!(agent.tap().flow(DESTINATION).is_none());
    agent.stop().await;
}

#[tokio::test]
async fn what_cannot_be_armed_is_acknowledged_with_the_reason() {
    let mut server = Server::start().await;
    let agent = start(config(&[server.address]));
    let mut session = server.registered().await;
    for number in 1..=8 {
        announce_and_arm(&mut session, number, 4, |_| {}).await;
    }
    let challenge = signed(&samples::challenge(9), &attester());
    session
        .send(announce(&samples::announcement(9, &challenge, 300, 4)))
        .await;
    let Some(to_attester::Message::Ack(ack)) = session.receive().await else {
        panic!("no ack")
    };
    assert_eq!(ack.refusal, "8 probes are announced already");
    assert_eq!(
        (
            agent.metrics().announcements.value(),
            agent.metrics().announcements_refused.value()
        ),
        (8, 1)
    );
    agent.stop().await;
}

#[tokio::test]
async fn after_a_drop_it_registers_again_on_a_new_connection() {
    let mut server = Server::start().await;
    let agent = start(config(&[server.address]));
    let mut first = server.registered().await;
    state(&agent, State::Registered).await;
    let request = announce_and_arm(&mut first, 1, 4, |_| {}).await;
    let mut flow = agent.tap().flow(DESTINATION).unwrap();
    flow.up(&request);
    let binding = first.connection.binding;
    drop(first);

    let mut second = server.registered().await;
    assert_ne!(second.connection.binding, binding);
    standing(&agent, |standing| {
        standing.state == State::Registered && standing.reason.is_none()
    })
    .await;
    // Nothing of the first session is left.
    flow.down(b"body");
    let request = announce_and_arm(&mut second, 1, 4, |_| {}).await;
    let mut flow = agent.tap().flow(DESTINATION).unwrap();
    flow.up(&request);
    flow.down(b"soul");
    assert_eq!(receipt(&mut second).await.down_digest, Digest::of(b"soul"));
    assert_eq!(
        (
            agent.metrics().registrations.value(),
            agent.metrics().receipts_dropped.value()
        ),
        (2, 1)
    );

    second
        .fail(tonic::Status::resource_exhausted("too many\u{1b}[2J sessions"))
        .await;
    let _third = server.registered().await;
    agent.stop().await;
}

#[tokio::test]
async fn the_next_endpoint_is_tried_when_one_is_gone() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut server = Server::start().await;
    let agent = start(config(&[closed, server.address]));
    let session = server.registered().await;
    let registered = state(&agent, State::Registered).await;
    assert_eq!(registered.attester, Some(server.address.to_string()));
    assert_eq!(agent.metrics().attempts.value(), 2);
    drop(session);
    agent.stop().await;
}

#[tokio::test]
async fn a_pause_says_goodbye_and_a_resume_registers_again() {
    let mut server = Server::start().await;
    let agent = start(config(&[server.address]));
    let mut session = server.registered().await;
    state(&agent, State::Registered).await;
    agent.pause();
    assert_eq!(goodbye(&mut session).await, goodbye::Reason::Paused);
    assert!(session.receive().await.is_none());
    drop(session);
    state(&agent, State::Paused).await;
    agent.pause();
    agent.resume();
    let mut session = server.registered().await;
    state(&agent, State::Registered).await;

    drop(agent);
    assert_eq!(goodbye(&mut session).await, goodbye::Reason::Stopping);
}

#[tokio::test]
async fn a_receipt_that_is_ready_goes_out_before_the_goodbye() {
    let mut server = Server::start().await;
    let agent = start(config(&[server.address]));
    let mut session = server.registered().await;
    let request = announce_and_arm(&mut session, 1, 4, |_| {}).await;
    let mut flow = agent.tap().flow(DESTINATION).unwrap();
    flow.up(&request);
    // No await in between: the task sees both at once.
    flow.down(b"body");
    agent.pause();
    receipt(&mut session).await;
    assert_eq!(goodbye(&mut session).await, goodbye::Reason::Paused);
    drop(session);
    agent.stop().await;
}

#[tokio::test]
async fn a_clock_that_jumps_starts_the_session_again() {
    let mut server = Server::start().await;
    let config = config(&[server.address]);
    let clock = config.clock.clone();
    let agent = start(config);
    let mut first = server.registered().await;
    state(&agent, State::Registered).await;
    clock.advance(Duration::from_secs(600));
    assert!(first.receive().await.is_none());
    let mut second = server.session().await;
    standing(&agent, |standing| standing.reason.as_deref() == Some("clock-jump")).await;
    second.welcome().await;
    let Some(to_attester::Message::Register(register)) = second.receive().await else {
        panic!("no registration")
    };
    let claim = Signed::<Registration>::parse(&register.registration)
        .unwrap()
        .verify_with_own_key()
        .unwrap();
    let claim = claim.dangerously_at_any_time();
    assert_eq!(
        (claim.issued_at, claim.peer_time),
        (NOW.seconds(), samples::after(600).start())
    );
    agent.stop().await;
}

#[tokio::test]
async fn sessions_leave_from_the_configured_address() {
    let mut server = Server::start().await;
    let config = config(&[server.address]);
    let agent = start(AgentConfig {
        bind: Some("127.0.0.9".parse().unwrap()),
        ..config
    });
    let session = server.registered().await;
    assert_eq!(session.connection.source.ip().to_string(), "127.0.0.9");
    drop(session);
    agent.stop().await;
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_silent_attester() {
    // Accepts connections (the kernel does) and never says a word.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let agent = start(config(&[listener.local_addr().unwrap()]));
    let _silent = soon(listener.accept()).await.unwrap();
    let changes = agent.changes();
    soon(agent.stop()).await;
    assert_eq!(changes.borrow().state, State::Stopped);

    let mut server = Server::start().await;
    let agent = start(config(&[server.address]));
    let _silent = server.session().await;
    let changes = agent.changes();
    soon(agent.stop()).await;
    assert_eq!(changes.borrow().state, State::Stopped);
}

#[tokio::test(start_paused = true)]
async fn attempts_go_on_for_ever_with_bounded_waits() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let agent = start(AgentConfig {
        backoff: Backoff::default(),
        ..config(&[closed])
    });
    let began = tokio::time::Instant::now();
    let metrics = agent.metrics();
    let attempts = async {
        while metrics.attempts.value() < 100 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    timeout(Duration::from_secs(100 * 60), attempts).await.unwrap();
    // About 30 s each once the bound has reached the cap; without a cap the hundredth would never come.
    assert!(began.elapsed() > Duration::from_secs(20 * 60));
    let standing = agent.standing();
    assert_eq!(
        (standing.state, standing.reason.as_deref()),
        (State::Connecting, Some("connect"))
    );
    agent.stop().await;
}
