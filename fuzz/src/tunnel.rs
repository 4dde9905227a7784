//! The tunnels of Flashlight: heads and bodies of both sides, as bytes, and built to be read again.

use std::time::Duration;

use proto::tunnel::{
    self, BodyReader, ErrorBody, Framing, Host, MAX_DESTINATION, MAX_ERROR_TEXT, MAX_HEAD, MAX_ID, Request,
    connect::{self, MAX_TOKENS, MAX_VALUE, Preamble, Reply},
    encode_chunk, encode_last_chunk,
    enproxy::{self, Call, Form, Op, Purpose},
};

use crate::{
    choices::Choices,
    target::{Input, Property, Report, Target},
};

/// What a client sends to a give mode server.
pub const REQUESTS: Target = Target {
    name: "requests",
    says: "a request of a client to a give mode server: enproxy in both forms, CONNECT",
    input: Input::Bytes,
    properties: &[HEAD_WITHIN, MORE_CHANGES_NOTHING, BOUNDED, HOWEVER_CUT, WRITTEN_AGAIN],
    run: requests,
};

/// What a give mode server answers.
pub const RESPONSES: Target = Target {
    name: "responses",
    says: "a response of a give mode server, or of whoever answers in its place",
    input: Input::Bytes,
    properties: &[HEAD_WITHIN, MORE_CHANGES_NOTHING, BOUNDED, HOWEVER_CUT, ERROR_TEXT],
    run: responses,
};

/// Heads and bodies, written and read.
pub const HEADS: Target = Target {
    name: "heads",
    says: "heads and bodies of tunnels, built, written and read again",
    input: Input::Choices,
    properties: &[READ_AS_WRITTEN, NOTHING_SMUGGLED, BODY_AS_WRITTEN, HOWEVER_CUT],
    run: heads,
};

const HEAD_WITHIN: Property = Property {
    name: "head-within",
    says: "a head ends within what has come and within 16 KiB",
};
const MORE_CHANGES_NOTHING: Property = Property {
    name: "more-changes-nothing",
    says: "a head that was read from a beginning is read alike from the whole, and none is read from less than it",
};
const BOUNDED: Property = Property {
    name: "bounded",
    says: "ids, destinations, tokens and hosts that were read keep their limits and are visible ASCII",
};
const HOWEVER_CUT: Property = Property {
    name: "however-cut",
    says: "a body gives the same bytes, and the same end, however it is cut",
};
const WRITTEN_AGAIN: Property = Property {
    name: "written-again",
    says: "a request that was read can be written so that it is read alike",
};
const ERROR_TEXT: Property = Property {
    name: "error-text",
    says: "a server's reason is shown in at most 3,072 bytes without control characters",
};
const READ_AS_WRITTEN: Property = Property {
    name: "read-as-written",
    says: "what our client and server write, the other side reads as it was meant",
};
const NOTHING_SMUGGLED: Property = Property {
    name: "nothing-smuggled",
    says: "a value that cannot be sent is refused, and nothing is written then; else one head is written, and no more",
};
const BODY_AS_WRITTEN: Property = Property {
    name: "body-as-written",
    says: "a chunked body is read as it was written, to its last byte and no further",
};

fn requests(input: &[u8], report: &mut Report) {
    let (request, length) = match tunnel::decode_request(input) {
        Ok(Some(read)) => read,
        Ok(None) => return report.note(|| "more bytes are needed".to_owned()),
        Err(error) => return report.note(|| error.to_string()),
    };
    report.note(|| format!("{request:?}"));
    head(input, length, report, |bytes| match tunnel::decode_request(bytes) {
        Ok(read) => read.map(|(request, length)| (format!("{request:?}"), length)),
        Err(_) => None,
    });
    match request {
        Request::Connect(request) => {
            let fine = is_word(&request.destination, MAX_DESTINATION)
                && request.tokens.len() <= MAX_TOKENS
                && request
                    .tokens
                    .iter()
                    .chain(&request.device_id)
                    .all(|value| is_line(value, MAX_VALUE));
            report.check(BOUNDED, fine, || format!("{request:?}"));
            let mut out = Vec::new();
            let written = request.encode(&mut out).is_ok();
            let again = tunnel::decode_request(&out);
            let same = matches!(&again, Ok(Some((Request::Connect(again), length))) if *again == request && *length == out.len());
            report.check(WRITTEN_AGAIN, written && same, || {
                format!("{request:?} became {again:?}")
            });
        }
        Request::Enproxy(request) => {
            if let Host::Named(host) = &request.host {
                report.check(BOUNDED, is_word(host, MAX_DESTINATION), || format!("{host:?}"));
            }
            if let Purpose::Call(call) = &request.purpose {
                let fine = is_word(&call.id, MAX_ID) && is_word(&call.destination, MAX_DESTINATION);
                report.check(BOUNDED, fine, || format!("{call:?}"));
                call_again(call, report);
            }
            body(request.body, &input[length..], report);
        }
    }
}

fn call_again(call: &Call, report: &mut Report) {
    let mut out = Vec::new();
    let written = call.encode(Form::Headers, None, b"", &mut out).is_ok();
    let again = tunnel::decode_request(&out);
    let same = matches!(&again, Ok(Some((Request::Enproxy(again), _))) if again.purpose == Purpose::Call(call.clone()));
    report.check(WRITTEN_AGAIN, written && same, || format!("{call:?} became {again:?}"));
}

fn responses(input: &[u8], report: &mut Report) {
    if let Ok(Some((response, length))) = enproxy::decode_response(input) {
        report.note(|| format!("to an enproxy client: {response:?}"));
        head(input, length, report, |bytes| match enproxy::decode_response(bytes) {
            Ok(read) => read.map(|(response, length)| (format!("{response:?}"), length)),
            Err(_) => None,
        });
        let values = [(&response.id, MAX_ID), (&response.proxy_host, MAX_DESTINATION)];
        let fine = values
            .iter()
            .all(|(value, most)| value.as_deref().is_none_or(|value| is_line(value, *most)));
        report.check(BOUNDED, fine, || format!("{response:?}"));
        body(response.body, &input[length..], report);
        error_text(ErrorBody::new(response.body), &input[length..], report);
    }
    if let Ok(Some((reply, length))) = connect::decode_reply(input) {
        report.note(|| format!("to a CONNECT client: {reply:?}"));
        head(input, length, report, |bytes| match connect::decode_reply(bytes) {
            Ok(read) => read.map(|(reply, length)| (format!("{reply:?}"), length)),
            Err(_) => None,
        });
        match reply {
            Reply::Open(preamble) => preambles(preamble, &input[length..], report),
            Reply::Refused { body, .. } => error_text(body, &input[length..], report),
        }
    }
}

/// What holds of every head that was read.
fn head(input: &[u8], length: usize, report: &mut Report, read: impl Fn(&[u8]) -> Option<(String, usize)>) {
    report.check(HEAD_WITHIN, length <= input.len() && length <= MAX_HEAD, || {
        format!("a head of {length} bytes in {}", input.len())
    });
    let whole = read(input);
    let alone = read(&input[..length]);
    report.equal(MORE_CHANGES_NOTHING, &alone, &whole);
    // One byte less, and some shorter ones: the head is not there yet.
    for less in [length.saturating_sub(1), length / 2, length.saturating_sub(2)] {
        let early = read(&input[..less]);
        report.check(MORE_CHANGES_NOTHING, early.is_none(), || {
            format!("read from {less} of {length} bytes: {early:?}")
        });
    }
}

fn body(framing: Framing, bytes: &[u8], report: &mut Report) {
    let reader = BodyReader::new(framing);
    let whole = read_body(reader.clone(), &[bytes], report);
    for at in (0..bytes.len().min(80)).chain([bytes.len() / 2]) {
        let (first, rest) = bytes.split_at(at);
        let cut = read_body(reader.clone(), &[first, rest], report);
        report.check(HOWEVER_CUT, cut == whole, || {
            format!("cut at {at} it is {cut:?}, not {whole:?}")
        });
    }
    let single: Vec<&[u8]> = bytes.chunks(1).take(2000).collect();
    if single.len() == bytes.len() {
        let cut = read_body(reader, &single, report);
        report.check(HOWEVER_CUT, cut == whole, || {
            format!("byte by byte it is {cut:?}, not {whole:?}")
        });
    }
}

/// The data, how much was read over, and whether it is whole, broken or goes on.
fn read_body(mut reader: BodyReader, parts: &[&[u8]], report: &mut Report) -> (Vec<u8>, usize, Option<bool>) {
    let (mut data, mut used) = (Vec::new(), 0);
    for part in parts {
        let mut input = *part;
        while !reader.is_done() && !input.is_empty() {
            match reader.read(input) {
                // How much of it was used depends on the cut.
                Err(_) => return (data, 0, Some(false)),
                Ok(piece) => {
                    let moves = piece.consumed > 0 && piece.data.len() <= piece.consumed;
                    report.check(HOWEVER_CUT, moves, || {
                        "a reader that neither reads nor fails".to_owned()
                    });
                    if !moves {
                        return (data, used, None);
                    }
                    data.extend_from_slice(piece.data);
                    used += piece.consumed;
                    input = &input[piece.consumed..];
                }
            }
        }
    }
    // So does what an unfinished body has used; what a whole one used does not.
    let done = reader.is_done();
    (data, if done { used } else { 0 }, done.then_some(true))
}

fn preambles(preamble: Preamble, rest: &[u8], report: &mut Report) {
    let strip = |parts: &[&[u8]]| {
        let (mut preamble, mut data) = (preamble, Vec::new());
        for part in parts {
            for piece in preamble.strip(part) {
                data.extend_from_slice(piece);
            }
        }
        data.extend_from_slice(preamble.finish());
        data
    };
    let whole = strip(&[rest]);
    for at in 0..=rest.len().min(80) {
        let (first, second) = rest.split_at(at);
        let cut = strip(&[first, second]);
        report.check(HOWEVER_CUT, cut == whole, || {
            format!("cut at {at} it is {cut:?}, not {whole:?}")
        });
    }
}

fn error_text(mut body: ErrorBody, rest: &[u8], report: &mut Report) {
    body.push(rest);
    let text = body.text();
    // A byte that is no UTF-8 becomes a sign of three.
    let fine = text.len() <= 3 * MAX_ERROR_TEXT && !text.chars().any(char::is_control);
    report.check(ERROR_TEXT, fine, || format!("{text:?}"));
}

fn heads(input: &[u8], report: &mut Report) {
    let mut choices = Choices::new(input);
    match choices.below(4) {
        0 => built_call(&mut choices, report),
        1 => built_connect(&mut choices, report),
        2 => built_response(&mut choices, report),
        _ => built_body(&mut choices, report),
    }
}

fn built_call(choices: &mut Choices<'_>, report: &mut Report) {
    let form = *choices.of(&[Form::Headers, Form::Path]);
    let call = Call {
        id: value(choices, "9f1c-1"),
        destination: value(choices, "origin.example:80"),
        op: *choices.of(&[Op::Write, Op::Read]),
    };
    let host = choices.twist().then(|| value(choices, "peer-x.example"));
    let inner = choices.bytes(60).to_vec();
    let mut out = Vec::new();
    if call.encode(form, host.as_deref(), &inner, &mut out).is_err() {
        return report.check(NOTHING_SMUGGLED, out.is_empty(), || format!("{call:?} wrote {out:?}"));
    }
    let read = tunnel::decode_request(&out);
    let Ok(Some((Request::Enproxy(request), length))) = &read else {
        return report.broken(READ_AS_WRITTEN, format!("{call:?} is read as {read:?}"));
    };
    let same = request.purpose == Purpose::Call(call.clone()) && request.body == Framing::Length(inner.len() as u64);
    report.check(READ_AS_WRITTEN, same, || {
        format!("{form:?} {call:?} is read as {request:?}")
    });
    report.check(NOTHING_SMUGGLED, out[*length..] == inner[..], || {
        format!("after the head of {call:?} comes {:?}", &out[*length..])
    });
}

fn built_connect(choices: &mut Choices<'_>, report: &mut Report) {
    let request = connect::Request {
        destination: value(choices, "origin.example:80"),
        tokens: (0..choices.below(4)).map(|_| value(choices, "sesame")).collect(),
        device_id: choices.twist().then(|| value(choices, "device")),
        dial_timeout: choices.twist().then(|| Duration::from_millis(choices.any())),
    };
    let mut out = Vec::new();
    if request.encode(&mut out).is_err() {
        return report.check(NOTHING_SMUGGLED, out.is_empty(), || {
            format!("{request:?} wrote {out:?}")
        });
    }
    let read = tunnel::decode_request(&out);
    let same =
        matches!(&read, Ok(Some((Request::Connect(again), length))) if *again == request && *length == out.len());
    report.check(READ_AS_WRITTEN, same, || format!("{request:?} is read as {read:?}"));
}

fn built_response(choices: &mut Choices<'_>, report: &mut Report) {
    let response = enproxy::Response {
        status: *choices.of(&[200, 400, 403, 500, 502, 503]),
        eof: choices.any(),
        id: choices.any::<bool>().then(|| value(choices, "9f1c-1")),
        proxy_host: choices.twist().then(|| value(choices, "peer-x.example")),
        body: *choices.of(&[Framing::Length(5), Framing::Chunked, Framing::UntilClose]),
        version: tunnel::Version::Http11,
        keep_alive: choices.any(),
    };
    let mut out = Vec::new();
    response.encode(&mut out);
    let read = enproxy::decode_response(&out);
    let Ok(Some((again, length))) = &read else {
        return report.broken(READ_AS_WRITTEN, format!("{response:?} is read as {read:?}"));
    };
    report.equal(NOTHING_SMUGGLED, length, &out.len());
    let kept = |value: &Option<String>, most| value.clone().filter(|value| is_word(value, most));
    let same = again.status == response.status
        && again.eof == response.eof
        && again.id == kept(&response.id, MAX_ID.max(MAX_DESTINATION))
        && again.proxy_host == kept(&response.proxy_host, MAX_DESTINATION)
        && again.body == response.body
        && again.keep_alive == (response.keep_alive && response.body != Framing::UntilClose);
    report.check(READ_AS_WRITTEN, same, || format!("{response:?} is read as {again:?}"));
}

fn built_body(choices: &mut Choices<'_>, report: &mut Report) {
    let (mut out, mut meant) = (Vec::new(), Vec::new());
    for _ in 0..choices.below(6) {
        let chunk = choices.bytes(40);
        encode_chunk(&mut out, chunk);
        meant.extend_from_slice(chunk);
    }
    encode_last_chunk(&mut out);
    let end = out.len();
    out.extend_from_slice(choices.bytes(20));
    let read = read_body(BodyReader::new(Framing::Chunked), &[&out], report);
    report.equal(BODY_AS_WRITTEN, &read, &(meant, end, Some(true)));
    body(Framing::Chunked, &out, report);
}

/// A value as an honest party sends it, or any text at all.
fn value(choices: &mut Choices<'_>, honest: &str) -> String {
    match choices.byte() % 4 {
        1 => choices.text(255).repeat(1 + choices.below(2)),
        2 => format!("{honest}{}", choices.text(20)),
        _ => honest.to_owned(),
    }
}

fn is_word(value: &str, most: usize) -> bool {
    !value.is_empty() && value.len() <= most && value.bytes().all(|byte| byte.is_ascii_graphic())
}

fn is_line(value: &str, most: usize) -> bool {
    !value.is_empty() && value.len() <= most && value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
}
