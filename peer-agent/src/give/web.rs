//! What a peer with a token shows to those who do not have it: an nginx that has one page.
//!
//! Whoever looks for peers connects to every machine and asks. A proxy that refuses as proxies do, or in words of its own, is found by
//! one request, and all others by the same words. So once a token is configured, all that is no tunnel is answered, byte for byte, as
//! by one of the many nginx servers that tell no version and return the same thing for every path:
//!
//! ```text
//! server_tokens off; default_type text/html;
//! location / { return 200 "…"; }
//! ```
//!
//! | asked for | answer |
//! | --- | --- |
//! | anything by any method, `HEAD` included | 200 and the page: the operator's, or none, which is common too |
//! | `TRACE` | 405, and the connection closes |
//! | `CONNECT` without the right token, or not to `host:port` | 400, and the connection closes |
//! | what is not HTTP/1, or against its rules, such as a request without `Host` | 400, and the connection closes |
//! | another coding than chunks | 501, and the connection closes |
//! | a head that does not end in time | nothing, and the connection closes |
//!
//! A test compares this with a real nginx (`tests/interop/give/web.rs`). It withstands a look and not a study. enproxy knows no token: who
//! speaks it is served.
//!
//! Every answer is made of constants, the page and the time of day, and repeats nothing of the question.

use std::{fs::File, io, io::Read, path::Path};

use proto::{
    time::Timestamp,
    tunnel::{HeadError, enproxy::Visit},
};

use super::conn::ConnError;

/// What is shown.
#[derive(Clone, Debug, Default)]
pub(super) struct Site {
    page: Vec<u8>,
}

/// One of its answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Page,
    Bad,
    TooLarge,
    NotAllowed,
    NotImplemented,
}

impl Answer {
    /// The answer to a request that is no tunnel.
    pub(super) fn to(visit: Visit) -> Self {
        match visit {
            Visit::Page => Self::Page,
            Visit::NotAllowed => Self::NotAllowed,
            Visit::Bad => Self::Bad,
        }
    }

    /// The answer to what is no request, if there is one.
    pub(super) fn to_error(error: &ConnError) -> Option<Self> {
        match error {
            ConnError::Head(HeadError::TooLong | HeadError::TooManyHeaders) => Some(Self::TooLarge),
            ConnError::Head(HeadError::TransferEncoding) => Some(Self::NotImplemented),
            ConnError::Head(_) | ConnError::Host | ConnError::Body(_) => Some(Self::Bad),
            ConnError::SlowHead | ConnError::Closed | ConnError::Io(_) | ConnError::Stalled => None,
        }
    }

    /// Does the connection end with it?
    pub(super) fn closes(self) -> bool {
        self != Self::Page
    }

    fn status(self) -> &'static str {
        match self {
            Self::Page => "200 OK",
            Self::Bad | Self::TooLarge => "400 Bad Request",
            Self::NotAllowed => "405 Not Allowed",
            Self::NotImplemented => "501 Not Implemented",
        }
    }

    /// The text of an error.
    fn error(self) -> String {
        let heading = self.status();
        let (title, more) = match self {
            Self::TooLarge => (
                "400 Request Header Or Cookie Too Large",
                "<center>Request Header Or Cookie Too Large</center>\r\n",
            ),
            _ => (heading, ""),
        };
        format!(
            "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{heading}</h1></center>\r\n{more}\
             <hr><center>{SERVER}</center>\r\n</body>\r\n</html>\r\n"
        )
    }
}

impl Site {
    /// A site that shows what is in this file.
    pub(super) fn load(page: &Path) -> io::Result<Self> {
        let mut bytes = Vec::new();
        File::open(page)?.take(MAX_PAGE + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_PAGE {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("it has more than {MAX_PAGE} bytes"),
            ));
        }
        Ok(Self { page: bytes })
    }

    /// How long the page is, in bytes.
    pub(super) fn length(&self) -> usize {
        self.page.len()
    }

    /// Appends the answer; its head alone if that was asked for.
    pub(super) fn encode(&self, answer: Answer, now: Timestamp, keep_alive: bool, head_only: bool, out: &mut Vec<u8>) {
        let error = match answer {
            Answer::Page => None,
            _ => Some(answer.error()),
        };
        let body = error.as_deref().map_or(&*self.page, str::as_bytes);
        let head = format!(
            "HTTP/1.1 {status}\r\nServer: {SERVER}\r\nDate: {date}\r\nContent-Type: text/html\r\nContent-Length: {length}\r\n\
             Connection: {connection}\r\n\r\n",
            status = answer.status(),
            date = http_date(now),
            length = body.len(),
            connection = if keep_alive && !answer.closes() {
                "keep-alive"
            } else {
                "close"
            },
        );
        out.extend_from_slice(head.as_bytes());
        if !head_only {
            out.extend_from_slice(body);
        }
    }
}

/// A time as HTTP writes it (RFC 9110 section 5.6.7).
fn http_date(time: Timestamp) -> String {
    let seconds = time.as_micros() / 1_000_000;
    let (mut days, second) = (seconds / DAY, seconds % DAY);
    // The first day of 1970 was a Thursday.
    let weekday = WEEKDAYS[(days % 7) as usize];
    // The calendar repeats itself after 400 years.
    let mut year = 1970 + 400 * (days / DAYS_OF_400_YEARS);
    days %= DAYS_OF_400_YEARS;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let mut month = 0;
    while days >= length(month, year) {
        days -= length(month, year);
        month += 1;
    }
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!(
        "{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT",
        day = days + 1,
        month = MONTHS[month].0,
    )
}

fn length(month: usize, year: u64) -> u64 {
    MONTHS[month].1 + u64::from(month == 1 && is_leap(year))
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

const SERVER: &str = "nginx";
/// Longest page, in bytes: it is kept in memory, and a request for it is short.
const MAX_PAGE: u64 = 64 << 10;
const DAY: u64 = 24 * 3600;
const DAYS_OF_400_YEARS: u64 = 400 * 365 + 97;
const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
/// With their days in a common year.
const MONTHS: [(&str, u64); 12] = [
    ("Jan", 31),
    ("Feb", 28),
    ("Mar", 31),
    ("Apr", 30),
    ("May", 31),
    ("Jun", 30),
    ("Jul", 31),
    ("Aug", 31),
    ("Sep", 30),
    ("Oct", 31),
    ("Nov", 30),
    ("Dec", 31),
];

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn dates() {
        for (seconds, date) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            // The example of RFC 9110.
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (951_868_800, "Wed, 01 Mar 2000 00:00:00 GMT"),
            (1_795_375_084, "Sun, 22 Nov 2026 19:18:04 GMT"),
            (1_798_761_599, "Thu, 31 Dec 2026 23:59:59 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
            (13_569_465_600, "Sat, 01 Jan 2400 00:00:00 GMT"),
        ] {
            assert_eq!(http_date(Timestamp::from_secs(seconds)), date);
        }
        // A clock that is out of its mind is no reason to stop serving.
        assert!(http_date(Timestamp::from_micros(u64::MAX)).ends_with(" GMT"));
    }

    #[test]
    fn answers_are_of_the_shape_of_nginxs() {
        let now = Timestamp::from_secs(784_111_777);
        let site = Site {
            page: b"<p>hello".to_vec(),
        };
        for answer in [
            Answer::Page,
            Answer::Bad,
            Answer::TooLarge,
            Answer::NotAllowed,
            Answer::NotImplemented,
        ] {
            for keep_alive in [true, false] {
                let (mut whole, mut head) = (Vec::new(), Vec::new());
                site.encode(answer, now, keep_alive, false, &mut whole);
                site.encode(answer, now, keep_alive, true, &mut head);
                assert!(whole.len() <= 512 && whole.starts_with(&head), "{answer:?}");
                let connection = if keep_alive && answer == Answer::Page {
                    "keep-alive"
                } else {
                    "close"
                };
                let expected = format!(
                    "HTTP/1.1 {}\r\nServer: nginx\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: text/html\r\n\
                     Content-Length: {}\r\nConnection: {connection}\r\n\r\n",
                    answer.status(),
                    whole.len() - head.len(),
                );
                assert_eq!(String::from_utf8_lossy(&head), expected);
            }
        }
    }

    #[test]
    fn a_page_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("page.html");
        std::fs::write(&file, "x".repeat(64 << 10)).unwrap();
        assert_eq!(Site::load(&file).unwrap().page.len(), 64 << 10);
        std::fs::write(&file, "x".repeat((64 << 10) + 1)).unwrap();
        let error = Site::load(&file).unwrap_err();
        assert_eq!(error.to_string(), "it has more than 65536 bytes");
        std::fs::remove_file(&file).unwrap();
        assert_eq!(Site::load(&file).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
