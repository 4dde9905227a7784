//! Every file through the codec of the side that reads it.

use std::collections::BTreeMap;

use proto::tunnel::{
    self, Framing, Version, connect,
    enproxy::{self, Op, Purpose, Sending},
};

use super::{
    expected::{Connection, Exchange, Form, Request, Response, Sum, WHOLE, captures, cuts, statuses},
    reading::{Asked, Head, Message, Reading},
};

#[test]
fn the_servers_codec_reads_what_clients_sent() {
    let (mut requests, mut ways) = (0, 0);
    for capture in captures() {
        for conn in capture.connections.iter().filter(|conn| conn.hello.is_none()) {
            let name = format!("{}/{}", capture.name, conn.name);
            let whole = read(Reading::requests(), &[&conn.client]);
            assert_eq!(
                (&whole.broken, whole.messages.len(), whole.is_idle()),
                (&None, conn.exchanges.len(), true),
                "{name}"
            );
            for (exchange, message) in conn.exchanges.iter().zip(&whole.messages) {
                is_request(&name, exchange, message, &conn.server);
            }
            if let Some(tunnel) = capture.tunnels.iter().find(|tunnel| tunnel.id == conn.name) {
                assert_eq!(Sum::of(&whole.tunnel), tunnel.up, "{name}");
            }
            requests += whole.messages.len();
            let messages = conn.exchanges.iter().map(|exchange| &exchange.request);
            let marks: Marks = messages
                .map(|request| (request.wire, request.head, request.chunks.as_slice()))
                .collect();
            ways += is_read_however_cut(&name, &Reading::requests(), &conn.client, &marks, &whole);
        }
    }
    assert_eq!(requests, 106);
    assert!(ways > 20_000, "{ways}");
}

#[test]
fn the_clients_codec_reads_what_servers_answered() {
    let (mut responses, mut ways) = (0, 0);
    for capture in captures() {
        for conn in &capture.connections {
            let name = format!("{}/{}", capture.name, conn.name);
            let asked = asked(conn);
            let mut whole = read(Reading::responses(&asked), &[&conn.server]);
            let expected: Vec<&Response> = conn
                .exchanges
                .iter()
                .filter_map(|exchange| exchange.response.as_ref())
                .collect();
            assert_eq!(
                (&whole.broken, whole.messages.len(), whole.is_idle()),
                (&None, expected.len(), true),
                "{name}"
            );
            for (response, message) in expected.iter().zip(&whole.messages) {
                is_response(&name, response, message);
            }
            responses += expected.len();
            let marks: Marks = expected
                .iter()
                .map(|response| (response.wire, response.head, response.chunks.as_slice()))
                .collect();
            ways += is_read_however_cut(&name, &Reading::responses(&asked), &conn.server, &marks, &whole);
            whole.close();
            if let Some(tunnel) = capture.tunnels.iter().find(|tunnel| tunnel.id == conn.name) {
                assert_eq!(Sum::of(&whole.tunnel), tunnel.down, "{name}");
            }
        }
    }
    assert_eq!(responses, 96);
    assert!(ways > 30_000, "{ways}");
}

/// A probe looks like any client: what Go programs of each generation wrote is what we write, byte for byte.
#[test]
fn heads_are_written_as_go_writes_them() {
    let mut written = BTreeMap::new();
    for capture in captures() {
        for conn in capture.connections.iter().filter(|conn| conn.hello.is_none()) {
            for (exchange, (bytes, _)) in conn.exchanges.iter().zip(conn.messages()) {
                let real = &bytes[..exchange.request.head];
                // The others were written by hand.
                if !String::from_utf8_lossy(real).contains("User-Agent: Go-") {
                    continue;
                }
                let mut ours = Vec::new();
                let (request, _) = tunnel::decode_request(real).unwrap().unwrap();
                match request {
                    tunnel::Request::Connect(request) => request.encode(&mut ours).unwrap(),
                    tunnel::Request::Enproxy(request) => {
                        let Purpose::Call(call) = request.purpose else {
                            panic!("{}: {:?}", capture.name, request.purpose);
                        };
                        let (sending, length) = match request.body {
                            Framing::Length(length) => (Sending::Buffered, length as usize),
                            _ => (Sending::Streamed, 0),
                        };
                        let form = match exchange.request.form {
                            Form::Path => enproxy::Form::Path,
                            _ => enproxy::Form::Headers,
                        };
                        let host = exchange.request.host.as_deref();
                        call.encode_as(form, sending, host, &vec![0; length], &mut ours)
                            .unwrap();
                    }
                }
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                assert_eq!(
                    text(&ours[..real.len().min(ours.len())]),
                    text(real),
                    "{}",
                    capture.name
                );
                *written.entry(format!("{:?}", exchange.request.form)).or_insert(0) += 1;
            }
        }
    }
    let forms: Vec<(&str, usize)> = written.iter().map(|(form, count)| (form.as_str(), *count)).collect();
    assert_eq!(forms, [("Connect", 8), ("Header", 14), ("Path", 23)]);
}

/// A client that begins TLS where the server expects it decrypted: no head, however it is cut, from the first byte on.
#[test]
fn a_client_hello_is_no_request() {
    let mut hellos = 0;
    for capture in captures() {
        for conn in capture.connections.iter().filter(|conn| conn.hello.is_some()) {
            for at in 1..=conn.client.len() {
                let cut = read(Reading::requests(), &[&conn.client[..at], &conn.client[at..]]);
                let error = Some("not an HTTP/1 head: bad first line".to_owned());
                assert_eq!(
                    (cut.broken, cut.messages),
                    (error, vec![]),
                    "{} cut at {at}",
                    capture.name
                );
            }
            hellos += 1;
        }
    }
    assert_eq!(hellos, 3);
}

/// Of the 2014 servers behind TLS only the printed heads were kept.
#[test]
fn the_clients_codec_reads_the_heads_of_2014() {
    let statuses = statuses();
    assert_eq!(statuses.len(), 16);
    for told in &statuses {
        let name = format!("{}: {}", told.server, told.request);
        let Some(head) = &told.head else {
            assert_eq!(
                told.request, "refused 2",
                "{name}: only a failed id's second request is hung up on"
            );
            continue;
        };
        for at in 0..head.len() {
            assert!(
                matches!(enproxy::decode_response(&head.as_bytes()[..at]), Ok(None)),
                "{name} at {at}"
            );
        }
        let (response, length) = enproxy::decode_response(head.as_bytes()).unwrap().unwrap();
        // Without a length only what answers HEAD.
        let body = told.length.map_or(Framing::UntilClose, Framing::Length);
        assert_eq!(
            (length, response.status, response.body, response.eof),
            (head.len(), told.status, body, false),
            "{name}"
        );
        assert_eq!(
            (&response.id, &response.proxy_host),
            (&told.id, &told.proxy_host),
            "{name}"
        );
        assert_eq!(told.length.is_none(), told.request == "HEAD", "{name}");
    }
}

/// Of each message: its length, its head's, and where its chunks begin.
type Marks<'a> = Vec<(usize, usize, &'a [usize])>;

/// Cuts a file in two at every place of [`cuts`], and into single bytes. How many ways that were.
fn is_read_however_cut(name: &str, fresh: &Reading<'_>, bytes: &[u8], marks: &Marks<'_>, whole: &Reading<'_>) -> usize {
    let (mut places, mut start) = (Vec::new(), 0);
    for (wire, head, chunks) in marks {
        // A tunnel belongs to the message that opened it, which is a connection's last.
        let length = if places.is_empty() && marks.len() == 1 {
            bytes.len()
        } else {
            *wire
        };
        places.extend(
            cuts(length, *head, chunks, bytes.len() > WHOLE)
                .iter()
                .map(|at| start + at),
        );
        start += wire;
    }
    places.dedup();
    for at in &places {
        let mut cut = fresh.clone();
        cut.push(&bytes[..*at]);
        // Not one head, not one whole message before its last byte is there.
        let (mut start, mut heads, mut ends) = (0, 0, 0);
        for (wire, head, _) in marks {
            heads += usize::from(start + head <= *at);
            ends += usize::from(start + wire <= *at);
            start += wire;
        }
        assert_eq!(
            (cut.messages.len(), cut.finished()),
            (heads, ends),
            "{name} before {at}"
        );
        cut.push(&bytes[*at..]);
        is_same(&format!("{name} cut at {at}"), &cut, whole);
    }
    let step = if bytes.len() > WHOLE { 1021 } else { 1 };
    let pieces: Vec<&[u8]> = bytes.chunks(step).collect();
    is_same(
        &format!("{name} in pieces of {step}"),
        &read(fresh.clone(), &pieces),
        whole,
    );
    places.len() + 1
}

fn is_same(name: &str, cut: &Reading<'_>, whole: &Reading<'_>) {
    // Not by assert_eq: it would print 300 kB.
    let same =
        cut.messages == whole.messages && cut.tunnel == whole.tunnel && cut.broken == whole.broken && cut.is_idle();
    assert!(
        same,
        "{name}: {:?}, {} messages of {}",
        cut.broken,
        cut.messages.len(),
        whole.messages.len()
    );
}

fn read<'a>(mut reading: Reading<'a>, pieces: &[&[u8]]) -> Reading<'a> {
    pieces.iter().for_each(|piece| reading.push(piece));
    reading
}

/// What each response of a connection answers.
pub(super) fn asked(conn: &Connection) -> Vec<Asked> {
    conn.exchanges
        .iter()
        .map(|exchange| match exchange.request.method.as_str() {
            "CONNECT" => Asked::Connect,
            "HEAD" => Asked::Health,
            _ => Asked::Call,
        })
        .collect()
}

fn is_request(name: &str, exchange: &Exchange, message: &Message, server: &[u8]) {
    let expected = &exchange.request;
    assert_eq!(message.length, expected.head, "{name}");
    let Head::Request(request) = &message.head else {
        panic!("{name}: {message:?}")
    };
    match request {
        tunnel::Request::Connect(request) => is_connect(name, expected, request),
        tunnel::Request::Enproxy(request) => {
            assert_eq!(
                (framing(request.body), version(request.version)),
                (expected.framing.as_str(), expected.version.as_str()),
                "{name}"
            );
            assert_eq!(request.expect_continue, expected.expect_continue, "{name}");
            assert_eq!(Sum::of(&message.body), expected.body, "{name}");
            is_purpose(name, exchange, &request.purpose, server);
        }
    }
}

fn is_connect(name: &str, expected: &Request, request: &connect::Request) {
    assert_eq!(expected.form, Form::Connect, "{name}");
    assert_eq!(
        (&request.destination, &request.tokens),
        (&expected.destination, &expected.tokens),
        "{name}"
    );
    assert_eq!(expected.host.as_deref(), Some(request.destination.as_str()), "{name}");
}

fn is_purpose(name: &str, exchange: &Exchange, purpose: &Purpose, server: &[u8]) {
    let expected = &exchange.request;
    let op = [Op::Write, Op::Read].into_iter().find(|op| op.as_str() == expected.op);
    match (purpose, expected.form, op) {
        (Purpose::Health, Form::Other, None) => assert_eq!(expected.method, "HEAD", "{name}"),
        (Purpose::Call(call), Form::Path | Form::Header, Some(op)) => {
            assert_eq!(
                (&call.id, &call.destination, call.op),
                (&expected.id, &expected.destination, op),
                "{name}"
            );
        }
        (Purpose::Refused(refusal), Form::Other | Form::Header, None) => {
            let response = exchange.response.as_ref().unwrap();
            // An enproxy server's own words; those of a CONNECT server are to a request that enproxy has no use for.
            if !name.starts_with("chained") {
                let text = refusal.to_string();
                let said = server.windows(text.len()).any(|window| window == text.as_bytes());
                assert!(said && response.body.length == text.len(), "{name}: {text}");
                assert_eq!(refusal.status(), response.status, "{name}");
            }
        }
        _ => panic!("{name}: {purpose:?}"),
    }
}

pub(super) fn is_response(name: &str, expected: &Response, message: &Message) {
    assert_eq!(
        (message.length, message.interim),
        (expected.head, expected.interim == [100]),
        "{name}"
    );
    let response = match &message.head {
        Head::Response(response) => response,
        Head::Refused(status, response) if *status == expected.status => response,
        Head::Open => return assert_eq!(expected.status, 200, "{name}"),
        head => panic!("{name}: {head:?}"),
    };
    assert_eq!(
        (response.status, response.eof),
        (expected.status, expected.eof),
        "{name}"
    );
    assert_eq!(
        (&response.id, &response.proxy_host),
        (&expected.id, &expected.proxy_host),
        "{name}"
    );
    assert_eq!(version(response.version), expected.version, "{name}");
    match &expected.framing {
        Some(framed) => assert_eq!(framing(response.body), framed, "{name}"),
        None => assert_eq!(response.body, Framing::UntilClose, "{name}: to HEAD"),
    }
    // A response without a length is taken to last until the close, and one in HTTP/1.0 closes.
    let lasting = expected.keep_alive && expected.framing.is_some() && response.version == Version::Http11;
    assert_eq!(response.keep_alive, lasting, "{name}");
    assert_eq!(Sum::of(&message.body), expected.body, "{name}");
    if response.status / 100 != 2 {
        // No control characters: one of them ends in binary garbage.
        let shown: String = String::from_utf8_lossy(&message.body)
            .chars()
            .take(tunnel::MAX_ERROR_TEXT)
            .collect();
        assert_eq!(message.text, shown.replace(char::is_control, " ").trim(), "{name}");
    }
}

fn framing(framing: Framing) -> &'static str {
    match framing {
        Framing::Length(_) => "length",
        Framing::Chunked => "chunked",
        Framing::UntilClose => "close",
    }
}

fn version(version: Version) -> &'static str {
    match version {
        Version::Http10 => "HTTP/1.0",
        Version::Http11 => "HTTP/1.1",
    }
}
