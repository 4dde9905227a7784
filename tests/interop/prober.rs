//! Our client through each of the foreign servers: probes with the real origin behind, and every situation in which a client may
//! find a destination.

use std::{net::SocketAddr, time::Duration};

use attester::{
    flashlight::{Exchange, Job, Limits, Prober, Sending, Stopwatch, Target},
    model::Reason,
};
use proto::{claims::Protocol, ids::Digest};
use rand::{SeedableRng, rngs::StdRng};

use crate::{
    front::Front,
    nobody,
    origin::RealOrigin,
    pattern,
    servers::Server,
    site::{Manner, Site, answer},
    unresolvable, within,
};

#[tokio::test]
#[ignore = "needs the Go programs of tests/setup.sh"]
async fn through_the_real_enproxy_server() {
    let server = Server::enproxy().await;
    for protocol in [Protocol::Enproxy, Protocol::EnproxyPath] {
        let mut way = Way::through(&server, protocol);
        way.proves(Some(Server::HOST)).await;
        way.fails_where(&[
            (Bad::Ends, Reason::FirstByteClosed, "the proxy reported the end"),
            (Bad::EndsHalfway, Reason::Truncated, "the proxy reported the end"),
            // Which the server does not tell apart.
            (Bad::Resets, Reason::FirstByteClosed, "the proxy reported the end"),
            (
                Bad::Refuses,
                Reason::TunnelRefused,
                "500: Unable to get outoing connection",
            ),
            (
                Bad::Unresolvable,
                Reason::TunnelRefused,
                "500: Unable to get outoing connection",
            ),
        ])
        .await;
        way.carries().await;
        // After the handshake's end and the first request comes nothing but reads, the first of them only after an empty answer …
        way.waits_until_sent(3).await;
        // … and the second only after the first read was answered empty, which takes the server 10 s.
        way.waits_until_sent(4).await;
    }
}

/// A stand-in for their differences, around the real one of today (`go/README.md`).
#[tokio::test]
#[ignore = "needs the Go programs of tests/setup.sh"]
async fn through_an_enproxy_server_like_those_of_2014() {
    let server = Server::enproxy_with(&["-as-2014"]).await;
    let mut way = Way::through(&server, Protocol::Enproxy);
    way.proves(Some(Server::HOST)).await;
    way.fails_where(&[
        (Bad::Ends, Reason::FirstByteClosed, "the proxy reported the end"),
        (Bad::EndsHalfway, Reason::Truncated, "the proxy reported the end"),
        (Bad::Resets, Reason::FirstByteClosed, "the proxy reported the end"),
        // They told the reason to their log alone.
        (Bad::Refuses, Reason::TunnelRefused, "502"),
        (Bad::Unresolvable, Reason::TunnelRefused, "502"),
    ])
    .await;
    way.carries().await;
    way.waits_until_sent(4).await;
    // They did not know of paths.
    Way::through(&server, Protocol::EnproxyPath)
        .fails_where(&[(Bad::Ends, Reason::TunnelRefused, "502")])
        .await;
}

/// As flashlight's server did by default: TLS 1.2, suites of 2014, the last of them that is still spoken, and an RSA key.
#[tokio::test]
#[ignore = "needs the Go programs of tests/setup.sh"]
async fn through_the_real_server_by_tls_of_2014() {
    let server = Server::enproxy_with(&["-tls12"]).await;
    let mut way = Way::through(&server, Protocol::Enproxy);
    way.proves(Some(Server::HOST)).await;
    way.carries().await;
}

#[tokio::test]
#[ignore = "needs the Go programs of tests/setup.sh"]
async fn through_the_real_http_proxy() {
    // It notices a destination's end when half of this time is over.
    let server = Server::http_proxy(&["-token", TOKEN, "-idle", "2s"]).await;
    let mut way = Way::through(&server, Protocol::Connect);
    way.token = Some(TOKEN);
    way.proves(None).await;
    way.fails_where(&[
        (Bad::Ends, Reason::FirstByteClosed, ""),
        (Bad::EndsHalfway, Reason::Truncated, ""),
        (Bad::Resets, Reason::FirstByteClosed, ""),
        (Bad::Refuses, Reason::TunnelRefused, "502: dial tcp 127.0.0.1:"),
        (Bad::Refuses, Reason::TunnelRefused, ": connection refused"),
        (Bad::Unresolvable, Reason::TunnelRefused, "502: dial tcp: lookup xxx"),
    ])
    .await;
    way.carries().await;
    way.waits_until_sent(3).await;
    for stranger in [Some("guess"), None] {
        way.token = stranger;
        way.fails_where(&[(Bad::Ends, Reason::TunnelToken, "it answered 400")])
            .await;
    }
}

/// With its real time a client whose patience ends sooner cannot tell a destination that closed from a silent one.
#[tokio::test]
#[ignore = "needs the Go programs of tests/setup.sh"]
async fn http_proxy_keeps_a_destinations_end_to_itself_for_35_seconds() {
    let server = Server::http_proxy(&[]).await;
    let mut way = Way::through(&server, Protocol::Connect);
    way.limits = Limits::default();
    way.fails_where(&[(Bad::Ends, Reason::FirstByteTimeout, "")]).await;
}

#[tokio::test]
#[ignore = "needs the Go programs of tests/setup.sh"]
async fn http_proxy_tells_that_a_destination_is_forbidden_and_more_that_is_no_text() {
    let server = Server::http_proxy(&["-block-local"]).await;
    Way::through(&server, Protocol::Connect)
        .fails_where(&[(Bad::Ends, Reason::TunnelRefused, "403: ")])
        .await;
}

/// It asks itself after half of its idle time whether a tunnel still lives. One that was silent until then does.
#[tokio::test]
#[ignore = "needs the Go programs of tests/setup.sh"]
async fn http_proxy_keeps_a_tunnel_that_is_silent_for_a_while() {
    let server = Server::http_proxy(&["-idle", "6s"]).await;
    let (site, expected) = (Site::silent().await, answer(&pattern(300_000), true));
    let mut way = Way::through(&server, Protocol::Connect);
    let job = way.job(site.address, get(300_000), &expected);
    let gap = async {
        site.asked(1).await;
        // It takes half of that time to notice another destination's end.
        Way::through(&server, Protocol::Connect)
            .fails_where(&[(Bad::Ends, Reason::FirstByteClosed, "")])
            .await;
        site.release();
    };
    let prober = way.prober();
    let (exchange, ()) = tokio::join!(way.exchange(&prober, server.address, &job), gap);
    assert_eq!(exchange.failure, None);
    assert_eq!(exchange.received_digest, Digest::of(&expected));
}

/// A stand-in: the real one is not to be had (`go/README.md`).
#[tokio::test]
#[ignore = "needs the Go programs of tests/setup.sh"]
async fn through_a_server_like_that_of_december_2014() {
    for flags in [&[][..], &["-split"]] {
        let server = Server::chained2014(flags).await;
        let mut way = Way::through(&server, Protocol::Connect);
        way.proves(None).await;
        way.fails_where(&[
            (Bad::Ends, Reason::FirstByteClosed, ""),
            (Bad::EndsHalfway, Reason::Truncated, ""),
            (Bad::Resets, Reason::FirstByteClosed, ""),
            (Bad::Refuses, Reason::TunnelRefused, "502: Unable to dial"),
            (Bad::Unresolvable, Reason::TunnelRefused, "502: Unable to dial"),
        ])
        .await;
        way.carries().await;
        way.waits_until_sent(3).await;
    }
}

/// Where a probe fails.
#[derive(Clone, Copy, Debug)]
enum Bad {
    /// The destination takes the request and closes.
    Ends,
    /// It closes after half of its answer.
    EndsHalfway,
    /// It takes the request and resets.
    Resets,
    /// Nobody listens there.
    Refuses,
    /// Its name leads nowhere.
    Unresolvable,
}

/// How our client goes through a server.
struct Way<'a> {
    server: &'a Server,
    protocol: Protocol,
    token: Option<&'a str>,
    sending: Sending,
    limits: Limits,
    // A server may remember the ids of all ways.
    rng: StdRng,
}

impl<'a> Way<'a> {
    fn through(server: &'a Server, protocol: Protocol) -> Self {
        Self {
            server,
            protocol,
            token: None,
            sending: Sending::Buffered,
            // With time for a server that answers a read after 10 s.
            limits: Limits {
                total: Duration::from_secs(40),
                ..Limits::default()
            },
            rng: StdRng::from_rng(&mut rand::rng()),
        }
    }

    /// Probes of the real origin, short and long, with fresh and with resumed handshakes.
    async fn proves(&mut self, host: Option<&str>) {
        let origin = RealOrigin::start().await;
        for (prober, resumes) in [(self.prober(), false), (self.prober().resuming(), true)] {
            for (body, resumed) in [(LIVENESS, false), (GOODPUT, resumes)] {
                let probe = origin.probe(self.protocol, body, &mut self.rng);
                let exchange = self.exchange(&prober, self.server.address, &probe.job).await;
                let source = origin.check(&probe, &exchange);
                assert_eq!(exchange.resumed, resumed, "{:?}", self.protocol);
                assert_eq!(source.ip(), self.server.address.ip());
                assert_eq!(
                    (exchange.address, exchange.pin),
                    (self.server.address, Some(self.server.pin))
                );
                assert_eq!(exchange.proxy_host.as_deref(), host);
            }
        }
    }

    /// Answers of every length, and a long request.
    async fn carries(&mut self) {
        let site = Site::start().await;
        for length in [36, 300_000, 3_000_000] {
            self.brings(
                &self.job(site.address, get(length), &answer(&pattern(length), true)),
                &pattern(length),
            )
            .await;
        }
        let posted = pattern(200_000);
        let job = self.job(site.address, post(&posted), &answer(&posted, true));
        for sending in [Sending::Buffered, Sending::Streamed] {
            self.sending = sending;
            self.brings(&job, &posted).await;
        }
        self.sending = Sending::Buffered;
    }

    async fn brings(&mut self, job: &Job, body: &[u8]) {
        let exchange = self.exchange(&self.prober(), self.server.address, job).await;
        assert_eq!(exchange.failure, None, "{:?} with {} bytes", self.protocol, body.len());
        assert_eq!(exchange.sent_digest, Digest::of(&job.request));
        assert_eq!(exchange.received_digest, Digest::of(&answer(body, true)));
    }

    /// An answer that comes when our client has sent so many protected records, after empty answers where there are such.
    async fn waits_until_sent(&mut self, records: usize) {
        let (site, front) = (Site::silent().await, Front::of(self.server.address).await);
        let expected = answer(&pattern(300_000), true);
        let job = self.job(site.address, get(300_000), &expected);
        let asked = async {
            front.until(|seen| seen.records >= records).await;
            site.asked(1).await;
            site.release();
        };
        let prober = self.prober();
        let (exchange, ()) = tokio::join!(self.exchange(&prober, front.address, &job), asked);
        assert_eq!(exchange.failure, None, "{:?} after {records}", self.protocol);
        assert_eq!(front.seen().connections, 1, "{:?}", self.protocol);
        assert_eq!(exchange.received_digest, Digest::of(&expected));
    }

    async fn fails_where(&mut self, table: &[(Bad, Reason, &str)]) {
        let (ends, halfway, resets) = tokio::join!(
            Site::that(Manner::Ends),
            Site::that(Manner::EndsHalfway),
            Site::that(Manner::Resets)
        );
        let (_kept, nobody) = nobody();
        for (bad, reason, words) in table {
            let destination = match bad {
                Bad::Ends => ends.address.to_string(),
                Bad::EndsHalfway => halfway.address.to_string(),
                Bad::Resets => resets.address.to_string(),
                Bad::Refuses => nobody.to_string(),
                Bad::Unresolvable => unresolvable(),
            };
            let job = self.job(destination, get(300_000), &answer(&pattern(300_000), true));
            let exchange = self.exchange(&self.prober(), self.server.address, &job).await;
            let finding = exchange.failure.unwrap();
            let told = format!("{:?}, {bad:?}: {finding:?}", self.protocol);
            assert_eq!(finding.reason, *reason, "{told}");
            assert!(finding.detail().contains(words), "{told}");
        }
    }

    fn prober(&self) -> Prober {
        Prober::new(None, self.limits)
    }

    fn job(&self, destination: impl ToString, request: Vec<u8>, expected: &[u8]) -> Job {
        Job {
            protocol: self.protocol,
            destination: destination.to_string().parse().unwrap(),
            request,
            expected_down: expected.len() as u64,
        }
    }

    async fn exchange(&mut self, prober: &Prober, address: SocketAddr, job: &Job) -> Exchange {
        let target = Target {
            connect_token: self.token.map(str::to_owned),
            host: Some("peer-a.zone.test".to_owned()),
            sending: self.sending,
            ..Target::pinned(address, self.server.pin)
        };
        within(prober.exchange(&target, job, Stopwatch::start(), &mut self.rng)).await
    }
}

fn get(length: usize) -> Vec<u8> {
    format!("GET /{length} HTTP/1.1\r\nConnection: close\r\n\r\n").into_bytes()
}

fn post(body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST / HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Body lengths in bytes.
const LIVENESS: u64 = 1 << 10;
const GOODPUT: u64 = 256 << 10;
const TOKEN: &str = "sekrit";
