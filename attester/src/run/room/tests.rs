use proto::key::SigningKey;

use super::*;

/// A peer's number, its address, whether it is a member, and the second at which it was last heard of.
type Peer = (u16, String, bool, Option<u64>);

fn id(number: u16) -> PeerId {
    let mut seed = [0; 32];
    seed[..2].copy_from_slice(&number.to_be_bytes());
    SigningKey::from_seed(&seed).public().peer_id()
}

fn asked(peers: &[Peer], ip: &str, most: usize) -> Result<Option<PeerId>, Full> {
    let ids: Vec<PeerId> = peers.iter().map(|(number, ..)| id(*number)).collect();
    let there = peers.iter().zip(&ids).map(|((_, ip, member, gone), id)| Occupant {
        id,
        ip: ip.parse().unwrap(),
        member: *member,
        gone: gone.map(Timestamp::from_secs),
    });
    room(there, ip.parse().unwrap(), most).map(|gone| gone.cloned())
}

fn peers(count: u16, ip: impl Fn(u16) -> String, member: bool, gone: impl Fn(u16) -> Option<u64>) -> Vec<Peer> {
    (0..count)
        .map(|number| (number, ip(number), member, gone(number)))
        .collect()
}

#[test]
fn eight_without_membership_at_one_address_and_then_the_longest_gone_goes() {
    let at = |_| "192.0.2.7".to_owned();
    let connected = peers(8, at, false, |_| None);
    assert_eq!(asked(&connected[..7], "192.0.2.7", 100), Ok(None));
    assert_eq!(asked(&connected, "192.0.2.7", 100), Err(Full::Here));
    assert_eq!(asked(&connected, "192.0.2.8", 100), Ok(None));
    let some_gone = peers(8, at, false, |number| (number > 2).then(|| 100 - u64::from(number)));
    assert_eq!(asked(&some_gone, "192.0.2.7", 100), Ok(Some(id(7))));
    // Members are not counted, and never go.
    let members = peers(20, at, true, |_| Some(1));
    assert_eq!(asked(&members, "192.0.2.7", 100), Ok(None));
    assert_eq!(asked(&members, "192.0.2.7", 20), Err(Full::Everywhere));
}

#[test]
fn one_ipv6_network_is_one_holder() {
    let many = peers(8, |number| format!("2001:db8:1:2::{}", number + 1), false, |_| None);
    assert_eq!(asked(&many, "2001:db8:1:2:ffff::1", 100), Err(Full::Here));
    assert_eq!(asked(&many, "2001:db8:1:3::1", 100), Ok(None));
}

#[test]
fn many_addresses_of_one_network_have_a_limit_too() {
    let v4 = peers(32, |number| format!("192.0.2.{}", number / 4 + 1), false, |_| None);
    assert_eq!(asked(&v4, "192.0.2.99", 100), Err(Full::Near));
    assert_eq!(asked(&v4[..31], "192.0.2.99", 100), Ok(None));
    assert_eq!(asked(&v4, "192.0.3.99", 100), Ok(None));
    let v6 = peers(
        32,
        |number| format!("2001:db8:1:{number}::1"),
        false,
        |number| (number == 5).then_some(9),
    );
    assert_eq!(asked(&v6, "2001:db8:1:ffff::1", 100), Ok(Some(id(5))));
}

/// A flood of peers that are gone keeps nobody out for longer than it takes to forget one of them.
#[test]
fn when_all_is_full_somebody_who_is_gone_goes() {
    let far = |number: u16| format!("10.{}.{}.1", number / 256, number % 256);
    let gone = peers(50, far, false, |number| Some(u64::from(number) + 10));
    assert_eq!(asked(&gone, "192.0.2.7", 50), Ok(Some(id(0))));
    let there = peers(50, far, false, |_| None);
    assert_eq!(asked(&there, "192.0.2.7", 50), Err(Full::Everywhere));
    assert_eq!(asked(&there, "192.0.2.7", 51), Ok(None));
}
