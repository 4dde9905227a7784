//! For the `fuzz` crate only, and no part of the interface: what a reply to one question says, without a socket.

use std::{net::IpAddr, net::Ipv4Addr, time::Duration};

use hickory_proto::rr::RecordType;
use rand::{SeedableRng, rngs::StdRng};

use super::{Asked, ResolveError, Resolver};
use crate::records::Name;

/// The addresses of `name`, of IPv6 or IPv4, in a reply to the question with this id; `None` when the bytes are no reply
/// to it.
///
/// # Errors
/// What the resolver would say.
pub fn addresses_in(reply: &[u8], name: &Name, ipv6: bool, id: u16) -> Result<Option<Vec<IpAddr>>, ResolveError> {
    let nameserver = (Ipv4Addr::LOCALHOST, 53).into();
    let resolver = Resolver::new(nameserver, None, Duration::from_secs(1), StdRng::seed_from_u64(0));
    let kind = if ipv6 { RecordType::AAAA } else { RecordType::A };
    let asked = Asked {
        id,
        ..Asked::new(&resolver, name, kind)?
    };
    match asked.reply(reply, &resolver)? {
        Some(message) => resolver.read(name, &asked, message).map(Some),
        None => Ok(None),
    }
}
