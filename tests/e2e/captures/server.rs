//! What clients sent, to the give mode server: on as many connections, in the same order and with the same pauses, while
//! destinations say what they said then.

use std::{
    collections::{BTreeSet, HashMap},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use peer_agent::{fuzzing::Server, give::Config};
use tokio::{
    runtime::Runtime,
    task::LocalSet,
    time::{Instant, sleep_until},
};

use super::{
    caller::{Client, Cut},
    expected::{Capture, Connection, Form, Response, Sum, WHOLE, captures, cuts},
    origin::{Dialer, Origin, prepare},
    reading::{Head, Message},
};

/// What our server answers otherwise than the Go programs did: the case, the connection, the number of the exchange there, the
/// status and the text.
pub(super) const OTHERWISE: &[(&str, &str, usize, u16, &str)] = &[
    // A Go handler panics on the second request of an id whose dial failed, and the connection closes. Ours says it again.
    ("dest-refused-hand", "conn0", 1, 500, REFUSED),
    ("dest-refused-hand", "conn1", 0, 500, REFUSED),
    // Its helper's write timeout of 10 s loses the answer to an empty read. Ours comes in time.
    ("read-poll-10s-enproxy-serve", "conn0", 1, 200, ""),
    // Its words for a destination that policy forbids are the host program's.
    ("dest-denied-403", "conn0", 0, 403, DENIED),
    ("dest-denied-403", "conn0", 1, 403, DENIED),
    // It plays a web server to those who do not know the token. So does ours, another one.
    ("chained-bad-token", "conn0", 0, 400, BAD_REQUEST),
    ("chained-no-token", "conn0", 0, 400, BAD_REQUEST),
    ("chained-get-notoken", "conn0", 0, 200, PAGE),
    // A forward proxy for plain HTTP, which no Flashlight client asks for: ours shows its page.
    ("chained-http-get", "conn0", 0, 200, PAGE),
    // On ours, without a token, a request that is no CONNECT is one of enproxy, since both are served on one port: this one has no id.
    ("chained2014-method", "conn0", 0, 400, NO_ID),
    // The words for a dial that took too long are those of Go. This one had no time at all, and ours does not even begin.
    (NO_TIME, "conn0", 0, 502, "no connection within 0 s"),
];

#[test]
fn the_give_mode_server_serves_every_client() {
    let runtime = virtual_time();
    let (mut runs, mut played, mut otherwise, mut silent) = (0, 0, 0, 0);
    for capture in captures() {
        if capture.connections.iter().all(|conn| conn.hello.is_some()) {
            // To be read by TLS: see `tls`.
            continue;
        }
        played += 1;
        let places: BTreeSet<usize> = capture.connections.iter().flat_map(places).collect();
        let long = capture.connections.iter().any(|conn| conn.client.len() > WHOLE);
        let cuts = places.into_iter().map(Cut::At);
        for cut in cuts.chain([Cut::Pieces(if long { 1021 } else { 1 }), Cut::Pieces(usize::MAX)]) {
            let answers = runtime.block_on(LocalSet::new().run_until(play(&capture, cut)));
            if cut == Cut::Pieces(usize::MAX) {
                otherwise += answers.otherwise;
                silent += answers.silent;
            }
            runs += 1;
        }
    }
    // Each of the 106 requests was answered as in the capture, or as said above, or its client left before.
    assert_eq!((played, otherwise, silent), (53, OTHERWISE.len(), 7));
    assert!(runs > 10_000, "{runs}");
}

/// Where the requests of a connection are to be cut, all at the same place of each.
fn places(conn: &Connection) -> Vec<usize> {
    let sampled = conn.client.len() > WHOLE;
    let messages = conn.exchanges.iter().zip(conn.messages());
    messages
        .flat_map(|(exchange, (sent, _))| cuts(sent.len(), exchange.request.head, &exchange.request.chunks, sampled))
        .collect()
}

#[derive(Default)]
struct Answers {
    otherwise: usize,
    silent: usize,
}

/// What happens next on a connection.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Sends,
    Receives,
}

async fn play(capture: &Capture, cut: Cut) -> Answers {
    let mut stage = Stage::new(capture);
    let began = Instant::now();
    for (at, step, conn, number) in timeline(capture) {
        sleep_until(began + Duration::from_micros(at)).await;
        stage.server.sweep();
        match step {
            Step::Sends => stage.send(conn, number, cut).await,
            Step::Receives => stage.receive(conn, number).await,
        }
    }
    stage.end().await
}

/// A server, its clients and its destinations.
struct Stage<'a> {
    capture: &'a Capture,
    server: Rc<Server>,
    dialer: Dialer,
    clients: Vec<Client<'a>>,
    origins: HashMap<&'a str, Origin>,
    answers: Answers,
}

impl<'a> Stage<'a> {
    fn new(capture: &'a Capture) -> Self {
        let dialer = Dialer::default();
        let server = Rc::new(Server::new(config(capture), Arc::new(dialer.clone())));
        let tunnels = capture.tunnels.iter();
        Self {
            capture,
            clients: capture
                .connections
                .iter()
                .map(|conn| Client::new(conn, &server))
                .collect(),
            origins: tunnels.map(|tunnel| (tunnel.id.as_str(), Origin::default())).collect(),
            server,
            dialer,
            answers: Answers::default(),
        }
    }

    /// Sends a request. What the Go program did not answer and ours does is received at once.
    async fn send(&mut self, conn: usize, number: usize, cut: Cut) {
        let client = &mut self.clients[conn];
        let exchange = &client.conn.exchanges[number];
        let (sent, answer) = client.messages[number];
        let tunnel = match exchange.request.form {
            Form::Connect => &client.conn.name,
            _ => &exchange.request.id,
        };
        let origin = self.origins.get(tunnel.as_str());
        prepare(self.capture, exchange, answer, origin, &self.dialer);
        client.send(sent, cut).await;
        if exchange.response.is_some() {
            return;
        }
        if self.ours(conn, number).is_some() {
            self.receive(conn, number).await;
        } else {
            self.answers.silent += 1;
        }
    }

    async fn receive(&mut self, conn: usize, number: usize) {
        let ours = self.ours(conn, number);
        let client = &mut self.clients[conn];
        let name = format!("{}/{} exchange {number}", self.capture.name, client.conn.name);
        let message = client.receive(&name, number).await;
        if let Some((status, text)) = ours {
            self.answers.otherwise += 1;
            let body = String::from_utf8_lossy(&message.body);
            assert_eq!((status_of(&message), &*body), (status, text), "{name}");
        } else if let Some(response) = &client.conn.exchanges[number].response {
            is_answer(&name, response, &message);
        }
        if message.head == Head::Open {
            let tunnel = self
                .capture
                .tunnels
                .iter()
                .find(|tunnel| tunnel.id == client.conn.name)
                .unwrap();
            let down = client.read(tunnel.down.length).await;
            assert_eq!(Sum::of(&down), tunnel.down, "{name}");
        }
    }

    /// What our server answers otherwise.
    fn ours(&self, conn: usize, number: usize) -> Option<(u16, &'static str)> {
        let place = (
            self.capture.name.as_str(),
            self.capture.connections[conn].name.as_str(),
            number,
        );
        let otherwise = OTHERWISE
            .iter()
            .find(|(case, conn, number, ..)| (*case, *conn, *number) == place);
        otherwise.map(|(.., status, text)| (*status, *text))
    }

    /// All clients leave. Destinations have heard what was sent to them, and no others were dialled.
    async fn end(self) -> Answers {
        for client in self.clients {
            client.leave(&self.capture.name).await;
        }
        self.server.clear();
        for tunnel in &self.capture.tunnels {
            let heard = Sum::of(&self.origins[tunnel.id.as_str()].heard());
            assert_eq!(heard, tunnel.up, "{}: {}", self.capture.name, tunnel.id);
        }
        are_dialled(self.capture, &self.dialer.dialled());
        self.answers
    }
}

/// When each request was sent and each answer was there, with the number of the connection and of the exchange on it.
fn timeline(capture: &Capture) -> Vec<(u64, Step, usize, usize)> {
    let mut steps = Vec::new();
    for (conn, connection) in capture.connections.iter().enumerate() {
        for (number, exchange) in connection.exchanges.iter().enumerate() {
            steps.push((exchange.request.at[0], Step::Sends, conn, number));
            steps.extend(
                exchange
                    .response
                    .as_ref()
                    .map(|response| (response.at[1], Step::Receives, conn, number)),
            );
        }
    }
    steps.sort();
    steps
}

fn config(capture: &Capture) -> Config {
    let exchanges = capture.connections.iter().flat_map(|conn| &conn.exchanges);
    let proxy_host = exchanges
        .filter_map(|exchange| exchange.response.as_ref()?.proxy_host.clone())
        .next();
    let mut config = Config {
        proxy_host,
        ..Config::default()
    };
    // As the servers of these captures were set.
    if capture.name.starts_with("chained-") {
        config.token = Some("sekrit".to_owned());
    }
    if capture.name == FORGOTTEN {
        config.limits.idle = Duration::from_secs(2);
    }
    config
}

/// Each tunnel's destination once; after each pause in which it is forgotten, once more.
fn are_dialled(capture: &Capture, dialled: &[String]) {
    let mut expected: Vec<&str> = capture
        .tunnels
        .iter()
        .map(|tunnel| tunnel.destination.as_str())
        .collect();
    if capture.name == FORGOTTEN {
        expected = vec![expected[0]; 3];
    }
    // A CONNECT that was refused by the dialer is no tunnel. One without the token, or without time, does not come as far.
    let refused = capture
        .connections
        .iter()
        .flat_map(|conn| &conn.exchanges)
        .filter(|exchange| {
            capture.name != NO_TIME
                && exchange.request.form == Form::Connect
                && exchange.response.as_ref().is_some_and(|response| response.status > 400)
        });
    expected.extend(refused.map(|exchange| exchange.request.destination.as_str()));
    assert_eq!(dialled, expected, "{}", capture.name);
}

fn is_answer(name: &str, expected: &Response, message: &Message) {
    assert_eq!(status_of(message), expected.status, "{name}: {}", message.text);
    assert_eq!(message.interim, expected.interim == [100], "{name}");
    if let Head::Response(response) = &message.head {
        assert_eq!(
            (response.eof, &response.id, &response.proxy_host),
            (expected.eof, &expected.id, &expected.proxy_host),
            "{name}"
        );
    }
    assert_eq!(Sum::of(&message.body), expected.body, "{name}: {}", message.text);
}

fn status_of(message: &Message) -> u16 {
    match &message.head {
        Head::Response(response) => response.status,
        Head::Refused(status, _) => *status,
        Head::Open => 200,
        Head::Request(_) => 0,
    }
}

/// A runtime whose time goes on when nothing else does.
pub(super) fn virtual_time() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
}

/// Its server forgets an id after two seconds.
const FORGOTTEN: &str = "forgotten-id";
/// Its client asks for a dial of 0 ms.
const NO_TIME: &str = "chained-dial-timeout-hdr";
const PAGE: &str = "";
const BAD_REQUEST: &str = "<html>\r\n<head><title>400 Bad Request</title></head>\r\n<body>\r\n\
    <center><h1>400 Bad Request</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n";
const REFUSED: &str = "Unable to get outoing connection to destination server: Unable to dial out to 127.0.0.1:1: \
    dial tcp 127.0.0.1:1: connect: connection refused";
const DENIED: &str = "Unable to get outoing connection to destination server: Unable to dial out to 127.0.0.1:19080: \
    destination not allowed: 127.0.0.1:19080";
const NO_ID: &str = "No id found in header X-Enproxy-Id";
