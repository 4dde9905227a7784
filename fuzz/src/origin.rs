//! What a stranger sends to the origin: the real HTTP server over a scripted connection.

use std::{net::SocketAddr, sync::LazyLock};

use attester::{fuzzing::origin::Server, origin::OriginKeys};
use proto::{
    checked::Signed,
    claims::Statement,
    ids::Digest,
    probe::{self, ORIGIN_HEAD},
    time::Clock,
};
use rand::{SeedableRng, rngs::StdRng};

use crate::{
    honest::{ATTESTER, ORIGIN, Probe, at, destination, key, keyset, parsed, signed},
    stream::{Scripted, pieces},
    target::{Input, Property, Report, Target},
};

/// See the module.
pub const TARGET: Target = Target {
    name: "origin",
    says: "what comes in on a connection to the origin",
    input: Input::Bytes,
    properties: &[ANSWERS_ONLY_CHALLENGES, ANSWER, SINGLE_USE, REFUSAL, HOWEVER_CUT],
    run,
};

const ANSWERS_ONLY_CHALLENGES: Property = Property {
    name: "answers-only-challenges",
    says: "200 is for the one challenge in the path that an attester key signed for this origin and this time",
};
const ANSWER: Property = Property {
    name: "answer",
    says: "an answer is the one head of 1,024 bytes with the origin's statement about this connection, and the body that it states",
};
const SINGLE_USE: Property = Property {
    name: "single-use",
    says: "the same bytes are not answered a second time",
};
const REFUSAL: Property = Property {
    name: "refusal",
    says: "whatever is refused gets one short HTTP/1 answer with a status of the protocol's table, and the end; or nothing",
};
const HOWEVER_CUT: Property = Property {
    name: "however-cut",
    says: "the same bytes are answered alike however they are cut; of less than a head, refused early or not answered",
};

/// The request that is answered; a seed.
pub(crate) fn honest() -> Vec<u8> {
    probe::request(&CHALLENGE, &destination())
}

fn run(input: &[u8], report: &mut Report) {
    // The last bytes also say how the input is cut.
    let cuts = &input[input.len() - input.len().min(5)..];
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    let Ok(runtime) = runtime else { return };
    runtime.block_on(async {
        let server = server();
        let first = serve(&server, pieces(input, &[])).await;
        report.note(|| String::from_utf8_lossy(&first[..first.len().min(200)]).into_owned());
        let second = serve(&server, pieces(input, &[])).await;
        let cut = serve(&self::server(), pieces(input, cuts)).await;
        let told = || format!("whole: {:?}, cut: {:?}", text(&first), text(&cut));
        // hyper looks for mistakes in what comes first, and in what follows only once the head has ended in one of two ways.
        let silent = !has_whole_head(input) && (first.is_empty() || cut.is_empty());
        report.check(HOWEVER_CUT, cut == first || silent, told);
        if first.starts_with(b"HTTP/1.1 200 ") {
            answered(input, &first, report);
            report.check(SINGLE_USE, status(&second) == Some(409), || text(&second));
        } else {
            refused(&first, report);
        }
    });
}

fn answered(input: &[u8], answer: &[u8], report: &mut Report) {
    let challenge = probe::challenge_in(input).or_else(|| {
        // hyper takes blank lines before a request.
        let start = input.iter().position(|byte| !matches!(byte, b'\r' | b'\n'))?;
        let line_end = input[start..].iter().position(|byte| *byte == b'\n')?;
        let line = std::str::from_utf8(&input[start..start + line_end]).ok()?;
        probe::challenge_of(path(line.split(' ').nth(1)?))
    });
    report.check(ANSWERS_ONLY_CHALLENGES, challenge.as_ref() == Some(&*CHALLENGE), || {
        format!("{challenge:02x?} was answered")
    });
    let read = attester::flashlight::answer::Answer::of(answer);
    let statement = read.statement.clone().ok().and_then(|bytes| {
        let statement = Signed::<Statement>::parse(&bytes).ok()?;
        let statement = statement.verify(&key(ORIGIN).public()).ok()?.dangerously_at_any_time();
        let head = probe::answer_head(&bytes, statement.body_length)?;
        (Digest::of(&head) == read.head_digest).then_some(statement)
    });
    let right = statement.as_ref().is_some_and(|statement| {
        statement.source.0 == source()
            && statement.challenge == Digest::of(&CHALLENGE)
            && statement.body_length == read.body_length
            && statement.body_digest == read.body_digest
            && answer.len() as u64 == ORIGIN_HEAD as u64 + Probe::default().body
    });
    report.check(ANSWER, right, || format!("{statement:?} in {}", text(answer)));
}

fn has_whole_head(input: &[u8]) -> bool {
    // Blank lines before it are no head.
    let start = input.iter().position(|byte| !matches!(byte, b'\r' | b'\n'));
    let head = &input[start.unwrap_or(input.len())..];
    let ends: [&[u8]; 2] = [b"\n\n", b"\r\n\r\n"];
    ends.iter()
        .any(|end| head.windows(end.len()).any(|window| window == *end))
}

/// The path of an absolute target as well.
fn path(target: &str) -> &str {
    target
        .split_once("://")
        .map_or(target, |(_, rest)| rest.find('/').map_or("", |slash| &rest[slash..]))
}

fn refused(answer: &[u8], report: &mut Report) {
    if answer.is_empty() {
        return;
    }
    let known = matches!(
        status(answer),
        Some(400 | 403 | 404 | 408 | 409 | 410 | 414 | 431 | 503)
    );
    let mut slots = [httparse::EMPTY_HEADER; 16];
    let mut head = httparse::Response::new(&mut slots);
    let whole = matches!(head.parse(answer), Ok(httparse::Status::Complete(_)));
    // Not even of a request that it cannot read does it keep the connection.
    report.check(REFUSAL, known && whole && answer.len() <= 1024, || text(answer));
}

fn status(answer: &[u8]) -> Option<u16> {
    // A client of HTTP/1.0 is refused in its own version.
    let line = answer
        .strip_prefix(b"HTTP/1.1 ")
        .or_else(|| answer.strip_prefix(b"HTTP/1.0 "))?
        .get(..3)?;
    std::str::from_utf8(line).ok()?.parse().ok()
}

fn text(answer: &[u8]) -> String {
    String::from_utf8_lossy(&answer[..answer.len().min(300)]).into_owned()
}

async fn serve(server: &Server, pieces: Vec<Vec<u8>>) -> Vec<u8> {
    let stream = Scripted::of(pieces);
    server.serve(stream.clone(), source()).await;
    stream.written()
}

fn server() -> Server {
    let keys = OriginKeys {
        keyset: keyset(),
        origin: key(ORIGIN).clone(),
    };
    Server::new(
        destination(),
        keys,
        Clock::manual(at(0)),
        16,
        &mut StdRng::seed_from_u64(0),
    )
}

fn source() -> SocketAddr {
    parsed("8.8.8.8:50000")
}

static CHALLENGE: LazyLock<Vec<u8>> = LazyLock::new(|| signed(&Probe::default().challenge(), ATTESTER));
