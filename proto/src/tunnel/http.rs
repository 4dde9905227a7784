//! What the head codecs share: bounded parsing, header lookup, and where a body ends (RFC 9112 section 6).

use std::fmt;

use super::{MAX_DESTINATION, MAX_HEAD, MAX_HEADERS};

/// How the end of a body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// This many bytes; 0 when there is no body.
    Length(u64),
    /// `Transfer-Encoding: chunked`
    Chunked,
    /// Until the connection closes (responses only).
    UntilClose,
}

/// HTTP version of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0: no chunked bodies, the connection closes after one exchange.
    Http10,
    /// HTTP/1.1
    Http11,
}

/// What a request says of the host that it is for (RFC 9112 section 3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// Nothing.
    Absent,
    /// This, as it was sent: with the port, if it has one.
    Named(String),
    /// Several hosts, or one that is empty, longer than any, or has characters that no host has.
    Unusable,
}

/// Why a head was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// No end of head within [`MAX_HEAD`].
    #[error("the head is longer than {MAX_HEAD} bytes")]
    TooLong,
    /// More fields than [`MAX_HEADERS`].
    #[error("the head has more than {MAX_HEADERS} header fields")]
    TooManyHeaders,
    /// Not an HTTP/1 head; what was being read is named.
    #[error("not an HTTP/1 head: bad {0}")]
    Syntax(&'static str),
    /// `Content-Length` is not a plain decimal number.
    #[error("Content-Length is not a number")]
    ContentLength,
    /// Two different `Content-Length` values.
    #[error("several Content-Length values that contradict each other")]
    ConflictingLengths,
    /// Both ways to end a body in one request, the root of request smuggling (RFC 9112 section 6.3).
    #[error("both Content-Length and Transfer-Encoding")]
    LengthAndChunked,
    /// Any transfer coding but `chunked`.
    #[error("Transfer-Encoding is not chunked")]
    TransferEncoding,
    /// HTTP/1.0 knows no transfer codings.
    #[error("Transfer-Encoding in HTTP/1.0")]
    ChunkedInHttp10,
    /// `101`, which nobody asked for.
    #[error("101 Switching Protocols without an upgrade")]
    SwitchingProtocols,
    /// A header that has to be read holds bytes that are not visible ASCII, or too many.
    #[error("header {0} is unreadable or too long")]
    Unreadable(&'static str),
    /// The target of a CONNECT is not `host:port`.
    #[error("the CONNECT target is not host:port")]
    Target,
}

/// Why a head could not be written: a value of this field would break the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is empty, too long, or has characters that cannot be sent")]
pub struct EncodeError(pub Field);

/// The value that an [`EncodeError`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// The tunnel's id.
    Id,
    /// The destination, `host:port`.
    Destination,
    /// The `Host` header.
    Host,
    /// The auth token.
    Token,
    /// The device id.
    DeviceId,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Field::Id => "the tunnel id",
            Field::Destination => "the destination",
            Field::Host => "the host",
            Field::Token => "the auth token",
            Field::DeviceId => "the device id",
        })
    }
}

/// A request line, borrowed from the buffer.
pub(super) struct RequestLine<'a> {
    pub(super) method: &'a str,
    pub(super) target: &'a str,
    pub(super) version: Version,
}

/// A status line.
pub(super) struct StatusLine {
    pub(super) status: u16,
    pub(super) version: Version,
}

/// The header fields of one head.
pub(super) struct Fields<'a>(&'a [httparse::Header<'a>]);

impl<'a> Fields<'a> {
    /// All values of a field, in order.
    pub(super) fn all<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        let fields = self.0;
        fields
            .iter()
            .filter(move |field| field.name.eq_ignore_ascii_case(name))
            .map(|field| field.value)
    }

    /// The first value: that is the one Go's `Header.Get` takes when a field is repeated.
    pub(super) fn first(&self, name: &str) -> Option<&'a [u8]> {
        self.all(name).next()
    }

    /// The first value as text, `None` when absent or empty.
    pub(super) fn text(&self, name: &'static str, limit: usize) -> Result<Option<String>, HeadError> {
        match self.first(name) {
            None | Some([]) => Ok(None),
            Some(value) => sendable(value, limit).map(Some).ok_or(HeadError::Unreadable(name)),
        }
    }

    /// The host of a request.
    pub(super) fn host(&self) -> Host {
        let mut hosts = self.all("host");
        let (first, second) = (hosts.next(), hosts.next());
        match (first.map(std::str::from_utf8), second) {
            (None, _) => Host::Absent,
            (Some(Ok(host)), None) if is_word(host, MAX_DESTINATION) && !host.contains('/') => {
                Host::Named(host.to_owned())
            }
            _ => Host::Unusable,
        }
    }

    /// Does a comma-separated list hold this token?
    pub(super) fn has_token(&self, name: &str, token: &str) -> bool {
        self.all(name)
            .flat_map(|value| value.split(|&byte| byte == b','))
            .any(|item| item.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
    }

    /// May the connection carry another exchange? HTTP/1.0's `keep-alive` is not honoured: closing is always allowed.
    pub(super) fn keep_alive(&self, version: Version) -> bool {
        version == Version::Http11 && !self.has_token("connection", "close")
    }

    /// Where the body of a request ends.
    pub(super) fn request_framing(&self, version: Version) -> Result<Framing, HeadError> {
        match (self.chunked(version)?, self.length()?) {
            (true, Some(_)) => Err(HeadError::LengthAndChunked),
            (true, None) => Ok(Framing::Chunked),
            (false, length) => Ok(Framing::Length(length.unwrap_or(0))),
        }
    }

    /// Where the body of a response ends. Here `chunked` overrides a length: the client has nobody behind it to smuggle to.
    pub(super) fn response_framing(&self, line: &StatusLine) -> Result<Framing, HeadError> {
        if matches!(line.status, 204 | 304) {
            return Ok(Framing::Length(0));
        }
        if self.chunked(line.version)? {
            return Ok(Framing::Chunked);
        }
        Ok(self.length()?.map_or(Framing::UntilClose, Framing::Length))
    }

    fn chunked(&self, version: Version) -> Result<bool, HeadError> {
        let mut codings = self.all("transfer-encoding");
        match (codings.next(), codings.next()) {
            (None, _) => Ok(false),
            (Some(_), _) if version == Version::Http10 => Err(HeadError::ChunkedInHttp10),
            (Some(coding), None) if coding.eq_ignore_ascii_case(b"chunked") => Ok(true),
            _ => Err(HeadError::TransferEncoding),
        }
    }

    fn length(&self) -> Result<Option<u64>, HeadError> {
        let mut found = None;
        for value in self.all("content-length") {
            let length = decimal(value).ok_or(HeadError::ContentLength)?;
            if found.is_some_and(|other| other != length) {
                return Err(HeadError::ConflictingLengths);
            }
            found = Some(length);
        }
        Ok(found)
    }
}

/// Parses a request head and gives it to `read`. `None`: more bytes are needed.
pub(super) fn parse_request<T>(
    buf: &[u8],
    read: impl FnOnce(&RequestLine<'_>, &Fields<'_>) -> Result<T, HeadError>,
) -> Result<Option<(T, usize)>, HeadError> {
    let mut slots = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut slots);
    let Some(length) = finished(buf, request.parse(window(buf)))? else {
        return Ok(None);
    };
    let line = RequestLine {
        method: request.method.unwrap_or_default(),
        target: request.path.unwrap_or_default(),
        version: version(request.version),
    };
    Ok(Some((read(&line, &Fields(request.headers))?, length)))
}

/// Parses a response head, skips interim responses (1xx) before it, and gives it to `read`. `None`: more bytes are needed.
pub(super) fn parse_response<T>(
    buf: &[u8],
    read: impl FnOnce(&StatusLine, &Fields<'_>) -> Result<T, HeadError>,
) -> Result<Option<(T, usize)>, HeadError> {
    let mut start = 0;
    loop {
        let mut slots = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut slots);
        let Some(length) = finished(buf, response.parse(&window(buf)[start..]))? else {
            return Ok(None);
        };
        let line = StatusLine {
            status: response.code.unwrap_or_default(),
            version: version(response.version),
        };
        start += length;
        match line.status {
            101 => return Err(HeadError::SwitchingProtocols),
            100..=199 => {}
            _ => return Ok(Some((read(&line, &Fields(response.headers))?, start))),
        }
    }
}

/// Bytes that may stand in a header value and in a request line: visible ASCII and inner spaces, at most `limit`, not empty.
pub(super) fn sendable(value: &[u8], limit: usize) -> Option<String> {
    let clean = !value.is_empty()
        && value.len() <= limit
        && value.iter().all(|byte| (b' '..=b'~').contains(byte))
        && value.trim_ascii().len() == value.len();
    clean.then(|| String::from_utf8_lossy(value).into_owned())
}

/// As [`sendable`], without spaces: a destination, a host, an id in a path.
pub(super) fn is_word(value: &str, limit: usize) -> bool {
    !value.is_empty() && value.len() <= limit && value.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The standard reason phrase. Clients ignore it; people reading a capture do not.
pub(super) fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Status",
    }
}

/// The part of a buffer in which a head must end, so that the verdict does not depend on how the bytes were split.
fn window(buf: &[u8]) -> &[u8] {
    &buf[..buf.len().min(MAX_HEAD)]
}

fn finished(buf: &[u8], parsed: httparse::Result<usize>) -> Result<Option<usize>, HeadError> {
    match parsed {
        Ok(httparse::Status::Complete(length)) => Ok(Some(length)),
        Ok(httparse::Status::Partial) if buf.len() >= MAX_HEAD => Err(HeadError::TooLong),
        Ok(httparse::Status::Partial) => Ok(None),
        Err(error) => Err(match error {
            httparse::Error::TooManyHeaders => HeadError::TooManyHeaders,
            httparse::Error::HeaderName => HeadError::Syntax("header name"),
            httparse::Error::HeaderValue => HeadError::Syntax("header value"),
            httparse::Error::NewLine => HeadError::Syntax("line end"),
            httparse::Error::Status => HeadError::Syntax("status"),
            httparse::Error::Token => HeadError::Syntax("first line"),
            httparse::Error::Version => HeadError::Syntax("version"),
        }),
    }
}

fn version(minor: Option<u8>) -> Version {
    if minor == Some(0) {
        Version::Http10
    } else {
        Version::Http11
    }
}

/// Digits only: no sign, no list, no surrounding text.
pub(super) fn decimal(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?;
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}
