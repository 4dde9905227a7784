//! One question in, one answer out: bytes to bytes, without sockets, so that it can be fuzzed as it is.

use hickory_proto::{
    op::{Edns, Header, Message, MessageType, Metadata, Query, ResponseCode},
    rr::{DNSClass, RData, Record, RecordType, rdata::opt::EdnsOption},
    serialize::binary::{BinDecodable, BinDecoder, BinEncodable, BinEncoder},
};
use rand::Rng;

use crate::metrics::Rcode;

use super::{
    question::{self, AskersEdns, Question},
    served::{Kind, Lookup, Node, Served, Set},
};

/// How a question came in; it decides how long the answer may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A datagram: at most what the asker said that it takes, and never more than fits an ordinary packet.
    Udp,
    /// A stream: what a length of 16 bits can tell.
    Tcp,
}

/// Answers one message, or gives `None` when it deserves no answer: it is too short to have a header, or is itself an
/// answer (replying to those could start two servers off against each other).
#[must_use]
pub fn answer(message: &[u8], transport: Transport, served: &Served, rng: &mut impl Rng) -> Option<Vec<u8>> {
    answered(message, transport, served, rng).map(|(bytes, _)| bytes)
}

/// The same, with the answer's response code.
pub(super) fn answered(
    message: &[u8],
    transport: Transport,
    served: &Served,
    rng: &mut impl Rng,
) -> Option<(Vec<u8>, Rcode)> {
    let mut decoder = BinDecoder::new(message);
    let header = Header::read(&mut decoder).ok()?;
    if header.metadata.message_type != MessageType::Query {
        return None;
    }
    let mut reply = Message::new(header.metadata.id, MessageType::Response, header.metadata.op_code);
    reply.metadata = Metadata::response_from_request(&header.metadata);
    let mut limit = MAX_STREAM;
    match question::read(&header, &mut decoder) {
        Err(code) => reply.metadata.response_code = code,
        Ok(Question { query, edns }) => {
            reply.add_query(query.clone());
            limit = answer_limit(transport, edns);
            if let Some(edns) = edns {
                reply.set_edns(our_edns(edns));
            }
            if edns.is_some_and(|edns| edns.version > 0) {
                reply.metadata.response_code = ResponseCode::BADVERS; // RFC 6891 section 6.1.3
            } else {
                fill(&mut reply, &query, transport, served, rng);
            }
        }
    }
    let code = rcode(reply.metadata.response_code);
    Some((encode(reply, limit)?, code))
}

fn rcode(code: ResponseCode) -> Rcode {
    match code {
        ResponseCode::NoError => Rcode::NoError,
        ResponseCode::FormErr => Rcode::FormErr,
        ResponseCode::ServFail => Rcode::ServFail,
        ResponseCode::NXDomain => Rcode::NxDomain,
        ResponseCode::NotImp => Rcode::NotImp,
        ResponseCode::Refused => Rcode::Refused,
        ResponseCode::BADVERS => Rcode::BadVers,
        _ => Rcode::Other,
    }
}

fn fill(reply: &mut Message, asked: &Query, transport: Transport, served: &Served, rng: &mut impl Rng) {
    // A zone transfer would hand out the list of all peers.
    let transfer = matches!(asked.query_type, RecordType::AXFR | RecordType::IXFR);
    if transfer || !matches!(asked.query_class, DNSClass::IN | DNSClass::ANY) {
        reply.metadata.response_code = ResponseCode::Refused;
        return;
    }
    match served.lookup(&asked.name) {
        Lookup::OutsideZone => {
            reply.metadata.response_code = ResponseCode::Refused;
            explain(reply, NOT_AUTHORITATIVE);
        }
        Lookup::NotReady => {
            reply.metadata.response_code = ResponseCode::ServFail;
            explain(reply, NOT_READY);
        }
        Lookup::NoSuchName => {
            reply.metadata.authoritative = true;
            reply.metadata.response_code = ResponseCode::NXDomain;
            say_nothing_there(reply, served);
        }
        Lookup::Found(node) => {
            reply.metadata.authoritative = true;
            for set in chosen(node, asked.query_type, transport) {
                for data in served.select(node, set, rng) {
                    // The asker's spelling of the name, whose case it may be checking.
                    reply.add_answer(Record::from_rdata(asked.name.clone(), set.ttl, data));
                }
            }
            if reply.answers.is_empty() {
                say_nothing_there(reply, served);
            }
            if asked.query_type == RecordType::NS {
                add_glue(reply, served);
            }
        }
    }
}

/// The record sets that answer a question. ANY over UDP gets only the first (RFC 8482 section 4.1): whoever forges
/// its source address should gain as little as possible.
fn chosen(node: &Node, asked: RecordType, transport: Transport) -> Vec<&Set> {
    match (asked, transport) {
        (RecordType::ANY, Transport::Udp) => node.sets().take(1).collect(),
        (RecordType::ANY, Transport::Tcp) => node.sets().collect(),
        _ => Kind::of(asked).and_then(|kind| node.set(kind)).into_iter().collect(),
    }
}

/// The SOA in the authority section tells for how long the absence may be remembered (RFC 2308 section 3).
fn say_nothing_there(reply: &mut Message, served: &Served) {
    let soa = Record::from_rdata(served.apex.clone(), served.negative_ttl, served.soa().clone());
    reply.add_authority(soa);
}

fn add_glue(reply: &mut Message, served: &Served) {
    let nameservers: Vec<_> = reply
        .answers
        .iter()
        .filter_map(|record| match &record.data {
            RData::NS(nameserver) => Some(nameserver.0.clone()),
            _ => None,
        })
        .collect();
    for nameserver in nameservers {
        if let Lookup::Found(node) = served.lookup(&nameserver) {
            for set in [Kind::A, Kind::Aaaa].into_iter().filter_map(|kind| node.set(kind)) {
                for data in &set.data {
                    reply.add_additional(Record::from_rdata(nameserver.clone(), set.ttl, data.clone()));
                }
            }
        }
    }
}

fn our_edns(asked: AskersEdns) -> Edns {
    let mut edns = Edns::new();
    edns.set_max_payload(MAX_DATAGRAM);
    edns.set_version(0);
    edns.set_dnssec_ok(asked.dnssec_ok); // RFC 3225 section 3: copied, though nothing here is signed
    edns
}

/// Adds an extended error (RFC 8914) for whoever debugs this with `dig`.
fn explain(reply: &mut Message, code: u16) {
    if let Some(edns) = &mut reply.edns {
        let option = EdnsOption::Unknown(EXTENDED_ERROR, code.to_be_bytes().to_vec());
        edns.options_mut().insert(option);
    }
}

fn answer_limit(transport: Transport, edns: Option<AskersEdns>) -> u16 {
    match transport {
        Transport::Tcp => MAX_STREAM,
        Transport::Udp => edns.map_or(MIN_DATAGRAM, |edns| edns.payload.clamp(MIN_DATAGRAM, MAX_DATAGRAM)),
    }
}

/// Writes the reply; one that is too long loses all its records and gains the TC bit, and the asker comes back over
/// TCP (RFC 2181 section 9 has it ignore a partial answer anyway).
fn encode(mut reply: Message, limit: u16) -> Option<Vec<u8>> {
    let bytes = encode_within(&reply, limit)?;
    let truncated = bytes.get(2).is_some_and(|flags| flags & TC_BIT != 0);
    if !truncated {
        return Some(bytes);
    }
    reply.metadata.truncation = true;
    reply.answers.clear();
    reply.authorities.clear();
    reply.additionals.clear();
    encode_within(&reply, limit)
}

fn encode_within(reply: &Message, limit: u16) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(MIN_DATAGRAM.into());
    let mut encoder = BinEncoder::new(&mut bytes);
    encoder.set_max_size(limit);
    reply.emit(&mut encoder).ok()?;
    Some(bytes)
}

/// RFC 1035 section 4.2.1: what every asker takes.
const MIN_DATAGRAM: u16 = 512;
/// What passes every common path in one piece; a fragment can be forged without knowing the id.
const MAX_DATAGRAM: u16 = 1232;
const MAX_STREAM: u16 = u16::MAX;
/// In the third byte of the header (RFC 1035 section 4.1.1).
const TC_BIT: u8 = 0x02;
/// Option code of an extended error, and two of its values (RFC 8914 sections 2, 4.15 and 4.21).
const EXTENDED_ERROR: u16 = 15;
const NOT_READY: u16 = 14;
const NOT_AUTHORITATIVE: u16 = 20;

#[cfg(test)]
mod tests;
