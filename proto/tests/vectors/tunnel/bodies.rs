//! Bodies: where they end in a stream that goes on, and what is no body.

use super::{BodyVector, Ends};
use crate::format::Hex;

pub(super) fn vectors() -> Vec<BodyVector> {
    let rows: &[(&str, Ends, &str, &str, &str, &str)] = &[
        ("by-length", Ends::Length(5), "hellonext", "hello", "next", ""),
        ("by-length-of-nothing", Ends::Length(0), "next", "", "next", ""),
        ("until-the-close", Ends::UntilClose, "hello", "hello", "", ""),
        (
            "in-chunks",
            Ends::Chunked,
            "5\r\nhello\r\n1\r\n!\r\n0\r\n\r\nnext",
            "hello!",
            "next",
            "",
        ),
        ("in-no-chunks", Ends::Chunked, "0\r\n\r\nnext", "", "next", ""),
        (
            "in-chunks-with-extensions-and-trailers",
            Ends::Chunked,
            "5 \r\nhello\r\n0;a=b\r\nT: 1\r\n\r\nnext",
            "hello",
            "next",
            "",
        ),
        (
            "in-chunks-of-hexadecimal-sizes",
            Ends::Chunked,
            "0A\r\n0123456789\r\n00\r\n\r\n",
            "0123456789",
            "",
            "",
        ),
        ("cut-by-length", Ends::Length(5), "hell", "", "", "truncated"),
        ("cut-in-a-chunk", Ends::Chunked, "5\r\nhell", "", "", "truncated"),
        (
            "cut-before-the-last-chunk",
            Ends::Chunked,
            "5\r\nhello\r\n",
            "",
            "",
            "truncated",
        ),
        ("chunk-without-a-size", Ends::Chunked, "\r\nhello", "", "", "chunk-size"),
        (
            "chunk-of-a-negative-size",
            Ends::Chunked,
            "-5\r\nhello",
            "",
            "",
            "chunk-size",
        ),
        (
            "chunk-of-a-size-with-a-prefix",
            Ends::Chunked,
            "0x5\r\nhello",
            "",
            "",
            "chunk-size",
        ),
        (
            "chunk-beyond-64-bits",
            Ends::Chunked,
            "10000000000000000\r\n",
            "",
            "",
            "chunk-too-large",
        ),
        (
            "chunk-line-ending-in-lf",
            Ends::Chunked,
            "5\nhello",
            "",
            "",
            "chunk-end",
        ),
        (
            "chunk-longer-than-its-size",
            Ends::Chunked,
            "5\r\nhello!\r\n",
            "",
            "",
            "chunk-end",
        ),
    ];
    let bytes = |text: &str| Hex(text.as_bytes().to_vec());
    let vector = |(name, ends, stream, body, rest, error): &(&str, Ends, &str, &str, &str, &str)| BodyVector {
        name: (*name).to_owned(),
        ends: *ends,
        stream: bytes(stream),
        body: bytes(body),
        rest: bytes(rest),
        error: (*error).to_owned(),
    };
    let mut vectors: Vec<BodyVector> = rows.iter().map(vector).collect();
    let long = format!("5;{}\r\nhello\r\n0\r\n\r\n", "e".repeat(256));
    let trailers = format!("0\r\n{}\r\n", "a: b\r\n".repeat(1000));
    for (name, stream, error) in [
        ("chunk-line-of-258-bytes", long, "chunk-line-too-long"),
        ("trailers-of-6000-bytes", trailers, "trailers-too-long"),
    ] {
        vectors.push(vector(&(name, Ends::Chunked, &stream, "", "", error)));
    }
    vectors
}
