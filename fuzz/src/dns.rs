//! DNS: what strangers ask the embedded server, and what a name server answers to the prober. Both against hickory-proto's
//! own reading of the same bytes.

use std::{collections::BTreeSet, net::IpAddr, sync::LazyLock};

use attester::{
    fuzzing::resolve,
    publish::authoritative::{
        Served, Zone,
        answer::{Transport, answer},
    },
    records::{Name, Record, RecordData},
};
use hickory_proto::{
    op::{Message, MessageType, OpCode, ResponseCode},
    rr::{RData, RecordType},
};
use rand::{SeedableRng, rngs::StdRng};

use crate::{
    honest::parsed,
    target::{Input, Property, Report, Target},
};

/// What is asked.
pub const QUERIES: Target = Target {
    name: "dns_queries",
    says: "a DNS message to the embedded name server",
    input: Input::Bytes,
    properties: &[
        BOUNDED,
        ECHO,
        READABLE,
        ONLY_WHAT_IS_SERVED,
        NO_ANSWER_TO_ANSWERS,
        TRUNCATED,
        READ_AS_HICKORY,
    ],
    run: queries,
};

/// What is answered to us.
pub const REPLIES: Target = Target {
    name: "dns_replies",
    says: "a DNS message in reply to the prober's question",
    input: Input::Bytes,
    properties: &[ADDRESSES_OF_THE_NAME, ITS_OWN_REPLY, AUTHORITATIVE],
    run: replies,
};

const BOUNDED: Property = Property {
    name: "bounded",
    says: "a datagram has at most 512 bytes, or what the asker takes up to 1,232",
};
const ECHO: Property = Property {
    name: "echo",
    says: "an answer has the id, the operation and, if it can be read, the question of what was asked",
};
const READABLE: Property = Property {
    name: "readable",
    says: "an answer is a response that hickory decodes, without recursion on offer",
};
const ONLY_WHAT_IS_SERVED: Property = Property {
    name: "only-what-is-served",
    says: "every address in an answer is one that the name asked for has, at most a sample of a rotation's",
};
const NO_ANSWER_TO_ANSWERS: Property = Property {
    name: "no-answer-to-answers",
    says: "what is itself an answer, or has no whole header, gets none",
};
const TRUNCATED: Property = Property {
    name: "truncated",
    says: "a truncated answer has no records, and there is none over TCP",
};
const READ_AS_HICKORY: Property = Property {
    name: "read-as-hickory",
    says: "an ordinary question that hickory decodes is never called malformed",
};
const ADDRESSES_OF_THE_NAME: Property = Property {
    name: "addresses-of-the-name",
    says: "every address that is believed stands in an answer record of the name and type that was asked for",
};
const ITS_OWN_REPLY: Property = Property {
    name: "its-own-reply",
    says: "nothing is believed but a response with the question's id and, unless it is an error, the question",
};
const AUTHORITATIVE: Property = Property {
    name: "authoritative",
    says: "addresses come only from an authoritative answer without error",
};

fn queries(input: &[u8], report: &mut Report) {
    let mut rng = StdRng::seed_from_u64(1);
    for transport in [Transport::Udp, Transport::Tcp] {
        for (served, ready) in [(&*SERVED, true), (&*NOT_READY, false)] {
            let reply = answer(input, transport, served, &mut rng);
            match reply {
                Some(reply) => judge(input, &reply, transport, ready, report),
                None => {
                    let silent = input.len() < HEADER || input[2] & 0x80 != 0;
                    report.check(NO_ANSWER_TO_ANSWERS, silent, || "a question gets no answer".to_owned());
                }
            }
        }
    }
}

fn judge(input: &[u8], reply: &[u8], transport: Transport, ready: bool, report: &mut Report) {
    report.check(
        NO_ANSWER_TO_ANSWERS,
        input.len() >= HEADER && input[2] & 0x80 == 0,
        || "an answer gets an answer".to_owned(),
    );
    let asked = Message::from_vec(input).ok();
    let takes = asked
        .as_ref()
        .and_then(|asked| asked.edns.as_ref())
        .map_or(512, |edns| edns.max_payload());
    let most = match transport {
        Transport::Udp if asked.is_some() => usize::from(takes.clamp(512, 1232)),
        Transport::Udp => 1232,
        Transport::Tcp => usize::from(u16::MAX),
    };
    report.check(BOUNDED, reply.len() <= most, || {
        format!("{} bytes, {most} at most", reply.len())
    });

    let read = match Message::from_vec(reply) {
        Ok(read) => read,
        Err(error) => return report.broken(READABLE, format!("{error}: {reply:02x?}")),
    };
    let fine = read.metadata.message_type == MessageType::Response && !read.metadata.recursion_available;
    report.check(READABLE, fine, || format!("{read:?}"));
    report.note(|| format!("{transport:?}, ready {ready}: {:?}", read.metadata.response_code));
    let same = reply[..2] == input[..2] && reply[2] & 0x78 == input[2] & 0x78;
    report.check(ECHO, same, || format!("{:02x?} to {:02x?}", &reply[..4], &input[..4]));

    let Some(asked) = asked else { return };
    if let ([question], [echoed]) = (asked.queries.as_slice(), read.queries.as_slice()) {
        report.equal(ECHO, echoed, question);
    }
    if read.metadata.truncation {
        let empty = read.answers.is_empty() && read.authorities.is_empty() && read.additionals.is_empty();
        report.check(TRUNCATED, empty && transport == Transport::Udp, || format!("{read:?}"));
    }
    let ordinary = asked.metadata.op_code == OpCode::Query
        && asked.queries.len() == 1
        && asked.answers.is_empty()
        && asked.authorities.is_empty()
        && asked.additionals.is_empty()
        && asked.signature.is_none()
        && asked.to_vec().is_ok_and(|bytes| bytes.len() == input.len());
    if ordinary {
        report.check(
            READ_AS_HICKORY,
            read.metadata.response_code != ResponseCode::FormErr,
            || format!("{asked:?}"),
        );
    }
    addresses(&read, report);
}

fn addresses(read: &Message, report: &mut Report) {
    let (mut v4, mut v6) = (0, 0);
    for record in read.answers.iter().chain(&read.additionals) {
        let address: IpAddr = match &record.data {
            RData::A(address) => {
                v4 += 1;
                address.0.into()
            }
            RData::AAAA(address) => {
                v6 += 1;
                address.0.into()
            }
            _ => continue,
        };
        let name = record.name.to_ascii().to_ascii_lowercase();
        let owned = RECORDS
            .iter()
            .any(|record| record.data == RecordData::from(address) && format!("{}.", record.name) == name);
        let nameserver = name == "ns.demo.test." && address == parsed::<IpAddr>("192.0.2.53");
        report.check(ONLY_WHAT_IS_SERVED, owned || nameserver, || {
            format!("{name} has {address}")
        });
    }
    report.check(ONLY_WHAT_IS_SERVED, v4 <= SAMPLE + 1 && v6 <= SAMPLE + 1, || {
        format!("{v4} and {v6} addresses")
    });
}

fn replies(input: &[u8], report: &mut Report) {
    let name = Name::parse(OWN_NAME).unwrap_or_else(|_| parsed("demo.test"));
    for ipv6 in [false, true] {
        let found = resolve::addresses_in(input, &name, ipv6, ID);
        let addresses = match found {
            Ok(Some(addresses)) => addresses,
            Ok(None) => {
                report.note(|| "no reply to the question".to_owned());
                continue;
            }
            Err(error) => {
                report.note(|| error.to_string());
                continue;
            }
        };
        report.note(|| format!("{addresses:?}"));
        let Ok(message) = Message::from_vec(input) else {
            report.broken(ITS_OWN_REPLY, "believed, though hickory cannot read it");
            continue;
        };
        let question = message.queries.first().is_none_or(|query| {
            let kind = if ipv6 { RecordType::AAAA } else { RecordType::A };
            query.query_type == kind && query.name.to_ascii().eq_ignore_ascii_case(&format!("{OWN_NAME}."))
        });
        let response = message.metadata.message_type == MessageType::Response && message.metadata.id == ID;
        let failed = !matches!(message.metadata.response_code, ResponseCode::NoError);
        report.check(
            ITS_OWN_REPLY,
            response && question && (failed || message.queries.len() == 1),
            || format!("{message:?}"),
        );
        let fine = message.metadata.authoritative
            && matches!(
                message.metadata.response_code,
                ResponseCode::NoError | ResponseCode::NXDomain
            );
        report.check(AUTHORITATIVE, fine, || format!("{message:?}"));
        let there: Vec<IpAddr> = message
            .answers
            .iter()
            .filter(|record| record.name.to_ascii().eq_ignore_ascii_case(&format!("{OWN_NAME}.")))
            .filter_map(|record| match &record.data {
                RData::A(address) if !ipv6 => Some(address.0.into()),
                RData::AAAA(address) if ipv6 => Some(address.0.into()),
                _ => None,
            })
            .collect();
        report.equal(ADDRESSES_OF_THE_NAME, &addresses, &there);
    }
}

fn zone() -> Zone {
    Zone {
        apex: parsed("demo.test"),
        rotations: [parsed("roundrobin.demo.test"), parsed("empty.demo.test")].into(),
        nameserver: parsed("ns.demo.test"),
        nameserver_addresses: [parsed("192.0.2.53")].into(),
        sample: SAMPLE,
        negative_ttl: 10,
    }
}

fn records() -> BTreeSet<Record> {
    let own = |number: u8| parsed::<Name>(&format!("peer-{number}.demo.test"));
    let mut records = BTreeSet::new();
    for number in 1..=40 {
        let address = IpAddr::from([127, 77, number, 1]);
        records.insert(Record::new(own(number), address));
        records.insert(Record::new(own(number), RecordData::Caa));
        records.insert(Record::new(parsed("roundrobin.demo.test"), address));
    }
    let ipv6: IpAddr = parsed("2001:db8::1");
    records.insert(Record::new(own(1), ipv6));
    records.insert(Record::new(parsed("roundrobin.demo.test"), ipv6));
    records.insert(Record::new(
        parsed("deep.er.demo.test"),
        IpAddr::from([127, 77, 200, 1]),
    ));
    records
}

#[expect(clippy::expect_used, reason = "a zone of this crate")]
fn served(serial: Option<u32>) -> Served {
    Served::new(&zone(), &RECORDS, serial).expect("a zone of this crate")
}

/// The name that replies are about; a peer's own.
pub(crate) const OWN_NAME: &str = "peer-1.demo.test";
/// The id that replies must have.
pub(crate) const ID: u16 = 0x1234;
/// So many that a rotation's answer can be longer than the shortest datagram.
const SAMPLE: usize = 36;
const HEADER: usize = 12;

static RECORDS: LazyLock<BTreeSet<Record>> = LazyLock::new(records);
static SERVED: LazyLock<Served> = LazyLock::new(|| served(Some(77)));
static NOT_READY: LazyLock<Served> = LazyLock::new(|| served(None));
