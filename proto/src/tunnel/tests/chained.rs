//! CONNECT: requests, replies, and what the server of 2014 writes into an open tunnel.

use std::time::Duration;

use super::{
    connect::{self, Preamble, Reply},
    *,
};

#[test]
fn connect_requests() {
    let real = b"CONNECT 127.0.0.1:19080 HTTP/1.1\r\nHost: elsewhere:1\r\nUser-Agent: Go-http-client/1.1\r\nX-Lantern-Auth-Token: wrong\r\n\
        X-Lantern-Auth-Token: sekrit\r\nX-Lantern-Device-Id: 1234-5678-90\r\n\r\n";
    let wanted = connect::Request {
        destination: "127.0.0.1:19080".into(),
        tokens: vec!["wrong".into(), "sekrit".into()],
        device_id: Some("1234-5678-90".into()),
        dial_timeout: None,
    };
    assert_eq!(
        decode_request(real).unwrap().unwrap(),
        (Request::Connect(wanted), real.len())
    );
    let mut out = Vec::new();
    let split = connect::Request {
        destination: "a:1".into(),
        tokens: vec!["x\r\ny: z".into()],
        ..Default::default()
    };
    assert_eq!(split.encode(&mut out), Err(EncodeError(Field::Token)));
    assert!(out.is_empty());
}

#[test]
fn dial_timeouts_are_digits_or_nothing() {
    let limit = |fields: &str| {
        let head = format!("CONNECT a:1 HTTP/1.1\r\n{fields}\r\n");
        match decode_request(head.as_bytes()).unwrap().unwrap() {
            (Request::Connect(request), _) => request.dial_timeout,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(limit(""), None);
    for (value, millis) in [("0", 0), ("250", 250), (" 7 ", 7), ("18446744073709551615", u64::MAX)] {
        let found = limit(&format!("x-lantern-dial-timeout: {value}\r\n"));
        assert_eq!(found, Some(Duration::from_millis(millis)), "{value:?}");
    }
    for malformed in [
        "",
        "-1",
        "+1",
        "1s",
        "1.5",
        "0x10",
        "1 2",
        "18446744073709551616",
        "\u{661}",
    ] {
        let found = limit(&format!("X-Lantern-Dial-Timeout: {malformed}\r\n"));
        assert_eq!(found, None, "{malformed:?}");
    }
    // The first counts, as with every field.
    let twice = "X-Lantern-Dial-Timeout: 5\r\nX-Lantern-Dial-Timeout: 6\r\n";
    assert_eq!(limit(twice), Some(Duration::from_millis(5)));
}

#[test]
fn connect_replies() {
    let refused =
        b"HTTP/1.1 502 Bad Gateway\r\nConnection: close\r\nContent-Length: 49\r\nKeep-Alive: timeout=68\r\n\r\n\
        dial tcp 127.0.0.1:1: connect: connection refused";
    match connect::decode_reply(refused).unwrap().unwrap() {
        (Reply::Refused { status, mut body }, length) => {
            assert!(body.push(&refused[length..]));
            assert_eq!(
                (status, body.text().as_str()),
                (502, "dial tcp 127.0.0.1:1: connect: connection refused")
            );
        }
        other => panic!("{other:?}"),
    }
    let open = b"HTTP/1.1 200 OK\r\nDate: Sunday, 22-Nov-26 19:18:04 UTC\r\nContent-Length: 0\r\n\r\n";
    assert!(matches!(connect::decode_reply(open), Ok(Some((Reply::Open(_), length))) if length == open.len()));
    let mut out = Vec::new();
    connect::encode_refusal(403, "port 25 is not served", &mut out);
    assert!(matches!(
        connect::decode_reply(&out),
        Ok(Some((Reply::Refused { status: 403, .. }, _)))
    ));
}

fn preamble(head: &[u8]) -> Preamble {
    match connect::decode_reply(head).unwrap().unwrap() {
        (Reply::Open(preamble), _) => preamble,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_unterminated_chunk_of_2014() {
    let chunked = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (head, stream, wanted) in [
        (
            &chunked[..],
            &b"a\r\nCONNECT OK\r\nHTTP/1.1 200 OK\r\n"[..],
            &b"HTTP/1.1 200 OK\r\n"[..],
        ),
        (chunked, b"a\r\nCONNECT OK\r\n", b""),
        (chunked, b"a\r\nCONNECT NO\r\n", b"a\r\nCONNECT NO\r\n"),
        (
            chunked,
            b"a\r\nCONNECT OK\r\na\r\nCONNECT OK\r\n",
            b"a\r\nCONNECT OK\r\n",
        ),
        (chunked, b"a\r\nCON", b"a\r\nCON"),
        (chunked, b"220 banner", b"220 banner"),
        (connect::OPEN, b"a\r\nCONNECT OK\r\n", b"a\r\nCONNECT OK\r\n"),
    ] {
        for first in 0..=stream.len() {
            for second in first..=stream.len() {
                let mut strip = preamble(head);
                let mut got = Vec::new();
                for piece in [&stream[..first], &stream[first..second], &stream[second..]] {
                    got.extend(strip.strip(piece).concat());
                }
                got.extend_from_slice(strip.finish());
                assert_eq!(got, wanted, "split at {first} and {second}");
            }
        }
    }
}
