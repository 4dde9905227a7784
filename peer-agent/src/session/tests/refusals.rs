//! What an agent does not accept, what is not accepted of it, and how it tells.

use proto::claims::Succession;

use super::*;

#[tokio::test]
async fn a_rejection_is_told_with_its_remedy() {
    let mut server = Server::start().await;
    let agent = start(config(&[server.address]));
    let mut session = server.session().await;
    session.welcome().await;
    assert!(matches!(
        session.receive().await,
        Some(to_attester::Message::Register(_))
    ));
    let remedy = "port 443 refused the connection: forward it on your router".to_owned();
    session
        .send(to_agent::Message::Rejected(Rejected {
            code: "port".to_owned(),
            remedy,
            retry: true,
        }))
        .await;
    let rejected = standing(&agent, |standing| standing.reason.is_some()).await;
    assert_eq!(rejected.reason.as_deref(), Some("port"));
    assert!(rejected.remedy.unwrap().contains("forward it"));
    // It may try again, the reason stands until it is registered.
    let _session = server.registered().await;
    let registered = state(&agent, State::Registered).await;
    assert_eq!((registered.reason, registered.remedy), (None, None));
    assert_eq!(agent.metrics().rejections.value(), 1);
    agent.stop().await;
}

#[tokio::test]
async fn a_rejection_that_stands_is_not_tried_again_before_the_cap() {
    let mut driver = driver(config(&["127.0.0.1:1".parse().unwrap()]));
    driver.config.backoff = Backoff {
        base: Duration::ZERO,
        cap: Duration::from_secs(60),
    };
    let rejected = |retry| SessionError::Rejected {
        code: "port".to_owned(),
        remedy: "open it".to_owned(),
        retry,
    };
    assert_eq!(driver.failed(&rejected(false)), Duration::from_secs(60));
    assert_eq!(driver.failed(&rejected(true)), Duration::ZERO);
    assert_eq!(driver.standing.borrow().state, State::Rejected);
    assert_eq!(driver.failed(&SessionError::Ended), Duration::ZERO);
    assert_eq!(
        (driver.standing.borrow().state, driver.failures),
        (State::Connecting, 3)
    );
}

#[tokio::test]
async fn a_host_that_asks_for_a_probe_does_not_wait_for_the_next_attempt() {
    let mut server = Server::start().await;
    let settings = config(&[server.address]);
    let backoff = Backoff {
        cap: Duration::from_secs(3600),
        ..settings.backoff
    };
    let agent = start(AgentConfig { backoff, ..settings });
    let mut session = server.session().await;
    session.welcome().await;
    session.receive().await;
    session
        .send(to_agent::Message::Rejected(Rejected {
            code: "port-refused".to_owned(),
            remedy: "forward it on your router".to_owned(),
            retry: false,
        }))
        .await;
    state(&agent, State::Rejected).await;
    agent.retest();
    let _session = server.registered().await;
    state(&agent, State::Registered).await;
    agent.stop().await;
}

#[tokio::test]
async fn in_a_session_the_attester_is_asked_for_a_probe() {
    let mut server = Server::start().await;
    let agent = start(config(&[server.address]));
    let mut session = server.registered().await;
    state(&agent, State::Registered).await;
    agent.retest();
    assert!(matches!(session.receive().await, Some(to_attester::Message::Retest(_))));
    agent.stop().await;
}

#[tokio::test]
async fn a_session_that_a_newer_one_replaced_is_told_and_not_fought_for() {
    let mut server = Server::start().await;
    let settings = config(&[server.address]);
    let backoff = Backoff {
        cap: Duration::from_secs(3600),
        ..settings.backoff
    };
    let agent = start(AgentConfig { backoff, ..settings });
    let session = server.registered().await;
    state(&agent, State::Registered).await;
    session
        .fail(tonic::Status::aborted("a newer session of the same key is there"))
        .await;
    let replaced = standing(&agent, |standing| standing.reason.as_deref() == Some("replaced")).await;
    assert_eq!(replaced.state, State::Connecting);
    let remedy = replaced.remedy.unwrap();
    assert!(
        remedy.contains("another agent uses the same identity file") && remedy.contains("init"),
        "{remedy}"
    );
    agent.stop().await;

    let mut driver = driver(config(&["127.0.0.1:1".parse().unwrap()]));
    driver.config.backoff.cap = Duration::from_secs(60);
    assert_eq!(driver.failed(&SessionError::Replaced), Duration::from_secs(60));
}

#[tokio::test]
async fn a_relay_that_ends_tls_on_both_sides_is_refused() {
    let mut server = Server::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (relay, attester) = (listener.local_addr().unwrap(), server.address);
    let _relaying = AbortOnDropHandle::new(tokio::spawn(async move {
        let acceptor = TlsAcceptor::from(Arc::new(tls(&[&rustls::version::TLS13])));
        let connector = TlsConnector::from(Arc::new(channel::tls_config().unwrap()));
        loop {
            let stream = listener.accept().await.unwrap().0;
            let Ok(mut agent) = acceptor.accept(stream).await else {
                continue;
            };
            let upstream = TcpStream::connect(attester).await.unwrap();
            let mut attester = connector
                .connect("attester.example".try_into().unwrap(), upstream)
                .await
                .unwrap();
            let _ = copy_bidirectional(&mut agent, &mut attester).await;
        }
    }));
    let agent = start(config(&[relay]));
    let mut session = server.session().await;
    session.welcome().await;
    let standing = standing(&agent, |standing| standing.reason.as_deref() == Some("relay")).await;
    assert!(standing.remedy.unwrap().contains("relays"));
    assert!(
        session.receive().await.is_none(),
        "nothing was registered through the relay"
    );
    assert_eq!(agent.metrics().sessions.value(), 0);
    agent.stop().await;
}

#[tokio::test]
async fn a_server_without_its_certificates_key_or_without_tls_1_3_is_refused() {
    for settings in [tls_with_anothers_certificate(), tls(&[&rustls::version::TLS12])] {
        let server = Server::with_tls(settings).await;
        let agent = start(config(&[server.address]));
        let standing = standing(&agent, |standing| standing.reason.is_some()).await;
        assert_eq!(
            (standing.state, standing.reason.as_deref()),
            (State::Connecting, Some("tls"))
        );
        agent.stop().await;
    }
}

#[tokio::test]
async fn an_unbelievable_keyset_is_told_with_what_to_check() {
    let mut server = Server::start().await;
    let config = config(&[server.address]);
    config.clock.set(samples::after(86_400 * 365).start());
    let agent = start(config);
    let session = server.session().await;
    session.welcome().await;
    let standing = standing(&agent, |standing| standing.reason.as_deref() == Some("keyset")).await;
    assert!(standing.remedy.unwrap().contains("check this machine's clock"));
    drop(session);
    agent.stop().await;
}

#[tokio::test]
async fn an_agent_needs_settings_that_work() {
    let message = |config| Agent::start(config, StdRng::seed_from_u64(7)).unwrap_err().to_string();
    assert!(message(config(&[])).contains("attesters"));
    let nowhere = || config(&["127.0.0.1:1".parse().unwrap()]);
    let others = AgentConfig {
        successions: vec![Succession::sign_pair(&peer(), &samples::stranger(), NOW).unwrap()],
        ..nowhere()
    };
    assert!(message(others).contains("not those of this identity"));
    let own = AgentConfig {
        successions: vec![Succession::sign_pair(&samples::stranger(), &peer(), NOW).unwrap()],
        ..nowhere()
    };
    start(own).stop().await;
}

#[tokio::test]
async fn a_defect_ends_the_agent_and_is_told() {
    // Whoever gets past the checks without an attester finds one.
    let driver = driver(config(&[]));
    let standing = driver.standing.subscribe();
    driver.supervised().await;
    let told = standing.borrow().clone();
    assert_eq!((told.state, told.reason.as_deref()), (State::Stopped, Some("defect")));
    assert!(told.remedy.unwrap().contains("restart the program"));
}

#[test]
fn an_agent_needs_a_runtime() {
    let config = config(&["127.0.0.1:1".parse().unwrap()]);
    assert!(matches!(
        Agent::start(config, StdRng::seed_from_u64(7)),
        Err(crate::AgentError::Runtime)
    ));
}

fn driver(config: AgentConfig) -> Driver {
    let metrics = Arc::<Metrics>::default();
    let (tap, finished) = Tap::connected(config.clock.clone(), Arc::clone(&metrics));
    let profile = Profile {
        key: peer(),
        root: config.root,
        address: Address(config.address),
        protocols: config.protocols.clone(),
        pin: config.pin,
        connect_token: None,
        software: String::new(),
        successions: Vec::new(),
    };
    Driver {
        remembered: crate::remembered::Remembered::open(None, &config.root).unwrap(),
        profile: Arc::new(profile),
        config,
        tap,
        finished,
        standing: watch::channel(Standing::new(peer().public().peer_id(), None)).0,
        wishes: watch::channel(Wish::Run).1,
        rng: StdRng::seed_from_u64(1),
        metrics,
        failures: 0,
        rejected: false,
        turn: 0,
        retests: Retests::new(Arc::default()),
        _held: None,
    }
}
