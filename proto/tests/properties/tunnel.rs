//! Heads and bodies of the tunnels, and what a probe carries in them.

use std::time::Duration;

use proptest::{collection::vec, option, prelude::*, sample::select};
use proto::{
    ids::Digest,
    probe,
    tunnel::{
        BodyReader, Framing, Request, Version, connect, decode_request, encode_chunk, encode_last_chunk,
        enproxy::{self, Call, Form, Op, Purpose, Response},
    },
};

use crate::strategies::destination;

fn call() -> impl Strategy<Value = Call> {
    let op = select(&[Op::Write, Op::Read][..]);
    ("[!-~]{1,60}", "[!-.0-~]{1,60}", op).prop_map(|(id, destination, op)| Call { id, destination, op })
}

fn connect_request() -> impl Strategy<Value = connect::Request> {
    let target = ("[a-z0-9.-]{1,40}", 1..=u16::MAX).prop_map(|(host, port)| format!("{host}:{port}"));
    let value = "[!-~]([ -~]{0,20}[!-~])?";
    let limit = option::of(any::<u64>().prop_map(Duration::from_millis));
    (target, vec(value, 0..5), option::of(value), limit).prop_map(|(destination, tokens, device_id, dial_timeout)| {
        connect::Request {
            destination,
            tokens,
            device_id,
            dial_timeout,
        }
    })
}

fn response() -> impl Strategy<Value = Response> {
    let status = (200_u16..600).prop_filter("without a body", |status| !matches!(status, 204 | 304));
    let body = option::of(any::<u64>()).prop_map(|length| length.map_or(Framing::Chunked, Framing::Length));
    let word = || option::of("[!-~]{1,60}");
    (status, any::<bool>(), word(), word(), body, any::<bool>()).prop_map(
        |(status, eof, id, proxy_host, body, keep_alive)| Response {
            status,
            eof,
            id,
            proxy_host,
            body,
            version: Version::Http11,
            keep_alive,
        },
    )
}

proptest! {
    #[test]
    fn calls_come_back_in_both_forms(
        call in call(),
        host in option::of("[!-~]{1,40}"),
        body in vec(any::<u8>(), 0..80),
        path: bool,
    ) {
        let form = if path { Form::Path } else { Form::Headers };
        let mut bytes = Vec::new();
        call.encode(form, host.as_deref(), &body, &mut bytes).unwrap();
        let (read, head) = decode_request(&bytes).unwrap().unwrap();
        let Request::Enproxy(read) = read else { return Err(TestCaseError::fail("not enproxy")) };
        prop_assert_eq!(&bytes[head..], &body);
        prop_assert_eq!(read.body, Framing::Length(body.len() as u64));
        let Purpose::Call(read) = read.purpose else { return Err(TestCaseError::fail("not served")) };
        prop_assert_eq!(&read, &call);
        let mut again = Vec::new();
        read.encode(form, host.as_deref(), &body, &mut again).unwrap();
        prop_assert_eq!(again, bytes);
    }

    #[test]
    fn connects_come_back(request in connect_request(), rest in vec(any::<u8>(), 0..20)) {
        let mut bytes = Vec::new();
        request.encode(&mut bytes).unwrap();
        let head = bytes.len();
        bytes.extend_from_slice(&rest);
        let (read, length) = decode_request(&bytes).unwrap().unwrap();
        prop_assert_eq!(length, head);
        let Request::Connect(read) = read else { return Err(TestCaseError::fail("not CONNECT")) };
        prop_assert_eq!(&read, &request);
        let mut again = Vec::new();
        read.encode(&mut again).unwrap();
        prop_assert_eq!(&again, &bytes[..head]);
        for short in 0..head {
            prop_assert_eq!(decode_request(&bytes[..short]), Ok(None));
        }
    }

    #[test]
    fn responses_come_back(response in response()) {
        let mut bytes = Vec::new();
        response.encode(&mut bytes);
        let (read, head) = enproxy::decode_response(&bytes).unwrap().unwrap();
        prop_assert_eq!((&read, head), (&response, bytes.len()));
        let mut again = Vec::new();
        read.encode(&mut again);
        prop_assert_eq!(again, bytes);
    }

    #[test]
    fn refusals_come_back(status in 300_u16..600, text in "[!-~]([ -~]{0,40}[!-~])?") {
        prop_assume!(status != 304);
        let mut bytes = Vec::new();
        connect::encode_refusal(status, &text, &mut bytes);
        let (reply, head) = connect::decode_reply(&bytes).unwrap().unwrap();
        let connect::Reply::Refused { status: read, mut body } = reply else {
            return Err(TestCaseError::fail("it opened"));
        };
        prop_assert!(body.push(&bytes[head..]));
        prop_assert_eq!((read, body.text()), (status, text));
    }

    #[test]
    fn bodies_in_chunks_come_back(chunks in vec(vec(any::<u8>(), 1..50), 0..6), step in 1..9_usize) {
        let mut stream = Vec::new();
        chunks.iter().for_each(|chunk| encode_chunk(&mut stream, chunk));
        encode_last_chunk(&mut stream);
        let mut reader = BodyReader::new(Framing::Chunked);
        let mut body = Vec::new();
        for mut piece in stream.chunks(step) {
            while !piece.is_empty() {
                let read = reader.read(piece).unwrap();
                body.extend_from_slice(read.data);
                piece = &piece[read.consumed..];
            }
        }
        prop_assert!(reader.is_done());
        prop_assert_eq!(body, chunks.concat());
    }

    #[test]
    fn a_probes_request_and_head_come_back(
        challenge in vec(any::<u8>(), 1..600),
        destination in destination(),
        statement in vec(any::<u8>(), 0..620),
        body_length in 0..=4_194_304_u64,
    ) {
        let request = probe::request(&challenge, &destination);
        prop_assert_eq!(probe::challenge_in(&request), Some(challenge.clone()));
        let line = request.windows(2).position(|pair| pair == b"\r\n").unwrap();
        prop_assert_eq!(probe::challenge_in(&request[..line]), None);
        let head = probe::answer_head(&statement, body_length).unwrap();
        prop_assert_eq!(head.len(), probe::ORIGIN_HEAD);
        // The head is the statement's and the length's own: another statement or length has another.
        let mut other = statement.clone();
        other.push(0);
        prop_assert_ne!(probe::answer_head(&other, body_length).map(|head| Digest::of(&head)), Some(Digest::of(&head)));
        prop_assert_ne!(probe::answer_head(&statement, body_length + 1), Some(head));
    }
}
