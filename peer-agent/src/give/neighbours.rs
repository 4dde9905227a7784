//! What lies near this machine though its address is public: the machine itself, and those that share its IPv6 network. A client that
//! reaches them through the peer has come past the filters of router and machine.

use std::{io, net::IpAddr};

use super::policy::translated;

/// An address of this machine, and the length of its network's prefix.
pub(super) type Interface = (IpAddr, u32);

/// Whether `address` is one of this machine, or of its IPv6 network. (IPv4 networks with public addresses are shared by strangers in a
/// data centre, and a home has none.)
pub(super) fn is_near(address: IpAddr, interfaces: &[Interface]) -> bool {
    let address = match address.to_canonical() {
        IpAddr::V6(address) => translated(address).map_or(IpAddr::V6(address), IpAddr::V4),
        v4 @ IpAddr::V4(_) => v4,
    };
    interfaces.iter().any(|(own, prefix)| match (address, own) {
        (IpAddr::V6(address), IpAddr::V6(own)) => {
            let beyond = 128_u32.saturating_sub(*prefix);
            address == *own || *prefix >= SHORTEST && address.to_bits() >> beyond == own.to_bits() >> beyond
        }
        _ => address == own.to_canonical(),
    })
}

/// The addresses of this machine now: they change, as do networks.
///
/// # Errors
/// When the system does not tell.
#[cfg(unix)]
pub(super) fn interfaces() -> io::Result<Vec<Interface>> {
    let found = nix::ifaddrs::getifaddrs()?;
    let of = |found: nix::ifaddrs::InterfaceAddress| {
        let address = found.address?;
        if let Some(v4) = address.as_sockaddr_in() {
            return Some((v4.ip().into(), 32));
        }
        let mask = found
            .netmask
            .and_then(|mask| mask.as_sockaddr_in6().map(|mask| mask.ip()));
        let mask = mask.unwrap_or(std::net::Ipv6Addr::from_bits(u128::MAX));
        Some((address.as_sockaddr_in6()?.ip().into(), mask.to_bits().leading_ones()))
    };
    Ok(found.filter_map(of).collect())
}

/// Not asked for here: only addresses that are not public are refused.
#[cfg(not(unix))]
pub(super) fn interfaces() -> io::Result<Vec<Interface>> {
    Ok(Vec::new())
}

/// Of prefixes that a network of one household has: what is shorter is a provider's, or a tunnel to everywhere.
const SHORTEST: u32 = 48;

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn this_machine_and_its_ipv6_network_are_near() {
        let interface = |address: &str, prefix| (address.parse::<IpAddr>().unwrap(), prefix);
        let interfaces = [
            interface("198.18.5.7", 24),
            interface("2600:1:2:3::7", 64),
            interface("2600:9::1", 0),
            interface("2600:8::1", 128),
        ];
        for (address, near) in [
            ("198.18.5.7", true),
            ("::ffff:198.18.5.7", true),
            ("64:ff9b::198.18.5.7", true),
            ("198.18.5.8", false),
            ("2600:1:2:3::7", true),
            ("2600:1:2:3:ffff::1", true),
            ("2600:1:2:4::7", false),
            ("2600:9::1", true),
            ("2600:9::2", false),
            ("2600:8::1", true),
            ("2600:8::2", false),
        ] {
            assert_eq!(is_near(address.parse().unwrap(), &interfaces), near, "{address}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn the_system_tells_the_machines_addresses() {
        let found = interfaces().unwrap();
        assert!(is_near("127.0.0.1".parse().unwrap(), &found), "{found:?}");
    }
}
