//! The one enum of reasons: each names the phase it belongs to, who must act and what to do.

use std::{fmt, str::FromStr};

/// Who must act on a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The peer or its owner: the outcome is *failed* (or the registration rejected).
    Peer,
    /// The attester or its surroundings: the outcome is *inconclusive*.
    Attester,
    /// Nobody can say: the outcome is *inconclusive*.
    Unknown,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $phase:literal, $blame:ident, $remedy:literal;)+) => {
        /// Why a registration was rejected, a probe failed or said nothing, or a peer left.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason { $($(#[$doc])* $variant,)+ }

        impl Reason {
            /// Every reason, in the order in which checks are made.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The stable code that programs compare.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)+ }
            }

            /// The phase, check or moment that it belongs to.
            pub const fn phase(self) -> &'static str {
                match self { $(Self::$variant => $phase,)+ }
            }

            /// Who must act.
            pub const fn blame(self) -> Blame {
                match self { $(Self::$variant => Blame::$blame,)+ }
            }

            /// What a peer's owner (or the operator) can do, in a sentence.
            pub const fn remedy(self) -> &'static str {
                match self { $(Self::$variant => $remedy,)+ }
            }
        }

        impl FromStr for Reason {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                match text { $($code => Ok(Self::$variant),)+ _ => Err(format!("unknown reason {text:?}")) }
            }
        }
    };
}

reasons! {
    /// The registration claim does not parse, or its signature does not hold.
    RegistrationInvalid = "registration-invalid", "register", Peer,
        "the registration could not be read: update the peer's software";
    /// The registration is for another session or attester.
    RegistrationSession = "registration-session", "register", Peer,
        "the registration belongs to another session: let the agent reconnect";
    /// The channel bindings differ.
    Relay = "relay", "register", Peer,
        "somebody relays the connection between the agent and the attester: connect without a TLS-intercepting proxy";
    /// The claimed address is not where the session comes from.
    AddressNotSource = "address-not-source", "register", Peer,
        "the claimed address is not the one that the session comes from: register the address that the peer's own connections show";
    /// The claimed address is in a reserved range.
    AddressReserved = "address-reserved", "register", Peer,
        "the claimed address is not reachable from the internet: register the public address of your router";
    /// The successions beside the registration do not hold, or are not this key's.
    SuccessionInvalid = "succession-invalid", "register", Peer,
        "the proof that this identity comes from an older key does not hold: restore the successions file beside the identity, or remove it";
    /// The key has given its identity to a newer one.
    KeySucceeded = "key-succeeded", "register", Peer,
        "this identity was moved to a new key: use the new identity file";
    /// The older key's identity is another key's already.
    SuccessionTaken = "succession-taken", "register", Peer,
        "the older identity was moved to another key before: use that key, or remove the successions file and be a new peer";
    /// Another live identity holds this ip:port.
    AddressHeld = "address-held", "register", Peer,
        "another peer already serves at this address and port: choose another port or stop the other peer";
    /// The attester takes no more peers now.
    AttesterFull = "attester-full", "register", Attester,
        "the attester serves as many peers as it can: the agent tries again by itself";
    /// The claimed port refuses connections.
    PortRefused = "port-refused", "register", Peer,
        "the port refused the connection: forward it on your router and let it through the firewall";
    /// The claimed port does not answer.
    PortSilent = "port-silent", "register", Peer,
        "nothing answers at the address and port: forward the port on your router and let it through the firewall";
    /// No TLS at the claimed port.
    PortNoTls = "port-no-tls", "register", Peer,
        "the port answers, but not with TLS: check that the proxy listens there and nothing else does";
    /// Another TLS key at the claimed port.
    PortOtherKey = "port-other-key", "register", Peer,
        "another TLS key answers at the address and port: check the port forwarding, and that the registered certificate is the proxy's";

    /// The peer's name does not resolve to its address.
    ResolveFailed = "resolve-failed", "resolve", Attester,
        "the attester's own DNS did not give the peer's name: the operator should look at the publisher";
    /// The peer refuses TCP connections.
    ConnectRefused = "connect-refused", "connect", Peer,
        "the port refused the connection: check that the proxy runs and that the port is forwarded";
    /// The peer does not accept TCP connections in time.
    ConnectTimeout = "connect-timeout", "connect", Peer,
        "the port does not answer: check the router, the firewall and the internet connection";
    /// The attester could not send at all.
    ConnectLocal = "connect-local", "connect", Attester,
        "the attester could not open a connection: the operator should look at its network and limits";
    /// TCP is accepted, then nothing.
    TlsTimeout = "tls-timeout", "tls", Peer,
        "the connection is accepted, but the TLS handshake does not finish: restart the proxy, or the machine may be too weak";
    /// The handshake fails.
    TlsFailed = "tls-failed", "tls", Peer,
        "the TLS handshake fails: check that the proxy listens on this port and nothing else does";
    /// V0: another key than the registered one.
    PinMismatch = "pin-mismatch", "tls", Peer,
        "the TLS key is not the registered one: let the agent register again after the certificate's key changed";
    /// A peer that is to be reached through an edge gives itself another name than its own; or any peer, what is no name.
    ProxyHost = "proxy-host", "tunnel", Peer,
        "the proxy calls itself by another name than its own, so that an edge would send its clients elsewhere: let it report the name that the attester gave it";
    /// The tunnel does not open in time.
    TunnelTimeout = "tunnel-timeout", "tunnel", Peer,
        "the proxy took the request and did not answer in time: the machine or its connection may be overloaded";
    /// The proxy refuses to open the tunnel.
    TunnelRefused = "tunnel-refused", "tunnel", Peer,
        "the proxy refused to open the tunnel: check that it may reach the internet, and see its log";
    /// The proxy answers a CONNECT with 400, as those do that ask for a token.
    TunnelToken = "tunnel-token", "tunnel", Peer,
        "the proxy takes no CONNECT with the token that it was told, or with none: let the agent register the token that the proxy checks, or no connect where it serves none";
    /// The proxy's answer is not of the protocol.
    TunnelMalformed = "tunnel-malformed", "tunnel", Peer,
        "the proxy's answer is not the protocol that it registered: update it or register another protocol";
    /// An answer is not of the tunnel that was asked for, or says that the tunnel was there before.
    TunnelLost = "tunnel-lost", "tunnel", Peer,
        "the proxy mixes up its tunnels, or got a request twice: let one process serve the port, and nothing in front of it repeat requests or answer them from a cache";
    /// The proxy hangs up instead of opening the tunnel.
    TunnelClosed = "tunnel-closed", "tunnel", Peer,
        "the proxy hung up instead of opening the tunnel: see its log";
    /// Nothing comes back through the tunnel.
    FirstByteTimeout = "first-byte-timeout", "first-byte", Peer,
        "nothing came back through the tunnel: the proxy may not reach the internet, or its upload is too slow";
    /// The tunnel ends before anything came back.
    FirstByteClosed = "first-byte-closed", "first-byte", Peer,
        "the tunnel ended before anything came back: the proxy may not reach the destination";
    /// Something came back, but the request never reached the destination.
    NotForwarded = "not-forwarded", "complete", Peer,
        "the proxy answered by itself: the request never reached its destination";
    /// The answer stops short.
    Truncated = "truncated", "complete", Peer,
        "the answer ended too early: the proxy cuts connections, or its own connection breaks";
    /// The answer does not finish in time.
    CompleteTimeout = "complete-timeout", "complete", Peer,
        "the answer did not finish in time: too little bandwidth";
    /// More came back than the destination sent.
    Overlong = "overlong", "complete", Peer,
        "more came back than the destination sent: something adds bytes to the traffic";
    /// The agent did not acknowledge the announcement.
    AckMissing = "ack-missing", "announce", Peer,
        "the agent did not acknowledge an announced probe: update or restart it";
    /// The agent refused the announcement.
    AckRefused = "ack-refused", "announce", Peer,
        "the agent refused an announced probe: check the machine's clock";
    /// No receipt.
    ReceiptMissing = "receipt-missing", "receipt", Peer,
        "no receipt came for a probe that went through: the agent must watch the traffic of the proxy that it registers";

    /// V1: not a receipt that this peer signed.
    ReceiptSignature = "receipt-signature", "V1", Peer,
        "the receipt is not signed with the registered key: one agent, one identity file";
    /// V1: a receipt for another probe, nonce or destination.
    ReceiptMismatch = "receipt-mismatch", "V1", Peer,
        "the receipt is for other traffic than the probe";
    /// V2: no valid statement of the origin in the answer.
    StatementInvalid = "statement-invalid", "V2", Peer,
        "the answer does not carry the destination's signed statement: something between changes the traffic";
    /// V2: a statement of an earlier probe.
    StatementReplayed = "statement-replayed", "V2", Peer,
        "the answer belongs to an earlier request: a cache answers instead of the destination";
    /// V2: the body is not the one that the origin signed.
    BodyAltered = "body-altered", "V2", Peer,
        "the body was changed on its way: something between changes the traffic";
    /// V2: the head is not the one that goes with the statement.
    HeadAltered = "head-altered", "V2", Peer,
        "the answer's head was changed on its way: something between adds or changes HTTP headers";
    /// V3: the receipt's bytes are not the prober's.
    BytesDiffer = "bytes-differ", "V3", Peer,
        "the peer carried other bytes than the client sent or received";
    /// V4: the request came from an address that is not the peer's.
    Egress = "egress", "V4", Peer,
        "the traffic left from another address than the registered one: do not chain the proxy behind another";
    /// V5: the receipt came too late.
    ReceiptLate = "receipt-late", "V5", Peer,
        "the receipt came after the probe's window: the machine or its connection may be overloaded";
    /// V5: the peer's times are out of order.
    ClockSkew = "clock", "V5", Unknown,
        "the machine's clock jumps: let it be set from the network";
    /// V6: the nonce was used before.
    Replayed = "replayed", "V6", Attester,
        "the nonce of the probe was already used for another one: the operator should look at the attester's random numbers";
    /// V7: too slow.
    Goodput = "goodput", "V7", Peer,
        "the measured throughput is below the floor: the connection is too slow for give mode";

    /// The probe through an edge broke off, while the peer's direct route works.
    Edge = "edge", "control", Unknown,
        "the probe broke off behind an edge, which may have cut it, so nothing is held against the peer: the direct route works";
    /// The control probe did not succeed.
    ControlFailed = "control-failed", "control", Attester,
        "the attester could not reach its own origin in the same seconds, so nothing is held against the peer";
    /// The origin was not there.
    OriginFailed = "origin-failed", "control", Attester,
        "the attester's origin failed, so nothing is held against the peer";
    /// The attester could not finish the probe itself.
    AttesterFailed = "attester-failed", "control", Attester,
        "the attester could not make the probe: the operator should look at its log";
    /// The peer has no session, so that it cannot be proved.
    NoSession = "no-session", "session", Unknown,
        "the agent is not connected to the attester: start it or check its network";
    /// The lease lapsed.
    LeaseLapsed = "lease-lapsed", "lease", Unknown,
        "no proof renewed the lease in time";
    /// The peer said goodbye.
    Goodbye = "goodbye", "session", Unknown,
        "the peer said goodbye";
    /// A newer identity took the address over.
    AddressTaken = "address-taken", "session", Unknown,
        "another identity now serves at this address and port";
    /// Stored evidence did not verify again.
    EvidenceInvalid = "evidence-invalid", "restore", Attester,
        "the attester's own evidence does not hold together, so nothing is held against the peer: it is proved anew";
    /// A key that the evidence rests on was revoked.
    KeyRevoked = "key-revoked", "restore", Attester,
        "the attester has revoked a key of its own, and what rests on that does not count, so nothing is held against the peer: it is proved anew";
    /// The rotation has another port.
    Port = "port", "rotation", Unknown,
        "address records carry no port, so only peers on the rotation's port are in it; this peer is reached by its own name";
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    /// The protocol's text lists every reason as it is here.
    #[test]
    fn the_protocol_text_lists_every_reason() {
        let text = include_str!("../../../proto/README.md");
        let table = text.split("<!-- reasons -->").nth(1).unwrap();
        let listed: Vec<&str> = table.lines().filter(|line| line.starts_with("| `")).collect();
        let rows: Vec<String> = Reason::ALL
            .iter()
            .map(|reason| {
                let blame = format!("{:?}", reason.blame()).to_lowercase();
                format!(
                    "| `{}` | {} | {blame} | {} |",
                    reason.code(),
                    reason.phase(),
                    reason.remedy()
                )
            })
            .collect();
        for (row, line) in rows.iter().zip(&listed) {
            assert_eq!(row, line);
        }
        assert_eq!(rows.len(), listed.len());
    }

    #[test]
    fn codes_are_unique_and_come_back() {
        for reason in Reason::ALL {
            assert_eq!(reason.code().parse::<Reason>().unwrap(), *reason);
            assert!(reason.code().len() <= 32 && !reason.remedy().is_empty(), "{reason}");
        }
    }
}
