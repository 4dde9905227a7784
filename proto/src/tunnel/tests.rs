//! The codecs against heads of the real programs, against each other, and at every split point.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::time::Duration;

use proptest::prelude::*;

use super::body::{MAX_CHUNK_LINE, MAX_TRAILERS};
use super::enproxy::{self, Call, Form, Op, Purpose, Refusal, Response, Visit};
use super::*;

mod chained;

/// The head of a small streamed write, path form, by the newest Go client.
const PATH_WRITE: &[u8] =
    b"POST /9815adb2-fc8a-4353-ae6d-d7c72a3bffae/127.0.0.1:19080/write/ HTTP/1.1\r\nHost: 127.0.0.1:19501\r\n\
    User-Agent: Go-http-client/1.1\r\nTransfer-Encoding: chunked\r\nContent-Type: application/octet-stream\r\n\r\n";
/// The head of a write by the Go client of 2014-08.
const HEADER_WRITE: &[u8] =
    b"POST / HTTP/1.1\r\nHost: 127.0.0.1:19504\r\nUser-Agent: Go-http-client/1.1\r\nContent-Length: 115\r\n\
    Content-Type: application/octet-stream\r\nX-Enproxy-Dest-Addr: 127.0.0.1:19080\r\n\
    X-Enproxy-Id: 3d005919-b8f3-4116-a6e3-176a64991480\r\nX-Enproxy-Op: write\r\n\r\n";

fn request(bytes: &[u8]) -> enproxy::Request {
    match decode_request(bytes).unwrap().unwrap() {
        (Request::Enproxy(request), length) => {
            assert_eq!(length, bytes.len());
            request
        }
        (Request::Connect(_), _) => panic!("not enproxy"),
    }
}

fn purpose(line: &str) -> Purpose {
    request(format!("{line} HTTP/1.1\r\nHost: p\r\n\r\n").as_bytes()).purpose
}

fn call(id: &str, destination: &str, op: Op) -> Call {
    Call {
        id: id.into(),
        destination: destination.into(),
        op,
    }
}

/// Feeds a body in the given pieces; what was decoded, and what was left over.
fn feed<'a>(framing: Framing, pieces: impl Iterator<Item = &'a [u8]>) -> Result<(Vec<u8>, Vec<u8>, bool), BodyError> {
    let mut reader = BodyReader::new(framing);
    let (mut body, mut rest) = (Vec::new(), Vec::new());
    for mut input in pieces {
        while !reader.is_done() && !input.is_empty() {
            let piece = reader.read(input)?;
            assert!(piece.consumed > 0, "no progress");
            body.extend_from_slice(piece.data);
            input = &input[piece.consumed..];
        }
        rest.extend_from_slice(input);
    }
    Ok((body, rest, reader.is_done()))
}

#[test]
fn both_forms_of_the_real_clients() {
    let streamed = request(PATH_WRITE);
    assert_eq!(
        streamed.purpose,
        Purpose::Call(call(
            "9815adb2-fc8a-4353-ae6d-d7c72a3bffae",
            "127.0.0.1:19080",
            Op::Write
        ))
    );
    assert_eq!((streamed.body, streamed.keep_alive), (Framing::Chunked, true));
    let buffered = request(HEADER_WRITE);
    assert_eq!(
        buffered.purpose,
        Purpose::Call(call(
            "3d005919-b8f3-4116-a6e3-176a64991480",
            "127.0.0.1:19080",
            Op::Write
        ))
    );
    assert_eq!(buffered.body, Framing::Length(115));
}

#[test]
fn paths_split_like_the_go_expression() {
    let served = |line: &str, id: &str| {
        assert_eq!(
            purpose(line),
            Purpose::Call(call(id, "127.0.0.1:80", Op::Write)),
            "{line}"
        )
    };
    served("POST /prefix/x/127.0.0.1:80/write/", "prefix/x");
    served("POST /3cfc75a3%2Fx/127.0.0.1:80/write/", "3cfc75a3/x");
    served("POST /abc/127.0.0.1:80/write/?q=1/2/3/", "abc");
    served("POST http://front.example/abc/127.0.0.1:80/write/", "abc");
    served("POST /abc/127.0.0.1:80/write/ignored", "abc");
    let v6 = Purpose::Call(call("abc", "[::1]:80", Op::Read));
    assert_eq!(purpose("GET /abc/[::1]:80/read/"), v6);
    assert_eq!(purpose("POST /abc/%5b::1%5D:80/read/"), v6);
}

#[test]
fn refusals_name_what_is_wrong() {
    let refused = |line: &str, text: &str, status: u16| match purpose(line) {
        Purpose::Refused(refusal) => assert_eq!(
            (refusal.to_string().as_str(), refusal.status()),
            (text, status),
            "{line}"
        ),
        other => panic!("{line}: {other:?}"),
    };
    refused("POST /", "No id found in header X-Enproxy-Id", 400);
    refused("POST /abcd", "No id found in header X-Enproxy-Id", 400);
    refused("GET /favicon.ico", "Unexpected request path: /favicon.ico", 400);
    refused("POST /a/b/write", "Unexpected request path: /a/b/write", 400);
    refused("POST /abc/d/", "Unexpected request path: /abc/d/", 400);
    refused(
        "POST /abc//write/",
        "No address found in header X-Enproxy-Dest-Addr",
        400,
    );
    refused("POST /a/b:1/delete/", "Operation not supported: delete", 500);
    refused(
        "POST /a%0d%0aSet-Cookie:x/b:1/read/",
        "Unexpected request path: /a%0d%0aSet-Cookie:x/b:1/read/",
        400,
    );
    refused("POST /a%zz/b:1/read/", "Unexpected request path: /a%zz/b:1/read/", 400);
    refused("POST /a%20b/b:1/read/", "Unreadable the tunnel id", 400);
    refused(
        &format!("POST /{}/b:1/read/", "a".repeat(MAX_ID + 1)),
        "Unreadable the tunnel id",
        400,
    );
    let no_address = request(b"POST / HTTP/1.1\r\nx-enproxy-id: abc\r\n\r\n").purpose;
    assert_eq!(no_address, Purpose::Refused(Refusal::NoDestination));
    let path_wins =
        b"POST /abc/d/ HTTP/1.1\r\nX-Enproxy-Id: a\r\nX-Enproxy-Dest-Addr: b:1\r\nX-Enproxy-Op: write\r\n\r\n";
    assert_eq!(
        request(path_wins).purpose,
        Purpose::Refused(Refusal::Path("/abc/d/".into()))
    );
}

#[test]
fn health_old_versions_and_expectations() {
    assert_eq!(purpose("HEAD /anything/at/all"), Purpose::Health);
    let old = request(b"POST /a/b:1/write/ HTTP/1.0\r\nContent-Length: 7\r\nConnection: keep-alive\r\n\r\n");
    assert_eq!(
        (old.version, old.keep_alive, old.body),
        (Version::Http10, false, Framing::Length(7))
    );
    let expecting = request(b"POST /a/b:1/write/ HTTP/1.1\r\nExpect: 100-Continue\r\nConnection: x, close\r\n\r\n");
    assert_eq!(
        (expecting.expect_continue, expecting.keep_alive, expecting.body),
        (true, false, Framing::Length(0))
    );
}

#[test]
fn what_a_request_is_to_an_ordinary_web_server() {
    let visit = |line: &str| request(format!("{line} HTTP/1.1\r\nHost: p\r\n\r\n").as_bytes()).visit;
    for page in [
        "GET /",
        "POST /a/b:1/write/",
        "HEAD /?q=%zz#..",
        "GET http://p/",
        "GET http://p",
        "GET /%2f%ff%0a",
        "FO-O //a/..//./",
        "OPTIONS /a/%2e%2E",
    ] {
        assert_eq!(visit(page), Visit::Page, "{page}");
    }
    for bad in [
        "get /",
        "F1O /",
        "GET abc",
        "OPTIONS *",
        "GET ://p/",
        "GET http://",
        "GET /%zz",
        "GET /%",
        "GET /%00",
        "TRACE /..",
        "GET /a/../..",
        "GET /%2e%2e%2f",
        "GET /a%2f..%2f../",
    ] {
        assert_eq!(visit(bad), Visit::Bad, "{bad}");
    }
    assert_eq!(visit("TRACE /abc"), Visit::NotAllowed);
}

#[test]
fn the_host_that_a_request_is_for() {
    let host = |version: &str, fields: &str| {
        let request = request(format!("GET / HTTP/{version}\r\n{fields}\r\n").as_bytes());
        (request.is_addressed(), request.host)
    };
    let named = |host: &str| (true, Host::Named(host.to_owned()));
    assert_eq!(host("1.1", "hOST:  peer.example:443 \r\n"), named("peer.example:443"));
    assert_eq!(host("1.0", "Host: [2001:db8::7]\r\n"), named("[2001:db8::7]"));
    assert_eq!(host("1.1", ""), (false, Host::Absent));
    assert_eq!(host("1.0", ""), (true, Host::Absent));
    let longest = "a".repeat(MAX_DESTINATION);
    assert_eq!(host("1.1", &format!("Host: {longest}\r\n")), named(&longest));
    for fields in [
        "Host:\r\n",
        "Host: a\r\nHost: a\r\n",
        "Host: a b\r\n",
        "Host: a/b\r\n",
        "Host: \u{e4}\r\n",
        &format!("Host: a{longest}\r\n"),
    ] {
        for version in ["1.0", "1.1"] {
            assert_eq!(host(version, fields), (false, Host::Unusable), "{fields}");
        }
    }
}

#[test]
fn heads_that_end_a_connection() {
    let error = |head: &str| decode_request(head.as_bytes()).unwrap_err();
    let with = |fields: &str| error(&format!("POST / HTTP/1.1\r\n{fields}\r\n"));
    assert_eq!(
        with("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
        HeadError::LengthAndChunked
    );
    assert_eq!(
        with("Content-Length: 5\r\nContent-Length: 6\r\n"),
        HeadError::ConflictingLengths
    );
    assert_eq!(with("Content-Length: +5\r\n"), HeadError::ContentLength);
    assert_eq!(
        with("Content-Length: 99999999999999999999\r\n"),
        HeadError::ContentLength
    );
    assert_eq!(
        with("Transfer-Encoding: gzip, chunked\r\n"),
        HeadError::TransferEncoding
    );
    assert_eq!(
        with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        HeadError::TransferEncoding
    );
    assert_eq!(with(&"a: b\r\n".repeat(MAX_HEADERS + 1)), HeadError::TooManyHeaders);
    assert_eq!(
        error("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
        HeadError::ChunkedInHttp10
    );
    assert_eq!(error("\u{16}\u{3}\u{1}"), HeadError::Syntax("first line"));
    assert_eq!(
        error(&format!("POST / HTTP/1.1\r\na: {}", "b".repeat(MAX_HEAD))),
        HeadError::TooLong
    );
    assert_eq!(
        error(&format!("POST / HTTP/1.1\r\na: {}\r\n\r\n", "b".repeat(MAX_HEAD))),
        HeadError::TooLong
    );
    for target in [
        "example.org",
        "example.org:",
        "example.org:0",
        "example.org:65536",
        ":80",
        "::1:80",
        "http://a:80",
        "[]:80",
    ] {
        assert_eq!(
            error(&format!("CONNECT {target} HTTP/1.1\r\n\r\n")),
            HeadError::Target,
            "{target}"
        );
    }
}

#[test]
fn responses_of_the_real_servers() {
    let first = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nLantern-Country: \r\nLantern-Ip: \r\n\
        X-Enproxy-Id: 9815adb2-fc8a-4353-ae6d-d7c72a3bffae\r\nX-Enproxy-Proxy-Host: fl-test.example.org\r\n\
        Date: Sun, 22 Nov 2026 19:16:59 GMT\r\nContent-Length: 172\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nHTTP/1.1 200 OK\r\n";
    let (head, length) = enproxy::decode_response(first).unwrap().unwrap();
    assert_eq!(&first[length..], b"HTTP/1.1 200 OK\r\n");
    assert_eq!(head.id.as_deref(), Some("9815adb2-fc8a-4353-ae6d-d7c72a3bffae"));
    assert_eq!(head.proxy_host.as_deref(), Some("fl-test.example.org"));
    assert_eq!(
        (head.status, head.eof, head.body, head.keep_alive),
        (200, false, Framing::Length(172), true)
    );
    let eof = |value: &str| {
        let head =
            format!("HTTP/1.1 200 OK\r\nX-Enproxy-Eof: {value}\r\nX-Enproxy-Proxy-Host: \r\nContent-Length: 0\r\n\r\n");
        enproxy::decode_response(head.as_bytes()).unwrap().unwrap().0
    };
    assert!(eof("true").eof && !eof("True").eof && !eof("1").eof);
    assert_eq!(eof("true").proxy_host, None);
    let bare = enproxy::decode_response(b"HTTP/1.0 200 OK\r\n\r\n").unwrap().unwrap().0;
    assert_eq!((bare.body, bare.keep_alive), (Framing::UntilClose, false));
    assert_eq!(
        enproxy::decode_response(b"HTTP/1.1 101 Switching\r\n\r\n"),
        Err(HeadError::SwitchingProtocols)
    );
    let endless = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(MAX_HEAD / 25 + 1);
    assert_eq!(enproxy::decode_response(&endless), Err(HeadError::TooLong));
}

#[test]
fn error_texts_are_bounded_and_clean() {
    let mut body = ErrorBody::new(Framing::UntilClose);
    assert!(!body.push(b"port not allowed\x00\x01\xff\x02\r\n"));
    assert_eq!(body.text(), "port not allowed  \u{fffd}");
    let mut turned = ErrorBody::new(Framing::UntilClose);
    turned.push("port \u{202e}344\u{200b} not allowed".as_bytes());
    assert_eq!(turned.text(), "port  344  not allowed");
    assert!(body.push(&[b'x'; 4 * MAX_ERROR_TEXT]));
    assert!(body.text().len() <= MAX_ERROR_TEXT + 8);
    let mut broken = ErrorBody::new(Framing::Chunked);
    assert!(broken.push(b"3\r\nabc\r\nzz"));
    assert_eq!(broken.text(), "abc");
}

#[test]
fn broken_chunks() {
    let error = |body: &[u8]| feed(Framing::Chunked, [body].into_iter()).unwrap_err();
    assert_eq!(error(b"xyz"), BodyError::ChunkSize);
    assert_eq!(error(b"\r\n"), BodyError::ChunkSize);
    assert_eq!(error(b"-1\r\n"), BodyError::ChunkSize);
    assert_eq!(error(b"0x3\r\n"), BodyError::ChunkSize);
    assert_eq!(error(b"3\nabc"), BodyError::ChunkEnd);
    assert_eq!(error(b"3\r\nabcd\r\n"), BodyError::ChunkEnd);
    assert_eq!(error(b"3;e\n"), BodyError::ChunkEnd);
    assert_eq!(error(b"0\r\nA: b\n"), BodyError::ChunkEnd);
    assert_eq!(error(b"10000000000000000\r\n"), BodyError::ChunkTooLarge);
    assert_eq!(error(&[b'0'; MAX_CHUNK_LINE + 1]), BodyError::ChunkLineTooLong);
    assert_eq!(
        error(&[b"1;".as_slice(), &[b'e'; MAX_CHUNK_LINE]].concat()),
        BodyError::ChunkLineTooLong
    );
    assert_eq!(
        error(&[b"0\r\n".as_slice(), &b"a: b\r\n".repeat(MAX_TRAILERS)].concat()),
        BodyError::TrailersTooLong
    );
    assert_eq!(
        feed(
            Framing::Chunked,
            [&b"3 \r\nabc\r\n0;x=y\r\nT: 1\r\n\r\n+"[..]].into_iter()
        ),
        Ok((b"abc".into(), b"+".into(), true))
    );
    for framing in [Framing::Length(3), Framing::Chunked] {
        assert_eq!(BodyReader::new(framing).close(), Err(BodyError::Truncated));
    }
    assert_eq!(BodyReader::new(Framing::UntilClose).close(), Ok(()));
    assert!(BodyReader::new(Framing::Length(0)).is_done());
}

/// Cuts `bytes` at the given places.
fn cut(bytes: &[u8], mut at: Vec<usize>) -> Vec<&[u8]> {
    at.iter_mut().for_each(|place| *place %= bytes.len() + 1);
    at.extend([0, bytes.len()]);
    at.sort_unstable();
    at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

proptest! {
    #[test]
    fn any_body_survives_any_split(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..6),
        places in prop::collection::vec(any::<usize>(), 0..8),
    ) {
        let (body, mut chunked) = (chunks.concat(), Vec::new());
        chunks.iter().for_each(|chunk| encode_chunk(&mut chunked, chunk));
        encode_last_chunk(&mut chunked);
        for (framing, mut stream) in [(Framing::Chunked, chunked), (Framing::Length(body.len() as u64), body.clone())] {
            stream.extend_from_slice(b"next");
            prop_assert_eq!(feed(framing, cut(&stream, places.clone()).into_iter()), Ok((body.clone(), b"next".to_vec(), true)));
            prop_assert_eq!(feed(framing, stream.chunks(1)), Ok((body.clone(), b"next".to_vec(), true)));
        }
        prop_assert_eq!(feed(Framing::UntilClose, cut(&body, places).into_iter()), Ok((body.clone(), vec![], false)));
    }

    #[test]
    fn calls_come_back(
        id in "[!-~]{1,60}", destination in "[!-.0-~]{1,60}", write in any::<bool>(), path in any::<bool>(),
        host in prop::option::of("[!-~]{1,30}"), body in prop::collection::vec(any::<u8>(), 0..50),
    ) {
        let sent = Call { id, destination, op: if write { Op::Write } else { Op::Read } };
        let form = if path { Form::Path } else { Form::Headers };
        let mut out = Vec::new();
        sent.encode(form, host.as_deref(), &body, &mut out).unwrap();
        let (got, length) = decode_request(&out).unwrap().unwrap();
        let Request::Enproxy(got) = got else { return Err(TestCaseError::fail("not enproxy")) };
        prop_assert_eq!(got.body, Framing::Length(body.len() as u64));
        prop_assert_eq!(got.purpose, Purpose::Call(sent));
        prop_assert_eq!(&out[length..], &body);
        for short in 0..length {
            prop_assert_eq!(decode_request(&out[..short]), Ok(None));
        }
    }

    #[test]
    fn connects_come_back(
        host in "[a-z0-9.-]{1,40}", port in 1..=u16::MAX, tokens in prop::collection::vec("[!-~]{1,20}", 0..4), device_id in prop::option::of("[!-~]{1,20}"),
        limit in prop::option::of(any::<u64>()),
    ) {
        let dial_timeout = limit.map(Duration::from_millis);
        let sent = connect::Request { destination: format!("{host}:{port}"), tokens, device_id, dial_timeout };
        let mut out = Vec::new();
        sent.encode(&mut out).unwrap();
        prop_assert_eq!(decode_request(&out), Ok(Some((Request::Connect(sent), out.len()))));
    }

    #[test]
    fn responses_come_back(
        status in 200u16..600, eof in any::<bool>(), id in prop::option::of("[!-~]{1,40}"), proxy_host in prop::option::of("[!-~]{1,40}"),
        length in prop::option::of(any::<u64>()), keep_alive in any::<bool>(),
    ) {
        prop_assume!(!matches!(status, 204 | 304));
        let body = length.map_or(Framing::Chunked, Framing::Length);
        let sent = Response { status, eof, id, proxy_host, body, version: Version::Http11, keep_alive };
        let mut out = Vec::new();
        sent.encode(&mut out);
        let length = out.len();
        for short in 0..length {
            prop_assert_eq!(enproxy::decode_response(&out[..short]), Ok(None));
        }
        out.extend_from_slice(b"body");
        prop_assert_eq!(enproxy::decode_response(&out), Ok(Some((sent, length))));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), head in any::<bool>()) {
        let bytes = if head { [b"POST /a/b:1/read/ HTTP/1.1\r\n".as_slice(), &bytes].concat() } else { bytes };
        let _ = decode_request(&bytes);
        let _ = enproxy::decode_response(&bytes);
        let _ = connect::decode_reply(&bytes);
        let whole = feed(Framing::Chunked, [&bytes[..]].into_iter());
        prop_assert_eq!(whole, feed(Framing::Chunked, bytes.chunks(1)));
    }
}
