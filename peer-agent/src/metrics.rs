//! Counters of one agent, readable at any time. They only grow, and wrap after 2^64.

use std::sync::atomic::{AtomicU64, Ordering};

/// One counter.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Its value now.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// What an agent has done since it started.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Connections to an attester that were tried.
    pub attempts: Counter,
    /// Sessions in which the attester answered with a welcome that holds.
    pub sessions: Counter,
    /// Registrations that the attester accepted.
    pub registrations: Counter,
    /// Registrations that the attester rejected.
    pub rejections: Counter,
    /// Announcements that armed the tap.
    pub announcements: Counter,
    /// Announcements that could not be armed.
    pub announcements_refused: Counter,
    /// Flows to an armed destination that the tap looked at.
    pub flows_watched: Counter,
    /// Of these, flows that opened with an announced challenge.
    pub flows_recognised: Counter,
    /// Receipts handed to the session's stream.
    pub receipts_sent: Counter,
    /// Finished flows without a receipt: the session had ended, or its queue was full.
    pub receipts_dropped: Counter,
    /// Verdicts received.
    pub verdicts: Counter,
}
