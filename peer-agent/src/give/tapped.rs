//! The tap in the server's byte path.

use super::dial::BoxStream;
use crate::tap::Tap;

/// Lays the tap around a connection to `destination` when it is armed for exactly this string; otherwise the connection stays
/// as it is.
pub(super) fn tapped(stream: BoxStream, tap: &Tap, destination: &str) -> BoxStream {
    match tap.flow(destination) {
        Some(flow) => Box::new(flow.around(stream)),
        None => stream,
    }
}
