//! Responses of enproxy, and answers to CONNECT with what comes after them.

use super::{Ends, ReplyVector, Response, ResponseVector};

const ID: &str = "9815adb2-fc8a-4353-ae6d-d7c72a3bffae";

pub(super) fn vectors() -> Vec<ResponseVector> {
    let means = |status: u16, body: Ends| Response {
        status,
        eof: false,
        id: None,
        proxy_host: None,
        body,
        keep_alive: true,
    };
    let binary = "Content-Type: application/octet-stream\r\n";
    let first = Response {
        id: Some(ID.to_owned()),
        proxy_host: Some("peer-h2kk.peers.example".to_owned()),
        ..means(200, Ends::Length(5))
    };
    let end = Response {
        eof: true,
        id: Some(ID.to_owned()),
        ..means(200, Ends::Length(0))
    };
    let streamed = Response {
        id: Some(ID.to_owned()),
        ..means(200, Ends::Chunked)
    };
    let failed = Response {
        keep_alive: false,
        ..means(502, Ends::Length(4))
    };
    let closing = Response {
        keep_alive: false,
        ..means(200, Ends::UntilClose)
    };
    let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n";
    let rows = [
        ("first-write", format!("HTTP/1.1 200 OK\r\nX-Enproxy-Id: {ID}\r\nX-Enproxy-Proxy-Host: peer-h2kk.peers.example\r\nContent-Length: 5\r\n{binary}\r\n"), "hello", first, true),
        ("end-of-the-destination", format!("HTTP/1.1 200 OK\r\nX-Enproxy-Eof: true\r\nX-Enproxy-Id: {ID}\r\nContent-Length: 0\r\n\r\n"), "", end, true),
        ("streamed", format!("HTTP/1.1 200 OK\r\nX-Enproxy-Id: {ID}\r\nTransfer-Encoding: chunked\r\n{binary}\r\n"), "5\r\nhello\r\n", streamed, true),
        ("failed-dial", "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 4\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n".to_owned(), "dial", failed, true),
        ("until-the-close", "HTTP/1.0 200 OK\r\n\r\n".to_owned(), "hello", closing, false),
        ("after-interim-responses", format!("{interim}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"), "ok", means(200, Ends::Length(2)), false),
        ("eof-in-another-word", "HTTP/1.1 200 OK\r\nX-Enproxy-Eof: True\r\nContent-Length: 0\r\n\r\n".to_owned(), "", means(200, Ends::Length(0)), false),
        ("chunks-over-a-length", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(), "0\r\n\r\n", means(200, Ends::Chunked), false),
        ("no-content", "HTTP/1.1 204 No Content\r\n\r\n".to_owned(), "", means(204, Ends::Length(0)), false),
    ];
    let read = rows
        .into_iter()
        .map(|(name, head, body, means, written)| ResponseVector {
            name: name.to_owned(),
            head: head.len(),
            bytes: format!("{head}{body}"),
            means: Some(means),
            error: String::new(),
            written,
        });
    let refused = [
        (
            "switching",
            "HTTP/1.1 101 Switching Protocols\r\n\r\n".to_owned(),
            "switching-protocols",
        ),
        ("no-http", "SSH-2.0-OpenSSH_9.2\r\n".to_owned(), "syntax"),
        (
            "two-lengths",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n".to_owned(),
            "conflicting-lengths",
        ),
        (
            "endless-interim",
            "HTTP/1.1 100 Continue\r\n\r\n".repeat(700),
            "too-long",
        ),
        (
            "long-id",
            format!("HTTP/1.1 200 OK\r\nX-Enproxy-Id: {}\r\n\r\n", "i".repeat(257)),
            "unreadable",
        ),
    ];
    let refused = refused.into_iter().map(|(name, bytes, error)| ResponseVector {
        name: format!("refused-{name}"),
        bytes,
        head: 0,
        means: None,
        error: error.to_owned(),
        written: false,
    });
    read.chain(refused).collect()
}

pub(super) fn replies() -> Vec<ReplyVector> {
    let open = "HTTP/1.1 200 OK\r\n\r\n";
    let newer = "HTTP/1.1 200 OK\r\nDate: Sunday, 22-Nov-26 19:18:04 UTC\r\nContent-Length: 0\r\n\r\n";
    let older = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n";
    let forbidden = "HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 21\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n";
    let bad = "HTTP/1.1 502 Bad Gateway\r\n\r\n";
    let rows = [
        ("open", open, "HTTP/1.1 200 OK\r\n", 0, "HTTP/1.1 200 OK\r\n"),
        ("open-with-a-length-that-means-nothing", newer, "hello", 0, "hello"),
        (
            "open-by-a-server-of-2014",
            older,
            "a\r\nCONNECT OK\r\nhello",
            0,
            "hello",
        ),
        (
            "open-by-a-server-of-2014-and-silent",
            older,
            "a\r\nCONNECT OK\r\n",
            0,
            "",
        ),
        (
            "open-and-not-quite-that-chunk",
            older,
            "a\r\nCONNECT NO\r\n",
            0,
            "a\r\nCONNECT NO\r\n",
        ),
        (
            "open-and-that-chunk-twice",
            older,
            "a\r\nCONNECT OK\r\na\r\nCONNECT OK\r\n",
            0,
            "a\r\nCONNECT OK\r\n",
        ),
        (
            "open-and-that-chunk-unasked",
            open,
            "a\r\nCONNECT OK\r\n",
            0,
            "a\r\nCONNECT OK\r\n",
        ),
        (
            "refused",
            forbidden,
            "port 25 is not served",
            403,
            "port 25 is not served",
        ),
        (
            "refused-until-the-close",
            bad,
            "dial tcp: refused\u{1}\r\n",
            502,
            "dial tcp: refused",
        ),
    ];
    let mut vectors: Vec<ReplyVector> = rows
        .into_iter()
        .map(|(name, head, rest, refused, text)| ReplyVector {
            name: name.to_owned(),
            bytes: format!("{head}{rest}"),
            head: head.len(),
            refused,
            text: text.to_owned(),
            error: String::new(),
        })
        .collect();
    for (name, bytes, error) in [
        (
            "switching",
            "HTTP/1.1 101 Switching Protocols\r\n\r\n",
            "switching-protocols",
        ),
        ("no-http", "\u{15}\u{3}\u{1}", "syntax"),
    ] {
        vectors.push(ReplyVector {
            name: format!("error-{name}"),
            bytes: bytes.to_owned(),
            head: 0,
            refused: 0,
            text: String::new(),
            error: error.to_owned(),
        });
    }
    vectors
}
