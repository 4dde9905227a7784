//! The values that labels have.

macro_rules! labels {
    ($($(#[$doc:meta])* pub enum $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+ })+) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl $name {
            /// Every value as it is written.
            pub const TEXTS: &'static [&'static str] = &[$($text),+];

            /// The value as it is written.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    )+ };
}

labels! {
    /// A listener that strangers reach.
    pub enum Door {
        /// Agents' sessions.
        Session = "session",
        /// The origin.
        Origin = "origin",
        /// DNS over TCP.
        Dns = "dns",
    }

    /// Which limit left no place.
    pub enum Full {
        /// That of all connections.
        Everywhere = "everywhere",
        /// That of one source.
        ForSource = "source",
    }

    /// How a TLS handshake ended.
    pub enum Handshake {
        /// With a connection.
        Done = "done",
        /// With an error.
        Failed = "failed",
        /// Not in time.
        TimedOut = "timed-out",
    }

    /// How a registered agent's session ended.
    pub enum SessionEnd {
        /// The agent said goodbye.
        Goodbye = "goodbye",
        /// It closed the stream or the connection.
        Closed = "closed",
        /// It reset them.
        Reset = "reset",
        /// Nothing came any more.
        Silent = "silent",
        /// The attester ended it: replaced, closed, or for breaking the protocol.
        Dismissed = "dismissed",
    }

    /// A part of the attester that can be unwell.
    pub enum Part {
        /// The state file takes writes.
        Store = "store",
        /// DNS shows what was decided.
        Dns = "dns",
        /// The last probe that could tell reached the origin.
        Origin = "origin",
        /// What is signed can be believed.
        Keyset = "keyset",
    }

    /// Who waits for a probe.
    pub enum Queue {
        /// Peers with a lease.
        Members = "members",
        /// All others.
        Others = "others",
    }

    /// How a DNS question came.
    pub enum Transport {
        /// In a datagram.
        Udp = "udp",
        /// Over a connection.
        Tcp = "tcp",
    }

    /// The response code of a DNS answer (RFC 6895, section 2.3).
    pub enum Rcode {
        /// No error.
        NoError = "noerror",
        /// The question cannot be read.
        FormErr = "formerr",
        /// State is not restored yet.
        ServFail = "servfail",
        /// No such name.
        NxDomain = "nxdomain",
        /// Not a kind of question that is answered.
        NotImp = "notimp",
        /// Another zone, a zone transfer.
        Refused = "refused",
        /// An unknown version of EDNS.
        BadVers = "badvers",
        /// Any other.
        Other = "other",
        /// No answer: it was no question.
        Unanswered = "unanswered",
    }

    /// What happened to records.
    pub enum Change {
        /// They are shown now.
        Added = "added",
        /// They are not any more.
        Removed = "removed",
    }

    /// What the reconciler did when it failed.
    pub enum Step {
        /// It asked what is shown.
        Observe = "observe",
        /// It changed what is shown.
        Apply = "apply",
    }

    /// What pruning takes away.
    pub enum Forgotten {
        /// Probes with their evidence.
        Probes = "probes",
        /// Peers of which there is no probe any more.
        Peers = "peers",
    }
}

/// The names of [`crate::decide::Standing`].
pub(super) const STANDINGS: &[&str] = &[
    "registered",
    "named",
    "probing",
    "verified",
    "suspended",
    "refused",
    "retired",
];

/// The statuses that the origin answers with.
pub(super) const STATUSES: &[&str] = &["200", "400", "403", "404", "409", "410", "503", "other"];

pub(super) fn status(status: u16) -> &'static str {
    match status {
        200 => "200",
        400 => "400",
        403 => "403",
        404 => "404",
        409 => "409",
        410 => "410",
        503 => "503",
        _ => "other",
    }
}
