//! A running attester resumes TLS sessions where it may, and nowhere else.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use attester::store::ProbeRow;
use harness::{Behaviour, Cluster, DEADLINE, Options, Peer};
use proto::claims::Outcome;
use tokio::time::{Instant, sleep};

use crate::operator::{get, sum};

/// What admits a peer and what measures its throughput is a handshake of its own each time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_small_probes_of_a_member_resume() {
    handshakes_of_a_peer(true).await;
}

/// By default every proof shows anew that the peer holds its key, and counts as such.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn none_resumes_unless_the_operator_wants_it() {
    handshakes_of_a_peer(false).await;
}

async fn handshakes_of_a_peer(resume: bool) {
    harness::logs();
    let options = Options {
        resume,
        spacing: Duration::from_millis(100),
        // Two messages a probe, and an agent may send ten a second.
        interval: Duration::from_millis(250),
        ..Options::quick()
    };
    let (proofs, goodput) = (options.proofs, options.goodput_body);
    let cluster = Cluster::start(options).await.unwrap();
    let peer = Peer::start(&cluster, 1, Behaviour::Enproxy).await.unwrap();
    let is_large = |probe: &ProbeRow| probe.body >= goodput;
    cluster
        .wait_probes(
            &peer,
            "its throughput measured again, and a small probe after that",
            |probes| probes.iter().filter(|probe| is_large(probe)).count() > 1 && !is_large(&probes[0]),
        )
        .await
        .unwrap();
    // A probe is counted a moment before its row is there.
    let deadline = Instant::now() + DEADLINE;
    loop {
        let (_, metrics) = get(&cluster, "/metrics").await;
        let kind = |kind: &str| {
            sum(
                &metrics,
                &format!("attester_probe_handshakes_total{{handshake=\"{kind}\"}} "),
            )
        };
        let counted = ["full", "resumed"].map(|name| kind(name).unwrap());
        let probes = cluster.probes(&peer).await.unwrap();
        assert!(
            probes.iter().all(|probe| probe.outcome == Outcome::Proved),
            "{probes:?}"
        );
        // Rows are given newest first.
        let full = |(number, probe): &(usize, &ProbeRow)| !resume || *number < proofs || is_large(probe);
        let full = probes.iter().rev().enumerate().filter(full).count();
        if counted == [full, probes.len() - full].map(|count| count as f64) {
            break;
        }
        assert!(
            Instant::now() < deadline,
            "{counted:?} of {} probes, {full} full",
            probes.len()
        );
        sleep(Duration::from_millis(5)).await;
    }
}
