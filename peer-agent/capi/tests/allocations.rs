//! Asked about a flow that nobody wants to see, the library allocates nothing.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

use peer_agent_c::called::Agent;

struct Counting;

thread_local! {
    /// Of this thread: the agent's own may do as it likes.
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: the system's allocator does it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn nothing_is_allocated_for_a_flow_that_nobody_wants_to_see() {
    let folder = tempfile::tempdir().unwrap();
    let root = "ed25519:rkeohxlubhyzl7ks3mwtzos5olfgocn7dwkbeg7toseadnapn5oa";
    let agent = Agent::start("127.0.0.1:1", root, &folder.path().join("peer.key"), "127.0.0.1:443").unwrap();
    let before = ALLOCATIONS.get();
    assert!(before > 0, "they are counted");
    for _ in 0..1000 {
        assert!(agent.open("origin.example:80").is_none());
        assert!(!agent.is_armed("origin.example:80"));
    }
    assert_eq!(ALLOCATIONS.get(), before);
}
