//! What the corpora begin with: honest messages of every kind, made by the crates themselves, and what real programs said
//! (`tests/captures`). A test writes them anew with `UPDATE_GENERATED=1`; what fuzzers found lies beside them.

use std::{fs, path::Path};

use coset::{CoseSign1, TaggedCborSerializable};
use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, Query},
    rr::{
        Name as WireName, RData, Record, RecordType,
        rdata::{A, AAAA},
    },
};
use prost::Message as _;
use proto::{
    attest::{Ack, Goodbye, Receipt, Register, Retest, ToAgent, ToAttester, to_attester::Message as Said},
    claims::{Succession, Welcome},
    probe,
};
use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::{
    TARGETS, dns, evidence,
    honest::{ATTESTER, PEER, Probe, at, destination, key, signed},
    origin, registration, session,
    target::Input,
};

mod by_hand;
mod vectors;

use by_hand::BY_HAND;
pub use vectors::vectors;

/// One seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seed {
    /// Of which target.
    pub target: &'static str,
    /// The file's name.
    pub name: String,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// Every seed. `workspace` is the workspace's folder, which has samples, captures and golden vectors.
///
/// # Panics
/// When one of them is missing.
pub fn seeds(workspace: &Path) -> Vec<Seed> {
    let mut seeds = Seeds(Vec::new());
    items(&mut seeds);
    claims(&mut seeds);
    files(&mut seeds);
    messages(&mut seeds);
    choices(&mut seeds);
    tunnels(&mut seeds, workspace);
    questions(&mut seeds);
    answers(&mut seeds);
    configurations(&mut seeds, workspace);
    // Refused claims are many and large; a test replays them from where they are.
    let small = |vector: &Seed| vector.bytes.len() <= LONGEST && !vector.name.starts_with("refused-");
    let vectors = vectors(workspace).into_iter().filter(small);
    seeds
        .0
        .extend(vectors.filter(|vector| matches!(vector.target, "claims" | "requests" | "responses" | "answers")));
    seeds.0
}

struct Seeds(Vec<Seed>);

impl Seeds {
    fn add(&mut self, target: &'static str, name: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.0.push(Seed {
            target,
            name: name.into(),
            bytes: bytes.into(),
        });
    }
}

/// Items of CBOR, most of them with something that one of the two readers refuses.
fn items(seeds: &mut Seeds) {
    let items: &[(&str, &[u8])] = &[
        ("map", &[0xa2, 0x01, 0x02, 0x20, 0x61, 0x61]),
        ("nested", &[0x81, 0x81, 0x81, 0xa1, 0x00, 0xf5]),
        ("too-deep", &[0x81, 0x81, 0x81, 0x81, 0x80]),
        ("long-integer", &[0x19, 0x00, 0xff]),
        ("negative", &[0x3b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        ("indefinite", &[0x5f, 0x41, 0x00, 0xff]),
        ("half", &[0xf9, 0x3c, 0x00]),
        ("null", &[0xf6]),
        ("tag", &[0xc1, 0x00]),
        ("big", &[0xc2, 0x41, 0x05]),
        ("twice", &[0xa2, 0x01, 0x00, 0x01, 0x00]),
        ("unsorted", &[0xa2, 0x02, 0x00, 0x01, 0x00]),
        ("trailing", &[0x01, 0x01]),
        ("bomb", &[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        ("text", &[0x64, 0xf0, 0x9f, 0x90, 0xa2]),
        ("not-text", &[0x61, 0xff]),
    ];
    for (name, bytes) in items {
        seeds.add("cbor", *name, *bytes);
    }
}

/// One honest claim of each kind.
fn claims(seeds: &mut Seeds) {
    for (kind, (name, bytes)) in honest_claims().into_iter().enumerate() {
        if let Ok(envelope) = proto::fuzzing::envelope(&bytes) {
            seeds.add("cbor", format!("payload-{name}"), envelope.payload.clone());
            let mut payload = vec![u8::try_from(kind).unwrap_or_default()];
            payload.extend(envelope.payload);
            seeds.add("payloads", name, payload);
        }
        seeds.add("cose", name, bytes.clone());
        if name == "challenge" {
            envelopes(seeds, &bytes);
        }
        seeds.add("claims", name, bytes);
        let mut built = vec![0; 160];
        built[0] = u8::try_from(kind).unwrap_or_default();
        seeds.add("claims_built", name, built);
    }
}

/// Envelopes that another implementation takes and we do not.
fn envelopes(seeds: &mut Seeds, bytes: &[u8]) {
    let Ok(honest) = CoseSign1::from_tagged_slice(bytes) else {
        return;
    };
    let mut others = vec![
        ("unprotected", honest.clone()),
        ("without-typ", honest.clone()),
        ("detached", honest),
    ];
    for (name, envelope) in &mut others {
        envelope.protected.original_data = None;
        match *name {
            "unprotected" => envelope.unprotected.key_id = vec![1],
            "without-typ" => envelope.protected.header.rest.clear(),
            _ => envelope.payload = None,
        }
        seeds.add("cose", *name, envelope.clone().to_tagged_vec().unwrap_or_default());
    }
    let untagged = bytes.strip_prefix(&[0xd2]).unwrap_or_default();
    seeds.add("cose", "untagged", untagged);
}

/// In the order of `claims::each_claim`.
fn honest_claims() -> Vec<(&'static str, Vec<u8>)> {
    let evidence = Probe::default()
        .evidence(&mut |_, _| {})
        .unwrap_or(proto::evidence::Evidence::EMPTY);
    let of = |blob: &Option<proto::evidence::Blob>| blob.as_ref().map(|blob| blob.0.clone()).unwrap_or_default();
    let welcome = session::honest()
        .into_iter()
        .find_map(|message| match message {
            proto::attest::to_agent::Message::Welcome(bytes) => Some(bytes.to_vec()),
            _ => None,
        })
        .unwrap_or_default();
    debug_assert!(proto::checked::Signed::<Welcome>::parse(&welcome).is_ok());
    let succession = Succession::sign_pair(key(PEER), key(8), at(0)).map(|pair| pair.by_old);
    vec![
        ("keyset", of(&evidence.keyset)),
        ("welcome", welcome),
        ("registration", signed(&registration::honest(), PEER)),
        ("announcement", of(&evidence.announcement)),
        ("challenge", of(&evidence.challenge)),
        ("statement", of(&evidence.statement)),
        ("observation", of(&evidence.observation)),
        ("receipt", of(&evidence.receipt)),
        ("verdict", of(&evidence.verdict)),
        ("succession", succession.unwrap_or_default()),
    ]
}

fn files(seeds: &mut Seeds) {
    for (number, probe) in evidence::proved().iter().enumerate() {
        seeds.add("evidence", format!("proved-{number}"), probe.file());
    }
    let Some(mut evidence) = Probe::default().evidence(&mut |_, _| {}) else {
        return;
    };
    evidence.receipt = None;
    seeds.add("evidence", "without-receipt", evidence.encode().unwrap_or_default());
    evidence.verdict = None;
    seeds.add("evidence", "without-verdict", evidence.encode().unwrap_or_default());
}

fn messages(seeds: &mut Seeds) {
    let challenge = signed(&Probe::default().challenge(), ATTESTER);
    let receipt = Probe::default()
        .evidence(&mut |_, _| {})
        .and_then(|evidence| evidence.receipt);
    let said = [
        (
            "register",
            Said::Register(Register {
                registration: signed(&registration::honest(), PEER).into(),
                connect_token: "sesame".to_owned(),
                ..Register::default()
            }),
        ),
        (
            "ack",
            Said::Ack(Ack {
                probe_id: Probe::default().id().as_bytes().to_vec().into(),
                refusal: String::new(),
            }),
        ),
        (
            "receipt",
            Said::Receipt(Receipt {
                receipt: receipt.map(|blob| blob.0).unwrap_or_default().into(),
            }),
        ),
        ("goodbye", Said::Goodbye(Goodbye { reason: 2 })),
        ("retest", Said::Retest(Retest {})),
    ];
    for (name, message) in said {
        let message = ToAttester { message: Some(message) };
        seeds.add("agent_messages", name, message.encode_to_vec());
    }
    let names = ["keyset", "welcome", "registered", "announcement", "verdict"];
    for (name, message) in names.into_iter().zip(session::honest()) {
        let message = ToAgent { message: Some(message) };
        seeds.add("attester_messages", name, message.encode_to_vec());
    }
    seeds.add("origin", "probe", origin::honest());
    let later = [origin::honest(), origin::honest()].concat();
    seeds.add("origin", "twice", later);
    let head = origin::honest().len() - 2;
    seeds.add("origin", "unfinished", &origin::honest()[..head]);
    seeds.add(
        "origin",
        "post",
        &b"POST / HTTP/1.1\r\nHost: origin.example\r\nContent-Length: 3\r\n\r\nabc"[..],
    );
    seeds.add("origin", "old", &b"GET /c/AAAA HTTP/1.0\r\n\r\n"[..]);
    let tls = probe::request(&challenge[..20], &destination());
    seeds.add("origin", "no-claim", tls);
}

/// Lists of choices: the honest one, and a few at random.
fn choices(seeds: &mut Seeds) {
    for target in TARGETS.iter().filter(|target| target.input == Input::Choices) {
        for length in [1, 64, 256] {
            seeds.add(target.name, format!("honest-{length}"), vec![0; length]);
        }
        for number in 0..RANDOM {
            let mut bytes = vec![0; 48 << (number % 4)];
            StdRng::seed_from_u64(number).fill_bytes(&mut bytes);
            // Most choices are small numbers, and most parties honest.
            for (place, byte) in bytes.iter_mut().enumerate() {
                if !(place + usize::from(*byte)).is_multiple_of(3) {
                    *byte %= 16;
                }
            }
            seeds.add(target.name, format!("random-{number}"), bytes);
        }
    }
    for (target, name, steps) in BY_HAND {
        seeds.add(target, *name, steps.concat());
    }
}

fn tunnels(seeds: &mut Seeds, workspace: &Path) {
    let folder = workspace.join("tests/captures");
    for case in CAPTURES {
        let read = |name: &str| {
            let mut bytes = fs::read(folder.join(case).join("conn0").join(name)).unwrap_or_default();
            assert!(!bytes.is_empty(), "the capture {case}/{name} is missing");
            bytes.truncate(LONGEST);
            bytes
        };
        seeds.add("requests", *case, read("client.bin"));
        seeds.add("give", *case, read("client.bin"));
        seeds.add("responses", *case, read("server.bin"));
    }
    seeds.add(
        "requests",
        "health",
        &b"HEAD / HTTP/1.1\r\nHost: peer.example\r\n\r\n"[..],
    );
    seeds.add("give", "health", &b"HEAD / HTTP/1.1\r\nHost: peer.example\r\n\r\n"[..]);
    let chunked =
        b"POST /9f1c/origin.example%3A80/write/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    for target in ["requests", "give"] {
        seeds.add(target, "path-chunked", &chunked[..]);
        seeds.add(
            target,
            "expect",
            &b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nX-Enproxy-Id: a\r\nX-Enproxy-Dest-Addr: b:80\r\nX-Enproxy-Op: write\r\nContent-Length: 2\r\n\r\nhi"[..],
        );
        seeds.add(target, "refused", &b"GET /longer-than-five HTTP/1.0\r\n\r\n"[..]);
    }
    seeds.add(
        "responses",
        "interim",
        &b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 500 Oh\r\nContent-Length: 4\r\n\r\nwhy?"[..],
    );
}

fn questions(seeds: &mut Seeds) {
    let ask = |name: &str, kind, edns: Option<u16>| {
        let mut message = Message::new(dns::ID, MessageType::Query, OpCode::Query);
        message.add_query(Query::query(wire(name), kind));
        if let Some(payload) = edns {
            let mut edns = Edns::new();
            edns.set_max_payload(payload);
            message.set_edns(edns);
        }
        message.to_vec().unwrap_or_default()
    };
    for (label, name, kind, edns) in [
        ("a", "peer-1.demo.test.", RecordType::A, None),
        ("aaaa", "PEER-1.demo.TEST.", RecordType::AAAA, Some(1232)),
        ("rotation", "roundrobin.demo.test.", RecordType::A, Some(4096)),
        ("rotation-small", "roundrobin.demo.test.", RecordType::A, None),
        ("any", "demo.test.", RecordType::ANY, None),
        ("ns", "demo.test.", RecordType::NS, Some(600)),
        ("soa", "demo.test.", RecordType::SOA, None),
        ("caa", "peer-2.demo.test.", RecordType::CAA, None),
        ("absent", "nobody.demo.test.", RecordType::A, None),
        ("outside", "example.com.", RecordType::A, Some(512)),
        ("transfer", "demo.test.", RecordType::AXFR, None),
    ] {
        seeds.add("dns_queries", label, ask(name, kind, edns));
    }
    let mut truncated = ask("roundrobin.demo.test.", RecordType::A, None);
    truncated.truncate(20);
    seeds.add("dns_queries", "cut", truncated);
    let mut update = ask("demo.test.", RecordType::SOA, None);
    update[2] = 0x28;
    seeds.add("dns_queries", "update", update);
}

fn answers(seeds: &mut Seeds) {
    let reply = |kind, data: Option<RData>, authoritative: bool| {
        let mut message = Message::new(dns::ID, MessageType::Response, OpCode::Query);
        message.metadata.authoritative = authoritative;
        let name = wire(&format!("{}.", dns::OWN_NAME));
        message.add_query(Query::query(name.clone(), kind));
        if let Some(data) = data {
            message.add_answer(Record::from_rdata(name, 30, data));
        }
        message.to_vec().unwrap_or_default()
    };
    let v4 = RData::A(A([192, 0, 2, 7].into()));
    let v6 = RData::AAAA(AAAA(0x2001_0db8_u128.rotate_right(32).to_be_bytes().into()));
    seeds.add("dns_replies", "a", reply(RecordType::A, Some(v4.clone()), true));
    seeds.add("dns_replies", "aaaa", reply(RecordType::AAAA, Some(v6.clone()), true));
    seeds.add("dns_replies", "other-type", reply(RecordType::A, Some(v6), true));
    seeds.add(
        "dns_replies",
        "not-authoritative",
        reply(RecordType::A, Some(v4), false),
    );
    seeds.add("dns_replies", "empty", reply(RecordType::A, None, true));
    let statement = Probe::default()
        .evidence(&mut |_, _| {})
        .and_then(|evidence| evidence.statement);
    let head = probe::answer_head(&statement.map(|blob| blob.0).unwrap_or_default(), 5).unwrap_or_default();
    seeds.add("answers", "honest", [head.clone(), b"hello".to_vec()].concat());
    seeds.add("answers", "cut", &head[..head.len() / 2]);
    seeds.add("answers", "other", &b"HTTP/1.1 502 Bad Gateway\r\n\r\n"[..]);
}

fn configurations(seeds: &mut Seeds, workspace: &Path) {
    for name in ["minimal", "full"] {
        let path = workspace.join("attester/config").join(format!("{name}.toml"));
        let text = fs::read(&path).unwrap_or_default();
        assert!(!text.is_empty(), "the sample {} is missing", path.display());
        // Most of a sample is comments, which a fuzzer need not read.
        let kept: Vec<&[u8]> = text
            .split_inclusive(|byte| *byte == b'\n')
            .filter(|line| !line.starts_with(b"# ") && line.len() > 1)
            .collect();
        seeds.add("attester_config", name, kept.concat());
    }
    seeds.add("agent_config", "full", AGENT_CONFIG);
    seeds.add(
        "agent_config",
        "minimal",
        &AGENT_CONFIG[..AGENT_CONFIG.len() - GIVE_SECTION],
    );
    let wrong: &[(&str, &str)] = &[
        ("syntax", "[dns\nzone = 1"),
        ("type", "[dns]\nzone = 7\n[admission]\nlease = 3\n"),
        (
            "key",
            "[dns]\nzone = \"a.example\"\nzoen = \"b\"\n[agent]\nattesters = []\n",
        ),
    ];
    for (name, text) in wrong {
        seeds.add("attester_config", *name, *text);
        seeds.add("agent_config", *name, *text);
    }
}

fn wire(name: &str) -> WireName {
    WireName::from_ascii(name).unwrap_or_else(|_| WireName::root())
}

const CAPTURES: &[&str] = &[
    "chained-bad-token",
    "chained-ok",
    "chained2014-ok",
    "dest-refused-hand",
    "eof-after-data",
    "eof-immediate",
    "get-small-header-2014-12",
    "get-small-path",
    "read-poll-10s",
];
const LONGEST: usize = 4096;
const RANDOM: u64 = 12;
const AGENT_CONFIG: &str = "[agent]\nattesters = [\"attester.example:7443\", \"[2001:db8::7]:7443\"]\n\
    root = \"ed25519:rkeohxlubhyzl7ks3mwtzos5olfgocn7dwkbeg7toseadnapn5oa\"\naddress = \"203.0.113.7:443\"\n\
    [give]\nlisten = \"0.0.0.0:443\"\ntoken = \"sesame\"\n[give.limits]\ngap = 0.035\n";
const GIVE_SECTION: usize = 68;
