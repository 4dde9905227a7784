//! Asked about a flow that nobody wants to see, the library allocates nothing. (With a probe announced elsewhere: the bench's own test.)

#![expect(clippy::unwrap_used, reason = "tests")]

use allocation_counter::measure;
use peer_agent_c::called::Agent;

#[test]
fn nothing_is_allocated_for_a_flow_that_nobody_wants_to_see() {
    let folder = tempfile::tempdir().unwrap();
    let root = "ed25519:rkeohxlubhyzl7ks3mwtzos5olfgocn7dwkbeg7toseadnapn5oa";
    let mut agent = None;
    let start = || {
        agent = Some(Agent::start(
            "127.0.0.1:1",
            root,
            &folder.path().join("peer.key"),
            "127.0.0.1:443",
        ))
    };
    assert!(measure(start).count_total > 0, "they are counted");
    let agent = agent.unwrap().unwrap();
    let asked = measure(|| {
        for _ in 0..1000 {
            assert!(agent.open("origin.example:80").is_none());
            assert!(!agent.is_armed("origin.example:80"));
        }
    });
    assert_eq!(asked.count_total, 0);
}
