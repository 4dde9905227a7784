//! Requests: enproxy in both forms, written and read, streamed and buffered; CONNECT; and what is refused.

use super::{Ends, Means, RequestVector, Writing};

const ID: &str = "9815adb2-fc8a-4353-ae6d-d7c72a3bffae";
const DESTINATION: &str = "origin.example:80";
const HOST: &str = "peer-h2kk.peers.example";
const AGENT: &str = "User-Agent: Go-http-client/1.1\r\n";

pub(super) fn vectors() -> Vec<RequestVector> {
    let mut vectors = calls();
    vectors.extend(read_only());
    vectors.extend(unserved());
    vectors.extend(connects());
    vectors.extend(refused());
    vectors
}

fn vector(name: &str, bytes: String, head: usize, means: Means, written: Option<Writing>) -> RequestVector {
    RequestVector {
        name: name.to_owned(),
        bytes,
        head,
        means: Some(means),
        error: String::new(),
        written,
    }
}

fn means_call(op: &str, body: Ends) -> Means {
    Means::Call {
        id: ID.to_owned(),
        destination: DESTINATION.to_owned(),
        op: op.to_owned(),
        body,
        keep_alive: true,
        expect_continue: false,
    }
}

/// Requests as our client writes them: the body is in one piece, and its length in the head.
fn calls() -> Vec<RequestVector> {
    let mut vectors = Vec::new();
    for (op, body) in [
        ("write", "GET /c/abc HTTP/1.1\r\nHost: origin.example:80\r\n\r\n"),
        ("read", ""),
    ] {
        let length = body.len();
        let host = format!("Host: {HOST}\r\n");
        let content = format!("{AGENT}Content-Length: {length}\r\nContent-Type: application/octet-stream\r\n");
        let triple = format!("X-Enproxy-Dest-Addr: {DESTINATION}\r\nX-Enproxy-Id: {ID}\r\nX-Enproxy-Op: {op}\r\n");
        for (form, head) in [
            ("headers", format!("POST / HTTP/1.1\r\n{host}{content}{triple}\r\n")),
            (
                "path",
                format!("POST /{ID}/{DESTINATION}/{op}/ HTTP/1.1\r\n{host}{content}\r\n"),
            ),
        ] {
            let writing = Writing {
                form: form.to_owned(),
                host: Some(HOST.to_owned()),
            };
            let means = means_call(op, Ends::Length(length as u64));
            vectors.push(vector(
                &format!("{op}-{form}-buffered"),
                format!("{head}{body}"),
                head.len(),
                means,
                Some(writing),
            ));
        }
        // Without a Host header, which is for the server to refuse, not for the codec.
        let head = format!("POST / HTTP/1.1\r\n{content}{triple}\r\n");
        let writing = Writing {
            form: "headers".to_owned(),
            host: None,
        };
        let means = means_call(op, Ends::Length(length as u64));
        vectors.push(vector(
            &format!("{op}-headers-without-a-host"),
            format!("{head}{body}"),
            head.len(),
            means,
            Some(writing),
        ));
    }
    vectors
}

/// Requests of other clients.
fn read_only() -> Vec<RequestVector> {
    let triple = format!("X-Enproxy-Dest-Addr: {DESTINATION}\r\nX-Enproxy-Id: {ID}\r\nX-Enproxy-Op: write\r\n");
    let chunked = "Transfer-Encoding: chunked\r\n";
    let chunks = "5\r\nhello\r\n0\r\n\r\n";
    let at_path = format!("/{ID}/{DESTINATION}/write/");
    let expecting = Means::Call {
        id: ID.to_owned(),
        destination: DESTINATION.to_owned(),
        op: "write".to_owned(),
        body: Ends::Length(3),
        keep_alive: false,
        expect_continue: true,
    };
    let rows = [
        (
            "write-headers-streamed",
            format!("POST / HTTP/1.1\r\nHost: {HOST}\r\n{chunked}{triple}\r\n"),
            chunks,
            means_call("write", Ends::Chunked),
        ),
        (
            "write-path-streamed",
            format!("POST {at_path} HTTP/1.1\r\nHost: {HOST}\r\n{chunked}\r\n"),
            chunks,
            means_call("write", Ends::Chunked),
        ),
        (
            "write-path-after-a-prefix",
            format!("POST /prefix{at_path} HTTP/1.1\r\nContent-Length: 0\r\n\r\n"),
            "",
            Means::Call {
                id: format!("prefix/{ID}"),
                destination: DESTINATION.to_owned(),
                op: "write".to_owned(),
                body: Ends::Length(0),
                keep_alive: true,
                expect_continue: false,
            },
        ),
        (
            "write-path-percent-encoded",
            format!("POST /{ID}/origin%2Eexample:80/write/?q=/ HTTP/1.1\r\n\r\n"),
            "",
            means_call("write", Ends::Length(0)),
        ),
        (
            "write-path-absolute",
            format!("POST http://front.example{at_path} HTTP/1.1\r\n\r\n"),
            "",
            means_call("write", Ends::Length(0)),
        ),
        (
            "write-headers-in-other-case",
            format!("POST / HTTP/1.1\r\n{}\r\n", triple.to_ascii_lowercase()),
            "",
            means_call("write", Ends::Length(0)),
        ),
        (
            "write-waiting-for-continue",
            format!(
                "POST / HTTP/1.1\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Length: 3\r\n{triple}\r\n"
            ),
            "abc",
            expecting,
        ),
        (
            "health-check",
            "HEAD /anything HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
            "",
            Means::Health { keep_alive: true },
        ),
        (
            "health-check-http10",
            "HEAD / HTTP/1.0\r\n\r\n".to_owned(),
            "",
            Means::Health { keep_alive: false },
        ),
    ];
    rows.into_iter()
        .map(|(name, head, body, means)| vector(name, format!("{head}{body}"), head.len(), means, None))
        .collect()
}

/// Heads that are read, and ask for nothing that can be served: the connection stays usable.
fn unserved() -> Vec<RequestVector> {
    let rows = [
        (
            "no-id",
            "POST / HTTP/1.1\r\n\r\n",
            400,
            "No id found in header X-Enproxy-Id",
        ),
        (
            "no-destination",
            "POST / HTTP/1.1\r\nX-Enproxy-Id: a\r\nX-Enproxy-Op: read\r\n\r\n",
            400,
            "No address found in header X-Enproxy-Dest-Addr",
        ),
        (
            "no-operation",
            "POST / HTTP/1.1\r\nX-Enproxy-Id: a\r\nX-Enproxy-Dest-Addr: b:1\r\n\r\n",
            500,
            "Operation not supported: ",
        ),
        (
            "unknown-operation",
            "POST /a/b:1/delete/ HTTP/1.1\r\n\r\n",
            500,
            "Operation not supported: delete",
        ),
        (
            "path-of-two",
            "GET /a/b:1/ HTTP/1.1\r\n\r\n",
            400,
            "Unexpected request path: /a/b:1/",
        ),
        (
            "path-of-a-page",
            "GET /index.html HTTP/1.1\r\n\r\n",
            400,
            "Unexpected request path: /index.html",
        ),
        (
            "path-with-a-line-end",
            "POST /a%0d%0ax:/b:1/read/ HTTP/1.1\r\n\r\n",
            400,
            "Unexpected request path: /a%0d%0ax:/b:1/read/",
        ),
        (
            "path-with-a-broken-escape",
            "POST /a%zz/b:1/read/ HTTP/1.1\r\n\r\n",
            400,
            "Unexpected request path: /a%zz/b:1/read/",
        ),
        (
            "id-with-a-space",
            "POST /a%20b/b:1/read/ HTTP/1.1\r\n\r\n",
            400,
            "Unreadable the tunnel id",
        ),
    ];
    rows.into_iter()
        .map(|(name, head, status, text)| {
            let means = Means::Unserved {
                status,
                text: text.to_owned(),
                body: Ends::Length(0),
            };
            vector(&format!("unserved-{name}"), head.to_owned(), head.len(), means, None)
        })
        .collect()
}

fn connects() -> Vec<RequestVector> {
    let connect = |destination: &str, tokens: &[&str], device: Option<&str>| Means::Connect {
        destination: destination.to_owned(),
        tokens: tokens.iter().map(|token| (*token).to_owned()).collect(),
        device_id: device.map(str::to_owned),
    };
    let head = |destination: &str, rest: &str| {
        format!("CONNECT {destination} HTTP/1.1\r\nHost: {destination}\r\n{AGENT}{rest}\r\n")
    };
    let token = "X-Lantern-Auth-Token: sekrit\r\n";
    let device = "X-Lantern-Device-Id: 0123-4567-89\r\n";
    let ours = || {
        Some(Writing {
            form: "connect".to_owned(),
            host: None,
        })
    };
    let rows = [
        (
            "connect",
            head(DESTINATION, ""),
            connect(DESTINATION, &[], None),
            ours(),
        ),
        (
            "connect-with-a-token",
            head(DESTINATION, &format!("{token}{device}")),
            connect(DESTINATION, &["sekrit"], Some("0123-4567-89")),
            ours(),
        ),
        (
            "connect-with-two-tokens",
            head(DESTINATION, &format!("X-Lantern-Auth-Token: other\r\n{token}")),
            connect(DESTINATION, &["other", "sekrit"], None),
            ours(),
        ),
        (
            "connect-to-ipv6",
            head("[2001:db8::1]:443", device),
            connect("[2001:db8::1]:443", &[], Some("0123-4567-89")),
            ours(),
        ),
        (
            "connect-with-another-host",
            format!("CONNECT {DESTINATION} HTTP/1.1\r\nHost: elsewhere:1\r\nX-LANTERN-AUTH-TOKEN: sekrit\r\n\r\n"),
            connect(DESTINATION, &["sekrit"], None),
            None,
        ),
    ];
    rows.into_iter()
        .map(|(name, head, means, written)| vector(name, head.clone(), head.len(), means, written))
        .collect()
}

/// Heads that break the connection off.
fn refused() -> Vec<RequestVector> {
    let with = |fields: &str| format!("POST / HTTP/1.1\r\n{fields}\r\n");
    let connect = |target: &str| format!("CONNECT {target} HTTP/1.1\r\n\r\n");
    let rows = [
        ("tls-hello", "\u{16}\u{3}\u{1}".to_owned(), "syntax"),
        ("http-2", "PRI * HTTP/2.0\r\n\r\n".to_owned(), "syntax"),
        ("field-without-a-name", with(": x\r\n"), "syntax"),
        ("field-with-a-control-character", with("a: \u{1}\r\n"), "syntax"),
        ("length-with-a-sign", with("Content-Length: +3\r\n"), "content-length"),
        ("length-in-a-list", with("Content-Length: 3, 3\r\n"), "content-length"),
        ("length-empty", with("Content-Length: \r\n"), "content-length"),
        (
            "length-beyond-64-bits",
            with("Content-Length: 18446744073709551616\r\n"),
            "content-length",
        ),
        (
            "two-lengths",
            with("Content-Length: 3\r\nContent-Length: 4\r\n"),
            "conflicting-lengths",
        ),
        (
            "length-and-chunks",
            with("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"),
            "length-and-chunked",
        ),
        (
            "another-coding",
            with("Transfer-Encoding: gzip, chunked\r\n"),
            "transfer-encoding",
        ),
        (
            "coding-twice",
            with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
            "transfer-encoding",
        ),
        (
            "chunks-in-http10",
            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
            "chunked-in-http10",
        ),
        ("65-fields", with(&"a: b\r\n".repeat(65)), "too-many-headers"),
        (
            "head-of-17-kib",
            with(&format!("a: {}\r\n", "b".repeat(17 << 10))),
            "too-long",
        ),
        ("connect-without-a-port", connect("origin.example"), "target"),
        ("connect-to-port-0", connect("origin.example:0"), "target"),
        ("connect-to-port-65536", connect("origin.example:65536"), "target"),
        ("connect-to-a-url", connect("http://origin.example:80"), "target"),
        ("connect-to-bare-ipv6", connect("2001:db8::1:80"), "target"),
        ("connect-without-a-host", connect(":80"), "target"),
        (
            "connect-with-a-long-token",
            format!(
                "CONNECT a:1 HTTP/1.1\r\nX-Lantern-Auth-Token: {}\r\n\r\n",
                "t".repeat(513)
            ),
            "unreadable",
        ),
    ];
    rows.into_iter()
        .map(|(name, bytes, error)| RequestVector {
            name: format!("refused-{name}"),
            bytes,
            head: 0,
            means: None,
            error: error.to_owned(),
            written: None,
        })
        .collect()
}
