//! What a probe carries inside the tunnel: the request, byte for byte, and the one head of the origin's answer.

use proto::{
    ids::{Destination, Digest},
    probe::{answer_head, challenge_in, challenge_of, request},
};
use serde::{Deserialize, Serialize};

use super::{
    cast::destination,
    format::{Hex, committed, written},
    scene::{Scene, challenge},
};

/// `probe.json`.
#[derive(Debug, Serialize, Deserialize)]
struct ProbeFile {
    about: String,
    requests: Vec<RequestVector>,
    heads: Vec<HeadVector>,
    no_probes: Vec<NoProbe>,
}

#[derive(Debug, Serialize, Deserialize)]
struct RequestVector {
    name: String,
    challenge: Hex,
    destination: String,
    /// ASCII.
    request: String,
    up: usize,
    sha256: Hex,
}

#[derive(Debug, Serialize, Deserialize)]
struct HeadVector {
    name: String,
    statement: Hex,
    body_length: u64,
    /// ASCII; empty when the statement does not fit.
    head: String,
    sha256: Hex,
}

/// First bytes of a connection that are no probe's.
#[derive(Debug, Serialize, Deserialize)]
struct NoProbe {
    name: String,
    /// ASCII.
    opening: String,
}

pub(crate) fn file() -> String {
    let evidence = Scene::honest().evidence();
    let signed = evidence.challenge.unwrap().0;
    let statement = evidence.statement.unwrap().0;
    let bytes = |length: usize| (0..length).map(|at| at as u8).collect::<Vec<u8>>();
    let longest: Destination = format!("{}:65535", "h".repeat(100)).parse().unwrap();
    let requests = vec![
        asked("of-a-challenge", &signed, &destination()),
        asked("of-one-byte", &bytes(1), &destination()),
        asked("of-two-bytes", &bytes(2), &destination()),
        asked("of-three-bytes", &bytes(3), &destination()),
        asked("to-the-longest-destination", &signed, &longest),
        asked("of-the-alphabets-last-letters", &[0xfb, 0xff, 0xfe], &destination()),
    ];
    let heads = vec![
        answered("of-a-statement", &statement, challenge(1024).body_length),
        answered("of-a-measurement", &statement, 256 << 10),
        answered("of-no-body", &statement, 0),
        answered("of-the-longest-body", &statement, 4 << 20),
        answered("of-a-statement-with-one-hyphen", &bytes(645), 1024),
        answered("of-a-statement-that-fills-it", &bytes(645), 10_240),
        answered("of-a-statement-that-is-too-long", &bytes(646), 1024),
    ];
    let no_probes = [
        ("another-method", "POST /c/AAAA HTTP/1.1\r\n"),
        ("another-version", "GET /c/AAAA HTTP/1.0\r\n"),
        ("another-path", "GET /d/AAAA HTTP/1.1\r\n"),
        ("no-challenge", "GET /c/ HTTP/1.1\r\n"),
        ("padding", "GET /c/AA== HTTP/1.1\r\n"),
        ("the-other-alphabet", "GET /c/A+/A HTTP/1.1\r\n"),
        ("bits-left-over", "GET /c/AB HTTP/1.1\r\n"),
        ("a-query", "GET /c/AAAA?x HTTP/1.1\r\n"),
        ("an-absolute-target", "GET http://origin.example/c/AAAA HTTP/1.1\r\n"),
        ("no-line-end", "GET /c/AAAA HTTP/1.1\n"),
        ("an-incomplete-line", "GET /c/AAAA HTTP/1.1\r"),
        ("another-protocol", "\u{16}\u{3}\u{1}\r\n"),
        ("an-empty-line", "\r\nGET /c/AAAA HTTP/1.1\r\n"),
    ];
    let no_probes = no_probes.map(|(name, opening)| NoProbe {
        name: name.to_owned(),
        opening: opening.to_owned(),
    });
    written(&ProbeFile {
        about: "A probe's request and the head of its answer, byte for byte.".to_owned(),
        requests,
        heads,
        no_probes: no_probes.into(),
    })
}

fn asked(name: &str, challenge: &[u8], destination: &Destination) -> RequestVector {
    let request = request(challenge, destination);
    RequestVector {
        name: name.to_owned(),
        challenge: Hex(challenge.to_vec()),
        destination: destination.to_string(),
        up: request.len(),
        sha256: Hex(Digest::of(&request).as_bytes().to_vec()),
        request: String::from_utf8(request).unwrap(),
    }
}

fn answered(name: &str, statement: &[u8], body_length: u64) -> HeadVector {
    let head = answer_head(statement, body_length).unwrap_or_default();
    HeadVector {
        name: name.to_owned(),
        statement: Hex(statement.to_vec()),
        body_length,
        sha256: Hex(Digest::of(&head).as_bytes().to_vec()),
        head: String::from_utf8(head).unwrap(),
    }
}

#[test]
fn requests_and_heads_are_those_of_the_text() {
    let file: ProbeFile = committed("probe.json");
    for vector in &file.requests {
        let destination: Destination = vector.destination.parse().unwrap();
        let made = request(&vector.challenge.0, &destination);
        assert_eq!(made, vector.request.as_bytes(), "{}", vector.name);
        // README, "Request": 47 + ⌈4n/3⌉ + the length of d.
        let up = 47 + (4 * vector.challenge.0.len()).div_ceil(3) + vector.destination.len();
        assert_eq!((made.len(), up), (vector.up, vector.up), "{}", vector.name);
        assert_eq!(challenge_in(&made), Some(vector.challenge.0.clone()), "{}", vector.name);
        assert_eq!(
            Digest::of(&made).as_bytes(),
            vector.sha256.0.as_slice(),
            "{}",
            vector.name
        );
    }
    for vector in &file.heads {
        let head = answer_head(&vector.statement.0, vector.body_length).unwrap_or_default();
        assert_eq!(head, vector.head.as_bytes(), "{}", vector.name);
        assert!([0, 1024].contains(&head.len()), "{}", vector.name);
        assert_eq!(
            Digest::of(&head).as_bytes(),
            vector.sha256.0.as_slice(),
            "{}",
            vector.name
        );
    }
    for vector in &file.no_probes {
        assert_eq!(challenge_in(vector.opening.as_bytes()), None, "{}", vector.name);
    }
    assert_eq!(challenge_of("/c/AAAA"), Some(vec![0; 3]));
}
