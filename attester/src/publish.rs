//! Makes DNS show what was decided, and nothing else.
//!
//! A [`Publisher`] is one way to write records: the embedded server ([`authoritative`]) now, dynamic updates and a
//! provider's API later. The [`Reconciler`] owns one, compares what it shows with what is desired on every tick and
//! at every change, and applies the difference; nothing is ever sent "because something happened", so an update that
//! was lost, a record that somebody else deleted and a restart all heal in the same way.

use std::{collections::BTreeSet, io, net::SocketAddr, sync::Arc, time::Duration};

use crate::records::{Changes, Name, Record};

pub mod authoritative;
mod reconcile;

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
pub(crate) mod battery;

pub use reconcile::{NotPublished, Publication, Reconciled, Reconciler, Timing};

/// One way to write records into DNS. It sees and touches only records that are ours.
pub trait Publisher: Send + Sync + 'static {
    /// The records of ours that are shown now; shared, since they are looked at every few seconds and seldom change.
    ///
    /// # Errors
    /// [`PublishError`] when they could not be read; nothing is then known about what is shown.
    fn observe(&self) -> impl Future<Output = Result<Arc<BTreeSet<Record>>, PublishError>> + Send;

    /// Carries out the changes. Adding what is there and removing what is not are no errors: the call may be the
    /// repetition of one that broke off half-way.
    ///
    /// The reconciler makes this call once after every start even when there is nothing to change: it means that
    /// state was restored.
    ///
    /// # Errors
    /// [`PublishError`] when some of the changes may be missing; the reconciler observes again and repeats the rest.
    fn apply(&self, changes: &Changes) -> impl Future<Output = Result<(), PublishError>> + Send;
}

/// Why records could not be published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The embedded server's socket could not be opened.
    #[error("cannot serve DNS on {address} over {transport}: choose another address or port, or stop what holds it")]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// `UDP` or `TCP`.
        transport: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The configuration of a publisher contradicts itself.
    #[error("DNS configuration: {0}")]
    Config(String),
    /// A record does not belong to the zone that is published. Nothing of the batch was applied.
    #[error("{name} is not in the zone {zone}, so it cannot be published there")]
    OutsideZone {
        /// The record's name.
        name: Name,
        /// The zone.
        zone: Name,
    },
    /// The provider did not answer in time.
    #[error("the DNS provider did not finish to {operation} within {after:?}")]
    TimedOut {
        /// `observe` or `apply`.
        operation: &'static str,
        /// The time it had.
        after: Duration,
    },
}
