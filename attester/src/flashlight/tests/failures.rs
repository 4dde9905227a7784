//! Each reason that a probe can end with, once at least, and what a peer can do to escape it.

use super::*;

const ALL: [Protocol; 3] = [Protocol::Enproxy, Protocol::EnproxyPath, Protocol::Connect];

fn reached(exchange: &Exchange) -> Vec<Phase> {
    exchange.watch.times().0.keys().copied().collect()
}

#[tokio::test(start_paused = true)]
async fn an_honest_peer_is_reported_as_such() {
    for protocol in ALL {
        let job = job(protocol, 5);
        let (exchange, _) = probe(&job, |peer| honest(peer, &job)).await;
        assert_eq!(exchange.failure, None, "{protocol}");
        assert_eq!(
            reached(&exchange),
            [Phase::Tls, Phase::Tunnel, Phase::FirstByte, Phase::Complete]
        );
        // Time stands still here unless somebody waits for it: the client itself costs none.
        assert_eq!(exchange.watch.times().0[&Phase::Complete], Duration::ZERO, "{protocol}");
        assert_eq!(
            (exchange.sent, exchange.sent_digest),
            (job.request.len() as u64, Digest::of(&job.request))
        );
        assert_eq!(
            (exchange.received.as_slice(), exchange.received_digest),
            (&b"hello"[..], Digest::of(b"hello"))
        );
        assert_eq!(
            exchange.proxy_host.as_deref(),
            (protocol != Protocol::Connect).then_some("p.test")
        );
        assert!(exchange.pin.is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn silence_is_named_by_the_phase_it_falls_in() {
    for protocol in ALL {
        let silent = async |script: Vec<&[u8]>, down| {
            let (exchange, _) = probe(&job(protocol, down), async |mut peer| {
                request(&mut peer).await.unwrap();
                for part in script {
                    say(&mut peer, part).await;
                }
                for_ever().await
            })
            .await;
            (reason(&exchange).unwrap(), exchange.watch.elapsed())
        };
        let open = opened(protocol);
        let first = match protocol {
            Protocol::Connect => [open.as_slice(), b"hel"].concat(),
            _ => [head_of("HTTP/1.1 200 OK", "Content-Length: 9\r\n"), b"hel".to_vec()].concat(),
        };
        for (script, expected) in [
            (vec![], Reason::TunnelTimeout),
            (vec![&open[..9]], Reason::TunnelTimeout),
            (vec![open.as_slice()], Reason::FirstByteTimeout),
            (vec![first.as_slice()], Reason::CompleteTimeout),
        ] {
            let (reason, elapsed) = silent(script, 9).await;
            assert_eq!(reason, expected, "{protocol}");
            assert!(elapsed >= Duration::from_secs(10), "{protocol} {reason} {elapsed:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn hanging_up_is_named_by_the_phase_it_falls_in() {
    for protocol in ALL {
        let connect = protocol == Protocol::Connect;
        let partial = if connect {
            b"HTTP/1.1 200 OK\r\n\r\nhel".to_vec()
        } else {
            [head_of("HTTP/1.1 200 OK", "Content-Length: 9\r\n"), b"hel".to_vec()].concat()
        };
        let empty = opened(protocol);
        for (script, expected, what) in [
            (&b""[..], Reason::TunnelClosed, "connection closed"),
            (b"HTTP/1.1 200", Reason::TunnelClosed, "connection closed"),
            (&empty, Reason::FirstByteClosed, "connection closed"),
            (
                &partial,
                Reason::Truncated,
                "3 of 9 bytes came, then the connection closed",
            ),
        ] {
            let (exchange, _) = probe(&job(protocol, 9), async |mut peer| {
                request(&mut peer).await.unwrap();
                say(&mut peer, script).await;
            })
            .await;
            assert_eq!(reason(&exchange), Some(expected), "{protocol}");
            assert!(detail(&exchange).contains(what), "{protocol}: {}", detail(&exchange));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_gives_its_status_and_text() {
    let long = "x".repeat(5000);
    for (protocol, response, expected) in [
        (
            Protocol::Enproxy,
            "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n".to_owned(),
            "it answered 502",
        ),
        (
            Protocol::EnproxyPath,
            "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 12\r\n\r\ndial refused".to_owned(),
            "it answered 500: dial refused",
        ),
        // The text never ends: what came counts.
        (
            Protocol::Enproxy,
            "HTTP/1.1 403 Forbidden\r\n\r\nno\x01".to_owned(),
            "it answered 403: no",
        ),
        (
            Protocol::Connect,
            "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 8\r\n\r\nno route".to_owned(),
            "it answered 502: no route",
        ),
        (
            Protocol::Connect,
            format!("HTTP/1.1 404 Not Found\r\n\r\n{long}"),
            &format!("it answered 404: {}", &long[..143]),
        ),
        (
            Protocol::Enproxy,
            "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n".to_owned(),
            "it answered 302",
        ),
    ] {
        let (exchange, _) = probe(&job(protocol, 9), async |mut peer| {
            request(&mut peer).await.unwrap();
            say(&mut peer, response).await;
            for_ever().await
        })
        .await;
        assert_eq!(
            (reason(&exchange), detail(&exchange)),
            (Some(Reason::TunnelRefused), expected),
            "{protocol}"
        );
    }
}

/// Servers play an ordinary web server to whoever has no token: their page says nothing, so who was told what is said.
#[tokio::test(start_paused = true)]
async fn a_refused_token_is_told_from_a_refused_tunnel() {
    let page = "HTTP/1.1 400 Bad Request\r\nContent-Length: 6\r\n\r\n<html>";
    for (protocol, expected, what) in [
        (
            Protocol::Connect,
            Reason::TunnelToken,
            "it answered 400 to a CONNECT with a token",
        ),
        // Of enproxy, which has none, it says what is wrong.
        (Protocol::Enproxy, Reason::TunnelRefused, "it answered 400: <html>"),
    ] {
        let (exchange, _) = probe(&job(protocol, 9), |peer| answering(peer, vec![page.into()])).await;
        assert_eq!((reason(&exchange), detail(&exchange)), (Some(expected), what));
    }
    let (near, mut far) = tokio::io::duplex(1 << 16);
    let (mut wire, mut account) = (Wire::new(near), Account::new(Stopwatch::start(), 1));
    let job = job(Protocol::Connect, 1);
    let client = connect::carry(&mut wire, None, ID.to_owned(), &job, &mut account);
    let (result, ()) = tokio::join!(client, say(&mut far, page));
    let finding = result.unwrap_err();
    assert_eq!(finding.reason, Reason::TunnelToken);
    assert_eq!(finding.detail(), "it answered 400 to a CONNECT with no token");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_the_protocol_is_malformed() {
    let chunked = head_of("HTTP/1.1 200 OK", "Transfer-Encoding: chunked\r\n");
    let bad_chunk = [chunked.as_slice(), b"2\r\nhiXX"].concat();
    for (protocol, script) in [
        (Protocol::Enproxy, vec![b"SSH-2.0-OpenSSH_9\r\n".to_vec()]),
        (Protocol::Connect, vec![b"SSH-2.0-OpenSSH_9\r\n".to_vec()]),
        (
            Protocol::Enproxy,
            vec![b"HTTP/1.1 101 Switching Protocols\r\n\r\n".to_vec()],
        ),
        (Protocol::Enproxy, vec![vec![b'A'; 1 << 20]]),
        (
            Protocol::Connect,
            vec![[&b"HTTP/1.1 200 OK\r\nX: "[..], &vec![b'A'; 1 << 20]].concat()],
        ),
        (Protocol::Enproxy, vec![bad_chunk.clone()]),
        (Protocol::EnproxyPath, vec![ok("", b"hi"), bad_chunk]),
        (Protocol::Enproxy, vec![ok("", b"hi"), b"HTTP/3 200\r\n\r\n".to_vec()]),
        (Protocol::Enproxy, vec![[ok("", b"hi"), ok("", b"there")].concat()]),
        (Protocol::Enproxy, vec![ok("", b"123456789"), b"junk".to_vec()]),
    ] {
        let first = String::from_utf8_lossy(&script[0][..script[0].len().min(60)]).into_owned();
        let (exchange, _) = probe(&job(protocol, 9), |peer| answering(peer, script)).await;
        assert_eq!(
            reason(&exchange),
            Some(Reason::TunnelMalformed),
            "{protocol} {first:?}: {:?}",
            exchange.failure
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_none_is_told_as_the_names_fault() {
    let long = "a".repeat(300);
    for (name, what) in [
        // It can be read, and not be sent.
        ("no host", "the host is empty, too long, or has characters"),
        ("h\u{f6}st", "X-Enproxy-Proxy-Host is unreadable"),
        (&long, "X-Enproxy-Proxy-Host is unreadable or too long"),
    ] {
        let named = ok(&format!("X-Enproxy-Proxy-Host: {name}\r\n"), b"hi");
        for script in [vec![named.clone()], vec![ok("", b"hi"), named.clone()]] {
            let late = script.len() > 1;
            let (exchange, _) = probe(&job(Protocol::Enproxy, 9), |peer| answering(peer, script)).await;
            // Of later answers a client looks at no name, as long as the head can be read.
            if late && name == "no host" {
                assert_ne!(reason(&exchange), Some(Reason::ProxyHost));
            } else {
                assert_eq!(reason(&exchange), Some(Reason::ProxyHost), "{:?}", exchange.failure);
                assert!(detail(&exchange).contains(what), "{}", detail(&exchange));
            }
        }
    }
}

/// WIRE says where real servers echo the id; each other place is somebody's mistake (see the module `enproxy`).
#[tokio::test(start_paused = true)]
async fn an_answer_of_another_tunnel_is_noticed() {
    let nameless = |body: &[u8]| [b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", body].concat();
    let other = "670cef0b-053c-4ecc-b1a8-3fb9c90cdbe8";
    let (early, late) = (ok("", b"1234"), ok("", b"123456789"));
    for (script, reached, what) in [
        // As any server answers a write whose id it knows: it came twice.
        (vec![nameless(b"")], 0, "as if the first write were a later one"),
        (vec![nameless(b"12345")], 0, "as if the first write were a later one"),
        (vec![ok_of(other, EOF, b"123456789")], 0, other),
        (vec![early.clone(), ok_of(other, "", b"56789")], 4, other),
        (vec![early, nameless(b"56789")], 4, "a read has no tunnel's id"),
        // Nor is what comes after the last announced byte anybody else's.
        (vec![late.clone(), ok_of(other, EOF, b"")], 9, other),
        (vec![late, nameless(b"12345")], 9, "a read has no tunnel's id"),
    ] {
        for protocol in [Protocol::Enproxy, Protocol::EnproxyPath] {
            let (exchange, _) = probe(&job(protocol, 9), |peer| answering(peer, script.clone())).await;
            assert_eq!(
                (reason(&exchange), exchange.received.len()),
                (Some(Reason::TunnelLost), reached)
            );
            assert!(detail(&exchange).contains(what), "{}", detail(&exchange));
            assert_eq!(exchange.watch.times().0.contains_key(&Phase::Tunnel), reached > 0);
        }
    }
    // An id in other letters is another id, and an error has none.
    let shouted = ok_of(&ID.to_uppercase(), EOF, b"123456789");
    let (exchange, _) = probe(&job(Protocol::Enproxy, 9), |peer| answering(peer, vec![shouted])).await;
    assert_eq!(reason(&exchange), Some(Reason::TunnelLost));
}

#[tokio::test(start_paused = true)]
async fn an_end_before_the_last_byte_is_told_from_the_end() {
    let refused = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\n\r\ngone".to_vec();
    for (script, expected, what) in [
        (
            vec![ok(EOF, b"")],
            Reason::FirstByteClosed,
            "the end of the destination",
        ),
        (
            vec![ok("", b""), ok(EOF, b"")],
            Reason::FirstByteClosed,
            "the end of the destination",
        ),
        (
            vec![ok("", b""), refused.clone()],
            Reason::FirstByteClosed,
            "it answered 500: gone",
        ),
        (
            vec![ok(EOF, b"hello")],
            Reason::Truncated,
            "5 of 9 bytes came, then the proxy reported",
        ),
        (
            vec![ok("", b"hello"), ok(EOF, b"")],
            Reason::Truncated,
            "5 of 9 bytes came, then the proxy reported",
        ),
        (
            vec![ok("", b"hello"), refused],
            Reason::Truncated,
            "5 of 9 bytes came, then it answered 500: gone",
        ),
        (
            vec![ok("Connection: close\r\n", b"hello")],
            Reason::Truncated,
            "the proxy closed its connection",
        ),
        (
            vec![ok("", b"hel"), ok("", b"lo"), ok(EOF, b"bye")],
            Reason::Truncated,
            "8 of 9 bytes",
        ),
    ] {
        let (exchange, _) = probe(&job(Protocol::Enproxy, 9), |peer| answering(peer, script)).await;
        assert_eq!(reason(&exchange), Some(expected));
        assert!(detail(&exchange).contains(what), "{}", detail(&exchange));
    }
}

#[tokio::test(start_paused = true)]
async fn appended_bytes_are_noticed() {
    let chunked = head_of("HTTP/1.1 200 OK", "Transfer-Encoding: chunked\r\n");
    let chunked = [chunked.as_slice(), b"9\r\n123456789\r\n1\r\nX\r\n0\r\n\r\n"].concat();
    let until_close = [head_of("HTTP/1.0 200 OK", ""), b"123456789X".to_vec()].concat();
    for script in [
        vec![ok("", b"123456789X")],
        vec![ok(EOF, b"123456789X")],
        vec![ok("", b"12345"), ok("", b"6789XXXXXXXX")],
        vec![ok("", b"123456789"), ok(EOF, b"X")],
        vec![[ok("", b"123456789"), b"X".to_vec()].concat()],
        vec![ok("", b"123456789"), [ok(EOF, b""), b"X".to_vec()].concat()],
        vec![chunked],
        vec![until_close],
        vec![ok("", &[b'1'; 100_000])],
    ] {
        let (exchange, _) = probe(&job(Protocol::Enproxy, 9), |peer| answering(peer, script.clone())).await;
        assert_eq!(
            reason(&exchange),
            Some(Reason::Overlong),
            "{}",
            String::from_utf8_lossy(&script[0])
        );
        assert_eq!(exchange.received.len(), 10);
        assert_eq!(exchange.received_digest, Digest::of(&exchange.received));
    }
    for pause in [0, 499] {
        let (exchange, _) = probe(&job(Protocol::Connect, 9), async |mut peer| {
            request(&mut peer).await.unwrap();
            say(&mut peer, b"HTTP/1.1 200 OK\r\n\r\n123456789").await;
            sleep(Duration::from_millis(pause)).await;
            say(&mut peer, b"X").await;
            for_ever().await
        })
        .await;
        assert_eq!(reason(&exchange), Some(Reason::Overlong), "{pause} ms");
    }
}
