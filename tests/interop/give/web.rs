//! What our server shows to those who have no token, beside the nginx that it passes for.

use std::{fs, net::SocketAddr};

use harness::tls::{connector, no_name};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;

use super::{Peer, guarded_by_token};
use crate::{nginx::Nginx, within};

#[tokio::test]
#[ignore = "needs nginx, see tests/setup.sh"]
async fn strangers_see_what_nginx_shows() {
    let nginx = Nginx::of_one_page(PAGE).await;
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("page.html");
    fs::write(&page, PAGE).unwrap();
    let peer = Peer::start(|config| {
        guarded_by_token(config);
        config.page = Some(page);
    });
    for request in requests() {
        let (ours, nginxs) = tokio::join!(shown(peer.address, &request), shown(nginx.address, &request));
        let asked: String = request.chars().take(200).collect();
        assert!(nginxs.contains("Server: nginx\r\n"), "{asked}: {nginxs}");
        assert_eq!(ours, nginxs, "{asked}");
    }
}

/// What comes back for a request and, when the connection lives on, for another; without the time of day.
async fn shown(server: SocketAddr, request: &str) -> String {
    let stream = TcpStream::connect(server).await.unwrap();
    let mut stream = BufReader::new(connector(&[]).unwrap().connect(no_name(), stream).await.unwrap());
    let mut shown = String::new();
    for request in [request, "GET /again HTTP/1.1\r\nHost: p\r\n\r\n"] {
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        let answer = within(answer(&mut stream, request.starts_with("HEAD "))).await;
        shown.push_str(&answer);
        if answer.is_empty() || answer.contains("\r\nConnection: close\r\n") {
            break;
        }
    }
    shown
}

/// The next answer, what comes before it included; nothing when there is none.
async fn answer(stream: &mut BufReader<TlsStream<TcpStream>>, head_only: bool) -> String {
    let mut answer = String::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        // An end without a farewell is one as well.
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            return answer;
        }
        if let Some(told) = line.strip_prefix("Content-Length: ") {
            length = told.trim_end().parse().unwrap();
        }
        match line.starts_with("Date: ") && line.ends_with(" GMT\r\n") {
            true => answer.push_str("Date\r\n"),
            false => answer.push_str(&line),
        }
        if line == "\r\n" && !answer.ends_with("100 Continue\r\n\r\n") {
            break;
        }
    }
    let mut body = vec![0; if head_only { 0 } else { length }];
    stream.read_exact(&mut body).await.unwrap();
    answer + &String::from_utf8(body).unwrap()
}

fn requests() -> Vec<String> {
    let mut requests = Vec::new();
    for line in [
        "GET /",
        "GET /?q=1",
        "GET /favicon.ico",
        "GET /id/destination:80/write",
        "HEAD /",
        "HEAD /abc",
        "POST /",
        "PUT /abc",
        "OPTIONS /",
        "FOO /",
        "F_O-O /",
        "GET http://elsewhere/",
        "GET http://elsewhere",
        "GET //a/./../b",
        "GET /a/%2e%2e/%ff%0a",
        "GET /?%zz",
        "TRACE /",
        "CONNECT origin.example:80",
        "CONNECT origin.example",
        "OPTIONS *",
        "get /",
        "F1O /",
        "GET abc",
        "GET http://",
        "GET ://p/",
        "GET /%zz",
        "GET /%00",
        "GET /..",
        "GET /a/%2e%2e%2f..",
        "TRACE /..",
    ] {
        requests.push(format!("{line} HTTP/1.1\r\nHost: p\r\n\r\n"));
    }
    for fields in [
        "",
        "Host:\r\n",
        "Host: p\r\nHost: p\r\n",
        "Host: a b\r\n",
        "Host: a/b\r\n",
        "Host: p:8443\r\n",
        "Host: p\r\nConnection: close\r\n",
        "Host: p\r\nTransfer-Encoding: gzip\r\n",
        "Host: p\r\nContent-Length: x\r\n",
        "Host: p\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n",
        "Host: p\r\nX-Lantern-Auth-Token: guess\r\n",
        "Host: p\r\nX-Enproxy-Id: x\r\nX-Enproxy-Op: write\r\n",
        "Host: p\r\nwithout a colon\r\n",
        &format!("Host: p\r\nX: {}\r\n", "x".repeat(20_000)),
        &format!("Host: p\r\n{}", format!("X: {}\r\n", "x".repeat(1000)).repeat(40)),
    ] {
        requests.push(format!("GET / HTTP/1.1\r\n{fields}\r\n"));
    }
    for more in [
        "Content-Length: 5\r\n\r\n12345",
        "Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        "Expect: 100-continue\r\nContent-Length: 0\r\n\r\n",
        "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n12345",
    ] {
        requests.push(format!("POST /abc HTTP/1.1\r\nHost: p\r\n{more}"));
    }
    requests.extend(["GET / HTTP/1.0\r\n\r\n", "hello\r\n\r\n", "\u{5}\u{1}\u{0}garbage"].map(str::to_owned));
    requests
}

const PAGE: &str = "<p>under construction";
