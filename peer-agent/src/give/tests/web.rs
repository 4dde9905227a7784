//! What those see who have no token: an ordinary web server.

use proto::tunnel::{connect, enproxy::Op};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Duration, Instant},
};

use super::{
    memory::{NOBODY, Rig},
    rig::Client,
};

/// A response as it stands on the wire, the date left out.
#[derive(Debug, PartialEq)]
struct Seen {
    status: String,
    fields: Vec<String>,
    body: String,
}

impl Seen {
    fn closes(&self) -> bool {
        self.fields.iter().any(|field| field == "Connection: close")
    }
}

/// Reads one response; one to HEAD has no body.
async fn seen<S: AsyncRead + AsyncWrite + Unpin>(client: &mut Client<S>, has_body: bool) -> Seen {
    let (head, length) = loop {
        let text = String::from_utf8(client.input.clone()).unwrap();
        if let Some((head, _)) = text.split_once("\r\n\r\n") {
            break (head.to_owned(), head.len() + 4);
        }
        assert_ne!(client.more().await, 0, "closed after {text:?}");
    };
    client.input.drain(..length);
    let mut lines = head.split("\r\n").map(str::to_owned);
    let status = lines.next().unwrap();
    let (dates, fields): (Vec<String>, Vec<String>) = lines.partition(|line| line.starts_with("Date: "));
    assert!(dates.len() == 1 && dates[0].ends_with(" GMT"), "{head}");
    let length = fields
        .iter()
        .find_map(|field| field.strip_prefix("Content-Length: "))
        .unwrap()
        .parse()
        .unwrap();
    while has_body && client.input.len() < length {
        assert_ne!(client.more().await, 0);
    }
    let body = client.input.drain(..if has_body { length } else { 0 }).collect();
    Seen {
        status,
        fields,
        body: String::from_utf8(body).unwrap(),
    }
}

fn guarded() -> Rig {
    Rig::new(|config| config.token = Some("sekrit".into()))
}

#[tokio::test(start_paused = true)]
async fn all_that_is_wrong_looks_the_same_and_closes() {
    let rig = guarded();
    let mut looks = Vec::new();
    let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(20_000));
    for bytes in [
        "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n",
        "CONNECT a:1 HTTP/1.1\r\nX-Lantern-Auth-Token: wrong\r\nX-Lantern-Dial-Timeout: 0\r\n\r\n",
        "CONNECT a HTTP/1.1\r\nX-Lantern-Auth-Token: sekrit\r\n\r\n",
        "CONNECT / HTTP/1.1\r\n\r\n",
        "\u{5}\u{1}\u{0}garbage",
        "GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        &long,
    ] {
        let mut client = rig.client();
        client.send(bytes).await;
        looks.push(seen(&mut client, true).await);
        assert!(client.rest().await.is_empty(), "{bytes}");
    }
    let first = &looks[0];
    assert_eq!(
        (first.status.as_str(), first.closes()),
        ("HTTP/1.1 400 Bad Request", true)
    );
    assert_eq!(first.fields[0], "Server: Apache");
    assert!(
        first
            .fields
            .contains(&"Content-Type: text/html; charset=iso-8859-1".into())
    );
    assert!(first.body.starts_with("<!DOCTYPE html>\n"), "{}", first.body);
    assert!(looks.iter().all(|look| look == first), "{looks:#?}");
    assert!(rig.asked().is_empty(), "{:?}", rig.asked());
}

#[tokio::test(start_paused = true)]
async fn pages_are_read_one_after_another_on_one_connection() {
    let mut rig = guarded();
    let mut client = rig.client();
    for (request, status, shows) in [
        ("GET / HTTP/1.1\r\nHost: p", "200 OK", "<title>Welcome</title>"),
        (
            "GET /?q HTTP/1.1\r\nX-Lantern-Auth-Token: sekrit",
            "200 OK",
            "<title>Welcome</title>",
        ),
        ("GET http://elsewhere/ HTTP/1.1", "200 OK", "<title>Welcome</title>"),
        (
            "POST / HTTP/1.1\r\nContent-Length: 5",
            "200 OK",
            "<title>Welcome</title>",
        ),
        ("GET /abc HTTP/1.1", "404 Not Found", "<h1>404 Not Found</h1>"),
        ("GET /favicon.ico HTTP/1.1", "404 Not Found", "<h1>404 Not Found</h1>"),
        (
            "POST /a/b:1/delete/ HTTP/1.1",
            "404 Not Found",
            "<h1>404 Not Found</h1>",
        ),
        ("GET /%zz HTTP/1.1", "404 Not Found", "<h1>404 Not Found</h1>"),
        // Half of what a tunnel needs.
        (
            "POST / HTTP/1.1\r\nX-Enproxy-Id: x\r\nX-Enproxy-Op: write",
            "200 OK",
            "<title>Welcome</title>",
        ),
        ("PUT / HTTP/1.1", "405 Method Not Allowed", "405 Method Not Allowed"),
        ("OPTIONS * HTTP/1.1", "405 Method Not Allowed", "405 Method Not Allowed"),
    ] {
        let body = if request.contains("Content-Length") {
            "12345"
        } else {
            ""
        };
        client.send(format!("{request}\r\n\r\n{body}")).await;
        let seen = seen(&mut client, true).await;
        assert_eq!(seen.status, format!("HTTP/1.1 {status}"), "{request}");
        assert!(seen.body.contains(shows) && !seen.closes(), "{request}: {seen:?}");
    }
    // The health check finds every page, and the same head as whoever reads the first one.
    for path in ["/", "/anything"] {
        client.send(format!("HEAD {path} HTTP/1.1\r\nHost: p\r\n\r\n")).await;
        let health = seen(&mut client, false).await;
        assert_eq!(health.status, "HTTP/1.1 200 OK");
        client.send("GET / HTTP/1.1\r\n\r\n").await;
        assert_eq!(seen(&mut client, true).await.fields, health.fields);
    }
    assert!(rig.asked().is_empty());
    // It is a peer all the same: enproxy has no authentication.
    let mut far = rig.tunnel(&mut client, "id").await;
    tokio::io::AsyncWriteExt::write_all(&mut far, b"bytes").await.unwrap();
    assert_eq!(client.call("id", "a:1", Op::Read, b"").await.text(), "bytes");
}

#[tokio::test(start_paused = true)]
async fn connections_close_when_asked_and_when_a_head_takes_too_long() {
    let rig = guarded();
    for request in [
        "GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
    ] {
        let mut client = rig.client();
        client.send(request).await;
        let seen = seen(&mut client, true).await;
        assert_eq!(
            (seen.status.as_str(), seen.closes()),
            ("HTTP/1.1 200 OK", true),
            "{request}"
        );
        assert!(client.rest().await.is_empty());
    }
    let mut slow = rig.client();
    let start = Instant::now();
    slow.send("GET / HT").await;
    let seen = seen(&mut slow, true).await;
    assert_eq!(
        (seen.status.as_str(), seen.closes()),
        ("HTTP/1.1 408 Request Timeout", true)
    );
    assert_eq!(start.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn whoever_has_the_token_is_told_the_truth_and_without_a_token_everybody_is() {
    let request = |token: &str| connect::Request {
        destination: NOBODY.into(),
        tokens: vec![token.into()],
        dial_timeout: Some(Duration::from_secs(1)),
        ..Default::default()
    };
    let refused = guarded().client().open(&request("sekrit")).await;
    assert_eq!(refused, Err((502, "attempt 1 was refused".into())));
    let open = Rig::new(|_| {});
    let refused = open.client().open(&request("any")).await;
    assert_eq!(refused, Err((502, "attempt 1 was refused".into())));
    let mut client = open.client();
    client.send("GET / HTTP/1.1\r\n\r\n").await;
    let answer = client.answer().await.unwrap();
    assert_eq!(
        (answer.head.status, answer.text().as_str()),
        (400, "No id found in header X-Enproxy-Id")
    );
}
