//! Fuzz bodies: plain functions with the property that they assert, so that the corpora replay on a stable compiler inside
//! `cargo test`, and `cargo fuzz run TARGET` explores on from there.
//!
//! Run one: `RUSTC_BOOTSTRAP=1 cargo fuzz run -s none claims`. Without a fuzzing compiler the programs read the files that
//! they are given: `cargo run -p fuzz --bin claims -- FILE…` says which of them keeps the property.
#![expect(
    clippy::panic,
    reason = "a property that does not hold is reported by a panic, as fuzzers expect"
)]

use proto::{
    checked::Signed,
    claims::{Announcement, Challenge, Claim, Keyset, Observation, Receipt, Registration, Statement, Verdict, Welcome},
    evidence::Evidence,
    tunnel::{self, BodyReader, connect, enproxy},
};

/// Any claim: no panic, and no input that is nobody's signature opens with a key of the input's own choice, except the one
/// claim that carries its key and then only if that key signed it.
pub fn claims(bytes: &[u8]) {
    opens_for_nobody::<Keyset>(bytes);
    opens_for_nobody::<Welcome>(bytes);
    opens_for_nobody::<Announcement>(bytes);
    opens_for_nobody::<Challenge>(bytes);
    opens_for_nobody::<Statement>(bytes);
    opens_for_nobody::<Observation>(bytes);
    opens_for_nobody::<Receipt>(bytes);
    opens_for_nobody::<Verdict>(bytes);
    if let Ok(signed) = Signed::<Registration>::parse(bytes) {
        let said = signed.key_id();
        if let Ok(timely) = signed.verify_with_own_key() {
            assert_eq!(
                timely.dangerously_at_any_time().issuer,
                said,
                "a registration of another key"
            );
        }
    }
}

/// An evidence file: whatever decodes encodes to the same bytes.
pub fn evidence(bytes: &[u8]) {
    if let Ok(evidence) = Evidence::decode(bytes) {
        assert_eq!(
            evidence.encode().ok().as_deref(),
            Some(bytes),
            "evidence is not canonical"
        );
        assert!(evidence.digests().len() <= 7);
    }
}

/// What a client sends to a give mode server: no panic; the body is the same however it is cut; a head never claims more
/// than there was.
pub fn requests(bytes: &[u8]) {
    let Ok(Some((request, length))) = tunnel::decode_request(bytes) else {
        return;
    };
    assert!(length <= bytes.len() && length <= tunnel::MAX_HEAD);
    if let tunnel::Request::Enproxy(request) = request {
        same_however_cut(&BodyReader::new(request.body), &bytes[length..]);
    }
}

/// What a peer answers to the prober: the same properties.
pub fn responses(bytes: &[u8]) {
    if let Ok(Some((response, length))) = enproxy::decode_response(bytes) {
        assert!(length <= bytes.len());
        same_however_cut(&BodyReader::new(response.body), &bytes[length..]);
    }
    if let Ok(Some((connect::Reply::Open(preamble), length))) = connect::decode_reply(bytes) {
        let rest = &bytes[length..];
        let whole = stripped(preamble, &[rest]);
        for at in 0..=rest.len().min(64) {
            let (head, tail) = rest.split_at(at);
            assert_eq!(stripped(preamble, &[head, tail]), whole, "cut at {at}");
        }
    }
}

/// Runs a body over the files named on the command line.
pub fn replay(target: &str, body: fn(&[u8])) {
    for path in std::env::args().skip(1) {
        match std::fs::read(&path) {
            Ok(bytes) => {
                body(&bytes);
                eprintln!("{target}: {path}: {} bytes, the property holds", bytes.len());
            }
            Err(error) => panic!("{target}: cannot read {path}: {error}"),
        }
    }
}

fn opens_for_nobody<T: Claim>(bytes: &[u8]) {
    if let Ok(signed) = Signed::<T>::parse(bytes) {
        assert!(bytes.len() <= proto::cbor::MAX_BYTES);
        let stranger = proto::key::SigningKey::from_seed(&[0x5a; 32]).public();
        assert!(
            signed.verify(&stranger).is_err(),
            "{} opened with a stranger's key",
            T::NAME
        );
    }
}

fn same_however_cut(reader: &BodyReader, body: &[u8]) {
    let whole = read(reader.clone(), &[body]);
    for at in 0..=body.len().min(64) {
        let (head, tail) = body.split_at(at);
        assert_eq!(read(reader.clone(), &[head, tail]), whole, "cut at {at}");
    }
}

/// The decoded bytes, and whether it went wrong.
fn read(mut reader: BodyReader, parts: &[&[u8]]) -> (Vec<u8>, bool) {
    let mut data = Vec::new();
    for part in parts {
        let mut input = *part;
        while !reader.is_done() && !input.is_empty() {
            match reader.read(input) {
                Ok(piece) => {
                    data.extend_from_slice(piece.data);
                    assert!(piece.consumed > 0 || piece.data.is_empty());
                    if piece.consumed == 0 {
                        panic!("a reader that neither reads nor fails");
                    }
                    input = &input[piece.consumed..];
                }
                Err(_) => return (data, true),
            }
        }
    }
    (data, false)
}

fn stripped(mut preamble: connect::Preamble, parts: &[&[u8]]) -> Vec<u8> {
    let mut data = Vec::new();
    for part in parts {
        for piece in preamble.strip(part) {
            data.extend_from_slice(piece);
        }
    }
    data.extend_from_slice(preamble.finish());
    data
}
