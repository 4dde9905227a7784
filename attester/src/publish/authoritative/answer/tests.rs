#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    collections::{BTreeSet, HashSet},
    net::IpAddr,
    sync::LazyLock,
};

use hickory_proto::{op::OpCode, rr::Name as WireName};
use proptest::prelude::*;
use rand::{SeedableRng, rngs::StdRng};

use crate::{
    publish::authoritative::Zone,
    records::{self, Desired, Name},
    verify::fixture,
};

use super::*;

const PEER: &str = "peer-1.demo.test.";
const ROTATION: &str = "roundrobin.demo.test.";

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn zone() -> Zone {
    Zone {
        apex: name("demo.test"),
        rotations: [name(ROTATION), name("empty.demo.test")].into(),
        nameserver: name("ns.demo.test"),
        nameserver_addresses: ["192.0.2.53".parse().unwrap()].into(),
        sample: 16,
        negative_ttl: 10,
    }
}

fn member(number: u8) -> IpAddr {
    [127, 77, number, 1].into()
}

/// `peers` peers, each with an IPv4 address and all of them in the rotation; the first also has an IPv6 address.
fn served(peers: u8) -> Served {
    let mut desired = Desired::new();
    for number in 1..=peers {
        let own = name(&format!("peer-{number}.demo.test"));
        desired.name_peer(own, [member(number)]);
        desired.admit(name(ROTATION), &fixture::member(member(number)));
    }
    desired.name_peer(name(PEER), ["2001:db8::1".parse().unwrap()]);
    desired.name_peer(name("deep.er.demo.test"), [member(200)]);
    Served::new(&zone(), &desired.records(), Some(77)).unwrap()
}

fn question(owner: &str, kind: RecordType) -> Message {
    let mut message = Message::new(0x1234, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(WireName::from_ascii(owner).unwrap(), kind));
    message
}

fn with_edns(mut message: Message, payload: u16) -> Message {
    let mut edns = Edns::new();
    edns.set_max_payload(payload);
    message.set_edns(edns);
    message
}

fn ask_over(message: &Message, served: &Served, transport: Transport) -> Message {
    let mut rng = StdRng::seed_from_u64(1);
    let reply = answer(&message.to_vec().unwrap(), transport, served, &mut rng).unwrap();
    let reply = Message::from_vec(&reply).unwrap();
    assert_eq!(reply.metadata.id, message.metadata.id);
    assert_eq!(reply.metadata.message_type, MessageType::Response);
    assert!(!reply.metadata.recursion_available);
    reply
}

fn ask(owner: &str, kind: RecordType, served: &Served) -> Message {
    ask_over(&question(owner, kind), served, Transport::Udp)
}

fn data(reply: &Message) -> Vec<String> {
    let mut lines: Vec<String> = reply.answers.iter().map(|record| record.data.to_string()).collect();
    lines.sort();
    lines
}

#[track_caller]
fn assert_nothing_there(reply: &Message, code: ResponseCode) {
    assert_eq!(reply.metadata.response_code, code);
    assert!(reply.metadata.authoritative);
    assert!(reply.answers.is_empty());
    assert_eq!(reply.authorities.len(), 1);
    let soa = &reply.authorities[0];
    assert_eq!(
        soa.to_string(),
        "demo.test. 10 IN SOA ns.demo.test. hostmaster.demo.test. 77 3600 600 604800 10"
    );
}

#[test]
fn an_own_name_has_exactly_its_addresses() {
    let served = served(2);
    let reply = ask(PEER, RecordType::A, &served);
    assert_eq!(reply.metadata.response_code, ResponseCode::NoError);
    assert!(reply.metadata.authoritative && reply.metadata.recursion_desired);
    assert_eq!(data(&reply), ["127.77.1.1"]);
    assert_eq!(reply.answers[0].ttl, records::TTL);
    assert!(reply.edns.is_none());
    assert_eq!(data(&ask(PEER, RecordType::AAAA, &served)), ["2001:db8::1"]);
    assert_eq!(data(&ask(PEER, RecordType::CAA, &served)), ["0 issue \";\""]);
}

/// The bytes themselves: flags 0, tag `issue`, value `;` (RFC 8659 section 4.1).
#[test]
fn caa_forbids_issuing_in_the_bytes_on_the_wire() {
    let question = question(PEER, RecordType::CAA).to_vec().unwrap();
    let reply = answer(&question, Transport::Udp, &served(1), &mut StdRng::seed_from_u64(1)).unwrap();
    assert!(reply.ends_with(b"\x00\x08\x00\x05issue;"), "{reply:02x?}");
}

#[test]
fn absent_types_and_absent_names_are_told_apart() {
    let served = served(2);
    for (owner, kind) in [
        (PEER, RecordType::TXT),
        ("peer-2.demo.test.", RecordType::AAAA),
        (ROTATION, RecordType::AAAA),
        ("empty.demo.test.", RecordType::A),
        ("demo.test.", RecordType::A),
        ("er.demo.test.", RecordType::A),
        ("er.demo.test.", RecordType::ANY),
    ] {
        assert_nothing_there(&ask(owner, kind, &served), ResponseCode::NoError);
    }
    for owner in ["peer-9.demo.test.", "x.peer-1.demo.test.", "deep\\.er.demo.test."] {
        assert_nothing_there(&ask(owner, RecordType::A, &served), ResponseCode::NXDomain);
    }
    let mut strange = question(PEER, RecordType::A);
    strange.queries[0].name = WireName::from_labels([&b"\x00\xff \"@"[..], b"demo", b"test"]).unwrap();
    assert_nothing_there(&ask_over(&strange, &served, Transport::Udp), ResponseCode::NXDomain);
}

#[test]
fn the_apex_has_soa_and_ns_with_glue() {
    let served = served(1);
    let soa = ask("demo.test.", RecordType::SOA, &served);
    assert_eq!(
        data(&soa),
        ["ns.demo.test. hostmaster.demo.test. 77 3600 600 604800 10"]
    );
    let ns = ask("demo.test.", RecordType::NS, &served);
    assert_eq!(data(&ns), ["ns.demo.test."]);
    assert_eq!(ns.additionals[0].data.to_string(), "192.0.2.53");
    assert_eq!(data(&ask("ns.demo.test.", RecordType::A, &served)), ["192.0.2.53"]);
}

#[test]
fn what_is_not_ours_to_say_is_refused() {
    let served = served(1);
    let refused = |message: &Message| {
        let reply = ask_over(message, &served, Transport::Tcp);
        assert!(!reply.metadata.authoritative);
        assert!(reply.answers.is_empty() && reply.authorities.is_empty());
        reply.metadata.response_code
    };
    for owner in [".", "test.", "example.org.", "xdemo.test."] {
        assert_eq!(
            refused(&question(owner, RecordType::A)),
            ResponseCode::Refused,
            "{owner}"
        );
    }
    assert_eq!(
        refused(&question("demo.test.", RecordType::AXFR)),
        ResponseCode::Refused
    );
    let mut ixfr = question("demo.test.", RecordType::IXFR);
    ixfr.add_authority(ask("demo.test.", RecordType::SOA, &served).answers[0].clone());
    assert_eq!(refused(&ixfr), ResponseCode::Refused);
    let mut chaos = question("version.bind.", RecordType::TXT);
    chaos.queries[0].query_class = DNSClass::CH;
    assert_eq!(refused(&chaos), ResponseCode::Refused);

    for (op_code, code) in [
        (OpCode::Update, ResponseCode::Refused),
        (OpCode::Notify, ResponseCode::NotImp),
        (OpCode::Status, ResponseCode::NotImp),
        (OpCode::Unknown(7), ResponseCode::NotImp),
    ] {
        let mut message = question("demo.test.", RecordType::SOA);
        message.metadata.op_code = op_code;
        assert_eq!(refused(&message), code);
    }
}

#[test]
fn before_state_was_restored_the_zone_fails_and_says_why() {
    let before = Served::new(&zone(), &BTreeSet::new(), None).unwrap();
    for (owner, kind) in [
        (PEER, RecordType::A),
        (ROTATION, RecordType::A),
        ("demo.test.", RecordType::SOA),
        ("nothing.demo.test.", RecordType::ANY),
    ] {
        let reply = ask_over(&with_edns(question(owner, kind), 1232), &before, Transport::Udp);
        assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
        assert!(!reply.metadata.authoritative && reply.answers.is_empty() && reply.authorities.is_empty());
        let edns = reply.edns.unwrap();
        let why = edns.option(EXTENDED_ERROR.into()).unwrap();
        assert_eq!(*why, EdnsOption::Unknown(EXTENDED_ERROR, vec![0, 14]));
    }
    let elsewhere = ask("example.org.", RecordType::A, &before);
    assert_eq!(elsewhere.metadata.response_code, ResponseCode::Refused);
}

#[test]
fn the_askers_spelling_is_kept_and_case_does_not_matter() {
    let reply = ask("PeEr-1.dEmO.TeSt.", RecordType::A, &served(1));
    assert_eq!(data(&reply), ["127.77.1.1"]);
    assert_eq!(reply.queries[0].name.to_string(), "PeEr-1.dEmO.TeSt.");
    assert_eq!(reply.answers[0].name.to_string(), "PeEr-1.dEmO.TeSt.");
}

#[test]
fn edns_is_answered_in_kind() {
    let served = served(1);
    let mut asked = with_edns(question(PEER, RecordType::A), 4096);
    asked.edns.as_mut().unwrap().set_dnssec_ok(true);
    let reply = ask_over(&asked, &served, Transport::Udp);
    let edns = reply.edns.unwrap();
    assert_eq!((edns.version(), edns.max_payload()), (0, MAX_DATAGRAM));
    assert!(edns.flags().dnssec_ok);

    asked.edns.as_mut().unwrap().set_version(1);
    let reply = ask_over(&asked, &served, Transport::Udp);
    assert_eq!(u16::from(reply.metadata.response_code), 16); // BADVERS
    assert_eq!(reply.edns.unwrap().version(), 0);
    assert!(reply.answers.is_empty());
}

#[test]
fn a_rotation_is_whole_up_to_the_sample_and_a_fair_sample_beyond() {
    let all = |peers: u8| {
        (1..=peers)
            .map(|number| member(number).to_string())
            .collect::<HashSet<_>>()
    };
    let whole = served(16);
    for transport in [Transport::Udp, Transport::Tcp] {
        let reply = ask_over(&question(ROTATION, RecordType::A), &whole, transport);
        assert_eq!(data(&reply).into_iter().collect::<HashSet<_>>(), all(16));
    }

    let large = served(40);
    let asked = question(ROTATION, RecordType::A).to_vec().unwrap();
    let mut rng = StdRng::seed_from_u64(3);
    let mut seen = HashSet::new();
    for _ in 0..200 {
        let reply = answer(&asked, Transport::Udp, &large, &mut rng).unwrap();
        let some: HashSet<String> = data(&Message::from_vec(&reply).unwrap()).into_iter().collect();
        assert_eq!(some.len(), 16);
        seen.extend(some);
    }
    assert_eq!(seen, all(40));
}

/// A peer's own name is no rotation: it is never cut down to a sample.
#[test]
fn an_own_name_is_never_sampled() {
    let mut desired = Desired::new();
    desired.name_peer(name(PEER), (1..=40).map(member));
    let served = Served::new(&zone(), &desired.records(), Some(1)).unwrap();
    let reply = ask_over(&question(PEER, RecordType::A), &served, Transport::Tcp);
    assert_eq!(reply.answers.len(), 40);
}

#[test]
fn an_answer_that_is_too_long_comes_empty_with_tc_and_whole_over_tcp() {
    let mut desired = Desired::new();
    desired.name_peer(name(PEER), (1..=100).map(member));
    let served = Served::new(&zone(), &desired.records(), Some(1)).unwrap();
    let plain = question(PEER, RecordType::A);
    let smallest = with_edns(plain.clone(), 0);
    let largest = with_edns(plain.clone(), u16::MAX);
    for (asked, limit) in [(&plain, 512), (&smallest, 512), (&largest, 1232)] {
        let bytes = answer(
            &asked.to_vec().unwrap(),
            Transport::Udp,
            &served,
            &mut StdRng::seed_from_u64(1),
        )
        .unwrap();
        assert!(bytes.len() <= limit);
        let reply = Message::from_vec(&bytes).unwrap();
        assert!(reply.metadata.truncation && reply.metadata.authoritative);
        assert_eq!((reply.queries.len(), reply.answers.len()), (1, 0));
        assert_eq!(reply.edns.is_some(), asked.edns.is_some());
    }
    let whole = ask_over(&plain, &served, Transport::Tcp);
    assert!(!whole.metadata.truncation);
    assert_eq!(whole.answers.len(), 100);
}

/// RFC 8482: a small answer for whoever may have forged its address, everything for whoever has not.
#[test]
fn any_is_one_set_over_udp_and_everything_over_tcp() {
    let served = served(1);
    let asked = question(PEER, RecordType::ANY);
    assert_eq!(data(&ask_over(&asked, &served, Transport::Udp)), ["127.77.1.1"]);
    let all = ask_over(&asked, &served, Transport::Tcp);
    assert_eq!(data(&all), ["0 issue \";\"", "127.77.1.1", "2001:db8::1"]);
}

#[test]
fn malformed_questions_get_formerr_and_worse_ones_nothing() {
    let served = served(1);
    let reply_to = |bytes: &[u8]| answer(bytes, Transport::Udp, &served, &mut StdRng::seed_from_u64(1));
    let code = |bytes: &[u8]| {
        Message::from_vec(&reply_to(bytes).unwrap())
            .unwrap()
            .metadata
            .response_code
    };
    let good = with_edns(question(PEER, RecordType::A), 1232).to_vec().unwrap();
    assert_eq!(code(&good), ResponseCode::NoError);

    for length in 0..12 {
        assert_eq!(reply_to(&good[..length]), None);
    }
    for length in 12..good.len() {
        assert_eq!(code(&good[..length]), ResponseCode::FormErr, "cut to {length}");
    }
    // Counts that promise what is not there: none, two or 65535 questions, answers, authorities, many additionals.
    for (position, value) in [(5, 0), (5, 2), (4, 255), (7, 1), (9, 1), (11, 2), (11, 4), (10, 255)] {
        let mut bad = good.clone();
        bad[position] = value;
        assert_eq!(code(&bad), ResponseCode::FormErr, "{value} at {position}");
    }
    let mut two_opts = good.clone();
    two_opts[11] = 2;
    two_opts.extend_from_slice(&good[good.len() - 11..]);
    assert_eq!(code(&two_opts), ResponseCode::FormErr);

    // An OPT record that another name owns, and bytes behind the end.
    let mut named = good.clone();
    let opt = named.len() - 11;
    named.splice(opt..=opt, [0xc0, 12]);
    assert_eq!(code(&named), ResponseCode::FormErr);
    assert_eq!(code(&[&good[..], &[0]].concat()), ResponseCode::FormErr);
    // Options are no concern of ours, well formed or not.
    let mut options = good.clone();
    let length = options.len() - 1;
    options[length] = 3;
    options.extend([0xff; 3]);
    assert_eq!(code(&options), ResponseCode::NoError);
    // A record before OPT is read over, whatever it is.
    let mut before = good.clone();
    before[11] = 2;
    let other = [0, 0xff, 0x01, 0, 1, 0, 0, 0, 0, 0, 2, 0xab, 0xcd];
    before.splice(opt..opt, other);
    let reply = Message::from_vec(&reply_to(&before).unwrap()).unwrap();
    assert_eq!(reply.answers.len(), 1);
    assert!(reply.edns.is_some());

    let mut response = good;
    response[2] |= 0x80;
    assert_eq!(reply_to(&response), None);
}

static TWENTY: LazyLock<Served> = LazyLock::new(|| served(20));

proptest! {
    /// Whatever comes in: no panic, and what goes out is a bounded, readable reply with the same id.
    #[test]
    fn any_bytes_get_a_bounded_reply_or_none(
        mutations in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        tail in prop::collection::vec(any::<u8>(), 0..40),
        start in 0..3u8,
    ) {
        let mut bytes = match start {
            0 => vec![],
            1 => question(PEER, RecordType::ANY).to_vec().unwrap(),
            _ => with_edns(question(ROTATION, RecordType::A), 4096).to_vec().unwrap(),
        };
        for (position, value) in mutations {
            if !bytes.is_empty() {
                let position = position.index(bytes.len());
                bytes[position] = value;
            }
        }
        bytes.extend(tail);
        if let Some(reply) = answer(&bytes, Transport::Udp, &TWENTY, &mut StdRng::seed_from_u64(1)) {
            prop_assert!(reply.len() <= usize::from(MAX_DATAGRAM));
            let read = Message::from_vec(&reply).unwrap();
            prop_assert_eq!(read.metadata.id.to_be_bytes(), [bytes[0], bytes[1]]);
        }
        let _ = answer(&bytes, Transport::Tcp, &TWENTY, &mut StdRng::seed_from_u64(1));
    }
}
