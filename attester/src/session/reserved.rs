//! Addresses that no peer can be reached at from the internet: the attester must not be talked into dialling them
//! (promise P7). After the IANA special-purpose address registries (RFC 6890), without those of their entries that
//! belong to a service (AS112, AMT, anycast relays): nobody's home is there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address may be a peer's: public unicast, not reserved, and no other address in disguise (mapped, 6to4,
/// Teredo, NAT64).
pub fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => !IPV4.iter().any(|&(network, bits)| v4_is_in(v4, network, bits)),
        IpAddr::V6(v6) => v6_is_in(v6, GLOBAL_UNICAST) && !IPV6.iter().any(|&block| v6_is_in(v6, block)),
    }
}

fn v4_is_in(ip: Ipv4Addr, network: [u8; 4], bits: u32) -> bool {
    (ip.to_bits() ^ u32::from_be_bytes(network)).leading_zeros() >= bits
}

fn v6_is_in(ip: Ipv6Addr, (network, bits): (Ipv6Addr, u32)) -> bool {
    (ip.to_bits() ^ network.to_bits()).leading_zeros() >= bits
}

const fn v6(a: u16, b: u16, c: u16, bits: u32) -> (Ipv6Addr, u32) {
    (Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), bits)
}

const IPV4: &[([u8; 4], u32)] = &[
    ([0, 0, 0, 0], 8),       // this network (RFC 791)
    ([10, 0, 0, 0], 8),      // private (RFC 1918)
    ([100, 64, 0, 0], 10),   // shared by carriers' NATs (RFC 6598)
    ([127, 0, 0, 0], 8),     // loopback (RFC 1122)
    ([169, 254, 0, 0], 16),  // link-local (RFC 3927)
    ([172, 16, 0, 0], 12),   // private
    ([192, 0, 0, 0], 24),    // protocol assignments (RFC 6890)
    ([192, 0, 2, 0], 24),    // documentation (RFC 5737)
    ([192, 31, 196, 0], 24), // AS112 (RFC 7535)
    ([192, 52, 193, 0], 24), // AMT (RFC 7450)
    ([192, 88, 99, 0], 24),  // 6to4 relays (RFC 7526)
    ([192, 168, 0, 0], 16),  // private
    ([192, 175, 48, 0], 24), // AS112 (RFC 7534)
    ([198, 18, 0, 0], 15),   // benchmarks (RFC 2544)
    ([198, 51, 100, 0], 24), // documentation
    ([203, 0, 113, 0], 24),  // documentation
    ([224, 0, 0, 0], 4),     // multicast (RFC 5771)
    ([240, 0, 0, 0], 4),     // reserved, and broadcast (RFC 1112, RFC 919)
];

/// All that was ever given out for public unicast (RFC 4291, section 2.4). Outside it are loopback, mapped and
/// compatible IPv4, NAT64 (64:ff9b::/96 and 64:ff9b:1::/48), discard-only, SRv6 SIDs, unique local, link-local, site-local
/// and multicast.
const GLOBAL_UNICAST: (Ipv6Addr, u32) = v6(0x2000, 0, 0, 3);

const IPV6: &[(Ipv6Addr, u32)] = &[
    v6(0x2001, 0, 0, 23), // protocol assignments (RFC 2928): Teredo, benchmarks, ORCHID, AMT, AS112, …
    v6(0x2001, 0xdb8, 0, 32), // documentation (RFC 3849)
    v6(0x2002, 0, 0, 16), // 6to4 (RFC 3056)
    v6(0x2620, 0x4f, 0x8000, 48), // AS112 (RFC 7534)
    v6(0x3fff, 0, 0, 20), // documentation (RFC 9637)
];

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    /// The first and the last address of each reserved block.
    const RESERVED: &str = "\
        0.0.0.0 0.255.255.255 10.0.0.0 10.255.255.255 100.64.0.0 100.127.255.255 127.0.0.0 127.255.255.255 \
        169.254.0.0 169.254.255.255 172.16.0.0 172.31.255.255 192.0.0.0 192.0.0.255 192.0.2.0 192.0.2.255 \
        192.31.196.0 192.31.196.255 192.52.193.0 192.52.193.255 192.88.99.0 192.88.99.255 192.168.0.0 \
        192.168.255.255 192.175.48.0 192.175.48.255 198.18.0.0 198.19.255.255 198.51.100.0 198.51.100.255 \
        203.0.113.0 203.0.113.255 224.0.0.0 239.255.255.255 240.0.0.0 255.255.255.255 :: ::1 ::7f00:1 ::ffff:0:0 \
        ::ffff:8.8.8.8 ::ffff:127.0.0.1 64:ff9b:: 64:ff9b::808:808 64:ff9b:1:: 64:ff9b:1:ffff::1 100:: \
        100:0:0:1:: 1fff:ffff:: 2001:: 2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:2:: 2001:4:112:: 2001:10:: \
        2001:20:: 2001:1ff:ffff:: 2001:db8:: 2001:db8:ffff::1 2002:: 2002:808:808::1 2002:ffff:ffff:: \
        2620:4f:8000:: 2620:4f:8000:ffff:: 3fff:: 3fff:fff:ffff:: 4000:: 5f00:: fc00:: fdff:ffff:: fe80::1 \
        febf::1 fec0::1 ff00:: ff02::1";

    /// The neighbours of those blocks, and a few that everyone knows.
    const PUBLIC: &str = "\
        1.0.0.0 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 \
        169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 191.255.255.255 192.0.1.0 192.0.3.0 192.31.195.255 \
        192.31.197.0 192.52.192.255 192.88.98.255 192.88.100.0 192.167.255.255 192.169.0.0 192.175.47.255 \
        198.17.255.255 198.20.0.0 198.51.99.255 198.51.101.0 203.0.112.255 203.0.114.0 223.255.255.255 2000:: \
        2001:200:: 2001:db7:ffff:: 2001:db9:: 2001:4860:4860::8888 2003:: 2606:4700:4700::1111 \
        2620:4f:7fff:ffff:: 2620:4f:8001:: 3ffe:: 3fff:1000:: 3fff:ffff::";

    #[test]
    fn reserved_ranges_end_where_the_registries_say() {
        for text in RESERVED.split_whitespace() {
            assert!(!is_public(text.parse().unwrap()), "{text} is reserved");
        }
        for text in PUBLIC.split_whitespace() {
            assert!(is_public(text.parse().unwrap()), "{text} is public");
        }
    }
}
