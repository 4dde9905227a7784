//! Who is behind an address: what is counted for strangers is counted for these, never for single addresses of them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whoever has one IPv6 address has its whole /64 (RFC 6177), and a mapped IPv4 address is that address.
pub(crate) fn holder(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        v4 => v4,
    }
}

/// The /24 or /48 that an address is in: what one customer of a provider gets at most, and what many share.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 80 << 80)),
        IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() >> 8 << 8)),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn prefixes() {
        for (address, of, beside) in [
            ("192.0.2.77", "192.0.2.77", "192.0.2.0"),
            ("::ffff:192.0.2.77", "192.0.2.77", "192.0.2.0"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::", "2001:db8:1::"),
        ] {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(holder(address), of.parse::<IpAddr>().unwrap());
            assert_eq!(network(address), beside.parse::<IpAddr>().unwrap());
        }
    }
}
