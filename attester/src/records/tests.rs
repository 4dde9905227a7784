#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use rand::{SeedableRng, rngs::StdRng};

use crate::verify::fixture;

use super::*;

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn names_are_folded_and_bounded() {
    assert_eq!(name("RoundRobin.Demo.Test.").as_str(), "roundrobin.demo.test");
    assert_eq!(name("_dns.x-y.test").as_str(), "_dns.x-y.test");
    let label = "a".repeat(63);
    let longest = [label.as_str(); 4].join(".");
    assert_eq!(longest.len(), 255);
    assert_eq!(name(&longest[2..]).as_str().len(), 253);

    assert_eq!(Name::parse(""), Err(NameError::Empty));
    assert_eq!(Name::parse("."), Err(NameError::Empty));
    assert_eq!(Name::parse(&longest[1..]), Err(NameError::TooLong { length: 254 }));
    assert!(matches!(Name::parse("a..b"), Err(NameError::EmptyLabel { .. })));
    assert!(matches!(Name::parse(".a"), Err(NameError::EmptyLabel { .. })));
    assert!(matches!(Name::parse("a.."), Err(NameError::EmptyLabel { .. })));
    assert!(matches!(
        Name::parse(&"a".repeat(64)),
        Err(NameError::LabelTooLong { .. })
    ));
    for bad in [
        "-a.test",
        "a-.test",
        "a b.test",
        "a\\.b.test",
        "*.test",
        "bücher.test",
        "a/b",
    ] {
        assert!(matches!(Name::parse(bad), Err(NameError::BadLabel { .. })), "{bad}");
    }
    assert!(matches!(Name::parse("127.0.0.1"), Err(NameError::Numeric { .. })));
}

#[test]
fn a_name_knows_its_zone() {
    let zone = name("demo.test");
    assert!(zone.is_within(&zone));
    assert!(name("a.b.demo.test").is_within(&zone));
    assert!(!name("notdemo.test").is_within(&zone));
    assert!(!name("test").is_within(&zone));
    assert_eq!(zone.child("peer-x").unwrap(), name("peer-x.demo.test"));
    assert!(zone.child("").is_err());
    assert_eq!(zone.parent(), Some(name("test")));
    assert_eq!(name("test").parent(), None);
}

#[test]
fn a_name_survives_serialisation_and_a_bad_one_does_not() {
    let text = serde_json::to_string(&name("A.test")).unwrap();
    assert_eq!(text, "\"a.test\"");
    assert_eq!(serde_json::from_str::<Name>(&text).unwrap(), name("a.test"));
    assert!(serde_json::from_str::<Name>("\"a..test\"").is_err());
}

#[test]
fn desired_records_are_addresses_and_caa_under_own_names_only() {
    let (peer, rotation) = (name("peer-a.demo.test"), name("roundrobin.demo.test"));
    let mut desired = Desired::new();
    desired.name_peer(
        peer.clone(),
        [ip("127.77.1.1"), ip("::ffff:127.77.1.1"), ip("2001:db8::1")],
    );
    desired.name_peer(name("peer-b.demo.test"), []);
    desired.admit(rotation.clone(), &fixture::member(ip("127.77.1.1")));
    let lines: Vec<String> = desired.records().iter().map(Record::to_string).collect();
    assert_eq!(
        lines,
        [
            "peer-a.demo.test. 30 IN A 127.77.1.1",
            "peer-a.demo.test. 30 IN AAAA 2001:db8::1",
            "peer-a.demo.test. 30 IN CAA 0 issue \";\"",
            "roundrobin.demo.test. 30 IN A 127.77.1.1",
        ]
    );
    assert_eq!(desired.own(&peer).unwrap().len(), 2);
    assert_eq!(desired.rotation(&rotation).unwrap().len(), 1);
    assert_eq!(desired.rotation(&peer), None);
}

#[test]
fn a_changed_ttl_is_a_removal_and_an_addition() {
    let new = Record::new(name("a.test"), ip("127.0.0.1"));
    let old = Record {
        ttl: 300,
        ..new.clone()
    };
    let changes = Changes::between(&[old.clone()].into(), &[new.clone()].into());
    assert_eq!(changes.add, [new.clone()].into());
    assert_eq!(changes.remove, [old.clone()].into());
    let mut records = BTreeSet::from([old]);
    changes.apply_to(&mut records);
    assert_eq!(records, [new].into());
}

fn records() -> impl Strategy<Value = BTreeSet<Record>> {
    let record = (0..6u8, 0..4u8, prop::bool::ANY).prop_map(|(owner, last, caa)| {
        let owner = name(&format!("n{owner}.test"));
        let address: RecordData = ip(&format!("127.0.0.{last}")).into();
        Record::new(owner, if caa { RecordData::Caa } else { address })
    });
    prop::collection::btree_set(record, 0..20)
}

proptest! {
    #[test]
    fn changes_lead_from_observed_to_desired_and_no_further(observed in records(), desired in records()) {
        let changes = Changes::between(&observed, &desired);
        prop_assert!(changes.add.is_disjoint(&observed));
        prop_assert!(changes.remove.is_subset(&observed));
        prop_assert!(changes.remove.is_disjoint(&desired));
        prop_assert_eq!(changes.is_empty(), observed == desired);
        let mut reached = observed;
        changes.apply_to(&mut reached);
        prop_assert_eq!(reached, desired);
    }

    #[test]
    fn a_name_that_parses_displays_as_itself(text in "[a-zA-Z0-9._-]{0,80}") {
        if let Ok(parsed) = Name::parse(&text) {
            prop_assert_eq!(Name::parse(&parsed.to_string()).unwrap(), parsed.clone());
            prop_assert_eq!(parsed.as_str(), text.trim_end_matches('.').to_ascii_lowercase());
        }
    }
}

#[test]
fn a_sample_is_all_while_it_is_no_larger_and_every_member_gets_its_turn() {
    let rng = &mut StdRng::seed_from_u64(7);
    let members: Vec<u32> = (0..10).collect();
    for size in [10, 11, usize::MAX] {
        let all: BTreeSet<u32> = sample(&members, size, rng).into_iter().collect();
        assert_eq!(all.len(), 10);
    }
    assert!(sample::<u32>(&[], 4, rng).is_empty());
    assert!(sample(&members, 0, rng).is_empty());

    let mut seen = BTreeSet::new();
    let mut first = BTreeSet::new();
    for _ in 0..500 {
        let some = sample(&members, 4, rng);
        assert_eq!(some.iter().collect::<BTreeSet<_>>().len(), 4);
        first.insert(some[0]);
        seen.extend(some);
    }
    assert_eq!((seen.len(), first.len()), (10, 10));
}
