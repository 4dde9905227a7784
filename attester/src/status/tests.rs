use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::*;

const WELL: Health = Health {
    stage: Stage::Serving,
    answering: true,
    store: true,
    dns: true,
    origin: true,
    keyset: true,
    sessions: 3,
    peers: 5,
    verified: 2,
};

struct Running {
    address: SocketAddr,
    health: watch::Sender<Health>,
    metrics: Arc<Metrics>,
    token: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

async fn start() -> Running {
    let (health, receiver) = watch::channel(Health::default());
    let metrics = Arc::new(Metrics::default());
    let status = Status::bind("127.0.0.1:0".parse().unwrap(), receiver, Arc::clone(&metrics))
        .await
        .unwrap();
    let token = CancellationToken::new();
    Running {
        address: status.addr(),
        health,
        metrics,
        task: tokio::spawn(status.run(token.clone())),
        token,
    }
}

impl Running {
    /// Code, head and body.
    async fn ask(&self, request: &str) -> (u16, String, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream
            .write_all(format!("{request} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes())
            .await
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let code = head.split(' ').nth(1).unwrap().parse().unwrap();
        (code, head.to_owned(), body.to_owned())
    }

    /// Code and the report's status.
    async fn report(&self, path: &str) -> (u16, String) {
        let (code, _, body) = self.ask(&format!("GET {path}")).await;
        let report: serde_json::Value = serde_json::from_str(&body).unwrap();
        (code, report["status"].as_str().unwrap().to_owned())
    }

    async fn client(&self) -> HealthClient<Channel> {
        self.try_client().await.unwrap()
    }

    async fn try_client(&self) -> Result<HealthClient<Channel>, tonic::transport::Error> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).unwrap();
        endpoint.connect().await.map(HealthClient::new)
    }
}

fn of(service: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        service: service.to_owned(),
    }
}

#[tokio::test]
async fn liveness_and_readiness_follow_the_health() {
    let running = start().await;
    assert_eq!(running.report("/healthz").await, (200, "starting".to_owned()));
    assert_eq!(running.report("/readyz").await, (503, "starting".to_owned()));
    running.health.send_replace(Health {
        answering: false,
        ..WELL
    });
    assert_eq!(
        running.report("/readyz").await,
        (503, "dns does not answer yet".to_owned())
    );
    running.health.send_replace(WELL);
    assert_eq!(running.report("/readyz").await, (200, "ready".to_owned()));
    let (code, _, body) = running.ask("GET /healthz").await;
    let expected = serde_json::json!({
        "status": "ok", "stage": "serving", "answering": true, "store": true, "dns": true, "origin": true, "keyset": true,
        "sessions": 3, "peers": 5, "verified": 2,
    });
    assert_eq!(
        (code, serde_json::from_str::<serde_json::Value>(&body).unwrap()),
        (200, expected)
    );
    for sick in [
        Health { store: false, ..WELL },
        Health { dns: false, ..WELL },
        Health { origin: false, ..WELL },
    ] {
        running.health.send_replace(sick);
        assert_eq!(running.report("/healthz").await, (503, "unwell".to_owned()), "{sick:?}");
        // Unwell is not unready: a restart would not help, and sessions are taken all the same.
        assert_eq!(running.report("/readyz").await.0, 200, "{sick:?}");
    }
    // Without a keyset that holds nothing can be proved: that is both, and what helps is said.
    running.health.send_replace(Health { keyset: false, ..WELL });
    assert_eq!(running.report("/healthz").await, (503, "unwell".to_owned()));
    assert_eq!(
        running.report("/readyz").await,
        (503, "the keyset does not hold".to_owned())
    );
    for path in ["/healthz", "/readyz"] {
        let (_, _, body) = running.ask(&format!("GET {path}")).await;
        assert!(body.contains("run attester keys sign"), "{body}");
    }
    running.health.send_replace(Health {
        stage: Stage::Draining,
        ..WELL
    });
    assert_eq!(running.report("/healthz").await, (200, "draining".to_owned()));
    assert_eq!(running.report("/readyz").await, (503, "draining".to_owned()));
}

#[tokio::test]
async fn other_methods_and_paths_are_refused_and_it_stops_with_a_silent_connection_open() {
    let running = start().await;
    let (code, _, body) = running.ask("HEAD /healthz").await;
    assert_eq!((code, body.as_str()), (200, ""));
    assert_eq!(running.ask("POST /readyz").await.0, 405);
    assert_eq!(running.ask("GET /").await.0, 404);
    let _silent = TcpStream::connect(running.address).await.unwrap();
    running.token.cancel();
    running.task.await.unwrap();
    TcpStream::connect(running.address).await.unwrap_err();
}

#[tokio::test]
async fn metrics_are_served_as_open_metrics() {
    let running = start().await;
    running.metrics.origin_request(200);
    let (code, head, body) = running.ask("GET /metrics").await;
    assert_eq!(code, 200);
    assert!(
        head.contains(&format!("content-type: {}", Metrics::MEDIA_TYPE)),
        "{head}"
    );
    assert!(
        body.contains("\nattester_origin_requests_total{status=\"200\"} 1\n"),
        "{body}"
    );
    assert!(body.ends_with("# EOF\n"));
}

#[tokio::test]
async fn grpc_health_is_served_on_the_same_port() {
    let running = start().await;
    let mut client = running.client().await;
    let status = |response: tonic::Response<HealthCheckResponse>| response.into_inner().status();
    for service in ["", "attest.v1.PeerVerification"] {
        running.health.send_replace(Health::default());
        assert_eq!(
            status(client.check(of(service)).await.unwrap()),
            ServingStatus::NotServing
        );
        running.health.send_replace(WELL);
        assert_eq!(status(client.check(of(service)).await.unwrap()), ServingStatus::Serving);
    }
    let unknown = client.check(of("another")).await.unwrap_err();
    assert_eq!(unknown.code(), tonic::Code::NotFound);
    let long = client.check(of(&"x".repeat(4096))).await.unwrap_err();
    assert_eq!(long.code(), tonic::Code::OutOfRange);
}

#[tokio::test]
async fn a_watcher_hears_each_change_once() {
    let running = start().await;
    running.health.send_replace(WELL);
    let mut client = running.client().await;
    let mut watched = client.watch(of("")).await.unwrap().into_inner();
    let mut unknown = client.watch(of("another")).await.unwrap().into_inner();
    let first = unknown.message().await.unwrap().unwrap();
    assert_eq!(first.status(), ServingStatus::ServiceUnknown);
    let mut next = async || watched.message().await.unwrap().unwrap().status();
    assert_eq!(next().await, ServingStatus::Serving);
    // More sessions are no change of the status.
    running.health.send_replace(Health { sessions: 4, ..WELL });
    running.health.send_replace(Health { store: false, ..WELL });
    assert_eq!(next().await, ServingStatus::NotServing);
    running.health.send_replace(WELL);
    assert_eq!(next().await, ServingStatus::Serving);
    running.health.send_replace(Health {
        stage: Stage::Draining,
        ..WELL
    });
    assert_eq!(next().await, ServingStatus::NotServing);
    // A watcher does not keep it from stopping.
    running.token.cancel();
    running.task.await.unwrap();
}

#[tokio::test]
async fn watchers_leave_places_for_those_who_ask() {
    let running = start().await;
    running.health.send_replace(WELL);
    let mut watchers = Vec::new();
    for _ in 0..MOST_LONG {
        let mut client = running.client().await;
        let mut watched = client.watch(of("")).await.unwrap().into_inner();
        assert!(watched.message().await.unwrap().is_some());
        watchers.push((client, watched));
    }
    // One more than there are places may still hear its first answer, but is not kept.
    let kept = async {
        let mut client = running.try_client().await.ok()?;
        let mut watched = client.watch(of("")).await.ok()?.into_inner();
        while watched.message().await.ok()?.is_some() {}
        None::<()>
    };
    let ended = tokio::time::timeout(Duration::from_secs(20), kept).await;
    assert_eq!(ended.ok(), Some(None), "one more than there are places");
    assert_eq!(running.report("/readyz").await.0, 200);
    // Who leaves makes room.
    watchers.pop();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        if let Ok(mut client) = running.try_client().await
            && client.check(of("")).await.is_ok()
        {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "the place stays taken");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_taken_port_is_told() {
    let (_sender, receiver) = watch::channel(Health::default());
    let bind = |address, health| Status::bind(address, health, Arc::new(Metrics::default()));
    let first = bind("127.0.0.1:0".parse().unwrap(), receiver.clone()).await.unwrap();
    let error = bind(first.addr(), receiver).await.unwrap_err().to_string();
    assert!(error.contains("admin.listen"), "{error}");
}
