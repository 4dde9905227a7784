//! What to do about a reason for whoever probes by hand: mostly what the peer's owner is told, but there is no agent and no
//! registration here, and what is beyond the peer may be out of its reach.

use proto::claims::Path;

use crate::model::Reason;

/// What to do, in a sentence.
pub(super) const fn of(reason: Reason, path: Path, out_of_reach: bool) -> &'static str {
    match (reason, path) {
        (Reason::ResolveFailed, Path::Direct) => {
            "the peer's name has no address: see to its spelling, or name its zone's own server with --via if the zone is not \
            delegated yet"
        }
        (Reason::ResolveFailed, Path::Fronted) => "the edge's name has no address: see to --edge",
        (Reason::PinMismatch, _) => {
            "another TLS key than the one of --pin answers: compare it with the peer's own, and see where the port is \
            forwarded to"
        }
        (Reason::ConnectLocal, _) => {
            "this machine could not open a connection: see to its network, its routes and its limits"
        }
        (Reason::ControlFailed | Reason::OriginFailed, _) => {
            "the configured origin does not answer this machine either, so nothing is held against the peer: start `attester \
            serve`, or probe with --origin"
        }
        (Reason::AttesterFailed, _) => "the probe could not be made: see to what is told of it",
        (Reason::Egress, _) => {
            "it carries traffic, which leaves from another address than the one that was dialled: an attester would not admit \
            it, so do not chain the proxy behind another"
        }
        (Reason::ProxyHost, _) => reason.remedy(),
        (Reason::ConnectRefused | Reason::ConnectTimeout | Reason::TlsTimeout | Reason::TlsFailed, Path::Fronted) => {
            "this is between here and the edge, the peer had no part in it: see to --edge, --edge-name, --sni and --edge-ca"
        }
        (_, Path::Fronted) => {
            "it broke off behind the edge, which may have caused it: probe the peer without --edge to tell the two apart"
        }
        (_, Path::Direct) if out_of_reach && may_be_the_origins(reason) => {
            "nothing arrived at the origin: see whether the peer can reach it (firewall, NAT, private address); if it can, the \
            peer does not forward"
        }
        (Reason::TunnelToken, Path::Direct) => {
            "it takes no CONNECT with this token, or with none: name the one that the proxy checks with --token-file, or another \
            --protocol if it serves no CONNECT"
        }
        (_, Path::Direct) => reason.remedy(),
    }
}

/// Whether a request that did not arrive explains the reason as well as a peer that does not forward.
pub(super) const fn may_be_the_origins(reason: Reason) -> bool {
    // A token is asked for before any destination is looked for.
    matches!(
        reason,
        Reason::TunnelTimeout
            | Reason::TunnelRefused
            | Reason::TunnelClosed
            | Reason::FirstByteTimeout
            | Reason::FirstByteClosed
            | Reason::NotForwarded
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nothing that speaks of registrations, agents and receipts, which there are none of here.
    #[test]
    fn no_advice_is_about_what_is_not_there() {
        let possible = Reason::ALL.iter().filter(|reason| {
            matches!(
                reason.phase(),
                "resolve" | "connect" | "tls" | "tunnel" | "first-byte" | "complete" | "V2" | "V4"
            )
        });
        for reason in possible {
            for (path, out_of_reach) in [(Path::Direct, false), (Path::Direct, true), (Path::Fronted, false)] {
                let advice = of(*reason, path, out_of_reach);
                for word in ["agent", "registered address", "register again", "receipt"] {
                    assert!(!advice.contains(word), "{reason}: {advice}");
                }
            }
        }
        assert!(of(Reason::TunnelRefused, Path::Direct, true).contains("can reach it"));
        assert!(of(Reason::TunnelRefused, Path::Direct, false).contains("see its log"));
        assert!(of(Reason::TunnelToken, Path::Direct, true).contains("--token-file"));
        assert!(of(Reason::TlsFailed, Path::Fronted, false).contains("--edge-ca"));
    }
}
