//! Connections that no agent makes, and agents that do not keep to the protocol.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use proto::attest::{Ack, ToAttester, to_agent, to_attester::Message};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};
use tonic::{
    Code, Status,
    body::Body,
    codegen::{Service, http},
};

use crate::{
    model::Reason,
    session::{How, SessionEvent},
};

use super::rig::{Agent, LOOPBACK, PATIENCE, Rig, channel, dial, handshake, hear, open, open_stream, over};

#[tokio::test]
async fn a_second_stream_is_refused_and_the_first_goes_on() {
    let mut rig = Rig::start().await;
    let (mut agent, handle) = rig.registered(5).await;
    let status = open_stream(&mut agent.client).await.err().unwrap();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(status.message().contains("another connection"), "{status}");
    handle.send_verdict(vec![1, 2, 3]).unwrap();
    assert_eq!(
        agent.hear().await,
        to_agent::Message::Verdict(Bytes::from_static(&[1, 2, 3]))
    );
    rig.stop().await;
}

#[tokio::test]
async fn who_does_not_register_is_sent_away() {
    let rig = Rig::start_with(|config| config.limits.register = Duration::from_secs(1)).await;
    let mut silent = Agent::connect(rig.address).await;
    let status = silent.status().await;
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!(status.message().contains("no registration"), "{status}");
    // A connection that never opens a stream is closed, too.
    let mut idle = handshake(LOOPBACK, rig.address, &[b"h2"]).await.unwrap();
    idle.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await
        .unwrap();
    let _ = timeout(PATIENCE, idle.read_to_end(&mut Vec::new()))
        .await
        .expect("it is closed");
    rig.stop().await;
}

#[tokio::test]
async fn what_breaks_the_protocol_ends_the_session_with_a_status_that_says_what() {
    let mut rig = Rig::start().await;
    let ack = || {
        Message::Ack(Ack {
            probe_id: Bytes::from_static(&[0; 16]),
            refusal: String::new(),
        })
    };

    let mut early = Agent::connect(rig.address).await;
    early.tell(ack()).await;
    let status = early.status().await;
    assert_eq!(
        (status.code(), status.message().contains("first message")),
        (Code::FailedPrecondition, true)
    );

    let (mut twice, _) = rig.registered(5).await;
    twice.register(5).await;
    assert_eq!(twice.status().await.code(), Code::FailedPrecondition);
    assert_eq!(rig.ended().await.2, How::Dismissed);

    let (mut short, _) = rig.registered(5).await;
    short
        .tell(Message::Ack(Ack {
            probe_id: Bytes::new(),
            refusal: String::new(),
        }))
        .await;
    assert_eq!(short.status().await.code(), Code::InvalidArgument);
    assert_eq!(rig.ended().await.2, How::Dismissed);

    let (mut empty, _) = rig.registered(5).await;
    empty.say.send(ToAttester { message: None }).await.unwrap();
    assert_eq!(empty.status().await.code(), Code::InvalidArgument);
    assert_eq!(rig.ended().await.2, How::Dismissed);

    let (mut long, _) = rig.registered(5).await;
    long.receipt(vec![0; 17 << 10]).await;
    let status = long.status().await;
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("too large"), "{status}");
    assert_eq!(rig.ended().await.2, How::Dismissed);

    let (mut fast, _) = rig.registered(5).await;
    for _ in 0..100 {
        let _ = fast.say.send(ToAttester { message: Some(ack()) }).await;
    }
    assert_eq!(fast.status().await.code(), Code::ResourceExhausted);
    assert_eq!(rig.ended().await.2, How::Dismissed);
    rig.stop().await;
}

#[tokio::test]
async fn only_http2_over_tls13_is_served_and_only_one_method() {
    let rig = Rig::start().await;
    assert!(handshake(LOOPBACK, rig.address, &[b"http/1.1"]).await.is_err());
    let mut without = handshake(LOOPBACK, rig.address, &[]).await.unwrap();
    let _ = timeout(PATIENCE, without.read_to_end(&mut Vec::new()))
        .await
        .expect("it is closed");

    let tls = handshake(LOOPBACK, rig.address, &[b"h2"]).await.unwrap();
    let mut channel = channel(tls).await.unwrap();
    std::future::poll_fn(|cx| channel.poll_ready(cx)).await.unwrap();
    let request = http::Request::post("http://attester.invalid/attest.v1.PeerVerification/Other");
    let answer = channel.call(request.body(Body::empty()).unwrap()).await.unwrap();
    let status = Status::from_header_map(answer.headers()).unwrap();
    assert_eq!(status.code(), Code::Unimplemented);
    assert!(status.message().contains("/Session"), "{status}");
    rig.stop().await;
}

#[tokio::test]
async fn junk_connections_do_not_hinder_a_good_one() {
    let mut rig = Rig::start_with(|config| {
        config.sessions_per_source = 100;
        config.limits.handshake = Duration::from_secs(2);
    })
    .await;
    let mut junk = Vec::new();
    for number in 0..50 {
        let mut stream = dial(LOOPBACK, rig.address).await;
        // Some say nothing, some half a greeting, some nonsense.
        let said: &[u8] = [b"", &b"\x16\x03\x01\x02\x00\x01\x00\x01"[..], b"GET / HTTP/1.1\r\n\r\n"][number % 3];
        stream.write_all(said).await.unwrap();
        junk.push(stream);
    }
    let (_agent, handle) = rig.registered(5).await;
    assert!(handle.is_live());
    for mut stream in junk {
        let _ = timeout(PATIENCE, stream.read_to_end(&mut Vec::new()))
            .await
            .expect("it is closed");
    }
    rig.stop().await;
}

#[tokio::test]
async fn who_gets_no_seat_is_told_so_and_a_seat_comes_back() {
    let mut rig = Rig::start_with(|config| config.sessions_per_source = 1).await;
    let (agent, _) = rig.registered(5).await;
    let ((_, mut told), idle) = (open(LOOPBACK, rig.address).await, open(LOOPBACK, rig.address).await);
    // Those beyond the ones that are told are only closed.
    assert!(handshake(LOOPBACK, rig.address, &[b"h2"]).await.is_err());
    let elsewhere = Agent::connect_from([127, 0, 0, 2], rig.address).await;
    let (_say, mut heard) = open_stream(&mut told).await.unwrap();
    let Some(to_agent::Message::Rejected(rejected)) = hear(&mut heard).await.unwrap() else {
        panic!("not rejected")
    };
    assert_eq!(
        (rejected.code.as_str(), rejected.retry),
        (Reason::AttesterFull.code(), true)
    );
    assert!(rejected.remedy.contains("from this address"), "{}", rejected.remedy);
    assert!(matches!(rig.event().await, SessionEvent::Rejected { peer: None, .. }));
    drop((agent, told, idle, elsewhere));
    rig.ended().await;
    timeout(PATIENCE, async { while !is_welcome(rig.address).await {} })
        .await
        .expect("a seat comes back");
    rig.stop().await;
}

async fn is_welcome(address: SocketAddr) -> bool {
    // A connection that is only closed fails at any step.
    let Ok(tls) = handshake(LOOPBACK, address, &[b"h2"]).await else {
        return false;
    };
    let Some((_, mut client)) = over(tls).await else {
        return false;
    };
    let Ok((_say, mut heard)) = open_stream(&mut client).await else {
        return false;
    };
    matches!(hear(&mut heard).await, Ok(Some(to_agent::Message::Keyset(_))))
}
