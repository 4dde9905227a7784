//! Reads a stranger's question: strictly, and without allocating by a count that it claims.
//!
//! The additional section is read by hand. All that matters in it is the OPT record's fixed part (RFC 6891 section
//! 6.1.2), and hickory's reader logs badly formed options as warnings, which would let anybody fill the log.

use hickory_proto::{
    ProtoError,
    op::{Header, OpCode, Query, ResponseCode},
    rr::{Name as WireName, RecordType},
    serialize::binary::{BinDecodable, BinDecoder, DecodeError},
};

/// What is asked, and what the asker can take.
pub(super) struct Question {
    pub(super) query: Query,
    pub(super) edns: Option<AskersEdns>,
}

/// The asker's OPT record without its options, none of which changes an answer of ours.
#[derive(Clone, Copy)]
pub(super) struct AskersEdns {
    /// The longest datagram that it takes, in bytes.
    pub(super) payload: u16,
    pub(super) version: u8,
    pub(super) dnssec_ok: bool,
}

/// Reads what follows the header.
///
/// # Errors
/// The response code that the asker deserves.
pub(super) fn read(header: &Header, decoder: &mut BinDecoder<'_>) -> Result<Question, ResponseCode> {
    match header.metadata.op_code {
        OpCode::Query => {}
        OpCode::Update => return Err(ResponseCode::Refused),
        _ => return Err(ResponseCode::NotImp),
    }
    let counts = header.counts;
    if counts.queries != 1 || counts.answers != 0 || counts.additionals > MAX_ADDITIONALS {
        return Err(ResponseCode::FormErr);
    }
    let query = Query::read(decoder).map_err(|_| ResponseCode::FormErr)?;
    if query.query_type == RecordType::IXFR {
        // Refused by the caller; the authority section that it has is not worth reading.
        return Ok(Question { query, edns: None });
    }
    if counts.authorities != 0 {
        return Err(ResponseCode::FormErr);
    }
    let mut edns = None;
    for _ in 0..counts.additionals {
        match read_additional(decoder) {
            Ok(None) => {}
            Ok(found) if edns.is_none() => edns = found,
            _ => return Err(ResponseCode::FormErr), // unreadable, or a second OPT
        }
    }
    if !decoder.is_empty() {
        return Err(ResponseCode::FormErr);
    }
    Ok(Question { query, edns })
}

/// Reads over one record, and into it when it is OPT.
fn read_additional(decoder: &mut BinDecoder<'_>) -> Result<Option<AskersEdns>, ProtoError> {
    let owner = WireName::read(decoder)?;
    let kind = RecordType::from(decoder.read_u16()?.unverified(/* any type is read over */));
    let class = decoder.read_u16()?.unverified(/* any length is clamped before use */);
    let ttl = decoder.read_u32()?.unverified(/* a version and flags */);
    let length = decoder.read_u16()?.unverified(/* reading over more than there is fails */);
    decoder.read_slice(length.into())?;
    if kind != RecordType::OPT {
        return Ok(None);
    }
    if !owner.is_root() {
        return Err(DecodeError::EdnsNameNotRoot(owner.into()).into());
    }
    let [_, version, flags, _] = ttl.to_be_bytes();
    Ok(Some(AskersEdns {
        payload: class,
        version,
        dnssec_ok: flags & DNSSEC_OK != 0,
    }))
}

/// OPT, a signature that we do not check, and one to spare.
const MAX_ADDITIONALS: u16 = 3;
/// In the third byte of what would be the TTL (RFC 6891 section 6.1.3).
const DNSSEC_OK: u8 = 0x80;
