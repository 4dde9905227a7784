//! What can go wrong between a question and its answer.

use std::{io, net::SocketAddr, time::Duration};

use crate::records::Name;

/// Why addresses could not be learned. That a name does not exist is no error: it has no addresses.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// No socket could be opened towards the name server, or it broke: usually nothing listens there.
    #[error("cannot ask the name server {nameserver} over {transport}")]
    Socket {
        /// The server asked.
        nameserver: SocketAddr,
        /// `UDP` or `TCP`.
        transport: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// No answer came in time.
    #[error("the name server {nameserver} did not answer for {name} within {after:?}")]
    TimedOut {
        /// The name asked for.
        name: Name,
        /// The server asked.
        nameserver: SocketAddr,
        /// The time it had.
        after: Duration,
    },
    /// The server answered that it will not or cannot tell: REFUSED, SERVFAIL, and their like.
    #[error("the name server {nameserver} answered for {name}: {code} ({number})")]
    Refused {
        /// The name asked for.
        name: Name,
        /// The server asked.
        nameserver: SocketAddr,
        /// The response code in words.
        code: String,
        /// The response code (RFC 6895 section 2.3): 2 is SERVFAIL, 5 is REFUSED.
        number: u16,
    },
    /// The answer is somebody else's: the server is not authoritative for the name.
    #[error("{nameserver} is not authoritative for {name}: name the zone's own name server, not a resolver")]
    NotAuthoritative {
        /// The name asked for.
        name: Name,
        /// The server asked.
        nameserver: SocketAddr,
    },
    /// The answer cannot be read.
    #[error("the name server {nameserver} sent a malformed answer for {name}: {what}")]
    Malformed {
        /// The name asked for.
        name: Name,
        /// The server asked.
        nameserver: SocketAddr,
        /// What is wrong with it.
        what: String,
    },
    /// The question cannot be written.
    #[error("{name} cannot be asked for: {what}")]
    Question {
        /// The name asked for.
        name: Name,
        /// What is wrong with it.
        what: String,
    },
    /// The deadline came before the server showed what was expected.
    #[error("the name server {nameserver} does not show {name} with its {expected} address(es) yet: it shows {shown}")]
    NotShown {
        /// The name waited for.
        name: Name,
        /// The server asked.
        nameserver: SocketAddr,
        /// How many addresses were expected.
        expected: usize,
        /// How many addresses the last answer had.
        shown: usize,
        /// Why the last question failed, if it did.
        #[source]
        last_error: Option<Box<ResolveError>>,
    },
}
