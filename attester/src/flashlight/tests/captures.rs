//! What real Go servers answered, replayed to our client, and what real Go clients sent, compared with ours.

use std::path::PathBuf;

use proto::tunnel::enproxy::Purpose;

use super::*;

/// One capture: the inner request that its client sent, and the server's bytes in the pieces in which they came.
struct Capture {
    id: String,
    inner: Vec<u8>,
    destination: String,
    pieces: Vec<Vec<u8>>,
}

impl Capture {
    fn read(case: &str, pieces: &[usize]) -> Self {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("../tests/captures")
            .join(case)
            .join("conn0");
        let client = std::fs::read(folder.join("client.bin")).unwrap();
        let mut server = std::fs::read(folder.join("server.bin")).unwrap();
        assert_eq!(server.len(), pieces.iter().sum::<usize>(), "{case}");
        let pieces = pieces.iter().map(|length| server.drain(..*length).collect()).collect();
        let (request, length) = tunnel::decode_request(&client).unwrap().unwrap();
        let id = id_of(&request).to_owned();
        let (destination, inner) = match request {
            tunnel::Request::Connect(request) => (request.destination, client[length..].to_vec()),
            tunnel::Request::Enproxy(request) => {
                let Purpose::Call(call) = request.purpose else {
                    return assert_never(case);
                };
                let (mut body, mut rest, mut inner) = (BodyReader::new(request.body), &client[length..], Vec::new());
                while !body.is_done() {
                    let piece = body.read(rest).unwrap();
                    inner.extend_from_slice(piece.data);
                    rest = &rest[piece.consumed..];
                }
                (call.destination, inner)
            }
        };
        Self {
            id,
            inner,
            destination,
            pieces,
        }
    }
}

fn assert_never(case: &str) -> Capture {
    assert_eq!(case, "a capture whose first request is an enproxy call");
    Capture {
        id: String::new(),
        inner: Vec::new(),
        destination: String::new(),
        pieces: Vec::new(),
    }
}

/// Replays a capture: a piece for each request of ours (the tunnel's own request counts as one with CONNECT).
async fn replay(case: &str, protocol: Protocol, pieces: &[usize], pauses: &[u64], down: u64) -> Exchange {
    let capture = Capture::read(case, pieces);
    let job = Job {
        protocol,
        destination: capture.destination.parse().unwrap(),
        request: capture.inner.clone(),
        expected_down: down,
    };
    let limits = Limits {
        total: Duration::from_secs(30),
        ..Limits::default()
    };
    let (exchange, replayed) = probe_with(limits, &job, &capture.id, async |mut peer| {
        for (index, piece) in capture.pieces.iter().enumerate() {
            if protocol == Protocol::Connect && index == 1 {
                let mut inner = vec![0; capture.inner.len()];
                peer.read_exact(&mut inner).await.unwrap();
                assert_eq!(inner, capture.inner, "{case}");
            } else {
                let (_, body) = request(&mut peer).await.unwrap();
                let writes = index == 0 && protocol != Protocol::Connect;
                assert_eq!(body, if writes { capture.inner.as_slice() } else { &[] }, "{case}");
            }
            sleep(Duration::from_millis(pauses.get(index).copied().unwrap_or(0))).await;
            say(&mut peer, piece).await;
        }
    })
    .await;
    assert!(replayed.is_some(), "{case}: our client did not ask for all of it");
    exchange
}

const GET: &str = "HTTP/1.1 200 OK\r\nDate: Sun, 22 Nov 2026 19:16:59 GMT\r\nContent-Length: 36\r\n\
    Content-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\nhello from origin method=GET path=/\n";

/// The origin's answer in each capture of a GET, whose `Date` differs.
fn is_answer(received: &[u8]) -> bool {
    let undated = |text: &str| {
        text.lines()
            .filter(|line| !line.starts_with("Date: "))
            .collect::<Vec<_>>()
            .join("\n")
    };
    received.len() == GET.len() && undated(std::str::from_utf8(received).unwrap()) == undated(GET)
}

#[tokio::test(start_paused = true)]
async fn real_enproxy_servers_are_understood() {
    let get = GET.len() as u64;
    assert_eq!(get, 172);
    for (case, protocol) in [
        ("get-small-path", Protocol::EnproxyPath),
        ("get-small-header-2014-12", Protocol::Enproxy),
    ] {
        let exchange = replay(case, protocol, &[418], &[], get).await;
        assert_eq!(exchange.failure, None, "{case}");
        assert!(
            is_answer(&exchange.received),
            "{case}: {}",
            String::from_utf8_lossy(&exchange.received)
        );
        assert_eq!(exchange.proxy_host.as_deref(), Some("fl-test.example.org"));
    }
    let exchange = replay("eof-after-data", Protocol::EnproxyPath, &[1247, 181], &[], 1000).await;
    assert_eq!((exchange.failure, exchange.received), (None, vec![b'x'; 1000]));
    let exchange = replay("eof-after-data", Protocol::EnproxyPath, &[1247, 181], &[], 1001).await;
    assert_eq!(exchange.failure.unwrap().reason, Reason::Truncated);
    let exchange = replay("eof-immediate", Protocol::EnproxyPath, &[224], &[], 1).await;
    assert_eq!(exchange.failure.unwrap().reason, Reason::FirstByteClosed);
}

#[tokio::test(start_paused = true)]
async fn an_answer_after_an_empty_poll_is_waited_for() {
    let exchange = replay(
        "read-poll-10s",
        Protocol::Enproxy,
        &[203, 160, 206],
        &[36, 10_022, 2988],
        5,
    )
    .await;
    assert_eq!((exchange.failure, exchange.received), (None, b"xxxxx".to_vec()));
    assert!(exchange.watch.elapsed() >= Duration::from_secs(13));
}

#[tokio::test(start_paused = true)]
async fn a_real_servers_refusal_is_quoted() {
    let exchange = replay("dest-refused-hand", Protocol::Enproxy, &[310], &[], 5).await;
    let finding = exchange.failure.unwrap();
    assert_eq!(finding.reason, Reason::TunnelRefused);
    assert!(
        finding
            .detail()
            .starts_with("it answered 500: Unable to get outoing connection"),
        "{}",
        finding.detail()
    );
    assert!(finding.detail().contains("127.0.0.1:1"), "{}", finding.detail());
}

#[tokio::test(start_paused = true)]
async fn real_connect_servers_are_understood() {
    let get = GET.len() as u64;
    for (case, pieces) in [("chained-ok", [135, 172]), ("chained2014-ok", [140, 172])] {
        let exchange = replay(case, Protocol::Connect, &pieces, &[], get).await;
        assert_eq!(exchange.failure, None, "{case}");
        assert!(
            is_answer(&exchange.received),
            "{case}: {}",
            String::from_utf8_lossy(&exchange.received)
        );
    }
    let exchange = replay("chained-bad-token", Protocol::Connect, &[484], &[], get).await;
    let finding = exchange.failure.unwrap();
    assert_eq!(finding.reason, Reason::TunnelToken);
}
