//! Clients of every generation, as they write: enproxy since 2014-08, and what else real programs and people have been seen to send.

use proto::tunnel::{Framing, Version, encode_chunk, encode_last_chunk, enproxy::Op};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Duration, Instant},
};

use super::memory::Rig;

/// How a generation of clients writes.
#[derive(Clone, Copy, Debug)]
struct Generation {
    name: &'static str,
    agent: &'static str,
    /// The path form; the headers otherwise.
    path: bool,
    /// Chunked bodies; with a length otherwise.
    chunked: bool,
    /// Dials its second connection together with the first, not after the first response.
    both_at_once: bool,
}

const GENERATIONS: [Generation; 7] = [
    generation("2014-08", "Go 1.1 package http", false, false, true),
    generation("2014-12", "Go 1.1 package http", false, true, false),
    generation("2014-12, buffered", "Go 1.1 package http", false, false, false),
    generation("2015-02, peerscanner", "Go 1.1 package http", false, true, false),
    generation("HEAD", "Go-http-client/1.1", true, true, false),
    generation("HEAD, buffered", "Go-http-client/1.1", true, false, false),
    generation(
        "2014-08, built with a newer Go",
        "Go-http-client/1.1",
        false,
        false,
        true,
    ),
];

const fn generation(
    name: &'static str,
    agent: &'static str,
    path: bool,
    chunked: bool,
    both_at_once: bool,
) -> Generation {
    Generation {
        name,
        agent,
        path,
        chunked,
        both_at_once,
    }
}

impl Generation {
    /// A request as it writes one. A body that is streamed comes in two chunks.
    fn request(self, host: &str, id: &str, op: &str, body: &[u8]) -> Vec<u8> {
        let target = if self.path {
            format!("/{id}/{DESTINATION}/{op}/")
        } else {
            "/".to_owned()
        };
        let streamed = self.chunked && op == "write";
        let mut out = format!(
            "POST {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {}\r\n",
            self.agent
        );
        out += &if streamed {
            "Transfer-Encoding: chunked\r\n".to_owned()
        } else {
            format!("Content-Length: {}\r\n", body.len())
        };
        out += "Content-Type: application/octet-stream\r\n";
        if !self.path {
            out += &format!("X-Enproxy-Dest-Addr: {DESTINATION}\r\nX-Enproxy-Id: {id}\r\nX-Enproxy-Op: {op}\r\n");
        }
        let mut out = (out + "\r\n").into_bytes();
        if streamed {
            body.chunks(body.len().div_ceil(2).max(1))
                .for_each(|part| encode_chunk(&mut out, part));
            encode_last_chunk(&mut out);
        } else {
            out.extend_from_slice(body);
        }
        out
    }
}

#[tokio::test(start_paused = true)]
async fn every_generation_is_served_on_its_two_connections() {
    for generation in GENERATIONS {
        let mut rig = Rig::new(|config| config.proxy_host = Some("peer-x.example".into()));
        let name = generation.name;
        let (mut first, mut early) = (rig.client(), generation.both_at_once.then(|| rig.client()));
        first
            .send(generation.request("front.example", ID, "write", b"question"))
            .await;
        let mut far = rig.dialed.recv().await.unwrap();
        let mut heard = [0; 8];
        far.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"question", "{name}");
        far.write_all(b"answer").await.unwrap();
        let answer = first.answer().await.unwrap();
        assert_eq!(
            (answer.head.status, answer.text().as_str(), answer.head.eof),
            (200, "answer", false),
            "{name}"
        );
        assert_eq!(
            (answer.head.id.as_deref(), answer.head.proxy_host.as_deref()),
            (Some(ID), Some("peer-x.example")),
            "{name}"
        );

        // From now on it names the host that it was told, and writes on the second connection while the first reads.
        let mut second = early.take().unwrap_or_else(|| rig.client());
        first.send(generation.request("peer-x.example", ID, "read", b"")).await;
        for text in [&b"first later write"[..], b"2nd"] {
            second
                .send(generation.request("peer-x.example", ID, "write", text))
                .await;
            let written = second.answer().await.unwrap();
            assert_eq!(
                (written.head.status, written.head.body, written.head.id),
                (200, Framing::Length(0), None),
                "{name}"
            );
            assert_eq!(written.head.proxy_host.as_deref(), Some("peer-x.example"), "{name}");
            let mut heard = vec![0; text.len()];
            far.read_exact(&mut heard).await.unwrap();
            assert_eq!(heard, text, "{name}");
        }
        far.write_all(b"rest").await.unwrap();
        drop(far);
        for (text, eof) in [("rest", false), ("", true), ("", true)] {
            let read = first.answer().await.unwrap();
            assert_eq!(
                (read.head.status, read.text().as_str(), read.head.eof),
                (200, text, eof),
                "{name}"
            );
            assert_eq!(
                (read.head.id.as_deref(), read.head.proxy_host),
                (Some(ID), None),
                "{name}"
            );
            first.send(generation.request("peer-x.example", ID, "read", b"")).await;
        }
        assert_eq!(rig.asked(), [DESTINATION], "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_may_be_opened_long_before_it_is_used() {
    // That of 2014-08 opens both at Connect, and writes when its browser does.
    let mut rig = Rig::new(|_| {});
    let (mut first, mut second) = (rig.client(), rig.client());
    tokio::time::sleep(Duration::from_secs(60)).await;
    let mut far = rig.tunnel(&mut first, ID).await;
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert_eq!(second.call(ID, DESTINATION, Op::Write, b"later").await.head.id, None);
    let mut heard = [0; 5];
    far.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"later");
}

/// The request line and fields, and which id and destination are in them.
const FORMS: [(&str, &str, &str); 12] = [
    ("POST /abc/a:1/write/ HTTP/1.1\r\nHost: p\r\n", "abc", "a:1"),
    (
        "POST /prefix/abc/a:1/write/ HTTP/1.1\r\nHost: p\r\n",
        "prefix/abc",
        "a:1",
    ),
    ("POST /abc%2Fx/a:1/write/ HTTP/1.1\r\nHost: p\r\n", "abc/x", "a:1"),
    (
        "POST /abc/a:1/write/?q=/x/b:2/read/ HTTP/1.1\r\nHost: p\r\n",
        "abc",
        "a:1",
    ),
    (
        "POST http://front.example/abc/a:1/write/ HTTP/1.1\r\nHost: p\r\n",
        "abc",
        "a:1",
    ),
    (
        "POST https://front.example:8443/abc/a%3A1/write/ HTTP/1.1\r\nHost: p\r\n",
        "abc",
        "a:1",
    ),
    (
        "POST /abc/[2001:db8::1]:443/write/ HTTP/1.1\r\nHost: p\r\n",
        "abc",
        "[2001:db8::1]:443",
    ),
    (
        "POST /abc/%5B2001:db8::1%5d:443/write/ HTTP/1.1\r\nHost: p\r\n",
        "abc",
        "[2001:db8::1]:443",
    ),
    // Both at once: beyond five bytes the path counts and the fields do not, up to five it is the other way round.
    (
        "POST /abc/a:1/write/ HTTP/1.1\r\nHost: p\r\nX-Enproxy-Id: other\r\nX-Enproxy-Dest-Addr: b:2\r\nX-Enproxy-Op: read\r\n",
        "abc",
        "a:1",
    ),
    (
        "POST /a/b/ HTTP/1.1\r\nHost: p\r\nx-enproxy-id: abc\r\nX-ENPROXY-DEST-ADDR: a:1\r\nX-Enproxy-Op: write\r\n",
        "abc",
        "a:1",
    ),
    (
        "POST http://front.example HTTP/1.1\r\nHost: p\r\nX-Enproxy-Id: abc\r\nX-Enproxy-Dest-Addr: a:1\r\nX-Enproxy-Op: write\r\n",
        "abc",
        "a:1",
    ),
    // No version of the client does so, and every server takes it.
    (
        "PATCH /abc/a:1/write/ HTTP/1.1\r\nHost: p\r\nConnection: keep-alive\r\n",
        "abc",
        "a:1",
    ),
];

#[tokio::test(start_paused = true)]
async fn every_form_leads_to_its_tunnel() {
    for (head, id, destination) in FORMS {
        // An empty first write in all its framings: each dials, and is answered after the gap.
        for body in [
            "Content-Length: 0\r\n\r\n",
            "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "\r\n",
        ] {
            let mut rig = Rig::new(|_| {});
            let mut client = rig.client();
            let start = Instant::now();
            client.send(format!("{head}{body}")).await;
            let answer = client.answer().await.unwrap();
            assert_eq!(
                (answer.head.status, answer.head.id.as_deref(), answer.head.body),
                (200, Some(id), Framing::Length(0)),
                "{head}"
            );
            assert_eq!(
                (rig.asked().as_slice(), start.elapsed().as_millis()),
                (&[destination.to_owned()][..], 35),
                "{head}"
            );
            // It is the tunnel of this id, in whichever form.
            let mut far = rig.dialed.recv().await.unwrap();
            far.write_all(b"banner").await.unwrap();
            assert_eq!(client.call(id, "any:1", Op::Read, b"").await.text(), "banner", "{head}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_read_may_be_the_first_request_and_may_be_a_get() {
    for head in [
        "GET / HTTP/1.1\r\nHost: p\r\nX-Enproxy-Id: abc\r\nX-Enproxy-Dest-Addr: a:1\r\nX-Enproxy-Op: read\r\n\r\n",
        "GET /abc/a:1/read/ HTTP/1.1\r\nHost: p\r\n\r\n",
        "POST /abc/a:1/read/ HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        // The body of a read is for nobody.
        "POST /abc/a:1/read/ HTTP/1.1\r\nHost: p\r\nContent-Length: 5\r\n\r\nextra",
        "POST /abc/a:1/read/ HTTP/1.1\r\nHost: p\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nextra",
    ] {
        let mut rig = Rig::new(|config| config.proxy_host = Some("peer-x.example".into()));
        let mut client = rig.client();
        client.send(head).await;
        let mut far = rig.dialed.recv().await.unwrap();
        // Later than a first write would wait.
        tokio::time::sleep(Duration::from_secs(5)).await;
        far.write_all(b"banner").await.unwrap();
        let read = client.answer().await.unwrap();
        assert_eq!(
            (read.text().as_str(), read.head.id.as_deref(), read.head.proxy_host),
            ("banner", Some("abc"), None),
            "{head}"
        );
        let written = client.call("abc", "a:1", Op::Write, b"x").await;
        assert_eq!(
            (written.head.id, written.head.proxy_host.as_deref()),
            (None, Some("peer-x.example")),
            "{head}"
        );
        assert_eq!(far.read_u8().await.unwrap(), b'x', "{head}");
    }
}

#[tokio::test(start_paused = true)]
async fn old_clients_read_until_the_close_and_careful_ones_wait_to_be_asked() {
    let mut rig = Rig::new(|_| {});
    let mut old = rig.client();
    old.send("POST /old/a:1/write/ HTTP/1.0\r\nContent-Length: 1\r\n\r\nx")
        .await;
    let mut far = rig.dialed.recv().await.unwrap();
    far.write_all(b"as long as it lasts").await.unwrap();
    let answer = old.answer().await.unwrap();
    assert_eq!(
        (answer.head.version, answer.head.body, answer.text().as_str()),
        (Version::Http10, Framing::UntilClose, "as long as it lasts")
    );

    let mut careful = rig.client();
    careful
        .send("POST /new/a:1/write/ HTTP/1.1\r\nHost: p\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    let mut far = rig.dialed.recv().await.unwrap();
    // The body is asked for when there is someone to send it to.
    while careful.input != b"HTTP/1.1 100 Continue\r\n\r\n" {
        assert_ne!(careful.more().await, 0);
    }
    careful.send("1\r\nx\r\n0\r\n\r\n").await;
    assert_eq!(far.read_u8().await.unwrap(), b'x');
    assert_eq!(careful.answer().await.unwrap().head.status, 200);
    // It is not asked for when there is nobody.
    careful
        .send("POST /gone/nobody:1/write/ HTTP/1.1\r\nHost: p\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n")
        .await;
    let refused = careful.answer().await.unwrap();
    assert_eq!((refused.head.status, refused.head.keep_alive), (500, false));
    assert!(careful.rest().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn errors_tell_of_no_tunnel() {
    let mut rig = Rig::new(|config| config.proxy_host = Some("peer-x.example".into()));
    let mut client = rig.client();
    for request in [
        "POST /id/nobody:1/write/ HTTP/1.1\r\nHost: p\r\nContent-Length: 1\r\n\r\nx",
        "POST /id/nobody:1/read/ HTTP/1.1\r\nHost: p\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: p\r\nX-Enproxy-Id: x\r\n\r\n",
    ] {
        client.send(request).await;
        let failed = client.answer().await.unwrap();
        assert!(failed.head.status >= 400 && failed.head.keep_alive, "{request}");
        assert_eq!(
            (failed.head.id, failed.head.proxy_host, failed.head.eof),
            (None, None, false),
            "{request}"
        );
    }
    // The connection can be used, for a tunnel by CONNECT as well.
    client.send("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\nup").await;
    let mut far = rig.dialed.recv().await.unwrap();
    let mut heard = [0; 2];
    far.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"up");
    far.write_all(b"down").await.unwrap();
    drop(far);
    assert_eq!(client.rest().await, b"HTTP/1.1 200 OK\r\n\r\ndown");
}

const DESTINATION: &str = "127.0.0.1:19080";
const ID: &str = "af8ad7c0-d6ba-4484-b588-43a0ddc8f49f";
