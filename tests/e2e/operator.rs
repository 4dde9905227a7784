//! What an operator's monitoring sees of an attester and its peers.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::net::SocketAddr;

use harness::{Behaviour, Cluster, DEADLINE, Options, Peer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Duration, Instant, sleep, timeout},
};
use tonic::{Code, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

/// The code and the body of an answer of the admin listener.
pub(crate) async fn get(cluster: &Cluster, path: &str) -> (u16, String) {
    let admin: SocketAddr = cluster.addresses().admin;
    let mut stream = TcpStream::connect(admin).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// The sum of the samples whose line begins with `series`; `None` when there is no such line.
pub(crate) fn sum(metrics: &str, series: &str) -> Option<f64> {
    let samples = metrics.lines().filter(|line| line.starts_with(series));
    let values = samples.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap());
    values.reduce(|sum, value| sum + value)
}

/// Waits until each series is at least so much, or exactly when it is 0.
async fn wait_for(cluster: &Cluster, expected: &[(&str, f64)]) -> String {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let (code, metrics) = get(cluster, "/metrics").await;
        assert_eq!(code, 200);
        let reached = |(series, least): &&(&str, f64)| {
            let value = sum(&metrics, series).unwrap_or(-1.0);
            if *least == 0.0 { value == 0.0 } else { value >= *least }
        };
        let Some((series, least)) = expected.iter().find(|expected| !reached(expected)) else {
            return metrics;
        };
        assert!(Instant::now() < deadline, "{series} is not {least} in\n{metrics}");
        sleep(Duration::from_millis(25)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_follow_what_happens_and_name_nobody() {
    harness::logs();
    let cluster = Cluster::start(Options::quick()).await.unwrap();
    let mut honest = Peer::start(&cluster, 1, Behaviour::All).await.unwrap();
    let silent = Peer::start(&cluster, 2, Behaviour::AcceptsThenSilent).await.unwrap();
    let liar = Peer::start(&cluster, 3, Behaviour::ClaimsAnotherAddress).await.unwrap();
    for peer in [&honest, &silent, &liar] {
        cluster.wait_fate(peer).await.unwrap();
    }
    cluster.wait_rotation_of(&[&honest]).await.unwrap();
    assert_eq!(get(&cluster, "/readyz").await.0, 200);
    assert_eq!(get(&cluster, "/healthz").await.0, 200);
    let proved = "attester_probes_total{outcome=\"proved\",reason=\"none\",path=\"direct\",protocol=";
    let enproxy = format!("{proved}\"enproxy\"");
    let connect = format!("{proved}\"connect\"");
    let metrics = wait_for(
        &cluster,
        &[
            ("process_start_time_seconds{} ", 1.0),
            ("attester_ready{} ", 1.0),
            ("attester_part_well{part=\"store\"} ", 1.0),
            ("attester_part_well{part=\"dns\"} ", 1.0),
            ("attester_part_well{part=\"origin\"} ", 1.0),
            ("attester_keyset_expires_time_seconds{} ", 1.0),
            ("attester_session_handshakes_total{result=\"done\"} ", 3.0),
            ("attester_registrations_total{reason=\"none\"} ", 2.0),
            ("attester_registrations_total{reason=\"address-not-source\"} ", 1.0),
            ("attester_sessions{} ", 2.0),
            (&enproxy, 1.0),
            (&connect, 1.0),
            ("attester_probes_total{outcome=\"failed\",reason=\"tls-timeout\"", 2.0),
            ("attester_probe_phase_seconds_count{phase=\"receipt\"} ", 3.0),
            ("attester_control_probes_total{result=\"reached\"} ", 2.0),
            (
                "attester_verdicts_total{outcome=\"proved\",standing=\"verified\"} ",
                1.0,
            ),
            ("attester_verdicts_total{outcome=\"failed\",standing=\"refused\"} ", 1.0),
            ("attester_peers{standing=\"verified\"} ", 1.0),
            ("attester_peers{standing=\"refused\"} ", 1.0),
            ("attester_rotation_peers{} ", 1.0),
            ("attester_lease_remaining_min_seconds{} ", 1.0),
            ("attester_dns_queries_total{transport=\"udp\",rcode=\"noerror\"} ", 1.0),
            ("attester_dns_records_changed_total{change=\"added\"} ", 1.0),
            ("attester_reconciliations_total{} ", 1.0),
            ("attester_reconcile_failures_total", 0.0),
            ("attester_origin_requests_total{status=\"200\"} ", 5.0),
            (
                "attester_store_transaction_seconds_count{transaction=\"record-verdict\"} ",
                5.0,
            ),
            ("attester_evidence_stored_bytes_total{} ", 1000.0),
            ("attester_state_file_bytes{} ", 1000.0),
        ],
    )
    .await;
    assert_eq!(sum(&metrics, "attester_store_failures_total"), None, "{metrics}");
    for peer in [&honest, &silent, &liar] {
        let (id, ip) = (peer.id().as_str(), peer.address().ip().to_string());
        assert!(
            !metrics.contains(id) && !metrics.contains(&ip),
            "{peer} is named in\n{metrics}"
        );
    }
    honest.stop().await;
    wait_for(
        &cluster,
        &[
            ("attester_session_ends_total{how=\"goodbye\"} ", 1.0),
            ("attester_rotation_peers{} ", 0.0),
            ("attester_peers{standing=\"retired\"} ", 1.0),
            ("attester_dns_records_changed_total{change=\"removed\"} ", 1.0),
        ],
    )
    .await;
    let (_, metrics) = get(&cluster, "/metrics").await;
    assert_eq!(
        sum(&metrics, "attester_lease_remaining_min_seconds"),
        None,
        "nobody has a lease"
    );
}

/// What stands between peers and origin breaks, and is repaired: monitoring sees both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_origin_out_of_reach_is_seen_and_so_is_its_return() {
    harness::logs();
    let options = Options {
        origin_gate: true,
        ..Options::quick()
    };
    let cluster = Cluster::start(options).await.unwrap();
    let honest = Peer::start(&cluster, 1, Behaviour::All).await.unwrap();
    cluster.wait_rotation_of(&[&honest]).await.unwrap();
    let gate = cluster.origin_gate().unwrap();
    gate.close().await;
    wait_for(
        &cluster,
        &[
            ("attester_part_well{part=\"origin\"} ", 0.0),
            ("attester_control_probes_total{result=\"failed\"} ", 1.0),
            (
                "attester_probes_total{outcome=\"inconclusive\",reason=\"control-failed\"",
                1.0,
            ),
        ],
    )
    .await;
    assert_eq!(get(&cluster, "/healthz").await.0, 503);
    assert_eq!(get(&cluster, "/readyz").await.0, 200, "it still takes sessions");
    gate.open().await.unwrap();
    wait_for(&cluster, &[("attester_part_well{part=\"origin\"} ", 1.0)]).await;
    assert_eq!(get(&cluster, "/healthz").await.0, 200);
}

/// What a gRPC health check of a running attester answers; `None` for a service that it does not know.
async fn checked(client: &mut HealthClient<Channel>, service: &str) -> Option<ServingStatus> {
    let request = HealthCheckRequest {
        service: service.to_owned(),
    };
    match client.check(request).await {
        Ok(answer) => Some(answer.into_inner().status()),
        Err(status) => {
            assert_eq!(status.code(), Code::NotFound, "{status}");
            None
        }
    }
}

/// A load balancer's way to ask, over a connection of its own: by each service's name, once and as a stream of changes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpc_health_of_a_running_attester_follows_its_parts() {
    use ServingStatus::{NotServing, Serving};

    harness::logs();
    let options = Options {
        origin_gate: true,
        ..Options::quick()
    };
    let cluster = Cluster::start(options).await.unwrap();
    let honest = Peer::start(&cluster, 1, Behaviour::Connect).await.unwrap();
    cluster.wait_rotation_of(&[&honest]).await.unwrap();
    let admin = Channel::from_shared(format!("http://{}", cluster.addresses().admin)).unwrap();
    let mut client = HealthClient::new(admin.connect().await.unwrap());
    let service = "attest.v1.PeerVerification".to_owned();
    let request = HealthCheckRequest {
        service: service.clone(),
    };
    let mut changes = client.watch(request).await.unwrap().into_inner();
    let gate = cluster.origin_gate().unwrap();
    for (number, expected) in [Serving, NotServing, Serving].into_iter().enumerate() {
        match number {
            0 => {}
            1 => gate.close().await,
            _ => gate.open().await.unwrap(),
        }
        let heard = timeout(DEADLINE, changes.message()).await;
        let heard = heard.unwrap_or_else(|_| panic!("the stream does not say {expected:?}"));
        assert_eq!(heard.unwrap().unwrap().status(), expected);
        for name in ["", &service] {
            assert_eq!(checked(&mut client, name).await, Some(expected), "{name:?}");
        }
    }
    assert_eq!(checked(&mut client, "attest.v1.Nobody").await, None);
}
