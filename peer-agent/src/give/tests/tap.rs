//! What the agent's tap sees of the tunnels that are served.

use std::sync::Arc;

use proto::{
    claims::FlowEnd,
    ids::Digest,
    time::Clock,
    tunnel::{connect, enproxy::Op},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
};

use super::memory::Rig;
use crate::{
    metrics::Metrics,
    samples::{self, DESTINATION, NOW, attester, signed},
    tap::{
        Tap,
        ledger::{Expectation, Finished},
    },
    trust::Trust,
};

/// A tap that expects one probe with these bytes down; the probe's request, and where the finished flow appears.
fn armed(down: &[u8]) -> (Tap, Vec<u8>, mpsc::Receiver<Finished>) {
    let (tap, finished) = Tap::connected(Clock::manual(NOW), Arc::<Metrics>::default());
    let challenge = signed(&samples::challenge(1), &attester());
    let request = samples::request(&challenge);
    let announcement = samples::announcement(1, &challenge, request.len() as u64, down.len() as u64);
    let keyset = signed(&samples::keyset(), &samples::root());
    let trust = Arc::new(Trust::open(&keyset, &samples::root().public(), NOW).unwrap());
    tap.arm(Expectation {
        announcement,
        trust,
        clock_offset: 0,
    })
    .unwrap();
    (tap, request, finished)
}

fn digests(finished: &Finished) -> (u64, Digest, u64, Digest) {
    (finished.up, finished.up_digest, finished.down, finished.down_digest)
}

#[tokio::test(start_paused = true)]
async fn an_enproxy_tunnel_is_seen_byte_for_byte() {
    let (tap, request, mut finished) = armed(b"the whole answer");
    let mut rig = Rig::tapped(|_| {}, tap);
    // Another destination, and another spelling of this one, are not the tap's business.
    for (id, destination) in [("x", "a:1"), ("y", "Origin.example:80")] {
        rig.client().call(id, destination, Op::Write, &request).await;
        rig.dialed.recv().await.unwrap();
    }
    let mut client = rig.client();
    let (first, second) = request.split_at(100);
    client.call("id", DESTINATION, Op::Write, first).await;
    let mut far = rig.dialed.recv().await.unwrap();
    client.call("id", DESTINATION, Op::Write, second).await;
    far.write_all(b"the whole ").await.unwrap();
    assert_eq!(client.call("id", DESTINATION, Op::Read, b"").await.body, b"the whole ");
    assert!(finished.try_recv().is_err(), "not finished yet");
    far.write_all(b"answer").await.unwrap();
    assert_eq!(client.call("id", DESTINATION, Op::Read, b"").await.body, b"answer");
    let finished = finished.try_recv().unwrap();
    assert_eq!(finished.end, FlowEnd::Lengths);
    let wanted = (
        request.len() as u64,
        Digest::of(&request),
        16,
        Digest::of(b"the whole answer"),
    );
    assert_eq!(digests(&finished), wanted);
}

#[tokio::test(start_paused = true)]
async fn a_connect_tunnel_that_ends_early() {
    let (tap, request, mut finished) = armed(b"more than comes");
    let mut rig = Rig::tapped(|_| {}, tap);
    let mut client = rig.client();
    client
        .open(&connect::Request {
            destination: DESTINATION.into(),
            ..Default::default()
        })
        .await
        .unwrap();
    let mut far = rig.dialed.recv().await.unwrap();
    client.send(&request).await;
    let mut got = vec![0; request.len()];
    far.read_exact(&mut got).await.unwrap();
    assert!(got == request);
    far.write_all(b"more").await.unwrap();
    drop(far);
    assert_eq!(client.rest().await, b"more");
    let finished = finished.try_recv().unwrap();
    assert_eq!(finished.end, FlowEnd::DestinationEof);
    assert_eq!(
        digests(&finished),
        (request.len() as u64, Digest::of(&request), 4, Digest::of(b"more"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_that_the_server_closes() {
    let (tap, request, mut finished) = armed(b"nothing comes");
    let mut rig = Rig::tapped(|_| {}, tap);
    let mut client = rig.client();
    client.call("id", DESTINATION, Op::Write, &request).await;
    let mut far = rig.dialed.recv().await.unwrap();
    far.read_exact(&mut vec![0; request.len()]).await.unwrap();
    // Idle for 70 s.
    assert_eq!(far.read(&mut [0]).await.unwrap(), 0);
    assert_eq!(finished.try_recv().unwrap().end, FlowEnd::Closed);
}
