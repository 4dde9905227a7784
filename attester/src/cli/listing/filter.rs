//! What listings are narrowed down by, as it is typed.

use std::{net::IpAddr, time::Duration};

use clap::builder::PossibleValuesParser;

use crate::model::Reason;

/// An address, or all that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Network {
    ip: IpAddr,
    bits: u8,
    port: Option<u16>,
}

impl Network {
    /// Reads `192.0.2.7`, `192.0.2.7:443`, `192.0.2.0/24`, `2001:db8::/32` or `[2001:db8::1]:443`.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse::<std::net::SocketAddr>() {
            let ip = address.ip().to_canonical();
            return Ok(Self {
                ip,
                bits: width(ip),
                port: Some(address.port()),
            });
        }
        let (ip, bits) = match text.split_once('/') {
            Some((ip, bits)) => (ip, Some(bits)),
            None => (text, None),
        };
        let ip: IpAddr = ip.parse().map_err(|_| EXPECTED.to_owned())?;
        let bits = match bits {
            None => width(ip),
            Some(bits) => {
                let wrong = |_| format!("the prefix has 0 to {} bits", width(ip));
                bits.parse().map_err(wrong)?
            }
        };
        if bits > width(ip) {
            return Err(format!("the prefix has 0 to {} bits", width(ip)));
        }
        Ok(Self { ip, bits, port: None })
    }

    /// Whether an address, at a port if there is one, is in it.
    pub(super) fn holds(&self, ip: IpAddr, port: Option<u16>) -> bool {
        let same = match (self.ip, ip.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(ip)) => {
                let shift = 32 - u32::from(self.bits);
                u32::from(net).checked_shr(shift) == u32::from(ip).checked_shr(shift)
            }
            (IpAddr::V6(net), IpAddr::V6(ip)) => {
                let shift = 128 - u32::from(self.bits);
                u128::from(net).checked_shr(shift) == u128::from(ip).checked_shr(shift)
            }
            _ => false,
        };
        same && self.port.is_none_or(|wanted| port == Some(wanted))
    }
}

/// Reads `90s`, `5m`, `24h`, `30d` or `500ms`.
///
/// # Errors
/// What is wrong, in words.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| DURATION.to_owned())?;
    let seconds = |each: u64| number.checked_mul(each).map(Duration::from_secs);
    let duration = match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => seconds(1),
        "m" => seconds(60),
        "h" => seconds(3600),
        "d" => seconds(86_400),
        _ => None,
    };
    duration.ok_or_else(|| DURATION.to_owned())
}

/// The codes that exist.
pub(super) fn reasons() -> PossibleValuesParser {
    PossibleValuesParser::new(Reason::ALL.iter().map(|reason| reason.code()))
}

/// Whether `one` is among those asked for, if any were.
pub(super) fn is_asked(asked: &[String], one: Option<&str>) -> bool {
    asked.is_empty() || one.is_some_and(|one| asked.iter().any(|asked| asked == one))
}

const fn width(ip: IpAddr) -> u8 {
    match ip {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

const EXPECTED: &str =
    "expected an IP address, an ip:port or a network, such as 192.0.2.7, 192.0.2.7:443 or 192.0.2.0/24";
const DURATION: &str = "expected a length of time, such as 90s, 5m, 24h or 30d";

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn networks_hold_what_begins_with_their_bits() {
        for (network, ip, port, expected) in [
            ("192.0.2.0/24", "192.0.2.255", 1, true),
            ("192.0.2.0/24", "192.0.3.0", 1, false),
            ("192.0.2.7", "192.0.2.7", 1, true),
            ("192.0.2.7", "::ffff:192.0.2.7", 1, true),
            ("192.0.2.7:443", "192.0.2.7", 443, true),
            ("192.0.2.7:443", "192.0.2.7", 444, false),
            ("0.0.0.0/0", "203.0.113.9", 1, true),
            ("0.0.0.0/0", "2001:db8::1", 1, false),
            ("::/0", "2001:db8::1", 1, true),
            ("2001:db8::/32", "2001:db8:ffff::1", 1, true),
            ("2001:db8::/32", "2001:db9::1", 1, false),
            ("[2001:db8::1]:443", "2001:db8::1", 443, true),
        ] {
            let held = Network::parse(network).unwrap().holds(ip.parse().unwrap(), Some(port));
            assert_eq!(held, expected, "{network} {ip}:{port}");
        }
        for wrong in [
            "",
            "192.0.2",
            "192.0.2.0/33",
            "192.0.2.0/x",
            "::/129",
            "example.com",
            "/8",
        ] {
            assert!(Network::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("30d"), Ok(Duration::from_secs(2_592_000)));
        for wrong in [
            "",
            "5",
            "m",
            "-1s",
            "1.5h",
            "5 m",
            "99999999999999999999s",
            "18446744073709551615d",
        ] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
