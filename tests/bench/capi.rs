//! What a host pays at its connections: the flow calls of the C interface, beside the same calls in Rust, which the interface only looks
//! after.

use std::net::SocketAddr;

use peer_agent::Tap;
use peer_agent_c::{
    PeerAgentStatus,
    called::{Agent, Flow},
};
use proto::{
    ids::Digest,
    key::{PublicKey, SigningKey},
};
use tokio::{runtime::Runtime, time::Instant};

use crate::{
    Scale,
    report::{Row, Unit},
    samples::Samples,
    tap::{DESTINATION, session::Session},
};

pub(crate) fn measure(scale: Scale) -> anyhow::Result<Vec<Row>> {
    let (rounds, calls) = (scale.pick(15, 2), scale.pick(200_000, 100));
    let runtime = Runtime::new()?;
    let mut session = runtime.block_on(bundled())?;
    eprintln!("bench: capi: {rounds} rounds of {calls} calls each");

    let tap = Tap::disconnected();
    let (mut idle, mut armed, mut plain) = (Samples::default(), Samples::default(), Samples::default());
    let (mut question, mut pieces, mut hashes) = (Samples::default(), Samples::default(), Samples::default());
    let (mut openings, mut ups, mut ends, mut failures, mut closes) =
        <(Samples, Samples, Samples, Samples, Samples)>::default();
    for _ in 0..rounds {
        plain.push(each(calls, || tap.flow(OTHER).is_none()));
        idle.push(each(calls, || session.agent().open(OTHER).is_none()));
        question.push(each(calls, || !session.agent().is_armed(OTHER)));
        let probes = calls / 1000 + 1;
        let announced = runtime.block_on(session.arm(PIECE as u64 * u64::from(probes)))?;
        armed.push(each(calls, || session.agent().open(OTHER).is_none()));

        // Other clients' flows to where the probe goes.
        let flows = || -> anyhow::Result<Vec<Flow>> {
            let opened = (0..probes).map(|_| session.agent().open(DESTINATION));
            opened
                .collect::<Option<_>>()
                .ok_or_else(|| anyhow::anyhow!("the agent is not armed"))
        };
        let mut opened = Vec::with_capacity(probes as usize);
        openings.push(each(probes, || {
            session
                .agent()
                .open(DESTINATION)
                .map(|flow| opened.push(flow))
                .is_some()
        }));
        ups.push(each_of(&opened, |flow| flow.up(STRANGER) == PeerAgentStatus::FlowOver));
        ends.push(each_of(&flows()?, |flow| flow.eof() == PeerAgentStatus::Ok));
        failures.push(each_of(&flows()?, |flow| flow.error() == PeerAgentStatus::Ok));
        let mut left = flows()?;
        closes.push(each(probes, || left.pop().map(drop).is_some()));

        // The announced flow itself, to its end.
        let flow = session.agent().open(DESTINATION);
        let flow = flow.ok_or_else(|| anyhow::anyhow!("the agent is not armed"))?;
        let piece = vec![b'.'; PIECE];
        anyhow::ensure!(
            flow.up(announced.request()) == PeerAgentStatus::Ok,
            "its request is not the announced one"
        );
        pieces.push(each(probes, || {
            matches!(flow.down(&piece), PeerAgentStatus::Ok | PeerAgentStatus::FlowOver)
        }));
        hashes.push(each(probes, || Digest::of(&piece) != Digest::of(&[])));
        drop(flow);
        let whole = Digest::of(&piece.repeat(probes as usize));
        runtime.block_on(session.check(announced, whole))?;
    }
    let row = |what: &str, figures, beside: Option<(&str, &Samples)>| match beside {
        Some(beside) => Row::beside("capi", what, Unit::Nanos, figures, beside),
        None => Row::alone("capi", what, Unit::Nanos, figures),
    };
    let rust = Some(("Tap::flow", &plain));
    Ok([
        row("peer_agent_flow_open, nothing announced", &idle, rust),
        row("peer_agent_flow_open, a probe announced elsewhere", &armed, rust),
        row("peer_agent_is_armed, nothing announced", &question, None),
        row("peer_agent_flow_open, a probe announced there", &openings, None),
        row("peer_agent_flow_up, another client's request", &ups, None),
        row("peer_agent_flow_eof", &ends, None),
        row("peer_agent_flow_error", &failures, None),
        row("peer_agent_flow_close", &closes, None),
        row(
            "peer_agent_flow_down of 16 KiB, watched",
            &pieces,
            Some(("SHA-256 of them", &hashes)),
        ),
    ]
    .into_iter()
    .flatten()
    .collect())
}

/// A session of an agent behind the C interface.
async fn bundled() -> anyhow::Result<Session<Agent>> {
    let folder = tempfile::tempdir()?;
    let identity = folder.path().join("peer.key");
    let start = |attester: SocketAddr, root: PublicKey, key: SigningKey| {
        key.write_new(&identity)?;
        Agent::start(&attester.to_string(), &root.to_string(), &identity, "127.0.0.1:443").map_err(anyhow::Error::msg)
    };
    Session::with(start).await
}

/// Nanoseconds of one call for each of `flows`.
fn each_of(flows: &[Flow], mut call: impl FnMut(&Flow) -> bool) -> f64 {
    let mut flows_left = flows.iter();
    each(flows.len() as u32, || flows_left.next().is_some_and(&mut call))
}

/// Nanoseconds of one call.
fn each(calls: u32, mut call: impl FnMut() -> bool) -> f64 {
    let (start, mut fine) = (Instant::now(), true);
    for _ in 0..calls {
        fine &= std::hint::black_box(call());
    }
    let nanos = start.elapsed().as_secs_f64() * 1e9 / f64::from(calls);
    // A call that went wrong is none.
    if fine { nanos } else { f64::NAN }
}

const OTHER: &str = "www.example.org:443";
/// What a host reads at a time.
const PIECE: usize = 16 << 10;
const STRANGER: &[u8] = b"GET / HTTP/1.1\r\nHost: www.example.org\r\n\r\n";

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::{Agent, DESTINATION, OTHER, PeerAgentStatus, Runtime, Session, bundled};

    #[test]
    fn nothing_is_allocated_while_a_probe_is_announced_elsewhere() {
        let runtime = Runtime::new().unwrap();
        let mut session: Session<Agent> = runtime.block_on(bundled()).unwrap();
        let announced = runtime.block_on(session.arm(1)).unwrap();
        let agent = session.agent();
        let asked = allocation_counter::measure(|| {
            for _ in 0..1000 {
                assert!(agent.open(OTHER).is_none());
                assert!(!agent.is_armed(OTHER));
            }
        });
        assert!(agent.is_armed(DESTINATION), "it was announced all the while");
        assert_eq!(asked.count_total, 0);
        drop(announced);
    }

    #[test]
    fn nothing_is_expected_of_an_agent_that_was_stopped() {
        let runtime = Runtime::new().unwrap();
        let mut session: Session<Agent> = runtime.block_on(bundled()).unwrap();
        let announced = runtime.block_on(session.arm(1)).unwrap();
        let agent = session.agent();
        let flow = agent.open(DESTINATION).unwrap();
        assert_eq!(agent.stop(), PeerAgentStatus::Ok);
        assert!(!agent.is_armed(DESTINATION) && agent.open(DESTINATION).is_none());
        // It is no probe's any more; that is found out with its request.
        assert_eq!(flow.up(announced.request()), PeerAgentStatus::FlowOver);
    }
}
