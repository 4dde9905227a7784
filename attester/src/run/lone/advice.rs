//! Who must act on a reason, and what to do about it, for whoever probes by hand: mostly what the peer's owner is told, but there is no
//! agent and no registration here, and what is beyond the peer may be out of its reach.

use proto::claims::Path;

use crate::model::{Blame, Reason};

/// Who must act. Behind an edge it is nobody for certain, whatever the reason, as for the service: whoever holds the edge can lead to
/// another peer, or write what it likes.
pub(super) const fn blame(reason: Reason, path: Path, out_of_reach: bool) -> Blame {
    match (reason.blame(), path) {
        // Between here and the edge the peer has no part: it is the edge's options that are to be looked at.
        (Blame::Peer, Path::Fronted) if is_before_the_edge(reason) => Blame::Attester,
        (Blame::Peer, Path::Fronted) => Blame::Unknown,
        (Blame::Peer, Path::Direct) if out_of_reach && may_be_the_origins(reason) => Blame::Unknown,
        (blame, _) => blame,
    }
}

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
        (Reason::ProxyHost, Path::Fronted) => {
            "the edge leads to a peer that calls itself otherwise, which may be the edge's doing: probe the peer's address without \
            --edge, with this --host, to see what it calls itself"
        }
        (reason, Path::Fronted) if is_before_the_edge(reason) => {
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

const fn is_before_the_edge(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::ConnectRefused | Reason::ConnectTimeout | Reason::TlsTimeout | Reason::TlsFailed | Reason::PinMismatch
    )
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

    #[test]
    fn behind_an_edge_nothing_is_the_peers_for_certain() {
        for reason in Reason::ALL {
            let told = [false, true].map(|out_of_reach| blame(*reason, Path::Fronted, out_of_reach));
            let expected = match (reason.blame(), reason.phase()) {
                (Blame::Peer, "connect" | "tls") => Blame::Attester,
                (Blame::Peer, _) => Blame::Unknown,
                (blame, _) => blame,
            };
            assert_eq!(told, [expected; 2], "{reason}");
            assert_eq!(blame(*reason, Path::Direct, false), reason.blame());
        }
        assert_eq!(blame(Reason::NotForwarded, Path::Direct, true), Blame::Unknown);
        let advice = of(Reason::ProxyHost, Path::Fronted, false);
        assert!(
            advice.contains("without --edge") && advice.contains("--host"),
            "{advice}"
        );
    }

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
