use proto::{claims::Succession, key::SigningKey};

use super::*;

/// A peer's number, its address, whether it is a member, and the second at which it was last heard of.
type Peer = (u16, String, bool, Option<u64>);

fn key(number: u16) -> SigningKey {
    let mut seed = [0; 32];
    seed[..2].copy_from_slice(&number.to_be_bytes());
    SigningKey::from_seed(&seed)
}

fn id(number: u16) -> PeerId {
    key(number).public().peer_id()
}

/// The moves from each of these keys to the next.
fn moves(keys: &[u16]) -> Vec<Link> {
    let signed = |pair: &[u16]| {
        let (old, new) = (key(pair[0]), key(pair[1]));
        let pair = Succession::sign_pair(&old, &new, Timestamp::from_secs(1_800_000_000)).unwrap();
        Link::dangerously_at_any_time(pair).unwrap()
    };
    keys.windows(2).map(signed).collect()
}

/// What is told to a peer that had these keys, one after the other.
fn told(peers: &[Peer], keys: &[u16], ip: &str, most: usize) -> Result<Option<PeerId>, Full> {
    let ids: Vec<PeerId> = peers.iter().map(|(number, ..)| id(*number)).collect();
    let there = peers.iter().zip(&ids).map(|((_, ip, member, gone), id)| Occupant {
        id,
        ip: ip.parse().unwrap(),
        member: *member,
        gone: gone.map(Timestamp::from_secs),
    });
    let place = |id: &PeerId| there.clone().find(|of| of.id == id).map(|of| of.ip);
    let newcomer = Newcomer::new(id(*keys.last().unwrap()), ip.parse().unwrap(), &moves(keys));
    room(&newcomer, place, there.clone(), most).map(|gone| gone.cloned())
}

/// What is told to a peer that nobody knows.
fn asked(peers: &[Peer], ip: &str, most: usize) -> Result<Option<PeerId>, Full> {
    told(peers, &[900], ip, most)
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

/// Nine at one address, of which the last is a member.
fn crowd_around_a_member() -> Vec<Peer> {
    let mut crowd = peers(8, |_| "192.0.2.7".to_owned(), false, |_| None);
    crowd.push((8, "192.0.2.7".to_owned(), true, None));
    crowd
}

/// Its neighbours must not keep a member from another key: they could not keep it from coming back under the old one.
#[test]
fn who_was_at_a_full_address_keeps_its_place_under_another_key() {
    let crowd = crowd_around_a_member();
    for (keys, expected) in [
        (&[900][..], Err(Full::Here)),
        // The member, and one that is none, as they were, after one move and after two.
        (&[8], Ok(None)),
        (&[8, 901], Ok(None)),
        (&[8, 901, 902], Ok(None)),
        (&[3], Ok(None)),
        (&[3, 901], Ok(None)),
        // It was here under a key in between.
        (&[903, 8, 901], Ok(None)),
        // Who never was.
        (&[903, 900], Err(Full::Here)),
        (&[903, 901, 900], Err(Full::Here)),
    ] {
        assert_eq!(told(&crowd, keys, "192.0.2.7", 100), expected, "{keys:?}");
    }
    // Nor do they keep it out when there are as many peers as may be in all.
    assert_eq!(told(&crowd, &[8, 901], "192.0.2.7", 9), Ok(None));
}

#[test]
fn who_was_in_a_full_network_keeps_its_place_under_another_key() {
    for (at, elsewhere) in [("192.0.2.200", "192.0.2.201"), ("2001:db8:1:ff::1", "2001:db8:1:fe::1")] {
        let spread = |number: u16| match at.contains('.') {
            true => format!("192.0.2.{}", number / 4 + 1),
            false => format!("2001:db8:1:{:x}::1", number / 4 + 1),
        };
        let mut network = peers(32, spread, false, |_| None);
        network.push((32, at.to_owned(), true, None));
        for (keys, ip, expected) in [
            (&[900][..], at, Err(Full::Near)),
            (&[32, 901], at, Ok(None)),
            (&[32, 901, 902], at, Ok(None)),
            (&[903, 900], at, Err(Full::Near)),
            // A place is one at an address. A member that comes from another one is not proven there, under whatever key.
            (&[32], elsewhere, Err(Full::Near)),
            (&[32, 901], elsewhere, Err(Full::Near)),
            // One that was not proven either leaves a place for itself.
            (&[3], elsewhere, Ok(None)),
            (&[3, 901], elsewhere, Ok(None)),
        ] {
            assert_eq!(told(&network, keys, ip, 100), expected, "{keys:?} at {ip}");
        }
    }
}

#[test]
fn who_moves_to_another_address_leaves_a_place_among_all() {
    let far = |number: u16| format!("10.0.{number}.1");
    let there = peers(20, far, true, |_| None);
    for (keys, expected) in [
        (&[900][..], Err(Full::Everywhere)),
        (&[903, 900], Err(Full::Everywhere)),
        (&[7, 901], Ok(None)),
        (&[7, 901, 902], Ok(None)),
    ] {
        assert_eq!(told(&there, keys, "198.51.100.1", 20), expected, "{keys:?}");
    }
}
