//! Responses in pieces: the same bytes come out wherever the connection cuts them.

use std::{
    collections::VecDeque,
    io,
    pin::Pin as Pinned,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::*;

/// Gives one piece for each read and takes every write.
struct Pieces(VecDeque<Vec<u8>>);

impl AsyncRead for Pieces {
    fn poll_read(mut self: Pinned<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some(piece) = self.0.pop_front() {
            buffer.put_slice(&piece);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pieces {
    fn poll_write(self: Pinned<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pinned<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pinned<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Every cut of `response` in two, the uncut one, and each byte by itself.
fn cuts(response: &[u8]) -> impl Iterator<Item = Vec<Vec<u8>>> {
    let bytewise = response.iter().map(|byte| vec![*byte]).collect();
    let halves = (1..response.len()).map(|at| vec![response[..at].to_vec(), response[at..].to_vec()]);
    [vec![response.to_vec()], bytewise].into_iter().chain(halves)
}

async fn run(protocol: Protocol, pieces: Vec<Vec<u8>>, down: u64) -> (Result<(), Reason>, Vec<u8>) {
    let job = job(protocol, down);
    let mut account = Account::new(Stopwatch::start(), down);
    let mut wire = Wire::new(Pieces(pieces.into()));
    let result = match protocol {
        Protocol::Connect => connect::carry(&mut wire, None, String::from("d"), &job, &mut account).await,
        _ => {
            let target = target(Pin::from_bytes([0; 32]));
            Tunnel::new(&mut wire, Form::Headers, ID.to_owned(), &target)
                .carry(&job, &mut account)
                .await
        }
    };
    let exchange = account.close("192.0.2.1:1".parse().unwrap(), &job, None);
    (result.map_err(|finding| finding.reason), exchange.received)
}

#[tokio::test(start_paused = true)]
async fn enproxy_responses_may_be_cut_anywhere() {
    let chunked = head_of("HTTP/1.1 200 OK", "Transfer-Encoding: chunked\r\n");
    let chunked_end = head_of(
        "HTTP/1.1 200 OK",
        "Transfer-Encoding: chunked\r\nX-Enproxy-EOF: true\r\n",
    );
    let firsts = [
        ok("X-Enproxy-Proxy-Host: p.test\r\n", b"12345"),
        [b"HTTP/1.1 100 Continue\r\n\r\n".to_vec(), ok("", b"12345")].concat(),
        [chunked.as_slice(), b"2\r\n12\r\n3;x=y\r\n345\r\n0\r\nT: v\r\n\r\n"].concat(),
    ];
    let lasts = [
        ok(EOF, b"6789"),
        [chunked_end.as_slice(), b"4\r\n6789\r\n0\r\n\r\n"].concat(),
        [head_of("HTTP/1.0 200 OK", ""), b"6789".to_vec()].concat(),
    ];
    let mut runs = 0;
    for (first, last) in firsts
        .iter()
        .flat_map(|first| lasts.iter().map(move |last| (first, last)))
    {
        for pieces in cuts(first) {
            let pieces = [pieces, vec![last.clone()]].concat();
            assert_eq!(
                run(Protocol::Enproxy, pieces.clone(), 9).await,
                (Ok(()), b"123456789".to_vec()),
                "{pieces:?}"
            );
            runs += 1;
        }
        for pieces in cuts(last) {
            let pieces = [vec![first.clone()], pieces].concat();
            assert_eq!(
                run(Protocol::Enproxy, pieces.clone(), 9).await,
                (Ok(()), b"123456789".to_vec()),
                "{pieces:?}"
            );
            // One byte fewer was announced: wherever the cut is, the last byte is one too many.
            assert_eq!(
                run(Protocol::Enproxy, pieces.clone(), 8).await.0,
                Err(Reason::Overlong),
                "{pieces:?}"
            );
            // One more: it never comes.
            assert_eq!(
                run(Protocol::Enproxy, pieces.clone(), 10).await.0,
                Err(Reason::Truncated),
                "{pieces:?}"
            );
            runs += 3;
        }
    }
    assert!(runs > 2000, "{runs}");
}

#[tokio::test(start_paused = true)]
async fn connect_replies_may_be_cut_anywhere() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (reply, tunnelled) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nhello".to_owned(), "hello"),
        (format!("{chunked}a\r\nCONNECT OK\r\nhello"), "hello"),
        // The server of 2014 may also have written nothing of its own, and the bytes may look as if it had.
        (format!("{chunked}hello"), "hello"),
        (format!("{chunked}a\r\nCONNECT NO"), "a\r\nCONNECT NO"),
        (format!("{chunked}a\r\nCONN"), "a\r\nCONN"),
        (
            format!("{chunked}a\r\nCONNECT OK\r\na\r\nCONNECT OK\r\n"),
            "a\r\nCONNECT OK\r\n",
        ),
    ] {
        let down = tunnelled.len() as u64;
        for pieces in cuts(reply.as_bytes()) {
            let (result, received) = run(Protocol::Connect, pieces.clone(), down).await;
            assert_eq!(
                (result, received.as_slice()),
                (Ok(()), tunnelled.as_bytes()),
                "{pieces:?}"
            );
            assert_eq!(
                run(Protocol::Connect, pieces.clone(), down - 1).await.0,
                Err(Reason::Overlong),
                "{pieces:?}"
            );
            assert_eq!(
                run(Protocol::Connect, pieces.clone(), down + 1).await.0,
                Err(Reason::Truncated),
                "{pieces:?}"
            );
        }
    }
}

#[tokio::test]
async fn unread_bytes_stay_when_more_come() {
    let bytes: Vec<u8> = (0..40_000_u32).map(|index| (index % 251) as u8).collect();
    let first = tunnel::MAX_HEAD;
    let mut wire = Wire::new(Pieces(
        [bytes[..first].to_vec(), bytes[first..first + 9000].to_vec()].into(),
    ));
    wire.fill().await.unwrap();
    wire.consume(9000);
    wire.fill().await.unwrap();
    assert_eq!(wire.unread(), &bytes[9000..first + 9000]);
    wire.consume(usize::MAX);
    assert!(wire.unread().is_empty());
    assert!(wire.fill().await.is_err());
}
