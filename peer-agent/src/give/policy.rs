//! Which destinations a peer serves. The machine's own network is none of a stranger's business.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What may be dialled.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// Serve loopback, private and reserved addresses as well.
    pub allow_private: bool,
    /// Ports that are served; all of them when empty.
    pub ports: Vec<u16>,
}

/// Why a destination is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not a port that this peer serves.
    #[error("destination port {0} is not served by this peer")]
    Port(u16),
    /// This machine's own address, or one of its network.
    #[error("destination address {0} is of this peer's own network and not served by it")]
    Near(IpAddr),
    /// Loopback, private, reserved, multicast and the like.
    #[error("destination address {0} is private or reserved and not served by this peer")]
    Private(IpAddr),
}

impl Policy {
    /// Checks a destination's port.
    ///
    /// # Errors
    /// When it is not in the list.
    pub fn check_port(&self, port: u16) -> Result<(), Refusal> {
        if self.ports.is_empty() || self.ports.contains(&port) {
            Ok(())
        } else {
            Err(Refusal::Port(port))
        }
    }

    /// Checks one address of a destination. Only addresses that passed may be connected to: a name may resolve to something
    /// else a moment later.
    ///
    /// # Errors
    /// When it is not globally reachable unicast.
    pub fn check_address(&self, address: IpAddr) -> Result<(), Refusal> {
        if self.allow_private || is_public(address) {
            Ok(())
        } else {
            Err(Refusal::Private(address))
        }
    }
}

/// Globally reachable unicast, by the IANA special-purpose address registries (RFC 6890 and its updates).
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(mapped) => is_public_v4(mapped),
            None => is_public_v6(address),
        },
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !matches!(
        (a, b, c),
        (0 | 10 | 127, ..)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (192, 168, _)
            | (198, 18..=19, _)
            | (198, 51, 100)
            | (203, 0, 113)
            | (224.., ..)
    )
}

/// The IPv4 address that a NAT64 address leads to (RFC 6052).
pub(super) fn translated(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [0x64, 0xff9b, 0, 0, 0, 0, high, low] = address.segments() else {
        return None;
    };
    Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
}

/// Of all IPv6 only 2000::/3 is global unicast; NAT64 leads to an IPv4 address that is judged instead. Tunnels (Teredo,
/// 6to4) would lead past this check.
fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(inside) = translated(address) {
        return is_public_v4(inside);
    }
    match address.segments() {
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x2002, ..] => false,
        [0x3fff, 0..=0xfff, ..] => false,
        [first, ..] => (0x2000..=0x3fff).contains(&first),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn only_global_unicast_is_public() {
        for private in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.77.1.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.9",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::7f00:1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
        for public in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.0.1",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "192.167.0.1",
            "198.17.0.1",
            "223.255.255.255",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2606:4700::1111",
            "2001:4860:4860::8888",
            "2a00::1",
        ] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }

    #[test]
    fn ports() {
        let web = Policy {
            allow_private: false,
            ports: vec![80, 443],
        };
        assert_eq!(
            (web.check_port(443), web.check_port(25)),
            (Ok(()), Err(Refusal::Port(25)))
        );
        assert_eq!(Policy::default().check_port(25), Ok(()));
    }
}
