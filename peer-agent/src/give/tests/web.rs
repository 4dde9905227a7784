//! What those see who have no token: an nginx.

use proto::tunnel::{connect, enproxy::Op};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Duration, Instant},
};

use super::{
    memory::{NOBODY, Rig},
    rig::{Client, Server},
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
    let p = "Host: p\r\n";
    for bytes in [
        "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n",
        "CONNECT a:1 HTTP/1.1\r\nX-Lantern-Auth-Token: wrong\r\nX-Lantern-Dial-Timeout: 0\r\n\r\n",
        "CONNECT a HTTP/1.1\r\nX-Lantern-Auth-Token: sekrit\r\n\r\n",
        "CONNECT / HTTP/1.1\r\n\r\n",
        "\u{5}\u{1}\u{0}garbage",
        &format!("GET / HTTP/1.1\r\n{p}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
        &format!("GET / HTTP/1.1\r\n{p}Content-Length: x\r\n\r\n"),
        &format!("GET / HTTP/1.1\r\n{p}Transfer-Encoding: chunked\r\n\r\nzz\r\n"),
        // No host, or several.
        "GET / HTTP/1.1\r\n\r\n",
        "POST /id/a:1/write/ HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: p\r\nHost: p\r\n\r\n",
        &format!("OPTIONS * HTTP/1.1\r\n{p}\r\n"),
        &format!("get / HTTP/1.1\r\n{p}\r\n"),
        &format!("GET /../ HTTP/1.1\r\n{p}Expect: 100-continue\r\nContent-Length: 5\r\n\r\n"),
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
    assert!(first.body.starts_with("<html>\r\n"), "{}", first.body);
    assert!(looks.iter().all(|look| look == first), "{looks:#?}");
    for (bytes, status) in [
        (
            format!("GET / HTTP/1.1\r\n{p}X: {}\r\n\r\n", "x".repeat(20_000)),
            "400 Bad Request",
        ),
        (format!("TRACE / HTTP/1.1\r\n{p}\r\n"), "405 Not Allowed"),
        (
            format!("GET / HTTP/1.1\r\n{p}Transfer-Encoding: gzip\r\n\r\n"),
            "501 Not Implemented",
        ),
    ] {
        let mut client = rig.client();
        client.send(&bytes).await;
        let seen = seen(&mut client, true).await;
        assert_eq!(
            (seen.status.as_str(), seen.closes()),
            (&*format!("HTTP/1.1 {status}"), true)
        );
        assert_ne!(seen.body, first.body);
        assert!(client.rest().await.is_empty(), "{status}");
    }
    assert!(rig.asked().is_empty(), "{:?}", rig.asked());
}

#[tokio::test(start_paused = true)]
async fn the_page_is_everywhere_on_one_connection() {
    let mut rig = guarded();
    let mut client = rig.client();
    let mut heads = Vec::new();
    for (request, body) in [
        ("GET / HTTP/1.1", ""),
        ("GET /?q HTTP/1.1\r\nX-Lantern-Auth-Token: sekrit", ""),
        ("GET http://elsewhere/ HTTP/1.1", ""),
        ("POST / HTTP/1.1\r\nContent-Length: 5", "12345"),
        (
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked",
            "5\r\n12345\r\n0\r\n\r\n",
        ),
        ("GET /favicon.ico HTTP/1.1", ""),
        ("POST /a/b:1/delete/ HTTP/1.1", ""),
        // Half of what a tunnel needs.
        ("POST / HTTP/1.1\r\nX-Enproxy-Id: x\r\nX-Enproxy-Op: write", ""),
        ("PUT / HTTP/1.1", ""),
        ("HEAD /anything HTTP/1.1", ""),
    ] {
        client.send(format!("{request}\r\nHost: p\r\n\r\n{body}")).await;
        let seen = seen(&mut client, true).await;
        assert_eq!(
            (seen.status.as_str(), seen.body.as_str()),
            ("HTTP/1.1 200 OK", ""),
            "{request}"
        );
        heads.push(seen.fields);
    }
    let nginx = [
        "Server: nginx",
        "Content-Type: text/html",
        "Content-Length: 0",
        "Connection: keep-alive",
    ];
    assert!(heads.iter().all(|fields| *fields == nginx), "{heads:?}");
    assert!(rig.asked().is_empty());
    // It is a peer all the same: enproxy has no authentication.
    let mut far = rig.tunnel(&mut client, "id").await;
    tokio::io::AsyncWriteExt::write_all(&mut far, b"bytes").await.unwrap();
    assert_eq!(client.call("id", "a:1", Op::Read, b"").await.text(), "bytes");
}

/// It does not wait for a body that it has no use for.
#[tokio::test(start_paused = true)]
async fn a_body_is_answered_before_it_came() {
    let rig = guarded();
    for (expects, interim) in [("", ""), ("Expect: 100-continue\r\n", "HTTP/1.1 100 Continue\r\n\r\n")] {
        let mut client = rig.client();
        client
            .send(format!(
                "POST / HTTP/1.1\r\nHost: p\r\n{expects}Content-Length: 5\r\n\r\n"
            ))
            .await;
        while client.input.len() < interim.len() {
            client.more().await;
        }
        assert_eq!(
            client.input.drain(..interim.len()).collect::<Vec<_>>(),
            interim.as_bytes()
        );
        assert!(!seen(&mut client, true).await.closes(), "{expects}");
        client.send("12345GET / HTTP/1.1\r\nHost: p\r\n\r\n").await;
        assert_eq!(seen(&mut client, true).await.status, "HTTP/1.1 200 OK");
    }
}

#[tokio::test]
async fn the_page_is_the_operators() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("page.html");
    std::fs::write(&page, "<p>under construction").unwrap();
    let server = Server::start(|config| {
        config.token = Some("sekrit".into());
        config.page = Some(page);
    });
    let mut client = server.client().await;
    for (method, body) in [("GET", "<p>under construction"), ("HEAD", "")] {
        client.send(format!("{method} /x HTTP/1.1\r\nHost: p\r\n\r\n")).await;
        let seen = seen(&mut client, method == "GET").await;
        assert_eq!((seen.status.as_str(), seen.body.as_str()), ("HTTP/1.1 200 OK", body));
        assert!(seen.fields.contains(&"Content-Length: 21".to_owned()), "{seen:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn connections_close_when_asked_and_when_a_head_takes_too_long() {
    let rig = guarded();
    for request in [
        "GET / HTTP/1.1\r\nHost: p\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
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
    assert!(slow.rest().await.is_empty());
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
    client.send("GET / HTTP/1.1\r\nHost: p\r\n\r\n").await;
    let answer = client.answer().await.unwrap();
    assert_eq!(
        (answer.head.status, answer.text().as_str()),
        (400, "No id found in header X-Enproxy-Id")
    );
}
