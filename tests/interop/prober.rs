//! Our client through the real enproxy server.

use std::{
    io::{Write, stderr},
    net::SocketAddr,
    time::Duration,
};

use attester::{
    flashlight::{Exchange, Job, Limits, Prober, Stopwatch, Target},
    model::Reason,
};
use proto::{
    claims::{Phase, Protocol},
    ids::Digest,
};
use rand::{SeedableRng, rngs::StdRng};

use crate::{
    front::Front,
    nobody,
    origin::RealOrigin,
    pattern,
    programs::{EnproxyServer, enproxy_get},
    site::Site,
    within,
};

#[tokio::test]
#[ignore = "needs the Go programs of tests/setup.sh"]
async fn a_probe_comes_back_through_the_real_server() {
    let (server, origin) = (EnproxyServer::start().await, RealOrigin::start().await);
    let mut rng = StdRng::seed_from_u64(1);
    for protocol in [Protocol::Enproxy, Protocol::EnproxyPath] {
        for body in [LIVENESS, GOODPUT] {
            let probe = origin.probe(protocol, body, &mut rng);
            let exchange = exchange(&fresh(), &target(&server, server.address), &probe.job, &mut rng).await;
            let source = origin.check(&probe, &exchange);
            assert_eq!(source.ip(), server.address.ip());
            assert_eq!((exchange.address, exchange.pin), (server.address, Some(server.pin)));
            assert_eq!(exchange.proxy_host.as_deref(), Some(EnproxyServer::HOST));
        }
    }
}

#[tokio::test]
#[ignore = "needs the Go programs of tests/setup.sh"]
async fn an_answer_that_is_late_is_read_by_asking_again() {
    let (server, site) = (EnproxyServer::start().await, Site::silent().await);
    let front = Front::of(server.address).await;
    let body = pattern(300_000);
    let head = format!(
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let expected = [head.as_bytes(), &body].concat();
    let job = Job {
        protocol: Protocol::Enproxy,
        destination: site.address.to_string().parse().unwrap(),
        request: format!("GET /{} HTTP/1.1\r\n\r\n", body.len()).into_bytes(),
        expected_down: expected.len() as u64,
    };
    let (target, prober, mut rng) = (target(&server, front.address), fresh(), StdRng::seed_from_u64(1));
    let asked_again = async {
        // After the handshake's end and the first request comes nothing but a read, and only after an empty answer.
        front.until(|seen| seen.records >= 3).await;
        site.release();
    };
    let (exchange, ()) = tokio::join!(exchange(&prober, &target, &job, &mut rng), asked_again);
    assert_eq!(exchange.failure, None);
    assert_eq!(exchange.received_digest, Digest::of(&expected));
}

#[tokio::test]
#[ignore = "needs the Go programs of tests/setup.sh"]
async fn a_refused_destination_is_told_in_the_servers_words() {
    let (server, (_kept, nobody)) = (EnproxyServer::start().await, nobody());
    let mut rng = StdRng::seed_from_u64(1);
    for protocol in [Protocol::Enproxy, Protocol::EnproxyPath] {
        let job = Job {
            protocol,
            destination: nobody.to_string().parse().unwrap(),
            request: b"GET / HTTP/1.1\r\n\r\n".to_vec(),
            expected_down: 1,
        };
        let exchange = exchange(&fresh(), &target(&server, server.address), &job, &mut rng).await;
        let finding = exchange.failure.unwrap();
        assert_eq!(finding.reason, Reason::TunnelRefused);
        let told = format!("Unable to dial out to {nobody}");
        assert!(
            finding.detail().contains("500") && finding.detail().contains(&told),
            "{}",
            finding.detail()
        );
    }
}

/// Prints figures; asserts none. The reference is the real client, which in addition is given less to do: its answer is
/// as long, but nothing in it is signed.
#[tokio::test]
#[ignore = "needs the Go programs of tests/setup.sh"]
async fn how_long_a_probe_takes_beside_the_real_client() {
    let (server, origin, site) = (
        EnproxyServer::start().await,
        RealOrigin::start().await,
        Site::start().await,
    );
    let target = target(&server, server.address);
    let mut rng = StdRng::seed_from_u64(1);
    let mut ours = Vec::new();
    for prober in [fresh(), fresh().resuming()] {
        let mut times = Vec::new();
        for _ in 0..PROBES {
            let probe = origin.probe(Protocol::Enproxy, LIVENESS, &mut rng);
            let exchange = exchange(&prober, &target, &probe.job, &mut rng).await;
            origin.check(&probe, &exchange);
            times.push(exchange.watch.times().0[&Phase::Complete]);
        }
        ours.push(median(times));
    }
    let repeat = PROBES.to_string();
    let (complete, fetched) = enproxy_get(server.address, &site.url(2048), &["-repeat", &repeat]).await;
    assert!(complete && fetched.len() == PROBES);
    let real = median(
        fetched
            .iter()
            .map(|fetched| Duration::from_micros(fetched.micros))
            .collect(),
    );
    let ratio = |time: Duration| time.as_secs_f64() / real.as_secs_f64();
    // Not by `println`, which the test harness would swallow.
    writeln!(
        stderr(),
        "a probe through the real server (P-256 key), median of {PROBES}: {:.1?} = {:.3} × the real client's {:.1?} \
         (budget 0.07); resumed {:.1?} = {:.3} × (budget 0.03){}",
        ours[0],
        ratio(ours[0]),
        real,
        ours[1],
        ratio(ours[1]),
        if cfg!(debug_assertions) {
            "; built without optimisation"
        } else {
            ""
        },
    )
    .unwrap();
}

fn fresh() -> Prober {
    Prober::new(None, Limits::default())
}

fn target(server: &EnproxyServer, address: SocketAddr) -> Target {
    Target {
        host: Some("peer-a.zone.test".to_owned()),
        ..Target::pinned(address, server.pin)
    }
}

async fn exchange(prober: &Prober, target: &Target, job: &Job, rng: &mut StdRng) -> Exchange {
    within(prober.exchange(target, job, Stopwatch::start(), rng)).await
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// Body lengths in bytes.
const LIVENESS: u64 = 1 << 10;
const GOODPUT: u64 = 256 << 10;
/// Enough for a median.
const PROBES: usize = 100;
